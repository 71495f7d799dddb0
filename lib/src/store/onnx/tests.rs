//! Tests of `onnx`: tensors of every kind and place, and files that lie.

use std::fs;
use std::path::Path;

use prost::Message;

use super::protocol::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, TensorType, TypeProto, ValueInfoProto,
};
use super::*;
use crate::store::Result;

fn tensor(name: &str, dims: &[i64], data_type: i32) -> TensorProto {
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type, ..TensorProto::default() }
}

fn opened(folder: &Path, tensors: Vec<TensorProto>) -> Result<Model> {
    let graph = GraphProto { initializer: tensors, ..GraphProto::default() };
    read(folder, ModelProto { graph: Some(graph), ..ModelProto::default() })
}

fn read(folder: &Path, model: ModelProto) -> Result<Model> {
    let path = folder.join("m.onnx");
    fs::write(&path, model.encode_to_vec()).unwrap();
    Model::open(&path)
}

fn floats(values: &[f32]) -> Constant {
    Constant::Floats(ndarray::arr1(values).into_dyn())
}

fn whole(values: &[i64]) -> Constant {
    Constant::Integers(ndarray::arr1(values).into_dyn())
}

#[test]
fn numbers_of_every_kind_and_place_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = vec![
        TensorProto { float_data: vec![1.5, -2.0], ..tensor("f32", &[2], 1) },
        TensorProto { raw_data: [1.5f32.to_le_bytes(), 2.0f32.to_le_bytes()].concat(), ..tensor("raw", &[2], 1) },
        TensorProto { double_data: vec![0.25], ..tensor("f64", &[1], 11) },
        TensorProto { int32_data: vec![0x3c00], ..tensor("f16", &[1], 10) },
        TensorProto { int64_data: vec![-7], ..tensor("i64", &[1], 7) },
        TensorProto { int32_data: vec![3], ..tensor("i32", &[1], 6) },
        TensorProto { raw_data: vec![1, 0], ..tensor("truth", &[2], 9) },
        TensorProto { raw_data: vec![0xff], ..tensor("i8", &[1], 3) },
        TensorProto { int32_data: vec![-1], ..tensor("i8 as i32", &[1], 3) },
        TensorProto { int32_data: vec![255], ..tensor("u8 as i32", &[1], 2) },
        TensorProto { raw_data: vec![0xff, 0xff], ..tensor("u16", &[1], 4) },
        TensorProto { raw_data: vec![0xfe, 0xff], ..tensor("i16", &[1], 5) },
        TensorProto { uint64_data: vec![u32::MAX.into()], ..tensor("u32", &[1], 12) },
        TensorProto { raw_data: u64::from(u32::MAX).to_le_bytes().to_vec(), ..tensor("u64", &[1], 13) },
        TensorProto { int32_data: vec![0x3f80], ..tensor("bf16", &[1], 16) },
        // Two numbers a byte, the first in the low half; the last byte is not full.
        TensorProto { raw_data: vec![0x8f, 0x07], ..tensor("i4", &[3], 22) },
        TensorProto { int32_data: vec![0x8f, 0x07], ..tensor("u4", &[3, 1], 21) },
        TensorProto { raw_data: vec![0b11_10_01_00], ..tensor("i2", &[4], 26) },
        TensorProto { raw_data: vec![0b11_10_01_00], ..tensor("u2", &[4], 25) },
        // Words are no numbers, and are left out.
        tensor("words", &[1], 8),
    ];
    let model = opened(folder.path(), tensors).unwrap();
    let expected = [
        ("i8 as i32", whole(&[-1])),
        ("u8 as i32", whole(&[255])),
        ("u16", whole(&[65535])),
        ("i16", whole(&[-2])),
        ("u32", whole(&[4294967295])),
        ("u64", whole(&[4294967295])),
        ("bf16", floats(&[1.0])),
        ("i4", whole(&[-1, -8, 7])),
        ("u4", Constant::Integers(ndarray::arr2(&[[15], [8], [7]]).into_dyn())),
        ("i2", whole(&[0, 1, -2, -1])),
        ("u2", whole(&[0, 1, 2, 3])),
        ("f16", floats(&[1.0])),
        ("f32", floats(&[1.5, -2.0])),
        ("f64", floats(&[0.25])),
        ("i32", whole(&[3])),
        ("i64", whole(&[-7])),
        ("i8", whole(&[-1])),
        ("raw", floats(&[1.5, 2.0])),
        ("truth", whole(&[1, 0])),
    ];
    assert_eq!(model.tensors, expected.map(|(name, value)| (name.to_string(), value)).into());
}

#[test]
fn tensors_that_lie_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |tensor: TensorProto, words: &[&str]| {
        let error = opened(folder.path(), vec![tensor]).unwrap_err().to_string();
        ["m.onnx", "\"w\""].iter().chain(words).for_each(|word| assert!(error.contains(word), "{word} in {error}"));
    };
    refused(TensorProto { float_data: vec![1.0], ..tensor("w", &[2], 1) }, &["2 values", "1 values"]);
    refused(TensorProto { raw_data: vec![0; 7], ..tensor("w", &[2], 1) }, &["7 bytes"]);
    refused(tensor("w", &[1 << 40, 1 << 40], 1), &["shape"]);
    refused(tensor("w", &[1 << 40], 1), &["0 values"]);
    refused(tensor("w", &[-1], 1), &["shape"]);
    refused(tensor("w", &[1 << 62, 0], 1), &["shape"]);
    refused(tensor("w", &[1], 17), &["float8e4m3fn"]);
    refused(tensor("w", &[1], 15), &["complex"]);
    refused(tensor("w", &[1], 99), &["type 99"]);
    refused(TensorProto { raw_data: vec![0xff; 8], ..tensor("w", &[1], 13) }, &["larger than 64 bits"]);
    refused(TensorProto { raw_data: vec![0], ..tensor("w", &[3], 22) }, &["3 values", "1 bytes"]);
}

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: key.into(), value: value.into() }
}

fn beside(location: &str, more: &[(&str, &str)]) -> TensorProto {
    let entries = more.iter().map(|(key, value)| entry(key, value));
    let external_data = std::iter::once(entry("location", location)).chain(entries).collect();
    TensorProto { data_location: 1, external_data, ..tensor("w", &[2], 1) }
}

#[test]
fn tensors_beside_the_file_are_read_from_its_folder_and_no_other() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("model");
    fs::create_dir(&folder).unwrap();
    let bytes: Vec<u8> = [9.0f32, 1.0, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    for path in [root.path().join("secret"), folder.join("m.data")] {
        fs::write(path, &bytes).unwrap();
    }
    std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
    let model = opened(&folder, vec![beside("m.data", &[("offset", "4"), ("length", "8")])]).unwrap();
    assert_eq!(model.tensors["w"], floats(&[1.0, 2.0]));
    assert_eq!(model.external, [folder.join("m.data")].into());
    let absolute = root.path().join("secret").display().to_string();
    for outside in ["../secret", "link", &absolute, "a/../../secret", "", "none", "."] {
        let error = opened(&folder, vec![beside(outside, &[])]).unwrap_err().to_string();
        assert!(error.contains("in a file of the folder") && error.contains(outside), "{error}");
    }
    for settings in
        [[("offset", "8"), ("length", "8")], [("offset", "0"), ("length", "4")], [("offset", "-1"), ("length", "8")]]
    {
        assert!(opened(&folder, vec![beside("m.data", &settings)]).is_err(), "{settings:?}");
    }
}

#[test]
fn what_is_no_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    for bytes in [&b""[..], b"no protocol buffer", &[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
        fs::write(&path, bytes).unwrap();
        let error = Model::open(&path).unwrap_err().to_string();
        assert!(error.contains("m.onnx") && error.contains("an ONNX model"), "{error}");
    }
    // Graphs within graphs, deeper than the stack.
    let mut nested = Vec::new();
    for _ in 0..20_000 {
        let mut outer = vec![0x3a];
        prost::encoding::encode_varint(nested.len() as u64, &mut outer);
        outer.append(&mut nested);
        nested = outer;
    }
    fs::write(&path, &nested).unwrap();
    let _ = Model::open(&path);
}

#[test]
fn a_sparse_tensor_is_zero_where_it_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let indices = |dims: &[i64], values: &[i64]| TensorProto { int64_data: values.to_vec(), ..tensor("", dims, 7) };
    let read = |indices, dims: &[i64]| {
        let values = Some(TensorProto { float_data: vec![5.0, 6.0], ..tensor("w", &[2], 1) });
        let sparse = SparseTensorProto { values, indices: Some(indices), dims: dims.to_vec() };
        let graph = GraphProto { sparse_initializer: vec![sparse], ..GraphProto::default() };
        read(folder.path(), ModelProto { graph: Some(graph), ..ModelProto::default() })
    };
    let expected = Constant::Floats(ndarray::arr2(&[[0.0, 5.0], [6.0, 0.0]]).into_dyn());
    assert_eq!(read(indices(&[2], &[1, 2]), &[2, 2]).unwrap().tensors["w"], expected);
    assert_eq!(read(indices(&[2, 2], &[0, 1, 1, 0]), &[2, 2]).unwrap().tensors["w"], expected);
    for (dims, values, shape) in [
        (&[2][..], &[1, 4][..], &[2, 2][..]),
        (&[2], &[-1, 0], &[2, 2]),
        (&[2, 2], &[0, 1, 1, 2], &[2, 2]),
        (&[2, 2], &[0, 1, 1, 0], &[4]),
        (&[1], &[1], &[2, 2]),
        (&[2], &[1, 2], &[1 << 62, 0, 8]),
    ] {
        assert!(read(indices(dims, values), shape).unwrap_err().to_string().contains("\"w\""));
    }
}

fn node(name: &str, operation: &str, domain: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    NodeProto {
        name: name.into(),
        op_type: operation.into(),
        domain: domain.into(),
        input: names(input),
        output: names(output),
        ..NodeProto::default()
    }
}

fn opset(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: domain.into(), version }
}

#[test]
fn versions_and_types_of_inputs_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = TypeProto { tensor_type: Some(TensorType { elem_type: 2, shape: None }) };
    let input = ValueInfoProto { name: "x".into(), r#type: Some(bytes) };
    let graph = Some(GraphProto { input: vec![input], ..GraphProto::default() });
    let of =
        |opset_import| read(folder.path(), ModelProto { graph: graph.clone(), opset_import, ..Default::default() });
    let model = of(vec![opset("com.microsoft", 1), opset("", 18)]).unwrap();
    let element = Some(ElementType::U8);
    assert_eq!((model.opset, model.inputs), (18, vec![Input { name: "x".into(), shape: vec![], element }]));
    assert_eq!(of(vec![]).unwrap().opset, 1);
}

#[test]
fn the_type_of_a_zero_point_is_kept_with_what_it_types() {
    let folder = tempfile::tempdir().unwrap();
    let zero = |element| TensorProto { raw_data: vec![0], ..tensor("zero", &[1], element) };
    let of_tensor = |tensor| {
        let attribute =
            AttributeProto { name: "value".into(), r#type: 4, t: Some(tensor), ..AttributeProto::default() };
        NodeProto { attribute: vec![attribute], ..node("", "Constant", "", &[], &["made"]) }
    };
    let quantise = |zero: &str| node("", "QuantizeLinear", "", &["x", "scale", zero], &["y"]);
    let nodes = vec![
        of_tensor(zero(3)),
        node("", "Identity", "", &["made"], &["same"]),
        quantise("zero"),
        quantise("same"),
        quantise("elsewhere"),
        node("", "CastLike", "", &["x", "zero"], &["y"]),
    ];
    let graph = GraphProto { node: nodes, initializer: vec![zero(2)], ..GraphProto::default() };
    let model = read(folder.path(), ModelProto { graph: Some(graph), ..ModelProto::default() }).unwrap();
    let types: Vec<_> = model.nodes[2..].iter().map(|node| node.integer("output_dtype")).collect();
    assert_eq!(types, [Some(2), Some(3), None, None]);
    assert_eq!(model.nodes[5].integer("to"), Some(2));
}

/// f(a, b) with the attribute s (7 unless said) is a branch on b whose branch reads a and has s as t; it gives that and a.
fn function() -> FunctionProto {
    let attribute = |name: &str| AttributeProto { name: name.into(), ..AttributeProto::default() };
    let inner = AttributeProto { ref_attr_name: "s".into(), r#type: 2, ..attribute("t") };
    let unset = AttributeProto { ref_attr_name: "unset".into(), r#type: 2, ..attribute("u") };
    let inside = NodeProto { attribute: vec![inner, unset], ..node("", "Inner", "", &["a", ""], &["made"]) };
    let branch = GraphProto {
        node: vec![inside],
        output: vec![ValueInfoProto { name: "made".into(), r#type: None }],
        ..GraphProto::default()
    };
    let then = AttributeProto { r#type: 5, g: Some(branch), ..attribute("then_branch") };
    let choice = NodeProto { attribute: vec![then], ..node("choice", "If", "", &["b"], &["y"]) };
    FunctionProto {
        name: "f".into(),
        domain: "own".into(),
        input: vec!["a".into(), "b".into()],
        output: vec!["y".into(), "a".into()],
        node: vec![choice],
        attribute_proto: vec![AttributeProto { r#type: 2, i: 7, ..attribute("s") }],
        ..FunctionProto::default()
    }
}

#[test]
fn functions_of_the_file_are_written_out() {
    let folder = tempfile::tempdir().unwrap();
    let said = AttributeProto { name: "s".into(), r#type: 2, i: 9, ..AttributeProto::default() };
    let nodes = vec![
        node("first", "f", "own", &["x"], &["p"]),
        NodeProto { attribute: vec![said], ..node("", "f", "own", &["p", "c"], &["q", "same"]) },
    ];
    let graph = GraphProto { node: nodes, ..GraphProto::default() };
    let functions = vec![function()];
    let model = read(folder.path(), ModelProto { graph: Some(graph), functions, ..ModelProto::default() }).unwrap();
    let [first, second, same] = model.nodes.as_slice() else { panic!("{:?}", model.nodes) };
    assert_eq!(
        (first.name.as_str(), first.operation.as_str(), &first.inputs[..]),
        ("first/choice", "If", &["".into()][..])
    );
    assert_eq!(
        (second.name.as_str(), &second.inputs[..], &second.outputs[..]),
        ("f/choice", &["c".into()][..], &["q".into()][..])
    );
    assert_eq!(
        (same.operation.as_str(), &same.inputs[..], &same.outputs[..]),
        ("Identity", &["p".into()][..], &["same".into()][..])
    );
    let branch = |node: &Node| match &node.attributes["then_branch"] {
        Attribute::Graph(graph) => graph.clone(),
        other => panic!("{other:?}"),
    };
    for (node, made, read, setting) in [(first, "p/made", "x", 7), (second, "q/made", "p", 9)] {
        let Subgraph { nodes, outputs, .. } = branch(node);
        assert_eq!((&outputs[..], &nodes[0].outputs), (&[made.to_string()][..], &outputs));
        assert_eq!(nodes[0].inputs, [read, ""]);
        assert_eq!(nodes[0].attributes, [("t".to_string(), Attribute::Integer(setting))].into());
    }
}

/// An operation's name, what it reads and what it gives.
fn written(node: &Node) -> String {
    format!("{} {} -> {}", node.operation, node.inputs.join(" "), node.outputs.join(" "))
}

#[test]
fn operations_of_onnxruntime_are_written_as_onnxs() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = "com.microsoft";
    let channels_last = AttributeProto { name: "channels_last".into(), r#type: 2, i: 1, ..AttributeProto::default() };
    let nodes = vec![
        node("c", "QLinearConv", "", &["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], &["y"]),
        node("g", "QGemm", runtime, &["y", "ys", "yz", "w", "ws", "wz"], &["g"]),
        node("s", "SkipLayerNormalization", runtime, &["g", "h", "scale", "shift"], &["n", "", "", "sum"]),
        NodeProto { attribute: vec![channels_last], ..node("l", "QLinearConv", runtime, &["x"], &["z"]) },
    ];
    let graph = GraphProto { node: nodes, ..GraphProto::default() };
    let model = read(folder.path(), ModelProto { graph: Some(graph), ..ModelProto::default() }).unwrap();
    let found: Vec<String> = model.nodes.iter().map(written).collect();
    let expected = [
        "DequantizeLinear x xs xz -> y/floats.0",
        "DequantizeLinear w ws wz -> y/floats.3",
        "Mul xs ws -> y/bias.scale",
        "DequantizeLinear b y/bias.scale -> y/bias",
        "Conv y/floats.0 y/floats.3 y/bias -> y/floats",
        "QuantizeLinear y/floats ys yz -> y",
        "DequantizeLinear y ys yz -> g/floats.0",
        "DequantizeLinear w ws wz -> g/floats.3",
        "Gemm g/floats.0 g/floats.3 -> g",
        "Add g h -> n/sum",
        "Identity n/sum -> sum",
        "LayerNormalization n/sum scale shift -> n  ",
        "com.microsoft.QLinearConv x -> z",
    ];
    assert_eq!(found, expected);
    assert_eq!(model.nodes[4].name, "c");
    assert_eq!([0, 1].map(|node| model.nodes[node].integer("axis")), [Some(0), Some(0)]);
}

#[test]
fn functions_without_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let of = |functions: Vec<FunctionProto>| {
        let graph = GraphProto { node: vec![node("", "f0", "own", &["x"], &["y"])], ..GraphProto::default() };
        read(folder.path(), ModelProto { graph: Some(graph), functions, ..ModelProto::default() })
    };
    let calling = |name: String, called: &str| {
        let call = |output: &str| node("", called, "own", &["a"], &[output]);
        let (domain, input, output) = ("own".into(), vec!["a".into()], vec!["p".into()]);
        FunctionProto { name, domain, input, output, node: vec![call("p"), call("q")], ..FunctionProto::default() }
    };
    let itself = of(vec![calling("f0".into(), "f0")]).unwrap_err().to_string();
    assert!(itself.contains("\"f0\"") && itself.contains("deep"), "{itself}");
    let doubling = (0..31).map(|level| calling(format!("f{level}"), &format!("f{}", level + 1))).collect();
    let many = of(doubling).unwrap_err().to_string();
    assert!(many.contains("operations"), "{many}");
}
