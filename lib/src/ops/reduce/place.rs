//! Where along axes the largest or smallest value is.

use rayon::prelude::*;

use super::product::groups;
use crate::ops::record_transpose;
use crate::tensor::{Batch, Element, Shape, Tape, batch, image_len, shape, view};

/// The place, from 0, of the first value of each group that is better than all before it; what is no number counts as the best.
pub(super) fn reduce<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    to: Shape,
    is_better: impl Fn(E, E) -> bool + Sync,
) -> Batch<E> {
    let (bases, steps) = groups(shape(x), to);
    let first = |image: &[E], base: usize| {
        let better = |best: usize, place: usize| {
            let (value, kept) = (image[base + steps[place]], image[base + steps[best]]);
            if is_better(value, kept) || (value.is_nan() && !kept.is_nan()) { place } else { best }
        };
        E::of((1..steps.len()).fold(0, better) as f64)
    };
    let mut places = vec![E::zero(); to.0 * to.1 * to.2 * to.3];
    let images = view(x).par_chunks(image_len(x).max(1));
    places.par_chunks_mut(bases.len().max(1)).zip(images).for_each(|(places, image)| {
        places.iter_mut().zip(&bases).for_each(|(place, &base)| *place = first(image, base));
    });
    let (y, length) = (batch(places, to), view(x).len());
    record_transpose(tape, x, &y, move |_| vec![E::zero(); length]);
    y
}
