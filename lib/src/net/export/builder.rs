//! An ONNX graph under construction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ndarray::{ArrayD, IxDyn};

use super::IMAGES;
use crate::net::folder::to_file_order;
use crate::net::graph::Node;
use crate::net::network::Network;
use crate::net::op::Op;
use crate::net::size::Size;
use crate::store::onnx::{Attribute, Constant, Input, Model, Node as OnnxNode};

/// A value of the file: its name, and whether it is a vector (N, F).
#[derive(Clone)]
pub(super) struct Written {
    pub name: String,
    pub is_vector: bool,
}

pub(super) struct Builder<'n> {
    network: &'n Network<f32>,
    nodes: Vec<OnnxNode>,
    tensors: BTreeMap<String, Constant>,
    inputs: Vec<Input>,
    values: HashMap<String, Written>,
    /// Names of outputs that are not those of their nodes.
    taken: BTreeSet<String>,
}

impl<'n> Builder<'n> {
    pub fn new(network: &'n Network<f32>) -> Self {
        let size = network.graph().input.shape;
        let is_vector = size.is_vector();
        let shape = if is_vector {
            vec![None, Some(size.channels)]
        } else {
            vec![None, Some(size.channels), Some(size.height), Some(size.width)]
        };
        let images = Written { name: IMAGES.into(), is_vector };
        let taken = network.graph().nodes.iter().map(|node| node.name.clone()).chain([IMAGES.to_string()]).collect();
        Self {
            network,
            nodes: Vec::new(),
            tensors: BTreeMap::new(),
            inputs: vec![Input { name: IMAGES.into(), shape, element: None }],
            values: HashMap::from([(IMAGES.to_string(), images)]),
            taken,
        }
    }

    /// What the first nodes see: the images less their mean, divided by their deviation.
    pub fn normalised(&mut self) {
        let spec = &self.network.graph().input;
        let Some((mean, std)) = spec.normalisation() else { return };
        let images = self.values[IMAGES].clone();
        let shape = if images.is_vector { vec![1, mean.len()] } else { vec![1, mean.len(), 1, 1] };
        let mut last = images.name.clone();
        for (operation, name, numbers) in [("Sub", "mean", mean), ("Div", "std", std)] {
            let values = numbers.iter().map(|&number| number as f32).collect();
            let constant = self.floats(&format!("{IMAGES}.{name}"), &shape, values);
            last = self.fresh(&format!("{IMAGES}.less_{name}"));
            let of = if operation == "Sub" { images.name.clone() } else { format!("{IMAGES}.less_mean") };
            self.node(operation, &last.clone(), &[of, constant], []);
        }
        self.values.insert(IMAGES.into(), Written { name: last, is_vector: images.is_vector });
    }

    /// The value of a node's input number `which`, as a vector or an image.
    pub fn read(&mut self, node: &Node, which: usize, as_vector: bool) -> String {
        let value = self.values[&node.inputs[which]].clone();
        if value.is_vector == as_vector {
            return value.name;
        }
        let name = self.fresh(&format!("{}.{}", node.name, if as_vector { "vector" } else { "image" }));
        match as_vector {
            true => self.node("Flatten", &name, &[value.name], [("axis", Attribute::Integer(1))]),
            false => {
                let axes = self.integers(&format!("{name}.axes"), &[2, 3]);
                self.node("Unsqueeze", &name, &[value.name, axes], []);
            }
        }
        name
    }

    /// A node's first input as it stands, and whether it is a vector.
    pub fn as_is(&self, node: &Node, which: usize) -> Written {
        self.values[&node.inputs[which]].clone()
    }

    /// Adds an operation that gives the value `output`.
    pub fn node<const N: usize>(
        &mut self,
        operation: &str,
        output: &str,
        inputs: &[String],
        attributes: [(&str, Attribute); N],
    ) {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        self.nodes.push(OnnxNode {
            name: output.to_string(),
            operation: operation.to_string(),
            inputs: inputs.to_vec(),
            outputs: vec![output.to_string()],
            attributes,
        });
    }

    /// Says what the node of a network gives.
    pub fn give(&mut self, node: &Node, name: &str, is_vector: bool) {
        self.values.insert(node.name.clone(), Written { name: name.to_string(), is_vector });
    }

    /// A further input of the network.
    pub fn input(&mut self, node: &Node, size: Size) {
        let shape = match size.is_vector() {
            true => vec![None, Some(size.channels)],
            false => vec![None, Some(size.channels), Some(size.height), Some(size.width)],
        };
        self.inputs.push(Input { name: node.name.clone(), shape, element: None });
        self.give(node, &node.name, size.is_vector());
    }

    /// A name that nothing has yet.
    pub fn fresh(&mut self, wish: &str) -> String {
        let others = (2..).map(|count| format!("{wish}_{count}"));
        let name = std::iter::once(wish.to_string()).chain(others).find(|name| !self.taken.contains(name));
        let name = name.unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }

    /// A tensor of floats, under its name.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> String {
        if let Ok(array) = ArrayD::from_shape_vec(IxDyn(shape), values) {
            self.tensors.insert(name.to_string(), Constant::Floats(array));
        }
        name.to_string()
    }

    /// A number.
    pub fn number(&mut self, name: &str, value: f64) -> String {
        self.floats(name, &[], vec![value as f32])
    }

    /// A vector of whole numbers.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let array = ndarray::Array1::from(values.to_vec()).into_dyn();
        self.tensors.insert(name.to_string(), Constant::Integers(array));
        name.to_string()
    }

    /// A parameter of the node at `place`, under its name, in PyTorch's layout or in this shape of as many values.
    pub fn parameter(&mut self, place: usize, name: &str, shape: Option<&[usize]>) -> Option<String> {
        let graph = self.network.graph();
        let (at, spec) = graph.parameters_at(place).into_iter().find(|(_, spec)| spec.name == name)?;
        let values = to_file_order(&spec.shape, &self.network.parameters()[at]);
        let full = graph.parameter_name(place, &spec);
        Some(self.floats(&full, shape.unwrap_or(&spec.shape), values))
    }

    /// The size of the node at `place`, and of its inputs.
    pub fn sizes(&self, place: usize) -> (Size, Vec<Size>) {
        (self.network.graph().size(place), self.network.graph().input_sizes(place).to_vec())
    }

    /// The file, whose outputs bear the network's names.
    pub fn finish(mut self) -> Model {
        let outputs: Vec<(String, String)> =
            self.network.graph().outputs.iter().map(|(name, node)| (name.clone(), node.clone())).collect();
        let mut names = Vec::new();
        for (name, node) in outputs {
            let value = self.values[&node].name.clone();
            if value != name {
                let own = if self.taken.contains(&name) { self.fresh(&name) } else { name };
                self.node("Identity", &own, &[value], []);
                names.push(own);
            } else {
                names.push(name);
            }
        }
        Model {
            path: Default::default(),
            nodes: self.nodes,
            tensors: self.tensors,
            inputs: self.inputs,
            outputs: names,
            external: BTreeSet::new(),
            opset: super::OPSET,
        }
    }

    /// Whether a node of this name is a constant.
    pub fn is_constant(&self, name: &str) -> bool {
        self.network.graph().nodes.iter().any(|node| node.name == name && matches!(node.op, Op::Constant(_)))
    }
}
