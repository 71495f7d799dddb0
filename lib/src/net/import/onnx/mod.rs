//! ONNX graphs as networks: each operation becomes a node, arithmetic on shapes and constants is done once, here.
//!
//! A value's axes in ONNX may differ from those of the node that makes it: reshaping, transposing, squeezing and flattening move no
//! number, so they only change which axis is where in memory, and a node is made where an operation needs another arrangement. The
//! first axis is the batch, unless [`Options::unbatched`] says otherwise. Operations that are not known are refused by name.
//!
//! ```
//! use std::collections::{BTreeMap, BTreeSet};
//! use obverse::net::{Size, import::onnx::{Options, load}};
//! use obverse::store::onnx::{Input, Model, Node};
//! let relu = Node {
//!     name: "relu".into(),
//!     operation: "Relu".into(),
//!     inputs: vec!["x".into()],
//!     outputs: vec!["y".into()],
//!     attributes: BTreeMap::new(),
//! };
//! let model = Model {
//!     path: "relu.onnx".into(),
//!     nodes: vec![relu],
//!     tensors: BTreeMap::new(),
//!     inputs: vec![Input { name: "x".into(), shape: vec![None, Some(3), Some(8), Some(8)], element: None }],
//!     outputs: vec!["y".into()],
//!     external: BTreeSet::new(),
//!     opset: 17,
//! };
//! let network = load(&model, &Options::default())?.network;
//! assert_eq!(network.graph().size(network.graph().output("y")?), Size::new(3, 8, 8));
//! # Ok::<(), obverse::net::Error>(())
//! ```

mod activations;
mod aligned;
mod arrangement;
mod attention;
mod comparisons;
#[cfg(test)]
mod conformance_tests;
mod constants;
mod contractions;
mod fusions;
mod images;
mod joining;
mod layers;
mod losses;
mod moves;
mod names;
mod operations;
mod options;
mod outputs;
mod pairs;
mod picking;
mod placing;
mod pooling;
mod quantised;
mod recurrent;
mod reductions;
mod renaming;
mod shapes;
mod survey;
#[cfg(test)]
mod tests;
mod translation;
mod value;

pub use self::options::{Layout, Options};
pub use self::survey::{Blocker, survey};

use std::collections::HashSet;

use self::translation::{Translation, no_such};
use self::value::Site;
use crate::net::error::Result;
use crate::net::network::Network;
use crate::store::onnx::Model;

/// A network of an ONNX file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network; its outputs bear the file's names. What goes into a softmax that gives an output is one too, "logits".
    pub network: Network<f32>,
    /// The file's first output.
    pub output: String,
    /// Operations of the file that no output needs.
    pub left_off: Vec<String>,
    /// What is not as in the file, for the user to know.
    pub remarks: Vec<String>,
}

/// The lengths that an open axis of images is taken to have: with 2, no other axis of length 1 is taken for it; some files work for one
/// image alone.
const OPEN: [usize; 2] = [2, 1];

/// The network of an ONNX file.
///
/// # Errors
/// A file of more than one input, or one that leaves its size open where no size is given; an operation, or a setting of
/// one, that has no counterpart; shapes that do not fit. Each names the node.
pub fn load(model: &Model, options: &Options) -> Result<Imported> {
    let first = attempt(model, options, OPEN[0]);
    match first {
        Err(error) => attempt(model, options, OPEN[1]).map_err(|_| error),
        imported => imported,
    }
}

fn attempt(model: &Model, options: &Options, open: usize) -> Result<Imported> {
    let mut translation = Translation::begin(model, options, open)?;
    let fused = fusions::fused(model);
    for ((place, node), name) in model.nodes.iter().enumerate().zip(names::readable(model)) {
        let site = Site { model, node: fused.get(&place).unwrap_or(node), name };
        translation.node(&site)?;
        if let Some(until) = &options.until
            && (site.name == *until || node.name == *until || node.outputs.contains(until))
        {
            let value = node.outputs.iter().find(|output| *output == until).or(node.outputs.first());
            let value = value.ok_or_else(|| no_such(model, until))?;
            return Ok(Imported {
                left_off: unneeded(model, &[value.as_str()]),
                ..translation.finish(&[(value, until.clone())])?
            });
        }
    }
    match &options.until {
        Some(until) => Err(no_such(model, until)),
        None => {
            let outputs: Vec<(&str, String)> =
                model.outputs.iter().map(|output| (output.as_str(), names::of_output(output))).collect();
            let names: Vec<&str> = outputs.iter().map(|(value, _)| *value).collect();
            Ok(Imported { left_off: unneeded(model, &names), ..translation.finish(&outputs)? })
        }
    }
}

/// The operations that none of these values needs.
fn unneeded(model: &Model, outputs: &[&str]) -> Vec<String> {
    let mut needed: HashSet<&str> = outputs.iter().copied().collect();
    let mut others = Vec::new();
    for node in model.nodes.iter().rev() {
        match node.outputs.iter().any(|output| needed.contains(output.as_str())) {
            // A branch may read any value of the graph around it.
            true => needed.extend(node.reads()),
            false => others.push(format!("{} {}", node.operation, node.name)),
        }
    }
    others.reverse();
    others
}
