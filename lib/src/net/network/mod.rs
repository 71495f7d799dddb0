//! A network: a graph, its parameters, and its two directions, both made of tape operations.
//!
//! [`Network::forward`] computes every node that the outputs need, (N, H, W, C) each, and keeps them in a [`Trace`].
//! [`Network::pullback`] is the transposed derivative at a trace: cotangents of nodes in, the cotangent of the input (or of
//! an earlier node) out. A tape under both gives derivatives of gradients, which feature alignment needs.

#[cfg(test)]
mod constant_tests;
#[cfg(test)]
mod directions_tests;
mod forward;
mod plan;
mod pullback;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use super::error::{Error, Result};
use super::graph::{Graph, Node};
use super::initialise::{Initialisation, initial, memory_shape};
use crate::ops::weight::Turned;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Gradients, Tape, gradient_there, shape};
use plan::{Execution, executions, outputs, reached};

/// Whether dropout drops and batch normalisation looks at the batch.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// Dropout is the identity, batch normalisation uses its running statistics.
    Inference,
    /// Dropout draws its masks from this stream, batch normalisation uses the batch's statistics.
    Training(Stream),
}

/// What a pullback takes for the slope of a rectifier, max(x, 0), below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slopes {
    /// Its own.
    True,
    /// 1 for cotangents above zero: units that are off may be pushed on, though nothing tells them how (Lucid's redirected
    /// gradient, by which ascent leaves a start where every unit of interest is off).
    Redirected,
}

/// A network of f32 or f64.
#[derive(Clone, Debug)]
pub struct Network<E: Element> {
    graph: Graph,
    parameters: Vec<Batch<E>>,
    /// What products read of each node's weight, while the parameters stay as they are.
    turned: Arc<[Turned<E>]>,
    /// Which parameters are each node's.
    ranges: Vec<Range<usize>>,
    /// How each node is computed.
    executions: Vec<Execution>,
    /// Which nodes depend on the network's input.
    reached: Vec<bool>,
}

/// What a forward pass computed, node by node.
#[derive(Clone, Debug)]
pub struct Trace<E: Element> {
    input: Batch<E>,
    values: Vec<Option<Batch<E>>>,
    mode: Mode,
    running: Vec<(usize, Batch<E>)>,
}

impl<E: Element> Trace<E> {
    /// What the node at `place` computed, (N, H, W, C). It is there for outputs and for nodes that were tapped.
    pub fn value(&self, place: usize) -> Option<&Batch<E>> {
        self.values.get(place).and_then(Option::as_ref)
    }

    /// The running statistics of batch normalisation after a batch in training: which of the network's parameters each
    /// is, and its new value. [`Network::keep_running_statistics`] puts them in place.
    pub fn running_statistics(&self) -> &[(usize, Batch<E>)] {
        &self.running
    }
}

impl<E: Element> Network<E> {
    /// A network with initial parameters; the same seed gives the same ones.
    pub fn initialised(graph: Graph, initialisation: Initialisation, seed: u64) -> Self {
        let parameters = graph.parameters();
        let values =
            parameters.iter().map(|(place, spec)| initial(&graph, *place, spec, initialisation, seed)).collect();
        Self::assembled(graph, values)
    }

    /// A network of parameters that fit its graph, in the graph's order and in memory shapes.
    pub(crate) fn assembled(graph: Graph, parameters: Vec<Batch<E>>) -> Self {
        let specs = graph.parameters();
        let first = |place| specs.partition_point(|&(owner, _)| owner < place);
        let ranges = (0..graph.nodes.len()).map(|place| first(place)..first(place + 1)).collect();
        debug_assert!(
            specs.iter().zip(&parameters).all(|((_, spec), value)| memory_shape(&spec.shape) == shape(value))
        );
        let executions = executions(&graph, &outputs(&graph));
        let reached = reached(&graph);
        let turned = graph.nodes.iter().map(|_| Turned::default()).collect();
        Self { graph, parameters, turned, ranges, executions, reached }
    }

    /// The same network, computing and keeping these nodes too.
    ///
    /// # Errors
    /// No node of that name.
    pub fn tapped(mut self, nodes: &[&str]) -> Result<Self> {
        let mut kept = outputs(&self.graph);
        for node in nodes {
            kept.push(self.graph.place(node)?);
        }
        self.executions = executions(&self.graph, &kept);
        Ok(self)
    }

    /// The same network, computing these nodes and what they need, and nothing else.
    ///
    /// # Errors
    /// No node of that name.
    pub fn only(mut self, nodes: &[&str]) -> Result<Self> {
        let kept = nodes.iter().map(|node| self.graph.place(node)).collect::<Result<Vec<_>>>()?;
        self.executions = executions(&self.graph, &kept);
        Ok(self)
    }

    /// The same network with one more node, which holds no parameters.
    ///
    /// # Errors
    /// A name that is taken, inputs that are not there or do not fit.
    pub fn with_node(self, node: Node) -> Result<Self> {
        let nodes = self.graph.nodes.iter().cloned().chain([node]).collect();
        let graph = Graph::new(self.graph.input.clone(), nodes, self.graph.outputs.clone())?;
        Ok(Self::assembled(graph, self.parameters))
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters in the graph's order, in memory shapes: convolutions (O, kh, kw, I), linear layers (O, 1, 1, I),
    /// vectors (1, 1, 1, F).
    pub fn parameters(&self) -> &[Batch<E>] {
        &self.parameters
    }

    /// Those of the node at `place`.
    pub(super) fn parameters_of(&self, place: usize) -> &[Batch<E>] {
        &self.parameters[self.ranges[place].clone()]
    }

    /// The parameters, to be changed in place.
    pub fn parameters_mut(&mut self) -> &mut [Batch<E>] {
        self.turned = self.graph.nodes.iter().map(|_| Turned::default()).collect();
        &mut self.parameters
    }

    /// What the node at `place` computed, (N, H, W, C).
    ///
    /// # Errors
    /// A node that is neither an output nor tapped.
    pub fn value<'a>(&self, trace: &'a Trace<E>, place: usize) -> Result<&'a Batch<E>> {
        trace.value(place).ok_or_else(|| Error::NotComputed { node: self.graph.nodes[place].name.clone() })
    }

    /// As [`Network::pullback`], for cotangents that must reach the input.
    ///
    /// # Errors
    /// No path from the input to the nodes of the cotangents.
    pub fn gradient_at_input(
        &self,
        tape: &mut Tape<E>,
        trace: &Trace<E>,
        cotangents: &[(usize, &Batch<E>)],
    ) -> Result<Batch<E>> {
        self.pullback(tape, trace, cotangents).ok_or_else(|| Error::Unreached {
            nodes: cotangents
                .iter()
                .map(|&(place, _)| self.graph.nodes[place].name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// Takes the gradients of the parameters, in their order; zeros where nothing reached one.
    pub fn take_gradients(&self, gradients: &mut Gradients<E>) -> Vec<Batch<E>> {
        self.parameters.iter().map(|parameter| gradient_there(gradients, parameter)).collect()
    }

    /// Puts running statistics of batch normalisation, as a training batch left them, in place.
    pub fn keep_running_statistics(&mut self, trace: &Trace<E>) {
        for (which, value) in trace.running_statistics() {
            self.parameters[*which] = value.clone();
        }
    }
}
