//! Files: `.npy` tensors in and out, digests, sidecars, the cache and atomic writes.
//!
//! Every output stands beside a sidecar that says how it was made; `-` is standard input or output.

pub mod atomic;
pub mod cache;
pub mod digest;
mod error;
mod header;
pub mod npy;
pub mod npz;
pub mod onnx;
pub mod pickle;
pub mod sidecar;
pub mod weights;

pub use error::Error;

use std::path::Path;

/// What every function of this module returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Whether `path` names standard input or output.
pub fn is_standard_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}
