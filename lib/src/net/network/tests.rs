//! Networks in both directions: pullbacks against central differences, in a graph whose node two others read, and the
//! nodes that are computed together against the same nodes apart.

use std::path::Path;

use serde_json::json;

use super::{Graph, Initialisation, Mode, Network, Slopes};
use crate::ops::InputGradient;
use crate::ops::checks::{assert_close, check_adjoint, check_gradients, normal};
use crate::tensor::{Batch, Tape, backward, batch, gradient, shape, view, view_mut};

/// Images of 2 x 6 x 5; a rectifier that a linear head, a transposed convolution and a second convolution read.
fn branched() -> Network<f64> {
    let description = json!({"format": "obverse-net/1", "input": {"shape": [2, 6, 5]},
        "outputs": {"z": "z", "image": "out", "features": "act2"}, "nodes": [
        {"name": "conv1", "op": "conv2d", "input": "input", "channels": 4, "kernel": [3, 2], "stride": [2, 1],
         "padding": {"top": 1, "bottom": 0, "left": 1, "right": 0}},
        {"name": "act1", "op": "leaky_relu", "input": "conv1", "slope": 0.2},
        {"name": "conv2", "op": "conv2d", "input": "act1", "channels": 6, "kernel": 3, "groups": 2, "padding": 1},
        {"name": "act2", "op": "asinh", "input": "conv2"},
        {"name": "flatten", "op": "flatten", "input": "act1"},
        {"name": "fc", "op": "linear", "input": "flatten", "features": 7},
        {"name": "act_fc", "op": "relu", "input": "fc"},
        {"name": "z", "op": "linear", "input": "act_fc", "features": 3, "bias": false},
        {"name": "up", "op": "conv_transpose2d", "input": "act1", "channels": 3, "kernel": 3, "stride": 2, "padding": 1,
         "output_padding": {"top": 0, "bottom": 1, "left": 0, "right": 0}},
        {"name": "act_up", "op": "leaky_relu", "input": "up", "slope": 0.1},
        {"name": "out", "op": "sigmoid", "input": "act_up"}]});
    let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
    Network::initialised(graph, Initialisation::He, 5)
}

/// Every node that another's computation may swallow.
const SWALLOWED: [&str; 3] = ["conv1", "fc", "up"];

fn places(network: &Network<f64>, nodes: &[&str]) -> Vec<usize> {
    nodes.iter().map(|node| network.graph().place(node).unwrap()).collect()
}

/// What these nodes compute, side by side as one vector.
fn values(network: &Network<f64>, x: &Batch<f64>, places: &[usize]) -> Batch<f64> {
    let trace = network.forward(&mut Tape::off(), x, Mode::Inference, InputGradient::Wanted);
    let values: Vec<f64> = places.iter().flat_map(|&place| view(trace.value(place).unwrap()).to_vec()).collect();
    let length = values.len();
    batch(values, (1, 1, 1, length))
}

/// The pullback of cotangents side by side, as `values` puts them.
fn pulled(network: &Network<f64>, x: &Batch<f64>, places: &[usize], cotangent: &Batch<f64>) -> Batch<f64> {
    let trace = network.forward(&mut Tape::off(), x, Mode::Inference, InputGradient::Wanted);
    let mut rest = view(cotangent);
    let cotangents: Vec<(usize, Batch<f64>)> = places
        .iter()
        .map(|&place| {
            let of_node = shape(trace.value(place).unwrap());
            let (values, after) = rest.split_at(of_node.0 * of_node.1 * of_node.2 * of_node.3);
            rest = after;
            (place, batch(values.to_vec(), of_node))
        })
        .collect();
    let cotangents: Vec<_> = cotangents.iter().map(|(place, cotangent)| (*place, cotangent)).collect();
    network.pullback(&mut Tape::off(), &trace, &cotangents).unwrap()
}

#[test]
fn the_pullback_of_a_branched_graph_is_its_transposed_derivative() {
    let x = normal("x", (2, 6, 5, 2));
    let fused = branched();
    let tapped = branched().tapped(&SWALLOWED).unwrap();
    for (network, nodes) in [
        (&fused, &["z", "out", "act2"][..]),
        (&fused, &["z"]),
        (&fused, &["act2", "out"]),
        (&tapped, &["z", "out", "act2"]),
        // A node and what is computed from it, both with cotangents of their own.
        (&tapped, &["conv1", "fc", "up", "act2", "z"]),
    ] {
        let places = places(network, nodes);
        check_adjoint(&x, |x| values(network, x, &places), |cotangent| pulled(network, &x, &places, cotangent));
    }
}

#[test]
fn values_that_are_wanted_are_those_of_a_forward_pass_to_the_bit() {
    let network = branched();
    let x = normal("x", (2, 6, 5, 2));
    let heads = places(&network, &["z", "out", "act2"]);
    let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
    for wanted in [&heads[..], &heads[..1], &heads[1..]] {
        let found = network.evaluate(&x, wanted).unwrap();
        assert_eq!(found.len(), wanted.len());
        for (found, &place) in found.iter().zip(wanted) {
            assert_eq!(view(found), view(network.value(&trace, place).unwrap()));
        }
    }
    // Every value but the wanted ones goes, none before it is read.
    let last = network.last_readers(&heads);
    for (place, _) in network.graph().nodes.iter().enumerate().filter(|&(place, _)| trace.value(place).is_some()) {
        assert_eq!(last[place].is_none(), heads.contains(&place), "{place}");
        let read_by =
            |reader: usize| (0..network.graph().sources(reader).len()).any(|i| network.read(reader, i) == Some(place));
        let readers = (0..network.graph().nodes.len()).filter(|&reader| read_by(reader));
        let computes = |&reader: &usize| network.executions[reader].computes(reader).is_some();
        assert!(last[place].is_none_or(|last| readers.filter(computes).all(|reader| reader <= last)), "{place}");
    }
}

#[test]
fn gradients_and_gradients_of_the_pullback_are_differences_in_every_parameter() {
    let network = branched();
    let x = normal("x", (2, 6, 5, 2));
    let heads = places(&network, &["z", "out", "act2"]);
    let cotangents: Vec<Batch<f64>> = {
        let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Wanted);
        heads.iter().map(|&place| normal(&format!("{place}"), shape(trace.value(place).unwrap()))).collect()
    };
    let inputs: Vec<_> = std::iter::once(x).chain(network.parameters().iter().cloned()).collect();
    let with = |inputs: &[Batch<f64>]| {
        let mut network = network.clone();
        network.parameters_mut().clone_from_slice(&inputs[1..]);
        network
    };
    for &head in &heads {
        check_gradients(&inputs, |tape, inputs| {
            let trace = with(inputs).forward(tape, &inputs[0], Mode::Inference, InputGradient::Wanted);
            trace.value(head).unwrap().clone()
        });
    }
    check_gradients(&inputs, |tape, inputs| {
        let network = with(inputs);
        let trace = network.forward(tape, &inputs[0], Mode::Inference, InputGradient::Wanted);
        let cotangents: Vec<_> = heads.iter().copied().zip(&cotangents).collect();
        network.pullback(tape, &trace, &cotangents).unwrap()
    });
}

/// Enlarged images are never made, unless they are asked for: of the input, and of a node.
#[test]
fn convolutions_of_enlarged_images_are_those_of_images_that_were_enlarged_before() {
    let description = json!({"format": "obverse-net/1", "input": {"shape": [2, 3, 4]}, "outputs": {"image": "act2"}, "nodes": [
        {"name": "up1", "op": "upsample_nearest", "input": "input", "factor": 2},
        {"name": "conv1", "op": "conv2d", "input": "up1", "channels": 3, "kernel": [3, 5], "padding": [1, 2]},
        {"name": "act1", "op": "leaky_relu", "input": "conv1", "slope": 0.2},
        {"name": "up2", "op": "upsample_nearest", "input": "act1", "factor": 2},
        {"name": "conv2", "op": "conv2d", "input": "up2", "channels": 2, "kernel": 3, "padding": 1},
        {"name": "act2", "op": "elu", "input": "conv2"}]});
    let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
    let without = Network::initialised(graph, Initialisation::He, 5);
    let with = without.clone().tapped(&["up1", "up2"]).unwrap();
    let trace = without.forward(&mut Tape::off(), &normal("x", (1, 3, 4, 2)), Mode::Inference, InputGradient::Unwanted);
    assert!(places(&without, &["up1", "up2"]).iter().all(|&place| trace.value(place).is_none()));
    let (x, head) = (normal("x", (2, 3, 4, 2)), places(&without, &["act2"]));
    assert_close(view(&values(&without, &x, &head)), view(&values(&with, &x, &head)), 1e-13);
    let cotangent = normal("c", shape(&values(&with, &x, &head)));
    let [pulled_without, pulled_with] = [&without, &with].map(|network| pulled(network, &x, &head, &cotangent));
    assert_close(view(&pulled_without), view(&pulled_with), 1e-13);
    check_adjoint(&x, |x| values(&without, x, &head), |cotangent| pulled(&without, &x, &head, cotangent));
}

#[test]
fn nodes_computed_together_give_the_bits_of_the_same_nodes_apart() {
    let x = normal("x", (2, 6, 5, 2));
    let run = |network: &Network<f64>| {
        let heads = places(network, &["z", "out", "act2"]);
        let mut tape = Tape::recording();
        let trace = network.forward(&mut tape, &x, Mode::Inference, InputGradient::Wanted);
        let values: Vec<Batch<f64>> = heads.iter().map(|&place| trace.value(place).unwrap().clone()).collect();
        let cotangents: Vec<_> = heads.iter().copied().zip(&values).collect();
        let pulled = network.pullback(&mut tape, &trace, &cotangents).unwrap();
        let mut gradients = backward(tape, &pulled, view(&normal::<f64>("cotangent", shape(&pulled))).to_vec());
        let mut result: Vec<Vec<f64>> = values.iter().chain([&pulled]).map(|value| view(value).to_vec()).collect();
        result.extend(network.parameters().iter().chain([&x]).map(|input| gradient(&mut gradients, input)));
        result
    };
    let tapped = branched().tapped(&SWALLOWED).unwrap();
    for (together, apart) in run(&branched()).iter().zip(run(&tapped)) {
        assert_eq!(*together, apart);
    }
    // The plans do differ: only the tapped network keeps what the other swallows.
    let kept = |network: &Network<f64>| {
        let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Wanted);
        places(network, &SWALLOWED).iter().filter(|&&place| trace.value(place).is_some()).count()
    };
    assert_eq!((kept(&branched()), kept(&tapped)), (0, 3));
}

#[test]
fn only_what_is_asked_for_is_computed() {
    let x = normal("x", (1, 6, 5, 2));
    let network = branched().only(&["act2"]).unwrap();
    let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
    let names: Vec<_> = (0..network.graph().nodes.len())
        .filter(|&place| trace.value(place).is_some())
        .map(|place| network.graph().nodes[place].name.as_str())
        .collect();
    assert_eq!(names, ["act1", "conv2", "act2"]);
    let whole = branched();
    assert_eq!(
        view(&values(&network, &x, &places(&network, &["act2"]))),
        view(&values(&whole, &x, &places(&whole, &["act2"])))
    );
}

#[test]
fn a_name_that_is_no_node_is_refused_with_those_there_are() {
    for refused in [branched().tapped(&["nothing"]), branched().only(&["nothing"])] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("nothing") && error.contains("act_fc"), "{error}");
    }
}

/// A rectifier that is off everywhere passes no cotangent; redirected, it passes those that would turn it on, fused with the layer
/// before it or not.
#[test]
fn redirected_slopes_push_on_what_is_off() {
    let description = json!({"format": "obverse-net/1", "input": {"shape": [3]}, "outputs": {"y": "act"}, "nodes": [
        {"name": "fc", "op": "linear", "input": "input", "features": 2},
        {"name": "act", "op": "relu", "input": "fc"}]});
    let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
    let mut network = Network::<f64>::initialised(graph, Initialisation::He, 5);
    view_mut(&mut network.parameters_mut()[1]).fill(-100.0);
    let weight = view(&network.parameters()[0]).to_vec();
    let x: Batch<f64> = batch(vec![0.1, 0.2, 0.3], (1, 1, 1, 3));
    let cotangent: Batch<f64> = batch(vec![2.0, -1.0], (1, 1, 1, 2));
    for network in [network.clone(), network.tapped(&["fc"]).unwrap()] {
        let place = network.graph().place("act").unwrap();
        let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Wanted);
        let pulled = |slopes| view(&network.pullback_by(&trace, &[(place, &cotangent)], slopes).unwrap()).to_vec();
        assert_eq!(pulled(Slopes::True), [0.0; 3]);
        let expected: Vec<f64> = weight[..3].iter().map(|weight| 2.0 * weight).collect();
        assert_eq!(pulled(Slopes::Redirected), expected);
    }
}

#[test]
fn what_products_keep_of_a_weight_is_dropped_when_it_changes() {
    let description = json!({"format": "obverse-net/1", "input": {"shape": [3, 9, 9]}, "outputs": {"z": "z"}, "nodes": [
        {"name": "same", "op": "conv2d", "input": "input", "channels": 16, "kernel": 3, "padding": 1},
        {"name": "smaller", "op": "conv2d", "input": "same", "channels": 16, "kernel": 3, "stride": 2},
        {"name": "z", "op": "linear", "input": "smaller", "features": 5, "every_place": true}]});
    let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
    let mut network = Network::initialised(graph, Initialisation::He, 5);
    let (x, z) = (normal("x", (2, 9, 9, 3)), places(&network, &["z"]));
    let cotangent = normal("cotangent", (2, 1, 1, 4 * 4 * 5));
    let both = |network: &Network<f64>| {
        [values(network, &x, &z), pulled(network, &x, &z, &cotangent)].map(|values| view(&values).to_vec())
    };
    let before = both(&network);
    assert_eq!(both(&network), before, "from what was kept");
    let copy = network.clone();
    // Each weight alone, so that none is forgotten.
    for place in 0..network.parameters().len() {
        let before = both(&network);
        view_mut(&mut network.parameters_mut()[place]).iter_mut().for_each(|value| *value *= 2.0);
        let fresh = Network::assembled(network.graph().clone(), network.parameters().to_vec());
        assert_eq!(both(&network), both(&fresh));
        assert_ne!(both(&network), before);
    }
    assert_eq!(both(&copy), before, "a copy keeps its own");
}

#[test]
fn a_node_is_found_by_the_output_that_it_gives_where_no_node_has_the_name() {
    let relu = |name: &str, input: &str| json!({"name": name, "op": "relu", "input": input});
    let description = json!({"format": "obverse-net/1", "input": {"shape": [3, 8, 8]},
        "outputs": {"y": "b", "a": "b"}, "nodes": [relu("a", "input"), relu("b", "a")]});
    let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
    assert_eq!((graph.place("y").unwrap(), graph.place("a").unwrap()), (1, 0));
    assert!(graph.place("z").unwrap_err().to_string().contains("\"z\""));
}
