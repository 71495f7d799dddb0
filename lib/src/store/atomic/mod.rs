//! Atomic writes: a file or folder is built beside its target under the hidden name `.NAME.partial-PID-xxxxxx`, flushed to the disk and
//! renamed, so a crash leaves either the old one or the new one. Partial files of dead processes are removed.
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
pub(crate) use folder::remove_folder;
pub use folder::{AtomicFolder, FOLDER_SIDECAR, restore};
pub use partial::clear;
