//! ONNX's own tests of its operations, those that `tests/conformance/run.py` has kept, and networks that onnxruntime has quantised
//! (`quantised.py` beside it): what a network computes is what they expect.

use std::path::Path;

use super::{Options, load};
use crate::net::network::Mode;
use crate::ops::InputGradient;
use crate::ops::checks::Case;
use crate::store::npy::read;
use crate::store::onnx::Model;
use crate::tensor::{Tape, batch, channels_first, channels_last, shape, view};

fn floats(path: &Path) -> Vec<f32> {
    read::<f32>(path).expect("floats").into_raw_vec_and_offset().0
}

/// The largest part of its tolerance that a value is off by.
fn error(folder: &Path, said: &serde_json::Value) -> Result<f64, String> {
    let text = |key: &str| said[key].as_u64().map(|number| number.to_string()).unwrap_or_default();
    let number = text("number");
    let model = Model::open(&folder.join(format!("{number}.onnx"))).map_err(|error| error.to_string())?;
    let options = Options { unbatched: said["unbatched"] == true, ..Options::default() };
    let network = load(&model, &options).map_err(|error| error.to_string())?.network;
    let size = network.graph().input.shape;
    let values = floats(&folder.join(format!("{number}.x.npy")));
    let axes = (values.len() / size.elements(), size.height, size.width, size.channels);
    let x = batch(channels_last(&values, axes), axes);
    let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
    let node =
        network.graph().output(said["output"].as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
    let y = network.value(&trace, node).map_err(|error| error.to_string())?;
    let found = channels_first(view(y), shape(y));
    let expected = floats(&folder.join(format!("{number}.{}.npy", text("array"))));
    if found.len() != expected.len() {
        return Err(format!("{} values for {}", found.len(), expected.len()));
    }
    let tolerance = said["tolerance"].as_f64().unwrap_or(0.0).max(1e-5);
    let off = |(&found, &expected): (&f32, &f32)| {
        let is_same = found == expected || (found.is_nan() && expected.is_nan());
        let difference = f64::from(found - expected).abs() / (tolerance + 1e-3 * f64::from(expected.abs()));
        if is_same {
            0.0
        } else if difference.is_nan() {
            f64::INFINITY
        } else {
            difference
        }
    };
    Ok(found.iter().zip(&expected).map(off).fold(0.0, f64::max))
}

#[test]
fn operations_are_those_of_onnxs_tests() {
    check("conformance", 500);
}

#[test]
fn quantised_networks_compute_what_onnxruntime_does_but_for_rounding() {
    check("quantised", 36);
}

fn check(case: &str, least: usize) {
    let case = Case::open(case);
    let folder = case.unpacked();
    let outputs = case.description["outputs"].as_array().expect("outputs");
    assert!(outputs.len() >= least, "{}", outputs.len());
    let wrong: Vec<String> = outputs
        .iter()
        .filter_map(|said| match error(folder.path(), said) {
            Ok(off) if off <= 1.0 => None,
            Ok(off) => Some(format!("{}: {off} times its tolerance", said["test"])),
            Err(why) => Some(format!("{}: {why}", said["test"])),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
