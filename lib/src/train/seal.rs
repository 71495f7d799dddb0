//! Sealed folders: `run.json` holds the content, the digest of every other file, and its own. A file that was changed, cut short
//! or added is noticed before anything is read, overwritten or removed.
//!
//! ```
//! use obverse::train::seal;
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("position"), "7")?;
//! seal::seal(folder.path(), serde_json::Map::new())?;
//! let content = seal::content(folder.path())?.ok_or("it is sealed")?;
//! seal::verify(folder.path(), &content)?;
//! std::fs::write(folder.path().join("position"), "8")?;
//! assert!(seal::verify(folder.path(), &content).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::{Error, Result};
use crate::store::digest::{self, FOLDER_SIDECAR};
use crate::store::{atomic, budget};

const FILES: &str = "files";
const SEAL: &str = "blake3";

/// Seals a folder under construction, with this content.
///
/// # Errors
/// A file that cannot be read or written.
pub fn seal(folder: &Path, mut content: Map<String, Value>) -> Result<()> {
    let files = digest::files_of(folder)?;
    let files =
        files.iter().map(|(name, hash)| (name.to_string_lossy().into_owned(), hash.to_hex().to_string().into()));
    content.insert(FILES.into(), Value::Object(files.collect()));
    content.insert(SEAL.into(), of_content(&content).into());
    let path = folder.join(FOLDER_SIDECAR);
    let text = serde_json::to_vec_pretty(&content).map_err(|error| Error::broken(&path, &error))?;
    Ok(atomic::write(&path, &text)?)
}

/// The content of a sealed folder, read without its files; `None` if there is no folder, or an empty one.
///
/// # Errors
/// `Foreign` where the folder is not sealed or holds further files; `Checkpoint` where its `run.json` is damaged.
pub fn content(folder: &Path) -> Result<Option<Map<String, Value>>> {
    if fs::symlink_metadata(folder).is_err() {
        return Ok(None);
    }
    let names = digest::names_in(folder)?;
    let path = folder.join(FOLDER_SIDECAR);
    if !path.is_file() {
        return names.first().map_or(Ok(None), |name| Err(Error::foreign(&folder.join(name))));
    }
    let text = budget::read(&path)?;
    let content: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| Error::broken(&path, &error))?;
    let (Some(files), Some(sealed)) = (content.get(FILES).and_then(Value::as_object), content.get(SEAL)) else {
        return Err(Error::foreign(&path));
    };
    if let Some(name) = names.iter().find(|name| name.to_str().is_none_or(|name| !files.contains_key(name))) {
        return Err(Error::foreign(&folder.join(name)));
    }
    if *sealed != of_content(&content) {
        return Err(Error::broken(&path, &"its digest is another"));
    }
    Ok(Some(content))
}

/// Checks the files of a sealed folder against its `content`.
///
/// # Errors
/// `Checkpoint`, naming the file that is damaged or missing.
pub fn verify(folder: &Path, content: &Map<String, Value>) -> Result<()> {
    for (name, recorded) in content.get(FILES).and_then(Value::as_object).into_iter().flatten() {
        let path = folder.join(name);
        match digest::of_file(&path) {
            Ok(found) if *recorded == found => {}
            Ok(_) => return Err(Error::broken(&path, &"its digest is another")),
            Err(error) => return Err(Error::broken(&path, &error)),
        }
    }
    Ok(())
}

/// Removes a sealed folder and what killed runs left next to it, if it holds only its own files.
///
/// # Errors
/// `Foreign` where it is not; a folder that cannot be removed.
pub fn remove(folder: &Path) -> Result<()> {
    match content(folder) {
        // A damaged folder is still ours.
        Ok(_) | Err(Error::Checkpoint { .. }) => {}
        Err(error) => return Err(error),
    }
    atomic::clear(folder);
    Ok(atomic::remove_folder(folder)?)
}

/// The digest of the content without the digest itself.
fn of_content(content: &Map<String, Value>) -> String {
    let mut content = content.clone();
    content.remove(SEAL);
    digest::of_bytes(Value::Object(content).to_string().as_bytes())
}

/// The keys of two values that differ, with both, five at most.
pub fn differences(old: &Value, new: &Value) -> String {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    found.join(", ") + &more
}

/// Differences named.
const NAMED: usize = 5;

fn compare(key: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                let value = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                compare(&below(name), &value(old), &value(new), found);
            }
        }
        _ if old == new => {}
        _ => found.push(format!("{key} {old} -> {new}")),
    }
}
