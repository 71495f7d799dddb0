//! What is known about an array that was written.

use std::path::PathBuf;

use crate::store::dtype::Dtype;

/// What a finished [`super::Writer`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it was written.
    pub path: PathBuf,
    /// The lengths of the axes.
    pub shape: Vec<usize>,
    /// The type of the elements.
    pub dtype: Dtype,
    /// The digest of the raw array.
    pub blake3: String,
}
