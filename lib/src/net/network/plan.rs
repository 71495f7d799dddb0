//! Which nodes of a graph are computed for those that are kept, and which together with the node after them.

use crate::net::graph::Graph;
use crate::net::op::Op;

/// How a node is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Execution {
    /// No output needs it.
    Skipped,
    /// By itself.
    Alone,
    /// With the rectifier that alone reads it, the node at this place, of this slope.
    WithRectifier(usize, f64),
    /// By the node before it.
    Merged,
    /// By the node that alone reads it, which takes what this one reads.
    Taken,
    /// Not at all: it is an input beside the first.
    Given,
}

impl Execution {
    /// Whose value the node at `place` computes, and the slope of the rectifier on the way; `None` if it computes nothing.
    pub(super) fn computes(self, place: usize) -> Option<(usize, Option<f64>)> {
        match self {
            Self::Skipped | Self::Merged | Self::Taken | Self::Given => None,
            Self::Alone => Some((place, None)),
            Self::WithRectifier(next, slope) => Some((next, Some(slope))),
        }
    }
}

/// The places of a graph's outputs.
pub(super) fn outputs(graph: &Graph) -> Vec<usize> {
    graph.outputs.values().filter_map(|node| graph.place(node).ok()).collect()
}

/// Which nodes depend on the network's input.
pub(super) fn reached(graph: &Graph) -> Vec<bool> {
    let mut reached = Vec::with_capacity(graph.nodes.len());
    for place in 0..graph.nodes.len() {
        let depends = |source: &Option<usize>| source.is_none_or(|source| reached[source]);
        reached.push(graph.sources(place).iter().any(depends));
    }
    reached
}

/// How each node is computed so that those in `kept` are there in the end.
pub(super) fn executions(graph: &Graph, kept: &[usize]) -> Vec<Execution> {
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
    let mut executions: Vec<_> =
        needed.iter().map(|&needed| if needed { Execution::Alone } else { Execution::Skipped }).collect();
    for place in 0..count {
        if matches!(graph.nodes[place].op, Op::Input(_)) {
            executions[place] = Execution::Given;
        }
        let [reader] = readers[place].as_slice() else { continue };
        let (op, next) = (&graph.nodes[place].op, &graph.nodes[*reader].op);
        match next.rectifier() {
            _ if kept.contains(&place) => {}
            Some(slope) if op.takes_rectifier() => {
                executions[place] = Execution::WithRectifier(*reader, slope);
                executions[*reader] = Execution::Merged;
            }
            _ if next.takes_before(op) => executions[place] = Execution::Taken,
            _ => {}
        }
    }
    executions
}
