//! Images moved down and to the right, y[i, j] = x[i - down, j - right], zero where that is outside; (N, H, W, C).
//!
//! This makes a causal convolution strictly causal (Salimans et al. 2017: `down_shift`, `right_shift`).
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::shift::shift;
//! let x = batch(vec![1.0f64, 2.0, 3.0], (1, 1, 3, 1));
//! assert_eq!(view(&shift(&mut Tape::off(), &x, 0, 1)), [0.0, 1.0, 2.0]);
//! ```

use rayon::prelude::*;

use super::record_transpose;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, Shape, Tape, batch, shape, view};

/// x moved by `down` rows and `right` columns.
pub fn shift<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, down: usize, right: usize) -> Batch<E> {
    let size = shape(x);
    let there = on_device(tape, &[x], size, |_, x| {
        let (down, right) = (down.min(size.1), right.min(size.2));
        let moved = x[0].slice(1, 0, 1, size.1 - down).place_in(1, down, 1, size.1);
        moved.slice(2, 0, 1, size.2 - right).place_in(2, right, 1, size.2)
    });
    if let Some(y) = there {
        return y;
    }
    let y = batch(moved(view(x), size, |from| (from.0.checked_sub(down), from.1.checked_sub(right))), size);
    record_transpose(tape, x, &y, move |upstream| {
        moved(upstream, size, |from| (Some(from.0 + down), Some(from.1 + right)))
    });
    y
}

/// Each pixel of the result is that at `place` of its own, or zero outside.
fn moved<E: Element>(
    values: &[E],
    (_, height, width, channels): Shape,
    place: impl Fn((usize, usize)) -> (Option<usize>, Option<usize>) + Sync,
) -> Vec<E> {
    let image = (height * width * channels).max(1);
    let mut result = vec![E::zero(); values.len()];
    result.par_chunks_mut(image).zip(values.par_chunks(image)).for_each(|(result, values)| {
        for (number, pixel) in result.chunks_exact_mut(channels).enumerate() {
            let (row, column) = place((number / width, number % width));
            let inside = row.filter(|&row| row < height).zip(column.filter(|&column| column < width));
            if let Some((row, column)) = inside {
                pixel.copy_from_slice(&values[(row * width + column) * channels..][..channels]);
            }
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{check_gradients, normal};

    #[test]
    fn what_moves_in_is_zero() {
        let x: Batch<f64> = batch((1..=6).map(f64::from).collect(), (1, 2, 3, 1));
        assert_eq!(view(&shift(&mut Tape::off(), &x, 1, 0)), [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(view(&shift(&mut Tape::off(), &x, 0, 1)), [0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
    }

    #[test]
    fn gradients_are_differences() {
        for (down, right) in [(1, 0), (0, 1), (2, 1)] {
            check_gradients(&[normal("x", (2, 3, 4, 2))], |tape, x| shift(tape, &x[0], down, right));
        }
    }
}
