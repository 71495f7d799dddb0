//! The reverse of networks against closed forms, the pullback and differences; nodes without one are named.

use serde_json::{Value, json};

use super::reverse::{Fit, Reverse};
use crate::net::Initialisation;
use crate::net::{Graph, Mode, Network, Trace};
use crate::ops::InputGradient;
use crate::ops::checks::{assert_close, check_gradients, normal};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Tape, backward, batch, gradient, shape, view};

/// A network of these nodes, each reading the one before, its last one the output "z".
fn network(input: &[usize], nodes: &[Value], initialisation: Initialisation) -> Network<f64> {
    let graph = graph(input, nodes);
    Network::initialised(graph, initialisation, 1)
}

fn graph(input: &[usize], nodes: &[Value]) -> Graph {
    let mut last = "input".to_string();
    let mut named = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let mut node = node.clone();
        let name = format!("{}{number}", node["op"].as_str().unwrap());
        node["name"] = name.clone().into();
        node["input"] = last.into();
        last = name;
        named.push(node);
    }
    let json = json!({"format": "obverse-net/1", "input": {"shape": input}, "nodes": named, "outputs": {"z": last}});
    Graph::from_json(std::path::Path::new("net.json"), &json).unwrap()
}

fn linear(features: usize) -> Value {
    json!({"op": "linear", "features": features})
}

fn op(name: &str) -> Value {
    json!({"op": name})
}

fn convolution(channels: usize, stride: usize) -> Value {
    json!({"op": "conv2d", "channels": channels, "kernel": 3, "stride": stride, "padding": 1})
}

fn images(shape: (usize, usize, usize, usize)) -> Batch<f64> {
    let length = shape.0 * shape.1 * shape.2 * shape.3;
    batch(Stream::new(0, "images", 0).uniform(0..length), shape)
}

fn forward(network: &Network<f64>, x: &Batch<f64>) -> Trace<f64> {
    network.forward(&mut Tape::off(), x, Mode::Inference, InputGradient::Unwanted)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// x and x~ map to the same representation, as long as that is far smaller than x and each layer between.
#[test]
fn a_random_network_maps_an_image_and_its_reverse_to_one_representation() {
    let nodes = [op("flatten"), linear(1500), op("relu"), linear(40), op("relu")];
    let network = network(&[1, 100, 100], &nodes, Initialisation::He);
    let reverse = Reverse::of(network.graph()).unwrap();
    let trace = forward(&network, &images((6, 100, 100, 1)));
    let h = network.value(&trace, reverse.start()).unwrap().clone();
    let fits = reverse.model_fits(&network);
    assert_eq!(fits.len(), 2);
    let shadow = reverse.images(&mut Tape::off(), &network, &h, &fits, Mode::Inference).unwrap();
    assert!(view(&shadow).iter().all(|&pixel| pixel >= 0.0));
    let again = forward(&network, &shadow);
    let again = network.value(&again, reverse.start()).unwrap();
    for (h, again) in view(&h).chunks(40).zip(view(again).chunks(40)) {
        assert!(cosine(h, again) > 0.9, "{}", cosine(h, again));
        let ratio = again.iter().sum::<f64>() / h.iter().sum::<f64>();
        assert!((0.7..1.4).contains(&ratio), "{ratio}");
    }
}

#[test]
fn orthonormal_layers_without_rectifiers_are_reversed_exactly() {
    let network = network(&[2, 4, 4], &[op("flatten"), linear(32), linear(40)], Initialisation::Orthogonal);
    let x = images((50, 4, 4, 2));
    let reverse = Reverse::of(network.graph()).unwrap();
    let (found, fits) = reverse.fitted(&mut Tape::off(), &network, &forward(&network, &x), Mode::Inference).unwrap();
    assert_close(view(&found), view(&x), 1e-12);
    assert!(fits.iter().all(|fit| (fit.scale - 1.0).abs() < 1e-12));
}

/// Average pooling, of equal pixels, and the normalisation of pixels are undone.
#[test]
fn pooling_and_normalisation_are_undone() {
    let pool = json!({"op": "avg_pool2d", "kernel": 2});
    let mut graph = graph(&[1, 4, 4], &[pool, op("flatten"), linear(4)]);
    graph.input.mean = vec![0.3];
    graph.input.std = vec![0.2];
    let network = Network::<f64>::initialised(graph, Initialisation::Orthogonal, 0);
    let coarse = images((20, 2, 2, 1));
    let x = crate::ops::upsample::nearest(&mut Tape::off(), &coarse, 2);
    let reverse = Reverse::of(network.graph()).unwrap();
    let trace = forward(&network, &x);
    let (found, _) = reverse.fitted(&mut Tape::off(), &network, &trace, Mode::Inference).unwrap();
    assert_close(view(&found), view(&x), 1e-12);
}

#[test]
fn convolutions_are_reversed_by_the_pullback_and_fits_make_an_image_nearer_than_the_mean() {
    let nodes = [convolution(6, 1), op("relu"), convolution(8, 2), json!({"op": "leaky_relu", "slope": 0.1})];
    let network = network(&[2, 8, 7], &nodes, Initialisation::He).tapped(&["conv2d2"]).unwrap();
    let x = images((30, 8, 7, 2));
    let reverse = Reverse::of(network.graph()).unwrap();
    let trace = forward(&network, &x);
    let (found, fits) = reverse.fitted(&mut Tape::off(), &network, &trace, Mode::Inference).unwrap();
    assert_eq!(shape(&found), shape(&x));
    // A scale of 0 and the channels' means are among what least squares choose from, and rectifying comes nearer to pixels.
    let mean = |channel: usize| view(&x).iter().skip(channel).step_by(2).sum::<f64>() / (30 * 8 * 7) as f64;
    let means = [mean(0), mean(1)];
    let distance = |r: &dyn Fn(usize) -> f64| {
        let squares = view(&x).iter().enumerate().map(|(i, x)| (x - r(i)).powi(2));
        squares.sum::<f64>()
    };
    let (near, blind) = (distance(&|i| view(&found)[i]), distance(&|i| means[i % 2]));
    assert!(near < blind, "{near} {blind}");
    // The same scales and biases, given.
    let h = network.value(&trace, reverse.start()).unwrap();
    let given = reverse.images(&mut Tape::off(), &network, h, &fits, Mode::Inference).unwrap();
    assert_eq!(view(&given), view(&found));
    assert!(reverse.images(&mut Tape::off(), &network, h, &fits[..1], Mode::Inference).is_err());
    // One layer with scale 1 and no bias is the pullback, where pixels are negative rectified.
    let first = Reverse::from(network.graph(), 0).unwrap();
    let cotangent = normal("h", (30, 8, 7, 6));
    let plain = Fit { scale: 1.0, bias: crate::tensor::zeros((1, 1, 1, 2)) };
    let back = first.images(&mut Tape::off(), &network, &cotangent, &[plain], Mode::Inference).unwrap();
    let single = network.clone().only(&["conv2d0"]).unwrap();
    let pulled = single.pullback(&mut Tape::off(), &forward(&single, &x), &[(0, &cotangent)]).unwrap();
    let expected: Vec<f64> = view(&pulled).iter().map(|value| value.max(0.0)).collect();
    assert_close(view(&back), &expected, 1e-12);
}

#[test]
fn gradients_are_differences_in_the_representation_and_in_the_weights() {
    let nodes = [convolution(3, 2), op("relu"), op("flatten"), json!({"op": "dropout", "p": 0.3}), linear(5)];
    let network = network(&[1, 6, 6], &nodes, Initialisation::He);
    let reverse = Reverse::of(network.graph()).unwrap();
    let fits = reverse.model_fits(&network);
    let inputs = [normal("h", (4, 1, 1, 5)), network.parameters()[0].clone(), network.parameters()[2].clone()];
    check_gradients(&inputs, |tape, inputs| {
        let mut network = network.clone();
        network.parameters_mut()[0] = inputs[1].clone();
        network.parameters_mut()[2] = inputs[2].clone();
        let mode = Mode::Training(Stream::new(0, "reverse", 0));
        reverse.images(tape, &network, &inputs[0], &fits, mode).unwrap()
    });
}

#[test]
fn estimated_scales_are_constants_of_the_tape() {
    let network = network(&[20], &[linear(30), op("relu")], Initialisation::He);
    let reverse = Reverse::of(network.graph()).unwrap();
    let trace = forward(&network, &images((9, 1, 1, 20)));
    let mut tape = Tape::recording();
    let (x, fits) = reverse.fitted(&mut tape, &network, &trace, Mode::Inference).unwrap();
    let found = gradient(&mut backward(tape, &x, vec![1.0; 180]), &network.parameters()[0]);
    let h = network.value(&trace, 1).unwrap();
    let mut tape = Tape::recording();
    let x = reverse.images(&mut tape, &network, h, &fits, Mode::Inference).unwrap();
    assert_eq!(found, gradient(&mut backward(tape, &x, vec![1.0; 180]), &network.parameters()[0]));
    assert!(found.iter().any(|&value| value != 0.0));
}

#[test]
fn nodes_without_reverse_are_named() {
    let refused = |nodes: &[Value], words: &[&str]| {
        let error = Reverse::of(&graph(&[2, 8, 8], nodes)).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(&[json!({"op": "max_pool2d", "kernel": 2})], &["\"max_pool2d0\"", "no reverse", "average pooling"]);
    refused(&[convolution(3, 1), op("batch_norm"), op("relu")], &["\"batch_norm1\"", "fold"]);
    refused(&[op("flatten"), linear(3), op("sigmoid"), linear(2)], &["\"sigmoid2\"", "sigmoid has no reverse"]);
    let mut two = graph(&[2, 8, 8], &[op("flatten"), linear(3)]);
    two.outputs.insert("y".into(), "flatten0".into());
    assert!(Reverse::of(&two).unwrap_err().to_string().contains("logits"));
}

#[test]
fn the_way_starts_below_the_softmax_and_drops_in_training_alone() {
    let drop = || json!({"op": "dropout", "p": 0.5});
    let nodes = [op("flatten"), linear(64), op("relu"), drop(), linear(32), op("relu"), drop(), linear(4)];
    let mut graph = graph(&[1, 5, 5], &nodes);
    graph.outputs = [("logits".to_string(), "linear7".to_string())].into();
    let network = Network::<f64>::initialised(graph, Initialisation::He, 0);
    let reverse = Reverse::of(network.graph()).unwrap();
    assert_eq!(network.graph().nodes[reverse.start()].name, "relu5");
    let h = normal("h", (3, 1, 1, 32));
    let fits = reverse.model_fits(&network);
    let run = |mode| reverse.images(&mut Tape::off(), &network, &h, &fits, mode).unwrap();
    let training = |seed| run(Mode::Training(Stream::new(seed, "reverse", 0)));
    assert_ne!(view(&training(0)), view(&training(1)));
    assert_ne!(view(&training(0)), view(&run(Mode::Inference)));
    assert_eq!(view(&training(0)), view(&training(0)));
}
