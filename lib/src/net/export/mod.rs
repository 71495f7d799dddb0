//! Networks for other programs: ONNX graphs, and weights as safetensors, with PyTorch's names and layouts.
//!
//! An ONNX file holds the network as its folder does: one operation a node where ONNX has one, its parameters under their names
//! (`conv1.weight`), in PyTorch's layouts. Values are (N, C, H, W), vectors (N, F); pixels are normalised in the graph. Transpositions
//! around an operation are ONNX's way to say channels last; [`super::import::onnx`] moves nothing for them.
//!
//! ```
//! use obverse::net::op::Relu;
//! use obverse::net::{Graph, Initialisation, InputSpec, Network, Node, Size, export};
//! let nodes = vec![Node::new("act", Relu, "input")];
//! let graph = Graph::new(InputSpec::plain(Size::new(3, 8, 8)), nodes, [("y".into(), "act".into())].into())?;
//! let model = export::onnx(&Network::initialised(graph, Initialisation::He, 0))?;
//! assert_eq!(model.nodes[0].operation, "Relu");
//! # Ok::<(), obverse::net::Error>(())
//! ```

mod activations;
mod builder;
mod layers;
mod operations;
mod reductions;

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize};

use self::builder::Builder;
use super::error::Result;
use super::graph::INPUT;
use super::import::original::{Numbers, tensors};
use super::network::Network;
use crate::store;
use crate::store::onnx::Model;

/// The opset of exported files.
pub const OPSET: i64 = 17;

/// A network as an ONNX graph.
///
/// # Errors
/// An operation that ONNX cannot say, named with its node.
pub fn onnx(network: &Network<f32>) -> Result<Model> {
    let graph = network.graph();
    let mut builder = Builder::new(network);
    builder.normalised();
    for (place, node) in graph.nodes.iter().enumerate() {
        builder.export(place, node)?;
    }
    Ok(builder.finish())
}

/// The parameters of a network as a safetensors file, in PyTorch's layouts: under the names that its weights came under, or their own.
///
/// # Errors
/// More than the format can hold; as [`tensors`].
pub fn safetensors(network: &Network<f32>, path: &Path) -> Result<Vec<u8>> {
    let bytes = |numbers: &Numbers| -> (Dtype, Vec<u8>) {
        match numbers {
            Numbers::Floats(values) => (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Numbers::Integers(values) => (Dtype::I64, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        }
    };
    let tensors = tensors(network)?;
    let held: Vec<(Dtype, Vec<u8>)> = tensors.iter().map(|tensor| bytes(&tensor.numbers)).collect();
    let broken = |error: safetensors::SafeTensorError| store::Error::Weights {
        path: path.to_owned(),
        expected: "parameters that safetensors can hold".into(),
        found: error.to_string(),
    };
    let mut views = Vec::new();
    for (tensor, (element, bytes)) in tensors.iter().zip(&held) {
        views.push((tensor.name.as_str(), TensorView::new(*element, tensor.shape.clone(), bytes).map_err(broken)?));
    }
    Ok(serialize(views, None).map_err(broken)?)
}

/// The name of the network's input in the file.
const IMAGES: &str = INPUT;
