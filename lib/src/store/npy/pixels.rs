//! What makes an array one of images: the values of black and white, and where the channels are.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::reader::Reader;
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
    /// What the sidecar of an array says; `None` where no tool made it, or the sidecar is one of another array.
    pub fn recorded(reader: &Reader) -> Option<Self> {
        let path = Sidecar::path_of(reader.path())?;
        let output = Sidecar::is_there(&path).then(|| Sidecar::read(&path).ok())??.output;
        let is_its = output.shape.as_deref() == Some(reader.shape()) && output.dtype == Some(reader.dtype());
        output.pixels.filter(|_| is_its)
    }

    /// What the sidecar of the file at `path` says.
    pub fn of_file(path: &Path) -> Option<Self> {
        Self::recorded(&Reader::open(path).ok()?)
    }
}
