//! Where the bytes of one file of a dataset are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::left_out::LeftOut;

/// The files that are wanted, by name, and what is left out.
pub(super) type Files = (BTreeMap<String, Place>, LeftOut);

/// Where the bytes of one file are.
#[derive(Clone)]
pub(super) enum Place {
    File(PathBuf),
    Span { file: Arc<File>, start: u64, length: u64 },
}

/// A part of a file, read by position: many can be read at once without a shared cursor.
pub(super) struct Span {
    pub(super) file: Arc<File>,
    pub(super) position: u64,
    pub(super) end: u64,
}

impl Read for Span {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.end - self.position).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..length], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}
