//! A network run on a batch, node by node.

use super::plan::Execution;
use super::{Mode, Network, Trace};
use crate::net::error::Result;
use crate::net::op::{Form, Site};
use crate::ops::{InputGradient, normalise};
use crate::tensor::device::settle;
use crate::tensor::{Batch, Element, Tape};

impl<E: Element> Network<E> {
    /// Runs the network on a batch (N, H, W, C). With [`InputGradient::Unwanted`] the tape stops at the input.
    pub fn forward(&self, tape: &mut Tape<E>, x: &Batch<E>, mode: Mode, input: InputGradient) -> Trace<E> {
        self.forward_given(tape, x, &[], mode, input)
    }

    /// As [`Network::forward`], for a network that has more inputs: `given` holds their places and batches.
    ///
    /// Nodes that need an input which is not given compute nothing.
    pub fn forward_given(
        &self,
        tape: &mut Tape<E>,
        x: &Batch<E>,
        given: &[(usize, &Batch<E>)],
        mode: Mode,
        input: InputGradient,
    ) -> Trace<E> {
        let values = vec![None; self.executions.len()];
        let mut trace = Trace { input: self.normalised(tape, x, input), values, mode, running: Vec::new() };
        for &(place, value) in given {
            trace.values[place] = Some(value.clone());
        }
        for place in 0..self.executions.len() {
            self.execute(tape, &mut trace, place, input);
        }
        trace
    }

    /// What these nodes compute of a batch (N, H, W, C) in inference, without a tape: a value goes as soon as no node reads it any more, so
    /// that memory is that of the widest place, not of the whole network.
    ///
    /// # Errors
    /// A node that is not computed: neither an output, nor tapped, nor on the way to one.
    pub fn evaluate(&self, x: &Batch<E>, nodes: &[usize]) -> Result<Vec<Batch<E>>> {
        let (tape, input) = (&mut Tape::off(), InputGradient::Unwanted);
        let values = vec![None; self.executions.len()];
        let mut trace =
            Trace { input: self.normalised(tape, x, input), values, mode: Mode::Inference, running: Vec::new() };
        let last = self.last_readers(nodes);
        for place in 0..self.executions.len() {
            self.execute(tape, &mut trace, place, input);
            for (value, &last) in trace.values.iter_mut().zip(&last) {
                if last == Some(place) {
                    *value = None;
                }
            }
        }
        nodes.iter().map(|&node| self.value(&trace, node).cloned()).collect()
    }

    /// The last node that reads each node's value; `None` where it is wanted in the end.
    pub(super) fn last_readers(&self, wanted: &[usize]) -> Vec<Option<usize>> {
        let mut last = vec![None; self.executions.len()];
        for place in 0..self.executions.len() {
            let Some((target, _)) = self.executions[place].computes(place) else { continue };
            // What nothing reads goes at once.
            last[target] = Some(place);
            for source in (0..self.graph.sources(place).len()).filter_map(|which| self.read(place, which)) {
                last[source] = Some(place);
            }
        }
        wanted.iter().for_each(|&place| last[place] = None);
        last
    }

    /// Computes the node at `place`, where it is to be computed and its inputs are there.
    fn execute(&self, tape: &mut Tape<E>, trace: &mut Trace<E>, place: usize, input: InputGradient) {
        let Some((target, rectifier)) = self.executions[place].computes(place) else { return };
        let gradient = if self.read(place, 0).is_none() { input } else { InputGradient::Wanted };
        let Some(site) = self.site(trace, place, rectifier) else { return };
        let computed = self.graph.nodes[place].op.forward(tape, &Site { gradient, ..site });
        let first = self.ranges[place].start;
        trace.running.extend(computed.running.into_iter().map(|(which, value)| (first + which, value)));
        trace.values[target] = Some(computed.value);
    }

    /// What the first nodes see of the images that a user hands over.
    fn normalised(&self, tape: &mut Tape<E>, x: &Batch<E>, input: InputGradient) -> Batch<E> {
        settle(self.parameters.iter().chain([x]));
        match (self.graph.input.normalisation(), input) {
            (None, _) => x.clone(),
            (Some((mean, std)), InputGradient::Wanted) => normalise::normalise(tape, x, &mean, &std),
            (Some((mean, std)), InputGradient::Unwanted) => normalise::normalise(&mut Tape::off(), x, &mean, &std),
        }
    }

    /// Where the node at `place` stands, with the values of a trace; `None` where one of its inputs is missing.
    pub(super) fn site<'a>(&'a self, trace: &'a Trace<E>, place: usize, rectifier: Option<f64>) -> Option<Site<'a, E>> {
        let count = self.graph.sources(place).len();
        Some(Site {
            name: &self.graph.nodes[place].name,
            form: self.form(place),
            inputs: (0..count).map(|which| self.source(trace, place, which)).collect::<Option<_>>()?,
            wanted: (0..count).map(|which| self.is_reached(self.read(place, which))).collect(),
            rectifier: rectifier.map(E::of),
            training: match trace.mode {
                Mode::Inference => None,
                Mode::Training(stream) => Some(stream),
            },
            gradient: InputGradient::Wanted,
        })
    }

    /// The parameters and sizes of the node at `place`.
    pub(in crate::net) fn form(&self, place: usize) -> Form<'_, E> {
        let before = self.graph.sources(place).first().copied().flatten();
        Form {
            parameters: self.parameters_of(place),
            turned: Some(&self.turned[place]),
            sizes: self.graph.input_sizes(place),
            size: self.graph.size(place),
            takes_before: before.is_some_and(|source| self.executions[source] == Execution::Taken),
        }
    }

    /// The node whose value input number `which` of a node is computed from; `None` for the network's input.
    pub(super) fn read(&self, place: usize, which: usize) -> Option<usize> {
        let source = (*self.graph.sources(place).get(which)?)?;
        if self.executions[source] == Execution::Taken { self.graph.sources(source)[0] } else { Some(source) }
    }

    /// Input number `which` of a node.
    pub(in crate::net) fn source<'a>(&self, trace: &'a Trace<E>, place: usize, which: usize) -> Option<&'a Batch<E>> {
        match self.read(place, which) {
            None => Some(&trace.input),
            Some(source) => trace.value(source),
        }
    }

    /// Whether the value of a node depends on the network's input, which `None` is.
    pub(super) fn is_reached(&self, place: Option<usize>) -> bool {
        place.is_none_or(|place| self.reached[place])
    }
}
