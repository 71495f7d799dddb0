//! A network as a folder: `params/<node>.<name>.npy` in PyTorch's layouts, f32 or f64, and `net.json`, written last.
//!
//! net.json holds the graph, each parameter's shape and digest, and where the network comes from. Whatever it says is held
//! against the files before anything is allocated.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::error::{Error, Result};
use super::graph::{Graph, InputSpec, Node};
use super::initialise::memory_shape;
use super::network::Network;
use super::op::ParameterSpec;
use crate::store::npy::{Dtype, Reader, Scalar, write};
use crate::store::{self, atomic, budget};
use crate::tensor::{Batch, Element, batch, channels_first, channels_last, view};

/// The format's name and version.
pub const FORMAT: &str = "obverse-net/1";
const DESCRIPTION: &str = "net.json";
const PARAMETERS: &str = "params";

impl Graph {
    /// The graph as in net.json, without parameters.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("format".into(), FORMAT.into());
        json.insert("input".into(), json!(self.input));
        json.insert("nodes".into(), self.nodes.iter().map(Node::to_json).collect());
        json.insert("outputs".into(), json!(self.outputs));
        json
    }

    /// A graph from the JSON of `path`.
    ///
    /// # Errors
    /// Another format, a field that is missing; what [`Graph::new`] checks.
    pub fn from_json(path: &Path, json: &Value) -> Result<Self> {
        let format = json.get("format").and_then(Value::as_str).unwrap_or("none");
        if format != FORMAT {
            return Err(Error::Format { path: path.to_owned(), found: format.to_string() });
        }
        let broken = |reason: String| Error::Json { path: path.to_owned(), reason };
        let field = |name: &str| json.get(name).cloned().ok_or_else(|| broken(format!("expected a field \"{name}\"")));
        let parsed = |name: &str, error: serde_json::Error| broken(format!("\"{name}\": {error}"));
        let input: InputSpec = serde_json::from_value(field("input")?).map_err(|error| parsed("input", error))?;
        let outputs: BTreeMap<String, String> =
            serde_json::from_value(field("outputs")?).map_err(|error| parsed("outputs", error))?;
        let Value::Array(nodes) = field("nodes")? else { return Err(broken("\"nodes\": expected a list".into())) };
        Self::new(input, nodes.iter().map(Node::from_json).collect::<Result<_>>()?, outputs)
    }

    /// Reads the graph of a network folder, or of a JSON file that describes an architecture.
    ///
    /// # Errors
    /// A file that cannot be read; what [`Graph::from_json`] checks.
    pub fn load(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join(DESCRIPTION) } else { path.to_owned() };
        Self::from_json(&path, &read_json(&path)?)
    }
}

/// Where the network in `folder` comes from, as its tool has written it; null where it is not said.
///
/// # Errors
/// A net.json that cannot be read.
pub fn origin(folder: &Path) -> Result<Value> {
    Ok(read_json(&folder.join(DESCRIPTION))?.get("origin").cloned().unwrap_or_default())
}

impl<E: Element + Scalar> Network<E> {
    /// Writes the network into `folder`, which exists: parameters first, net.json last.
    ///
    /// `origin` says which tool made it, from what.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path, origin: &Value) -> Result<()> {
        let specs = self.graph().parameters();
        let named = specs
            .iter()
            .zip(self.parameters())
            .map(|((place, spec), value)| (self.graph().parameter_name(*place, spec), spec.shape.as_slice(), value));
        let digests = write_parameters(folder, named)?;
        let mut description = self.graph().to_json();
        description.insert("parameters".into(), digests.into());
        description.insert("origin".into(), origin.clone());
        let path = folder.join(DESCRIPTION);
        let mut text = serde_json::to_vec_pretty(&description)
            .map_err(|error| Error::Json { path: path.clone(), reason: error.to_string() })?;
        text.push(b'\n');
        Ok(atomic::write(&path, &text)?)
    }

    /// Writes the network into a folder `name` inside that of another, which it goes with.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save_beside(&self, folder: &Path, name: &str, origin: &Value) -> Result<()> {
        let own = folder.join(name);
        fs::create_dir_all(&own).map_err(store::Error::write(&own))?;
        self.save(&own, origin)
    }

    /// A network whose parameters `value` gives by node, name and shape, in PyTorch's layouts.
    ///
    /// # Errors
    /// What `value` says.
    pub fn of_parameters(graph: Graph, mut value: impl FnMut(&Node, &ParameterSpec) -> Result<Vec<E>>) -> Result<Self> {
        let values = graph
            .parameters()
            .iter()
            .map(|(place, spec)| Ok(from_file_order(&spec.shape, value(&graph.nodes[*place], spec)?)))
            .collect::<Result<_>>()?;
        Ok(Self::assembled(graph, values))
    }

    /// Reads a network from its folder, casting parameters to `E`.
    ///
    /// # Errors
    /// A graph or a parameter that is missing, broken, of another shape, not finite, or not the one that was saved.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(DESCRIPTION);
        let description = read_json(&path)?;
        let graph = Graph::from_json(&path, &description)?;
        graph.charge(&path, 1, size_of::<E>())?;
        let digests = description.get("parameters").cloned().unwrap_or_default();
        let values = graph
            .parameters()
            .iter()
            .map(|(place, spec)| read_parameter(folder, &graph.parameter_name(*place, spec), &spec.shape, &digests))
            .collect::<Result<_>>()?;
        Ok(Self::assembled(graph, values))
    }
}

/// Reads a description.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let text = budget::read(path)?;
    serde_json::from_slice(&text).map_err(|error| Error::Json { path: path.to_owned(), reason: error.to_string() })
}

/// Writes parameters by name and file shape into `folder`; returns each one's shape and digest.
pub(crate) fn write_parameters<'a, E: Element + Scalar>(
    folder: &Path,
    parameters: impl Iterator<Item = (String, &'a [usize], &'a Batch<E>)>,
) -> Result<Map<String, Value>> {
    let own = folder.join(PARAMETERS);
    fs::create_dir_all(&own).map_err(store::Error::write(&own))?;
    let mut digests = Map::new();
    for (name, shape, value) in parameters {
        let written = write(&own.join(format!("{name}.npy")), shape, &to_file_order(shape, value))?;
        digests.insert(name, json!({"shape": shape, "blake3": written.blake3}));
    }
    Ok(digests)
}

/// One parameter of this name and file shape, held against both and its digest before its values are read.
pub(crate) fn read_parameter<E: Element + Scalar>(
    folder: &Path,
    name: &str,
    shape: &[usize],
    digests: &Value,
) -> Result<Batch<E>> {
    let path = folder.join(PARAMETERS).join(format!("{name}.npy"));
    if !path.is_file() {
        return Err(Error::MissingParameter { path, parameter: name.to_string() });
    }
    let mut reader = Reader::open(&path)?;
    reader.require_dtype(&[Dtype::F32, Dtype::F64])?;
    if reader.shape() != shape {
        return Err(Error::ParameterShape {
            path,
            parameter: name.to_string(),
            expected: shape.to_vec(),
            found: reader.shape().to_vec(),
        });
    }
    let digest = digests.get(name).and_then(|entry| entry.get("blake3")).and_then(Value::as_str);
    if digest.is_some_and(|digest| reader.digest().is_ok_and(|found| found != digest)) {
        return Err(Error::Digest { path });
    }
    let rows = reader.rows();
    let values: Vec<E> = reader.read_rows_as_float(rows)?;
    store::npy::require_finite(&path, &values, 0, reader.row_len())?;
    Ok(from_file_order(shape, values))
}

/// (O, I, kh, kw) of a file to (O, kh, kw, I) of memory; matrices and vectors are the same in both.
pub(crate) fn from_file_order<E: Element>(shape: &[usize], values: Vec<E>) -> Batch<E> {
    let memory = memory_shape(shape);
    match shape.len() {
        4 => batch(channels_last(&values, memory), memory),
        _ => batch(values, memory),
    }
}

pub(super) fn to_file_order<E: Element>(shape: &[usize], value: &Batch<E>) -> Vec<E> {
    match shape.len() {
        4 => channels_first(view(value), memory_shape(shape)),
        _ => view(value).to_vec(),
    }
}
