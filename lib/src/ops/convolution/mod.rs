//! Convolution, y = rectify(W * x + b), and its exact adjoint; x (N, H, W, C), y (N, H', W', O), W (O, kh, kw, C / groups).
//!
//! `y[n, i, j, o] = rectify(b[o] + sum W[o, u, v, c] x[n, s i + d u - p, s j + d v - p, c])`. For a group of images, or a band
//! of one, that fits in cache the patches are gathered channels-last, one row per position, and multiplied by W in one product;
//! bias and slope are applied while the result is in cache. The adjoint multiplies first and scatters; with stride 1, where that
//! costs less, it is the convolution with the kernel rotated by 180 degrees. Narrow groups, depthwise convolutions above all, need no
//! patches: each result is gathered along its channel. Gradients of W are summed over a fixed number of lanes,
//! in order, so that the number of threads does not change the result.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::{InputGradient, convolution::{Convolution, convolve}, window::Window};
//! let x = batch((1..=9).map(f64::from).collect(), (1, 3, 3, 1));
//! let sum = batch(vec![1.0; 4], (1, 2, 2, 1));
//! let convolution = Convolution { window: Window::square(2, 1, 0), groups: 1 };
//! let y = convolve(&mut Tape::off(), &x, &sum, None, None, convolution, InputGradient::Unwanted);
//! assert_eq!(view(&y), [12.0, 16.0, 24.0, 28.0]);
//! ```

mod gather;
mod geometry;
mod gradients;
mod grouped;
mod patches;
mod products;
mod reach;
mod slopes;
mod there;

use super::InputGradient;
use super::activation::before_rectifier;
use super::linear::{finished, operands};
use super::weight::Weight;
use crate::tensor::device::{on_device_already, on_device_wanting};
use crate::tensor::{Batch, Element, Tape, batch, count, filled_in_chunks, shape, view};
use geometry::Geometry;
use gradients::{record_adjoint, record_convolve};
use grouped::Grouped;
use products::{Backward, Scratch, Threads};
use slopes::sloped;

pub use geometry::Convolution;
pub(super) use gradients::add_column_sums;
pub(super) use slopes::{Slopes, finish};

/// y = rectify(W * x + b), with `slope` below zero, or without the rectifier.
///
/// Shapes: x (N, H, W, C), weight (O, kh, kw, C / groups), bias (1, 1, 1, O).
pub fn convolve<'a, E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    weight: impl Into<Weight<'a, E>>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    convolution: Convolution,
    input: InputGradient,
) -> Batch<E> {
    let (n, h, w, _) = shape(x);
    let constant: Weight<E> = weight.into();
    let weight = constant.values;
    let geometry = Geometry::new(convolution, (h, w), weight);
    assert_eq!(
        count(x),
        n * geometry.input_len(),
        "convolve: expected images with the weight's channels, found {:?}",
        shape(x)
    );
    let fits = bias.is_none_or(|bias| count(bias) == geometry.outputs);
    assert!(fits, "convolve: expected a bias for each of {} outputs, found another number", geometry.outputs);
    let (inputs, wanted) = operands(x, weight, bias, input);
    let to = (n, geometry.output.0, geometry.output.1, geometry.outputs);
    let there = on_device_wanting(tape, &inputs, &wanted, to, |_, values| {
        finished(there::convolved(values[0], values[1], convolution), values.get(2).copied(), slope)
    });
    if let Some(y) = there {
        return y;
    }
    let bias_values = bias.map(view);
    let y = if geometry.is_narrow() {
        Grouped::forward(&geometry).apply(view(x), None, view(weight), |y| finish(y, bias_values, slope))
    } else {
        let columns = constant.columns(|| geometry.columns(view(weight)));
        convolved(geometry, view(x), &columns, bias_values, slope)
    };
    let y = batch(y, (n, geometry.output.0, geometry.output.1, geometry.outputs));
    record_convolve(tape, x, weight, bias, slope, &y, geometry, input);
    y
}

/// rectify(W * x + b) by products of patches, for some images, from W's [`Geometry::columns`].
fn convolved<E: Element>(geometry: Geometry, x: &[E], columns: &[E], bias: Option<&[E]>, slope: Option<E>) -> Vec<E> {
    let band = geometry.even_band();
    let n = x.len() / geometry.input_len().max(1);
    let bands = geometry.output.0 / band.max(1);
    let y_tile = if bands > 1 { band * geometry.row_len() } else { geometry.tile * geometry.output_len() };
    let threads = Threads::of((n * geometry.output_len()).div_ceil(y_tile.max(1)));
    filled_in_chunks(n * geometry.output_len(), y_tile, Vec::new, |patches, tile, y| {
        let (first, images) =
            if bands > 1 { (tile / bands, 1) } else { (tile * geometry.tile, y.len() / geometry.output_len()) };
        let rows = tile % bands * band..(tile % bands + 1) * band;
        let x = &x[first * geometry.input_len()..][..images * geometry.input_len()];
        geometry.forward(x, rows, columns, patches, y, threads);
        finish(y, bias, slope);
    })
}

/// The transposed convolution: the cotangent of x for a cotangent of y = rectify(W * x + b).
///
/// `slopes` are y itself and the rectifier's slope; y may be one image that serves the whole batch. `size` is x's height and
/// width. Without slopes this is the linear map whose matrix is that of the convolution transposed.
pub fn adjoint<'a, E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    slopes: Option<(&Batch<E>, E)>,
    weight: impl Into<Weight<'a, E>>,
    convolution: Convolution,
    size: (usize, usize),
) -> Batch<E> {
    transposed(tape, cotangent, slopes, weight.into(), convolution, size, InputGradient::Wanted)
}

/// As [`adjoint`], for an input that may be a constant.
pub(super) fn transposed<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    slopes: Option<(&Batch<E>, E)>,
    constant: Weight<E>,
    convolution: Convolution,
    size: (usize, usize),
    input: InputGradient,
) -> Batch<E> {
    let (n, weight) = (shape(cotangent).0, constant.values);
    let geometry = Geometry::new(convolution, size, weight);
    let found = shape(cotangent);
    assert_eq!(
        count(cotangent),
        n * geometry.output_len(),
        "convolution transposed: expected its outputs, found {found:?}"
    );
    let to = (n, size.0, size.1, geometry.channels);
    if on_device_already(&[cotangent, weight]) {
        let delta = before_rectifier(tape, cotangent, slopes);
        let (inputs, wanted) = operands(&delta, weight, None, input);
        let x = on_device_wanting(tape, &inputs, &wanted, to, |program, values| {
            let x = program.unknown(&[n, size.0, size.1, geometry.channels]);
            there::back(program, values[0], x, values[1], convolution)
        });
        if let Some(x) = x {
            return x;
        }
    }
    let slopes = slopes.map(|(y, slope)| Slopes::new(y, slope));
    let x = if geometry.is_narrow() {
        Grouped::adjoint(&geometry).apply(view(cotangent), slopes.as_ref(), view(weight), |_| ())
    } else {
        spread_back(geometry, view(cotangent), slopes.as_ref(), constant)
    };
    let x = batch(x, (n, size.0, size.1, geometry.channels));
    record_adjoint(tape, cotangent, slopes, weight, &x, geometry, input);
    x
}

/// The cotangents of some images by products, for those of rectify(W * x + b).
fn spread_back<E: Element>(
    geometry: Geometry,
    cotangent: &[E],
    slopes: Option<&Slopes<E>>,
    weight: Weight<E>,
) -> Vec<E> {
    let n = cotangent.len() / geometry.output_len().max(1);
    let (x_tile, y_tile) = (geometry.tile * geometry.input_len(), geometry.tile * geometry.output_len());
    let backward = Backward::new(geometry, weight);
    let threads = Threads::of(n.div_ceil(geometry.tile));
    filled_in_chunks(n * geometry.input_len(), x_tile, Scratch::default, |scratch, tile, x| {
        let images = x.len() / geometry.input_len();
        let cotangent = &cotangent[tile * y_tile..][..images * geometry.output_len()];
        let delta = sloped(cotangent, slopes, tile * geometry.tile, &mut scratch.delta);
        backward.add(delta, &mut scratch.patches, x, threads);
    })
}

#[cfg(test)]
mod tests;
