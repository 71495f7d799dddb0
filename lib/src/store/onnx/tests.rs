//! Tests of `onnx`: tensors of every kind and place, and files that lie.

use std::fs;
use std::path::Path;

use prost::Message;

use super::protocol::{GraphProto, ModelProto, StringStringEntryProto, TensorProto};
use super::*;
use crate::store::Result;

fn tensor(name: &str, dims: &[i64], data_type: i32) -> TensorProto {
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type, ..TensorProto::default() }
}

fn opened(folder: &Path, tensors: Vec<TensorProto>) -> Result<Model> {
    let graph = GraphProto { initializer: tensors, ..GraphProto::default() };
    let path = folder.join("m.onnx");
    fs::write(&path, ModelProto { graph: Some(graph) }.encode_to_vec()).unwrap();
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
    ];
    let model = opened(folder.path(), tensors).unwrap();
    let expected = [
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
    refused(tensor("w", &[1], 8), &["type 8"]);
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
