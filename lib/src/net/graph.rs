//! A network's graph: named nodes in single-assignment form, their JSON, and the shapes that flow through them.
//!
//! `{"name": "conv1", "op": "conv2d", "input": "input", "channels": 32, "kernel": 3, "stride": 1, "padding": 1}`. The word
//! "input" names the network's own input. Shapes are (C, H, W) as in files; a vector of F features is (F, 1, 1).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{Error, Result};
use super::op::{Op, ParameterSpec};
use super::size::{Size, check_elements, check_size};
use crate::store::budget;

/// The name of a network's own input among its nodes.
pub const INPUT: &str = "input";

/// A named operation and what it works on.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What a user writes to tap it.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The names of its inputs; "input" is the network's own.
    pub inputs: Vec<String>,
}

impl Node {
    /// A node of one input.
    pub fn new(name: impl Into<String>, op: impl Into<Op>, input: impl Into<String>) -> Self {
        Self { name: name.into(), op: op.into(), inputs: vec![input.into()] }
    }

    /// The size of its result for inputs of these sizes.
    ///
    /// # Errors
    /// Inputs that do not fit; a result or parameters that would be too large.
    pub(super) fn size(&self, inputs: &[Size]) -> Result<Size> {
        let size = self.op.output(inputs).map_err(|expected| Error::Shape {
            node: self.name.clone(),
            expected,
            found: inputs.iter().map(Size::to_string).collect::<Vec<_>>().join(" and "),
        })?;
        let parameters = self.op.parameters(inputs);
        let wide =
            |spec: &ParameterSpec| spec.shape.iter().fold(1u128, |product, &axis| product.saturating_mul(axis as u128));
        check_size(&self.name, size)?;
        parameters.iter().try_for_each(|spec| check_elements(&self.name, wide(spec)))?;
        Ok(size)
    }

    /// The node as it stands in net.json.
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("name".into(), Value::from(self.name.as_str()));
        if let Ok(Value::Object(settings)) = serde_json::to_value(&self.op) {
            let mut settings = settings.into_iter();
            fields.extend(settings.next());
            match self.inputs.as_slice() {
                [] => None,
                [one] => fields.insert("input".into(), Value::from(one.as_str())),
                many => fields.insert("input".into(), Value::from(many)),
            };
            fields.extend(settings);
        }
        Value::Object(fields)
    }

    /// A node of net.json; the error names it.
    pub fn from_json(value: &Value) -> Result<Self> {
        let name = value.get("name").and_then(Value::as_str).unwrap_or("");
        let broken = |reason: &str| Error::Node { node: name.to_string(), reason: reason.to_string() };
        if name.is_empty() || name == INPUT {
            return Err(broken("expected a \"name\" other than \"input\" and the empty one"));
        }
        if name.starts_with('.') || name.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
            return Err(broken(
                "a name must not start with a dot nor hold slashes or control characters: files are named by it",
            ));
        }
        let Value::Object(fields) = value else { return Err(broken("expected an object")) };
        let mut settings = fields.clone();
        settings.remove("name");
        let inputs = match settings.remove("input") {
            None if settings.get("op").is_some_and(|op| op == INPUT || op == "constant") => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) if !many.is_empty() && many.iter().all(Value::is_string) => {
                many.iter().filter_map(Value::as_str).map(String::from).collect()
            }
            _ => return Err(broken("expected \"input\": a node's name, or a list of names")),
        };
        let names: Vec<String> = settings.keys().filter(|name| *name != "op").cloned().collect();
        let op: Op = serde_json::from_value(Value::Object(settings)).map_err(|error| {
            // The words of serde for settings of what has none.
            match error.to_string().contains("expected unit struct") {
                true => broken(&format!("unknown setting {}: this operation has none", names.join(", "))),
                false => broken(&error.to_string()),
            }
        })?;
        Ok(Self { name: name.to_string(), op, inputs })
    }
}

/// What a network takes: the size of its images, and the normalisation of pixels that a user hands over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Channels, height and width.
    pub shape: Size,
    /// The lowest and highest pixel.
    #[serde(default = "unit_range")]
    pub range: [f64; 2],
    /// Subtracted from each channel.
    #[serde(default)]
    pub mean: Vec<f64>,
    /// Divides each channel.
    #[serde(default)]
    pub std: Vec<f64>,
}

fn unit_range() -> [f64; 2] {
    [0.0, 1.0]
}

impl InputSpec {
    /// Images of pixels in [0, 1], as they are.
    pub fn plain(shape: Size) -> Self {
        Self { shape, range: unit_range(), mean: vec![0.0; shape.channels], std: vec![1.0; shape.channels] }
    }

    /// What is subtracted from each channel and what divides it, or `None` where that changes nothing. A mean or std that
    /// is empty is 0 or 1.
    pub fn normalisation(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        let filled = |values: &[f64], other| match values {
            [] => vec![other; self.shape.channels],
            values => values.to_vec(),
        };
        let (mean, std) = (filled(&self.mean, 0.0), filled(&self.std, 1.0));
        let identity = mean.iter().all(|&mean| mean == 0.0) && std.iter().all(|&std| std == 1.0);
        (!identity).then_some((mean, std))
    }

    /// Checks that the normalisation fits the images.
    fn check(&self) -> Result<()> {
        let channels = self.shape.channels;
        let broken = |reason: String| Err(Error::Node { node: INPUT.into(), reason });
        for (name, values) in [("mean", &self.mean), ("std", &self.std)] {
            if !values.is_empty() && values.len() != channels {
                return broken(format!(
                    "{name}: expected a number for each of {channels} channels, found {}",
                    values.len()
                ));
            }
        }
        if let Some(mean) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return broken(format!("mean: expected finite numbers, found {mean}"));
        }
        match self.std.iter().find(|std| !(**std > 0.0 && std.is_finite())) {
            Some(std) => broken(format!("std: expected positive numbers, found {std}")),
            None => Ok(()),
        }
    }
}

/// A network without its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// What it takes.
    pub input: InputSpec,
    /// Its nodes, each after its inputs.
    pub nodes: Vec<Node>,
    /// What it gives: a name for the user, a node.
    pub outputs: BTreeMap<String, String>,
    /// The size of each node's result.
    sizes: Vec<Size>,
    /// The sizes of each node's inputs.
    input_sizes: Vec<Vec<Size>>,
    /// Where each node's inputs are: `None` is the network's own.
    sources: Vec<Vec<Option<usize>>>,
}

impl Graph {
    /// Orders the nodes, and checks names and shapes.
    ///
    /// # Errors
    /// A duplicate name, an unknown input, a cycle, a shape or normalisation that does not fit: each names the node.
    pub fn new(input: InputSpec, nodes: Vec<Node>, outputs: BTreeMap<String, String>) -> Result<Self> {
        input.check()?;
        let nodes = ordered(nodes)?;
        let places: HashMap<&str, usize> = nodes.iter().enumerate().map(|(i, node)| (node.name.as_str(), i)).collect();
        for target in outputs.values() {
            if !places.contains_key(target.as_str()) {
                return Err(no_such_node(target, &nodes));
            }
        }
        let sources: Vec<Vec<_>> = nodes
            .iter()
            .map(|node| node.inputs.iter().map(|name| places.get(name.as_str()).copied()).collect())
            .collect();
        let (sizes, input_sizes) = sizes(&input, &nodes, &sources)?;
        Ok(Self { input, nodes, outputs, sizes, input_sizes, sources })
    }

    /// The size of node `place`'s result.
    pub fn size(&self, place: usize) -> Size {
        self.sizes[place]
    }

    /// Where node `place`'s inputs are: `None` is the network's own.
    pub fn sources(&self, place: usize) -> &[Option<usize>] {
        &self.sources[place]
    }

    /// The sizes of node `place`'s inputs.
    pub fn input_sizes(&self, place: usize) -> &[Size] {
        &self.input_sizes[place]
    }

    /// The size of node `place`'s first input; of an input, its own.
    pub fn input_size(&self, place: usize) -> Size {
        self.input_sizes[place].first().copied().unwrap_or(self.sizes[place])
    }

    /// The place of a node, or of the one behind an output where no node has that name: an ONNX file's outputs have names of their own.
    ///
    /// # Errors
    /// No node of that name: the error lists those there are, the nearest first.
    pub fn place(&self, name: &str) -> Result<usize> {
        let of_node = |name: &str| self.nodes.iter().position(|node| node.name == name);
        let position = of_node(name).or_else(|| of_node(self.outputs.get(name)?));
        position.ok_or_else(|| no_such_node(name, &self.nodes))
    }

    /// The place of the node behind an output's name.
    ///
    /// # Errors
    /// No output of that name.
    pub fn output(&self, name: &str) -> Result<usize> {
        let node = self.outputs.get(name).ok_or_else(|| Error::NoSuchOutput {
            output: name.to_string(),
            known: self.outputs.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })?;
        self.place(node)
    }

    /// Every parameter, with the place of its node, in a fixed order.
    pub fn parameters(&self) -> Vec<(usize, ParameterSpec)> {
        let of_node = |place: usize| {
            self.nodes[place].op.parameters(self.input_sizes(place)).into_iter().map(move |spec| (place, spec))
        };
        (0..self.nodes.len()).flat_map(of_node).collect()
    }

    /// The parameters of the node at `place`: where each is in that order, and what it is.
    pub fn parameters_at(&self, place: usize) -> Vec<(usize, ParameterSpec)> {
        let all = self.parameters().into_iter().enumerate();
        all.filter(|(_, (owner, _))| *owner == place).map(|(at, (_, spec))| (at, spec)).collect()
    }

    /// The number of trained values, biases included.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().filter(|(_, spec)| spec.trained).map(|(_, spec)| spec.elements()).sum()
    }

    /// Checks that the network's parameters, and what it computes of `images` images, fit into memory as values of `element` bytes.
    ///
    /// # Errors
    /// `Memory`, naming the file at `path`.
    pub fn charge(&self, path: &Path, images: usize, element: usize) -> Result<()> {
        self.charge_times(path, (1, 1), images, element)
    }

    /// As [`Graph::charge`], with gradients of both and Adam's moments of the parameters.
    ///
    /// # Errors
    /// `Memory`, naming the file at `path`.
    pub fn charge_training(&self, path: &Path, images: usize, element: usize) -> Result<()> {
        self.charge_times(path, (4, 2), images, element)
    }

    fn charge_times(&self, path: &Path, (kept, computed): (u128, u128), images: usize, element: usize) -> Result<()> {
        let sum = |sizes: &mut dyn Iterator<Item = u128>| sizes.fold(0u128, u128::saturating_add);
        let parameters = sum(&mut self.parameters().iter().map(|(_, spec)| spec.elements() as u128));
        let values = sum(&mut self.sizes.iter().map(|size| size.wide_elements())).saturating_mul(images as u128);
        let bytes = kept * parameters + computed.saturating_mul(values);
        Ok(budget::charge(path, "its parameters and what it computes", bytes.saturating_mul(element as u128))?)
    }

    /// The name of a parameter: its node's, a dot, its own.
    pub fn parameter_name(&self, place: usize, spec: &ParameterSpec) -> String {
        format!("{}.{}", self.nodes[place].name, spec.name)
    }
}

/// The most names that an error lists.
const LISTED: usize = 12;

/// No node is called `name`: the names most like it.
fn no_such_node(name: &str, nodes: &[Node]) -> Error {
    let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    names.sort_by(|a, b| strsim::jaro_winkler(b, name).total_cmp(&strsim::jaro_winkler(a, name)));
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Error::NoSuchNode { node: name.to_string(), known: names.join(", ") + &more }
}

/// The nodes, each after its inputs; otherwise in the order given.
fn ordered(nodes: Vec<Node>) -> Result<Vec<Node>> {
    let mut names: HashMap<String, bool> = HashMap::from([(INPUT.to_string(), true)]);
    for node in &nodes {
        if names.insert(node.name.clone(), false).is_some() {
            return Err(Error::Duplicate { node: node.name.clone() });
        }
    }
    for node in &nodes {
        if let Some(input) = node.inputs.iter().find(|input| !names.contains_key(*input)) {
            return Err(Error::MissingInput { node: node.name.clone(), input: input.clone() });
        }
    }
    let mut result = Vec::with_capacity(nodes.len());
    let mut waiting = nodes;
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut still = Vec::new();
        for node in waiting {
            if node.inputs.iter().all(|input| names[input]) {
                names.insert(node.name.clone(), true);
                result.push(node);
            } else {
                still.push(node);
            }
        }
        if still.len() == before {
            return Err(Error::Cycle { node: still[0].name.clone() });
        }
        waiting = still;
    }
    Ok(result)
}

/// The size of each node's result, and those of its inputs.
fn sizes(input: &InputSpec, nodes: &[Node], sources: &[Vec<Option<usize>>]) -> Result<(Vec<Size>, Vec<Vec<Size>>)> {
    check_size(INPUT, input.shape)?;
    let mut sizes: Vec<Size> = Vec::with_capacity(nodes.len());
    let mut input_sizes = Vec::with_capacity(nodes.len());
    for (node, sources) in nodes.iter().zip(sources) {
        let inputs: Vec<Size> = sources.iter().map(|source| source.map_or(input.shape, |place| sizes[place])).collect();
        sizes.push(node.size(&inputs)?);
        input_sizes.push(inputs);
    }
    Ok((sizes, input_sizes))
}

/// A node as `net-tap --describe` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeSummary {
    /// Its name.
    pub name: String,
    /// Its operation's name in net.json.
    pub op: String,
    /// The names of its inputs.
    pub inputs: Vec<String>,
    /// The size of its result.
    pub size: Size,
    /// The number of its trained values.
    pub parameters: usize,
}

impl Graph {
    /// Every node in order, with its size and parameter count.
    pub fn summary(&self) -> Vec<NodeSummary> {
        let summary = |(place, node): (usize, &Node)| {
            let json = node.to_json();
            let specs = node.op.parameters(self.input_sizes(place));
            NodeSummary {
                name: node.name.clone(),
                op: json.get("op").and_then(Value::as_str).unwrap_or_default().to_string(),
                inputs: node.inputs.clone(),
                size: self.size(place),
                parameters: specs.iter().filter(|spec| spec.trained).map(ParameterSpec::elements).sum(),
            }
        };
        self.nodes.iter().enumerate().map(summary).collect()
    }

    /// The summary, the input, the outputs and the parameter count as one JSON object.
    pub fn description(&self) -> Value {
        serde_json::json!({
            "input": self.input, "outputs": self.outputs, "nodes": self.summary(), "parameters": self.parameter_count(),
        })
    }
}
