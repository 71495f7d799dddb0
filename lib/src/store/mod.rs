//! Files: reading and writing `.npy` arrays, digests, sidecars, the cache and atomic writes.
//!
//! Beside every output lies a sidecar that says how it was made. `-` is standard input or output.
//!
//! ```
//! use obverse::store::npy::{Reader, write};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("rows.npy");
//! write(&path, &[3, 2], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
//! let reader = Reader::open(&path)?;
//! assert_eq!((reader.shape(), reader.read_row_range_at::<f32>(1, 1)?), (&[3, 2][..], vec![3.0, 4.0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod artifact;
pub mod atomic;
pub mod budget;
pub mod cache;
pub mod digest;
mod dtype;
mod error;
mod header;
pub mod index;
pub mod npy;
pub mod npz;
pub mod onnx;
pub mod pickle;
pub mod sidecar;
pub mod staged;
pub mod walk;
pub mod weights;

pub use error::Error;

use std::path::Path;

/// The result of every function of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Whether `path` names standard input or output.
pub fn is_standard_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}
