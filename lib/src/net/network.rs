//! A network: a graph, its parameters, and its two directions, both made of tape operations.
//!
//! [`Network::forward`] computes every node that the outputs need, (N, H, W, C) each, and keeps them in a [`Trace`].
//! [`Network::pullback`] is the transposed derivative at a trace: cotangents of nodes in, the cotangent of the input (or of
//! an earlier node) out. A tape under both gives derivatives of gradients, which feature alignment needs.

use std::ops::Range;

use dfdx::prelude::{Cpu, Gradients, NoneTape, Tape};

use super::error::{Error, Result};
use super::graph::{Graph, Node};
use super::initialise::{Initialisation, initial, memory_shape};
use super::layers;
use super::operation::Op;
use crate::ops::activation::{before_rectifier, rectified};
use crate::ops::arithmetic::combine;
use crate::ops::batch_norm::{self, Statistics, batch_norm, batch_norm_training};
use crate::ops::concat::{concat, slice};
use crate::ops::conv_transpose::{self, conv_transpose2d};
use crate::ops::convolution::{Convolution, adjoint, convolve};
use crate::ops::dropout::{self, dropout};
use crate::ops::{InputGradient, accumulate, enlarged, linear, normalise};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, gradient, shape, view, view_mut, zeros};

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
    /// Which parameters are each node's.
    ranges: Vec<Range<usize>>,
    plan: Vec<Execution>,
}

/// How a node is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Execution {
    /// No output needs it.
    Skipped,
    /// By itself.
    Alone,
    /// With the rectifier that alone reads it, the node at this place, of this slope.
    WithRectifier(usize, f64),
    /// By the node before it.
    Merged,
    /// By the convolution that alone reads it, which does without enlarged images.
    Enlarged,
    /// Not at all: it is an input beside the first.
    Given,
}

impl Execution {
    /// Whose value the node at `place` computes, and the slope of the rectifier on the way; `None` if it computes nothing.
    fn computes(self, place: usize) -> Option<(usize, Option<f64>)> {
        match self {
            Self::Skipped | Self::Merged | Self::Enlarged | Self::Given => None,
            Self::Alone => Some((place, None)),
            Self::WithRectifier(next, slope) => Some((next, Some(slope))),
        }
    }
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
        let plan = plan(&graph, &outputs(&graph));
        Self { graph, parameters, ranges, plan }
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
        self.plan = plan(&self.graph, &kept);
        Ok(self)
    }

    /// The same network, computing these nodes and what they need, and nothing else.
    ///
    /// # Errors
    /// No node of that name.
    pub fn only(mut self, nodes: &[&str]) -> Result<Self> {
        let kept = nodes.iter().map(|node| self.graph.place(node)).collect::<Result<Vec<_>>>()?;
        self.plan = plan(&self.graph, &kept);
        Ok(self)
    }

    /// The same network with one more node, which holds no parameters.
    ///
    /// # Errors
    /// A name that is taken, inputs that are not there or do not fit.
    pub fn with_node(self, node: Node) -> Result<Self> {
        debug_assert!(!matches!(node.op, Op::Conv2d { .. } | Op::Linear { .. } | Op::BatchNorm { .. }));
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
        tape: &mut impl Tape<E, Cpu>,
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
    pub fn take_gradients(&self, gradients: &mut Gradients<E, Cpu>) -> Vec<Vec<E>> {
        self.parameters.iter().map(|parameter| gradient(gradients, parameter)).collect()
    }

    /// Puts running statistics of batch normalisation, as a training batch left them, in place.
    pub fn keep_running_statistics(&mut self, trace: &Trace<E>) {
        for (which, value) in trace.running_statistics() {
            self.parameters[*which] = value.clone();
        }
    }

    /// Runs the network on a batch (N, H, W, C). With [`InputGradient::Unwanted`] the tape stops at the input.
    pub fn forward(&self, tape: &mut impl Tape<E, Cpu>, x: &Batch<E>, mode: Mode, input: InputGradient) -> Trace<E> {
        self.forward_given(tape, x, &[], mode, input)
    }

    /// As [`Network::forward`], for a network that has more inputs: `given` holds their places and batches.
    ///
    /// Nodes that need an input which is not given compute nothing.
    pub fn forward_given(
        &self,
        tape: &mut impl Tape<E, Cpu>,
        x: &Batch<E>,
        given: &[(usize, &Batch<E>)],
        mode: Mode,
        input: InputGradient,
    ) -> Trace<E> {
        let values = vec![None; self.plan.len()];
        let mut trace = Trace { input: self.normalised(tape, x, input), values, mode, running: Vec::new() };
        for &(place, value) in given {
            trace.values[place] = Some(value.clone());
        }
        for place in 0..self.plan.len() {
            let Some((target, rectifier)) = self.plan[place].computes(place) else { continue };
            let rectifier = rectifier.map(E::of);
            let value = self.compute(tape, place, rectifier, &mut trace, input);
            trace.values[target] = value;
        }
        trace
    }

    /// What the first nodes see of the images that a user hands over.
    fn normalised(&self, tape: &mut impl Tape<E, Cpu>, x: &Batch<E>, input: InputGradient) -> Batch<E> {
        match (self.graph.input.normalisation(), input) {
            (None, _) => x.clone(),
            (Some((mean, std)), InputGradient::Wanted) => normalise::normalise(tape, x, &mean, &std),
            (Some((mean, std)), InputGradient::Unwanted) => normalise::normalise(&mut NoneTape, x, &mean, &std),
        }
    }

    /// One node, from the values before it.
    fn compute<T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        place: usize,
        rectifier: Option<E>,
        trace: &mut Trace<E>,
        input: InputGradient,
    ) -> Option<Batch<E>> {
        let source = self.read(place, 0);
        let x = &self.source(trace, place, 0)?.clone();
        let input = if source.is_none() { input } else { InputGradient::Wanted };
        let parameters = &self.parameters[self.ranges[place].clone()];
        let op = &self.graph.nodes[place].op;
        Some(match op {
            Op::Conv2d { .. } if self.enlarges(place) => {
                enlarged::convolve(tape, x, &parameters[0], parameters.get(1), rectifier, input)
            }
            Op::Conv2d { groups, .. } => {
                let convolution = Convolution { window: op.window()?, groups: *groups };
                convolve(tape, x, &parameters[0], parameters.get(1), rectifier, convolution, input)
            }
            Op::ConvTranspose2d { .. } => {
                let size = self.graph.size(place);
                let size = (size.height, size.width);
                conv_transpose2d(tape, x, &parameters[0], parameters.get(1), rectifier, op.window()?, size, input)
            }
            Op::Linear { .. } => linear::linear(tape, x, &parameters[0], parameters.get(1), rectifier, input),
            Op::BatchNorm { eps, momentum } => self.batch_norm(tape, place, x, rectifier, (*eps, *momentum), trace),
            Op::Dropout { p } => match self.mask(place, trace.mode) {
                Some(stream) => dropout(tape, x, *p, stream),
                None => x.clone(),
            },
            Op::Concat => concat(tape, &self.all_sources(trace, place)?),
            Op::Add => {
                let inputs = self.all_sources(trace, place)?;
                inputs[1..].iter().fold(x.clone(), |sum, &more| combine(tape, E::one(), &sum, E::one(), more))
            }
            _ => layers::forward(tape, op, x, self.graph.input_size(place), self.graph.size(place))?,
        })
    }

    /// Batch normalisation; in training the trace receives the new running statistics.
    fn batch_norm<T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        place: usize,
        x: &Batch<E>,
        rectifier: Option<E>,
        (epsilon, momentum): (f64, f64),
        trace: &mut Trace<E>,
    ) -> Batch<E> {
        let range = self.ranges[place].clone();
        let [gain, bias, mean, variance] = std::array::from_fn(|which| &self.parameters[range.start + which]);
        match trace.mode {
            Mode::Inference => {
                batch_norm(tape, x, [gain, bias], &Statistics::running(mean, variance), rectifier, epsilon)
            }
            Mode::Training(_) => {
                let (y, statistics) = batch_norm_training(tape, x, gain, bias, epsilon);
                let (mean, variance) = statistics.update((mean, variance), momentum);
                trace.running.extend([(range.start + 2, mean), (range.start + 3, variance)]);
                rectified(tape, y, rectifier)
            }
        }
    }

    /// The stream of a dropout node's mask, in training.
    fn mask(&self, place: usize, mode: Mode) -> Option<Stream> {
        match mode {
            Mode::Inference => None,
            Mode::Training(stream) => Some(stream.branch(&self.graph.nodes[place].name)),
        }
    }

    /// All inputs of a node.
    fn all_sources<'a>(&self, trace: &'a Trace<E>, place: usize) -> Option<Vec<&'a Batch<E>>> {
        (0..self.graph.sources(place).len()).map(|which| self.source(trace, place, which)).collect()
    }

    /// Whether a convolution enlarges what it reads.
    fn enlarges(&self, place: usize) -> bool {
        self.graph.sources(place)[0].is_some_and(|source| self.plan[source] == Execution::Enlarged)
    }

    /// The node whose value input number `which` of a node is computed from; `None` for the network's input.
    fn read(&self, place: usize, which: usize) -> Option<usize> {
        let source = self.graph.sources(place)[which]?;
        if self.plan[source] == Execution::Enlarged { self.graph.sources(source)[0] } else { Some(source) }
    }

    /// Input number `which` of a node.
    pub(super) fn source<'a>(&self, trace: &'a Trace<E>, place: usize, which: usize) -> Option<&'a Batch<E>> {
        match self.read(place, which) {
            None => Some(&trace.input),
            Some(source) => trace.value(source),
        }
    }

    /// The transposed derivative at `trace`: from cotangents of nodes to the cotangent of the input.
    ///
    /// The trace may hold one image that stands for all of the cotangents'. The nodes must be outputs or tapped.
    /// Returns `None` where no cotangent reaches the input.
    pub fn pullback(
        &self,
        tape: &mut impl Tape<E, Cpu>,
        trace: &Trace<E>,
        cotangents: &[(usize, &Batch<E>)],
    ) -> Option<Batch<E>> {
        self.pull(tape, trace, cotangents, Slopes::True)
    }

    /// As [`Network::pullback`] off the tape, with the slopes of rectifiers as said. Differs from it for
    /// [`Slopes::Redirected`], which is no derivative of anything.
    pub fn pullback_by(&self, trace: &Trace<E>, cotangents: &[(usize, &Batch<E>)], slopes: Slopes) -> Option<Batch<E>> {
        self.pull(&mut NoneTape, trace, cotangents, slopes)
    }

    fn pull<T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        trace: &Trace<E>,
        cotangents: &[(usize, &Batch<E>)],
        slopes: Slopes,
    ) -> Option<Batch<E>> {
        let mut skipped = None;
        let mut waiting: Vec<Option<Batch<E>>> = vec![None; self.plan.len()];
        let mut at_input: Option<Batch<E>> = None;
        for &(place, cotangent) in cotangents {
            let previous = waiting[place].take();
            waiting[place] = Some(summed(tape, previous, cotangent.clone()));
        }
        for place in (0..self.plan.len()).rev() {
            let Some((from, rectifier)) = self.plan[place].computes(place) else { continue };
            let rectifier = rectifier.map(E::of);
            let Some(mut cotangent) = waiting[from].take() else { continue };
            // Off the tape nothing depends on a cotangent of zeros, such as those of branches that hold none of a block's channels.
            if !T::OWNS_TAPE && view(&cotangent).iter().all(|&value| value == E::zero()) {
                skipped = Some(shape(&cotangent).0);
                continue;
            }
            let own = self.graph.nodes[from].op.rectifier();
            let rectifier = match (slopes, own, trace.value(from)) {
                (Slopes::Redirected, Some(0.0), Some(y)) => {
                    redirect(&mut cotangent, y);
                    None
                }
                _ => rectifier,
            };
            if slopes == Slopes::Redirected && own == Some(0.0) && from == place {
                // The rectifier is a node of its own, and its slopes are in the cotangent now.
                let source = self.graph.sources(place)[0];
                let slot = source.map_or(&mut at_input, |source| &mut waiting[source]);
                *slot = Some(summed(tape, slot.take(), cotangent));
                continue;
            }
            for (which, part) in self.pull_node(tape, place, rectifier, trace, &cotangent).into_iter().enumerate() {
                let slot = match self.read(place, which) {
                    None => &mut at_input,
                    Some(source) => &mut waiting[source],
                };
                *slot = Some(summed(tape, slot.take(), part));
            }
        }
        let size = self.graph.input.shape;
        let at_input = at_input.or_else(|| skipped.map(|n| zeros((n, size.height, size.width, size.channels))));
        match (at_input, self.graph.input.normalisation()) {
            (Some(cotangent), Some((_, std))) => Some(normalise::pullback(tape, &cotangent, &std)),
            (at_input, _) => at_input,
        }
    }

    /// The cotangents of one node's inputs.
    fn pull_node<T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        place: usize,
        rectifier: Option<E>,
        trace: &Trace<E>,
        cotangent: &Batch<E>,
    ) -> Vec<Batch<E>> {
        let op = &self.graph.nodes[place].op;
        let size = self.graph.input_size(place);
        let y = self.plan[place].computes(place).and_then(|(target, _)| trace.value(target));
        let slopes = y.zip(rectifier);
        let result = match op {
            Op::Conv2d { .. } if self.enlarges(place) => {
                self.parameters_of(place).first().map(|weight| enlarged::adjoint(tape, cotangent, slopes, weight))
            }
            Op::Conv2d { .. } | Op::ConvTranspose2d { .. } | Op::Linear { .. } => {
                self.adjoint_of(tape, place, slopes, cotangent)
            }
            Op::Concat => return self.parts(tape, place, cotangent),
            Op::Add => return vec![cotangent.clone(); self.graph.sources(place).len()],
            Op::BatchNorm { eps, .. } => self.pull_batch_norm(tape, place, cotangent, slopes, *eps, trace),
            Op::Dropout { p } => self.source(trace, place, 0).map(|x| match self.mask(place, trace.mode) {
                Some(stream) => dropout::pullback(tape, cotangent, *p, stream, shape(x).0),
                None => cotangent.clone(),
            }),
            _ => self.source(trace, place, 0).and_then(|x| layers::pullback(tape, op, cotangent, x, size)),
        };
        result.into_iter().collect()
    }

    /// The cotangent of a convolution's or linear layer's input, through the rectifier of these slopes: its weights transposed.
    pub(super) fn adjoint_of(
        &self,
        tape: &mut impl Tape<E, Cpu>,
        place: usize,
        slopes: Option<(&Batch<E>, E)>,
        cotangent: &Batch<E>,
    ) -> Option<Batch<E>> {
        let op = &self.graph.nodes[place].op;
        let weight = self.parameters_of(place).first()?;
        let size = self.graph.input_size(place);
        Some(match op {
            Op::Conv2d { groups, .. } => {
                let convolution = Convolution { window: op.window()?, groups: *groups };
                adjoint(tape, cotangent, slopes, weight, convolution, (size.height, size.width))
            }
            Op::ConvTranspose2d { .. } => conv_transpose::pullback(tape, cotangent, slopes, weight, op.window()?),
            Op::Linear { .. } => linear::adjoint(tape, cotangent, slopes, weight),
            _ => return None,
        })
    }

    /// A concatenation's cotangent, cut into its inputs'.
    fn parts<T: Tape<E, Cpu>>(&self, tape: &mut T, place: usize, cotangent: &Batch<E>) -> Vec<Batch<E>> {
        let mut first = 0;
        let sources = self.graph.sources(place).iter();
        let part = |source: &Option<usize>| {
            let size = source.map_or(self.graph.input.shape, |source| self.graph.size(source));
            let range = first..first + size.channels;
            first = range.end;
            slice(tape, cotangent, range)
        };
        sources.map(part).collect()
    }

    fn pull_batch_norm<T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        place: usize,
        cotangent: &Batch<E>,
        rectifier: Option<(&Batch<E>, E)>,
        epsilon: f64,
        trace: &Trace<E>,
    ) -> Option<Batch<E>> {
        let first = self.ranges[place].start;
        let [gain, _, mean, variance] = std::array::from_fn(|which| &self.parameters[first + which]);
        Some(match trace.mode {
            Mode::Inference => {
                batch_norm::pullback(tape, cotangent, rectifier, gain, &Statistics::running(mean, variance), epsilon)
            }
            Mode::Training(_) => {
                let cotangent = before_rectifier(tape, cotangent, rectifier);
                batch_norm::pullback_training(tape, &cotangent, self.source(trace, place, 0)?, gain, epsilon)
            }
        })
    }
}

/// Zeroes cotangents that would push down what is off; `y`, one image or as many, is what the rectifier gave.
fn redirect<E: Element>(cotangent: &mut Batch<E>, y: &Batch<E>) {
    let length = view(y).len();
    for image in view_mut(cotangent).chunks_mut(length) {
        for (cotangent, &y) in image.iter_mut().zip(view(y)) {
            if y <= E::zero() && *cotangent < E::zero() {
                *cotangent = E::zero();
            }
        }
    }
}

/// The sum of what has arrived and what arrives.
fn summed<E: Element, T: Tape<E, Cpu>>(tape: &mut T, before: Option<Batch<E>>, more: Batch<E>) -> Batch<E> {
    match before {
        None => more,
        Some(mut before) if !T::OWNS_TAPE && shape(&before) == shape(&more) => {
            accumulate(view_mut(&mut before), view(&more));
            before
        }
        Some(before) => combine(tape, E::one(), &before, E::one(), &more),
    }
}

/// The places of a graph's outputs.
fn outputs(graph: &Graph) -> Vec<usize> {
    graph.outputs.values().filter_map(|node| graph.place(node).ok()).collect()
}

/// Which nodes to compute for those to keep, and which with the rectifier after them.
fn plan(graph: &Graph, kept: &[usize]) -> Vec<Execution> {
    let count = graph.nodes.len();
    let mut readers = vec![Vec::new(); count];
    let mut needed = vec![false; count];
    kept.iter().for_each(|&place| needed[place] = true);
    for place in (0..count).rev() {
        if needed[place] {
            for source in graph.sources(place).iter().flatten() {
                needed[*source] = true;
                readers[*source].push(place);
            }
        }
    }
    let mut plan: Vec<_> =
        needed.iter().map(|&needed| if needed { Execution::Alone } else { Execution::Skipped }).collect();
    for place in 0..count {
        if matches!(graph.nodes[place].op, Op::Input { .. }) {
            plan[place] = Execution::Given;
        }
        let [reader] = readers[place].as_slice() else { continue };
        let (op, next) = (&graph.nodes[place].op, &graph.nodes[*reader].op);
        match next.rectifier() {
            _ if kept.contains(&place) => {}
            Some(slope) if is_fusable(op) => {
                plan[place] = Execution::WithRectifier(*reader, slope);
                plan[*reader] = Execution::Merged;
            }
            _ if is_enlarging(op, next) => plan[place] = Execution::Enlarged,
            _ => {}
        }
    }
    plan
}

/// Whether the rectifier after it is applied to what it computes, in the same pass.
fn is_fusable(op: &Op) -> bool {
    matches!(op, Op::Conv2d { .. } | Op::Linear { .. } | Op::ConvTranspose2d { .. } | Op::BatchNorm { .. })
}

/// Whether a convolution after an enlargement does without enlarged images.
fn is_enlarging(before: &Op, after: &Op) -> bool {
    let plain = matches!(after, Op::Conv2d { groups: 1, .. }) && matches!(before, Op::UpsampleNearest { factor: 2 });
    plain && after.window().is_some_and(|window| enlarged::is_enlarging(&window))
}
