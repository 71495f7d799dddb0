//! The rectifier after a convolution: applied to its outputs, and its slopes in the backward pass.

use rayon::prelude::*;

use crate::ops::activation::{rectify, slope_at};
use crate::tensor::{Batch, Element, GRAIN, image_len, shape, view};

/// Adds the bias and applies the rectifier to rows of outputs.
pub(crate) fn finish<E: Element>(y: &mut [E], bias: Option<&[E]>, slope: Option<E>) {
    if let Some(bias) = bias {
        for row in y.chunks_exact_mut(bias.len()) {
            match slope {
                Some(slope) => row.iter_mut().zip(bias).for_each(|(y, &bias)| *y = rectify(*y + bias, slope)),
                None => row.iter_mut().zip(bias).for_each(|(y, &bias)| *y += bias),
            }
        }
    } else if let Some(slope) = slope {
        y.iter_mut().for_each(|y| *y = rectify(*y, slope));
    }
}

/// The slopes of a rectifier, read off the signs of its output; one image may serve the whole batch.
#[derive(Clone)]
pub(crate) struct Slopes<E: Element> {
    y: Batch<E>,
    slope: E,
}

impl<E: Element> Slopes<E> {
    pub(crate) fn new(y: &Batch<E>, slope: E) -> Self {
        Self { y: y.clone(), slope }
    }

    /// Multiplies `values`, whose first image is number `first`, by the slopes.
    pub(crate) fn apply(&self, values: &mut [E], first: usize) {
        let y = view(&self.y);
        if shape(&self.y).0 == 1 {
            values.chunks_mut(y.len()).for_each(|values| self.multiply(values, y));
        } else {
            self.multiply(values, &y[first * image_len(&self.y)..]);
        }
    }

    /// As [`Slopes::apply`] to a whole batch, in parallel.
    pub(crate) fn apply_to_all(&self, values: &mut [E]) {
        let image = image_len(&self.y).max(1);
        let images = GRAIN.div_ceil(image);
        values
            .par_chunks_mut(images * image)
            .enumerate()
            .for_each(|(number, values)| self.apply(values, number * images));
    }

    /// `values`, which lie at `place` in the batch, times the slopes, in `scratch`. They are of one image.
    pub(super) fn multiplied<'a>(&self, values: &[E], place: usize, scratch: &'a mut Vec<E>) -> &'a [E] {
        let y = view(&self.y);
        let place = if shape(&self.y).0 == 1 { place % y.len() } else { place };
        scratch.clear();
        let products = values.iter().zip(&y[place..]).map(|(&value, &y)| value * slope_at(y, self.slope));
        scratch.extend(products);
        scratch
    }

    fn multiply(&self, values: &mut [E], y: &[E]) {
        values.iter_mut().zip(y).for_each(|(value, &y)| *value *= slope_at(y, self.slope));
    }
}

/// `values` times the slopes, in `scratch`; `values` themselves where there are none.
pub(super) fn sloped<'a, E: Element>(
    values: &'a [E],
    slopes: Option<&Slopes<E>>,
    first: usize,
    scratch: &'a mut Vec<E>,
) -> &'a [E] {
    let Some(slopes) = slopes else { return values };
    scratch.clear();
    scratch.extend_from_slice(values);
    slopes.apply(scratch, first);
    scratch
}
