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
use super::folder::to_file_order;
use super::graph::INPUT;
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

/// The parameters of a network as a safetensors file: each under its name, in PyTorch's layout.
///
/// # Errors
/// More than the format can hold.
pub fn safetensors(network: &Network<f32>, path: &Path) -> Result<Vec<u8>> {
    let graph = network.graph();
    let mut all: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for ((place, spec), value) in graph.parameters().iter().zip(network.parameters()) {
        let values = to_file_order(&spec.shape, value);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        all.push((graph.parameter_name(*place, spec), spec.shape.clone(), bytes));
    }
    let broken = |error: safetensors::SafeTensorError| store::Error::Weights {
        path: path.to_owned(),
        expected: "parameters that safetensors can hold".into(),
        found: error.to_string(),
    };
    let mut views = Vec::new();
    for (name, shape, bytes) in &all {
        views.push((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(broken)?));
    }
    Ok(serialize(views, None).map_err(broken)?)
}

/// The name of the network's input in the file.
const IMAGES: &str = INPUT;
