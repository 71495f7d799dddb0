//! One step of Algorithm 1 through the public interface, against PyTorch's (`tests/oracle/fa_step`), against the closed
//! form that it has at r0 = 0 with T = 1, and against central differences.

use std::path::Path;

use obverse::alignment::recovery::{Aim, Recovery};
use obverse::alignment::settings::Start;
use obverse::alignment::step::{AimWeights, Examples, Heads, Objective, Step, step};
use obverse::net::{Graph, Mode, Network};
use obverse::ops::InputGradient;
use obverse::store::npy::Scalar;
use obverse::tensor::random::Stream;
use obverse::tensor::{Batch, Element, Tape, batch, shape, view, zeros};
use serde_json::json;

use super::common::{Case, assert_close};

/// The case's encoder.
fn encoder<E: Element + Scalar>() -> Network<E> {
    Case::open("fa_step").encoder(&[("z", "z")])
}

/// Images of the case, (N, H, W, C).
fn images<E: Element + Scalar>(name: &str) -> Batch<E> {
    Case::open("fa_step").array(name)
}

/// The place of the encoder's output.
fn latent<E: Element>(encoder: &Network<E>) -> usize {
    encoder.graph().output("z").unwrap()
}

/// z = E(x).
fn encode<E: Element>(encoder: &Network<E>, x: &Batch<E>) -> Batch<E> {
    let trace = encoder.forward(&mut Tape::off(), x, Mode::Inference, InputGradient::Unwanted);
    trace.value(latent(encoder)).unwrap().clone()
}

/// One plain step from r0, C weighed by `factor`.
fn plain_step<E: Element>(
    encoder: &Network<E>,
    recovery: Recovery,
    x: &Batch<E>,
    r: &Batch<E>,
    factor: f64,
) -> Step<E> {
    let objective = Objective { recovery, weights: AimWeights { deviated: false, alpha: 0.0 }, factor };
    let heads = Heads::of(encoder.graph()).unwrap();
    step(encoder, &heads, &objective, &Examples { x, labels: None, r }, None).unwrap()
}

/// Latents, recoveries, C and every gradient, for both numbers of steps.
fn check_oracle<E: Element + Scalar>() {
    let encoder = encoder::<E>();
    let (x, r0) = (images("x"), images("r0"));
    for steps in [1, 3] {
        // The oracle's tau, 0.1, multiplies the gradient of a sum of squares, ours that of half of it.
        let recovery = Recovery { steps, tau: 0.2, sigmoid: false };
        let step = plain_step(&encoder, recovery, &x, &r0, 1.0 / 5.0);
        let case = Case::open("fa_step");
        case.check(&format!("T{steps}.z_x"), view(&step.latents));
        case.check_batch(&format!("T{steps}.r_hat"), &step.recovered);
        case.check(&format!("T{steps}.C"), &[E::of(step.squared_error / 5.0)]);
        assert_eq!(case.check_gradients(&format!("T{steps}."), &encoder, &step.gradients), 12);
    }
}

#[test]
fn a_step_of_algorithm_1_agrees_with_the_oracle_in_f64() {
    assert!(Case::open("fa_step").tolerance::<f64>() <= 1e-9);
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
    let recovery = Recovery { steps: 1, tau: 1.0, sigmoid: false };
    let recovered = recovery.recover(&mut Tape::off(), &encoder, &[Aim::at(latent(&encoder), &z)], &start).unwrap();
    assert_eq!(shape(&recovered), (5, 12, 12, 1));
    assert_close("recovery", view(&recovered), &expected, 1e-10);
    assert!(expected.iter().any(|value| value.abs() > 1e-4), "a recovery that is not flat");
    let squashed = Recovery { sigmoid: true, ..recovery };
    let squashed = squashed.recover(&mut Tape::off(), &encoder, &[Aim::at(latent(&encoder), &z)], &start).unwrap();
    let expected: Vec<f64> = expected.iter().map(|r| 1.0 / (1.0 + (-r).exp())).collect();
    assert_close("squashed", view(&squashed), &expected, 1e-10);
}

/// A step from one row of zeros, and from as many as there are images.
fn from_zeros<E: Element + Scalar>(encoder: &Network<E>, recovery: Recovery) -> [Step<E>; 2] {
    let x = images("x");
    let start = Start::Zeros.draw(&Stream::new(0, "start", 0), 0, 5, (12, 12, 1));
    assert_eq!(shape(&start).0, 1);
    [start, zeros((5, 12, 12, 1))].map(|r0| plain_step(encoder, recovery, &x, &r0, 0.5))
}

#[test]
fn one_row_of_zeros_stands_for_all_to_the_bit_and_its_gradients_agree() {
    for steps in [1, 2] {
        for squash in [false, true] {
            let recovery = Recovery { steps, tau: 1.0, sigmoid: squash };
            let [one, all] = from_zeros(&encoder::<f32>(), recovery);
            assert_eq!(view(&one.recovered), view(&all.recovered));
            let [one, all] = from_zeros(&encoder::<f64>(), recovery);
            assert_eq!(view(&one.recovered), view(&all.recovered));
            assert_eq!(one.squared_error, all.squared_error);
            for (one, all) in one.gradients.iter().zip(&all.gradients) {
                assert_close("gradient", view(one), view(all), 1e-12);
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
        let x = batch(Stream::new(0, "x", 0).uniform(0..120), (3, 5, 4, 2));
        for r0 in [batch(Stream::new(0, "r0", 0).uniform(0..120), (3, 5, 4, 2)), zeros((1, 5, 4, 2))] {
            let recovery = Recovery { steps: 2, tau: 1.0, sigmoid: true };
            let gradients = plain_step(&encoder, recovery, &x, &r0, 0.5).gradients;
            for (number, gradient) in gradients.iter().enumerate() {
                let mut differences = Vec::new();
                for element in 0..view(gradient).len() {
                    let original = encoder.parameters()[number].clone();
                    let mut cost = |shift: f64| {
                        let mut values = view(&original).to_vec();
                        values[element] += shift;
                        encoder.parameters_mut()[number] = batch(values, shape(&original));
                        0.5 * plain_step(&encoder, recovery, &x, &r0, 0.5).squared_error
                    };
                    differences.push((cost(1e-5) - cost(-1e-5)) / 2e-5);
                    encoder.parameters_mut()[number] = original;
                }
                assert_close(activation, view(gradient), &differences, 1e-7);
            }
        }
    }
}

/// Equation 18: one weight w, T steps of tau 1 from r0 towards the activation of x.
#[test]
fn r_after_t_steps_is_that_of_equation_18() {
    let description = json!({"format": "obverse-net/1", "input": {"shape": [1]}, "outputs": {"z": "z"}, "nodes": [
        {"name": "z", "op": "linear", "input": "input", "features": 1, "bias": false}]});
    let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
    let mut encoder = Network::<f64>::initialised(graph, obverse::net::Initialisation::Uniform, 0);
    for (w, x, r0) in [(0.3f64, 0.7f64, -0.4f64), (1.0, 0.7, 0.9), (1.3, -0.2, 0.5), (-0.8, 0.6, 0.0)] {
        encoder.parameters_mut()[0] = batch(vec![w], (1, 1, 1, 1));
        let z = batch(vec![w * x], (1, 1, 1, 1));
        for steps in 1..=8 {
            let recovery = Recovery { steps, tau: 1.0, sigmoid: false };
            let start = batch(vec![r0], (1, 1, 1, 1));
            let r = recovery.recover(&mut Tape::off(), &encoder, &[Aim::at(0, &z)], &start).unwrap();
            let left = 1.0 - w * w;
            let sum: f64 = (0..steps).map(|q| left.powi(q as i32)).sum();
            let expected = r0 * left.powi(steps as i32) + sum * w * (w * x);
            assert!((view(&r)[0] - expected).abs() < 1e-12, "w {w}, T {steps}");
        }
        // Equation 19: the activation divided by the weight, where w^2 < 2.
        let recovery = Recovery { steps: 2000, tau: 1.0, sigmoid: false };
        let r =
            recovery.recover(&mut Tape::off(), &encoder, &[Aim::at(0, &z)], &batch(vec![r0], (1, 1, 1, 1))).unwrap();
        assert!((view(&r)[0] - x).abs() < 1e-9, "w {w}");
    }
}
