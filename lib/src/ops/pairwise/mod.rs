//! Functions of two values, place by place, of batches that broadcast (see [`broadcast`](super::broadcast)), and the products of a
//! cotangent with their slopes.
//!
//! a + b, a - b, a b, a / b, a^b, min(a, b), max(a, b), and a or, below zero, a b. [`pullback`] multiplies a cotangent by a slope and
//! sums over the axes that were broadcast; it is recorded on the tape with the second derivatives, so that a gradient can be
//! differentiated.
//!
//! ```
//! use obverse::ops::pairwise::{Pairwise, pairwise, pullback};
//! use obverse::tensor::{Tape, batch, view};
//! let (a, b) = (batch(vec![1.0f64, 2.0, 3.0, 4.0], (1, 1, 2, 2)), batch(vec![10.0, 20.0], (1, 1, 1, 2)));
//! let y = pairwise(&mut Tape::off(), &a, &b, Pairwise::Multiply);
//! assert_eq!(view(&y), [10.0, 40.0, 30.0, 80.0]);
//! let of_b = pullback(&mut Tape::off(), &batch(vec![1.0; 4], (1, 1, 2, 2)), [&a, &b], Pairwise::Multiply, 1);
//! assert_eq!(view(&of_b), [4.0, 6.0]);
//! ```

mod function;
#[cfg(test)]
mod tests;
mod there;

use super::accumulate;
use super::broadcast::{Operand, Sum, common, evaluated, folded, resized};
use crate::tensor::device::{back_through, on_device};
use crate::tensor::{Batch, Element, Shape, Tape, batch, shape, view};
use function::Part;

pub use function::Pairwise;

/// f(a, b), recorded on the tape.
pub fn pairwise<E: Element>(tape: &mut Tape<E>, a: &Batch<E>, b: &Batch<E>, f: Pairwise) -> Batch<E> {
    let whole = common([shape(a), shape(b)]);
    if let Some(y) = on_device(tape, &[a, b], whole, |_, values| there::value(f, values[0], values[1])) {
        return y;
    }
    let operands = [Operand::of(a, whole), Operand::of(b, whole)];
    let y = batch(evaluated(whole, |start, out| f.fill(Part::Value, &operands, start, out)), whole);
    record(tape, [a, b], &y, f);
    y
}

/// The cotangent of one of the operands for a cotangent of y: cotangent * f', summed over the axes that were broadcast; of an operand
/// of one image, which stands for all, the cotangents of all. Operand 0 is a, 1 is b.
pub fn pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    operands: [&Batch<E>; 2],
    f: Pairwise,
    which: usize,
) -> Batch<E> {
    let (images, ..) = common([shape(cotangent), shape(operands[0]), shape(operands[1])]);
    let (_, h, w, c) = shape(operands[which]);
    match (f, which) {
        (Pairwise::Add, _) | (Pairwise::Subtract, 0) => resized(tape, cotangent, (images, h, w, c), 1.0),
        (Pairwise::Subtract, _) => resized(tape, cotangent, (images, h, w, c), -1.0),
        _ => product(tape, cotangent, operands, f, which, (images, h, w, c)),
    }
}

/// cotangent * f' in an operand, as values of the shape `to`.
fn product<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    operands: [&Batch<E>; 2],
    f: Pairwise,
    which: usize,
    to: Shape,
) -> Batch<E> {
    let there = on_device(tape, &[cotangent, operands[0], operands[1]], to, |program, values| {
        let (_, h, w, c) = to;
        let mut operands = [values[1], values[2]];
        let own = operands[which].shape();
        // Of one image that stands for all, the cotangent of each is wanted; of a sum over axes, theirs.
        let kept = [to.0.max(own[0]), own[1].max(h), own[2].max(w), own[3].max(c)];
        let whole = there::common(&[values[0].shape(), values[1].shape(), values[2].shape(), kept.to_vec()]);
        operands[which] = operands[which].expand(&whole);
        let cotangent = values[0].expand(&whole);
        let pulled =
            back_through(program, cotangent, &operands, which, |_, values| there::value(f, values[0], values[1]));
        pulled.sum_to(&[to.0, h, w, c])
    });
    if let Some(result) = there {
        return result;
    }
    let factors = [(view(cotangent), shape(cotangent))];
    let result = batch(weighted(&factors, operands, f, Part::Slope(which), to), to);
    record_product(tape, cotangent, operands, f, which, &result);
    result
}

/// The sums of a b over the axes that are 1 in `to`.
pub fn product_sum<E: Element>(tape: &mut Tape<E>, a: &Batch<E>, b: &Batch<E>, to: Shape) -> Batch<E> {
    // The slope of a product in its first operand is the second; the first is not read.
    product(tape, a, [b, b], Pairwise::Multiply, 0, to)
}

/// The product of the factors with a part of f, summed over the axes that are 1 in `to`.
fn weighted<E: Element>(
    factors: &[(&[E], Shape)],
    operands: [&Batch<E>; 2],
    f: Pairwise,
    part: Part,
    to: Shape,
) -> Vec<E> {
    let of_factors = factors.iter().fold((1, 1, 1, 1), |whole, (_, own)| common([whole, *own]));
    let whole = common([of_factors, shape(operands[0]), shape(operands[1]), to]);
    let operands = operands.map(|operand| Operand::of(operand, whole));
    let factors: Vec<_> = factors.iter().map(|&(values, own)| Operand::new(values, own, whole)).collect();
    folded::<E, Sum>(whole, to, |start, out| {
        f.fill(part, &operands, start, out);
        factors.iter().for_each(|factor| factor.multiply(start, out));
    })
}

fn record<E: Element>(tape: &mut Tape<E>, operands: [&Batch<E>; 2], y: &Batch<E>, f: Pairwise) {
    if !tape.records() {
        return;
    }
    let (operands, y, whole) = (operands.map(Clone::clone), y.ghost(), shape(y));
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&y);
        for (which, operand) in operands.iter().enumerate() {
            let part = Part::Slope(which);
            let gradient = weighted(&[(&upstream, whole)], operands.each_ref(), f, part, shape(operand));
            accumulate(gradients.of(operand), &gradient);
        }
    });
}

/// Records how [`product`] depends on the cotangent and on both operands.
fn record_product<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    operands: [&Batch<E>; 2],
    f: Pairwise,
    which: usize,
    result: &Batch<E>,
) {
    if !tape.records() {
        return;
    }
    let (operands, cotangent, to) = (operands.map(Clone::clone), cotangent.clone(), shape(result));
    let result = result.ghost();
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&result);
        let [a, b] = &operands;
        let own = shape(&cotangent);
        let gradient = weighted(&[(&upstream, to)], [a, b], f, Part::Slope(which), own);
        accumulate(gradients.of(&cotangent), &gradient);
        for (other, operand) in operands.iter().enumerate().filter(|&(other, _)| f.bends(which, other)) {
            let factors = [(upstream.as_slice(), to), (view(&cotangent), own)];
            let gradient = weighted(&factors, [a, b], f, Part::Curvature(which, other), shape(operand));
            accumulate(gradients.of(operand), &gradient);
        }
    });
}
