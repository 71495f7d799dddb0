use super::pytorch::TABLE;
use super::*;
use crate::ops::checks::{Case, assert_close, check_adjoint, check_gradients, normal, repeated};
use crate::store::npy::Scalar;
use crate::tensor::{Tape, backward, gradient};

/// Those of which the oracle has no values: sinh is the inverse of asinh, and clip two rectifiers.
const BEYOND_THE_ORACLE: [&str; 2] = ["sinh", "clip"];

/// Each activation with the oracle's name.
const ALL: [(&str, Activation); 9] = [
    ("clip", Activation::Clip { low: -0.5, high: 0.75 }),
    ("leaky_relu", Activation::LeakyRelu { slope: LEAKY_SLOPE }),
    ("relu", Activation::LeakyRelu { slope: 0.0 }),
    ("elu", Activation::Elu { alpha: 1.0 }),
    ("asinh", Activation::Asinh),
    ("sinh", Activation::Sinh),
    ("sigmoid", Activation::Sigmoid),
    ("tanh", Activation::Tanh),
    ("softplus", Activation::Softplus { beta: 1.0 }),
];

fn check_oracle<E: Element + Scalar>() {
    let case = Case::open("ops");
    for (name, activation) in ALL.into_iter().filter(|(name, _)| !BEYOND_THE_ORACLE.contains(name)) {
        let array = |array: &str| case.array::<E>(&format!("{name}.{array}"));
        let check = |actual: &[E], expected: &str| {
            let expected = case.array::<f64>(&format!("{name}.{expected}"));
            assert_close(actual, view(&expected), case.tolerance::<E>());
        };
        let (x, cotangent) = (array("x"), array("grad_y"));
        let mut tape = Tape::recording();
        let y = activate(&mut tape, &x, activation);
        check(view(&y), "y");
        check(&gradient(&mut backward(tape, &y, view(&cotangent).to_vec()), &x), "grad_x");
        check(view(&pullback(&mut Tape::off(), &cotangent, &x, activation)), "grad_x");
    }
}

#[test]
fn agrees_with_the_oracle_in_f64() {
    check_oracle::<f64>();
}

#[test]
fn agrees_with_the_oracle_in_f32() {
    check_oracle::<f32>();
}

#[test]
fn a_clip_is_flat_outside_its_bounds() {
    let x: Batch<f64> = batch(vec![-1.0, 0.0, 2.5, 6.0, 9.0], (1, 1, 1, 5));
    let relu6 = Activation::Clip { low: 0.0, high: 6.0 };
    assert_eq!(view(&activate(&mut Tape::off(), &x, relu6)), [0.0, 0.0, 2.5, 6.0, 6.0]);
    assert_eq!(view(&pullback(&mut Tape::off(), &x, &x, relu6)), [0.0, 0.0, 2.5, 0.0, 0.0]);
}

#[test]
fn sinh_undoes_asinh() {
    let x: Batch<f64> = normal("x", (2, 3, 4, 5));
    let y = activate(&mut Tape::off(), &activate(&mut Tape::off(), &x, Activation::Asinh), Activation::Sinh);
    assert_close(view(&y), view(&x), 1e-14);
}

#[test]
fn gradients_are_differences() {
    for (_, activation) in ALL {
        check_gradients(&[normal("x", (2, 3, 2, 3))], |tape, inputs| activate(tape, &inputs[0], activation));
    }
}

#[test]
fn the_pullback_is_the_transposed_derivative_also_with_one_image_for_all() {
    for (_, activation) in ALL {
        let (one, two) = (normal("one", (1, 2, 3, 2)), normal("two", (2, 2, 3, 2)));
        for (repeated, x) in [(two.clone(), &two), (repeated(&one, 3), &one)] {
            check_adjoint(
                &repeated,
                |x| activate(&mut Tape::off(), x, activation),
                |cotangent| pullback(&mut Tape::off(), cotangent, x, activation),
            );
        }
    }
}

#[test]
fn the_pullback_has_gradients_in_the_cotangent_and_in_x_also_with_one_image_for_all() {
    for (_, activation) in ALL {
        for images in [3, 1] {
            let inputs = [normal("upstream", (3, 2, 1, 4)), normal("x", (images, 2, 1, 4))];
            check_gradients(&inputs, |tape, inputs| pullback(tape, &inputs[0], &inputs[1], activation));
            // Both depend on x here, and the gradient of x collects both parts.
            check_gradients(&inputs[1..], |tape, inputs| {
                let y = activate(tape, &inputs[0], activation);
                pullback(tape, &y, &inputs[0], activation)
            });
        }
    }
}

/// f(x), f'(x) and f''(x).
fn derivatives<E: Element>(activation: Activation, x: f64) -> [E; 3] {
    let orders = [Order::Value, Order::Slope, Order::Curvature];
    orders.map(|order| filled(&[E::of(x)], activation, order)[0])
}

fn agrees_with_pytorch<E: Element>(relative: f64, absolute: f64) {
    for (activation, rows) in TABLE {
        for &[x, expected @ ..] in rows {
            let found = derivatives::<E>(activation, x).map(E::wide);
            for (found, expected) in found.into_iter().zip(expected) {
                let fits = (found - expected).abs() <= relative * expected.abs() + absolute;
                assert!(fits, "{activation:?} at {x}: {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn values_and_two_derivatives_are_pytorchs() {
    agrees_with_pytorch::<f64>(2e-14, 4e-16);
    agrees_with_pytorch::<f32>(2e-6, 2e-7);
}

/// Whether it is a real number everywhere, and its derivatives too.
fn is_tame(activation: Activation) -> bool {
    !matches!(
        activation,
        Activation::Exp
            | Activation::Sinh
            | Activation::Cosh
            | Activation::Acosh
            | Activation::Atanh
            | Activation::Asin
            | Activation::Acos
            | Activation::Log
            | Activation::Sqrt
            | Activation::Reciprocal
            | Activation::Power { .. }
    )
}

fn is_finite_far_from_zero<E: Element>() {
    let largest = E::max_value().wide();
    for (activation, _) in TABLE.into_iter().filter(|&(activation, _)| is_tame(activation)) {
        for x in [-largest, -1e30, -1e10, -200.0, -88.0, -45.0, -0.0, 0.0, 45.0, 88.0, 200.0, 1e10, 1e30, largest] {
            // Slopes above 1 reach beyond the largest number.
            let x = if derivatives::<E>(activation, x)[0].is_infinite() { 0.25 * x } else { x };
            let found = derivatives::<E>(activation, x);
            assert!(found.iter().all(|value| value.is_finite()), "{activation:?} at {x}: {found:?}");
        }
    }
    for activation in [Activation::Acosh, Activation::Log, Activation::Sqrt, Activation::Reciprocal] {
        for x in [2.0, 200.0, 1e30, largest] {
            let found = derivatives::<E>(activation, x);
            assert!(found.iter().all(|value| value.is_finite()), "{activation:?} at {x}: {found:?}");
        }
    }
}

#[test]
fn values_and_derivatives_far_from_zero_are_finite() {
    is_finite_far_from_zero::<f32>();
    is_finite_far_from_zero::<f64>();
}

fn has_the_limits_of_a_rectifier<E: Element>() {
    let products = [Activation::Silu, Activation::Mish, Activation::Gelu, Activation::GeluTanh, Activation::HardSwish];
    for (activation, x) in products.into_iter().flat_map(|each| [1e3, 1e30].map(|x| (each, x))) {
        assert_eq!(derivatives::<E>(activation, -x), [E::zero(); 3], "{activation:?} at -{x}");
        assert_eq!(derivatives::<E>(activation, x), [E::of(x), E::one(), E::zero()], "{activation:?} at {x}");
    }
}

#[test]
fn products_of_x_and_a_sigmoid_become_rectifiers() {
    has_the_limits_of_a_rectifier::<f32>();
    has_the_limits_of_a_rectifier::<f64>();
}

#[test]
fn a_nan_stays_one() {
    for (activation, _) in TABLE.into_iter().filter(|(activation, _)| {
        // As before, the larger of a NaN and a number is the number.
        !matches!(activation, Activation::Clip { .. } | Activation::HardSigmoid { .. })
    }) {
        assert!(derivatives::<f32>(activation, f64::NAN)[0].is_nan(), "{activation:?}");
    }
}

#[test]
fn the_inverse_of_the_hyperbolic_cosine_goes_on_where_twice_x_overflows() {
    for x in [2.68e8, 2.69e8, 1e30, f64::MAX] {
        let expected = x.ln() + std::f64::consts::LN_2;
        assert!((derivatives::<f64>(Activation::Acosh, x)[0] - expected).abs() < 1e-15 * expected, "{x}");
    }
}

#[test]
fn slopes_where_functions_have_none_are_finite() {
    let slope = |activation, x| derivatives::<f64>(activation, x)[1];
    assert_eq!(slope(Activation::Abs, 0.0), 0.0);
    assert_eq!(slope(Activation::Power { exponent: 1.0 }, 0.0), 1.0);
    assert_eq!(slope(Activation::Power { exponent: 0.0 }, 0.0), 0.0);
    assert_eq!(derivatives::<f64>(Activation::Power { exponent: 1.0 }, 0.0)[2], 0.0);
    assert_eq!(slope(Activation::LeakyRelu { slope: -2.0 }, 0.0), -2.0);
    let softly = Activation::Threshold { threshold: 0.0, value: 0.0 };
    assert_eq!(slope(softly, 0.0), 0.0);
}
