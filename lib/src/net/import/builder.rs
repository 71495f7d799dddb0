//! What architectures are written with: nodes that are pushed one after the other, and operations in PyTorch's terms.

use std::collections::BTreeMap;

use super::unfit;
use crate::net::error::Result;
use crate::net::graph::{Graph, InputSpec, Node};
use crate::net::op::{AvgPool2d, BatchNorm, Conv2d, Linear, MaxPool2d, Op, Pair, Relu, Sides};
use crate::net::size::Size;
use crate::store::weights::Weights;

/// Nodes and outputs under construction. Where a node has parameters, its name is PyTorch's for the module, so that a
/// parameter's name is that in the state dictionary.
#[derive(Clone, Default)]
pub(in crate::net) struct Builder {
    pub(in crate::net) nodes: Vec<Node>,
    pub(in crate::net) outputs: BTreeMap<String, String>,
}

impl Builder {
    /// Adds a node, and gives its name back.
    pub(in crate::net) fn push(&mut self, name: impl Into<String>, op: impl Into<Op>, inputs: &[&str]) -> String {
        let name = name.into();
        let inputs = inputs.iter().map(|&input| input.to_string()).collect();
        self.nodes.push(Node { name: name.clone(), op: op.into(), inputs });
        name
    }

    /// A convolution with bias and the rectifier after it.
    pub(super) fn rectified(&mut self, [name, activation]: [&str; 2], op: Op, input: &str) -> String {
        let convolution = self.push(name, op, &[input]);
        self.push(activation, Relu, &[&convolution])
    }

    /// Names an output of the network.
    pub(super) fn output(&mut self, name: &str, node: &str) {
        self.outputs.insert(name.into(), node.into());
    }

    /// The graph of what was pushed.
    pub(super) fn graph(self, input: InputSpec) -> Result<Graph> {
        Graph::new(input, self.nodes, self.outputs)
    }

    /// The size of a node's result.
    pub(super) fn size(&self, input: &InputSpec, node: &str) -> Result<Size> {
        let graph = self.clone().graph(input.clone())?;
        Ok(graph.size(graph.place(node)?))
    }
}

/// A convolution with bias.
pub(super) fn convolution(channels: usize, kernel: usize, stride: usize, padding: usize) -> Op {
    Op::Conv2d(Conv2d {
        channels,
        kernel: Pair::Both(kernel),
        stride: Pair::Both(stride),
        padding: same(padding),
        dilation: Pair::Both(1),
        groups: 1,
        bias: true,
    })
}

/// A convolution that batch normalisation follows: it has no bias.
pub(super) fn plain_convolution(channels: usize, kernel: usize, stride: usize, padding: usize) -> Op {
    match convolution(channels, kernel, stride, padding) {
        Op::Conv2d(Conv2d { channels, kernel, stride, padding, dilation, groups, .. }) => {
            Op::Conv2d(Conv2d { channels, kernel, stride, padding, dilation, groups, bias: false })
        }
        op => op,
    }
}

/// Batch normalisation.
pub(super) fn batch_norm(eps: f64) -> Op {
    Op::BatchNorm(BatchNorm { eps, momentum: 0.1 })
}

/// The largest of a window; one may hang over the end in torchvision's later networks.
pub(super) fn max_pool_to_the_end(kernel: usize, stride: usize, padding: usize) -> Op {
    let (kernel, stride) = (Pair::Both(kernel), Some(Pair::Both(stride)));
    Op::MaxPool2d(MaxPool2d { kernel, stride, padding: same(padding), dilation: Pair::Both(1), ceil_mode: true })
}

/// The largest of a window that lies within the image.
pub(super) fn max_pool(kernel: usize, stride: usize) -> Op {
    Op::MaxPool2d(MaxPool2d {
        kernel: Pair::Both(kernel),
        stride: Some(Pair::Both(stride)),
        padding: same(0),
        dilation: Pair::Both(1),
        ceil_mode: false,
    })
}

/// The mean of windows of `kernel` x `kernel`, `stride` apart.
pub(super) fn mean_pool(kernel: [usize; 2], stride: [usize; 2]) -> Op {
    let (kernel, stride) = (Pair::Each(kernel), Some(Pair::Each(stride)));
    Op::AvgPool2d(AvgPool2d { kernel, stride, padding: same(0), ceil_mode: false, count_include_pad: true })
}

/// A linear layer with bias.
pub(super) fn linear(features: usize) -> Op {
    Op::Linear(Linear::new(features, true))
}

fn same(padding: usize) -> Sides {
    Sides::Pair(Pair::Both(padding))
}

/// The length of an axis of a tensor of the weights.
///
/// # Errors
/// No tensor of the name, or one without the axis.
pub(super) fn axis(weights: &Weights, name: &str, axis: usize) -> Result<usize> {
    weights
        .get(name)
        .and_then(|tensor| tensor.shape.get(axis).copied())
        .ok_or_else(|| unfit(weights.path(), format!("a tensor \"{name}\" with an axis {axis}"), "none"))
}
