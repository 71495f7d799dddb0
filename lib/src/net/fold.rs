//! Batch normalisation folded into the convolution or linear layer before it: y = g (W x + b - m) / sqrt(v + e) + c is W' x + b'.
//!
//! W' = W g / sqrt(v + e) an output channel, b' = (b - m) g / sqrt(v + e) + c. At inference the function is the same up to
//! rounding, and the rectifier after it runs while values are in cache; a pullback has a pass over memory less as well.

use super::error::Result;
use super::graph::{Graph, Node};
use super::network::Network;
use super::op::Op;
use crate::tensor::{Batch, Element};

impl<E: Element> Network<E> {
    /// The same function at inference, computing `nodes` alone, with every scale and shift of channels folded that alone reads a layer
    /// which absorbs it, such as a batch normalisation after a convolution. The layer then bears the other's name.
    ///
    /// # Errors
    /// No node of such a name.
    pub fn folded(self, nodes: &[&str]) -> Result<Self> {
        let graph = self.graph();
        let kept = nodes.iter().map(|node| graph.place(node)).collect::<Result<Vec<_>>>()?;
        let outputs = graph.outputs.values().filter_map(|node| graph.place(node).ok());
        let visible: Vec<usize> = kept.into_iter().chain(outputs).collect();
        let folds = self.folds(&visible);
        let (mut ordered, mut parameters) = (Vec::new(), Vec::new());
        for (place, node) in graph.nodes.iter().enumerate() {
            if folds.iter().any(|fold| fold.layer == place) {
                continue;
            }
            match folds.iter().find(|fold| fold.affine == place) {
                Some(Fold { layer, op, values, .. }) => {
                    let inputs = graph.nodes[*layer].inputs.clone();
                    ordered.push(Node { name: node.name.clone(), op: op.clone(), inputs });
                    parameters.extend(values.iter().cloned());
                }
                None => {
                    ordered.push(node.clone());
                    parameters.extend(self.parameters_of(place).iter().cloned());
                }
            }
        }
        // Nodes that were in order stay in order.
        let folded = Graph::new(graph.input.clone(), ordered, graph.outputs.clone())?;
        Self::assembled(folded, parameters).only(nodes)
    }

    /// Each layer that absorbs what alone reads it, where nothing else sees its result.
    fn folds(&self, visible: &[usize]) -> Vec<Fold<E>> {
        let graph = self.graph();
        let mut readers = vec![Vec::new(); graph.nodes.len()];
        for place in 0..graph.nodes.len() {
            graph.sources(place).iter().flatten().for_each(|&source| readers[source].push(place));
        }
        let fold = |layer: usize| {
            let &[affine] = readers[layer].as_slice() else { return None };
            let by =
                (!visible.contains(&layer)).then(|| graph.nodes[affine].op.affine(self.parameters_of(affine)))??;
            let (op, values) = graph.nodes[layer].op.absorb(self.parameters_of(layer), &by)?;
            Some(Fold { layer, affine, op, values })
        };
        (0..graph.nodes.len()).filter_map(fold).collect()
    }
}

/// A layer with a scale and a shift folded in.
struct Fold<E: Element> {
    /// The layer's place.
    layer: usize,
    /// The place of what is folded in.
    affine: usize,
    /// What the layer is then.
    op: Op,
    /// Its parameters then.
    values: Vec<Batch<E>>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::net::op::{Add, BatchNorm, Conv2d, Flatten, Linear, Relu};
    use crate::net::{Initialisation, InputSpec, Mode, Pair, Sides, Size};
    use crate::ops::InputGradient;
    use crate::ops::checks::{assert_close, normal};
    use crate::tensor::{Tape, batch, shape, view};

    fn convolution(name: &str, input: &str, groups: usize, bias: bool) -> Node {
        let (kernel, padding) = (Pair::Both(3), Sides::Pair(Pair::Both(1)));
        let op = Op::Conv2d(Conv2d {
            channels: 4,
            kernel,
            stride: Pair::Both(1),
            padding,
            dilation: Pair::Both(1),
            groups,
            bias,
        });
        Node::new(name, op, input)
    }

    fn norm(name: &str, input: &str) -> Node {
        Node::new(name, BatchNorm { eps: 1e-3, momentum: 0.1 }, input)
    }

    /// Convolutions with and without bias and groups; one that is read twice, and one that is asked for.
    fn network() -> Network<f64> {
        let flatten = Node::new("flat", Flatten, "sum");
        let nodes = vec![
            convolution("a", "input", 1, false),
            norm("a.bn", "a"),
            Node::new("a.relu", Relu, "a.bn"),
            convolution("b", "a.relu", 2, true),
            norm("b.bn", "b"),
            convolution("c", "a.relu", 1, true),
            norm("c.bn", "c"),
            Node { name: "sum".into(), op: Op::Add(Add), inputs: vec!["b.bn".into(), "c.bn".into(), "c".into()] },
            flatten,
            Node::new("fc", Linear::new(5, false), "flat"),
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
                let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Wanted);
                let place = network.graph().place(node).unwrap();
                let y = network.value(&trace, place).unwrap().clone();
                let back = network.pullback(&mut Tape::off(), &trace, &[(place, &y)]).unwrap();
                (y, back)
            };
            let ((y, back), (expected, expected_back)) = (run(&folded), run(&whole));
            assert_close(view(&y), view(&expected), 1e-12);
            assert_close(view(&back), view(&expected_back), 1e-12);
        }
        assert!(network().folded(&["nowhere"]).is_err());
    }
}
