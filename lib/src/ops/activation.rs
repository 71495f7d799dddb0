//! Activations, y = f(x), element by element, any shape, and the products with their slopes.
//!
//! leaky_relu max(x, slope x); relu; clip min(max(x, low), high); elu x or e^x - 1; asinh; sinh; sigmoid 1 / (1 + e^-x); tanh;
//! softplus ln(1 + e^x).
//! Slope and constants are PyTorch's. [`pullback`] multiplies a cotangent by f'(x) and is itself recorded on the tape,
//! f'' included, so that a gradient can be differentiated.
//!
//! ```
//! use dfdx::prelude::NoneTape;
//! use obverse::tensor::{batch, view};
//! use obverse::ops::activation::{Activation, activate, pullback};
//! let x = batch(vec![-2.0f64, 3.0], (1, 1, 1, 2));
//! let leaky = Activation::LeakyRelu { slope: 0.01 };
//! assert_eq!(view(&activate(&mut NoneTape, &x, leaky)), [-0.02, 3.0]);
//! assert_eq!(view(&pullback(&mut NoneTape, &batch(vec![1.0, 1.0], (1, 1, 1, 2)), &x, leaky)), [0.01, 1.0]);
//! ```

use dfdx::prelude::{Cpu, Tape};

use super::accumulate;
use crate::tensor::{Batch, Element, GRAIN, batch, filled_in_chunks, shape, view};

/// PyTorch's default slope of a leaky rectifier below zero.
pub(crate) const LEAKY_SLOPE: f64 = 0.01;

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// max(x, slope x), 0 <= slope < 1; ReLU has slope 0 (Maas et al. 2013).
    LeakyRelu {
        /// The slope below zero.
        slope: f64,
    },
    /// min(max(x, low), high), low < high; ReLU6 is the clip to 0..6 (Howard et al. 2017). At the bounds its slope is 0.
    Clip {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
    },
    /// x above 0, e^x - 1 below (Clevert et al. 2015, alpha 1).
    Elu,
    /// ln(x + sqrt(1 + x^2)): invertible and unbounded (feature alignment, section 3.5).
    Asinh,
    /// (e^x - e^-x) / 2, the inverse of asinh.
    Sinh,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// (e^x - e^-x) / (e^x + e^-x).
    Tanh,
    /// ln(1 + e^x), computed without overflow.
    Softplus,
}

impl Activation {
    /// f(x).
    fn value<E: Element>(self, x: E) -> E {
        match self {
            Self::LeakyRelu { slope } => rectify(x, E::of(slope)),
            Self::Clip { low, high } => x.max(E::of(low)).min(E::of(high)),
            Self::Elu => {
                if x > E::zero() {
                    x
                } else {
                    x.exp_m1()
                }
            }
            Self::Asinh => x.asinh(),
            Self::Sinh => x.sinh(),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Softplus => softplus(x),
        }
    }

    /// f'(x).
    fn slope<E: Element>(self, x: E) -> E {
        let one = E::one();
        match self {
            Self::LeakyRelu { slope } => slope_at(x, E::of(slope)),
            Self::Clip { low, high } => {
                if x > E::of(low) && x < E::of(high) {
                    one
                } else {
                    E::zero()
                }
            }
            Self::Elu => {
                if x > E::zero() {
                    one
                } else {
                    x.exp()
                }
            }
            Self::Asinh => one / (one + x * x).sqrt(),
            Self::Sinh => x.cosh(),
            Self::Sigmoid => sigmoid(x) * (one - sigmoid(x)),
            Self::Tanh => one - x.tanh() * x.tanh(),
            Self::Softplus => sigmoid(x),
        }
    }

    /// f''(x).
    fn curvature<E: Element>(self, x: E) -> E {
        let one = E::one();
        match self {
            Self::LeakyRelu { .. } | Self::Clip { .. } => E::zero(),
            Self::Elu => {
                if x > E::zero() {
                    E::zero()
                } else {
                    x.exp()
                }
            }
            Self::Asinh => -x / ((one + x * x) * (one + x * x).sqrt()),
            Self::Sinh => x.sinh(),
            Self::Sigmoid => {
                let y = sigmoid(x);
                y * (one - y) * (one - y - y)
            }
            Self::Tanh => {
                let y = x.tanh();
                -(y + y) * (one - y * y)
            }
            Self::Softplus => sigmoid(x) * (one - sigmoid(x)),
        }
    }
}

/// max(x, slope x).
pub(crate) fn rectify<E: Element>(x: E, slope: E) -> E {
    x.max(slope * x)
}

/// The slope of a rectifier where its input, or its output, which has the same sign, is `x`.
pub(crate) fn slope_at<E: Element>(x: E, slope: E) -> E {
    if x > E::zero() { E::one() } else { slope }
}

/// 1 / (1 + e^-x).
pub(crate) fn sigmoid<E: Element>(x: E) -> E {
    E::one() / (E::one() + (-x).exp())
}

/// ln(1 + e^x), without overflow.
pub(crate) fn softplus<E: Element>(x: E) -> E {
    x.max(E::zero()) + (-x.abs()).exp().ln_1p()
}

/// f(x), recorded on the tape.
pub fn activate<E: Element>(tape: &mut impl Tape<E, Cpu>, x: &Batch<E>, activation: Activation) -> Batch<E> {
    let values = match activation {
        // Known before the loop, so that the loop is vectorised.
        Activation::LeakyRelu { slope } => {
            let slope = E::of(slope);
            map(view(x), |x| rectify(x, slope))
        }
        _ => map(view(x), |x| activation.value(x)),
    };
    let y = batch(values, shape(x));
    record_product(tape, x, &y, x, activation);
    y
}

/// The cotangent of x for a cotangent of y: cotangent * f'(x). Where `x` is one image, it stands for all of them.
pub fn pullback<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    activation: Activation,
) -> Batch<E> {
    let result = batch(times_slopes(view(cotangent), view(x), activation), shape(cotangent));
    record_product(tape, cotangent, &result, x, activation);
    // Recorded last, so run first: it leaves the gradient for the product to take.
    record_curvature(tape, cotangent, &result, x, activation);
    result
}

/// max(y, slope y), on the tape.
pub(crate) fn rectified<E: Element>(tape: &mut impl Tape<E, Cpu>, y: Batch<E>, rectifier: Option<E>) -> Batch<E> {
    match rectifier {
        Some(slope) => activate(tape, &y, Activation::LeakyRelu { slope: slope.wide() }),
        None => y,
    }
}

/// The cotangent of the input of a rectifier of that slope whose output is `y` (or one image for the whole batch).
pub(crate) fn before_rectifier<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    rectifier: Option<(&Batch<E>, E)>,
) -> Batch<E> {
    match rectifier {
        Some((y, slope)) => pullback(tape, cotangent, y, Activation::LeakyRelu { slope: slope.wide() }),
        None => cotangent.clone(),
    }
}

/// f(x) for each x.
fn map<E: Element>(x: &[E], f: impl Fn(E) -> E + Sync + Send) -> Vec<E> {
    let nothing = || ();
    filled_in_chunks(x.len(), GRAIN, nothing, |(), chunk, y| {
        y.iter_mut().zip(&x[chunk * GRAIN..]).for_each(|(y, &x)| *y = f(x));
    })
}

/// cotangent * f'(x); x is as long, or repeats.
fn times_slopes<E: Element>(cotangent: &[E], x: &[E], activation: Activation) -> Vec<E> {
    match activation {
        Activation::LeakyRelu { slope } => {
            let slope = E::of(slope);
            map_pairs(cotangent, x, |cotangent, x| cotangent * slope_at(x, slope))
        }
        _ => map_pairs(cotangent, x, |cotangent, x| cotangent * activation.slope(x)),
    }
}

/// f(a, b) for each a; b is as long, or repeats.
pub(crate) fn map_pairs<E: Element>(a: &[E], b: &[E], f: impl Fn(E, E) -> E + Sync + Send) -> Vec<E> {
    // Chunks hold whole repetitions, or lie in the only one.
    let chunk = if a.len() == b.len() { GRAIN } else { GRAIN.div_ceil(b.len().max(1)) * b.len().max(1) };
    let nothing = || ();
    filled_in_chunks(a.len(), chunk, nothing, |(), number, result| {
        let (first, period) = if a.len() == b.len() { (number * chunk, result.len()) } else { (0, b.len()) };
        let parts = result.chunks_mut(period.max(1)).zip(a[number * chunk..].chunks(period.max(1)));
        for (result, a) in parts {
            let b = &b[first..];
            result.iter_mut().zip(a).zip(b).for_each(|((result, &a), &b)| *result = f(a, b));
        }
    })
}

/// Records that the output's gradient, times f'(x), goes to the input. Both directions multiply by the same slopes.
fn record_product<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    input: &Batch<E>,
    output: &Batch<E>,
    x: &Batch<E>,
    activation: Activation,
) {
    if !T::OWNS_TAPE {
        return;
    }
    let (input, output, x) = (input.ghost(), output.ghost(), x.clone());
    tape.add_backward_op(move |gradients| {
        // Taken, not put back: nothing earlier on the tape reads it, so its memory is freed here.
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&output)?);
        let product = times_slopes(&upstream, view(&x), activation);
        accumulate(gradients.get_or_alloc_mut(&input)?, &product);
        Ok(())
    });
}

/// Records how a pullback's result depends on x itself: cotangent * f''(x).
fn record_curvature<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    cotangent: &Batch<E>,
    output: &Batch<E>,
    x: &Batch<E>,
    activation: Activation,
) {
    if !T::OWNS_TAPE || matches!(activation, Activation::LeakyRelu { .. } | Activation::Clip { .. }) {
        return;
    }
    let (cotangent, output, x) = (cotangent.clone(), output.ghost(), x.clone());
    tape.add_backward_op(move |gradients| {
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&output)?);
        let bent = map_pairs(view(&cotangent), view(&x), |cotangent, x| cotangent * activation.curvature(x));
        let bent = map_pairs(&upstream, &bent, |upstream, bent| upstream * bent);
        let target = gradients.get_or_alloc_mut(&x)?;
        bent.chunks(view(&x).len()).for_each(|part| accumulate(target, part));
        **gradients.get_or_alloc_mut(&output)? = upstream;
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{NoneTape, OwnedTape};

    use super::*;
    use crate::ops::checks::{Case, assert_close, check_adjoint, check_gradients, normal, repeated};
    use crate::store::npy::Scalar;
    use crate::tensor::{backward, gradient};

    /// Those of which the oracle has no values: sinh is the inverse of asinh, and clip two rectifiers.
    const BEYOND_THE_ORACLE: [&str; 2] = ["sinh", "clip"];

    /// Each activation with the oracle's name.
    const ALL: [(&str, Activation); 9] = [
        ("clip", Activation::Clip { low: -0.5, high: 0.75 }),
        ("leaky_relu", Activation::LeakyRelu { slope: LEAKY_SLOPE }),
        ("relu", Activation::LeakyRelu { slope: 0.0 }),
        ("elu", Activation::Elu),
        ("asinh", Activation::Asinh),
        ("sinh", Activation::Sinh),
        ("sigmoid", Activation::Sigmoid),
        ("tanh", Activation::Tanh),
        ("softplus", Activation::Softplus),
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
            let mut tape = OwnedTape::default();
            let y = activate(&mut tape, &x, activation);
            check(view(&y), "y");
            check(&gradient(&mut backward(tape, &y, view(&cotangent).to_vec()), &x), "grad_x");
            check(view(&pullback(&mut NoneTape, &cotangent, &x, activation)), "grad_x");
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
        assert_eq!(view(&activate(&mut NoneTape, &x, relu6)), [0.0, 0.0, 2.5, 6.0, 6.0]);
        assert_eq!(view(&pullback(&mut NoneTape, &x, &x, relu6)), [0.0, 0.0, 2.5, 0.0, 0.0]);
    }

    #[test]
    fn sinh_undoes_asinh() {
        let x: Batch<f64> = normal("x", (2, 3, 4, 5));
        let y = activate(&mut NoneTape, &activate(&mut NoneTape, &x, Activation::Asinh), Activation::Sinh);
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
                    |x| activate(&mut NoneTape, x, activation),
                    |cotangent| pullback(&mut NoneTape, cotangent, x, activation),
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

    #[test]
    fn values_and_derivatives_far_from_zero_are_finite() {
        let x: Batch<f32> = batch(vec![-1e30, -200.0, 0.0, 200.0, 1e30], (1, 1, 1, 5));
        for (name, activation) in ALL.into_iter().filter(|(name, _)| *name != "sinh") {
            let mut tape = OwnedTape::default();
            let y = activate(&mut NoneTape, &x, activation);
            let pulled = pullback(&mut tape, &x, &x, activation);
            let bent = gradient(&mut backward(tape, &pulled, vec![1.0; 5]), &x);
            for values in [view(&y), view(&pulled), &bent] {
                assert!(values.iter().all(|value| value.is_finite()), "{name}: {values:?}");
            }
        }
    }
}
