//! One network of many operations in branches of several sizes: its two directions against each other and against central differences.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::net::{Graph, Initialisation, InputSpec, Mode, Network, Node, Size};
use crate::ops::InputGradient;
use crate::ops::checks::{assert_close, check_adjoint, check_gradients, check_gradients_of_some, normal, repeated};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Tape, backward, batch, gradient, shape, view};

/// Operations of all kinds, in branches of several sizes.
fn nodes() -> Value {
    json!([
        {"name": "conv", "op": "conv2d", "input": "input", "channels": 3, "kernel": 3, "padding": 1},
        {"name": "norm", "op": "batch_norm", "input": "conv"},
        {"name": "relu", "op": "relu", "input": "norm"},
        {"name": "max", "op": "max_pool2d", "input": "norm", "kernel": 3, "stride": 2, "padding": 1, "ceil_mode": true},
        {"name": "mean", "op": "avg_pool2d", "input": "max", "kernel": 2, "stride": 1, "padding": 1,
         "count_include_pad": false},
        {"name": "transposed", "op": "conv_transpose2d", "input": "max", "channels": 2, "kernel": 3, "stride": 2,
         "padding": 1, "output_padding": 1},
        {"name": "leaky", "op": "leaky_relu", "input": "transposed"},
        {"name": "small", "op": "upsample_bilinear", "input": "leaky", "size": [4, 3]},
        {"name": "framed", "op": "pad", "input": "mean", "padding": {"top": 1, "bottom": 0, "left": 0, "right": 2},
         "channels": [1, 2]},
        {"name": "large", "op": "upsample_nearest", "input": "framed", "factor": 2},
        {"name": "even", "op": "upsample_bilinear", "input": "large", "size": [4, 3]},
        {"name": "cat", "op": "concat", "input": ["small", "even", "small"]},
        {"name": "slice", "op": "slice", "input": "cat", "start": 1, "end": 4},
        {"name": "signs", "op": "concat_elu", "input": "slice"},
        {"name": "drop", "op": "dropout", "input": "signs", "p": 0.3},
        {"name": "asinh", "op": "asinh", "input": "drop"},
        {"name": "tanh", "op": "tanh", "input": "drop"},
        {"name": "sum", "op": "add", "input": ["asinh", "tanh", "asinh"]},
        {"name": "sinh", "op": "sinh", "input": "sum"},
        {"name": "softplus", "op": "softplus", "input": "sinh"},
        {"name": "means", "op": "global_avg_pool", "input": "relu"},
        {"name": "clip", "op": "clip", "input": "softplus", "low": 0.25, "high": 2.5},
        {"name": "flat", "op": "flatten", "input": "clip"},
        {"name": "image", "op": "reshape", "input": "flat", "shape": [2, 6, 6]},
        {"name": "turned", "op": "reshape", "input": "image", "shape": [6, 2, 6]},
        {"name": "elu", "op": "elu", "input": "turned"},
        {"name": "again", "op": "flatten", "input": "elu"},
        {"name": "line", "op": "linear", "input": "again", "features": 3},
        {"name": "sigmoid", "op": "sigmoid", "input": "line"},
    ])
}

fn network(mean: Vec<f64>, std: Vec<f64>) -> Network<f64> {
    let input = InputSpec { mean, std, ..InputSpec::plain(Size::new(2, 5, 6)) };
    let nodes = nodes().as_array().expect("a list").iter().map(|node| Node::from_json(node).expect("a node")).collect();
    let outputs = BTreeMap::from([("z", "sigmoid"), ("m", "means")].map(|(name, node)| (name.into(), node.into())));
    let graph = Graph::new(input, nodes, outputs).expect("a graph");
    let mut network = Network::initialised(graph, Initialisation::Uniform, 0);
    // Running statistics that are not their initial values.
    for which in 0..network.parameters().len() {
        let name = network.graph().parameters()[which].1.name;
        if name.starts_with("running") {
            let value = &mut network.parameters_mut()[which];
            *value = batch(vec![0.2, 0.5, 0.7], shape(value));
        }
    }
    network
}

fn normalising() -> Network<f64> {
    network(vec![0.1, -0.2], vec![0.5, 2.0])
}

fn modes() -> [Mode; 2] {
    [Mode::Inference, Mode::Training(Stream::new(0, "dropout", 0))]
}

/// The place of an output.
fn place(network: &Network<f64>, output: &str) -> usize {
    network.graph().output(output).expect("an output")
}

/// An output of a network.
fn output(tape: &mut Tape<f64>, network: &Network<f64>, x: &Batch<f64>, mode: Mode, name: &str) -> Batch<f64> {
    let trace = network.forward(tape, x, mode, InputGradient::Wanted);
    trace.value(place(network, name)).expect("an output is kept").clone()
}

/// The input's cotangent for one of each output.
fn pulled(
    tape: &mut Tape<f64>,
    network: &Network<f64>,
    x: &Batch<f64>,
    mode: Mode,
    cotangents: [&Batch<f64>; 2],
) -> Batch<f64> {
    let trace = network.forward(tape, x, mode, InputGradient::Wanted);
    let cotangents = [(place(network, "z"), cotangents[0]), (place(network, "m"), cotangents[1])];
    network.pullback(tape, &trace, &cotangents).expect("a path to the input")
}

/// The network with other trained parameters.
fn with_parameters(network: &Network<f64>, trained: &[Batch<f64>]) -> Network<f64> {
    let mut network = network.clone();
    let specs = network.graph().parameters();
    let places = specs.iter().enumerate().filter(|(_, (_, spec))| spec.trained).map(|(which, _)| which);
    for (which, value) in places.zip(trained) {
        network.parameters_mut()[which] = value.clone();
    }
    network
}

/// x and the trained parameters.
fn inputs(network: &Network<f64>, x: &Batch<f64>) -> Vec<Batch<f64>> {
    let pairs = network.graph().parameters().into_iter().zip(network.parameters());
    let trained = pairs.filter(|((_, spec), _)| spec.trained).map(|(_, value)| value.clone());
    std::iter::once(x.clone()).chain(trained).collect()
}

#[test]
fn gradients_are_differences() {
    let network = normalising();
    let x = normal("x", (2, 5, 6, 2));
    for mode in modes() {
        check_gradients(&inputs(&network, &x), |tape, inputs| {
            output(tape, &with_parameters(&network, &inputs[1..]), &inputs[0], mode, "z")
        });
    }
}

#[test]
fn the_pullback_is_the_transposed_derivative() {
    let network = normalising();
    let x = normal("x", (2, 5, 6, 2));
    let tape = Tape::recording;
    for mode in modes() {
        for name in ["z", "m"] {
            check_adjoint(
                &x,
                |x| output(&mut tape(), &network, x, mode, name),
                |cotangent| {
                    let trace = network.forward(&mut Tape::off(), &x, mode, InputGradient::Unwanted);
                    let cotangents = [(place(&network, name), cotangent)];
                    network.pullback(&mut Tape::off(), &trace, &cotangents).expect("a path to the input")
                },
            );
        }
    }
}

#[test]
fn gradients_through_the_pullback_are_differences() {
    let network = normalising();
    let x = normal("x", (2, 5, 6, 2));
    let (z, m) = (normal("z", (2, 1, 1, 3)), normal("m", (2, 1, 1, 3)));
    for mode in modes() {
        check_gradients_of_some(&inputs(&network, &x), |tape, inputs| {
            pulled(tape, &with_parameters(&network, &inputs[1..]), &inputs[0], mode, [&z, &m])
        });
        check_gradients_of_some(&[z.clone(), m.clone()], |tape, inputs| {
            pulled(tape, &network, &x, mode, [&inputs[0], &inputs[1]])
        });
    }
}

#[test]
fn one_image_stands_for_all_of_the_cotangents() {
    let network = normalising();
    let x = normal("x", (1, 5, 6, 2));
    let (z, m) = (normal("z", (3, 1, 1, 3)), normal("m", (3, 1, 1, 3)));
    let pull = |x: &Batch<f64>| view(&pulled(&mut Tape::recording(), &network, x, Mode::Inference, [&z, &m])).to_vec();
    assert_close(&pull(&x), &pull(&repeated(&x, 3)), 1e-14);
}

#[test]
fn the_input_is_normalised_and_its_gradient_divided() {
    let (plain, normalising) = (network(vec![], vec![]), normalising());
    let x: Batch<f64> = normal("x", (2, 5, 6, 2));
    let by_hand = view(&x).chunks(2).flat_map(|pixel| [(pixel[0] - 0.1) / 0.5, (pixel[1] + 0.2) / 2.0]).collect();
    let by_hand = batch(by_hand, shape(&x));
    let run = |network: &Network<f64>, x: &Batch<f64>, input| {
        let mut tape = Tape::recording();
        let trace = network.forward(&mut tape, x, Mode::Inference, input);
        let z = trace.value(place(network, "z")).expect("an output").clone();
        let gradient = gradient(&mut backward(tape, &z, vec![1.0; 6]), x);
        (view(&z).to_vec(), gradient)
    };
    let (expected, slopes) = run(&plain, &by_hand, InputGradient::Wanted);
    let (actual, gradient) = run(&normalising, &x, InputGradient::Wanted);
    assert_eq!(actual, expected);
    let divided: Vec<f64> = slopes.chunks(2).flat_map(|pixel| [pixel[0] / 0.5, pixel[1] / 2.0]).collect();
    assert_close(&gradient, &divided, 1e-15);
    assert_eq!(run(&normalising, &x, InputGradient::Unwanted).1, [0.0; 120]);
}

#[test]
fn a_normalisation_that_does_not_fit_is_an_error_that_names_the_input() {
    let fails = |mean: Vec<f64>, std: Vec<f64>| {
        let input = InputSpec { mean, std, ..InputSpec::plain(Size::new(2, 5, 6)) };
        Graph::new(input, Vec::new(), BTreeMap::new()).expect_err("it does not fit").to_string()
    };
    let three = "node \"input\": mean: expected a number for each of 2 channels, found 3";
    assert_eq!(fails(vec![0.0; 3], vec![]), three);
    assert_eq!(fails(vec![], vec![1.0, 0.0]), "node \"input\": std: expected positive numbers, found 0");
    assert_eq!(fails(vec![], vec![f64::NAN, 1.0]), "node \"input\": std: expected positive numbers, found NaN");
}

#[test]
fn training_moves_the_running_statistics_and_inference_does_not() {
    let network = normalising();
    let x = normal("x", (4, 5, 6, 2));
    let running =
        |mode| network.forward(&mut Tape::off(), &x, mode, InputGradient::Unwanted).running_statistics().to_vec();
    let [inference, training] = modes().map(running);
    assert!(inference.is_empty());
    let names = training.iter().map(|(which, value)| {
        assert_ne!(view(value), view(&network.parameters()[*which]));
        network.graph().parameters()[*which].1.name
    });
    assert_eq!(names.collect::<Vec<_>>(), ["running_mean", "running_var"]);
}
