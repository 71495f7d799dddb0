//! Networks of other programs: ONNX graphs, and weights by the names of an architecture.
//!
//! [`onnx`] translates an ONNX file, operation by operation; [`pretrained`] holds the architectures whose weights
//! (safetensors, PyTorch's state dictionaries) are known by name. [`Pixels`] says what a network was trained on, so that all of
//! them take RGB in [0, 1].
//!
//! ```
//! use obverse::net::import::{CONVENTIONS, ChannelOrder, Pixels};
//! assert!(CONVENTIONS.contains(&"caffe"));
//! let order = Pixels::of_convention("caffe").map(|pixels| pixels.order);
//! assert!(matches!(order, Some(ChannelOrder::Bgr)));
//! ```

pub(super) mod builder;
mod cifar;
pub mod googlenet;
pub mod onnx;
pub mod original;
mod pixels;
pub mod pretrained;
mod sequential;
mod stored;

pub use onnx::Imported;
pub use pixels::{CONVENTIONS, ChannelOrder, Pixels};
pub use pretrained::Architecture;

use std::path::Path;

use super::Error;
use crate::store;

/// What a file should hold and what it holds.
fn unfit(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
    store::Error::Weights { path: path.to_owned(), expected: expected.into(), found: found.into() }.into()
}
