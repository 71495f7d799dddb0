//! An ONNX file as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use prost::Message;

use super::element::ElementType;
use super::functions::Functions;
use super::node::{Constant, Node, Subgraph};
use super::protocol::{Dimension, ModelProto, OperatorSetIdProto, ValueInfoProto};
use super::runtime;
use super::tensors::{Parsed, TensorReader};
use crate::store::Result;
use crate::store::weights::{Broken, broken, content};

/// An input of the model: its name and its axes, `None` where an axis is left open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its axes, the batch first.
    pub shape: Vec<Option<usize>>,
    /// The type of its numbers, where it is said and known: images may be bytes.
    pub element: Option<ElementType>,
}

/// An ONNX file.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The file.
    pub path: PathBuf,
    /// The operations, each after those that it reads. In place of a call of a function of the file stand the function's operations, and
    /// in place of one on whole numbers of few bits (QLinearConv) the one on floats, between those that make floats of them.
    pub nodes: Vec<Node>,
    /// The tensors by name, but those of words.
    pub tensors: BTreeMap<String, Constant>,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The names of the outputs.
    pub outputs: Vec<String>,
    /// Other files that hold tensors.
    pub external: BTreeSet<PathBuf>,
    /// The version of ONNX's own operations.
    pub opset: i64,
}

impl Model {
    /// Reads a file, and the tensors in other files of its folder.
    ///
    /// Operations that make whole numbers of their zero point's type, such as QuantizeLinear, say that type in the attribute
    /// `output_dtype`, where the file tells it, and CastLike in `to`: tensors of whole numbers forget it.
    ///
    /// # Errors
    /// A file that cannot be read, is not ONNX, is cut short or contradicts itself; tensors outside its folder, or of numbers that are
    /// neither floats of at least 16 bits nor whole; functions that call themselves.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = content(path)?;
        Self::parse(path, &bytes).map_err(|Broken { expected, found }| broken(path, expected, found))
    }

    fn parse(path: &Path, bytes: &[u8]) -> Parsed<Self> {
        let model = ModelProto::decode(bytes).map_err(|error| Broken::new("an ONNX model", error))?;
        let mut graph = model.graph.ok_or_else(|| Broken::new("an ONNX model with a graph", "none"))?;
        let of_functions = model.functions.iter().flat_map(|function| &function.opset_import);
        let opset = opset(model.opset_import.iter().chain(of_functions));
        Functions::new(path, model.functions).inlined(&mut graph)?;
        runtime::written_out(&mut graph);
        let given = std::mem::take(&mut graph.input);
        let mut reader = TensorReader::new(path);
        let Subgraph { nodes, tensors, outputs } = reader.graph(graph)?;
        // Older files list the tensors among the inputs too.
        let inputs = given.iter().filter(|input| !tensors.contains_key(&input.name)).map(input).collect();
        Ok(Self { path: path.to_owned(), nodes, tensors, inputs, outputs, external: reader.external, opset })
    }
}

/// The first version that is said of ONNX's own operations; the first there was, where none is.
fn opset<'a>(mut imports: impl Iterator<Item = &'a OperatorSetIdProto>) -> i64 {
    let own = imports.find(|import| matches!(import.domain.as_str(), "" | "ai.onnx"));
    own.map_or(1, |import| import.version)
}

/// An input; axes that are names or 0 are open.
fn input(input: &ValueInfoProto) -> Input {
    let kind = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let axis =
        |axis: &Dimension| axis.dim_value.and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0);
    let shape = kind.and_then(|kind| kind.shape.as_ref());
    Input {
        name: input.name.clone(),
        shape: shape.map_or_else(Vec::new, |shape| shape.dim.iter().map(axis).collect()),
        element: kind.and_then(|kind| ElementType::of(kind.elem_type.into())),
    }
}
