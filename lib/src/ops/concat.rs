//! Images side by side along an axis, a range of one, and both signs through elu; (N, H, W, C1), (N, H, W, C2) -> (N, H, W, C1 + C2).
//!
//! concat_elu: y = elu([x, -x]), twice the channels (Shang et al. 2016; Salimans et al. 2017). Concatenating and slicing
//! move values, so the pullback of either is made of the other.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::concat::{concat, slice};
//! let (a, b) = (batch(vec![1.0f64, 2.0], (1, 1, 2, 1)), batch(vec![5.0, 6.0], (1, 1, 2, 1)));
//! let (width, channels) = (2, 3);
//! assert_eq!(view(&concat(&mut Tape::off(), &[&a, &b], width)), [1.0, 2.0, 5.0, 6.0]);
//! let both = concat(&mut Tape::off(), &[&a, &b], channels);
//! assert_eq!(view(&both), [1.0, 5.0, 2.0, 6.0]);
//! assert_eq!(view(&slice(&mut Tape::off(), &both, channels, 1..2)), [5.0, 6.0]);
//! ```

use std::ops::Range;

use obverse_engine::Variable;

use super::activation::{Activation, activate, pullback};
use super::{accumulate, record_transpose};
use crate::tensor::device::{on_device, repeated};
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, filled_in_chunks, shape, view};

/// The inputs side by side along `axis`: 1 is the height, 2 the width, 3 the channels. They have one size but for it, and as many images;
/// an input of one image stands for all.
pub fn concat<E: Element>(tape: &mut Tape<E>, inputs: &[&Batch<E>], axis: usize) -> Batch<E> {
    let sizes: Vec<[usize; 4]> = inputs.iter().map(|input| shape(input).into()).collect();
    let mut to = sizes.iter().copied().max_by_key(|size| size[0]).unwrap_or_default();
    for size in &sizes {
        let fits = (0..4).all(|other| other == axis || size[other] == to[other] || (other == 0 && size[0] == 1));
        assert!(fits, "concat: expected images of one number and size, but for axis {axis}, found {sizes:?}");
    }
    to[axis] = sizes.iter().map(|size| size[axis]).sum();
    let there = on_device(tape, inputs, to.into(), |_, inputs| {
        let inputs: Vec<Variable> = inputs.iter().map(|input| repeated(*input, to[0])).collect();
        obverse_engine::concat(&inputs, axis)
    });
    if let Some(result) = there {
        return result;
    }
    let (rows, row) = (to[..axis].iter().product(), to[axis..].iter().product());
    let parts: Vec<(&[E], usize)> =
        inputs.iter().zip(&sizes).map(|(input, size)| (view(input), size[axis..].iter().product())).collect();
    let values = in_pixels(rows, row, |row, result| {
        let mut rest = result;
        for &(values, count) in &parts {
            let (own, after) = rest.split_at_mut(count);
            own.copy_from_slice(&values[row * count % values.len()..][..count]);
            rest = after;
        }
    });
    let result = batch(values, to.into());
    record_concat(tape, inputs, &result, axis);
    result
}

/// The places in `range` along `axis`: 1 is the height, 2 the width, 3 the channels.
pub fn slice<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, axis: usize, range: Range<usize>) -> Batch<E> {
    let mut size = <[usize; 4]>::from(shape(x));
    let mut to = size;
    to[axis] = range.len();
    let there = on_device(tape, &[x], to.into(), |_, x| x[0].slice(axis, range.start, 1, range.len()));
    if let Some(y) = there {
        return y;
    }
    let inner: usize = size[axis + 1..].iter().product();
    let (whole, range) = (size[axis] * inner, range.start * inner..range.end * inner);
    size[axis] = range.len() / inner;
    let y = batch(taken(view(x), whole, range.clone()), size.into());
    record_transpose(tape, x, &y, move |upstream| placed(upstream, whole, range));
    y
}

/// The cotangent of x for a cotangent of [`slice()`]: zero at the other places of x, `length` altogether.
pub(crate) fn slice_pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    axis: usize,
    length: usize,
    range: Range<usize>,
) -> Batch<E> {
    let mut size = <[usize; 4]>::from(shape(cotangent));
    let mut to = size;
    to[axis] = length;
    if let Some(y) = on_device(tape, &[cotangent], to.into(), |_, x| x[0].place_in(axis, range.start, 1, length)) {
        return y;
    }
    let inner: usize = size[axis + 1..].iter().product();
    let (whole, range) = (length * inner, range.start * inner..range.end * inner);
    size[axis] = length;
    let result = batch(placed(view(cotangent), whole, range.clone()), size.into());
    record_transpose(tape, cotangent, &result, move |upstream| taken(upstream, whole, range));
    result
}

/// elu([x, -x]).
pub fn concat_elu<E: Element>(tape: &mut Tape<E>, x: &Batch<E>) -> Batch<E> {
    let both = both_signs(tape, x);
    activate(tape, &both, Activation::Elu { alpha: 1.0 })
}

/// The cotangent of x for a cotangent of [`concat_elu`]. Where `x` is one image, it stands for all of them.
pub(crate) fn concat_elu_pullback<E: Element>(tape: &mut Tape<E>, cotangent: &Batch<E>, x: &Batch<E>) -> Batch<E> {
    let both = both_signs(tape, x);
    let cotangent = pullback(tape, cotangent, &both, Activation::Elu { alpha: 1.0 });
    let (n, h, w, c) = shape(&cotangent);
    let there = on_device(tape, &[&cotangent], (n, h, w, c / 2), |_, x| {
        x[0].slice(3, 0, 1, c / 2) - x[0].slice(3, c / 2, 1, c / 2)
    });
    if let Some(result) = there {
        return result;
    }
    let result = batch(folded(view(&cotangent), c / 2), (n, h, w, c / 2));
    record_transpose(tape, &cotangent, &result, move |upstream| mirrored(upstream, c / 2));
    result
}

/// [x, -x].
fn both_signs<E: Element>(tape: &mut Tape<E>, x: &Batch<E>) -> Batch<E> {
    let (n, h, w, c) = shape(x);
    if let Some(both) = on_device(tape, &[x], (n, h, w, 2 * c), |_, x| obverse_engine::concat(&[x[0], -x[0]], 3)) {
        return both;
    }
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

/// Records that each input's gradient is its part of the output's; that of one image for all is their sum.
fn record_concat<E: Element>(tape: &mut Tape<E>, inputs: &[&Batch<E>], output: &Batch<E>, axis: usize) {
    if !tape.records() {
        return;
    }
    let row = |x: &Batch<E>| <[usize; 4]>::from(shape(x))[axis..].iter().product::<usize>();
    let parts: Vec<_> = inputs.iter().map(|input| (input.ghost(), row(input), view(input).len())).collect();
    let (whole, output) = (row(output), output.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&output);
        let mut first = 0;
        for (input, count, values) in parts {
            let target = gradients.of(&input);
            taken(&upstream, whole, first..first + count).chunks(values).for_each(|part| accumulate(target, part));
            first += count;
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{check_case, check_directions, check_gradients, normal, repeated};

    const HEIGHT: usize = 1;
    const CHANNELS: usize = 3;

    #[test]
    fn oracle_values_and_gradients() {
        check_case::<f32>("concat_elu", &["x"], |tape, x| concat_elu(tape, &x[0]));
        check_case::<f64>("concat_elu", &["x"], |tape, x| concat_elu(tape, &x[0]));
    }

    #[test]
    fn channels_stand_side_by_side() {
        let a: Batch<f32> = batch(vec![1.0, 2.0, 3.0, 4.0], (1, 1, 2, 2));
        let b: Batch<f32> = batch(vec![5.0, 6.0], (1, 1, 2, 1));
        let joined = concat(&mut Tape::off(), &[&a, &b], CHANNELS);
        assert_eq!(view(&joined), [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
        assert_eq!(view(&slice(&mut Tape::off(), &joined, CHANNELS, 1..3)), [2.0, 5.0, 4.0, 6.0]);
    }

    #[test]
    fn a_part_of_a_concatenation_receives_its_gradient_even_twice_along_every_axis() {
        for axis in 1..4 {
            let input = |name, length| {
                let mut size = [2, 2, 3, 2];
                size[axis] = length;
                normal(name, size.into())
            };
            let inputs = [input("a", 2), input("b", 1), input("c", 3)];
            check_gradients(&inputs, |tape, x| concat(tape, &[&x[0], &x[1], &x[2], &x[1]], axis));
        }
    }

    #[test]
    fn one_image_stands_beside_all_and_collects_their_gradients() {
        let (one, three): (Batch<f64>, Batch<f64>) = (normal("one", (1, 1, 3, 2)), normal("three", (3, 2, 3, 2)));
        let joined = concat(&mut Tape::off(), &[&one, &three], HEIGHT);
        let apart = concat(&mut Tape::off(), &[&repeated(&one, 3), &three], HEIGHT);
        assert_eq!((shape(&joined), view(&joined)), ((3, 3, 3, 2), view(&apart)));
        check_gradients(&[one, three], |tape, x| concat(tape, &[&x[0], &x[1]], HEIGHT));
    }

    #[test]
    #[should_panic(expected = "expected images of one number and size")]
    fn images_of_another_number_are_refused() {
        let (two, three): (Batch<f64>, Batch<f64>) = (normal("two", (2, 1, 3, 2)), normal("three", (3, 2, 3, 2)));
        concat(&mut Tape::off(), &[&two, &three], HEIGHT);
    }

    #[test]
    fn the_directions_of_slicing_are_transposed() {
        for axis in 1..4 {
            check_directions(
                &normal("x", (2, 3, 4, 5)),
                |tape, x| slice(tape, x, axis, 1..3),
                |tape, cotangent, _| slice_pullback(tape, cotangent, axis, axis + 2, 1..3),
            );
        }
        let x: Batch<f64> = normal("x", (1, 3, 4, 5));
        assert_eq!(view(&slice(&mut Tape::off(), &x, HEIGHT, 1..3)), &view(&x)[20..60]);
    }

    #[test]
    fn the_directions_of_concat_elu_are_transposed() {
        check_directions(&normal("x", (2, 2, 3, 2)), concat_elu, concat_elu_pullback);
    }

    #[test]
    fn one_image_stands_for_all() {
        let x: Batch<f64> = normal("x", (1, 2, 2, 3));
        let cotangent = normal("cotangent", (3, 2, 2, 6));
        let pull = |x: &Batch<f64>| concat_elu_pullback(&mut Tape::off(), &cotangent, x);
        assert_eq!(view(&pull(&x)), view(&pull(&repeated(&x, 3))));
    }
}
