//! One step of Algorithm 1 through the public interface, against PyTorch's (`tests/oracle/fa_step`), against the closed
//! form that it has at r0 = 0 with T = 1, and against central differences.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails its test")]

use std::path::{Path, PathBuf};

use dfdx::prelude::NoneTape;
use obverse::align::recovery::{Recovery, Step};
use obverse::align::training::Start;
use obverse::net::{Graph, Mode, Network};
use obverse::ops::InputGradient;
use obverse::store::npy::{Reader, Scalar};
use obverse::tensor::random::Stream;
use obverse::tensor::{Batch, Element, batch, channels_first, channels_last, shape, view, zeros};
use serde_json::{Value, json};

/// The folder of the case: `OBVERSE_ORACLE`'s, or the bundled one where that has none.
fn case() -> PathBuf {
    let bundled = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/oracle"));
    let chosen = std::env::var_os("OBVERSE_ORACLE").map(PathBuf::from);
    chosen.filter(|root| root.join("fa_step").is_dir()).unwrap_or_else(|| bundled.to_owned()).join("fa_step")
}

/// The case's tolerance for this type of numbers.
fn tolerance<E: Element>() -> f64 {
    let text = std::fs::read(case().join("case.json")).unwrap();
    let description: Value = serde_json::from_slice(&text).unwrap();
    description["tolerance"][E::NAME.replace('f', "float")].as_f64().unwrap()
}

/// An array of the case as in its file, with its shape.
fn array<E: Element + Scalar>(name: &str) -> (Vec<usize>, Vec<E>) {
    let mut reader = Reader::open(&case().join(format!("{name}.npy"))).unwrap();
    (reader.shape().to_vec(), reader.read_rows_as_float(reader.rows()).unwrap())
}

/// Images of the case, (N, H, W, C).
fn images<E: Element + Scalar>(name: &str) -> Batch<E> {
    let (axes, values) = array(name);
    let shape = (axes[0], axes[2], axes[3], axes[1]);
    batch(channels_last(&values, shape), shape)
}

/// |a - b| <= tolerance * max(1, max |b|), element by element.
#[track_caller]
fn assert_close<E: Element>(what: &str, actual: &[E], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let close = (actual.wide() - expected).abs() <= tolerance * scale;
        assert!(close, "{what}, element {i}: {actual:?}, expected {expected:?} within {tolerance:e}");
    }
}

/// The case's encoder as net.json has it.
fn description() -> Value {
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
    nodes.push(json!({"name": "z", "op": "linear", "input": "act_fc1", "features": 6}));
    json!({"format": "obverse-net/1", "input": {"shape": [1, 12, 12]}, "nodes": nodes, "outputs": {"z": "z"}})
}

/// The case's encoder with the case's parameters, read as a network folder.
fn encoder<E: Element + Scalar>() -> Network<E> {
    let folder = tempfile::tempdir().unwrap();
    let parameters = folder.path().join("params");
    std::fs::create_dir(&parameters).unwrap();
    for layer in ["conv1", "conv2", "conv3", "conv4", "fc1", "z"] {
        for name in [format!("{layer}.weight.npy"), format!("{layer}.bias.npy")] {
            std::fs::copy(case().join(format!("param.{name}")), parameters.join(name)).unwrap();
        }
    }
    std::fs::write(folder.path().join("net.json"), description().to_string()).unwrap();
    Network::load(folder.path()).unwrap()
}

/// The place of the encoder's output.
fn latent<E: Element>(encoder: &Network<E>) -> usize {
    encoder.graph().output("z").unwrap()
}

/// z = E(x).
fn encode<E: Element>(encoder: &Network<E>, x: &Batch<E>) -> Batch<E> {
    let trace = encoder.forward(&mut NoneTape, x, Mode::Inference, InputGradient::Unwanted);
    trace.value(latent(encoder)).unwrap().clone()
}

/// Latents, recoveries, C and every gradient, for both numbers of steps.
fn check_oracle<E: Element + Scalar>() {
    let encoder = encoder::<E>();
    let (x, r0) = (images("x"), images("r0"));
    for steps in [1, 3] {
        // The oracle's tau, 0.1, multiplies the gradient of a sum of squares, ours that of half of it.
        let recovery = Recovery { steps, tau: 0.2, squash: false };
        let step = recovery.step(&encoder, latent(&encoder), &x, &r0, 1.0 / 5.0);
        let check = |name: &str, actual: &[E]| {
            let name = format!("T{steps}.{name}");
            assert_close(&name, actual, &array(&name).1, tolerance::<E>());
        };
        check("z_x", view(&step.latents));
        check("r_hat", &channels_first(view(&step.recovered), shape(&step.recovered)));
        check("C", &[E::of(step.squared_error / 5.0)]);
        let parameters = encoder.graph().parameters();
        assert_eq!(parameters.len(), 12);
        for ((place, spec), gradient) in parameters.iter().zip(&step.gradients) {
            let in_file_order = match spec.shape.as_slice() {
                &[outputs, inputs, height, width] => channels_first(gradient, (outputs, height, width, inputs)),
                _ => gradient.clone(),
            };
            check(&format!("grad.{}", encoder.graph().parameter_name(*place, spec)), &in_file_order);
        }
    }
}

#[test]
fn a_step_of_algorithm_1_agrees_with_the_oracle_in_f64() {
    assert!(tolerance::<f64>() <= 1e-9);
    check_oracle::<f64>();
}

#[test]
fn a_step_of_algorithm_1_agrees_with_the_oracle_in_f32() {
    check_oracle::<f32>();
}

#[test]
fn with_zeros_and_one_step_the_recovery_is_the_transposed_jacobian_times_the_difference_of_latents() {
    let encoder = encoder::<f64>();
    let z = encode(&encoder, &images("x"));
    let at_zero = encode(&encoder, &zeros((1, 12, 12, 1)));
    // J_E(0), a row a pixel: exact up to rounding, since E is linear near 0.
    let row = |pixel: usize| -> Vec<f64> {
        let moved = |value: f64| {
            let mut pixels = vec![0.0; 144];
            pixels[pixel] = value;
            encode(&encoder, &batch(pixels, (1, 12, 12, 1)))
        };
        let (above, below) = (moved(1e-5), moved(-1e-5));
        view(&above).iter().zip(view(&below)).map(|(above, below)| (above - below) / 2e-5).collect()
    };
    let jacobian: Vec<Vec<f64>> = (0..144).map(row).collect();
    let expected: Vec<f64> = view(&z)
        .chunks(6)
        .flat_map(|z| {
            let error: Vec<f64> = z.iter().zip(view(&at_zero)).map(|(z, at_zero)| z - at_zero).collect();
            jacobian.iter().map(move |row| row.iter().zip(&error).map(|(slope, error)| slope * error).sum::<f64>())
        })
        .collect();
    let start = Start::Zeros.draw(&Stream::new(0, "start", 0), 0, 5, (12, 12, 1));
    let recovery = Recovery { steps: 1, tau: 1.0, squash: false };
    let recovered = recovery.recover(&mut NoneTape, &encoder, latent(&encoder), &z, &start);
    assert_eq!(shape(&recovered), (5, 12, 12, 1));
    assert_close("recovery", view(&recovered), &expected, 1e-10);
    assert!(expected.iter().any(|value| value.abs() > 1e-4), "a recovery that is not flat");
    let squashed = Recovery { squash: true, ..recovery };
    let squashed = squashed.recover(&mut NoneTape, &encoder, latent(&encoder), &z, &start);
    let expected: Vec<f64> = expected.iter().map(|r| 1.0 / (1.0 + (-r).exp())).collect();
    assert_close("squashed", view(&squashed), &expected, 1e-10);
}

/// A step from one row of zeros, and from as many as there are images.
fn from_zeros<E: Element + Scalar>(encoder: &Network<E>, recovery: Recovery) -> [Step<E>; 2] {
    let x = images("x");
    let start = Start::Zeros.draw(&Stream::new(0, "start", 0), 0, 5, (12, 12, 1));
    assert_eq!(shape(&start).0, 1);
    [start, zeros((5, 12, 12, 1))].map(|r0| recovery.step(encoder, latent(encoder), &x, &r0, 0.5))
}

#[test]
fn one_row_of_zeros_stands_for_all_to_the_bit_and_its_gradients_agree() {
    for steps in [1, 2] {
        for squash in [false, true] {
            let recovery = Recovery { steps, tau: 1.0, squash };
            let [one, all] = from_zeros(&encoder::<f32>(), recovery);
            assert_eq!(view(&one.recovered), view(&all.recovered));
            let [one, all] = from_zeros(&encoder::<f64>(), recovery);
            assert_eq!(view(&one.recovered), view(&all.recovered));
            assert_eq!(one.squared_error, all.squared_error);
            for (one, all) in one.gradients.iter().zip(&all.gradients) {
                assert_close("gradient", one, all, 1e-12);
            }
        }
    }
}

/// Smooth activations have a second derivative, and it enters: C's gradients against its central differences.
#[test]
fn gradients_through_smooth_activations_and_the_sigmoid_are_differences() {
    for activation in ["asinh", "softplus", "tanh", "sigmoid", "elu", "sinh"] {
        let description = json!({"format": "obverse-net/1", "input": {"shape": [2, 5, 4]}, "outputs": {"z": "z"}, "nodes": [
            {"name": "conv", "op": "conv2d", "input": "input", "channels": 3, "kernel": 3, "stride": 2, "padding": 1},
            {"name": "smooth", "op": activation, "input": "conv"},
            {"name": "flatten", "op": "flatten", "input": "smooth"},
            {"name": "fc", "op": "linear", "input": "flatten", "features": 5},
            {"name": "again", "op": activation, "input": "fc"},
            {"name": "z", "op": "linear", "input": "again", "features": 4}]});
        let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
        let mut encoder = Network::<f64>::initialised(graph, obverse::net::Initialisation::Glorot, 1);
        let node = latent(&encoder);
        let x = batch(Stream::new(0, "x", 0).uniform(0..120), (3, 5, 4, 2));
        for r0 in [batch(Stream::new(0, "r0", 0).uniform(0..120), (3, 5, 4, 2)), zeros((1, 5, 4, 2))] {
            let recovery = Recovery { steps: 2, tau: 1.0, squash: true };
            let gradients = recovery.step(&encoder, node, &x, &r0, 0.5).gradients;
            for (number, gradient) in gradients.iter().enumerate() {
                let mut differences = Vec::new();
                for element in 0..gradient.len() {
                    let original = encoder.parameters()[number].clone();
                    let mut cost = |shift: f64| {
                        let mut values = view(&original).to_vec();
                        values[element] += shift;
                        encoder.parameters_mut()[number] = batch(values, shape(&original));
                        0.5 * recovery.step(&encoder, node, &x, &r0, 0.5).squared_error
                    };
                    differences.push((cost(1e-5) - cost(-1e-5)) / 2e-5);
                    encoder.parameters_mut()[number] = original;
                }
                assert_close(activation, gradient, &differences, 1e-7);
            }
        }
    }
}
