//! A file or folder, identified by its content: what sidecars record of inputs and outputs.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dtype::Dtype;
use super::npy::Pixels;
use super::{Result, digest};

/// A file or folder, identified by its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// The argument that named it, for an input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    /// The path as the command gave it; `-` for standard input.
    pub path: String,
    /// The lengths of the axes, for an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<usize>>,
    /// The type of the elements, for an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// How its numbers are images, for an array of images that a tool made.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<Pixels>,
    /// The digest of the content: see [`digest`].
    pub blake3: String,
    /// For a folder that was written: every file in it except the sidecar, with its digest.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub files: Map<String, Value>,
}

impl Artifact {
    /// The file or folder at `path` that has this digest and is no array.
    pub fn known(path: &Path, blake3: String) -> Self {
        Self { argument: None, path: text(path), shape: None, dtype: None, pixels: None, blake3, files: Map::new() }
    }

    /// A folder that is being built at `built` and will be put at `path`, with its files.
    ///
    /// # Errors
    /// `Read`, naming the file that cannot be read.
    pub fn of_folder(path: &Path, built: &Path) -> Result<Self> {
        let files = digest::files_of(built)?;
        let named = files.iter().map(|(file, hash)| (text(file), hash.to_hex().to_string().into()));
        Ok(Self { files: named.collect(), ..Self::known(path, digest::of_files(&files)) })
    }

    /// Bytes that were written to `path`, which may be standard output.
    pub fn of_bytes(path: &Path, bytes: &[u8]) -> Self {
        Self::known(path, digest::of_bytes(bytes))
    }
}

pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
