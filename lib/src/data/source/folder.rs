//! The files of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::left_out::LeftOut;
use super::name::{is_hidden, member_name};
use super::place::{Files, Place};
use crate::data::{Error, Result};
use crate::store::walk;

pub(super) fn single_entry(path: &Path) -> BTreeMap<String, Place> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    BTreeMap::from([(name, Place::File(path.to_path_buf()))])
}

/// The wanted files. A link is what it leads to, inside or out: whoever made the folder put it there.
pub(super) fn folder_entries(root: &Path, wanted: &impl Fn(&str) -> bool) -> Result<Files> {
    let found = walk::files_below(root, is_hidden)?;
    if let Some(link) = found.dangling.iter().find(|link| member_name(link).is_some_and(|name| wanted(&name))) {
        return Err(dangling(&root.join(link)));
    }
    let (mut entries, mut left_out) = (BTreeMap::new(), LeftOut::default());
    for relative in found.files {
        match member_name(&relative) {
            None => left_out.add("with names that are not UTF-8", 1),
            Some(name) if wanted(&name) => drop(entries.insert(name, Place::File(root.join(relative)))),
            Some(name) => left_out.add_file(&name),
        }
    }
    Ok((entries, left_out))
}

/// An error for a link that leads to nothing.
fn dangling(link: &Path) -> Error {
    let target = fs::read_link(link).unwrap_or_default();
    let found = format!("a link to {}, which is not there", target.display());
    let advice = "get what it leads to (git annex get, dvc pull), or remove the link";
    Error::malformed(&link.display().to_string(), "a file", found, advice)
}
