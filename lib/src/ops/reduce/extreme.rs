//! The largest or smallest values along axes; equal ones share a cotangent evenly.

use crate::ops::broadcast::{Fold, Operand, Sum, common, folded};
use crate::ops::record_transpose;
use crate::tensor::{Batch, Element, Shape, Tape, batch, shape, view};

pub(super) fn reduce<E: Element, F: Fold<E>>(tape: &mut Tape<E>, x: &Batch<E>, to: Shape) -> Batch<E> {
    let y = batch(extremes::<E, F>(x, to), to);
    let (x_kept, y_kept) = (x.clone(), y.clone());
    record_transpose(tape, x, &y, move |upstream| {
        let shares = shares(&x_kept, &y_kept);
        at_extremes(upstream, shape(&y_kept), &x_kept, &y_kept, &shares, shape(&x_kept))
    });
    y
}

/// The cotangent of x. Which values are extreme is constant almost everywhere, so x itself receives no gradient.
pub(super) fn pullback<E: Element, F: Fold<E>>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    to: Shape,
) -> Batch<E> {
    let y = batch(extremes::<E, F>(x, to), to);
    let shares = shares(x, &y);
    let (own, (_, h, w, c)) = (shape(cotangent), shape(x));
    let whole = (own.0, h, w, c);
    let result = batch(at_extremes(view(cotangent), own, x, &y, &shares, whole), whole);
    let x = x.clone();
    record_transpose(tape, cotangent, &result, move |upstream| at_extremes(upstream, whole, &x, &y, &shares, own));
    result
}

fn extremes<E: Element, F: Fold<E>>(x: &Batch<E>, to: Shape) -> Vec<E> {
    let values = Operand::of(x, shape(x));
    folded::<E, F>(shape(x), to, |start, out| values.fill(start, out))
}

/// What each of the values equal to an extreme gets of its cotangent.
fn shares<E: Element>(x: &Batch<E>, y: &Batch<E>) -> Batch<E> {
    let whole = shape(x);
    let (values, extremes) = (Operand::of(x, whole), Operand::of(y, whole));
    let counts = folded::<E, Sum>(whole, shape(y), |start, out| equal(&values, &extremes, start, out));
    batch(counts.into_iter().map(|count| count.max(E::one()).recip()).collect(), shape(y))
}

/// The values of the shape `own`, times the shares, where x is extreme: spread over those places or summed over them, as `to` asks for.
fn at_extremes<E: Element>(
    values: &[E],
    own: Shape,
    x: &Batch<E>,
    y: &Batch<E>,
    shares: &Batch<E>,
    to: Shape,
) -> Vec<E> {
    let whole = common([own, shape(x), to]);
    let values = Operand::new(values, own, whole);
    let [x, y, shares] = [x, y, shares].map(|batch| Operand::of(batch, whole));
    folded::<E, Sum>(whole, to, |start, out| {
        equal(&x, &y, start, out);
        shares.multiply(start, out);
        values.multiply(start, out);
    })
}

/// 1 where x is extreme, else 0.
fn equal<E: Element>(x: &Operand<E>, y: &Operand<E>, start: usize, out: &mut [E]) {
    x.fill(start, out);
    y.each(start, out, |x, y| if x == y { E::one() } else { E::zero() });
}
