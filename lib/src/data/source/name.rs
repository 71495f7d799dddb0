//! The names of a dataset's files: relative paths with `/`, none of them hidden.

use std::path::{Component, Path};

/// The last component of a name.
pub(crate) fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Hidden files are not data: `.DS_Store`, and the `._name` twins that macOS writes into archives.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
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
