//! Errors about files: which file, what was expected, what was found, what to do. One line each.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::dtype::Dtype;
use super::is_standard_stream;

/// An error of the store; every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{path}: cannot be written: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said; `BrokenPipe` when the reader of standard output has closed it.
        source: io::Error,
    },
    /// The file is not a readable array.
    #[error("{path}: not a readable .npy file: expected {expected}, found {found}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What the format asks for.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// The length of the file does not fit its header.
    #[error("{path}: {dtype} of shape {shape:?} needs {expected} bytes after the header, found {found}; {advice}")]
    Length {
        /// The file.
        path: PathBuf,
        /// The type its header claims.
        dtype: Dtype,
        /// The shape its header claims.
        shape: Vec<usize>,
        /// Bytes that shape and type ask for.
        expected: u64,
        /// Bytes after the header: a number, or "more".
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The elements do not have the type that is needed.
    #[error("{path}: expected {expected}, found {found}; convert it, in NumPy with array.astype")]
    Dtype {
        /// The file.
        path: PathBuf,
        /// What is needed.
        expected: String,
        /// What the header says.
        found: Dtype,
    },
    /// The array does not have the shape that is needed.
    #[error("{path}: expected {expected}, found shape {found:?}; reshape it, or give another file")]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is needed, in words.
        expected: String,
        /// The shape of the array, or of the rows offered to a writer.
        found: Vec<usize>,
    },
    /// A value is not allowed.
    #[error("{path}: expected {expected}, found {found} in row {row}, element {element}; clean the data first")]
    Value {
        /// The file.
        path: PathBuf,
        /// What is needed, in words.
        expected: &'static str,
        /// The value.
        found: String,
        /// Its index along the first axis, from 0.
        row: usize,
        /// Its index inside the row, from 0.
        element: usize,
    },
    /// A file of weights is not as expected.
    #[error("{path}: expected {expected}, found {found}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What the format or the network asks for.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A folder that no tool of this suite has written would be replaced.
    #[error(
        "{path}: expected a free name or a folder with run.json, found a folder of other things; choose another name"
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A file needs more memory than there is.
    #[error(
        "{path}: {what} need {needed} bytes, the limit is {limit}; give more with `memory`, or ask for less at a time"
    )]
    Memory {
        /// The file.
        path: PathBuf,
        /// What the bytes would hold.
        what: &'static str,
        /// The bytes.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// A stream does not fit into the folder of temporary files.
    #[error(
        "{path}: its array needs {needed} bytes of {folder}, which has {free}; set TMPDIR to a larger folder, or unpack it first"
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// The folder of temporary files.
        folder: PathBuf,
        /// The bytes.
        needed: u64,
        /// What is free there.
        free: u64,
    },
    /// A compressed file claims to unpack to many times its size.
    #[error(
        "{path}: expected content of at most a few hundred times the file's {stored} bytes, found {claimed} claimed; if that is \
         right, unpack it first"
    )]
    Expansion {
        /// The file.
        path: PathBuf,
        /// Bytes that it would unpack to.
        claimed: u64,
        /// Bytes of the file.
        stored: u64,
    },
    /// A device, a pipe or a socket was given instead of a file.
    #[error("{path}: expected a file, found a device, a pipe or a socket; write it to a file first, or pipe it to -")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A sidecar or another JSON file does not parse.
    #[error("{path}: expected {expected}, found: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl Error {
    /// For `map_err` on reads of `path`.
    pub fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_owned(), source }
    }

    /// For `map_err` on writes to `path`.
    pub fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Write { path: path.to_owned(), source }
    }

    /// Whether the reader of standard output or of a pipe has closed it, which ends a tool quietly. A file has no reader.
    pub fn is_broken_pipe(&self) -> bool {
        let Self::Write { path, source } = self else { return false };
        let is_pipe =
            is_standard_stream(path) || std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
        is_pipe && source.kind() == io::ErrorKind::BrokenPipe
    }

    /// Whether an output failed (a full disk, a folder without permission) rather than an input.
    pub fn is_output(&self) -> bool {
        matches!(self, Self::Write { .. })
    }
}
