//! Zeros around an image, and extra channels of zeros, (N, H, W, C) -> (N, H + top + bottom, W + left + right,
//! C + before + after), and the cut that undoes it. Both move values, and each is the other's transpose.
//!
//! ```
//! use dfdx::prelude::NoneTape;
//! use obverse::tensor::{batch, view};
//! use obverse::ops::{pad::{Frame, crop, pad}, window::Padding};
//! let x = batch(vec![1.0f64, 2.0], (1, 1, 2, 1));
//! let frame = Frame { padding: Padding { left: 1, ..Padding::default() }, channels: [0, 0] };
//! let y = pad(&mut NoneTape, &x, frame);
//! assert_eq!(view(&y), [0.0, 1.0, 2.0]);
//! assert_eq!(view(&crop(&mut NoneTape, &y, frame)), [1.0, 2.0]);
//! ```

use dfdx::prelude::{Cpu, Tape};

use super::record_transpose;
use super::window::Padding;
use crate::tensor::{Batch, Element, Shape, batch, shape, view};

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

/// x within zeros.
pub fn pad<E: Element>(tape: &mut impl Tape<E, Cpu>, x: &Batch<E>, frame: Frame) -> Batch<E> {
    let inner = shape(x);
    let y = batch(framed(view(x), inner, frame), frame.outer(inner));
    record_transpose(tape, x, &y, move |upstream| cut(upstream, inner, frame));
    y
}

/// x without the frame: [`pad`]'s pullback. x is at least as large as the frame.
pub fn crop<E: Element>(tape: &mut impl Tape<E, Cpu>, x: &Batch<E>, frame: Frame) -> Batch<E> {
    let inner = frame.inner(shape(x));
    let y = batch(cut(view(x), inner, frame), inner);
    record_transpose(tape, x, &y, move |upstream| framed(upstream, inner, frame));
    y
}

fn framed<E: Element>(values: &[E], inner: Shape, frame: Frame) -> Vec<E> {
    let (n, h, w, c) = frame.outer(inner);
    let mut result = vec![E::zero(); n * h * w * c];
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
    use dfdx::prelude::NoneTape;

    use super::*;
    use crate::ops::checks::{check_directions, check_gradients, normal};

    const FRAME: Frame = Frame { padding: Padding { top: 1, bottom: 0, left: 2, right: 1 }, channels: [1, 2] };

    #[test]
    fn values_stand_within_zeros_and_come_out_again() {
        let x: Batch<f32> = batch(vec![1.0, 2.0], (1, 1, 2, 1));
        let frame = Frame { padding: Padding { top: 1, ..Padding::default() }, channels: [1, 0] };
        let y = pad(&mut NoneTape, &x, frame);
        assert_eq!((shape(&y), view(&y)), ((1, 2, 2, 2), &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0][..]));
        assert_eq!(view(&crop(&mut NoneTape, &y, frame)), view(&x));
    }

    #[test]
    fn the_directions_are_transposed_and_have_gradients() {
        let x = normal("x", (2, 3, 2, 3));
        check_directions(&x, |tape, x| pad(tape, x, FRAME), |tape, cotangent, _| crop(tape, cotangent, FRAME));
        check_gradients(&[normal("y", (2, 4, 5, 6))], |tape, y| crop(tape, &y[0], FRAME));
    }
}
