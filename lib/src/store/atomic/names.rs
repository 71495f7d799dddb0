//! The names that outputs have beside their targets while they are built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// `.NAME.partial-PID-`
pub(super) fn partial_prefix(target: &Path) -> OsString {
    sibling_name(target, &format!("partial-{}-", std::process::id()))
}

/// `.NAME.suffix`
pub(super) fn sibling_name(target: &Path, suffix: &str) -> OsString {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".");
    name.push(suffix);
    name
}

/// `.NAME.suffix` beside the target.
pub(super) fn sibling(target: &Path, suffix: &str) -> PathBuf {
    parent(target).join(sibling_name(target, suffix))
}

/// The folder a path lies in, `.` for a bare name.
pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
