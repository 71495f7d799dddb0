//! Where an operation of a file stands, and what its names stand for.

use ndarray::ArrayD;

use super::arrangement::Arrangement;
use crate::net::error::{Error, Result};
use crate::net::size::Size;
use crate::store::onnx::{self, Constant, Model};

/// An operation of the file, and the name of the node that it becomes.
pub(super) struct Site<'m> {
    pub(super) model: &'m Model,
    pub(super) node: &'m onnx::Node,
    pub(super) name: String,
}

impl<'m> Site<'m> {
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

    /// A setting that has a default.
    pub(super) fn float(&self, name: &str, default: f64) -> f64 {
        self.node.float(name).map_or(default, f64::from)
    }

    /// Refuses another value of a setting than the one that has a counterpart.
    pub(super) fn require(&self, name: &str, expected: i64) -> Result<()> {
        match self.integer(name, expected) {
            found if found == expected => Ok(()),
            found => Err(self.refused(format!("{name} {expected}"), found)),
        }
    }

    /// The name of input number `which`, where it is not left out.
    pub(super) fn input(&self, which: usize) -> Option<&'m str> {
        self.node.inputs.get(which).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The place of an axis of so many, counted from the end where it is negative.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let place = super::shapes::places(&[axis], rank);
        place.map(|places| places[0]).ok_or_else(|| self.refused(format!("an axis of {rank}"), axis))
    }

    /// The places of axes of so many, counted from the end where they are negative.
    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
        super::shapes::places(axes, rank)
            .ok_or_else(|| self.refused(format!("different axes of {rank}"), format!("{axes:?}")))
    }
}

/// What a name of the file stands for.
#[derive(Clone)]
pub(super) enum Value {
    Constant(Constant),
    Computed(Computed),
    /// What an operation that was refused would have given.
    Unknown,
}

/// What a node computes: its name and size, and which of ONNX's axes is where in it.
#[derive(Clone, Debug)]
pub(super) struct Computed {
    pub(super) node: String,
    pub(super) size: Size,
    pub(super) arrangement: Arrangement,
}

impl Computed {
    /// An image (N, C, H, W).
    pub(super) fn image(node: String, size: Size) -> Self {
        Self { node, size, arrangement: Arrangement::image(size.channels, size.height, size.width) }
    }

    /// The shape in ONNX, for so many images.
    pub(super) fn shape(&self, batch: usize) -> Vec<usize> {
        self.arrangement.shape(batch)
    }

    pub(super) fn rank(&self) -> usize {
        self.arrangement.rank()
    }

    /// The same numbers, arranged otherwise.
    pub(super) fn with(&self, arrangement: Arrangement) -> Self {
        Self { arrangement, ..self.clone() }
    }

    /// Whether the last places of memory, and they alone, are the node's channels.
    pub(super) fn are_channels(&self, places: &[usize]) -> bool {
        let memory = self.arrangement.memory().len();
        places.iter().copied().eq(memory - places.len()..memory)
            && self.arrangement.product(places) == self.size.channels
    }
}

/// One side of an operation on two values.
#[derive(Clone)]
pub(super) enum Side {
    Computed(Computed),
    /// A constant, and what to call its node.
    Constant(ArrayD<f32>, String),
}

impl Side {
    /// The number of axes.
    pub(super) fn rank(&self) -> usize {
        match self {
            Self::Computed(value) => value.rank(),
            Self::Constant(array, _) => array.ndim(),
        }
    }

    /// Where its axes are; those of a constant are in memory as they are in the file.
    pub(super) fn arrangement(&self) -> Arrangement {
        match self {
            Self::Computed(value) => value.arrangement.clone(),
            Self::Constant(array, _) => Arrangement::new(array.shape(), &(0..array.ndim()).collect::<Vec<_>>(), false),
        }
    }
}
