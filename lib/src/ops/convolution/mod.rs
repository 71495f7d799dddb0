//! Convolution, y = rectify(W * x + b), and its exact adjoint; x (N, H, W, C), y (N, H', W', O), W (O, kh, kw, C / groups).
//!
//! `y[n, i, j, o] = rectify(b[o] + sum W[o, u, v, c] x[n, s i + d u - p, s j + d v - p, c])`. For a group of images, or a band
//! of one, that fits in cache the patches are gathered channels-last, one row per position, and multiplied by W in one product;
//! bias and slope are applied while the result is in cache. The adjoint multiplies first and scatters; with stride 1, where that
//! costs less, it is the convolution with the kernel rotated by 180 degrees. Gradients of W are summed over a fixed number of lanes,
//! in order, so that the number of threads does not change the result.
//!
//! ```
//! use dfdx::prelude::NoneTape;
//! use obverse::tensor::{batch, view};
//! use obverse::ops::{InputGradient, convolution::{Convolution, convolve}, window::Window};
//! let x = batch((1..=9).map(f64::from).collect(), (1, 3, 3, 1));
//! let sum = batch(vec![1.0; 4], (1, 2, 2, 1));
//! let convolution = Convolution { window: Window::square(2, 1, 0), groups: 1 };
//! let y = convolve(&mut NoneTape, &x, &sum, None, None, convolution, InputGradient::Unwanted);
//! assert_eq!(view(&y), [12.0, 16.0, 24.0, 28.0]);
//! ```

mod geometry;
mod gradients;
mod patches;
mod products;
mod slopes;

use dfdx::prelude::{Cpu, Tape};

use super::InputGradient;
use crate::tensor::{Batch, Element, batch, filled_in_chunks, shape, view};
use geometry::Geometry;
use gradients::{record_adjoint, record_convolve};
use products::{Backward, Scratch};
use slopes::sloped;

pub use geometry::Convolution;
pub(super) use gradients::add_column_sums;
pub(super) use slopes::{Slopes, finish};

/// y = rectify(W * x + b), with `slope` below zero, or without the rectifier.
///
/// Shapes: x (N, H, W, C), weight (O, kh, kw, C / groups), bias (1, 1, 1, O).
pub fn convolve<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    x: &Batch<E>,
    weight: &Batch<E>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    convolution: Convolution,
    input: InputGradient,
) -> Batch<E> {
    let (n, h, w, _) = shape(x);
    let geometry = Geometry::new(convolution, (h, w), weight);
    assert_eq!(
        view(x).len(),
        n * geometry.input_len(),
        "convolve: expected images with the weight's channels, found {:?}",
        shape(x)
    );
    let bias_values = bias.map(view);
    let fits = bias_values.is_none_or(|bias| bias.len() == geometry.outputs);
    assert!(fits, "convolve: expected a bias for each of {} outputs, found another number", geometry.outputs);
    let columns = geometry.columns(view(weight));
    let band = geometry.even_band();
    let bands = geometry.output.0 / band.max(1);
    let y_tile = if bands > 1 { band * geometry.row_len() } else { geometry.tile * geometry.output_len() };
    let y = filled_in_chunks(n * geometry.output_len(), y_tile, Vec::new, |patches, tile, y| {
        let (first, images) =
            if bands > 1 { (tile / bands, 1) } else { (tile * geometry.tile, y.len() / geometry.output_len()) };
        let rows = tile % bands * band..(tile % bands + 1) * band;
        let x = &view(x)[first * geometry.input_len()..][..images * geometry.input_len()];
        geometry.forward(x, rows, &columns, patches, y);
        finish(y, bias_values, slope);
    });
    let y = batch(y, (n, geometry.output.0, geometry.output.1, geometry.outputs));
    record_convolve(tape, x, weight, bias, slope, &y, geometry, input);
    y
}

/// The transposed convolution: the cotangent of x for a cotangent of y = rectify(W * x + b).
///
/// `slopes` are y itself and the rectifier's slope; y may be one image that serves the whole batch. `size` is x's height and
/// width. Without slopes this is the linear map whose matrix is that of the convolution transposed.
pub fn adjoint<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    slopes: Option<(&Batch<E>, E)>,
    weight: &Batch<E>,
    convolution: Convolution,
    size: (usize, usize),
) -> Batch<E> {
    transposed(tape, cotangent, slopes, weight, convolution, size, InputGradient::Wanted)
}

/// As [`adjoint`], for an input that may be a constant.
pub(super) fn transposed<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    slopes: Option<(&Batch<E>, E)>,
    weight: &Batch<E>,
    convolution: Convolution,
    size: (usize, usize),
    input: InputGradient,
) -> Batch<E> {
    let n = shape(cotangent).0;
    let geometry = Geometry::new(convolution, size, weight);
    let found = shape(cotangent);
    assert_eq!(
        view(cotangent).len(),
        n * geometry.output_len(),
        "convolution transposed: expected its outputs, found {found:?}"
    );
    let slopes = slopes.map(|(y, slope)| Slopes::new(y, slope));
    let (x_tile, y_tile) = (geometry.tile * geometry.input_len(), geometry.tile * geometry.output_len());
    let backward = Backward::new(geometry, view(weight));
    let x = filled_in_chunks(n * geometry.input_len(), x_tile, Scratch::default, |scratch, tile, x| {
        let images = x.len() / geometry.input_len();
        let cotangent = &view(cotangent)[tile * y_tile..][..images * geometry.output_len()];
        let delta = sloped(cotangent, slopes.as_ref(), tile * geometry.tile, &mut scratch.delta);
        backward.add(delta, &mut scratch.patches, x);
    });
    let x = batch(x, (n, size.0, size.1, geometry.channels));
    record_adjoint(tape, cotangent, slopes, weight, &x, geometry, input);
    x
}

#[cfg(test)]
mod tests;
