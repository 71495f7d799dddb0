//! Images as vectors and back, in the order of files: (N, H, W, C) <-> (N, 1, 1, C H W), channels first.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::reshape::{flatten, unflatten};
//! // Two pixels of two channels.
//! let x = batch(vec![10.0f64, 20.0, 11.0, 21.0], (1, 1, 2, 2));
//! let flat = flatten(&mut Tape::off(), &x);
//! assert_eq!(view(&flat), [10.0, 11.0, 20.0, 21.0]);
//! assert_eq!(view(&unflatten(&mut Tape::off(), &flat, (2, 1, 2))), view(&x));
//! ```

use super::record_transpose;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, Tape, batch, channels_first, channels_last, shape, view};

/// An image as a vector, channels first: (N, H, W, C) -> (N, 1, 1, C H W).
pub fn flatten<E: Element>(tape: &mut Tape<E>, x: &Batch<E>) -> Batch<E> {
    let (n, h, w, c) = shape(x);
    if let Some(y) = on_device(tape, &[x], (n, 1, 1, c * h * w), |_, x| x[0].permute(&[0, 3, 1, 2])) {
        return y;
    }
    let y = batch(channels_first(view(x), shape(x)), (n, 1, 1, c * h * w));
    record_transpose(tape, x, &y, move |upstream| channels_last(upstream, (n, h, w, c)));
    y
}

/// A vector as an image, channels first: (N, 1, 1, C H W) -> (N, H, W, C). `size` is (C, H, W).
pub fn unflatten<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, size: (usize, usize, usize)) -> Batch<E> {
    let (c, h, w) = size;
    let to = (shape(x).0, h, w, c);
    if let Some(y) = on_device(tape, &[x], to, |_, x| x[0].reshape(&[to.0, c, h, w]).permute(&[0, 2, 3, 1])) {
        return y;
    }
    let y = batch(channels_last(view(x), to), to);
    record_transpose(tape, x, &y, move |upstream| channels_first(upstream, to));
    y
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{check_adjoint, check_gradients, normal};

    #[test]
    fn a_vector_holds_one_channel_after_the_other() {
        // Two pixels of three channels: 10, 20, 30 and 11, 21, 31.
        let x: Batch<f64> = batch(vec![10.0, 20.0, 30.0, 11.0, 21.0, 31.0], (1, 1, 2, 3));
        let flat = flatten(&mut Tape::off(), &x);
        assert_eq!(shape(&flat), (1, 1, 1, 6));
        assert_eq!(view(&flat), [10.0, 11.0, 20.0, 21.0, 30.0, 31.0]);
        let back = unflatten(&mut Tape::off(), &flat, (3, 1, 2));
        assert_eq!((shape(&back), view(&back)), (shape(&x), view(&x)));
    }

    #[test]
    fn gradients_are_differences_and_each_is_the_others_pullback() {
        let (image, vector) = (normal("image", (2, 3, 2, 4)), normal("vector", (2, 1, 1, 24)));
        check_gradients(std::slice::from_ref(&image), |tape, inputs| flatten(tape, &inputs[0]));
        check_gradients(std::slice::from_ref(&vector), |tape, inputs| unflatten(tape, &inputs[0], (4, 3, 2)));
        check_adjoint(
            &image,
            |x| flatten(&mut Tape::off(), x),
            |cotangent| unflatten(&mut Tape::off(), cotangent, (4, 3, 2)),
        );
        check_adjoint(
            &vector,
            |x| unflatten(&mut Tape::off(), x, (4, 3, 2)),
            |cotangent| flatten(&mut Tape::off(), cotangent),
        );
    }
}
