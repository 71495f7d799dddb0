//! Batch normalisation folded into the convolution or linear layer before it: y = g (W x + b - m) / sqrt(v + e) + c is W' x + b'.
//!
//! W' = W g / sqrt(v + e) an output channel, b' = (b - m) g / sqrt(v + e) + c. At inference the function is the same up to
//! rounding, and the rectifier after it runs while values are in cache; a pullback has a pass over memory less as well.

use super::error::Result;
use super::graph::{Graph, Node};
use super::network::Network;
use super::operation::Op;
use crate::tensor::{Batch, Element, batch, shape, view};

impl<E: Element> Network<E> {
    /// The same function at inference, computing `nodes` alone, with every batch normalisation folded that alone reads a
    /// convolution or linear layer. The layer then bears the normalisation's name.
    ///
    /// # Errors
    /// No node of such a name.
    pub fn folded(self, nodes: &[&str]) -> Result<Self> {
        let graph = self.graph();
        let kept = nodes.iter().map(|node| graph.place(node)).collect::<Result<Vec<_>>>()?;
        let outputs = graph.outputs.values().filter_map(|node| graph.place(node).ok());
        let visible: Vec<usize> = kept.into_iter().chain(outputs).collect();
        let normalised_by = pairs(graph, &visible);
        let mut ordered = Vec::new();
        let mut layers = Vec::new();
        for (place, node) in graph.nodes.iter().enumerate() {
            if normalised_by[place].is_some() {
                continue;
            }
            let source = graph.sources(place).first().copied().flatten();
            let layer = source.filter(|&source| normalised_by[source] == Some(place));
            ordered.push(layer.map_or_else(|| node.clone(), |layer| joined(&graph.nodes[layer], node)));
            layers.push((place, layer));
        }
        // Nodes that were in order stay in order.
        let folded = Graph::new(graph.input.clone(), ordered, graph.outputs.clone())?;
        let parameters = layers.iter().flat_map(|&(place, layer)| match layer {
            Some(layer) => self.folded_parameters(layer, place),
            None => self.parameters_of(place).to_vec(),
        });
        let parameters = parameters.collect();
        Self::assembled(folded, parameters).only(nodes)
    }

    /// Weight and bias of the layer at `layer` with the normalisation at `place` folded in.
    fn folded_parameters(&self, layer: usize, place: usize) -> Vec<Batch<E>> {
        let (of_layer, of_norm) = (self.parameters_of(layer), self.parameters_of(place));
        let [gain, shift, mean, variance] = std::array::from_fn(|which| view(&of_norm[which]));
        let epsilon = match self.graph().nodes[place].op {
            Op::BatchNorm { eps, .. } => eps,
            _ => 0.0,
        };
        let scale: Vec<f64> = gain
            .iter()
            .zip(variance)
            .map(|(gain, variance)| gain.wide() / (variance.wide() + epsilon).sqrt())
            .collect();
        let weight = &of_layer[0];
        let row = (view(weight).len() / scale.len()).max(1);
        let scaled = view(weight).chunks_exact(row).zip(&scale);
        let scaled =
            scaled.flat_map(|(row, &scale)| row.iter().map(move |value| E::of(value.wide() * scale))).collect();
        let bias = |channel: usize| of_layer.get(1).map_or(0.0, |bias| view(bias)[channel].wide());
        let shifted =
            |channel: usize| E::of((bias(channel) - mean[channel].wide()) * scale[channel] + shift[channel].wide());
        let biases: Vec<E> = (0..scale.len()).map(shifted).collect();
        let channels = biases.len();
        vec![batch(scaled, shape(weight)), batch(biases, (1, 1, 1, channels))]
    }
}

/// For each convolution or linear layer the normalisation that alone reads it, where nothing else sees its result.
fn pairs(graph: &Graph, visible: &[usize]) -> Vec<Option<usize>> {
    let mut readers = vec![Vec::new(); graph.nodes.len()];
    for place in 0..graph.nodes.len() {
        graph.sources(place).iter().flatten().for_each(|&source| readers[source].push(place));
    }
    let normalisation = |place: usize| {
        let layer = matches!(graph.nodes[place].op, Op::Conv2d { .. } | Op::Linear { .. });
        match readers[place].as_slice() {
            &[reader] if layer && !visible.contains(&place) => {
                matches!(graph.nodes[reader].op, Op::BatchNorm { .. }).then_some(reader)
            }
            _ => None,
        }
    };
    (0..graph.nodes.len()).map(normalisation).collect()
}

/// The layer with a bias, under the normalisation's name.
fn joined(layer: &Node, normalisation: &Node) -> Node {
    let mut op = layer.op.clone();
    if let Op::Conv2d { bias, .. } | Op::Linear { bias, .. } = &mut op {
        *bias = true;
    }
    Node { name: normalisation.name.clone(), op, inputs: layer.inputs.clone() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dfdx::prelude::NoneTape;

    use super::*;
    use crate::net::{Initialisation, InputSpec, Mode, Pair, Sides, Size};
    use crate::ops::InputGradient;
    use crate::ops::checks::{assert_close, normal};

    fn convolution(name: &str, input: &str, groups: usize, bias: bool) -> Node {
        let (kernel, padding) = (Pair::Both(3), Sides::Pair(Pair::Both(1)));
        let op =
            Op::Conv2d { channels: 4, kernel, stride: Pair::Both(1), padding, dilation: Pair::Both(1), groups, bias };
        Node::new(name, op, input)
    }

    fn norm(name: &str, input: &str) -> Node {
        Node::new(name, Op::BatchNorm { eps: 1e-3, momentum: 0.1 }, input)
    }

    /// Convolutions with and without bias and groups; one that is read twice, and one that is asked for.
    fn network() -> Network<f64> {
        let flatten = Node::new("flat", Op::Flatten, "sum");
        let nodes = vec![
            convolution("a", "input", 1, false),
            norm("a.bn", "a"),
            Node::new("a.relu", Op::Relu, "a.bn"),
            convolution("b", "a.relu", 2, true),
            norm("b.bn", "b"),
            convolution("c", "a.relu", 1, true),
            norm("c.bn", "c"),
            Node { name: "sum".into(), op: Op::Add, inputs: vec!["b.bn".into(), "c.bn".into(), "c".into()] },
            flatten,
            Node::new("fc", Op::Linear { features: 5, bias: false }, "flat"),
            norm("fc.bn", "fc"),
        ];
        let outputs = BTreeMap::from([("y".to_string(), "fc.bn".to_string())]);
        let graph = Graph::new(InputSpec::plain(Size::new(3, 5, 6)), nodes, outputs).unwrap();
        let mut network = Network::<f64>::initialised(graph, Initialisation::He, 1);
        for (number, parameter) in network.parameters_mut().iter_mut().enumerate() {
            let drawn = normal::<f64>(&format!("p{number}"), shape(parameter));
            // Variances are positive.
            *parameter = batch(view(&drawn).iter().map(|value| value.abs() + 0.1).collect(), shape(parameter));
        }
        network
    }

    #[test]
    fn the_function_and_its_pullback_stay_and_normalisations_go() {
        let x = normal::<f64>("x", (2, 5, 6, 3));
        for (node, left) in [("fc.bn", 1), ("sum", 1), ("b", 2)] {
            let whole = network().only(&[node]).unwrap();
            let folded = network().folded(&[node]).unwrap();
            let is_norm = |node: &&Node| matches!(node.op, Op::BatchNorm { .. });
            assert_eq!(folded.graph().nodes.iter().filter(is_norm).count(), left, "{node}");
            let run = |network: &Network<f64>| {
                let trace = network.forward(&mut NoneTape, &x, Mode::Inference, InputGradient::Wanted);
                let place = network.graph().place(node).unwrap();
                let y = network.value(&trace, place).unwrap().clone();
                let back = network.pullback(&mut NoneTape, &trace, &[(place, &y)]).unwrap();
                (y, back)
            };
            let ((y, back), (expected, expected_back)) = (run(&folded), run(&whole));
            assert_close(view(&y), view(&expected), 1e-12);
            assert_close(view(&back), view(&expected_back), 1e-12);
        }
        assert!(network().folded(&["nowhere"]).is_err());
    }
}
