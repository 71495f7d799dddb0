//! Images made larger, y (N, H', W', C) of x (N, H, W, C): each pixel repeated, or bilinear interpolation between them.
//!
//! Bilinear: row i of H' reads x at (i + 1/2) H / H' - 1/2, half-pixel centres, not below 0 nor beyond the last row: between
//! rows a and a + 1 with weights 1 - t and t. PyTorch's `interpolate` with align_corners=False; any size, smaller too.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::upsample::{bilinear, nearest};
//! let x = batch(vec![0.0f64, 4.0], (1, 1, 2, 1));
//! assert_eq!(view(&nearest(&mut Tape::off(), &x, 2)), [0.0, 0.0, 4.0, 4.0, 0.0, 0.0, 4.0, 4.0]);
//! assert_eq!(view(&bilinear(&mut Tape::off(), &x, (1, 4))), [0.0, 1.0, 3.0, 4.0]);
//! ```

use rayon::prelude::*;

use super::along::{Table, along};
use super::record_transpose;
use crate::tensor::device::{on_device, on_device_already};
use crate::tensor::{Batch, Element, Shape, Tape, batch, shape, view};

/// Each pixel repeated `factor` times along both axes.
pub fn nearest<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, factor: usize) -> Batch<E> {
    let small = shape(x);
    let (n, h, w, c) = small;
    let there = on_device(tape, &[x], enlarged(small, factor), |_, x| {
        x[0].reshape(&[n, h, 1, w, 1, c]).expand(&[n, h, factor, w, factor, c])
    });
    if let Some(y) = there {
        return y;
    }
    let y = batch(repeat(view(x), small, factor), enlarged(small, factor));
    record_transpose(tape, x, &y, move |upstream| sum_blocks(upstream, small, factor));
    y
}

/// The cotangent of x for a cotangent of [`nearest`]: the sum of each block.
pub(crate) fn nearest_pullback<E: Element>(tape: &mut Tape<E>, cotangent: &Batch<E>, factor: usize) -> Batch<E> {
    let (n, h, w, c) = shape(cotangent);
    let small = (n, h / factor, w / factor, c);
    let there = on_device(tape, &[cotangent], small, |_, x| {
        x[0].reshape(&[n, h / factor, factor, w / factor, factor, c]).sum(&[2, 4])
    });
    if let Some(result) = there {
        return result;
    }
    let result = batch(sum_blocks(view(cotangent), small, factor), small);
    record_transpose(tape, cotangent, &result, move |upstream| repeat(upstream, small, factor));
    result
}

/// Interpolated to `size`, height and width.
pub fn bilinear<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, size: (usize, usize)) -> Batch<E> {
    let (n, height, width, c) = shape(x);
    if on_device_already(&[x]) {
        let between = along(tape, x, 1, &Between::table(height, size.0));
        return along(tape, &between, 2, &Between::table(width, size.1));
    }
    let grid = Grid::new(shape(x), size);
    let y = batch(grid.interpolate(view(x)), (n, size.0, size.1, c));
    record_transpose(tape, x, &y, move |upstream| grid.scatter(upstream));
    y
}

/// The cotangent of x for a cotangent of [`bilinear`]. `size` is x's height and width.
pub(crate) fn bilinear_pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    size: (usize, usize),
) -> Batch<E> {
    let (n, h, w, c) = shape(cotangent);
    if on_device_already(&[cotangent]) {
        let between = along(tape, cotangent, 2, &Between::table(size.1, w).transposed());
        return along(tape, &between, 1, &Between::table(size.0, h).transposed());
    }
    let grid = Grid::new((n, size.0, size.1, c), (h, w));
    let result = batch(grid.scatter(view(cotangent)), (n, size.0, size.1, c));
    record_transpose(tape, cotangent, &result, move |upstream| grid.interpolate(upstream));
    result
}

fn enlarged((n, h, w, c): Shape, factor: usize) -> Shape {
    (n, h * factor, w * factor, c)
}

/// Each pixel of images of shape `small`, repeated.
fn repeat<E: Element>(values: &[E], small: Shape, factor: usize) -> Vec<E> {
    let (n, h, w, c) = small;
    let mut result = vec![E::zero(); n * h * w * c * factor * factor];
    let wide = w * factor * c;
    let rows = result.par_chunks_mut((factor * wide).max(1)).zip(values.par_chunks((w * c).max(1)));
    rows.for_each(|(block, row)| {
        let (first, others) = block.split_at_mut(wide);
        first.chunks_exact_mut(c).enumerate().for_each(|(column, pixel)| {
            let from = column / factor * c;
            pixel.copy_from_slice(&row[from..from + c]);
        });
        others.chunks_exact_mut(wide).for_each(|other| other.copy_from_slice(first));
    });
    result
}

/// The transpose of [`repeat`].
fn sum_blocks<E: Element>(values: &[E], small: Shape, factor: usize) -> Vec<E> {
    let (n, h, w, c) = small;
    let mut result = vec![E::zero(); n * h * w * c];
    let wide = w * factor * c;
    let rows = result.par_chunks_mut((w * c).max(1)).zip(values.par_chunks((factor * wide).max(1)));
    rows.for_each(|(row, block)| {
        for line in block.chunks_exact(wide) {
            for (column, pixel) in line.chunks_exact(c).enumerate() {
                let to = column / factor * c;
                row[to..to + c].iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += value);
            }
        }
    });
    result
}

/// Two neighbours along one axis and the weight of the second.
#[derive(Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    share: f64,
}

impl Between {
    /// What each of `to` places reads of `from`.
    fn places(from: usize, to: usize) -> Vec<Self> {
        let last = from.saturating_sub(1);
        let place = |i: usize| {
            let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
            let low = (at as usize).min(last);
            Self { low, high: (low + 1).min(last), share: at - low as f64 }
        };
        (0..to).map(place).collect()
    }

    /// What each of `to` places reads of `from`, as a table.
    fn table(from: usize, to: usize) -> Table {
        let row = |between: Self| match between.low == between.high {
            true => vec![(between.low, 1.0)],
            false => vec![(between.low, 1.0 - between.share), (between.high, between.share)],
        };
        Table { length: from, rows: Self::places(from, to).into_iter().map(row).collect() }
    }

    /// The two neighbours, each with its weight.
    fn ends<E: Element>(self) -> [(usize, E); 2] {
        [(self.low, E::of(1.0 - self.share)), (self.high, E::of(self.share))]
    }
}

/// What each pixel of the result reads.
struct Grid {
    rows: Vec<Between>,
    columns: Vec<Between>,
    width: usize,
    channels: usize,
    input_len: usize,
}

impl Grid {
    fn new((_, height, width, channels): Shape, to: (usize, usize)) -> Self {
        let (rows, columns) = (Between::places(height, to.0), Between::places(width, to.1));
        Self { rows, columns, width, channels, input_len: height * width * channels }
    }

    fn output_len(&self) -> usize {
        self.rows.len() * self.columns.len() * self.channels
    }

    /// For each pixel of the result, in order, where four pixels of the input start, with their weights.
    fn pixels<E: Element>(&self) -> impl Iterator<Item = [(usize, E); 4]> {
        self.rows.iter().flat_map(move |row| {
            self.columns.iter().map(move |column| {
                let [(top, above), (bottom, below)] = row.ends::<E>();
                let [(left, before), (right, after)] = column.ends::<E>();
                let at = |row: usize, column: usize| (row * self.width + column) * self.channels;
                [
                    (at(top, left), above * before),
                    (at(top, right), above * after),
                    (at(bottom, left), below * before),
                    (at(bottom, right), below * after),
                ]
            })
        })
    }

    fn interpolate<E: Element>(&self, values: &[E]) -> Vec<E> {
        let mut result = vec![E::zero(); values.len() / self.input_len.max(1) * self.output_len()];
        let images = result.par_chunks_mut(self.output_len().max(1)).zip(values.par_chunks(self.input_len.max(1)));
        images.for_each(|(result, values)| {
            for (result, corners) in result.chunks_exact_mut(self.channels).zip(self.pixels::<E>()) {
                for (corner, weight) in corners {
                    let values = &values[corner..corner + self.channels];
                    result.iter_mut().zip(values).for_each(|(result, &value)| *result += weight * value);
                }
            }
        });
        result
    }

    /// The transpose of [`Grid::interpolate`].
    fn scatter<E: Element>(&self, values: &[E]) -> Vec<E> {
        let mut result = vec![E::zero(); values.len() / self.output_len().max(1) * self.input_len];
        let images = result.par_chunks_mut(self.input_len.max(1)).zip(values.par_chunks(self.output_len().max(1)));
        images.for_each(|(result, values)| {
            for (values, corners) in values.chunks_exact(self.channels).zip(self.pixels::<E>()) {
                for (corner, weight) in corners {
                    let result = &mut result[corner..corner + self.channels];
                    result.iter_mut().zip(values).for_each(|(result, &value)| *result += weight * value);
                }
            }
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{assert_close, check_case, check_directions, normal};
    use crate::store::npy::Scalar;

    fn agrees_with_the_oracle<E: Element + Scalar>() {
        check_case::<E>("upsample_nearest", &["x"], |tape, x| nearest(tape, &x[0], 2));
        check_case::<E>("upsample_bilinear", &["x"], |tape, x| {
            let (_, h, w, _) = shape(&x[0]);
            bilinear(tape, &x[0], (2 * h, 2 * w))
        });
    }

    #[test]
    fn oracle_values_and_gradients() {
        agrees_with_the_oracle::<f32>();
        agrees_with_the_oracle::<f64>();
    }

    #[test]
    fn the_directions_of_repetition_are_transposed() {
        check_directions(
            &normal("x", (2, 3, 2, 2)),
            |tape, x| nearest(tape, x, 3),
            |tape, cotangent, _| nearest_pullback(tape, cotangent, 3),
        );
    }

    #[test]
    fn the_directions_of_interpolation_are_transposed_for_larger_smaller_and_equal_sizes() {
        for size in [(7, 5), (2, 3), (3, 4), (1, 9)] {
            check_directions(
                &normal("x", (2, 3, 4, 2)),
                |tape, x| bilinear(tape, x, size),
                |tape, cotangent, _| bilinear_pullback(tape, cotangent, (3, 4)),
            );
        }
    }

    #[test]
    fn interpolation_keeps_a_ramp_but_for_its_ends() {
        let x: Batch<f64> = batch(vec![0.0, 1.0, 2.0, 3.0], (1, 1, 4, 1));
        let y = bilinear(&mut Tape::off(), &x, (1, 8));
        assert_close(view(&y), &[0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0], 1e-15);
        assert_close(view(&bilinear(&mut Tape::off(), &x, (1, 2))), &[0.5, 2.5], 1e-15);
    }
}
