//! The gate of a residual block, y = x + a / (1 + e^-b), c = [a, b]; x, y (N, H, W, F), c (N, H, W, 2F).
//!
//! Source: van den Oord et al. 2016 (Conditional PixelCNN), as in Salimans et al. 2017.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::gated::gate;
//! // y = x + a sigmoid(b).
//! let y = gate(&mut Tape::off(), &batch(vec![1.0f64], (1, 1, 1, 1)), &batch(vec![4.0, 0.0], (1, 1, 1, 2)));
//! assert_eq!(view(&y), [3.0]);
//! ```

use rayon::prelude::*;

use super::{Kernel, accumulate, vectorised};
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, filled_in_chunks, shape, view};

/// Features whose gates are computed at a time.
const TILE: usize = 64;

/// y = x + a sigmoid(b), where c holds a, then b, in its channels.
pub fn gate<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, c: &Batch<E>) -> Batch<E> {
    let features = shape(x).3;
    let there = on_device(tape, &[x, c], shape(x), |_, values| {
        let [a, b] = [0, 1].map(|half| values[1].slice(3, half * features, 1, features));
        values[0] + a * b.sigmoid()
    });
    if let Some(y) = there {
        return y;
    }
    let chunk = features * GRAIN.div_ceil(features.max(1));
    let y = filled_in_chunks(
        view(x).len(),
        chunk,
        || (),
        |(), number, y| {
            let (x, c) = (&view(x)[number * chunk..], &view(c)[2 * number * chunk..]);
            vectorised::<GatePixels, _>((x, c, features, y));
        },
    );
    let y = batch(y, shape(x));
    record(tape, x, c, &y);
    y
}

/// y of a few pixels. Arguments: x, c, F, y.
pub(crate) struct GatePixels;

impl<E: Element> Kernel<(&[E], &[E], usize, &mut [E])> for GatePixels {
    type Output = ();

    #[inline(always)]
    fn run((x, c, features, y): (&[E], &[E], usize, &mut [E])) {
        for ((y, x), c) in y.chunks_exact_mut(features).zip(x.chunks_exact(features)).zip(c.chunks_exact(2 * features))
        {
            let (a, b) = c.split_at(features);
            for (((y, &x), &a), &b) in y.iter_mut().zip(x).zip(a).zip(b) {
                *y = x + a * sigmoid(b);
            }
        }
    }
}

#[inline(always)]
fn sigmoid<E: Element>(x: E) -> E {
    E::one() / (E::one() + (-x).exponential())
}

fn record<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, c: &Batch<E>, y: &Batch<E>) {
    if !tape.records() {
        return;
    }
    let (x, c, y) = (x.ghost(), c.clone(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&y);
        let features = shape(&c).3 / 2;
        let chunk = features * GRAIN.div_ceil(features.max(1));
        gradients
            .of(&c)
            .par_chunks_mut(2 * chunk)
            .zip(view(&c).par_chunks(2 * chunk))
            .zip(upstream.par_chunks(chunk))
            .for_each(|((gradient, c), upstream)| vectorised::<GateSlopes, _>((c, upstream, features, gradient)));
        accumulate(gradients.of(&x), &upstream);
    });
}

/// Adds the cotangents of c, for those of y, to `gradient`: of c, the cotangents, F.
struct GateSlopes;

impl<E: Element> Kernel<(&[E], &[E], usize, &mut [E])> for GateSlopes {
    type Output = ();

    #[inline(always)]
    fn run((c, upstream, features, gradient): (&[E], &[E], usize, &mut [E])) {
        let pixels = gradient.chunks_exact_mut(2 * features).zip(c.chunks_exact(2 * features));
        for ((gradient, c), upstream) in pixels.zip(upstream.chunks_exact(features)) {
            let ((for_a, for_b), (a, b)) = (gradient.split_at_mut(features), c.split_at(features));
            let tiles = for_a.chunks_mut(TILE).zip(for_b.chunks_mut(TILE)).zip(a.chunks(TILE).zip(b.chunks(TILE)));
            for (((for_a, for_b), (a, b)), upstream) in tiles.zip(upstream.chunks(TILE)) {
                // One loop per result: the compiler does not vectorise one loop for both.
                let mut open = [E::zero(); TILE];
                open.iter_mut().zip(b).for_each(|(open, &b)| *open = sigmoid(b));
                for ((for_a, &open), &upstream) in for_a.iter_mut().zip(&open).zip(upstream) {
                    *for_a += upstream * open;
                }
                for (((for_b, &open), &a), &upstream) in for_b.iter_mut().zip(&open).zip(a).zip(upstream) {
                    *for_b += upstream * a * open * (E::one() - open);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::{check_gradients, normal};

    #[test]
    fn gradients_are_differences() {
        check_gradients(&[normal("x", (2, 2, 3, 3)), normal("c", (2, 2, 3, 6))], |tape, x| gate(tape, &x[0], &x[1]));
    }
}
