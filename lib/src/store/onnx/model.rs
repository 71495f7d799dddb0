//! An ONNX file as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use prost::Message;

use super::node::{Constant, Node};
use super::protocol::{Dimension, ModelProto, ValueInfoProto};
use super::tensors::{Parsed, TensorReader};
use crate::store::Result;
use crate::store::weights::{Broken, broken, content};

/// An input of the model: its name and its axes, `None` where an axis is left open.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its axes, the batch first.
    pub shape: Vec<Option<usize>>,
}

/// An ONNX file.
#[derive(Clone, Debug)]
pub struct Model {
    /// The file.
    pub path: PathBuf,
    /// The operations, each after those that it reads.
    pub nodes: Vec<Node>,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Constant>,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The names of the outputs.
    pub outputs: Vec<String>,
    /// Other files that hold tensors.
    pub external: BTreeSet<PathBuf>,
}

impl Model {
    /// Reads a file, and the tensors in other files of its folder.
    ///
    /// # Errors
    /// A file that cannot be read, is not ONNX, is cut short or contradicts itself; tensors outside its folder, or of numbers that are
    /// neither floats nor whole.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = content(path)?;
        Self::parse(path, &bytes).map_err(|Broken { expected, found }| broken(path, expected, found))
    }

    fn parse(path: &Path, bytes: &[u8]) -> Parsed<Self> {
        let model = ModelProto::decode(bytes).map_err(|error| Broken::new("an ONNX model", error))?;
        let graph = model.graph.ok_or_else(|| Broken::new("an ONNX model with a graph", "none"))?;
        if !graph.sparse_initializer.is_empty() {
            return Err(Broken::new("dense tensors", "a sparse one"));
        }
        let mut reader = TensorReader { folder: folder_of(path), external: BTreeSet::new(), held: 0 };
        let mut tensors = BTreeMap::new();
        for tensor in graph.initializer {
            tensors.insert(tensor.name.clone(), reader.constant(tensor)?);
        }
        let nodes = graph.node.into_iter().map(|node| reader.node(node)).collect::<Parsed<_>>()?;
        // Older files list the tensors among the inputs too.
        let given = graph.input.into_iter().filter(|input| !tensors.contains_key(&input.name));
        let inputs = given.map(|input| Input { shape: axes(&input), name: input.name }).collect();
        let outputs = graph.output.into_iter().map(|output| output.name).collect();
        Ok(Self { path: path.to_owned(), nodes, tensors, inputs, outputs, external: reader.external })
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// An input's axes; those that are names or 0 are open.
fn axes(input: &ValueInfoProto) -> Vec<Option<usize>> {
    let shape = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()?.shape.as_ref());
    let axis =
        |axis: &Dimension| axis.dim_value.and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0);
    shape.map_or_else(Vec::new, |shape| shape.dim.iter().map(axis).collect())
}
