//! Graphs of nodes that each read the one before, and the operations that the papers' architectures share.

use std::collections::BTreeMap;

use super::error::Result;
use super::graph::{Graph, INPUT, InputSpec, Node};
use super::op::{BatchNorm, Conv2d, LeakyRelu, Linear, Op, Pair, Sides};
use super::size::Size;
use crate::ops::activation::LEAKY_SLOPE;

/// An output of an encoder: a linear layer of this name and number of features on top of the last hidden one.
pub type Head<'a> = (&'a str, usize);

/// Nodes, each reading the one before.
pub(super) struct Chain {
    pub(super) nodes: Vec<Node>,
    pub(super) last: String,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), last: INPUT.to_string() }
    }

    pub(super) fn push(&mut self, name: impl Into<String>, op: impl Into<Op>) {
        let name = name.into();
        self.nodes.push(Node::new(name.clone(), op, self.last.clone()));
        self.last = name;
    }

    /// The graph with linear layers, its outputs, on top.
    pub(super) fn with_heads(mut self, input: Size, heads: &[Head]) -> Result<Graph> {
        let trunk = self.last.clone();
        for &(head, features) in heads {
            self.last = trunk.clone();
            self.push(head, Linear::new(features, true));
        }
        let outputs: Vec<&str> = heads.iter().map(|&(head, _)| head).collect();
        self.graph(input, &outputs)
    }

    /// A graph whose outputs are nodes of the same names.
    pub(super) fn graph(self, input: Size, outputs: &[&str]) -> Result<Graph> {
        let outputs: BTreeMap<_, _> = outputs.iter().map(|&name| (name.to_string(), name.to_string())).collect();
        Graph::new(InputSpec::plain(input), self.nodes, outputs)
    }
}

pub(super) fn convolution(channels: usize, kernel: usize, stride: usize) -> Op {
    Op::Conv2d(Conv2d {
        channels,
        kernel: Pair::Both(kernel),
        stride: Pair::Both(stride),
        padding: Sides::Pair(Pair::Both((kernel - 1) / 2)),
        dilation: Pair::Both(1),
        groups: 1,
        bias: true,
    })
}

pub(super) fn leaky() -> Op {
    Op::LeakyRelu(LeakyRelu { slope: LEAKY_SLOPE })
}

pub(super) fn normalisation() -> Op {
    Op::BatchNorm(BatchNorm { eps: 1e-5, momentum: 0.1 })
}
