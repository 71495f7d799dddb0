//! The largest value or the mean of each window, channel by channel; x (N, H, W, C), y (N, H', W', C).
//!
//! max: y[i, j] = max x[s i + u - p, s j + v - p] over the taps inside the image. average: the sum over the same taps,
//! divided by their number or by that of all taps, padding included. Ceil mode, ties and divisors are PyTorch's.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::pooling::{Divisor, Pooling, average_pool, max_pool};
//! let x = batch(vec![1.0f64, 2.0, 3.0, 6.0], (1, 2, 2, 1));
//! let whole = Pooling::whole(2, 2);
//! assert_eq!(view(&max_pool(&mut Tape::off(), &x, whole)), [6.0]);
//! assert_eq!(view(&average_pool(&mut Tape::off(), &x, whole, Divisor::Inside)), [3.0]);
//! ```

mod there;
mod windows;

use super::{record_added, record_transpose};
use crate::tensor::device::{on_device, transposed};
use crate::tensor::{Batch, Element, Tape, batch, shape, view};
use windows::Windows;

pub use windows::{Divisor, End, Pooling};

/// The largest value of each window; a NaN is larger than any number.
pub fn max_pool<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, pooling: Pooling) -> Batch<E> {
    let windows = Windows::new(pooling, shape(x));
    let to = windows.output_shape(shape(x).0);
    if let Some(y) = on_device(tape, &[x], to, |program, x| there::largest(program, x[0], pooling)) {
        return y;
    }
    let y = batch(windows.largest(view(x)), to);
    let (kept, largest) = (x.clone(), y.clone());
    record_added(tape, x, &y, move |upstream, gradient| {
        windows.hand_down(upstream, view(&kept), view(&largest), gradient);
    });
    y
}

/// The cotangent of x for a cotangent of [`max_pool`]: each value goes to the pixel that was largest. Where `x` is one image, it
/// stands for all of them.
pub(crate) fn max_pool_pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    pooling: Pooling,
) -> Batch<E> {
    let windows = Windows::new(pooling, shape(x));
    let (_, h, w, c) = shape(x);
    let images = shape(cotangent).0;
    let there = on_device(tape, &[cotangent, x], (images, h, w, c), |program, values| {
        there::handed_down(program, values[0], values[1], pooling)
    });
    if let Some(result) = there {
        return result;
    }
    let largest = windows.largest(view(x));
    let mut result = vec![E::zero(); images * windows.input_len];
    windows.hand_down(view(cotangent), view(x), &largest, &mut result);
    let result = batch(result, (images, h, w, c));
    let x = x.clone();
    // Which pixel is largest is constant almost everywhere, so x itself receives no gradient.
    record_transpose(tape, cotangent, &result, move |upstream| windows.hand_up(upstream, view(&x), &largest));
    result
}

/// The mean of each window.
pub fn average_pool<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, pooling: Pooling, divisor: Divisor) -> Batch<E> {
    let windows = Windows::new(pooling, shape(x));
    let (to, counts) = (windows.output_shape(shape(x).0), windows.counts(divisor));
    if let Some(y) = on_device(tape, &[x], to, |program, x| there::average(program, x[0], pooling, &counts)) {
        return y;
    }
    let y = batch(windows.average(view(x), divisor), windows.output_shape(shape(x).0));
    record_transpose(tape, x, &y, move |upstream| windows.spread(upstream, divisor));
    y
}

/// The cotangent of x for a cotangent of [`average_pool`]: each value is spread over its window. `size` is x's height and
/// width.
pub(crate) fn average_pool_pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    pooling: Pooling,
    divisor: Divisor,
    size: (usize, usize),
) -> Batch<E> {
    let (n, _, _, c) = shape(cotangent);
    let windows = Windows::new(pooling, (n, size.0, size.1, c));
    let counts = windows.counts(divisor);
    let there = transposed(tape, cotangent, (n, size.0, size.1, c), |program, x| {
        there::average(program, x[0], pooling, &counts)
    });
    if let Some(result) = there {
        return result;
    }
    let result = batch(windows.spread(view(cotangent), divisor), (n, size.0, size.1, c));
    record_transpose(tape, cotangent, &result, move |upstream| windows.average(upstream, divisor));
    result
}

#[cfg(test)]
mod tests;
