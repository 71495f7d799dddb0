//! Atomic writes: a file or a folder is built beside its target under the hidden name `.NAME.partial-PID-xxxxxx`, flushed
//! to the disk and renamed, so a crash leaves the old one or the new one. What a dead process left is removed.
//!
//! ```
//! use std::io::Write;
//! use obverse::store::atomic::AtomicFile;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("result.txt");
//! let mut file = AtomicFile::create(&path)?;
//! file.write_all(b"whole")?;
//! assert!(!path.exists());
//! file.commit()?;
//! assert_eq!(std::fs::read(&path)?, b"whole");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file;
mod folder;
mod names;
mod partial;
mod sync;
#[cfg(test)]
mod tests;

pub use file::{AtomicFile, CompleteFile, take_place, waiting_for, write};
pub use folder::{AtomicFolder, FOLDER_SIDECAR, remove_folder, restore};
pub use partial::clear;
