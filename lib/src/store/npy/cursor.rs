//! A file read from a position of its own, so that several readers can share it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// A file read from a position of its own.
pub(super) struct At<'a> {
    pub(super) file: &'a File,
    pub(super) position: u64,
}

impl Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(bytes, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
