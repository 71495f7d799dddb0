//! Flushes folders to the disk.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rayon::prelude::*;

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Flushes everything in a folder, then the folder itself. Many files at a time, because a file system writes waiting files together.
pub(super) fn sync_tree(folder: &Path) -> io::Result<()> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.par_iter().try_for_each(|entry| match entry.file_type()?.is_dir() {
        true => sync_tree(&entry.path()),
        false => File::open(entry.path())?.sync_all(),
    })?;
    sync_folder(folder)
}
