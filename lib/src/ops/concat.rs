//! Channels side by side, a range of them, and both signs through elu; (N, H, W, C1), (N, H, W, C2) -> (N, H, W, C1 + C2).
//!
//! concat_elu: y = elu([x, -x]), twice the channels (Shang et al. 2016; Salimans et al. 2017). Concatenating and slicing
//! move values, so the pullback of either is made of the other.
//!
//! ```
//! use dfdx::prelude::NoneTape;
//! use obverse::tensor::{batch, view};
//! use obverse::ops::concat::{concat, slice};
//! let (a, b) = (batch(vec![1.0f64, 2.0], (1, 1, 2, 1)), batch(vec![5.0, 6.0], (1, 1, 2, 1)));
//! let both = concat(&mut NoneTape, &[&a, &b]);
//! assert_eq!(view(&both), [1.0, 5.0, 2.0, 6.0]);
//! assert_eq!(view(&slice(&mut NoneTape, &both, 1..2)), [5.0, 6.0]);
//! ```

use std::ops::Range;

use dfdx::prelude::{Cpu, Tape};

use super::activation::{Activation, activate, pullback};
use super::{accumulate, record_transpose};
use crate::tensor::{Batch, Element, GRAIN, batch, filled_in_chunks, shape, view};

/// The inputs' channels side by side; the inputs have the same number of images, height and width.
pub fn concat<E: Element>(tape: &mut impl Tape<E, Cpu>, inputs: &[&Batch<E>]) -> Batch<E> {
    let (n, h, w, _) = inputs.first().map_or((0, 0, 0, 0), |first| shape(first));
    for input in inputs {
        let (images, height, width, _) = shape(input);
        assert_eq!((images, height, width), (n, h, w), "concat: expected images of one number and size");
    }
    let channels = inputs.iter().map(|input| shape(input).3).sum();
    let parts: Vec<(&[E], usize)> = inputs.iter().map(|input| (view(input), shape(input).3)).collect();
    let values = in_pixels(n * h * w, channels, |pixel, result| {
        let mut rest = result;
        for &(values, channels) in &parts {
            let (own, after) = rest.split_at_mut(channels);
            own.copy_from_slice(&values[pixel * channels..][..channels]);
            rest = after;
        }
    });
    let result = batch(values, (n, h, w, channels));
    record_concat(tape, inputs, &result);
    result
}

/// The channels in `range`.
pub fn slice<E: Element>(tape: &mut impl Tape<E, Cpu>, x: &Batch<E>, range: Range<usize>) -> Batch<E> {
    let (n, h, w, channels) = shape(x);
    let y = batch(taken(view(x), channels, range.clone()), (n, h, w, range.len()));
    record_transpose(tape, x, &y, move |upstream| placed(upstream, channels, range));
    y
}

/// The cotangent of x for a cotangent of [`slice()`]: zero in the other channels of x, `channels` altogether.
pub(crate) fn slice_pullback<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    channels: usize,
    range: Range<usize>,
) -> Batch<E> {
    let (n, h, w, _) = shape(cotangent);
    let result = batch(placed(view(cotangent), channels, range.clone()), (n, h, w, channels));
    record_transpose(tape, cotangent, &result, move |upstream| taken(upstream, channels, range));
    result
}

/// elu([x, -x]).
pub fn concat_elu<E: Element>(tape: &mut impl Tape<E, Cpu>, x: &Batch<E>) -> Batch<E> {
    let both = both_signs(tape, x);
    activate(tape, &both, Activation::Elu)
}

/// The cotangent of x for a cotangent of [`concat_elu`]. Where `x` is one image, it stands for all of them.
pub(crate) fn concat_elu_pullback<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
) -> Batch<E> {
    let both = both_signs(tape, x);
    let cotangent = pullback(tape, cotangent, &both, Activation::Elu);
    let (n, h, w, c) = shape(&cotangent);
    let result = batch(folded(view(&cotangent), c / 2), (n, h, w, c / 2));
    record_transpose(tape, &cotangent, &result, move |upstream| mirrored(upstream, c / 2));
    result
}

/// [x, -x].
fn both_signs<E: Element>(tape: &mut impl Tape<E, Cpu>, x: &Batch<E>) -> Batch<E> {
    let (n, h, w, c) = shape(x);
    let both = batch(mirrored(view(x), c), (n, h, w, 2 * c));
    record_transpose(tape, x, &both, move |upstream| folded(upstream, c));
    both
}

/// [x, -x] for each pixel's `channels`.
fn mirrored<E: Element>(values: &[E], channels: usize) -> Vec<E> {
    in_pixels(values.len() / channels, 2 * channels, |pixel, result| {
        let values = &values[pixel * channels..][..channels];
        let (plus, minus) = result.split_at_mut(channels);
        plus.copy_from_slice(values);
        minus.iter_mut().zip(values).for_each(|(minus, &value)| *minus = -value);
    })
}

/// The transpose of [`mirrored`]: each pixel's first `channels` minus those after them.
fn folded<E: Element>(values: &[E], channels: usize) -> Vec<E> {
    in_pixels(values.len() / (2 * channels), channels, |pixel, result| {
        let (plus, minus) = values[pixel * 2 * channels..][..2 * channels].split_at(channels);
        result.iter_mut().zip(plus).zip(minus).for_each(|((result, &plus), &minus)| *result = plus - minus);
    })
}

/// The channels in `range` of pixels of `channels`.
fn taken<E: Element>(values: &[E], channels: usize, range: Range<usize>) -> Vec<E> {
    in_pixels(values.len() / channels, range.len(), |pixel, result| {
        result.copy_from_slice(&values[pixel * channels..][range.clone()]);
    })
}

/// The transpose of [`taken`].
fn placed<E: Element>(values: &[E], channels: usize, range: Range<usize>) -> Vec<E> {
    let count = range.len();
    in_pixels(values.len() / count, channels, |pixel, result| {
        result[range.clone()].copy_from_slice(&values[pixel * count..][..count]);
    })
}

/// Pixels of `channels` zeros, each passed to `fill` with the pixel's number.
fn in_pixels<E: Element>(pixels: usize, channels: usize, fill: impl Fn(usize, &mut [E]) + Sync + Send) -> Vec<E> {
    let rows = GRAIN.div_ceil(channels.max(1));
    let nothing = || ();
    filled_in_chunks(pixels * channels, rows * channels, nothing, |(), number, part| {
        part.chunks_exact_mut(channels).enumerate().for_each(|(row, pixel)| fill(number * rows + row, pixel));
    })
}

/// Records that each input's gradient is its channels of the output's.
fn record_concat<E: Element, T: Tape<E, Cpu>>(tape: &mut T, inputs: &[&Batch<E>], output: &Batch<E>) {
    if !T::OWNS_TAPE {
        return;
    }
    let channels = shape(output).3;
    let parts: Vec<_> = inputs.iter().map(|input| (input.ghost(), shape(input).3)).collect();
    let output = output.ghost();
    tape.add_backward_op(move |gradients| {
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&output)?);
        let mut first = 0;
        for (input, count) in parts {
            accumulate(gradients.get_or_alloc_mut(&input)?, &taken(&upstream, channels, first..first + count));
            first += count;
        }
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::NoneTape;

    use super::*;
    use crate::ops::checks::{check_case, check_directions, check_gradients, normal, repeated};

    #[test]
    fn oracle_values_and_gradients() {
        check_case::<f32>("concat_elu", &["x"], |tape, x| concat_elu(tape, &x[0]));
        check_case::<f64>("concat_elu", &["x"], |tape, x| concat_elu(tape, &x[0]));
    }

    #[test]
    fn channels_stand_side_by_side() {
        let a: Batch<f32> = batch(vec![1.0, 2.0, 3.0, 4.0], (1, 1, 2, 2));
        let b: Batch<f32> = batch(vec![5.0, 6.0], (1, 1, 2, 1));
        let joined = concat(&mut NoneTape, &[&a, &b]);
        assert_eq!(view(&joined), [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
        assert_eq!(view(&slice(&mut NoneTape, &joined, 1..3)), [2.0, 5.0, 4.0, 6.0]);
    }

    #[test]
    fn a_part_of_a_concatenation_receives_its_gradient_even_twice() {
        let inputs = [normal("a", (2, 2, 3, 2)), normal("b", (2, 2, 3, 1)), normal("c", (2, 2, 3, 3))];
        check_gradients(&inputs, |tape, x| concat(tape, &[&x[0], &x[1], &x[2], &x[1]]));
    }

    #[test]
    fn the_directions_of_slicing_are_transposed() {
        check_directions(
            &normal("x", (2, 2, 3, 4)),
            |tape, x| slice(tape, x, 1..3),
            |tape, cotangent, _| slice_pullback(tape, cotangent, 4, 1..3),
        );
    }

    #[test]
    fn the_directions_of_concat_elu_are_transposed() {
        check_directions(&normal("x", (2, 2, 3, 2)), concat_elu, concat_elu_pullback);
    }

    #[test]
    fn one_image_stands_for_all() {
        let x: Batch<f64> = normal("x", (1, 2, 2, 3));
        let cotangent = normal("cotangent", (3, 2, 2, 6));
        let pull = |x: &Batch<f64>| concat_elu_pullback(&mut NoneTape, &cotangent, x);
        assert_eq!(view(&pull(&x)), view(&pull(&repeated(&x, 3))));
    }
}
