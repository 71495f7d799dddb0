//! Network folders: what is saved returns to the bit, and a folder that is not what was saved is refused by an error that
//! names the file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Graph, Initialisation, Network};
use crate::store::npy::{Reader, write};
use crate::tensor::{Element, view, view_mut};

/// A convolution, its transpose and a linear layer, of 2 x 4 x 3 images.
fn network<E: Element>() -> Network<E> {
    let description = json!({"format": "obverse-net/1", "input": {"shape": [2, 4, 3]}, "outputs": {"z": "fc"}, "nodes": [
        {"name": "conv", "op": "conv2d", "input": "input", "channels": 4, "kernel": [3, 2], "groups": 2},
        {"name": "up", "op": "conv_transpose2d", "input": "conv", "channels": 3, "kernel": [2, 3]},
        {"name": "flat", "op": "flatten", "input": "up"},
        {"name": "fc", "op": "linear", "input": "flat", "features": 5}]});
    let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
    Network::initialised(graph, Initialisation::He, 3)
}

/// The network in a folder of its own.
fn saved() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    network::<f64>().save(folder.path(), &json!({"tool": "a test"})).unwrap();
    folder
}

/// Asserts that the folder is refused in words that hold all of `expected`.
#[track_caller]
fn assert_refused(folder: &Path, expected: &[&str]) {
    let error = Network::<f64>::load(folder).expect_err("a broken folder").to_string();
    assert!(expected.iter().all(|expected| error.contains(expected)), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn what_is_saved_returns_to_the_bit() {
    let folder = saved();
    let (written, read) = (network::<f64>(), Network::<f64>::load(folder.path()).unwrap());
    assert_eq!(read.graph(), written.graph());
    for (read, written) in read.parameters().iter().zip(written.parameters()) {
        assert_eq!(view(read), view(written));
    }
    let cast = Network::<f32>::load(folder.path()).unwrap();
    for (cast, written) in cast.parameters().iter().zip(written.parameters()) {
        assert!(view(cast).iter().zip(view(written)).all(|(&cast, &written)| cast == written as f32));
    }
}

#[test]
fn parameters_lie_in_files_as_pytorch_lays_them_out() {
    let folder = saved();
    let network = network::<f64>();
    for (name, shape) in [("conv.weight", &[4, 1, 3, 2][..]), ("up.weight", &[4, 3, 2, 3]), ("fc.bias", &[5])] {
        let mut reader = Reader::open(&folder.path().join("params").join(format!("{name}.npy"))).unwrap();
        assert_eq!(reader.shape(), shape);
        let values: Vec<f64> = reader.read_rows(reader.rows()).unwrap();
        let graph = network.graph();
        let names: Vec<_> = graph.parameters().iter().map(|(place, spec)| graph.parameter_name(*place, spec)).collect();
        let parameter = &network.parameters()[names.iter().position(|found| found == name).unwrap()];
        match shape {
            &[outputs, inputs, height, width] => {
                for o in 0..outputs {
                    for i in 0..inputs {
                        for u in 0..height {
                            for v in 0..width {
                                let in_file = values[((o * inputs + i) * height + u) * width + v];
                                let place = ((o * height + u) * width + v) * inputs + i;
                                assert_eq!(view(parameter)[place], in_file);
                            }
                        }
                    }
                }
            }
            _ => assert_eq!(view(parameter), values),
        }
    }
}

#[test]
fn a_missing_parameter_is_named() {
    let folder = saved();
    fs::remove_file(folder.path().join("params/up.bias.npy")).unwrap();
    assert_refused(folder.path(), &["params/up.bias.npy", "\"up.bias\"", "missing"]);
}

#[test]
fn a_parameter_of_another_shape_is_named_with_both_shapes() {
    let folder = saved();
    write(&folder.path().join("params/up.weight.npy"), &[3, 4, 2, 3], &[0.5f64; 72]).unwrap();
    assert_refused(folder.path(), &["up.weight", "[4, 3, 2, 3]", "[3, 4, 2, 3]"]);
    write(&folder.path().join("params/up.weight.npy"), &[72], &[0.5f64; 72]).unwrap();
    assert_refused(folder.path(), &["up.weight", "[4, 3, 2, 3]", "[72]"]);
}

#[test]
fn a_parameter_of_another_type_is_named() {
    let folder = saved();
    write(&folder.path().join("params/fc.bias.npy"), &[5], &[1i64; 5]).unwrap();
    assert_refused(folder.path(), &["fc.bias", "f32", "i64"]);
}

#[test]
fn a_parameter_that_is_not_finite_is_named() {
    for value in [f64::NAN, f64::INFINITY] {
        let folder = tempfile::tempdir().unwrap();
        let mut network = network::<f64>();
        view_mut(&mut network.parameters_mut()[0])[2] = value;
        network.save(folder.path(), &Value::Null).unwrap();
        assert_refused(folder.path(), &["conv.weight"]);
    }
}

#[test]
fn a_parameter_that_was_exchanged_is_named() {
    let folder = saved();
    write(&folder.path().join("params/fc.bias.npy"), &[5], &[0.25f64; 5]).unwrap();
    assert_refused(folder.path(), &["fc.bias", "digest"]);
}

#[test]
fn a_truncated_parameter_and_a_truncated_description_are_named() {
    for file in ["params/fc.weight.npy", "net.json"] {
        let folder = saved();
        let path = folder.path().join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        assert_refused(folder.path(), &[file]);
    }
    let empty = tempfile::tempdir().unwrap();
    assert_refused(empty.path(), &["net.json"]);
}
