//! The files of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::name::{is_hidden, member_name};
use super::place::Place;
use crate::data::{Error, Result};

/// How deep folders may nest.
const DEPTH_LIMIT: usize = 16;

pub(super) fn single_entry(path: &Path) -> BTreeMap<String, Place> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    BTreeMap::from([(name, Place::File(path.to_path_buf()))])
}

pub(super) fn folder_entries(root: &Path, wanted: &impl Fn(&str) -> bool) -> Result<BTreeMap<String, Place>> {
    let inside = fs::canonicalize(root).map_err(|source| Error::read(root, source))?;
    let mut entries = BTreeMap::new();
    let mut folders = vec![(root.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let failed = |source| Error::read(&folder, source);
        if depth > DEPTH_LIMIT {
            return Err(Error::damaged(&folder.display().to_string(), "at most 16 nested folders", "more"));
        }
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if is_hidden(&path) {
                continue;
            }
            if path.is_dir() {
                contained(&inside, &path)?;
                folders.push((path, depth + 1));
                continue;
            }
            let name = path.strip_prefix(root).ok().and_then(member_name);
            if let Some(name) = name.filter(|name| wanted(name)) {
                contained(&inside, &path)?;
                entries.insert(name, Place::File(path));
            }
        }
    }
    Ok(entries)
}

/// An error where a symbolic link leads out of the folder.
fn contained(inside: &Path, path: &Path) -> Result<()> {
    let target = fs::canonicalize(path).map_err(|source| Error::read(path, source))?;
    if target.starts_with(inside) {
        return Ok(());
    }
    let file = path.display().to_string();
    let found = format!("a link to {}", target.display());
    Err(Error::malformed(&file, "a file inside the folder", found, "copy the file there or name its own folder"))
}
