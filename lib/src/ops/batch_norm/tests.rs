use crate::tensor::Tape;

use super::*;
use crate::ops::checks::{assert_close, check_adjoint, check_case, check_gradients, normal, repeated};
use crate::store::npy::Scalar;

const EPSILON: f64 = 1e-5;

fn agrees_with_the_oracle<E: Element + Scalar>() {
    check_case::<E>("batch_norm", &["x", "weight", "bias"], |tape, x| {
        batch_norm_training(tape, &x[0], &x[1], &x[2], EPSILON).0
    });
}

#[test]
fn oracle_values_and_gradients() {
    agrees_with_the_oracle::<f32>();
    agrees_with_the_oracle::<f64>();
}

/// x, gain and bias.
fn inputs() -> [Batch<f64>; 3] {
    [normal("x", (3, 2, 3, 2)), normal("gain", (1, 1, 1, 2)), normal("bias", (1, 1, 1, 2))]
}

fn running() -> Statistics {
    Statistics { mean: vec![0.3, -0.2], variance: vec![0.5, 2.0], count: 0 }
}

#[test]
fn gradients_are_differences() {
    for rectifier in [None, Some(0.1)] {
        check_gradients(&inputs(), |tape, x| batch_norm(tape, &x[0], [&x[1], &x[2]], &running(), rectifier, EPSILON));
    }
    check_gradients(&inputs(), |tape, x| batch_norm_training(tape, &x[0], &x[1], &x[2], EPSILON).0);
}

#[test]
fn the_directions_are_transposed() {
    let [x, gain, bias] = &inputs();
    check_adjoint(
        x,
        |x| batch_norm(&mut Tape::off(), x, [gain, bias], &running(), None, EPSILON),
        |cotangent| pullback(&mut Tape::off(), cotangent, None, gain, &running(), EPSILON),
    );
    check_adjoint(
        x,
        |x| batch_norm_training(&mut Tape::off(), x, gain, bias, EPSILON).0,
        |cotangent| pullback_training(&mut Tape::off(), cotangent, x, gain, EPSILON),
    );
}

#[test]
fn gradients_through_the_pullbacks_are_differences() {
    let [x, gain, _] = inputs();
    let cotangent = normal("a cotangent", shape(&x));
    check_gradients(&[cotangent.clone(), gain.clone()], |tape, inputs| {
        pullback(tape, &inputs[0], None, &inputs[1], &running(), EPSILON)
    });
    let y = normal("y", (1, 2, 3, 2));
    check_gradients(&[cotangent.clone(), gain.clone()], |tape, inputs| {
        pullback(tape, &inputs[0], Some((&y, 0.1)), &inputs[1], &running(), EPSILON)
    });
    check_gradients(&[cotangent.clone(), x, gain.clone()], |tape, inputs| {
        pullback_training(tape, &inputs[0], &inputs[1], &inputs[2], EPSILON)
    });
    // One image for three cotangents.
    check_gradients(&[cotangent, normal("x", (1, 2, 3, 2)), gain], |tape, inputs| {
        pullback_training(tape, &inputs[0], &inputs[1], &inputs[2], EPSILON)
    });
}

#[test]
fn a_rectifier_within_is_one_after() {
    let [x, gain, bias] = &inputs();
    for slope in [0.0, 0.1] {
        let mut tape = Tape::recording();
        let y = batch_norm(&mut tape, x, [gain, bias], &running(), Some(slope), EPSILON);
        let within = batch_norm(&mut Tape::off(), x, [gain, bias], &running(), Some(slope), EPSILON);
        assert_eq!(view(&y), view(&within));
        for y in [y, normal("one image", (1, 2, 3, 2))] {
            let cotangent = normal("a cotangent", shape(x));
            let apart = pullback(&mut tape, &cotangent, Some((&y, slope)), gain, &running(), EPSILON);
            let within = pullback(&mut Tape::off(), &cotangent, Some((&y, slope)), gain, &running(), EPSILON);
            assert_eq!(view(&apart), view(&within));
        }
    }
}

#[test]
fn one_image_stands_for_a_batch_of_copies() {
    let [_, gain, _] = inputs();
    let (x, cotangent) = (normal("x", (1, 2, 3, 2)), normal("a cotangent", (3, 2, 3, 2)));
    let pull = |x: &Batch<f64>| pullback_training(&mut Tape::off(), &cotangent, x, &gain, EPSILON);
    assert_eq!(view(&pull(&x)), view(&pull(&repeated(&x, 3))));
}

#[test]
fn running_statistics_mix_in_the_unbiased_variance() {
    let x: Batch<f64> = batch(vec![1.0, 3.0, 5.0], (3, 1, 1, 1));
    let old = (batch(vec![1.0], (1, 1, 1, 1)), batch(vec![2.0], (1, 1, 1, 1)));
    // Mean 3, unbiased variance 4.
    let (mean, variance) = Statistics::of(&x).update((&old.0, &old.1), 0.1);
    assert_close(&[view(&mean)[0], view(&variance)[0]], &[1.2, 2.2], 1e-15);
}

#[test]
fn many_rows_have_the_statistics_of_the_definition() {
    let x: Batch<f64> = normal("x", (50, 10, 10, 3));
    let statistics = Statistics::of(&x);
    for channel in 0..3 {
        let values: Vec<f64> = view(&x).iter().skip(channel).step_by(3).copied().collect();
        let mean = values.iter().sum::<f64>() / 5000.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 5000.0;
        assert_close(&[statistics.mean[channel], statistics.variance[channel]], &[mean, variance], 1e-12);
    }
}
