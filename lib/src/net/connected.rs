//! The fully connected classifier of SHADOW's experiments, for images of any size: two hidden layers of 800 features, ReLU and dropout
//! after each; 1,276,810 parameters for MNIST's images and ten classes.
//!
//! The notes print no sizes. These are those of Simard et al. (2003), on which Hinton et al. (2012) tried dropout.

use super::chain::{Chain, Head};
use super::error::Result;
use super::graph::Graph;
use super::op::{Dropout, Flatten, Linear, Relu};
use super::size::Size;

/// The name of this architecture.
pub const NAME: &str = "connected";

/// Features of each hidden layer.
const HIDDEN: [usize; 2] = [800, 800];

/// The classifier with dense layers `heads` on top; a share `dropout` of each hidden layer is dropped in training.
pub(super) fn classifier(input: Size, heads: &[Head], dropout: f64) -> Result<Graph> {
    let mut chain = Chain::new();
    chain.push("flatten", Flatten);
    for (number, features) in (1..).zip(HIDDEN) {
        chain.push(format!("fc{number}"), Linear::new(features, true));
        chain.push(format!("act{number}"), Relu);
        if dropout > 0.0 {
            chain.push(format!("drop{number}"), Dropout { p: dropout });
        }
    }
    chain.with_heads(input, heads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_as_many_as_the_layers_say() {
        let graph = classifier(Size::new(1, 28, 28), &[("logits", 10)], 0.5).unwrap();
        assert_eq!(graph.parameter_count(), 1_276_810);
        let dropped =
            |graph: &Graph| graph.nodes.iter().filter(|node| matches!(node.op, crate::net::Op::Dropout(_))).count();
        assert_eq!(dropped(&graph), 2);
        assert_eq!(dropped(&classifier(Size::new(3, 32, 32), &[("logits", 10)], 0.0).unwrap()), 0);
    }
}
