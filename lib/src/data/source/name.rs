//! The names of a dataset's files: relative paths with `/`, none of them hidden.

use std::ffi::OsStr;
use std::path::{Component, Path};

/// The last component of a name.
pub(crate) fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A name without its folders and its ending.
pub(crate) fn stem(name: &str) -> &str {
    let name = base_name(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Hidden files and folders are not data: `.DS_Store`, `.ipynb_checkpoints`, and the twins that macOS writes into archives.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX"
}

/// Whether a member of an archive is hidden, or lies in a folder that is.
pub(super) fn lies_hidden(member: &Path) -> bool {
    member.components().any(|part| matches!(part, Component::Normal(name) if is_hidden(name)))
}

/// A member's path as a name with `/`, where it stays inside: no root, no `..`.
pub(super) fn member_name(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}
