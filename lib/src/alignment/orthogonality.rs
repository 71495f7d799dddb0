//! How close a network's weights are to orthogonal (appendix 7.2): feature alignment drives W^T W towards I.
//!
//! A layer's weight is a matrix W of outputs x (inputs of one output). Where it has fewer rows than columns W^T W cannot be I,
//! and W W^T is taken: the smaller of the two Gram matrices, n x n.
//!
//! ```
//! use obverse::alignment::orthogonality::orthogonality;
//! use obverse::net::op::Linear;
//! use obverse::net::{Graph, InputSpec, Network, Node, Size};
//! let layer = Node::new("z", Linear::new(2, false), "input");
//! let graph = Graph::new(InputSpec::plain(Size::new(2, 1, 1)), vec![layer], [("z".into(), "z".into())].into())?;
//! let encoder = Network::<f64>::of_parameters(graph, |_, _| Ok(vec![0.6, -0.8, 0.8, 0.6]))?;
//! let measured = orthogonality(&encoder);
//! assert!(measured[0].node == "z" && measured[0].distance < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::net::Network;
use crate::ops::gram_distance;
use crate::tensor::{Element, view};

/// One layer's distance.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Orthogonality {
    /// The node.
    pub node: String,
    /// n, the smaller side of W.
    pub size: usize,
    /// The Frobenius norm of the smaller Gram matrix minus I.
    pub distance: f64,
    /// The same divided by sqrt n: 0 for orthonormal rows or columns, 1 for W = 0.
    pub relative: f64,
}

/// The distance of every convolution's and linear layer's weight, in the graph's order.
pub fn orthogonality<E: Element>(network: &Network<E>) -> Vec<Orthogonality> {
    let parameters = network.graph().parameters();
    let weights = parameters.iter().zip(network.parameters()).filter(|((_, spec), _)| spec.shape.len() > 1);
    weights
        .map(|((place, spec), weight)| {
            let rows = spec.shape[0];
            let columns = spec.elements() / rows;
            let size = rows.min(columns);
            let distance = gram_distance(view(weight), rows, columns);
            let node = network.graph().nodes[*place].name.clone();
            Orthogonality { node, size, distance, relative: distance / (size as f64).sqrt() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::architectures::encoder;
    use crate::net::{Initialisation, Size};
    use crate::tensor::{batch, shape};

    #[test]
    fn orthogonal_weights_are_at_no_distance_and_doubled_ones_at_three() {
        let graph = encoder("mnist", Size::new(2, 8, 8), &[("z", 5)]).unwrap();
        let mut network = Network::<f64>::initialised(graph, Initialisation::Orthogonal, 0);
        assert!(orthogonality(&network).iter().all(|layer| layer.distance < 1e-10));
        assert_eq!(orthogonality(&network).len(), 6);
        for weight in network.parameters_mut() {
            *weight = batch(view(weight).iter().map(|value| 2.0 * value).collect(), shape(weight));
        }
        // |4 I - I| / sqrt n.
        assert!(orthogonality(&network).iter().all(|layer| (layer.relative - 3.0).abs() < 1e-10));
    }
}
