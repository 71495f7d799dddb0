//! Reductions: axes of images become of length 1, joined by a sum, a mean, an extreme, a product or a norm; x (N, H, W, C), y (N, h, w, c)
//! with each of h, w, c either x's or 1.
//!
//! [`pullback`] is the transposed derivative, and recorded on the tape, so that a gradient can be differentiated.
//!
//! ```
//! use obverse::ops::reduce::{Reduction, reduce};
//! use obverse::tensor::{Tape, batch, view};
//! let x = batch(vec![1.0f64, 2.0, 3.0, 4.0], (1, 2, 1, 2));
//! assert_eq!(view(&reduce(&mut Tape::off(), &x, (1, 1, 1, 2), Reduction::Mean)), [2.0, 3.0]);
//! assert_eq!(view(&reduce(&mut Tape::off(), &x, (1, 2, 1, 1), Reduction::Prod)), [2.0, 12.0]);
//! ```

mod extreme;
mod place;
mod product;
mod there;

use obverse_engine::Binary;

use serde::{Deserialize, Serialize};

use super::activation::{self, Activation, activate};
use super::arithmetic::combine;
use super::broadcast::{Largest, Operand, Smallest, Sum, count, evaluated, folded, resized};
use super::pairwise::{Pairwise, pairwise, product_sum};
use super::record_transpose;
use crate::tensor::device::{on_device, on_device_already, pulled_back};
use crate::tensor::{Batch, Element, Shape, Tape, batch, shape, view};

/// What joins the values along the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The sum divided by the number of values.
    Mean,
    /// The sum.
    Sum,
    /// The largest value; equal ones share the cotangent.
    Max,
    /// The smallest value; equal ones share the cotangent.
    Min,
    /// The product.
    Prod,
    /// The sum of |x|.
    L1,
    /// The root of the sum of x^2; where all are 0 its slopes are 0.
    L2,
    /// The sum of x^2.
    SumSquare,
    /// ln of the sum.
    LogSum,
    /// ln of the sum of e^x, without overflow.
    LogSumExp,
    /// The place of the largest value, of equal ones the first; its slopes are 0.
    ArgMax,
    /// The place of the smallest value, of equal ones the first; its slopes are 0.
    ArgMin,
}

/// The reduction of x to the shape `to`: an axis of length 1 in it is joined.
pub fn reduce<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, to: Shape, reduction: Reduction) -> Batch<E> {
    let from = shape(x);
    let there = there::is_own(reduction)
        .then(|| on_device(tape, &[x], to, |program, x| there::reduced(program, x[0], from, to, reduction)))
        .flatten();
    if let Some(y) = there {
        return y;
    }
    match reduction {
        Reduction::Mean => resized(tape, x, to, 1.0 / joined(shape(x), to)),
        Reduction::Sum => resized(tape, x, to, 1.0),
        Reduction::Max => extreme::reduce::<E, Largest>(tape, x, to),
        Reduction::Min => extreme::reduce::<E, Smallest>(tape, x, to),
        Reduction::Prod => product::reduce(tape, x, to),
        Reduction::L1 => {
            let sizes = activate(tape, x, Activation::Abs);
            resized(tape, &sizes, to, 1.0)
        }
        Reduction::L2 => match norm(tape, x, to) {
            (norm, None) => norm,
            (norm, Some(zeros)) => combine(tape, E::one(), &norm, -E::one(), &zeros),
        },
        Reduction::SumSquare => product_sum(tape, x, x, to),
        Reduction::LogSum => {
            let sum = resized(tape, x, to, 1.0);
            activate(tape, &sum, Activation::Log)
        }
        Reduction::LogSumExp => log_sum_exp(tape, x, to),
        Reduction::ArgMax => place::reduce(tape, x, to, |value, best| value > best),
        Reduction::ArgMin => place::reduce(tape, x, to, |value, best| value < best),
    }
}

/// The cotangent of x for a cotangent of its reduction. Where x is one image, it stands for all of them.
pub fn pullback<E: Element>(tape: &mut Tape<E>, cotangent: &Batch<E>, x: &Batch<E>, reduction: Reduction) -> Batch<E> {
    let (images, h, w, c) = shape(cotangent);
    let (own, height, width, channels) = shape(x);
    let (to, whole) = ((own, h, w, c), (images, height, width, channels));
    let there = (there::is_own(reduction) && on_device_already(&[cotangent, x])).then(|| {
        let (from, to) = (whole, (images, h, w, c));
        pulled_back(tape, cotangent, &[x], 0, |program, x| there::reduced(program, x[0], from, to, reduction))
    });
    if let Some(result) = there.flatten() {
        return result;
    }
    match reduction {
        Reduction::Mean => resized(tape, cotangent, whole, 1.0 / joined(shape(x), to)),
        Reduction::Sum => resized(tape, cotangent, whole, 1.0),
        Reduction::Max => extreme::pullback::<E, Largest>(tape, cotangent, x, to),
        Reduction::Min => extreme::pullback::<E, Smallest>(tape, cotangent, x, to),
        Reduction::Prod => product::pullback(tape, cotangent, x),
        Reduction::L1 => {
            let cotangent = resized(tape, cotangent, whole, 1.0);
            activation::pullback(tape, &cotangent, x, Activation::Abs)
        }
        Reduction::L2 => {
            let (norm, _) = norm(tape, x, to);
            let share = pairwise(tape, cotangent, &norm, Pairwise::Divide);
            pairwise(tape, &share, x, Pairwise::Multiply)
        }
        Reduction::SumSquare => {
            let twice = resized(tape, cotangent, shape(cotangent), 2.0);
            pairwise(tape, &twice, x, Pairwise::Multiply)
        }
        Reduction::LogSum => {
            let sum = resized(tape, x, to, 1.0);
            let share = pairwise(tape, cotangent, &sum, Pairwise::Divide);
            resized(tape, &share, whole, 1.0)
        }
        Reduction::LogSumExp => {
            let y = log_sum_exp(tape, x, to);
            let logarithms = pairwise(tape, x, &y, Pairwise::Subtract);
            let shares = activate(tape, &logarithms, Activation::Exp);
            pairwise(tape, cotangent, &shares, Pairwise::Multiply)
        }
        Reduction::ArgMax | Reduction::ArgMin => resized(tape, cotangent, whole, 0.0),
    }
}

/// How many values are joined to one.
fn joined(from: Shape, to: Shape) -> f64 {
    count(from) as f64 / count(to) as f64
}

/// The root of the sums of squares, and where they are 0: 1 instead, so that its derivatives stay finite, and these ones by themselves.
fn norm<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, to: Shape) -> (Batch<E>, Option<Batch<E>>) {
    let squares = product_sum(tape, x, x, to);
    let there = on_device(&mut Tape::off(), &[&squares], to, |program, x| {
        x[0].binary(Binary::Equal, program.constant(&[0.0], &[1; 4]))
    });
    if let Some(zeros) = there {
        let positive = combine(tape, E::one(), &squares, E::one(), &zeros);
        return (activate(tape, &positive, Activation::Sqrt), Some(zeros));
    }
    let is_zero = |value: &E| *value == E::zero();
    if !view(&squares).iter().any(is_zero) {
        return (activate(tape, &squares, Activation::Sqrt), None);
    }
    let zeros = view(&squares).iter().map(|value| if is_zero(value) { E::one() } else { E::zero() }).collect();
    let zeros = batch(zeros, to);
    let positive = combine(tape, E::one(), &squares, E::one(), &zeros);
    (activate(tape, &positive, Activation::Sqrt), Some(zeros))
}

fn log_sum_exp<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, to: Shape) -> Batch<E> {
    let from = shape(x);
    let there = on_device(tape, &[x], to, |_, x| {
        let joined = there::joined(from, to);
        let largest = joined.iter().fold(x[0], |x, &axis| x.largest(axis)).clamp(-3.0e38, 3.0e38).fixed();
        (x[0] - largest).exp().sum(&joined).ln() + largest
    });
    if let Some(y) = there {
        return y;
    }
    let values = Operand::of(x, from);
    let mut largest = folded::<E, Largest>(from, to, |start, out| values.fill(start, out));
    // Of infinite values the largest is no help.
    largest.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = E::zero());
    let shift = Operand::new(&largest, to, from);
    let mut y = folded::<E, Sum>(from, to, |start, out| less(&values, &shift, start, out));
    y.iter_mut().zip(&largest).for_each(|(y, &largest)| *y = largest + y.ln());
    let y = batch(y, to);
    let (x_kept, y_kept) = (x.clone(), y.clone());
    record_transpose(tape, x, &y, move |upstream| {
        let (values, y) = (Operand::of(&x_kept, from), Operand::of(&y_kept, from));
        let upstream = Operand::new(upstream, to, from);
        evaluated(from, |start, out| {
            less(&values, &y, start, out);
            upstream.multiply(start, out);
        })
    });
    y
}

/// e^(x - y).
fn less<E: Element>(x: &Operand<E>, y: &Operand<E>, start: usize, out: &mut [E]) {
    x.fill(start, out);
    y.each(start, out, |x, y| (x - y).exp());
}

#[cfg(test)]
mod tests;
