//! The product along axes. Its slopes are products of all other values: each is computed as such, so that none may be 0.

use rayon::prelude::*;

use crate::ops::broadcast::{Operand, Product, Sum, folded, lengths};
use crate::ops::{accumulate, record_transpose};
use crate::tensor::{Batch, Element, Shape, Tape, batch, image_len, shape, view};

pub(super) fn reduce<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, to: Shape) -> Batch<E> {
    let values = Operand::of(x, shape(x));
    let y = batch(folded::<E, Product>(shape(x), to, |start, out| values.fill(start, out)), to);
    let kept = x.clone();
    record_transpose(tape, x, &y, move |upstream| {
        let whole = shape(&kept);
        product([(upstream, to), (&others(&kept, to, None), whole)], whole, whole)
    });
    y
}

/// The cotangent of x: the cotangent times the product of the others.
pub(super) fn pullback<E: Element>(tape: &mut Tape<E>, cotangent: &Batch<E>, x: &Batch<E>) -> Batch<E> {
    let (own, (_, h, w, c)) = (shape(cotangent), shape(x));
    let whole = (own.0, h, w, c);
    let without = others(x, own, None);
    let result = batch(product([(view(cotangent), own), (&without, shape(x))], whole, whole), whole);
    if !tape.records() {
        return result;
    }
    let (cotangent, x, output) = (cotangent.clone(), x.clone(), result.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&output);
        let turned = product([(&upstream, whole), (&without, shape(&x))], whole, own);
        accumulate(gradients.of(&cotangent), &turned);
        let bent = others(&x, own, Some(&upstream));
        let bent = product([(view(&cotangent), own), (&bent, whole)], whole, shape(&x));
        accumulate(gradients.of(&x), &bent);
    });
    result
}

/// The product of two arrays of the shape `whole`, summed over the axes that are 1 in `to`.
fn product<E: Element>(factors: [(&[E], Shape); 2], whole: Shape, to: Shape) -> Vec<E> {
    let [a, b] = factors.map(|(values, own)| Operand::new(values, own, whole));
    folded::<E, Sum>(whole, to, |start, out| {
        a.fill(start, out);
        b.multiply(start, out);
    })
}

/// The product of the other values of each value's group, or its derivative along a direction, which holds one image or more for each
/// of x. Groups lie along the axes that are 1 in `to`.
fn others<E: Element>(x: &Batch<E>, to: Shape, direction: Option<&[E]>) -> Vec<E> {
    let (image, (bases, steps)) = (image_len(x).max(1), groups(shape(x), to));
    let x = view(x);
    let mut result = vec![E::zero(); direction.map_or(x.len(), <[E]>::len)];
    result.par_chunks_mut(image).enumerate().for_each(|(number, out)| {
        let x = &x[number * image % x.len()..][..image];
        let direction = direction.map(|direction| &direction[number * image..][..image]);
        let mut before = Vec::with_capacity(steps.len());
        for base in &bases {
            // Dual numbers: a value and its derivative.
            let at = |step: usize| (x[base + step], direction.map_or(E::zero(), |direction| direction[base + step]));
            let times = |(a, b): (E, E), (c, d): (E, E)| (a * c, a * d + b * c);
            let one = (E::one(), E::zero());
            before.clear();
            steps.iter().fold(one, |product, &step| {
                before.push(product);
                times(product, at(step))
            });
            steps.iter().zip(&before).rev().fold(one, |after, (&step, &before)| {
                let (value, slope) = times(before, after);
                out[base + step] = if direction.is_some() { slope } else { value };
                times(after, at(step))
            });
        }
    });
    result
}

/// The first place of each group within an image, and the steps from it to the places of the group.
pub(super) fn groups(whole: Shape, to: Shape) -> (Vec<usize>, Vec<usize>) {
    let (whole, to) = (lengths(whole), lengths(to));
    let places = |kept: bool| {
        let [_, h, w, c] = std::array::from_fn(|axis| if (to[axis] == whole[axis]) == kept { whole[axis] } else { 1 });
        let pixels = (0..h).flat_map(|row| (0..w).map(move |column| row * whole[2] + column));
        pixels.flat_map(|pixel| (0..c).map(move |channel| pixel * whole[3] + channel)).collect()
    };
    (places(true), places(false))
}
