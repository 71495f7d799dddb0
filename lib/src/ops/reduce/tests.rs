use super::*;
use crate::ops::checks::{assert_close, check_adjoint, check_gradients, normal, repeated};
use crate::tensor::{Tape, backward, gradient};

const ALL: [Reduction; 12] = [
    Reduction::Mean,
    Reduction::Sum,
    Reduction::Max,
    Reduction::Min,
    Reduction::Prod,
    Reduction::L1,
    Reduction::L2,
    Reduction::SumSquare,
    Reduction::LogSum,
    Reduction::LogSumExp,
    Reduction::ArgMax,
    Reduction::ArgMin,
];

/// Each along height and width of the numbers below, by PyTorch 2.15 in double precision: the values of both channels, and the gradient for
/// the cotangent (1, -2).
#[rustfmt::skip]
const PYTORCH: [(Reduction, [f64; 2], [f64; 12]); 12] = [
    (Reduction::Mean, [1.4092082845264198, 1.2963907978072335], [0.16666666666666666, -0.3333333333333333, 0.16666666666666666, -0.3333333333333333, 0.16666666666666666, -0.3333333333333333, 0.16666666666666666, -0.3333333333333333, 0.16666666666666666, -0.3333333333333333, 0.16666666666666666, -0.3333333333333333]),
    (Reduction::Sum, [8.455249707158519, 7.778344786843402], [1.0, -2.0, 1.0, -2.0, 1.0, -2.0, 1.0, -2.0, 1.0, -2.0, 1.0, -2.0]),
    (Reduction::Max, [4.218074739870145, 3.7744129544236893], [0.0, -2.0, 0.0, -0.0, 0.0, -0.0, 0.0, -0.0, 1.0, -0.0, 0.0, -0.0]),
    (Reduction::Min, [-1.0204074859237844, -1.7499706196521103], [0.0, -0.0, 0.0, -0.0, 1.0, -0.0, 0.0, -0.0, 0.0, -0.0, 0.0, -2.0]),
    (Reduction::Prod, [3.366848719875512, 143.9941970564206], [2.6934789759004096, -76.30018166806919, 0.846390118807276, -172.10187284952818, -3.2995139356778362, 177.03049243630286, 8.176855025383258, -89.41073851853204, 0.7981956052251368, -115.82752315229, -8.812279096147197, 164.56755952285218]),
    (Reduction::L1, [11.260191344342307, 14.531831674126455], [1.0, -2.0, 1.0, -2.0, -1.0, 2.0, 1.0, -2.0, 1.0, -2.0, -1.0, 2.0]),
    (Reduction::L2, [6.044421087492172, 6.269901065585508], [0.20680226971390978, -1.2039784726878207, 0.6581097218240748, -0.5337755753003535, -0.16881806729768242, 0.5189149898771173, 0.068121247584036, -1.0274356046336057, 0.6978459440224444, -0.7931083536142158, -0.06320925149618047, 0.5582131524394927]),
    (Reduction::SumSquare, [36.535026282920064, 39.31165937223029], [2.5, -15.097651817694757, 7.95578456095409, -6.6934400967184065, -2.0408149718475688, 6.507091295957661, 0.8235070108064448, -12.883839184625469, 8.43614947974029, -9.945421822901078, -0.7641266653362186, 6.999882478608441]),
    (Reduction::LogSum, [2.1347875155819107, 2.051343563221559], [0.11826971817915254, -0.25712411249535744, 0.11826971817915254, -0.25712411249535744, 0.11826971817915254, -0.25712411249535744, 0.11826971817915254, -0.25712411249535744, 0.11826971817915254, -0.25712411249535744, 0.11826971817915254, -0.25712411249535744]),
    (Reduction::LogSumExp, [4.846936746755783, 4.4583145645272095], [0.02740755025607694, -1.00928844276742, 0.41935206290219756, -0.12346379055534729, 0.0028303801925881555, -0.004553130739782382, 0.011852893768345373, -0.5803014391310898, 0.5331982318007974, -0.2783678250221091, 0.005358881079994482, -0.004025371784250817]),
    (Reduction::ArgMax, [4.0, 0.0], [0.0; 12]),
    (Reduction::ArgMin, [2.0, 5.0], [0.0; 12]),
];

/// Every subset of the axes of images of 3 x 2 x 2.
fn targets(images: usize) -> impl Iterator<Item = Shape> {
    (0..8).map(move |which| {
        let axis = |bit: u32, length: usize| if which >> bit & 1 == 1 { 1 } else { length };
        (images, axis(0, 3), axis(1, 2), axis(2, 2))
    })
}

/// Numbers of both signs, but for the logarithm of a sum.
fn drawn(name: &str, shape: Shape, reduction: Reduction) -> Batch<f64> {
    let drawn = normal(name, shape);
    match reduction {
        Reduction::LogSum => batch(view(&drawn).iter().map(|value: &f64| value.abs() + 0.5).collect(), shape),
        _ => drawn,
    }
}

#[test]
fn values_and_slopes_are_pytorchs() {
    let x: Vec<f64> = (0..12).map(|value| 3.0 * f64::from(value).sin() + 1.25).collect();
    let x = batch(x, (1, 3, 2, 2));
    for (reduction, values, slopes) in PYTORCH {
        let mut tape = Tape::recording();
        let y = reduce(&mut tape, &x, (1, 1, 1, 2), reduction);
        assert_close(view(&y), &values, 1e-14);
        let gradient = gradient(&mut backward(tape, &y, vec![1.0, -2.0]), &x);
        assert_close(&gradient, &slopes, 1e-13);
        let narrow: Batch<f32> = batch(view(&x).iter().map(|&x| x as f32).collect(), shape(&x));
        assert_close(view(&reduce(&mut Tape::off(), &narrow, (1, 1, 1, 2), reduction)), &values, 1e-6);
    }
}

#[test]
fn gradients_are_differences_also_through_the_pullback_and_with_one_image_for_all() {
    for reduction in ALL {
        for to in targets(2) {
            let x = drawn("x", (2, 3, 2, 2), reduction);
            check_gradients(std::slice::from_ref(&x), |tape, x| reduce(tape, &x[0], to, reduction));
            let cotangent = normal("c", to);
            check_gradients(&[cotangent.clone(), x], |tape, x| pullback(tape, &x[0], &x[1], reduction));
            let one = drawn("one", (1, 3, 2, 2), reduction);
            check_gradients(&[cotangent, one], |tape, x| pullback(tape, &x[0], &x[1], reduction));
        }
    }
}

#[test]
fn the_pullback_is_the_transposed_derivative_also_with_one_image_for_all() {
    for reduction in ALL {
        for to in targets(2) {
            let one = drawn("one", (1, 3, 2, 2), reduction);
            for (x, site) in [(drawn("x", (2, 3, 2, 2), reduction), None), (repeated(&one, 2), Some(&one))] {
                let forward = |x: &Batch<f64>| reduce(&mut Tape::off(), x, to, reduction);
                check_adjoint(&x, forward, |c| pullback(&mut Tape::off(), c, site.unwrap_or(&x), reduction));
            }
        }
    }
}

/// x's gradient for a cotangent of ones, forward's and the pullback's, of one group.
fn slopes(x: &[f64], reduction: Reduction) -> Vec<f64> {
    let x = batch(x.to_vec(), (1, 1, 1, x.len()));
    let mut tape = Tape::recording();
    let y = reduce(&mut tape, &x, (1, 1, 1, 1), reduction);
    let recorded = gradient(&mut backward(tape, &y, vec![1.0]), &x);
    let pulled = pullback(&mut Tape::off(), &batch(vec![1.0], (1, 1, 1, 1)), &x, reduction);
    assert_eq!(recorded, view(&pulled), "{reduction:?}");
    recorded
}

#[test]
fn equal_extremes_share_the_cotangent_and_zeros_have_the_slopes_of_what_is_beside_them() {
    assert_eq!(slopes(&[2.0, -1.0, 2.0, -1.0], Reduction::Max), [0.5, 0.0, 0.5, 0.0]);
    assert_eq!(slopes(&[2.0, -1.0, 3.0, 4.0], Reduction::Min), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(slopes(&[2.0, 0.0, 3.0, 4.0], Reduction::Prod), [0.0, 24.0, 0.0, 0.0]);
    assert_eq!(slopes(&[2.0, 0.0, 0.0, 4.0], Reduction::Prod), [0.0; 4]);
    assert_eq!(slopes(&[0.0, -2.0, 3.0], Reduction::L1), [0.0, -1.0, 1.0]);
}

#[test]
fn a_norm_of_zeros_is_zero_and_has_finite_derivatives() {
    assert_eq!(slopes(&[0.0; 3], Reduction::L2), [0.0; 3]);
    let x: Batch<f64> = batch(vec![0.0, 0.0, 3.0, 4.0], (1, 1, 2, 2));
    let y = reduce(&mut Tape::off(), &x, (1, 1, 2, 1), Reduction::L2);
    assert_eq!(view(&y), [0.0, 5.0]);
    let mut tape = Tape::recording();
    let pulled = pullback(&mut tape, &y, &x, Reduction::L2);
    let bent = gradient(&mut backward(tape, &pulled, vec![1.0; 4]), &x);
    assert!(bent.iter().all(|value| value.is_finite()), "{bent:?}");
}

#[test]
fn the_logarithm_of_a_sum_of_exponentials_does_not_overflow() {
    let value = |x: [f32; 2]| {
        view(&reduce(&mut Tape::off(), &batch(x.to_vec(), (1, 1, 1, 2)), (1, 1, 1, 1), Reduction::LogSumExp))[0]
    };
    assert_eq!(value([1000.0, 1000.0]), 1000.0 + 2f32.ln());
    assert_eq!(value([-1000.0, f32::NEG_INFINITY]), -1000.0);
    assert_eq!(value([f32::NEG_INFINITY; 2]), f32::NEG_INFINITY);
    assert!(value([f32::NAN, 1.0]).is_nan());
}
