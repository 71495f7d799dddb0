//! What makes an array one of images: the values of black and white, and where the channels are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::reader::Reader;
use crate::store::digest;
use crate::store::sidecar::Sidecar;

/// Where the channels of an array of images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    /// (N, C, H, W), as PyTorch has them; also (N, H, W) of one channel.
    Nchw,
    /// (N, H, W, C), as TensorFlow and picture files have them.
    Nhwc,
}

/// How the numbers of an array are images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pixels {
    /// The values of black and white.
    pub range: [f64; 2],
    /// Where the channels are.
    pub layout: Layout,
}

impl Pixels {
    /// What the sidecar of an array says; of an array in a folder that a tool made, 0..1 and channels first. `None` where no tool made it,
    /// or the sidecar is one of another array.
    pub fn recorded(reader: &Reader) -> Option<Self> {
        let written = |path: PathBuf| Some(Sidecar::is_there(&path).then(|| Sidecar::read(&path).ok())??.output);
        if let Some(own) = Sidecar::path_of(reader.path()).and_then(written) {
            let is_its = own.shape.as_deref() == Some(reader.shape()) && own.dtype == Some(reader.dtype());
            return own.pixels.filter(|_| is_its);
        }
        let (folder, name) = (reader.path().parent()?, reader.path().file_name()?.to_str()?);
        let is_part = written(folder.join(digest::FOLDER_SIDECAR))?.files.contains_key(name);
        is_part.then_some(Self { range: [0.0, 1.0], layout: Layout::Nchw })
    }
}
