//! ONNX files: operations, tensors, inputs and outputs, in protocol buffers (github.com/onnx/onnx, onnx.proto).
//!
//! Tensors may lie in other files of the same folder, and nowhere else. Functions that a file brings along are written out. No length is
//! trusted before its bytes have been read.
//!
//! ```
//! use std::collections::BTreeMap;
//! use obverse::store::onnx::{Attribute, Node};
//! let node = Node {
//!     name: "pool".into(),
//!     operation: "MaxPool".into(),
//!     inputs: vec!["x".into()],
//!     outputs: vec!["y".into()],
//!     attributes: BTreeMap::from([("kernel_shape".into(), Attribute::Integers(vec![3, 3]))]),
//! };
//! assert_eq!((node.integers("kernel_shape"), node.integer("ceil_mode")), (Some(&[3, 3][..]), None));
//! ```

mod beside;
mod element;
mod functions;
mod graphs;
mod model;
mod node;
mod protocol;
mod runtime;
mod tensors;
#[cfg(test)]
mod tests;
mod writing;

pub use element::ElementType;
pub use model::{Input, Model};
pub use node::{Attribute, Constant, Node, Subgraph};
