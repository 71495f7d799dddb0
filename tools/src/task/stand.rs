//! The state of files, as far as the system tells without reading them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use obverse::store::sidecar::Artifact;
use obverse::store::{self, digest};

/// The state of a file, as far as the system tells without reading it.
#[derive(Debug, PartialEq)]
pub(super) struct Stand {
    path: PathBuf,
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The states of the files at `path`: the file itself, or all files below a folder.
pub(super) fn stands(path: &Path) -> Vec<Stand> {
    let files = if path.is_dir() { digest::names_in(path).unwrap_or_default() } else { vec![PathBuf::new()] };
    let stand = |below: PathBuf| {
        let path = if below.as_os_str().is_empty() { path.to_owned() } else { path.join(below) };
        let found = fs::metadata(&path).ok()?;
        Some(Stand {
            inode: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            path,
        })
    };
    files.into_iter().filter_map(stand).collect()
}

/// The digest of a file or folder; of an array, that of its uncompressed bytes.
pub(super) fn digest_of(path: &Path) -> store::Result<String> {
    Artifact::of_path(path).map(|artifact| artifact.blake3)
}
