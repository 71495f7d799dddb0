//! The terms of an objective, and the images each is for.

use std::ops::Range;

use crate::objective::aggregation::Aggregation;
use crate::objective::expression::Weight;

/// How responses are compared with directions and targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// How activations become a response.
    pub aggregation: Aggregation,
    /// The power of the cosine, k.
    pub power: u32,
}

/// A quantity of a node, or of an image.
#[derive(Clone, Debug)]
pub(super) enum Term {
    Neuron {
        element: usize,
    },
    Channel {
        channel: usize,
    },
    /// The mean square of some channels at some pixels.
    Part {
        pixels: Range<usize>,
        channels: Range<usize>,
    },
    Targets {
        targets: Vec<Vec<f64>>,
        comparison: Comparison,
        at: Option<usize>,
    },
    Diversity,
    Deviation,
    SquaredDeviation,
    TotalVariation,
}

/// A term for the images of a range; the weight changes linearly over them.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) images: Range<usize>,
    pub(super) weight: Weight,
    /// The node, for quantities of a node.
    pub(super) place: Option<usize>,
    pub(super) term: Term,
}

/// An image of a batch that a term is for.
pub(super) struct Member {
    /// Its place in the batch.
    pub(super) position: usize,
    /// Its number among the term's images.
    pub(super) row: usize,
    pub(super) weight: f64,
}

impl Entry {
    /// The images among those of numbers `rows`.
    pub(super) fn members(&self, rows: &[usize]) -> Vec<Member> {
        let member = |(position, &row): (usize, &usize)| {
            self.images.contains(&row).then(|| {
                let row = row - self.images.start;
                Member { position, row, weight: self.weight.at(row, self.images.len()) }
            })
        };
        rows.iter().enumerate().filter_map(member).collect()
    }
}
