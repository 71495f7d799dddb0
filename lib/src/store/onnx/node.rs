//! The contents of an ONNX file: operations with their attributes, and tensors.

use std::collections::BTreeMap;

use ndarray::ArrayD;

/// A tensor of an ONNX file: numbers of any float type as 32-bit floats, whole numbers and truth values as 64-bit ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Floats.
    Floats(ArrayD<f32>),
    /// Whole numbers.
    Integers(ArrayD<i64>),
}

impl Constant {
    /// Its axes.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Floats(array) => array.shape(),
            Self::Integers(array) => array.shape(),
        }
    }

    /// Its values as floats, whole numbers rounded to the nearest.
    pub fn to_floats(&self) -> ArrayD<f32> {
        match self {
            Self::Floats(array) => array.clone(),
            Self::Integers(array) => array.mapv(|value| value as f32),
        }
    }
}

/// An attribute of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A float.
    Float(f32),
    /// A whole number.
    Integer(i64),
    /// A word.
    Text(String),
    /// A tensor.
    Tensor(Constant),
    /// Floats.
    Floats(Vec<f32>),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Words.
    Texts(Vec<String>),
    /// A graph, such as a branch of If.
    Graph(Subgraph),
    /// Several graphs, or another type.
    Other,
}

/// A graph within a graph. It reads values of the graph around it by their names, which no value of its own has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subgraph {
    /// The operations, each after those that it reads.
    pub nodes: Vec<Node>,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Constant>,
    /// The names of the outputs, in order.
    pub outputs: Vec<String>,
}

/// An operation, and the names of its inputs and outputs; an empty name is an input that is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name, which may be empty.
    pub name: String,
    /// The operation, preceded by its domain and a dot unless the domain is ONNX itself.
    pub operation: String,
    /// The values that it reads.
    pub inputs: Vec<String>,
    /// The values that it computes.
    pub outputs: Vec<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, Attribute>,
}

impl Node {
    /// The values that it reads, in its branches too.
    pub fn reads(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.inputs.iter().map(String::as_str).collect();
        for attribute in self.attributes.values() {
            if let Attribute::Graph(graph) = attribute {
                all.extend(graph.nodes.iter().flat_map(Self::reads));
                all.extend(graph.outputs.iter().map(String::as_str));
            }
        }
        all
    }

    /// The whole number of this name.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.attributes.get(name)? {
            Attribute::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole numbers of this name.
    pub fn integers(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name)? {
            Attribute::Integers(values) => Some(values),
            _ => None,
        }
    }

    /// The float of this name.
    pub fn float(&self, name: &str) -> Option<f32> {
        match self.attributes.get(name)? {
            Attribute::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The floats of this name.
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        match self.attributes.get(name)? {
            Attribute::Floats(values) => Some(values),
            _ => None,
        }
    }

    /// The word of this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name)? {
            Attribute::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The words of this name.
    pub fn texts(&self, name: &str) -> Option<&[String]> {
        match self.attributes.get(name)? {
            Attribute::Texts(values) => Some(values),
            _ => None,
        }
    }
}
