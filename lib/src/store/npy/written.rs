//! What is known about an array that was written.

use std::path::PathBuf;

use super::pixels::Pixels;
use crate::store::dtype::Dtype;

/// What a finished [`super::Writer`] wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Where it was written.
    pub path: PathBuf,
    /// The lengths of the axes.
    pub shape: Vec<usize>,
    /// The type of the elements.
    pub dtype: Dtype,
    /// How its numbers are images, if they are.
    pub pixels: Option<Pixels>,
    /// The digest of the raw array.
    pub blake3: String,
}
