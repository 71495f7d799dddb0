//! What the tests against the oracle share: a case's arrays, and the small encoder that several cases have.

use std::path::Path;

use obverse::net::{Graph, Initialisation, Network};
use obverse::store::npy::Scalar;
use obverse::tensor::{Batch, Element, channels_first, shape, view};
use serde_json::{Value, json};

/// The reader of the cases, which the library's own tests and those of tools have too.
#[path = "../../../tests/src/oracle.rs"]
mod oracle;

pub use self::oracle::Case;

impl Case {
    /// An array's values, as they are stored.
    pub fn values<E: Element + Scalar>(&self, name: &str) -> Vec<E> {
        self.stored(name).1
    }

    /// Fails where values are not those of an array in a file.
    #[track_caller]
    pub fn check<E: Element>(&self, name: &str, actual: &[E]) {
        assert_close(name, actual, &self.values(name), self.tolerance::<E>());
    }

    /// As [`Case::check`], of a batch in channels-last order.
    #[track_caller]
    pub fn check_batch<E: Element>(&self, name: &str, actual: &Batch<E>) {
        self.check(name, &channels_first(obverse::tensor::view(actual), shape(actual)));
    }

    /// Checks the gradient of every parameter of `network` against `<prefix>grad.<parameter>`; returns how many.
    #[track_caller]
    pub fn check_gradients<E: Element>(&self, prefix: &str, network: &Network<E>, gradients: &[Batch<E>]) -> usize {
        let parameters = network.graph().parameters();
        for ((place, spec), gradient) in parameters.iter().zip(gradients) {
            let in_file_order = match spec.shape.as_slice() {
                &[outputs, inputs, height, width] => channels_first(view(gradient), (outputs, height, width, inputs)),
                _ => view(gradient).to_vec(),
            };
            self.check(&format!("{prefix}grad.{}", network.graph().parameter_name(*place, spec)), &in_file_order);
        }
        parameters.len()
    }

    /// The small encoder with these linear heads, an output's name and its node's, and the case's parameters.
    pub fn encoder<E: Element + Scalar>(&self, heads: &[(&str, &str)]) -> Network<E> {
        let graph = Graph::from_json(Path::new("net.json"), &description(heads)).unwrap();
        let names: Vec<_> = graph.parameters().iter().map(|(place, spec)| graph.parameter_name(*place, spec)).collect();
        let mut network = Network::initialised(graph, Initialisation::Uniform, 0);
        for (name, parameter) in names.iter().zip(network.parameters_mut()) {
            let value = self.array(&format!("param.{name}"));
            assert_eq!(shape(&value), shape(parameter), "{name}");
            *parameter = value;
        }
        network
    }
}

/// The small encoder as net.json has it.
fn description(heads: &[(&str, &str)]) -> Value {
    let mut nodes = Vec::new();
    let mut input = "input".to_string();
    for (number, (channels, stride)) in (1..).zip([(4, 1), (4, 2), (8, 1), (8, 2)]) {
        let (convolution, activation) = (format!("conv{number}"), format!("act{number}"));
        nodes.push(json!({"name": convolution, "op": "conv2d", "input": input, "channels": channels, "kernel": 3,
            "stride": stride, "padding": 1}));
        nodes.push(json!({"name": activation, "op": "leaky_relu", "input": convolution, "slope": 0.01}));
        input = activation;
    }
    nodes.push(json!({"name": "flatten", "op": "flatten", "input": input}));
    nodes.push(json!({"name": "fc1", "op": "linear", "input": "flatten", "features": 32}));
    nodes.push(json!({"name": "act_fc1", "op": "leaky_relu", "input": "fc1", "slope": 0.01}));
    let mut outputs = serde_json::Map::new();
    for (output, node) in heads {
        nodes.push(json!({"name": node, "op": "linear", "input": "act_fc1", "features": 6}));
        outputs.insert(output.to_string(), Value::from(*node));
    }
    json!({"format": "obverse-net/1", "input": {"shape": [1, 12, 12]}, "nodes": nodes, "outputs": outputs})
}

/// |a - b| <= tolerance * max(1, max |b|), element by element.
#[track_caller]
pub fn assert_close<E: Element>(what: &str, actual: &[E], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let close = (actual.wide() - expected).abs() <= tolerance * scale;
        assert!(close, "{what}, element {i}: {actual:?}, expected {expected:?} within {tolerance:e}");
    }
}
