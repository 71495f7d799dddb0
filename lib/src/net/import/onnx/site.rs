//! Where an operation of a file stands, and what its names stand for.

use crate::net::error::{Error, Result};
use crate::net::size::Size;
use crate::store::onnx::{self, Constant, Model};

/// An operation of the file, and the name of the node that it becomes.
pub(super) struct Site<'m> {
    pub(super) model: &'m Model,
    pub(super) node: &'m onnx::Node,
    pub(super) name: String,
}

impl Site<'_> {
    pub(super) fn refused(&self, expected: impl Into<String>, found: impl ToString) -> Error {
        let name = if self.node.name.is_empty() { &self.name } else { &self.node.name };
        Error::Onnx {
            path: self.model.path.clone(),
            node: format!("\"{name}\" ({})", self.node.operation),
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// A setting that has a default.
    pub(super) fn integer(&self, name: &str, default: i64) -> i64 {
        self.node.integer(name).unwrap_or(default)
    }

    /// Refuses another value of a setting than the one that has a counterpart.
    pub(super) fn require(&self, name: &str, expected: i64) -> Result<()> {
        match self.integer(name, expected) {
            found if found == expected => Ok(()),
            found => Err(self.refused(format!("{name} {expected}"), found)),
        }
    }

    /// The name of input number `which`, where it is not left out.
    pub(super) fn input(&self, which: usize) -> Option<&str> {
        self.node.inputs.get(which).map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// What a name of the file stands for.
#[derive(Clone)]
pub(super) enum Value {
    Constant(Constant),
    Computed(Computed),
}

/// The same, borrowed.
pub(super) enum Known<'a> {
    Constant(&'a Constant),
    Computed(&'a Computed),
}

/// What a node computes: its name and size, and what ONNX calls its axes after the batch.
#[derive(Clone)]
pub(super) struct Computed {
    pub(super) node: String,
    pub(super) size: Size,
    pub(super) axes: Vec<usize>,
}

impl Computed {
    /// An image, or a vector of ONNX's shape (N, C, 1, 1).
    pub(super) fn image(node: String, size: Size) -> Self {
        Self { node, size, axes: vec![size.channels, size.height, size.width] }
    }

    pub(super) fn elements(&self) -> usize {
        self.axes.iter().product()
    }

    /// The shape in ONNX, for so many images.
    pub(super) fn shape(&self, batch: usize) -> Vec<usize> {
        [&[batch], self.axes.as_slice()].concat()
    }

    pub(super) fn with_axes(&self, axes: Vec<usize>) -> Value {
        Value::Computed(Self { axes, ..self.clone() })
    }
}
