//! Dropout in training, y = x / (1 - p) where a mask keeps, 0 elsewhere; any shape (Srivastava et al. 2014, scaled as in
//! PyTorch).
//!
//! The mask is a function of the stream and the element's index alone, so that a pullback draws the same.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::dropout::dropout;
//! use obverse::tensor::random::Stream;
//! let x = batch(vec![1.0f64; 100], (1, 1, 1, 100));
//! let y = dropout(&mut Tape::off(), &x, 0.5, Stream::new(0, "dropout", 0));
//! assert!(view(&y).iter().all(|&y| y == 0.0 || y == 2.0));
//! ```

use rayon::prelude::*;

use super::record_added;
use crate::tensor::device::on_device;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, image_len, shape, view};

/// x without a share `p` of its elements, the others divided by 1 - p; 0 <= p < 1.
pub fn dropout<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, p: f64, stream: Stream) -> Batch<E> {
    pullback(tape, x, p, stream, shape(x).0)
}

/// The cotangent of x for a cotangent of [`dropout`]: the mask is its own transpose. `images` is the number of x's images:
/// where it is one, its mask serves all cotangents.
pub fn pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    p: f64,
    stream: Stream,
    images: usize,
) -> Batch<E> {
    let mask = mask(images * image_len(cotangent), p, &stream);
    let (_, h, w, c) = shape(cotangent);
    let there = on_device(tape, &[cotangent], shape(cotangent), |program, x| {
        let factor = |&kept: &bool| if kept { 1.0 / (1.0 - p) } else { 0.0 };
        x[0] * program.constant(&mask.iter().map(factor).collect::<Vec<f64>>(), &[images, h, w, c])
    });
    if let Some(result) = there {
        return result;
    }
    let scale = E::of(1.0 / (1.0 - p));
    let mut result = vec![E::zero(); view(cotangent).len()];
    add_masked(view(cotangent), &mask, scale, &mut result);
    let result = batch(result, shape(cotangent));
    record_added(tape, cotangent, &result, move |upstream, gradient| add_masked(upstream, &mask, scale, gradient));
    result
}

/// Which of this many elements are kept: all but a share `p`. The bits themselves are compared, so that f32 and f64 have one mask.
fn mask(length: usize, p: f64, stream: &Stream) -> Vec<bool> {
    let limit = (p * 2f64.powi(64)) as u64;
    let mut mask = vec![false; length];
    mask.par_chunks_mut(GRAIN).enumerate().for_each(|(part, mask)| {
        let bits = stream.bits(part * GRAIN..part * GRAIN + mask.len());
        mask.iter_mut().zip(bits).for_each(|(kept, bits)| *kept = bits >= limit);
    });
    mask
}

/// Adds the values that the mask keeps, scaled; the mask repeats after its end.
fn add_masked<E: Element>(values: &[E], mask: &[bool], scale: E, result: &mut [E]) {
    let period = mask.len().max(1);
    for (result, values) in result.chunks_mut(period).zip(values.chunks(period)) {
        let parts = result.par_chunks_mut(GRAIN).zip(values.par_chunks(GRAIN)).zip(mask.par_chunks(GRAIN));
        parts.for_each(|((result, values), mask)| {
            for ((result, &value), &kept) in result.iter_mut().zip(values).zip(mask) {
                // Always scaled: a select is vectorised, a branch is not.
                let scaled = value * scale;
                *result += if kept { scaled } else { E::zero() };
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{check_directions, normal, repeated};

    fn stream() -> Stream {
        Stream::new(5, "dropout", 0)
    }

    #[test]
    fn a_share_is_zero_and_the_rest_is_scaled() {
        let x: Batch<f32> = batch(vec![1.0; 100_000], (10, 10, 10, 100));
        let y = dropout(&mut Tape::off(), &x, 0.25, stream());
        let dropped = view(&y).iter().filter(|&&y| y == 0.0).count();
        // Five standard deviations of a binomial count.
        assert!((dropped as f64 - 25_000.0).abs() < 5.0 * (100_000.0 * 0.25 * 0.75f64).sqrt(), "{dropped}");
        assert!(view(&y).iter().all(|&y| y == 0.0 || y == 1.0 / 0.75));
        assert_eq!(view(&dropout(&mut Tape::off(), &x, 0.0, stream())), view(&x));
    }

    #[test]
    fn the_directions_are_transposed() {
        check_directions(
            &normal("x", (2, 3, 3, 2)),
            |tape, x| dropout(tape, x, 0.4, stream()),
            |tape, cotangent, _| pullback(tape, cotangent, 0.4, stream(), 2),
        );
    }

    #[test]
    fn one_image_stands_for_all() {
        let x: Batch<f64> = normal("x", (1, 4, 4, 3));
        let once = dropout(&mut Tape::off(), &x, 0.5, stream());
        let all = pullback(&mut Tape::off(), &repeated(&x, 3), 0.5, stream(), 1);
        assert_eq!(view(&all), view(&repeated(&once, 3)));
    }
}
