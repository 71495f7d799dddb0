//! Weights of other programs: pickles, PyTorch's files, safetensors, ONNX.

use std::fs;

use obverse::net::import::onnx as import;
use obverse::store::onnx::Model;
use obverse::store::pickle::{Item, Pickle};
use obverse::store::weights::Weights;

use super::Outcome;
use super::arrays::zip_of;
use super::networks;
use super::scratch::with_file;
use crate::checkout;

/// How deep a pickle is looked into: objects may hold themselves.
const DEPTH: usize = 4;

pub fn pickle(bytes: &[u8]) -> Outcome {
    let pickle = Pickle::parse(bytes)?;
    assert!(pickle.length() <= bytes.len());
    let mut left = 1000;
    look_into(&pickle.root(), DEPTH, &mut left);
    Ok(())
}

/// Asks an object everything, and some of what it holds.
fn look_into(item: &Item, depth: usize, left: &mut usize) {
    if depth == 0 || *left == 0 {
        return;
    }
    *left -= 1;
    let _ = (item.integer(), item.text(), item.bytes(), item.callable(), item.entry("data"));
    let pairs = item.entries().into_iter().flatten().flat_map(|(key, value)| [key, value]);
    let held = item.elements().unwrap_or_default().into_iter().chain(pairs).chain(item.arguments());
    held.chain(item.state()).chain(item.persistent()).for_each(|item| look_into(&item, depth - 1, left));
}

fn testdata(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| fs::read(checkout().join("lib/src").join(name)).expect("a file of the checkout")).collect()
}

pub fn pickle_seeds() -> Vec<Vec<u8>> {
    let mut seeds = testdata(&["store/testdata/pickle-0.bin", "store/testdata/pickle-2.bin"]);
    seeds.extend(testdata(&["store/testdata/pickle-4.bin"]));
    seeds.push(state_dictionary());
    seeds.push(b"(i__main__\nname\n(dS'state'\nI1\nsb.".to_vec());
    seeds
}

/// PyTorch's files and safetensors, told apart by their first bytes.
pub fn file(bytes: &[u8]) -> Outcome {
    with_file("weights", bytes, |path| {
        let weights = Weights::open(path)?;
        for name in weights.names() {
            let tensor = weights.get(name).expect("a tensor of this name");
            assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
            let _ = weights.require(name, &tensor.shape);
        }
        Ok(())
    })
}

/// The dictionary of a file whose zip is right, with one storage of 16 floats.
pub fn dictionary(bytes: &[u8]) -> Outcome {
    let members = [("archive/data.pkl", bytes), ("archive/data/0", &[0x3f; 64])];
    file(&zip_of(&members, zip::CompressionMethod::Stored))
}

pub fn torch_seeds() -> Vec<Vec<u8>> {
    testdata(&["store/testdata/zip.pth", "store/testdata/legacy.pth"])
}

pub fn dictionary_seeds() -> Vec<Vec<u8>> {
    vec![state_dictionary()]
}

/// One matrix, transposed, and the same within a parameter.
fn state_dictionary() -> Vec<u8> {
    let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x10tQK\x01\
                   (K\x03K\x04t(K\x01K\x04t\x89ccollections\nOrderedDict\n)RtR";
    let parameter = [b"ctorch._utils\n_rebuild_parameter\n(", &tensor[..], b"\x88ccollections\nOrderedDict\n)RtR"];
    [b"\x80\x02}(U\x08a.weight", &tensor[..], b"U\x06a.bias", &parameter.concat(), b"u."].concat()
}

pub fn safetensors_seeds() -> Vec<Vec<u8>> {
    let header = br#"{"__metadata__":{"format":"pt"},"a.bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
"a.weight":{"dtype":"F16","shape":[2,3],"data_offsets":[8,20]},"n":{"dtype":"I64","shape":[],"data_offsets":[20,28]}}"#;
    vec![[&(header.len() as u64).to_le_bytes()[..], header, &[0x3c; 28]].concat()]
}

/// A file becomes a network, which runs where it is small.
pub fn onnx(bytes: &[u8]) -> Outcome {
    with_file("model.onnx", bytes, |path| {
        let model = Model::open(path)?;
        networks::check(&import::load(&model, &import::Options::default())?.network)
    })
}

pub fn onnx_seeds() -> Vec<Vec<u8>> {
    let mut seeds = testdata(&["net/import/onnx/testdata/small.onnx"]);
    seeds.push(classifier());
    seeds.push(arithmetic_on_shapes());
    seeds
}

/// A field of a protocol buffer that holds bytes: text or a message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(content.len() as u64), content].concat()
}

/// A field of a protocol buffer that holds a number.
fn number(field: u8, value: i64) -> Vec<u8> {
    [vec![field << 3], varint(value as u64)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A model of these nodes and tensors from "x" (1, 1, 4, 4) to "y".
fn model(nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
    let axes: Vec<u8> = [1, 1, 4, 4].iter().flat_map(|&axis| field(1, &number(1, axis))).collect();
    let input = [field(1, b"x"), field(2, &field(1, &field(2, &axes)))].concat();
    let nodes = nodes.iter().flat_map(|node| field(1, node));
    let tensors = tensors.iter().flat_map(|tensor| field(5, tensor));
    let graph: Vec<u8> = nodes.chain(tensors).chain(field(11, &input)).chain(field(12, &field(1, b"y"))).collect();
    field(7, &graph)
}

fn node(operation: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|input| field(1, input.as_bytes()));
    let attributes = attributes.iter().flat_map(|(name, values)| {
        let values: Vec<u8> = values.iter().flat_map(|&value| number(8, value)).collect();
        // ONNX numbers its types; 7 is a list of whole numbers.
        field(5, &[field(1, name.as_bytes()), values, vec![0xa0, 1, 7]].concat())
    });
    inputs.chain(field(2, output.as_bytes())).chain(field(4, operation.as_bytes())).chain(attributes).collect()
}

fn floats(name: &str, shape: &[i64], values: &[f32]) -> Vec<u8> {
    let shape = shape.iter().flat_map(|&axis| number(1, axis));
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    shape.chain(number(2, 1)).chain(field(8, name.as_bytes())).chain(field(9, &raw)).collect()
}

fn integers(name: &str, values: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    number(1, values.len() as i64)
        .into_iter()
        .chain(number(2, 7))
        .chain(field(8, name.as_bytes()))
        .chain(field(9, &raw))
        .collect()
}

/// A convolution, a pool and a linear layer.
fn classifier() -> Vec<u8> {
    let nodes = [
        node("Conv", &["x", "c.weight", "c.bias"], "a", &[("kernel_shape", &[3, 3]), ("pads", &[1, 1, 1, 1])]),
        node("BatchNormalization", &["a", "c.bias", "c.bias", "c.bias", "c.bias"], "n", &[]),
        node("Relu", &["n"], "b", &[]),
        node("MaxPool", &["b"], "p", &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])]),
        node("Flatten", &["p"], "f", &[]),
        node("Gemm", &["f", "l.weight"], "g", &[]),
        node("Softmax", &["g"], "y", &[]),
    ];
    let tensors = [
        floats("c.weight", &[2, 1, 3, 3], &[0.5; 18]),
        floats("c.bias", &[2], &[0.5, 1.0]),
        floats("l.weight", &[8, 3], &[0.25; 24]),
    ];
    model(&nodes, &tensors)
}

/// What exporters leave of `x.view(x.shape[0], -1)`, a slice, a padding and constants.
fn arithmetic_on_shapes() -> Vec<u8> {
    let nodes = [
        node("Pad", &["x", "pads"], "p", &[]),
        node("Slice", &["p", "starts", "ends", "axes"], "s", &[]),
        node("Concat", &["s", "x"], "c", &[]),
        node("Mul", &["c", "half"], "h", &[]),
        node("Shape", &["h"], "shape", &[]),
        node("Gather", &["shape", "zero"], "batch", &[]),
        node("ConstantOfShape", &["one"], "filled", &[]),
        node("Cast", &["filled"], "whole", &[]),
        node("Sub", &["batch", "one"], "less", &[]),
        node("Add", &["less", "one"], "again", &[]),
        node("Concat", &["again", "rest"], "target", &[("axis", &[0])]),
        node("Reshape", &["h", "target"], "y", &[]),
    ];
    let tensors = [
        integers("pads", &[0, 0, 0, 0, 0, 1, 0, 0]),
        integers("starts", &[1]),
        integers("ends", &[2]),
        integers("axes", &[1]),
        integers("zero", &[0]),
        integers("one", &[1]),
        integers("rest", &[-1]),
        floats("half", &[1], &[0.5]),
    ];
    model(&nodes[..6].iter().chain(&nodes[8..]).cloned().collect::<Vec<_>>(), &tensors)
}
