use crate::tensor::Tape;

use super::*;
use crate::ops::checks::{assert_close, check_adjoint, check_gradients, normal, repeated};

const EPSILON: f64 = 1e-3;

const LAYER_NORM: [f64; 6] = [
    -0.5656252308941638,
    -0.5328126154470821,
    -1.0820315386177046,
    -0.8194495349231488,
    2.1111192558770386,
    -0.01388990698462983,
];

const RMS_NORM: [f64; 6] =
    [0.37769478730024897, 1.5107791492009959, -1.5107791492009959, -1.5309310892394863, 1.5309310892394863, 0.0];

/// x, g and b: more channels than there are lanes.
fn inputs() -> [Batch<f64>; 3] {
    [normal("x", (2, 1, 3, 19)), normal("gain", (1, 1, 1, 19)), normal("bias", (1, 1, 1, 19))]
}

fn norms() -> [Norm; 2] {
    [Norm::Deviation(EPSILON), Norm::RootMeanSquare(EPSILON)]
}

/// PyTorch's `layer_norm` and `rms_norm` of three channels with eps 0.01.
#[test]
fn values_are_those_of_pytorch() {
    let x: Batch<f64> = batch(vec![1.0, 2.0, 4.0, -1.0, 0.5, 0.0], (1, 2, 1, 3));
    let gain = batch(vec![1.0, 2.0, -1.0], (1, 1, 1, 3));
    let bias = batch(vec![0.5, 0.0, 0.25], (1, 1, 1, 3));
    let y = layer_norm(&mut Tape::off(), &x, &gain, &bias, 0.01);
    assert_close(view(&y), &LAYER_NORM, 1e-15);
    let y = rms_norm(&mut Tape::off(), &x, &gain, 0.01);
    assert_close(view(&y), &RMS_NORM, 1e-15);
}

#[test]
fn gradients_are_differences() {
    check_gradients(&inputs(), |tape, x| layer_norm(tape, &x[0], &x[1], &x[2], EPSILON));
    check_gradients(&inputs()[..2], |tape, x| rms_norm(tape, &x[0], &x[1], EPSILON));
}

#[test]
fn the_directions_are_transposed() {
    let [x, gain, bias] = &inputs();
    let [deviation, square] = norms();
    check_adjoint(
        x,
        |x| layer_norm(&mut Tape::off(), x, gain, bias, EPSILON),
        |cotangent| pullback(&mut Tape::off(), cotangent, x, gain, deviation),
    );
    check_adjoint(
        x,
        |x| rms_norm(&mut Tape::off(), x, gain, EPSILON),
        |cotangent| pullback(&mut Tape::off(), cotangent, x, gain, square),
    );
}

#[test]
fn gradients_through_the_pullback_are_differences_also_of_one_image_for_all() {
    let [x, gain, _] = inputs();
    let cotangent = normal("a cotangent", shape(&x));
    for norm in norms() {
        for x in [x.clone(), normal("one", (1, 1, 3, 19))] {
            check_gradients(&[cotangent.clone(), x, gain.clone()], |tape, inputs| {
                pullback(tape, &inputs[0], &inputs[1], &inputs[2], norm)
            });
        }
    }
}

#[test]
fn one_image_stands_for_a_batch_of_copies() {
    let [_, gain, _] = inputs();
    let (x, cotangent) = (normal("x", (1, 1, 3, 19)), normal("a cotangent", (4, 1, 3, 19)));
    for norm in norms() {
        let pull = |x: &Batch<f64>| pullback(&mut Tape::off(), &cotangent, x, &gain, norm);
        assert_eq!(view(&pull(&x)), view(&pull(&repeated(&x, 4))));
    }
}

#[test]
fn a_large_mean_costs_no_more_than_its_own_rounding() {
    let small: Batch<f64> = normal("x", (1, 1, 1, 1000));
    let large: Batch<f32> = batch(view(&small).iter().map(|x| (x + 1000.0) as f32).collect(), (1, 1, 1, 1000));
    let ones = batch(vec![1.0; 1000], (1, 1, 1, 1000));
    let zeros = batch(vec![0.0; 1000], (1, 1, 1, 1000));
    let y = layer_norm(&mut Tape::off(), &large, &ones, &zeros, 1e-5);
    let wide = batch(view(&large).iter().map(|&x| f64::from(x)).collect(), (1, 1, 1, 1000));
    let [ones, zeros] = [1.0, 0.0].map(|value| batch(vec![value; 1000], (1, 1, 1, 1000)));
    let expected = layer_norm(&mut Tape::off(), &wide, &ones, &zeros, 1e-5);
    assert_close(view(&y), view(&expected), 1e-4);
}
