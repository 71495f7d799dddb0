//! What a sidecar says of an array: its shape and type beside the digest.

use std::path::Path;

use super::reader::Reader;
use super::written::Written;
use crate::store::artifact::Artifact;
use crate::store::{Result, digest};

impl Artifact {
    /// A file or folder, read once for its digest. Arrays are told by their name, `.npy` or `.npy.zst`.
    ///
    /// # Errors
    /// `Read` when it cannot be read; those of [`Reader::open`] for an array.
    pub fn of_path(path: &Path) -> Result<Self> {
        if !is_array(path) {
            return Ok(Self::known(path, digest::of_path(path)?));
        }
        let header = Reader::header_of(path)?;
        Ok(Self { shape: Some(header.shape), dtype: Some(header.dtype), ..Self::known(path, digest::of_file(path)?) })
    }

    /// An array that is open, be it a file or standard input.
    ///
    /// # Errors
    /// `Read`, naming the file.
    pub fn of_array(reader: &Reader) -> Result<Self> {
        let (shape, dtype) = (Some(reader.shape().to_vec()), Some(reader.dtype()));
        Ok(Self { shape, dtype, ..Self::known(reader.path(), reader.digest()?) })
    }
}

impl From<Written> for Artifact {
    fn from(written: Written) -> Self {
        let (shape, dtype) = (Some(written.shape), Some(written.dtype));
        Self { shape, dtype, pixels: written.pixels, ..Self::known(&written.path, written.blake3) }
    }
}

/// Whether a path is named like an array.
fn is_array(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    (name.ends_with(b".npy") || name.ends_with(b".npy.zst")) && !path.is_dir()
}
