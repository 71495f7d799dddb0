//! Partial files and folders: which belong to this process, and which dead processes left.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use super::names::{parent, sibling_name};

/// A partial file younger than this is left alone, because its owner may not have locked it yet.
pub(super) const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// Removes what dead processes left of earlier attempts at `target`, however new it is. Only for a caller that knows that nobody else
/// is building `target`. Best effort.
pub fn clear(target: &Path) {
    remove_where(&fs::canonicalize(target).unwrap_or_else(|_| target.to_owned()), is_unlocked);
}

/// Removes what dead processes left of earlier attempts at `target`. Best effort: a file that cannot be opened stays.
pub(super) fn remove_leftovers(target: &Path) {
    remove_where(target, is_abandoned);
}

fn remove_where(target: &Path, removable: impl Fn(&Path) -> bool) {
    let prefix = sibling_name(target, "partial-");
    let Ok(entries) = fs::read_dir(parent(target)) else { return };
    let leftovers = entries.flatten().filter(|entry| {
        entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) && removable(&entry.path())
    });
    for leftover in leftovers {
        let path = leftover.path();
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}

/// Whether a partial file or folder is old enough and nobody holds its lock.
fn is_abandoned(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let age = file.metadata().and_then(|metadata| metadata.modified()).map(|modified| modified.elapsed());
    matches!(age, Ok(Ok(age)) if age > LEFTOVER_AGE) && is_unlocked(path)
}

/// Whether nobody holds the lock of a partial file or folder.
fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Whether a file lies in a folder that this process is building.
pub(super) fn is_under_construction(target: &Path) -> bool {
    let mark = format!(".partial-{}-", std::process::id());
    target.ancestors().skip(1).filter_map(Path::file_name).any(|name| name.to_string_lossy().contains(&mark))
}
