//! Zeros around an image, or another value, and extra channels of it, (N, H, W, C) -> (N, H + top + bottom, W + left + right,
//! C + before + after), and the cut that undoes it. With zeros both move values, and each is the other's transpose.
//!
//! Or the image continues beyond its sides: mirrored, by its last pixels, or from its other side.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::{pad::{Frame, crop, pad}, window::Padding};
//! let x = batch(vec![1.0f64, 2.0], (1, 1, 2, 1));
//! let frame = Frame { padding: Padding { left: 1, ..Padding::default() }, channels: [0, 0] };
//! let y = pad(&mut Tape::off(), &x, frame, 0.0);
//! assert_eq!(view(&y), [0.0, 1.0, 2.0]);
//! assert_eq!(view(&crop(&mut Tape::off(), &y, frame)), [1.0, 2.0]);
//! ```

use obverse_engine::Variable;

use super::along::{Table, along};
use super::record_transpose;
use super::window::Padding;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, Shape, Tape, batch, shape, view};

/// What is added to an image, or cut off it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Rows and columns on each side.
    pub padding: Padding,
    /// Channels before and after.
    pub channels: [usize; 2],
}

impl Frame {
    fn outer(self, (n, h, w, c): Shape) -> Shape {
        let Padding { top, bottom, left, right } = self.padding;
        (n, h + top + bottom, w + left + right, c + self.channels[0] + self.channels[1])
    }

    /// Cuts the frame off an image at least as large.
    fn inner(self, (n, h, w, c): Shape) -> Shape {
        let Padding { top, bottom, left, right } = self.padding;
        (n, h - top - bottom, w - left - right, c - self.channels[0] - self.channels[1])
    }

    /// What comes before images, in rows, columns and channels.
    fn before(self) -> [usize; 3] {
        [self.padding.top, self.padding.left, self.channels[0]]
    }

    /// Images within zeros, for devices.
    fn around(self, x: Variable<'_>) -> Variable<'_> {
        let shape = x.shape();
        let (_, h, w, c) = self.outer((shape[0], shape[1], shape[2], shape[3]));
        let lengths = [h, w, c];
        (0..3).fold(x, |x, axis| x.place_in(1 + axis, self.before()[axis], 1, lengths[axis]))
    }

    /// Where each pixel of images of shape `inner` begins, in them and within the frame.
    fn places(self, inner: Shape) -> impl Iterator<Item = (usize, usize)> {
        let ((n, h, w, c), (_, rows, columns, channels)) = (inner, self.outer(inner));
        let Padding { top, left, .. } = self.padding;
        (0..n * h * w).map(move |pixel| {
            let (image, i, j) = (pixel / (h * w), pixel / w % h, pixel % w);
            let framed = (image * rows + top + i) * columns + left + j;
            (pixel * c, framed * channels + self.channels[0])
        })
    }
}

/// How an image goes on beyond its sides; PyTorch's names are reflect, replicate and circular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Mirrored in its first and last places, which do not repeat.
    Reflect,
    /// By its first and last places.
    Edge,
    /// From its other side.
    Wrap,
}

impl Beyond {
    /// The place of an axis of this length at each place of the padded axis.
    fn places(self, length: usize, before: usize, after: usize) -> Vec<usize> {
        let last = length.saturating_sub(1);
        // Periods of it and its mirror image, or of it alone.
        let period = if self == Self::Reflect { (2 * last).max(1) } else { length.max(1) };
        let start = before.next_multiple_of(period);
        let place = |at: usize| match self {
            Self::Edge => at.saturating_sub(before).min(last),
            Self::Wrap => (start + at - before) % period,
            Self::Reflect => {
                let place = (start + at - before) % period;
                place.min(period - place)
            }
        };
        (0..before + length + after).map(place).collect()
    }

    /// Along height, width and channels what each place of images of shape `inner` within the frame is.
    fn tables(self, (_, h, w, c): Shape, Frame { padding, channels: [before, after] }: Frame) -> [Table; 3] {
        let Padding { top, bottom, left, right } = padding;
        let axes = [(h, top, bottom), (w, left, right), (c, before, after)];
        axes.map(|(length, before, after)| Table::of_places(&self.places(length, before, after), length))
    }
}

/// x with a frame of what continues it.
pub fn continued<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, frame: Frame, beyond: Beyond) -> Batch<E> {
    let tables = beyond.tables(shape(x), frame);
    tables.iter().zip(1..).fold(x.clone(), |x, (table, axis)| along(tape, &x, axis, table))
}

/// The cotangent of x for a cotangent of [`continued`]: the sum of all that a value went to.
pub(crate) fn continued_pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    frame: Frame,
    beyond: Beyond,
) -> Batch<E> {
    let tables = beyond.tables(frame.inner(shape(cotangent)), frame);
    let tables = tables.iter().zip(1..);
    tables.fold(cotangent.clone(), |cotangent, (table, axis)| along(tape, &cotangent, axis, &table.transposed()))
}

/// x within a frame of `value`.
pub fn pad<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, frame: Frame, value: E) -> Batch<E> {
    let inner = shape(x);
    let there = on_device(tape, &[x], frame.outer(inner), |_, x| match value == E::zero() {
        true => frame.around(x[0]),
        false => frame.around(x[0] + -value.wide()) + value.wide(),
    });
    if let Some(y) = there {
        return y;
    }
    let y = batch(framed(view(x), inner, frame, value), frame.outer(inner));
    record_transpose(tape, x, &y, move |upstream| cut(upstream, inner, frame));
    y
}

/// x without the frame: [`pad`]'s pullback, whatever the value. x is at least as large as the frame.
pub fn crop<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, frame: Frame) -> Batch<E> {
    let inner = frame.inner(shape(x));
    let there = on_device(tape, &[x], inner, |_, x| {
        let lengths = [inner.1, inner.2, inner.3];
        (0..3).fold(x[0], |x, axis| x.slice(1 + axis, frame.before()[axis], 1, lengths[axis]))
    });
    if let Some(y) = there {
        return y;
    }
    let y = batch(cut(view(x), inner, frame), inner);
    record_transpose(tape, x, &y, move |upstream| framed(upstream, inner, frame, E::zero()));
    y
}

fn framed<E: Element>(values: &[E], inner: Shape, frame: Frame, value: E) -> Vec<E> {
    let (n, h, w, c) = frame.outer(inner);
    let mut result = vec![value; n * h * w * c];
    let channels = inner.3;
    for (from, to) in frame.places(inner) {
        result[to..to + channels].copy_from_slice(&values[from..from + channels]);
    }
    result
}

fn cut<E: Element>(values: &[E], inner: Shape, frame: Frame) -> Vec<E> {
    let (n, h, w, channels) = inner;
    let mut result = vec![E::zero(); n * h * w * channels];
    for (to, from) in frame.places(inner) {
        result[to..to + channels].copy_from_slice(&values[from..from + channels]);
    }
    result
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{check_directions, check_gradients, normal};

    const FRAME: Frame = Frame { padding: Padding { top: 1, bottom: 0, left: 2, right: 1 }, channels: [1, 2] };

    #[test]
    fn values_stand_within_zeros_or_others_and_come_out_again() {
        let x: Batch<f32> = batch(vec![1.0, 2.0], (1, 1, 2, 1));
        let frame = Frame { padding: Padding { top: 1, ..Padding::default() }, channels: [1, 0] };
        let y = pad(&mut Tape::off(), &x, frame, 0.0);
        assert_eq!((shape(&y), view(&y)), ((1, 2, 2, 2), &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0][..]));
        assert_eq!(view(&crop(&mut Tape::off(), &y, frame)), view(&x));
        assert_eq!(view(&pad(&mut Tape::off(), &x, frame, -7.0)), [-7.0, -7.0, -7.0, -7.0, -7.0, 1.0, -7.0, 2.0]);
    }

    /// NumPy's `pad` of 0, 1, …, the length before, by more than the length too.
    #[test]
    fn an_axis_continues_as_that_of_numpy() {
        assert_eq!(Beyond::Reflect.places(3, 5, 4), [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(Beyond::Edge.places(3, 2, 2), [0, 0, 0, 1, 2, 2, 2]);
        assert_eq!(Beyond::Wrap.places(3, 4, 2), [2, 0, 1, 2, 0, 1, 2, 0, 1]);
        for beyond in [Beyond::Reflect, Beyond::Edge, Beyond::Wrap] {
            assert_eq!(beyond.places(1, 2, 1), [0; 4], "{beyond:?}");
            assert_eq!(beyond.places(3, 0, 0), [0, 1, 2], "{beyond:?}");
        }
    }

    #[test]
    fn an_image_continues_along_all_axes() {
        let x: Batch<f32> = batch((1..=4).map(|value| value as f32).collect(), (1, 2, 2, 1));
        let frame = Frame { padding: Padding { top: 1, left: 1, ..Padding::default() }, channels: [0, 1] };
        let y = continued(&mut Tape::off(), &x, frame, Beyond::Reflect);
        let once = [4.0, 3.0, 4.0, 2.0, 1.0, 2.0, 4.0, 3.0, 4.0];
        let twice: Vec<f32> = once.iter().flat_map(|&value| [value; 2]).collect();
        assert_eq!((shape(&y), view(&y)), ((1, 3, 3, 2), &twice[..]));
    }

    #[test]
    fn the_directions_are_transposed_and_have_gradients() {
        let x = normal("x", (2, 3, 2, 3));
        for value in [0.0, 2.0] {
            check_directions(
                &x,
                |tape, x| pad(tape, x, FRAME, value),
                |tape, cotangent, _| crop(tape, cotangent, FRAME),
            );
        }
        check_gradients(&[normal("y", (2, 4, 5, 6))], |tape, y| crop(tape, &y[0], FRAME));
        for beyond in [Beyond::Reflect, Beyond::Edge, Beyond::Wrap] {
            check_directions(
                &x,
                |tape, x| continued(tape, x, FRAME, beyond),
                |tape, cotangent, _| continued_pullback(tape, cotangent, FRAME, beyond),
            );
        }
    }
}
