//! Images as vectors and back, in the order of files: (N, H, W, C) <-> (N, 1, 1, C H W), channels first.

use dfdx::prelude::{Cpu, Tape};

use super::record_transpose;
use crate::tensor::{Batch, Element, batch, channels_first, channels_last, shape, view};

/// An image as a vector, channels first: (N, H, W, C) -> (N, 1, 1, C H W).
pub fn flatten<E: Element>(tape: &mut impl Tape<E, Cpu>, x: &Batch<E>) -> Batch<E> {
    let (n, h, w, c) = shape(x);
    let y = batch(channels_first(view(x), shape(x)), (n, 1, 1, c * h * w));
    record_transpose(tape, x, &y, move |upstream| channels_last(upstream, (n, h, w, c)));
    y
}

/// A vector as an image, channels first: (N, 1, 1, C H W) -> (N, H, W, C). `size` is (C, H, W).
pub fn unflatten<E: Element>(tape: &mut impl Tape<E, Cpu>, x: &Batch<E>, size: (usize, usize, usize)) -> Batch<E> {
    let (c, h, w) = size;
    let to = (shape(x).0, h, w, c);
    let y = batch(channels_last(view(x), to), to);
    record_transpose(tape, x, &y, move |upstream| channels_first(upstream, to));
    y
}
