//! A network with values of its own, each one image for all: its two directions, and what its input does not reach.

use std::path::Path;

use serde_json::json;

use crate::net::{Graph, Initialisation, Mode, Network};
use crate::ops::InputGradient;
use crate::ops::checks::{assert_close, check_adjoint, check_gradients, normal, repeated};
use crate::tensor::{Batch, Tape, backward, gradient, shape, view};

/// Constants of several sizes, one that goes through an activation first, joined with images in every order.
fn network() -> Network<f64> {
    let description = json!({"format": "obverse-net/1", "input": {"shape": [2, 3, 4]}, "outputs": {"y": "y"}, "nodes": [
        {"name": "scale", "op": "constant", "size": [2]},
        {"name": "positions", "op": "constant", "size": [2, 3, 4]},
        {"name": "rows", "op": "constant", "size": [1, 3, 1]},
        {"name": "gate", "op": "sigmoid", "input": "rows"},
        {"name": "scaled", "op": "mul", "input": ["scale", "input", "gate"]},
        {"name": "placed", "op": "add", "input": ["positions", "scaled"]},
        {"name": "means", "op": "global_avg_pool", "input": "placed"},
        {"name": "centred", "op": "sub", "input": ["placed", "means"]},
        {"name": "bounded", "op": "maximum", "input": ["gate", "centred"]},
        {"name": "ratio", "op": "div", "input": ["centred", "gate"]},
        {"name": "y", "op": "mul", "input": ["bounded", "ratio", "tokens"]},
        {"name": "tokens", "op": "add", "input": ["scale", "rows"]}]});
    let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
    let mut network = Network::initialised(graph, Initialisation::He, 1);
    for (number, parameter) in network.parameters_mut().iter_mut().enumerate() {
        *parameter = normal(&format!("p{number}"), shape(parameter));
    }
    network
}

fn with_parameters(parameters: &[Batch<f64>]) -> Network<f64> {
    let mut network = network();
    network.parameters_mut().clone_from_slice(parameters);
    network
}

fn output(tape: &mut Tape<f64>, network: &Network<f64>, x: &Batch<f64>) -> Batch<f64> {
    let trace = network.forward(tape, x, Mode::Inference, InputGradient::Wanted);
    network.value(&trace, network.graph().output("y").unwrap()).unwrap().clone()
}

fn pulled(tape: &mut Tape<f64>, network: &Network<f64>, x: &Batch<f64>, cotangent: &Batch<f64>) -> Batch<f64> {
    let trace = network.forward(tape, x, Mode::Inference, InputGradient::Wanted);
    network.pullback(tape, &trace, &[(network.graph().output("y").unwrap(), cotangent)]).unwrap()
}

#[test]
fn a_constant_is_a_trained_parameter_that_starts_as_zeros() {
    let network = network();
    let parameters = network.graph().parameters();
    assert_eq!(
        parameters.iter().map(|(_, spec)| spec.shape.as_slice()).collect::<Vec<_>>(),
        [[1, 2, 1, 1], [1, 2, 3, 4], [1, 1, 3, 1]]
    );
    assert_eq!(shape(&network.parameters()[1]), (1, 3, 4, 2));
    let fresh = Network::<f64>::initialised(network.graph().clone(), Initialisation::Orthogonal, 1);
    assert!(fresh.parameters().iter().all(|value| view(value).iter().all(|&value| value == 0.0)));
    let json = network.graph().nodes[0].to_json();
    assert_eq!(json, json!({"name": "scale", "op": "constant", "size": [2]}));
}

#[test]
fn gradients_are_differences_also_through_the_pullback() {
    let x = normal("x", (2, 3, 4, 2));
    let inputs: Vec<Batch<f64>> = std::iter::once(x.clone()).chain(network().parameters().iter().cloned()).collect();
    check_gradients(&inputs, |tape, inputs| output(tape, &with_parameters(&inputs[1..]), &inputs[0]));
    let inputs: Vec<Batch<f64>> = std::iter::once(normal("c", (2, 3, 4, 2))).chain(inputs).collect();
    check_gradients(&inputs, |tape, inputs| pulled(tape, &with_parameters(&inputs[2..]), &inputs[1], &inputs[0]));
}

#[test]
fn the_pullback_is_the_transposed_derivative_also_with_one_image_for_all() {
    let (network, x) = (network(), normal("x", (2, 3, 4, 2)));
    check_adjoint(&x, |x| output(&mut Tape::off(), &network, x), |c| pulled(&mut Tape::off(), &network, &x, c));
    let (one, cotangent) = (normal("one", (1, 3, 4, 2)), normal("c", (3, 3, 4, 2)));
    let pull = |x: &Batch<f64>| pulled(&mut Tape::off(), &network, x, &cotangent);
    assert_close(view(&pull(&one)), view(&pull(&repeated(&one, 3))), 1e-14);
}

#[test]
fn a_cotangent_of_what_the_input_does_not_reach_is_an_error() {
    let network = network().tapped(&["tokens"]).unwrap();
    let trace = network.forward(&mut Tape::off(), &normal("x", (2, 3, 4, 2)), Mode::Inference, InputGradient::Wanted);
    let tokens = network.graph().place("tokens").unwrap();
    let value = network.value(&trace, tokens).unwrap().clone();
    assert_eq!(shape(&value), (1, 3, 1, 2));
    let error = network.gradient_at_input(&mut Tape::off(), &trace, &[(tokens, &value)]).unwrap_err().to_string();
    assert!(error.contains("tokens") && error.contains("does not reach"), "{error}");
}

#[test]
fn the_gradients_of_a_constant_are_those_of_all_images() {
    let network = network();
    let of = |x: &Batch<f64>| {
        let mut tape = Tape::recording();
        let y = output(&mut tape, &network, x);
        let mut gradients = backward(tape, &y, vec![1.0; view(&y).len()]);
        gradient(&mut gradients, &network.parameters()[0])
    };
    let one = normal("x", (1, 3, 4, 2));
    let thrice: Vec<f64> = of(&one).iter().map(|value| 3.0 * value).collect();
    assert_close(&of(&repeated(&one, 3)), &thrice, 1e-14);
}
