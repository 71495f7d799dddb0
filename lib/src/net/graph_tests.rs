//! Descriptions of networks that are wrong, each refused by an error that names the node, and descriptions at random: an
//! error, or a graph that returns from its own JSON and runs.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Graph, Initialisation, Mode, Network};
use crate::ops::InputGradient;
use crate::tensor::{Tape, batch, channels_first, channels_last, shape, view, zeros};

/// A network of these nodes for images of 3 x 8 x 8.
fn described(nodes: Value) -> Value {
    json!({"format": "obverse-net/1", "input": {"shape": [3, 8, 8]}, "nodes": nodes, "outputs": {}})
}

fn graph(description: &Value) -> super::Result<Graph> {
    Graph::from_json(Path::new("net.json"), description)
}

/// Asserts that the nodes are refused in words that hold all of `expected`.
#[track_caller]
fn assert_refused(nodes: Value, expected: &[&str]) {
    let error = graph(&described(nodes.clone())).expect_err(&nodes.to_string()).to_string();
    for expected in expected {
        assert!(error.contains(expected), "{nodes}: \"{error}\" does not say {expected}");
    }
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// As [`assert_refused`], for one node named "culprit".
#[track_caller]
fn assert_node_refused(mut node: Value, expected: &str) {
    node["name"] = "culprit".into();
    if node.get("input").is_none() {
        node["input"] = "input".into();
    }
    assert_refused(json!([node]), &["\"culprit\"", expected]);
}

#[test]
fn wrong_wiring_is_refused_by_the_nodes_name() {
    let relu = |name: &str, input: &str| json!({"name": name, "op": "relu", "input": input});
    assert_refused(json!([relu("a", "b"), relu("b", "c"), relu("c", "a")]), &["node \"a\"", "cycle"]);
    assert_refused(json!([relu("first", "input"), relu("own", "own")]), &["node \"own\"", "cycle"]);
    assert_refused(json!([relu("a", "nowhere")]), &["node \"a\"", "\"nowhere\""]);
    assert_refused(json!([relu("a", "input"), relu("a", "input")]), &["node \"a\"", "twice"]);
    let sum = |inputs: Value| json!([{"name": "sum", "op": "add", "input": inputs}]);
    assert_refused(sum(json!([])), &["\"sum\"", "input"]);
    assert_refused(sum(json!(["input", 3])), &["\"sum\"", "input"]);
    assert_refused(json!([{"name": "lost", "op": "relu"}]), &["\"lost\"", "input"]);
    assert_node_refused(json!({"op": "relu", "input": ["input", "input"]}), "one input");
}

#[test]
fn unknown_operations_and_settings_are_refused_by_the_nodes_name() {
    assert_node_refused(json!({"op": "conv3d"}), "conv3d");
    assert_node_refused(json!({"op": 7}), "");
    assert_node_refused(json!({}), "op");
    assert_node_refused(json!({"op": "conv2d", "channels": 4}), "kernel");
    assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 3, "strides": 2}), "strides");
    assert_node_refused(json!({"op": "conv2d", "channels": -4, "kernel": 3}), "");
    assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": [3, 3, 3]}), "");
    assert_node_refused(json!({"op": "relu", "slope": 0.1}), "unknown setting slope: this operation has none");
    assert_node_refused(
        json!({"op": "concat", "axis": "depth"}),
        "unknown variant `depth`, expected one of `channels`",
    );
    assert_node_refused(json!({"op": "concat", "step": 2}), "unknown field `step`, expected `axis`");
}

#[test]
fn names_that_cannot_name_files_are_refused() {
    for name in ["../../etc/passwd", "a/b", "a\\b", ".hidden", "", "input", "a\u{0}b", "a\nb"] {
        let error = graph(&described(json!([{"name": name, "op": "relu", "input": "input"}]))).unwrap_err().to_string();
        assert!(error.contains("name"), "{error}");
    }
    for node in [json!({"op": "relu", "input": "input"}), json!({"name": 3, "op": "relu"}), json!("relu"), json!(null)]
    {
        assert_refused(json!([node]), &["name"]);
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_by_the_nodes_name_with_what_was_found() {
    assert_node_refused(json!({"op": "linear", "features": 4}), "3x8x8");
    assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 9}), "3x8x8");
    assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 3, "dilation": 4}), "3x8x8");
    assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 3, "groups": 2}), "2 groups");
    assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 3, "groups": 3}), "3 groups");
    assert_node_refused(json!({"op": "conv_transpose2d", "channels": 4, "kernel": 3, "groups": 3}), "3 groups");
    assert_node_refused(json!({"op": "conv_transpose2d", "channels": 4, "kernel": 1, "padding": 4}), "3x8x8");
    assert_node_refused(
        json!({"op": "conv_transpose2d", "channels": 4, "kernel": 3, "stride": 2, "output_padding": 2}),
        "output padding",
    );
    assert_node_refused(json!({"op": "max_pool2d", "kernel": 3, "padding": 2}), "half the kernel");
    assert_node_refused(json!({"op": "slice", "start": 1, "end": 4}), "4 channels");
    assert_node_refused(json!({"op": "slice", "axis": "height", "start": 1, "end": 9}), "9 rows");
    assert_node_refused(json!({"op": "slice", "start": 2, "end": 2}), "start");
    assert_node_refused(json!({"op": "reshape", "shape": [3, 8, 7]}), "168 values");
    assert_node_refused(json!({"op": "dropout", "p": 1.0}), "probability");
    assert_node_refused(json!({"op": "clip", "low": 1.0, "high": 0.5}), "low bound");
    assert_node_refused(json!({"op": "celu", "alpha": 0.0}), "positive alpha");
    let half = json!({"name": "half", "op": "max_pool2d", "kernel": 2, "input": "input"});
    for op in ["add", "concat"] {
        let joined = json!({"name": "joined", "op": op, "input": ["input", "half"]});
        assert_refused(json!([half, joined]), &["\"joined\"", "3x8x8 and 3x4x4"]);
    }
}

#[test]
fn hostile_numbers_are_refused_by_the_nodes_name() {
    let (large, largest) = (1u64 << 60, u64::MAX);
    for length in [0, large, largest] {
        assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": length}), "");
        assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": [3, length]}), "");
        assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 3, "stride": length}), "");
        assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 3, "dilation": length}), "");
        assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 3, "groups": length}), "");
        assert_node_refused(json!({"op": "conv2d", "channels": length, "kernel": 3}), "");
        assert_node_refused(json!({"op": "conv_transpose2d", "channels": length, "kernel": 3}), "");
        assert_node_refused(json!({"op": "linear", "features": length}), "");
        assert_node_refused(json!({"op": "max_pool2d", "kernel": length}), "");
        assert_node_refused(json!({"op": "avg_pool2d", "kernel": 3, "stride": length}), "");
        assert_node_refused(json!({"op": "upsample_nearest", "factor": length}), "");
        assert_node_refused(json!({"op": "upsample_bilinear", "size": length}), "");
        assert_node_refused(json!({"op": "reshape", "shape": [length, length, length]}), "");
    }
    for length in [large, largest] {
        assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 3, "padding": length}), "");
        assert_node_refused(json!({"op": "conv2d", "channels": 4, "kernel": 3, "padding": [0, length]}), "");
        assert_node_refused(
            json!({"op": "conv_transpose2d", "channels": 4, "kernel": 3, "output_padding": length}),
            "output padding",
        );
        assert_node_refused(json!({"op": "slice", "start": 0, "end": length}), "");
        assert_node_refused(json!({"op": "slice", "start": length, "end": 1}), "");
    }
    assert_node_refused(json!({"op": "conv2d", "channels": 1u64 << 40, "kernel": 3}), "more than the limit");
    assert_node_refused(json!({"op": "conv2d", "channels": 1 << 20, "kernel": 1000, "padding": 500}), "the limit");
}

#[test]
fn hostile_inputs_are_refused() {
    let flatten = json!([{"name": "flat", "op": "flatten", "input": "input"}]);
    let with = |input: Value| json!({"format": "obverse-net/1", "input": input, "nodes": flatten, "outputs": {}});
    for shape in [json!([1u64 << 40, 1u64 << 40, 1]), json!([u64::MAX, 2, 2]), json!([0, 8, 8]), json!([3, 0, 8])] {
        let error = graph(&with(json!({"shape": shape}))).unwrap_err().to_string();
        assert!(error.contains("\"input\""), "{error}");
    }
    for input in [
        json!({"shape": []}),
        json!({"shape": [1, 2]}),
        json!({"shape": [1, 2, 3, 4]}),
        json!({"shape": [1, -2, 3]}),
        json!({"shape": [1, 2, 3], "colour": "red"}),
        json!([1, 2, 3]),
    ] {
        let error = graph(&with(input.clone())).expect_err(&input.to_string()).to_string();
        assert!(error.starts_with("net.json") && error.contains("input"), "{error}");
    }
    assert_eq!(graph(&with(json!({"shape": [5]}))).unwrap().size(0).elements(), 5);
}

#[test]
fn a_description_without_its_fields_is_refused_by_the_files_name() {
    let whole = described(json!([]));
    for field in ["format", "input", "nodes", "outputs"] {
        let mut part = whole.clone();
        part.as_object_mut().unwrap().remove(field);
        let error = graph(&part).unwrap_err().to_string();
        assert!(error.starts_with("net.json") && error.contains(field), "{error}");
    }
    let mut lost = whole;
    lost["outputs"] = json!({"z": "nowhere"});
    assert!(graph(&lost).unwrap_err().to_string().contains("nowhere"));
    let unordered = json!([{"name": "b", "op": "relu", "input": "a"}, {"name": "a", "op": "relu", "input": "input"}]);
    let names: Vec<_> = graph(&described(unordered)).unwrap().nodes.iter().map(|node| node.name.clone()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn every_operation_returns_from_its_own_json() {
    let description = described(json!([
        {"name": "conv", "op": "conv2d", "input": "input", "channels": 6, "kernel": [3, 2], "stride": [1, 2],
         "padding": {"top": 2, "bottom": 0, "left": 1, "right": 1}, "dilation": 2, "groups": 3, "bias": false},
        {"name": "up", "op": "conv_transpose2d", "input": "conv", "channels": 4, "kernel": 3, "stride": 2,
         "padding": 1, "output_padding": 1},
        {"name": "norm", "op": "batch_norm", "input": "up", "eps": 0.001, "momentum": 0.2},
        {"name": "leaky", "op": "leaky_relu", "input": "norm", "slope": 0.25},
        {"name": "dropped", "op": "dropout", "input": "leaky", "p": 0.5},
        {"name": "pooled", "op": "max_pool2d", "input": "dropped", "kernel": 3, "stride": 2, "padding": 1, "ceil_mode": true},
        {"name": "mean", "op": "avg_pool2d", "input": "pooled", "kernel": 2, "count_include_pad": false},
        {"name": "nearest", "op": "upsample_nearest", "input": "mean", "factor": 2},
        {"name": "bilinear", "op": "upsample_bilinear", "input": "nearest", "size": [5, 7]},
        {"name": "joined", "op": "concat", "input": ["bilinear", "bilinear"]},
        {"name": "sum", "op": "add", "input": ["joined", "joined"]},
        {"name": "both", "op": "concat_elu", "input": "sum"},
        {"name": "part", "op": "slice", "input": "both", "start": 1, "end": 3},
        {"name": "flat", "op": "flatten", "input": "part"},
        {"name": "image", "op": "reshape", "input": "flat", "shape": [7, 5, 2]},
        {"name": "everywhere", "op": "global_avg_pool", "input": "image"},
        {"name": "fc", "op": "linear", "input": "everywhere", "features": 3},
        {"name": "tanh", "op": "tanh", "input": "fc"}
    ]));
    let first = graph(&description).unwrap();
    let second = graph(&Value::Object(first.to_json())).unwrap();
    assert_eq!(first, second);
    assert_eq!(Value::Object(second.to_json())["nodes"], description["nodes"]);
}

#[test]
fn the_same_numbers_written_otherwise_are_the_same_graph() {
    let sides = |padding: Value, stride: Value| {
        graph(&described(json!([{"name": "c", "op": "conv2d", "input": "input", "channels": 1, "kernel": 1,
            "padding": padding, "stride": stride}])))
        .unwrap()
    };
    let written = sides(json!({"top": 0, "bottom": 0, "left": 0, "right": 0}), json!([1, 1]));
    assert_eq!(written, sides(json!(0), json!(1)));
    assert_eq!(graph(&Value::Object(written.to_json())).unwrap(), written);
    assert_ne!(written, sides(json!({"top": 0, "bottom": 1, "left": 0, "right": 0}), json!(1)));
}

#[test]
fn an_image_is_reshaped_in_channels_first_order_and_back() {
    let description = described(json!([{"name": "r", "op": "reshape", "input": "input", "shape": [8, 3, 8]}]));
    let network = Network::<f32>::initialised(graph(&description).unwrap(), Initialisation::Uniform, 0);
    let network = network.tapped(&["r"]).unwrap();
    let values: Vec<f32> = (0..192).map(|value| value as f32).collect();
    let x = batch(channels_last(&values, (1, 8, 8, 3)), (1, 8, 8, 3));
    let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Wanted);
    let reshaped = trace.value(0).unwrap();
    assert_eq!(shape(reshaped), (1, 3, 8, 8));
    assert_eq!(channels_first(view(reshaped), shape(reshaped)), values);
    let pulled = network.pullback(&mut Tape::off(), &trace, &[(0, reshaped)]).unwrap();
    assert_eq!(view(&pulled), view(&x));
}

/// Each operation with its settings.
const OPERATIONS: [(&str, &[&str]); 32] = [
    ("conv2d", &["channels", "kernel", "stride", "padding", "dilation", "groups", "bias"]),
    ("conv_transpose2d", &["channels", "kernel", "stride", "padding", "output_padding", "dilation", "groups", "bias"]),
    ("linear", &["features", "bias", "every_place"]),
    ("leaky_relu", &["slope"]),
    ("relu", &[]),
    ("elu", &[]),
    ("concat_elu", &[]),
    ("asinh", &[]),
    ("sinh", &[]),
    ("sigmoid", &[]),
    ("tanh", &[]),
    ("softplus", &[]),
    ("max_pool2d", &["kernel", "stride", "padding", "dilation", "ceil_mode"]),
    ("avg_pool2d", &["kernel", "stride", "padding", "ceil_mode", "count_include_pad"]),
    ("global_avg_pool", &[]),
    ("batch_norm", &["eps", "momentum"]),
    ("layer_norm", &["eps"]),
    ("rms_norm", &["eps"]),
    ("group_norm", &["groups", "eps"]),
    ("local_response_norm", &["size", "alpha", "beta", "k"]),
    ("dropout", &["p"]),
    ("upsample_nearest", &["factor"]),
    ("upsample_bilinear", &["size"]),
    ("resize", &["size", "mode", "coordinates", "cubic", "antialias", "exclude_outside"]),
    ("pad", &["padding", "channels", "mode", "value"]),
    ("gather", &["axis", "indices"]),
    ("concat", &["axis"]),
    ("add", &[]),
    ("slice", &["axis", "start", "end", "step"]),
    ("flatten", &[]),
    ("reshape", &["shape"]),
    ("input", &["shape"]),
];

/// Any JSON, not deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9_/.]{0,9}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        prop::sample::select(vec!["format", "input", "nodes", "outputs", "shape", "name", "op", "kernel", "mean"])
            .prop_map(String::from),
        "[a-z]{0,4}",
    ];
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// One of some names.
fn word(words: &'static [&'static str]) -> BoxedStrategy<Value> {
    prop::sample::select(words).prop_map(Value::from).boxed()
}

/// A setting: mostly small, sometimes as large as can be, sometimes no number.
fn setting(name: &'static str) -> BoxedStrategy<Value> {
    let usual = match name {
        "bias" | "ceil_mode" | "count_include_pad" | "every_place" | "antialias" | "exclude_outside" => {
            any::<bool>().prop_map(Value::from).boxed()
        }
        "axis" => word(&["channels", "height", "width"]),
        "mode" => word(&["nearest", "linear", "cubic", "zeros", "reflect", "edge", "wrap"]),
        "coordinates" => word(&["half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric"]),
        "slope" | "p" | "eps" | "momentum" | "alpha" | "beta" | "k" | "cubic" | "value" => {
            (0.0..1.0).prop_map(Value::from).boxed()
        }
        "padding" | "output_padding" => prop_oneof![
            (0u64..3).prop_map(Value::from),
            prop::collection::vec(0u64..3, 4)
                .prop_map(|sides| json!({"top": sides[0], "bottom": sides[1], "left": sides[2], "right": sides[3]})),
        ]
        .boxed(),
        "shape" => prop::collection::vec(1u64..9, 3).prop_map(Value::from).boxed(),
        _ => prop_oneof![(0u64..5).prop_map(Value::from), prop::collection::vec(1u64..5, 2).prop_map(Value::from)]
            .boxed(),
    };
    let hostile = prop::sample::select(vec![1u64 << 20, (1 << 31) - 1, 1 << 40, 1 << 60, u64::MAX]);
    prop_oneof![30 => usual, 2 => hostile.prop_map(Value::from), 1 => any_json()].boxed()
}

/// A node named by its number, which reads the input or other nodes, mostly earlier ones.
fn node(number: usize) -> impl Strategy<Value = Value> {
    let name = |place: usize| if place == 0 { "input".to_string() } else { format!("n{place}") };
    let input = prop_oneof![20 => 0..number + 1, 1 => 0..9usize].prop_map(name);
    let inputs = prop_oneof![
        5 => input.clone().prop_map(Value::from),
        1 => prop::collection::vec(input, 1..4).prop_map(Value::from),
    ];
    prop::sample::select(OPERATIONS.to_vec()).prop_flat_map(move |(op, names)| {
        let settings: Vec<_> = names.iter().map(|&name| prop::option::weighted(0.9, setting(name))).collect();
        (settings, inputs.clone()).prop_map(move |(settings, inputs)| {
            let mut node = json!({"name": format!("n{}", number + 1), "op": op, "input": inputs});
            for (name, setting) in names.iter().zip(settings) {
                if let Some(setting) = setting {
                    node[name] = setting;
                }
            }
            node
        })
    })
}

/// The most multiplications, about, of a network that a test may run.
const WORK: usize = 1 << 22;

/// Runs a small graph on zeros, every node kept, and pulls ones back from each.
fn assert_runs(graph: Graph) {
    let places = 0..graph.nodes.len();
    let weights: usize = graph.parameters().iter().map(|(_, spec)| spec.elements()).sum();
    let values: usize = places.clone().map(|place| graph.size(place).elements()).sum();
    if (weights + 1).saturating_mul(values) > WORK {
        return;
    }
    let names: Vec<String> = graph.nodes.iter().map(|node| node.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let size = graph.input.shape;
    let network = Network::<f32>::initialised(graph, Initialisation::Orthogonal, 0).tapped(&names).unwrap();
    let x = zeros((2, size.height, size.width, size.channels));
    let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Wanted);
    for place in places {
        let size = network.graph().size(place);
        let Some(value) = trace.value(place) else { continue };
        assert_eq!(shape(value), (2, size.height, size.width, size.channels), "{:?}", network.graph().nodes[place]);
        let cotangent = batch(vec![1.0; 2 * size.elements()], shape(value));
        if let Some(pulled) = network.pullback(&mut Tape::off(), &trace, &[(place, &cotangent)]) {
            assert_eq!(shape(&pulled), shape(&x));
        }
    }
}

proptest! {
    #[test]
    fn any_json_is_a_graph_or_an_error(json in any_json(), nodes in prop::collection::vec(any_json(), 0..3)) {
        let _ = graph(&json);
        let _ = graph(&described(json));
        let _ = graph(&described(nodes.into()));
    }

    #[test]
    fn any_nodes_are_an_error_or_a_graph_that_returns_from_its_json_and_runs(
        nodes in (1..5usize).prop_flat_map(|count| (0..count).map(node).collect::<Vec<_>>()),
    ) {
        if let Ok(first) = graph(&described(nodes.into())) {
            prop_assert_eq!(&graph(&Value::Object(first.to_json())).unwrap(), &first);
            assert_runs(first);
        }
    }
}
