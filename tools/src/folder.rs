//! Folders that a tool writes.

use std::fs;
use std::path::Path;

use obverse::store::atomic::AtomicFolder;

/// A folder under construction, and the folders above it.
pub(crate) fn folder_at(output: &Path) -> anyhow::Result<AtomicFolder> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), fs::create_dir_all).map_err(obverse::store::Error::write(output))?;
    Ok(AtomicFolder::create(output)?)
}
