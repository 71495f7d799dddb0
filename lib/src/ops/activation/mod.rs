//! Activations, y = f(x), element by element, any shape, and the products with their slopes.
//!
//! Functions of lines, exponential linear units, sigmoids and products with them, elementary functions: [`Activation`] has them all, with
//! PyTorch's meanings. [`pullback`] multiplies a cotangent by f'(x) and is itself recorded on the tape,
//! f'' included, so that a gradient can be differentiated.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::activation::{Activation, activate, pullback};
//! let x = batch(vec![-2.0f64, 3.0], (1, 1, 1, 2));
//! let leaky = Activation::LeakyRelu { slope: 0.01 };
//! assert_eq!(view(&activate(&mut Tape::off(), &x, leaky)), [-0.02, 3.0]);
//! assert_eq!(view(&pullback(&mut Tape::off(), &batch(vec![1.0, 1.0], (1, 1, 1, 2)), &x, leaky)), [0.01, 1.0]);
//! ```

mod curve;
mod elementary;
mod piecewise;
#[cfg(test)]
mod pytorch;
mod smooth;
#[cfg(test)]
mod tests;
mod there;

use super::accumulate;
use super::broadcast::evaluated;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, filled_in_chunks, shape, view};

pub use curve::Activation;
use curve::Order;
pub(crate) use piecewise::is_rectifier;

/// PyTorch's default slope of a leaky rectifier below zero.
pub(crate) const LEAKY_SLOPE: f64 = 0.01;

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
pub fn activate<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, activation: Activation) -> Batch<E> {
    if let Some(y) = on_device(tape, &[x], shape(x), |_, x| there::value(activation, x[0])) {
        return y;
    }
    let values = match activation {
        // Known before the loop, so that the loop is vectorised.
        Activation::LeakyRelu { slope } if is_rectifier(slope) => {
            let slope = E::of(slope);
            map(view(x), |x| rectify(x, slope))
        }
        _ => filled(view(x), activation, Order::Value),
    };
    let y = batch(values, shape(x));
    record_product(tape, x, &y, x, activation);
    y
}

/// The cotangent of x for a cotangent of y: cotangent * f'(x). Where `x` is one image, it stands for all of them.
pub fn pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    activation: Activation,
) -> Batch<E> {
    let (images, (_, h, w, c)) = (shape(x).0, shape(cotangent));
    let there = on_device(tape, &[cotangent, x], shape(cotangent), |_, values| {
        there::slope(activation, values[1])
            .map_or_else(|| values[0] * 0.0, |slope| values[0] * slope.reshape(&[images, h, w, c]))
    });
    if let Some(result) = there {
        return result;
    }
    let result = batch(times_slopes(view(cotangent), view(x), activation), shape(cotangent));
    record_product(tape, cotangent, &result, x, activation);
    // Recorded last, so run first: it leaves the gradient for the product to take.
    record_curvature(tape, cotangent, &result, x, activation);
    result
}

/// max(y, slope y), on the tape.
pub(crate) fn rectified<E: Element>(tape: &mut Tape<E>, y: Batch<E>, rectifier: Option<E>) -> Batch<E> {
    match rectifier {
        Some(slope) => activate(tape, &y, Activation::LeakyRelu { slope: slope.wide() }),
        None => y,
    }
}

/// The cotangent of the input of a rectifier of that slope whose output is `y` (or one image for the whole batch).
pub(crate) fn before_rectifier<E: Element>(
    tape: &mut Tape<E>,
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

/// The derivative at each x.
fn filled<E: Element>(x: &[E], activation: Activation, order: Order) -> Vec<E> {
    evaluated((1, 1, 1, x.len()), |start, y| activation.fill(order, &x[start..start + y.len()], y))
}

/// cotangent * f'(x); x is as long, or repeats.
fn times_slopes<E: Element>(cotangent: &[E], x: &[E], activation: Activation) -> Vec<E> {
    match activation {
        Activation::LeakyRelu { slope } => {
            let slope = E::of(slope);
            map_pairs(cotangent, x, |cotangent, x| cotangent * slope_at(x, slope))
        }
        _ if cotangent.len() == x.len() => evaluated((1, 1, 1, x.len()), |start, result| {
            activation.fill(Order::Slope, &x[start..start + result.len()], result);
            result.iter_mut().zip(&cotangent[start..]).for_each(|(slope, &cotangent)| *slope = cotangent * *slope);
        }),
        _ => {
            let slopes = filled(x, activation, Order::Slope);
            map_pairs(cotangent, &slopes, |cotangent, slope| cotangent * slope)
        }
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
fn record_product<E: Element>(
    tape: &mut Tape<E>,
    input: &Batch<E>,
    output: &Batch<E>,
    x: &Batch<E>,
    activation: Activation,
) {
    if !tape.records() {
        return;
    }
    let (input, output, x) = (input.ghost(), output.ghost(), x.clone());
    tape.add_backward_op(move |gradients| {
        // Taken, not put back: nothing earlier on the tape reads it, so its memory is freed here.
        let upstream = gradients.take(&output);
        let product = times_slopes(&upstream, view(&x), activation);
        accumulate(gradients.of(&input), &product);
    });
}

/// Records how a pullback's result depends on x itself: cotangent * f''(x).
fn record_curvature<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    output: &Batch<E>,
    x: &Batch<E>,
    activation: Activation,
) {
    if !tape.records() || activation.is_flat() {
        return;
    }
    let (cotangent, output, x) = (cotangent.clone(), output.ghost(), x.clone());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&output);
        let curvatures = filled(view(&x), activation, Order::Curvature);
        let bent = map_pairs(view(&cotangent), &curvatures, |cotangent, curvature| cotangent * curvature);
        let bent = map_pairs(&upstream, &bent, |upstream, bent| upstream * bent);
        let target = gradients.of(&x);
        bent.chunks(view(&x).len()).for_each(|part| accumulate(target, part));
        gradients.put(&output, upstream);
    });
}
