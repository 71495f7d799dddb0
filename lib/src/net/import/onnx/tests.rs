//! Small graphs against PyTorch and by hand; what has no counterpart; damaged files.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::ArrayD;

use super::*;
use crate::net::{Mode, Size};
use crate::ops::InputGradient;
use crate::ops::checks::assert_close;
use crate::store::npy::read;
use crate::store::onnx::{self, Attribute, Constant, Input};
use crate::tensor::{Batch, Tape, batch, channels_last, view};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/net/import/onnx/testdata").join(name)
}

fn floats(shape: &[usize], values: &[f32]) -> Constant {
    Constant::Floats(ArrayD::from_shape_vec(shape, values.to_vec()).expect("as many values"))
}

fn integers(values: &[i64]) -> Constant {
    shapes::whole(values.to_vec())
}

fn node(operation: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) -> onnx::Node {
    onnx::Node {
        name: format!("the {operation}"),
        operation: operation.into(),
        inputs: inputs.iter().map(|&input| input.into()).collect(),
        outputs: vec![output.into()],
        attributes: attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
    }
}

/// A model from "x" (1, C, H, W) to "y".
fn model(shape: [usize; 3], nodes: Vec<onnx::Node>, tensors: &[(&str, Constant)]) -> Model {
    Model {
        path: "m.onnx".into(),
        nodes,
        tensors: tensors.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
        inputs: vec![Input {
            name: "x".into(),
            shape: [1, shape[0], shape[1], shape[2]].map(Some).to_vec(),
            element: None,
        }],
        outputs: vec!["y".into()],
        external: Default::default(),
        opset: 17,
    }
}

fn run(imported: &Imported, x: &Batch<f32>) -> Vec<f32> {
    let network = &imported.network;
    let outputs = &network.graph().outputs;
    let node = outputs.get("logits").or(outputs.values().next()).expect("an output");
    let place = network.graph().place(node).expect("its node");
    let trace = network.forward(&mut Tape::off(), x, Mode::Inference, InputGradient::Unwanted);
    view(trace.value(place).expect("an output is kept")).to_vec()
}

/// What one operation makes of an image (1, C, H, W) in channels-first order.
fn applied(shape: [usize; 3], values: &[f32], nodes: Vec<onnx::Node>, tensors: &[(&str, Constant)]) -> Vec<f32> {
    let imported = load(&model(shape, nodes, tensors), &Options::default()).expect("known operations");
    let axes = (1, shape[1], shape[2], shape[0]);
    run(&imported, &batch(channels_last(values, axes), axes))
}

fn refused(shape: [usize; 3], nodes: Vec<onnx::Node>, tensors: &[(&str, Constant)]) -> String {
    load(&model(shape, nodes, tensors), &Options::default()).expect_err("no counterpart").to_string()
}

/// A bias after an identity belongs to the identity's name alone: what reads the convolution itself must not see it.
#[test]
fn a_bias_of_an_alias_does_not_leak_into_what_it_is_an_alias_of() {
    let weight = ("w", floats(&[1, 1, 1, 1], &[2.0]));
    let constant = ("c", floats(&[1, 1, 1], &[5.0]));
    let nodes = vec![
        node("Conv", &["x", "w"], "conv", &[]),
        node("Identity", &["conv"], "alias", &[]),
        node("Add", &["alias", "c"], "biased", &[]),
        node("Concat", &["biased", "conv"], "y", &[("axis", Attribute::Integer(1))]),
    ];
    assert_eq!(applied([1, 1, 1], &[3.0], nodes, &[weight.clone(), constant.clone()]), [11.0, 6.0]);
    // An alias that alone is read takes it.
    let nodes = vec![
        node("Conv", &["x", "w"], "conv", &[]),
        node("Identity", &["conv"], "alias", &[]),
        node("Add", &["alias", "c"], "y", &[]),
    ];
    let imported = load(&model([1, 1, 1], nodes, &[weight, constant]), &Options::default()).expect("known operations");
    assert_eq!(imported.network.graph().nodes.len(), 1);
}

/// As many values are not the same shape: ONNX aligns axes from the last, so that this sum is (N, C, N, C).
#[test]
fn a_sum_of_values_of_other_ranks_is_refused() {
    let nodes = vec![
        node("GlobalAveragePool", &["x"], "pooled", &[]),
        node("Flatten", &["pooled"], "flat", &[]),
        node("Add", &["pooled", "flat"], "y", &[]),
    ];
    let error = refused([3, 2, 2], nodes, &[]);
    assert!(error.contains("[1, 3, 1, 1] and [1, 1, 1, 3]"), "{error}");
}

/// Written by PyTorch 2.15: ReLU6, depthwise and dilated convolutions, branches, ceil mode, a shortcut of option A with its
/// arithmetic on shapes, channel slices, padding, a matrix product, softmax.
#[test]
fn a_graph_of_many_operations_computes_what_pytorch_computes() {
    let model = Model::open(&testdata("small.onnx")).expect("an ONNX file");
    let imported = load(&model, &Options::default()).expect("known operations");
    let graph = imported.network.graph();
    // What goes into the softmax is an output too.
    assert!(graph.outputs.len() == 2 && graph.outputs.contains_key("logits"), "{:?}", graph.outputs);
    for name in ["stem.0", "stem.1", "stem.2", "depthwise", "branch.1", "leaky", "fc"] {
        assert!(graph.place(name).is_ok(), "{name} in {:?}", graph.summary());
    }
    let images = read::<f32>(&testdata("images.npy")).expect("an array");
    let expected = read::<f32>(&testdata("log_probabilities.npy")).expect("an array");
    let axes = (3, 18, 18, 3);
    let values: Vec<f32> = images.iter().copied().collect();
    let logits = run(&imported, &batch(channels_last(&values, axes), axes));
    let log_probabilities: Vec<f32> = logits
        .chunks(5)
        .flat_map(|row| {
            let sum = row.iter().map(|logit| logit.exp()).sum::<f32>().ln();
            row.iter().map(move |logit| logit - sum)
        })
        .collect();
    assert_close(&log_probabilities, &expected.iter().copied().collect::<Vec<_>>(), 1e-5);
}

#[test]
fn the_gradient_goes_back_through_every_node() {
    let model = Model::open(&testdata("small.onnx")).expect("an ONNX file");
    let network = load(&model, &Options::default()).expect("known operations").network;
    let place = network.graph().output("logits").expect("an output");
    let x: Batch<f32> = batch(vec![0.5; 18 * 18 * 3], (1, 18, 18, 3));
    let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
    let cotangent = batch(vec![1.0, 0.0, 0.0, 0.0, 0.0], (1, 1, 1, 5));
    let gradient = network.gradient_at_input(&mut Tape::off(), &trace, &[(place, &cotangent)]).expect("a path");
    assert!(view(&gradient).iter().any(|&value| value != 0.0));
}

#[test]
fn operations_are_those_of_onnx() {
    let ramp: Vec<f32> = (0..8).map(|value| value as f32).collect();
    let shape = [2, 2, 2];
    let one = |operation, attributes: &[(&str, Attribute)]| vec![node(operation, &["x"], "y", attributes)];
    let means = applied(shape, &ramp, one("ReduceMean", &[("axes", Attribute::Integers(vec![-1, -2]))]), &[]);
    assert_eq!(means, [1.5, 5.5]);
    // SAME_UPPER pads the end: windows of 2 x 2 around each pixel.
    let kernel = ("kernel_shape", Attribute::Integers(vec![2, 2]));
    let same = ("auto_pad", Attribute::Text("SAME_UPPER".into()));
    let pooled = applied([1, 2, 2], &ramp[..4], one("AveragePool", &[kernel, same]), &[]);
    assert_eq!(pooled, [1.5, 2.0, 2.5, 3.0]);
    let affine = |operation, inputs: &[&str]| {
        let c = floats(&[2, 1, 1], &[1.0, 2.0]);
        applied(shape, &ramp, vec![node(operation, inputs, "y", &[])], &[("c", c)])
    };
    assert_eq!(affine("Sub", &["c", "x"])[..4], [1.0, -2.0, 0.0, -3.0]);
    assert_eq!(affine("Sub", &["x", "c"])[..4], [-1.0, 2.0, 0.0, 3.0]);
    assert_eq!(affine("Div", &["x", "c"])[..4], [0.0, 2.0, 1.0, 2.5]);
    let gemm = applied(
        [2, 1, 1],
        &[1.0, 2.0],
        vec![
            node("Flatten", &["x"], "f", &[]),
            node("Gemm", &["f", "w", "b"], "y", &[("alpha", Attribute::Float(2.0)), ("beta", Attribute::Float(0.5))]),
        ],
        &[("w", floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])), ("b", floats(&[3], &[2.0, 4.0, 6.0]))],
    );
    assert_eq!(gemm, [19.0, 26.0, 33.0]);
    // torchvision's transform_input takes a channel, scales it, and joins the channels again.
    let channel = |index: &str, output: &str| {
        [
            node("Gather", &["x", index], "gathered", &[("axis", Attribute::Integer(1))]),
            node("Unsqueeze", &["gathered", "axis"], output, &[]),
        ]
    };
    let mut nodes = [channel("one", "a"), channel("zero", "b")].concat();
    nodes.push(node("Concat", &["a", "b"], "y", &[("axis", Attribute::Integer(1))]));
    let index = |value| Constant::Integers(ArrayD::from_elem(vec![], value));
    let tensors = [("zero", index(0)), ("one", index(-1)), ("axis", integers(&[1]))];
    assert_eq!(applied([2, 1, 2], &ramp[..4], nodes, &tensors), [2.0, 0.0, 3.0, 1.0]);
}

#[test]
fn a_bias_that_follows_becomes_the_layers_own() {
    let nodes = vec![
        node("Flatten", &["x"], "f", &[]),
        node("MatMul", &["f", "w"], "p", &[]),
        node("Add", &["p", "b"], "y", &[]),
    ];
    let tensors = [("w", floats(&[2, 1], &[3.0, 4.0])), ("b", floats(&[1], &[5.0]))];
    let imported = load(&model([2, 1, 1], nodes, &tensors), &Options::default()).expect("known operations");
    assert_eq!(imported.network.graph().nodes.len(), 1);
    assert_eq!(run(&imported, &batch(vec![1.0, 2.0], (1, 1, 1, 2))), [16.0]);
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    let says =
        |text: String, words: &[&str]| words.iter().for_each(|word| assert!(text.contains(word), "{word} in {text}"));
    let one = |operation, inputs: &[&str], attributes: &[(&str, Attribute)]| {
        let tensors = [
            ("two", integers(&[2])),
            ("w", floats(&[1, 2, 1, 1], &[1.0, f32::NAN])),
            ("w1", floats(&[1, 1, 1], &[1.0])),
            ("odd", floats(&[5], &[1.0; 5])),
        ];
        refused([2, 4, 4], vec![node(operation, inputs, "y", attributes)], &tensors)
    };
    says(one("Det", &["x"], &[]), &["m.onnx", "\"the Det\"", "Det", "docs/onnx.md", "another"]);
    says(one("com.example.Relu", &["x"], &[]), &["com.example.Relu"]);
    says(one("Einsum", &["x"], &[("equation", Attribute::Text("nchh->nc".into()))]), &["each letter once", "nchh"]);
    says(one("Conv", &["x", "w1"], &[]), &["4 axes", "[1, 1, 1]"]);
    says(one("Conv", &["x", "x"], &[]), &["a constant as input 2"]);
    says(one("Conv", &["x", "w"], &[]), &["the Conv.weight", "NaN"]);
    says(one("Conv", &["x", "w"], &[("group", Attribute::Integer(0))]), &["groups"]);
    says(one("Conv", &["x", "nowhere"], &[]), &["\"nowhere\""]);
    says(one("Mul", &["x", "odd"], &[]), &["[1, 2, 4, 4]", "[1, 1, 1, 5]"]);
    says(one("Gemm", &["x", "w"], &[]), &["the Gemm"]);
    says(one("Reshape", &["x", "two"], &[]), &["as many values", "[1, 2, 4, 4]"]);
    says(one("MaxPool", &["x"], &[("kernel_shape", Attribute::Integers(vec![9, 9]))]), &["the MaxPool", "kernel"]);
    // Nothing mixes images.
    says(one("ReduceMean", &["x"], &[("axes", Attribute::Integers(vec![0]))]), &["each image by itself", "unbatched"]);
    let turned = [("axis", Attribute::Integer(0))];
    says(one("Softmax", &["x"], &turned), &["each image by itself"]);
}

#[test]
fn inputs_are_one_and_have_a_size() {
    let relu = || vec![node("Relu", &["x"], "y", &[])];
    let mut open = model([3, 8, 8], relu(), &[]);
    open.inputs[0].shape[2] = None;
    assert!(load(&open, &Options::default()).expect_err("open").to_string().contains("`input_size`"));
    let size = Size::new(3, 6, 7);
    let of_size = Options { size: Some(size), ..Options::default() };
    assert_eq!(load(&open, &of_size).expect("a size").network.graph().input.shape, size);
    open.inputs.push(Input { name: "other".into(), shape: Vec::new(), element: None });
    assert!(load(&open, &of_size).expect_err("two").to_string().contains("x, other"));
    let huge = model([1 << 40, 1 << 40, 4], relu(), &[]);
    assert!(load(&huge, &Options::default()).expect_err("too large").to_string().contains("limit"));
}

/// Two operations that are not known, the second behind the first; one that only reads what is unknown is not listed.
#[test]
fn all_that_stands_in_the_way_is_listed_at_once() {
    let nodes = vec![
        node("Relu", &["x"], "a", &[]),
        node("Det", &["a"], "b", &[]),
        node("Relu", &["b"], "c", &[]),
        node("Unique", &["c"], "d", &[]),
        node("Det", &["x"], "e", &[]),
        node("Softmax", &["x"], "y", &[("axis", Attribute::Integer(0))]),
    ];
    let blockers = survey(&model([2, 4, 4], nodes, &[]), &Options::default()).expect("an input");
    let found: Vec<_> = blockers.iter().map(|of| (of.node.as_str(), of.operation.as_str(), of.count)).collect();
    assert_eq!(found, [("the Det", "Det", 2), ("the Unique", "Unique", 1), ("the Softmax", "Softmax", 1)]);
    assert!(blockers[0].found.contains("another") && blockers[2].expected.contains("each image"));
    let small = Model::open(&testdata("small.onnx")).expect("an ONNX file");
    assert_eq!(survey(&small, &Options::default()).expect("an input"), []);
}

/// Prefixes and changed bytes are read or refused; nothing panics.
#[test]
fn damaged_files_are_refused_or_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.onnx");
    let good = fs::read(testdata("small.onnx")).expect("the file");
    let try_out = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        Model::open(&path).map(|model| load(&model, &Options::default()).is_ok()).unwrap_or(false)
    };
    assert!(try_out(&good));
    for length in (0..good.len()).step_by(97) {
        try_out(&good[..length]);
    }
    for place in (0..good.len()).step_by(5) {
        for change in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[place] ^= change;
            try_out(&bad);
        }
    }
}
