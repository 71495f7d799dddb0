//! Networks and density models as the suite keeps them: descriptions in JSON, parameters in arrays.

use std::fs;
use std::path::Path;

use obverse::density::{Architecture, PixelCnn};
use obverse::net::{Graph, Mode, Network, Op, Size};
use obverse::ops::InputGradient;
use obverse::tensor::{Tape, batch};
use serde_json::Value;

use super::Outcome;
use super::scratch::{joined, parted, with_file, with_folder, write};

/// Values and parameters, together, of networks that are run.
const SMALL: usize = 1 << 12;

pub fn graph(bytes: &[u8]) -> Outcome {
    with_file("net.json", bytes, |path| again(&Graph::load(path)?))
}

/// A graph is the same after its JSON.
fn again(graph: &Graph) -> Outcome {
    let json = serde_json::to_vec(&Value::Object(graph.to_json()))?;
    assert_eq!(Graph::from_json(Path::new("net.json"), &serde_json::from_slice(&json)?)?, *graph);
    Ok(())
}

/// A network's graph returns from its JSON, and a small network runs.
pub fn check(network: &Network<f32>) -> Outcome {
    let graph = network.graph();
    again(graph)?;
    let values: usize = (0..graph.nodes.len()).map(|place| graph.size(place).elements()).sum();
    let has_one_input = graph.nodes.iter().all(|node| !matches!(node.op, Op::Input { .. }));
    let Size { channels, height, width } = graph.input.shape;
    if has_one_input && values + graph.parameter_count() + graph.input.shape.elements() <= SMALL {
        let x = batch(vec![0.5; graph.input.shape.elements()], (1, height, width, channels));
        network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
    }
    Ok(())
}

/// A description and the values of one parameter; the others are as they should be.
pub fn network(bytes: &[u8]) -> Outcome {
    let (description, weight) = parted(bytes);
    with_folder(|folder| {
        let folder = folder.join("network");
        write(&folder.join("net.json"), description);
        write(&folder.join("params/fc.weight.npy"), weight);
        obverse::store::npy::write(&folder.join("params/fc.bias.npy"), &[2], &[0.5f32, 1.0])?;
        check(&Network::load(&folder)?)
    })
}

/// Every operation that has settings.
const GRAPH: &str = r#"{"format": "obverse-net/1",
"input": {"shape": [3, 8, 8], "range": [-1, 1], "mean": [0.5, 0.5, 0.5], "std": [1, 2, 3]},
"nodes": [
{"name": "conv", "op": "conv2d", "input": "input", "channels": 6, "kernel": [3, 1], "stride": 2, "padding": 1, "groups": 3},
{"name": "norm", "op": "batch_norm", "input": "conv", "eps": 1e-3},
{"name": "act", "op": "leaky_relu", "input": "norm", "slope": 0.2},
{"name": "up", "op": "conv_transpose2d", "input": "act", "channels": 4, "kernel": 2, "stride": 2, "bias": false},
{"name": "pool", "op": "max_pool2d", "input": "up", "kernel": 3, "stride": 2, "padding": 1, "ceil_mode": true},
{"name": "mean", "op": "avg_pool2d", "input": "pool", "kernel": 2, "stride": 1},
{"name": "near", "op": "upsample_nearest", "input": "mean", "factor": 2},
{"name": "both", "op": "concat", "input": ["near", "near"]},
{"name": "sum", "op": "add", "input": ["both", "both"]},
{"name": "part", "op": "slice", "input": "sum", "start": 1, "end": 3},
{"name": "wide", "op": "pad", "input": "part", "padding": {"top": 1, "bottom": 0, "left": 2, "right": 0}, "channels": [1, 0]},
{"name": "line", "op": "upsample_bilinear", "input": "wide", "size": [4, 5]},
{"name": "clip", "op": "clip", "input": "line", "low": 0, "high": 6},
{"name": "drop", "op": "dropout", "input": "clip", "p": 0.5},
{"name": "flat", "op": "flatten", "input": "drop"},
{"name": "fc", "op": "linear", "input": "flat", "features": 8},
{"name": "class", "op": "input", "shape": [8]},
{"name": "image", "op": "reshape", "input": "fc", "shape": [2, 2, 2]},
{"name": "z", "op": "global_avg_pool", "input": "image"}
], "outputs": {"z": "z", "class": "class"}}"#;

pub fn graph_seeds() -> Vec<Vec<u8>> {
    vec![GRAPH.into()]
}

/// A linear layer of two inputs, written as the suite does.
pub fn network_seeds() -> Vec<Vec<u8>> {
    let description = br#"{"format": "obverse-net/1", "input": {"shape": [1, 1, 2]}, "nodes": [
{"name": "flat", "op": "flatten", "input": "input"}, {"name": "fc", "op": "linear", "input": "flat", "features": 2},
{"name": "act", "op": "relu", "input": "fc"}], "outputs": {"z": "act"}}"#;
    with_folder(|folder| {
        let path = folder.join("seed.npy");
        obverse::store::npy::write(&path, &[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).expect("a scratch file");
        vec![joined(description, &fs::read(&path).expect("a scratch file"))]
    })
}

pub fn pixelcnn(bytes: &[u8]) -> Outcome {
    with_folder(|folder| {
        let folder = folder.join("pixelcnn");
        write(&folder.join("pixelcnn.json"), bytes);
        Architecture::load(&folder)?;
        // Its parameters are not there: what is asked for is the description.
        let _ = PixelCnn::<f32>::load(&folder);
        Ok(())
    })
}

pub fn pixelcnn_seeds() -> Vec<Vec<u8>> {
    let of = |likelihood: &str, channels: usize, condition: &str| {
        format!(
            r#"{{"format": "obverse-pixelcnn/1", "architecture": {{"channels": {channels}, "height": 8, "width": 8,
"filters": 4, "blocks": 1, "likelihood": {likelihood}, "condition": {condition}}}, "parameters": {{}}}}"#
        )
        .into_bytes()
    };
    vec![of(r#"{"logistic_mixture": 2}"#, 3, r#"{"maps": [2, 4, 4]}"#), of(r#""softmax""#, 1, r#"{"vector": 5}"#)]
}
