//! The end of a translation: the network of what its outputs need.

use std::collections::BTreeMap;

use super::Imported;
use super::arrangement::{Arrangement, Factor};
use super::translation::Translation;
use super::value::{Computed, Value};
use crate::net::error::Result;
use crate::net::graph::{Graph, INPUT};
use crate::net::import::unfit;
use crate::net::network::Network;
use crate::net::op::Rearrange;
use crate::net::size::Size;

impl<'m> Translation<'m> {
    /// The network that was asked for: up to the value or node of this name, where there is one.
    pub(super) fn finish(mut self, outputs: &[(&'m str, String)]) -> Result<Imported> {
        let mut named = BTreeMap::new();
        // What is the same for all images is an output beside others, or of one image.
        let is_computed = |(value, _): &(&str, String)| matches!(self.values.get(value), Some(Value::Computed(_)));
        let takes_constants = self.is_unbatched || outputs.iter().any(is_computed);
        for (value, name) in outputs {
            let computed = match self.values.get(value).cloned() {
                Some(Value::Computed(computed)) => computed,
                Some(Value::Constant(constant)) if takes_constants => {
                    self.push_constant(name, &constant.to_floats())?
                }
                found => {
                    let found = if found.is_some() { "a constant" } else { "no operation that makes it" };
                    let expected = format!("an output \"{name}\" that depends on the images");
                    return Err(unfit(&self.model.path, expected, found));
                }
            };
            let mut placed = self.as_output(&computed, name)?;
            if placed.node == INPUT {
                // The images themselves, under another name.
                let axes = vec![placed.size.elements()];
                let op = Rearrange { axes, order: vec![0], size: placed.size };
                placed = self.push_like(name, op, &[&placed])?;
            }
            named.insert(name.clone(), placed.node);
        }
        let Some((_, output)) = outputs.first().cloned() else {
            return Err(unfit(&self.model.path, "an output", "none"));
        };
        if let Some(logits) = self.logits.take().filter(|logits| logits.node != INPUT && !named.contains_key("logits"))
        {
            named.insert("logits".into(), self.as_output(&logits, "logits")?.node);
        }
        let graph = pruned(Graph::new(self.input, self.nodes, named)?)?;
        let network = Network::of_parameters(graph, |node, spec| {
            let name = format!("{}.{}", node.name, spec.name);
            let values = self.parameters.remove(&name).unwrap_or_default();
            if values.len() != spec.elements() {
                let expected = format!("{} values of \"{name}\"", spec.elements());
                return Err(unfit(&self.model.path, expected, values.len().to_string()));
            }
            match values.iter().find(|value| !value.is_finite()) {
                Some(value) => Err(unfit(&self.model.path, format!("finite values in \"{name}\""), value.to_string())),
                None => Ok(values),
            }
        })?;
        Ok(Imported { network, output, left_off: Vec::new(), remarks: self.remarks })
    }

    /// A value whose numbers a file of images holds in ONNX's order.
    fn as_output(&mut self, value: &Computed, name: &str) -> Result<Computed> {
        let sequence = value.arrangement.sequence();
        let batch = sequence.contains(&Factor::Batch);
        if batch && sequence.first() != Some(&Factor::Batch) {
            let shape = value.shape(self.batch);
            if !self.is_of_one {
                let expected = format!("images along the first axis of \"{name}\"");
                return Err(unfit(&self.model.path, expected, format!("{shape:?}")));
            }
            self.remarks.push(format!("images come first in \"{name}\", which the file gives as {shape:?}"));
        }
        let places: Vec<usize> = sequence.into_iter().filter_map(Factor::place).collect();
        // One axis of all numbers, as a file has them: the channels, the rows, the columns.
        let lengths: Vec<usize> = places.iter().map(|&place| value.arrangement.memory()[place]).collect();
        let order: Vec<usize> =
            (0..places.len()).map(|place| places.iter().position(|&at| at == place).unwrap_or(0)).collect();
        let whole = Arrangement::new(&lengths, &order, batch);
        let Size { channels, height, width } = value.size;
        let of_file = Arrangement::new(&[channels, height, width], &[1, 2, 0], batch);
        let flat =
            |arrangement: &Arrangement| arrangement.reshaped(&[self.batch, value.arrangement.elements()], self.batch);
        if flat(&whole) == flat(&of_file) {
            return Ok(value.clone());
        }
        let axes: Vec<Vec<usize>> = (0..value.rank())
            .map(|axis| {
                let own = value.arrangement.axis(axis).iter();
                own.filter_map(|factor| if let Factor::At(place) = factor { Some(*place) } else { None }).collect()
            })
            .filter(|axis: &Vec<usize>| !axis.is_empty())
            .collect();
        let mut axes = axes.into_iter();
        let channels = axes.next().unwrap_or_default();
        let height = axes.next().unwrap_or_default();
        self.placed(value, [height, axes.flatten().collect(), channels], name)
    }
}

/// A graph without nodes that no output needs.
fn pruned(graph: Graph) -> Result<Graph> {
    let mut needed = vec![false; graph.nodes.len()];
    for node in graph.outputs.values() {
        needed[graph.place(node)?] = true;
    }
    for place in (0..needed.len()).rev() {
        if needed[place] {
            graph.sources(place).iter().flatten().for_each(|&source| needed[source] = true);
        }
    }
    if needed.iter().all(|&needed| needed) {
        return Ok(graph);
    }
    let nodes = graph.nodes.into_iter().zip(needed).filter(|(_, needed)| *needed).map(|(node, _)| node).collect();
    Graph::new(graph.input, nodes, graph.outputs)
}
