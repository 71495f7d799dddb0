//! What the tests against the oracle share: a case's folder, its arrays, and the small encoder that several cases have.

use std::path::{Path, PathBuf};

use obverse::net::Network;
use obverse::store::npy::{Reader, Scalar};
use obverse::tensor::{Batch, Element, batch, channels_first, channels_last, shape};
use serde_json::{Value, json};

/// A case of the oracle: a folder with `case.json` and arrays.
pub struct Case {
    folder: PathBuf,
    /// What `case.json` says.
    pub description: Value,
}

impl Case {
    /// The case of this name: `OBVERSE_ORACLE`'s, or the bundled one where that has none.
    pub fn open(name: &str) -> Self {
        let bundled = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/oracle"));
        let chosen = std::env::var_os("OBVERSE_ORACLE").map(PathBuf::from);
        let folder = chosen.filter(|root| root.join(name).is_dir()).unwrap_or_else(|| bundled.to_owned()).join(name);
        let description = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
        Self { folder, description }
    }

    /// The case's tolerance for this type of numbers.
    pub fn tolerance<E: Element>(&self) -> f64 {
        self.description["tolerance"][E::NAME.replace('f', "float")].as_f64().unwrap()
    }

    /// The file of an array.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.npy"))
    }

    /// An array as in its file, with its shape.
    pub fn array<E: Element + Scalar>(&self, name: &str) -> (Vec<usize>, Vec<E>) {
        let mut reader = Reader::open(&self.folder.join(format!("{name}.npy"))).unwrap();
        (reader.shape().to_vec(), reader.read_rows_as_float(reader.rows()).unwrap())
    }

    /// An array's values.
    pub fn values<E: Element + Scalar>(&self, name: &str) -> Vec<E> {
        self.array(name).1
    }

    /// Images (N, H, W, C), or rows (N, 1, 1, F).
    pub fn batch<E: Element + Scalar>(&self, name: &str) -> Batch<E> {
        let (axes, values) = self.array(name);
        match *axes.as_slice() {
            [n, c, h, w] => batch(channels_last(&values, (n, h, w, c)), (n, h, w, c)),
            [n, features] => batch(values, (n, 1, 1, features)),
            _ => unreachable!("{name}: {axes:?}"),
        }
    }

    /// Fails where values are not those of an array in a file.
    #[track_caller]
    pub fn check<E: Element>(&self, name: &str, actual: &[E]) {
        assert_close(name, actual, &self.values(name), self.tolerance::<E>());
    }

    /// As [`Case::check`], of a batch in channels-last order.
    #[track_caller]
    pub fn check_batch<E: Element>(&self, name: &str, actual: &Batch<E>) {
        self.check(name, &channels_first(obverse::tensor::view(actual), shape(actual)));
    }

    /// Checks the gradient of every parameter of `network` against `<prefix>grad.<parameter>`; returns how many.
    #[track_caller]
    pub fn check_gradients<E: Element>(&self, prefix: &str, network: &Network<E>, gradients: &[Vec<E>]) -> usize {
        let parameters = network.graph().parameters();
        for ((place, spec), gradient) in parameters.iter().zip(gradients) {
            let in_file_order = match spec.shape.as_slice() {
                &[outputs, inputs, height, width] => channels_first(gradient, (outputs, height, width, inputs)),
                _ => gradient.clone(),
            };
            self.check(&format!("{prefix}grad.{}", network.graph().parameter_name(*place, spec)), &in_file_order);
        }
        parameters.len()
    }

    /// The small encoder with these linear heads, an output's name and its node's, and the case's parameters.
    pub fn encoder<E: Element + Scalar>(&self, heads: &[(&str, &str)]) -> Network<E> {
        let folder = tempfile::tempdir().unwrap();
        let parameters = folder.path().join("params");
        std::fs::create_dir(&parameters).unwrap();
        let layers = ["conv1", "conv2", "conv3", "conv4", "fc1"];
        for layer in layers.iter().chain(heads.iter().map(|(_, node)| node)) {
            for name in [format!("{layer}.weight.npy"), format!("{layer}.bias.npy")] {
                std::fs::copy(self.folder.join(format!("param.{name}")), parameters.join(name)).unwrap();
            }
        }
        std::fs::write(folder.path().join("net.json"), description(heads).to_string()).unwrap();
        Network::load(folder.path()).unwrap()
    }
}

/// The small encoder as net.json has it.
fn description(heads: &[(&str, &str)]) -> Value {
    let mut nodes = Vec::new();
    let mut input = "input".to_string();
    for (number, (channels, stride)) in (1..).zip([(4, 1), (4, 2), (8, 1), (8, 2)]) {
        let (convolution, activation) = (format!("conv{number}"), format!("act{number}"));
        nodes.push(json!({"name": convolution, "op": "conv2d", "input": input, "channels": channels, "kernel": 3,
            "stride": stride, "padding": 1}));
        nodes.push(json!({"name": activation, "op": "leaky_relu", "input": convolution, "slope": 0.01}));
        input = activation;
    }
    nodes.push(json!({"name": "flatten", "op": "flatten", "input": input}));
    nodes.push(json!({"name": "fc1", "op": "linear", "input": "flatten", "features": 32}));
    nodes.push(json!({"name": "act_fc1", "op": "leaky_relu", "input": "fc1", "slope": 0.01}));
    let mut outputs = serde_json::Map::new();
    for (output, node) in heads {
        nodes.push(json!({"name": node, "op": "linear", "input": "act_fc1", "features": 6}));
        outputs.insert(output.to_string(), Value::from(*node));
    }
    json!({"format": "obverse-net/1", "input": {"shape": [1, 12, 12]}, "nodes": nodes, "outputs": outputs})
}

/// |a - b| <= tolerance * max(1, max |b|), element by element.
#[track_caller]
pub fn assert_close<E: Element>(what: &str, actual: &[E], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let close = (actual.wide() - expected).abs() <= tolerance * scale;
        assert!(close, "{what}, element {i}: {actual:?}, expected {expected:?} within {tolerance:e}");
    }
}
