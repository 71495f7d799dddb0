//! Convolution, y = rectify(W * x + b), and its exact adjoint; x (N, H, W, C), y (N, H', W', O), W (O, kh, kw, C / groups).
//!
//! `y[n, i, j, o] = rectify(b[o] + sum W[o, u, v, c] x[n, s i + d u - p, s j + d v - p, c])`. For a group of images, or a band
//! of one, that fits in cache the patches are gathered channels-last, one row a position, and multiplied by W in one product;
//! bias and slope are applied while the result is in cache. The adjoint multiplies first and scatters; with stride 1, where that
//! costs less, it is the convolution by the kernel turned round. Gradients of W are summed over a fixed number of lanes,
//! in order, so that threads do not change a bit.
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

use std::ops::Range;

use dfdx::prelude::{Cpu, Gradients, Tape};
use rayon::prelude::*;

use super::activation::{rectify, slope_at};
use super::product::{Matrix, Target, Write, product_in_place};
use super::window::{Padding, Window};
use super::{InputGradient, accumulate};
use crate::tensor::{Batch, Element, GRAIN, Shape, batch, filled_in_chunks, image_len, shape, transpose_images, view};

/// Values of patches gathered at a time: with their product they stay in a core's second-level cache.
const TILE: usize = 1 << 17;
/// What gathering a value of a patch costs, in multiplications of a product: an estimate. Adding it back to its pixel counts twice as
/// much, so that padded convolutions of more than twice as many outputs as channels scatter.
const GATHER: usize = 8;
/// See [`GATHER`].
const SCATTER: usize = 16;
/// Parts of a batch whose weight gradients are summed apart.
const LANES: usize = 8;

/// How a convolution slides, and how its channels are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Kernel, stride, padding and dilation.
    pub window: Window,
    /// Channels are cut into this many groups that do not see each other; 1 is the ordinary convolution.
    pub groups: usize,
}

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
    let plan = Plan::new(convolution, (h, w), weight);
    assert_eq!(
        view(x).len(),
        n * plan.input_len(),
        "convolve: expected images with the weight's channels, found {:?}",
        shape(x)
    );
    let bias_values = bias.map(view);
    let fits = bias_values.is_none_or(|bias| bias.len() == plan.outputs);
    assert!(fits, "convolve: expected a bias for each of {} outputs, found another number", plan.outputs);
    let columns = plan.columns(view(weight));
    let band = plan.even_band();
    let bands = plan.output.0 / band.max(1);
    let y_tile = if bands > 1 { band * plan.row_len() } else { plan.tile * plan.output_len() };
    let y = filled_in_chunks(n * plan.output_len(), y_tile, Vec::new, |patches, tile, y| {
        let (first, images) =
            if bands > 1 { (tile / bands, 1) } else { (tile * plan.tile, y.len() / plan.output_len()) };
        let rows = tile % bands * band..(tile % bands + 1) * band;
        let x = &view(x)[first * plan.input_len()..][..images * plan.input_len()];
        plan.forward(x, rows, &columns, patches, y);
        finish(y, bias_values, slope);
    });
    let y = batch(y, (n, plan.output.0, plan.output.1, plan.outputs));
    record_convolve(tape, x, weight, bias, slope, &y, plan, input);
    y
}

/// The transposed convolution: the cotangent of x for a cotangent of y = rectify(W * x + b).
///
/// `slopes` are y itself and the rectifier's slope; y may be one image that stands for all. `size` is x's height and
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

/// As [`adjoint`], of an input that may be a constant.
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
    let plan = Plan::new(convolution, size, weight);
    let found = shape(cotangent);
    assert_eq!(
        view(cotangent).len(),
        n * plan.output_len(),
        "convolution transposed: expected its outputs, found {found:?}"
    );
    let slopes = slopes.map(|(y, slope)| Slopes::new(y, slope));
    let (x_tile, y_tile) = (plan.tile * plan.input_len(), plan.tile * plan.output_len());
    let backward = Backward::new(plan, view(weight));
    let x = filled_in_chunks(n * plan.input_len(), x_tile, Scratch::default, |scratch, tile, x| {
        let images = x.len() / plan.input_len();
        let cotangent = &view(cotangent)[tile * y_tile..][..images * plan.output_len()];
        let delta = sloped(cotangent, slopes.as_ref(), tile * plan.tile, &mut scratch.delta);
        backward.add(delta, &mut scratch.patches, x);
    });
    let x = batch(x, (n, size.0, size.1, plan.channels));
    record_adjoint(tape, cotangent, slopes, weight, &x, plan, input);
    x
}

/// Adds the bias and applies the rectifier to rows of outputs.
pub(super) fn finish<E: Element>(y: &mut [E], bias: Option<&[E]>, slope: Option<E>) {
    if let Some(bias) = bias {
        for row in y.chunks_exact_mut(bias.len()) {
            match slope {
                Some(slope) => row.iter_mut().zip(bias).for_each(|(y, &bias)| *y = rectify(*y + bias, slope)),
                None => row.iter_mut().zip(bias).for_each(|(y, &bias)| *y += bias),
            }
        }
    } else if let Some(slope) = slope {
        y.iter_mut().for_each(|y| *y = rectify(*y, slope));
    }
}

/// The slopes of a rectifier, told by the signs of its output; one image may stand for all.
#[derive(Clone)]
pub(super) struct Slopes<E: Element> {
    y: Batch<E>,
    slope: E,
}

impl<E: Element> Slopes<E> {
    pub(super) fn new(y: &Batch<E>, slope: E) -> Self {
        Self { y: y.clone(), slope }
    }

    /// Multiplies `values`, whose first image is number `first`, by the slopes.
    pub(super) fn apply(&self, values: &mut [E], first: usize) {
        let y = view(&self.y);
        if shape(&self.y).0 == 1 {
            values.chunks_mut(y.len()).for_each(|values| self.multiply(values, y));
        } else {
            self.multiply(values, &y[first * image_len(&self.y)..]);
        }
    }

    /// As [`Slopes::apply`] to a whole batch, in parallel.
    pub(super) fn apply_to_all(&self, values: &mut [E]) {
        let image = image_len(&self.y).max(1);
        let images = GRAIN.div_ceil(image);
        values
            .par_chunks_mut(images * image)
            .enumerate()
            .for_each(|(number, values)| self.apply(values, number * images));
    }

    fn multiply(&self, values: &mut [E], y: &[E]) {
        values.iter_mut().zip(y).for_each(|(value, &y)| *value *= slope_at(y, self.slope));
    }
}

/// `values` times the slopes, in `scratch`; `values` themselves where there are none.
fn sloped<'a, E: Element>(
    values: &'a [E],
    slopes: Option<&Slopes<E>>,
    first: usize,
    scratch: &'a mut Vec<E>,
) -> &'a [E] {
    let Some(slopes) = slopes else { return values };
    scratch.clear();
    scratch.extend_from_slice(values);
    slopes.apply(scratch, first);
    scratch
}

/// How cotangents of outputs become those of inputs: by the turned kernel, or by a scatter.
struct Backward<'a, E> {
    plan: Plan,
    weight: &'a [E],
    turned: Option<(Plan, Vec<E>)>,
}

impl<'a, E: Element> Backward<'a, E> {
    fn new(plan: Plan, weight: &'a [E]) -> Self {
        Self { plan, weight, turned: plan.turned().map(|turned| (turned, plan.turn(weight))) }
    }

    /// x += W^T * delta for a few images.
    fn add(&self, delta: &[E], patches: &mut Vec<E>, x: &mut [E]) {
        let Some((plan, columns)) = &self.turned else {
            return self.plan.backward(delta, self.weight, patches, x);
        };
        for rows in plan.bands() {
            let target = Target::new(&mut x[plan.values(&rows, delta.len())], plan.outputs);
            let patches = plan.patches(delta, rows, 0, patches);
            product_in_place(target, patches, plan.columns_of(columns, 0), Write::Add);
        }
    }
}

/// Buffers a thread uses again and again.
struct Scratch<E> {
    patches: Vec<E>,
    delta: Vec<E>,
    outputs: Vec<E>,
}

impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self { patches: Vec::new(), delta: Vec::new(), outputs: Vec::new() }
    }
}

/// A convolution's sizes, worked out once.
#[derive(Clone, Copy)]
struct Plan {
    convolution: Convolution,
    /// Height and width of x.
    input: (usize, usize),
    /// Height and width of y.
    output: (usize, usize),
    channels: usize,
    outputs: usize,
    /// Images whose patches are gathered at a time.
    tile: usize,
}

impl Plan {
    /// The shapes have been checked where the network met its input; a window that does not fit gives no output.
    fn new<E: Element>(convolution: Convolution, input: (usize, usize), weight: &Batch<E>) -> Self {
        let (outputs, kh, kw, depth): Shape = shape(weight);
        debug_assert_eq!([kh, kw], convolution.window.kernel);
        let output = convolution.window.output(input.0, input.1).unwrap_or((0, 0));
        let patches = (output.0 * output.1 * kh * kw * depth).max(1);
        let tile = (TILE / patches).max(1);
        Self { convolution, input, output, channels: depth * convolution.groups, outputs, tile }
    }

    fn input_len(&self) -> usize {
        self.input.0 * self.input.1 * self.channels
    }

    fn output_len(&self) -> usize {
        self.positions() * self.outputs
    }

    fn positions(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// Length of a patch, and of a row of W.
    fn depth(&self) -> usize {
        let [kh, kw] = self.convolution.window.kernel;
        kh * kw * self.channels / self.convolution.groups
    }

    fn group_outputs(&self) -> usize {
        self.outputs / self.convolution.groups
    }

    fn groups(&self) -> Range<usize> {
        0..self.convolution.groups
    }

    fn all_rows(&self) -> Range<usize> {
        0..self.output.0
    }

    /// Whether the patches are the image itself: a 1 x 1 kernel at every position.
    fn is_pointwise(&self) -> bool {
        let Window { kernel, stride, padding, .. } = self.convolution.window;
        let unpadded = [padding.top, padding.bottom, padding.left, padding.right] == [0; 4];
        kernel == [1, 1] && stride == [1, 1] && unpadded && self.convolution.groups == 1
    }

    /// W of each group transposed, in row order: as the products with patches read it, which would else turn it round for every tile.
    fn columns<E: Element>(&self, weight: &[E]) -> Vec<E> {
        transpose_images(weight, self.group_outputs(), self.depth())
    }

    /// One group's part of [`Plan::columns`].
    fn columns_of<'a, E: Element>(&self, columns: &'a [E], group: usize) -> Matrix<'a, E> {
        let size = self.group_outputs() * self.depth();
        Matrix::new(&columns[group * size..][..size], self.depth(), self.group_outputs())
    }

    fn weight<'a, E: Element>(&self, weight: &'a [E], group: usize) -> Matrix<'a, E> {
        let size = self.group_outputs() * self.depth();
        Matrix::new(&weight[group * size..][..size], self.group_outputs(), self.depth())
    }

    /// One group's columns of rows of outputs.
    fn delta<'a, E: Element>(&self, delta: &'a [E], group: usize) -> Matrix<'a, E> {
        let rows = delta.len() / self.outputs;
        Matrix::strided(&delta[group * self.group_outputs()..], rows, self.group_outputs(), self.outputs)
    }

    /// Values of a row of an output image.
    fn row_len(&self) -> usize {
        self.output.1 * self.outputs
    }

    /// Rows of an output image whose patches are gathered at a time.
    fn band(&self) -> usize {
        (TILE / (self.output.1 * self.depth()).max(1)).clamp(1, self.output.0.max(1))
    }

    /// As [`Plan::band`], a divisor of the rows there are: the next larger one, since weights pass through the cache once a band, unless
    /// that is much larger.
    fn even_band(&self) -> usize {
        const LARGER: usize = 4;
        let (rows, band) = (self.output.0, self.band());
        let divides = |band: &usize| rows.is_multiple_of(*band);
        let larger = (band..=rows.min(LARGER * band)).find(divides);
        larger.or_else(|| (1..band).rev().find(divides)).unwrap_or(1)
    }

    /// The rows of output images in bands.
    fn bands(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, band) = (self.output.0, self.band());
        (0..rows).step_by(band).map(move |first| first..rows.min(first + band))
    }

    /// Where in the outputs of images, of `inputs` values in all, these rows lie. Rows are fewer than all for one image only.
    fn values(&self, rows: &Range<usize>, inputs: usize) -> Range<usize> {
        if rows.len() == self.output.0 {
            return 0..inputs / self.input_len() * self.output_len();
        }
        rows.start * self.row_len()..rows.end * self.row_len()
    }

    /// Rows of y = W * x for a few images, from W's [`Plan::columns`].
    fn forward<E: Element>(&self, x: &[E], rows: Range<usize>, columns: &[E], patches: &mut Vec<E>, y: &mut [E]) {
        for group in self.groups() {
            let patches = self.patches(x, rows.clone(), group, patches);
            let y = Target::strided(&mut y[group * self.group_outputs()..], self.outputs);
            product_in_place(y, patches, self.columns_of(columns, group), Write::Replace);
        }
    }

    /// The convolution that is this one's adjoint, where there is one that costs less than a scatter: with stride 1 it is the
    /// convolution by the kernel turned round, whose patches are longer the more outputs there are for an input, and more the
    /// less padding there was.
    fn turned(&self) -> Option<Self> {
        let Window { kernel: [kh, kw], stride, padding, dilation } = self.convolution.window;
        let plain = stride == [1, 1] && dilation == [1, 1] && self.convolution.groups == 1;
        // Products of a value of a patch, and what moving it costs in as many products.
        let gathered = self.input.0 * self.input.1 * self.outputs * (self.channels + GATHER);
        let scattered = self.positions() * self.channels * (self.outputs + SCATTER);
        if !plain || self.is_pointwise() || gathered > scattered {
            return None;
        }
        let padding = Padding {
            top: (kh - 1).checked_sub(padding.top)?,
            bottom: (kh - 1).checked_sub(padding.bottom)?,
            left: (kw - 1).checked_sub(padding.left)?,
            right: (kw - 1).checked_sub(padding.right)?,
        };
        let window = Window { padding, ..self.convolution.window };
        let convolution = Convolution { window, groups: 1 };
        let (input, output) = (self.output, self.input);
        Some(Self { convolution, input, output, channels: self.outputs, outputs: self.channels, tile: self.tile })
    }

    /// The [`Plan::columns`] of [`Plan::turned`]: W'[u, v, o, c] = W[o, kh - 1 - u, kw - 1 - v, c].
    fn turn<E: Element>(&self, weight: &[E]) -> Vec<E> {
        let [kh, kw] = self.convolution.window.kernel;
        let (taps, channels, outputs) = (kh * kw, self.channels, self.outputs);
        let mut turned = vec![E::zero(); weight.len()];
        for (i, run) in weight.chunks_exact(channels).enumerate() {
            let (o, tap) = (i / taps, i % taps);
            turned[((taps - 1 - tap) * outputs + o) * channels..][..channels].copy_from_slice(run);
        }
        turned
    }

    /// x += W^T * delta for a few images.
    fn backward<E: Element>(&self, delta: &[E], weight: &[E], patches: &mut Vec<E>, x: &mut [E]) {
        if self.is_pointwise() {
            let target = Target::new(x, self.channels);
            return product_in_place(target, self.delta(delta, 0), self.weight(weight, 0), Write::Add);
        }
        for rows in self.bands() {
            let delta = &delta[self.values(&rows, x.len())];
            patches.resize(delta.len() / self.outputs * self.depth(), E::zero());
            for group in self.groups() {
                let target = Target::new(patches, self.depth());
                product_in_place(target, self.delta(delta, group), self.weight(weight, group), Write::Replace);
                self.scatter(patches, rows.clone(), group, x);
            }
        }
    }

    /// gradient += delta^T patches for the patches of a few images, gathered before.
    fn weight_gradient<E: Element>(&self, delta: &[E], patches: Matrix<E>, group: usize, gradient: &mut [E]) {
        let size = self.group_outputs() * self.depth();
        let target = Target::new(&mut gradient[group * size..][..size], self.depth());
        product_in_place(target, self.delta(delta, group).transposed(), patches, Write::Add);
    }

    /// The patches of rows of a few images, or of fewer rows of one, a matrix row a position: of kh kw C / groups values.
    fn patches<'a, E: Element>(
        &self,
        x: &'a [E],
        rows: Range<usize>,
        group: usize,
        patches: &'a mut Vec<E>,
    ) -> Matrix<'a, E> {
        let positions = self.values(&rows, x.len()).len() / self.outputs.max(1);
        if self.is_pointwise() {
            let first = if rows.len() == self.output.0 { 0 } else { rows.start * self.output.1 };
            return Matrix::new(&x[first * self.channels..][..positions * self.channels], positions, self.channels);
        }
        patches.resize(positions * self.depth(), E::zero());
        let images = patches.chunks_exact_mut(rows.len() * self.output.1 * self.depth());
        for (x, patches) in x.chunks_exact(self.input_len()).zip(images) {
            self.walk(rows.clone(), group, |patch, pixels| match pixels {
                Some(pixel) => copy_run(patches, x, patch, pixel),
                None => patches[patch].fill(E::zero()),
            });
        }
        Matrix::new(patches, positions, self.depth())
    }

    /// Adds patches of rows back to where they came from.
    fn scatter<E: Element>(&self, patches: &[E], rows: Range<usize>, group: usize, x: &mut [E]) {
        let patches = patches.chunks_exact(rows.len() * self.output.1 * self.depth());
        for (x, patches) in x.chunks_exact_mut(self.input_len()).zip(patches) {
            self.walk(rows.clone(), group, |patch, pixels| {
                let Some(pixel) = pixels else { return };
                let x = &mut x[pixel..pixel + patch.len()];
                x.iter_mut().zip(&patches[patch]).for_each(|(x, &patch)| *x += patch);
            });
        }
    }

    /// Visits the patches of one image's rows run by run: a range of the patches and where it starts in the image, or `None`
    /// where it is padding. A run is as long as the image allows: neighbouring pixels are neighbours in memory.
    fn walk(&self, rows: Range<usize>, group: usize, mut visit: impl FnMut(Range<usize>, Option<usize>)) {
        let Window { kernel: [kh, kw], stride, padding, dilation } = self.convolution.window;
        let width = self.channels / self.convolution.groups;
        // Pixels of a run: a whole kernel row where its pixels touch and all channels belong to it, else one.
        let run = if dilation[1] == 1 && self.convolution.groups == 1 { kw } else { 1 };
        let pixel = |row: usize, column: usize| (row * self.input.1 + column) * self.channels + group * width;
        let mut start = 0;
        for i in rows {
            let row =
                |u: usize| (i * stride[0] + u * dilation[0]).checked_sub(padding.top).filter(|&row| row < self.input.0);
            let taps: Vec<Option<usize>> = (0..kh).map(row).collect();
            for j in 0..self.output.1 {
                // Most kernel rows lie inside the image, as one run.
                let whole = (j * stride[1]).checked_sub(padding.left);
                let whole = whole.filter(|left| run == kw && left + kw <= self.input.1);
                for row in taps.iter().copied() {
                    for v in (0..kw).step_by(run) {
                        let end = start + run * width;
                        match (row, whole) {
                            (None, _) => visit(start..end, None),
                            (Some(row), Some(left)) => visit(start..end, Some(pixel(row, left))),
                            (Some(row), None) => {
                                let left = (j * stride[1] + v * dilation[1]) as isize - padding.left as isize;
                                let before = (-left).clamp(0, run as isize) as usize;
                                let inside =
                                    (self.input.1 as isize - left).clamp(before as isize, run as isize) as usize;
                                let at = |v: usize| start + v * width;
                                if before > 0 {
                                    visit(start..at(before), None);
                                }
                                if inside > before {
                                    visit(at(before)..at(inside), Some(pixel(row, (left + before as isize) as usize)));
                                }
                                if inside < run {
                                    visit(at(inside)..end, None);
                                }
                            }
                        }
                        start = end;
                    }
                }
            }
        }
    }

    /// Images that a lane goes through, in order.
    fn lane(images: usize) -> usize {
        images.div_ceil(LANES).max(1)
    }
}

/// Copies the values of `x` from `from` on to the range `to` of `patches`, which are written from front to back: a short run may
/// spill over what comes next, since copies of a fixed length are no calls.
fn copy_run<E: Element>(patches: &mut [E], x: &[E], to: Range<usize>, from: usize) {
    const SHORT: usize = 8;
    if to.len() < SHORT
        && let Some(patches) = patches.get_mut(to.start..to.start + SHORT)
        && let Some(x) = x.get(from..from + SHORT)
    {
        patches.copy_from_slice(x);
        return;
    }
    patches[to.clone()].copy_from_slice(&x[from..from + to.len()]);
}

/// Records how W, b and x receive their gradients from y's.
#[expect(clippy::too_many_arguments, reason = "an operation's tensors and settings, named one by one")]
fn record_convolve<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    x: &Batch<E>,
    weight: &Batch<E>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    y: &Batch<E>,
    plan: Plan,
    input: InputGradient,
) {
    if !T::OWNS_TAPE {
        return;
    }
    let slopes = slope.map(|slope| Slopes::new(y, slope));
    let (x, weight, bias, y) = (x.clone(), weight.clone(), bias.cloned(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let mut delta = std::mem::take(&mut **gradients.get_or_alloc_mut(&y)?);
        let lane = Plan::lane(shape(&x).0);
        let mut x_gradient = match input {
            InputGradient::Wanted => std::mem::take(&mut **gradients.get_or_alloc_mut(&x)?),
            InputGradient::Unwanted => Vec::new(),
        };
        let mut x_lanes = x_gradient.chunks_mut(lane * plan.input_len());
        let lanes: Vec<_> = delta
            .chunks_mut(lane * plan.output_len())
            .zip(view(&x).chunks(lane * plan.input_len()))
            .map(|(delta, x)| (delta, x, x_lanes.next()))
            .collect();
        let backward = (input == InputGradient::Wanted).then(|| Backward::new(plan, view(&weight)));
        let sums = lanes.into_par_iter().enumerate().map(|(number, (delta, x, x_gradient))| {
            if let Some(slopes) = &slopes {
                slopes.apply(delta, number * lane);
            }
            backward_lane(&plan, delta, x, view(&weight).len(), backward.as_ref().zip(x_gradient))
        });
        let sums: Vec<Vec<E>> = sums.collect();
        drop(x_lanes);
        if input == InputGradient::Wanted {
            **gradients.get_or_alloc_mut(&x)? = x_gradient;
        }
        if let Some(bias) = &bias {
            add_column_sums(gradients.get_or_alloc_mut(bias)?, &delta);
        }
        add_lanes(gradients, &weight, &sums)
    });
}

/// One lane's share of the gradients of W, of `length` values (returned), and of x, where it is wanted: added to the slice
/// beside the way there.
fn backward_lane<E: Element>(
    plan: &Plan,
    delta: &[E],
    x: &[E],
    length: usize,
    wanted: Option<(&Backward<E>, &mut [E])>,
) -> Vec<E> {
    let mut patches = Vec::new();
    let mut sum = vec![E::zero(); length];
    let tiles = delta.chunks(plan.tile * plan.output_len());
    for (delta, x) in tiles.clone().zip(x.chunks(plan.tile * plan.input_len())) {
        for group in plan.groups() {
            let patches = plan.patches(x, plan.all_rows(), group, &mut patches);
            plan.weight_gradient(delta, patches, group, &mut sum);
        }
    }
    if let Some((backward, x_gradient)) = wanted {
        for (delta, x) in tiles.zip(x_gradient.chunks_mut(plan.tile * plan.input_len())) {
            backward.add(delta, &mut patches, x);
        }
    }
    sum
}

/// Records how W and the cotangent receive their gradients from those of the adjoint's result.
fn record_adjoint<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    cotangent: &Batch<E>,
    slopes: Option<Slopes<E>>,
    weight: &Batch<E>,
    x: &Batch<E>,
    plan: Plan,
    input: InputGradient,
) {
    if !T::OWNS_TAPE {
        return;
    }
    let (cotangent, weight, x) = (cotangent.clone(), weight.clone(), x.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&x)?);
        let mut gradient = match input {
            InputGradient::Wanted => std::mem::take(&mut **gradients.get_or_alloc_mut(&cotangent)?),
            InputGradient::Unwanted => Vec::new(),
        };
        let lane = Plan::lane(shape(&cotangent).0);
        let mut gradient_lanes = gradient.chunks_mut(lane * plan.output_len());
        let lanes: Vec<_> = upstream
            .chunks(lane * plan.input_len())
            .zip(view(&cotangent).chunks(lane * plan.output_len()))
            .map(|(upstream, cotangent)| (upstream, cotangent, gradient_lanes.next()))
            .collect();
        let columns = match input {
            InputGradient::Wanted => plan.columns(view(&weight)),
            InputGradient::Unwanted => Vec::new(),
        };
        let sums = lanes.into_par_iter().enumerate().map(|(number, (upstream, cotangent, gradient))| {
            let gradient = gradient.map(|gradient| (columns.as_slice(), gradient));
            adjoint_lane(&plan, upstream, cotangent, slopes.as_ref(), number * lane, view(&weight).len(), gradient)
        });
        let sums: Vec<Vec<E>> = sums.collect();
        drop(gradient_lanes);
        if input == InputGradient::Wanted {
            **gradients.get_or_alloc_mut(&cotangent)? = gradient;
        }
        add_lanes(gradients, &weight, &sums)
    });
}

/// One lane's share of the gradients of the cotangent (added to `gradient`) and W (returned). The patches of `upstream`
/// serve both products.
fn adjoint_lane<E: Element>(
    plan: &Plan,
    upstream: &[E],
    cotangent: &[E],
    slopes: Option<&Slopes<E>>,
    first: usize,
    length: usize,
    wanted: Option<(&[E], &mut [E])>,
) -> Vec<E> {
    let Scratch { mut patches, mut delta, mut outputs } = Scratch::default();
    let mut sum = vec![E::zero(); length];
    let (columns, mut gradients) =
        wanted.map(|(columns, gradient)| (columns, gradient.chunks_mut(plan.tile * plan.output_len()))).unzip();
    let tiles = upstream.chunks(plan.tile * plan.input_len()).zip(cotangent.chunks(plan.tile * plan.output_len()));
    for (tile, (upstream, cotangent)) in tiles.enumerate() {
        let gradient = gradients.as_mut().and_then(Iterator::next);
        let first = first + tile * plan.tile;
        let delta = sloped(cotangent, slopes, first, &mut delta);
        outputs.resize(delta.len(), E::zero());
        for group in plan.groups() {
            let patches = plan.patches(upstream, plan.all_rows(), group, &mut patches);
            plan.weight_gradient(delta, patches, group, &mut sum);
            if let Some(columns) = columns {
                let target = Target::strided(&mut outputs[group * plan.group_outputs()..], plan.outputs);
                product_in_place(target, patches, plan.columns_of(columns, group), Write::Replace);
            }
        }
        let Some(gradient) = gradient else { continue };
        if let Some(slopes) = slopes {
            slopes.apply(&mut outputs, first);
        }
        gradient.iter_mut().zip(&outputs).for_each(|(gradient, &value)| *gradient += value);
    }
    sum
}

/// Adds the lanes' sums to the gradient of W, in order.
fn add_lanes<E: Element>(
    gradients: &mut Gradients<E, Cpu>,
    weight: &Batch<E>,
    sums: &[Vec<E>],
) -> Result<(), dfdx::prelude::CpuError> {
    let target = gradients.get_or_alloc_mut(weight)?;
    sums.iter().for_each(|sum| accumulate(target, sum));
    Ok(())
}

/// `target[j] += sum over rows of values[., j]`; the gradient of a bias. Rows are summed in fixed blocks, in order.
pub(super) fn add_column_sums<E: Element>(target: &mut [E], values: &[E]) {
    const ROWS: usize = 1024;
    let columns = target.len();
    let blocks: Vec<Vec<E>> = values
        .par_chunks(ROWS * columns)
        .map(|block| {
            let mut sum = vec![E::zero(); columns];
            block.chunks_exact(columns).for_each(|row| sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value));
            sum
        })
        .collect();
    blocks.iter().for_each(|block| target.iter_mut().zip(block).for_each(|(target, &value)| *target += value));
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{NoneTape, OwnedTape};
    use serde_json::Value;

    use super::*;
    use crate::ops::checks::{Case, assert_close, check_adjoint, check_gradients, normal, repeated};
    use crate::store::npy::Scalar;
    use crate::tensor::{backward, gradient};

    const SLOPE: f64 = 0.2;

    /// How a case of the oracle slides; the kernel's size is the weight's.
    fn convolution_of(settings: &Value, weight: Shape) -> Convolution {
        let number = |name: &str, default: u64| settings[name].as_u64().unwrap_or(default) as usize;
        let side = |name: &str| settings["padding"][name].as_u64().unwrap_or(number("padding", 0) as u64) as usize;
        let [top, bottom, left, right] = ["top", "bottom", "left", "right"].map(side);
        Convolution {
            window: Window {
                kernel: [weight.1, weight.2],
                stride: [number("stride", 1); 2],
                padding: Padding { top, bottom, left, right },
                dilation: [number("dilation", 1); 2],
            },
            groups: number("groups", 1),
        }
    }

    /// y and the gradients of x, W and b; and the adjoint, which is x's gradient.
    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("ops");
        for name in ["conv_a", "conv_b", "conv_c", "conv_d", "conv_e", "conv_f", "conv_g", "conv_asym"] {
            let array = |array: &str| case.array::<E>(&format!("{name}.{array}"));
            let check = |actual: &[E], expected: &str| {
                let expected = case.array::<f64>(&format!("{name}.{expected}"));
                assert_close(actual, view(&expected), case.tolerance::<E>());
            };
            let inputs @ [x, weight, bias] = &["x", "weight", "bias"].map(array);
            let convolution = convolution_of(&case.description["cases"][name], shape(weight));
            let mut tape = OwnedTape::default();
            let y = convolve(&mut tape, x, weight, Some(bias), None, convolution, InputGradient::Wanted);
            assert_eq!(shape(&y), shape(&array("y")), "{name}");
            check(view(&y), "y");
            let mut gradients = backward(tape, &y, view(&array("grad_y")).to_vec());
            for (input, name) in inputs.iter().zip(["grad_x", "grad_weight", "grad_bias"]) {
                check(&gradient(&mut gradients, input), name);
            }
            let size = (shape(x).1, shape(x).2);
            check(view(&adjoint(&mut NoneTape, &array("grad_y"), None, weight, convolution, size)), "grad_x");
        }
    }

    #[test]
    fn agrees_with_the_oracle_in_f64() {
        check_oracle::<f64>();
    }

    #[test]
    fn agrees_with_the_oracle_in_f32() {
        check_oracle::<f32>();
    }

    /// Windows that differ along the axes and on each side, on 5 x 6 images of 4 channels; with the kernel larger than the
    /// image; and 1 x 1, which needs no patches.
    fn windows() -> Vec<Convolution> {
        let padding = Padding { top: 2, bottom: 0, left: 1, right: 3 };
        let uneven = Window { kernel: [3, 2], stride: [2, 1], padding, dilation: [1, 1] };
        let grouped = |window, groups| Convolution { window, groups };
        vec![
            grouped(uneven, 1),
            grouped(Window { stride: [1, 3], dilation: [2, 1], ..uneven }, 1),
            grouped(Window { dilation: [1, 2], ..uneven }, 2),
            grouped(Window { stride: [3, 2], ..uneven }, 4),
            grouped(Window { kernel: [7, 8], padding: Padding::same(2), ..uneven }, 1),
            grouped(Window::square(1, 1, 0), 1),
            grouped(Window::square(1, 2, 1), 2),
        ]
    }

    /// x, W and b.
    fn example(convolution: Convolution) -> [Batch<f64>; 3] {
        let [kh, kw] = convolution.window.kernel;
        let weight = (4, kh, kw, 4 / convolution.groups);
        [normal("x", (2, 5, 6, 4)), normal("weight", weight), normal("bias", (1, 1, 1, 4))]
    }

    /// One channel: kernel rows of 5 values, which are copied as 8.
    #[test]
    fn short_runs_of_patches_leave_no_trace_beside_them() {
        let (x, weight): (Batch<f64>, Batch<f64>) = (normal("x", (2, 6, 5, 1)), normal("weight", (2, 3, 5, 1)));
        let padding = Padding { top: 1, bottom: 0, left: 2, right: 2 };
        let window = Window { kernel: [3, 5], stride: [1, 1], padding, dilation: [1, 1] };
        let convolution = Convolution { window, groups: 1 };
        let y = convolve(&mut NoneTape, &x, &weight, None, None, convolution, InputGradient::Unwanted);
        let mut expected: Vec<f64> = Vec::new();
        for (n, i, j, o) in (0..2 * 5 * 5 * 2).map(|k| (k / 50, k / 10 % 5, k / 2 % 5, k % 2)) {
            let tap = |u: usize, v: usize| {
                let (row, column) = ((i + u).checked_sub(1)?, (j + v).checked_sub(2).filter(|&column| column < 5)?);
                Some(view(&weight)[(o * 3 + u) * 5 + v] * view(&x)[(n * 6 + row) * 5 + column])
            };
            expected.push((0..15).filter_map(|k| tap(k / 5, k % 5)).sum());
        }
        assert_close(view(&y), &expected, 1e-12);
    }

    #[test]
    fn gradients_are_differences_with_and_without_bias_and_rectifier() {
        for convolution in windows() {
            for (terms, slope) in [(3, Some(SLOPE)), (3, None), (2, Some(SLOPE)), (2, None)] {
                check_gradients(&example(convolution)[..terms], |tape, inputs| {
                    let bias = inputs.get(2);
                    convolve(tape, &inputs[0], &inputs[1], bias, slope, convolution, InputGradient::Wanted)
                });
            }
        }
    }

    #[test]
    fn the_adjoint_is_the_transposed_derivative_also_with_one_image_for_all() {
        for convolution in windows() {
            let [x, weight, bias] = &example(convolution);
            let forward = |x: &Batch<f64>, slope| {
                convolve(&mut NoneTape, x, weight, Some(bias), slope, convolution, InputGradient::Wanted)
            };
            let back = |cotangent: &Batch<f64>, slopes: Option<(&Batch<f64>, f64)>| {
                adjoint(&mut NoneTape, cotangent, slopes, weight, convolution, (5, 6))
            };
            check_adjoint(x, |x| forward(x, None), |cotangent| back(cotangent, None));
            let one = normal("one", (1, 5, 6, 4));
            for (x, y) in [(x.clone(), forward(x, Some(SLOPE))), (repeated(&one, 3), forward(&one, Some(SLOPE)))] {
                check_adjoint(&x, |x| forward(x, Some(SLOPE)), |cotangent| back(cotangent, Some((&y, SLOPE))));
            }
        }
    }

    #[test]
    fn the_adjoint_has_gradients_of_its_own() {
        for convolution in windows() {
            let [x, weight, bias] = &example(convolution);
            let y = convolve(&mut NoneTape, x, weight, Some(bias), Some(SLOPE), convolution, InputGradient::Unwanted);
            let (n, h, w, c) = shape(&y);
            let inputs = [normal("upstream", (n, h, w, c)), weight.clone()];
            let one = normal("one", (1, h, w, c));
            for slopes in [None, Some((&y, SLOPE)), Some((&one, SLOPE))] {
                check_gradients(&inputs, |tape, inputs| {
                    adjoint(tape, &inputs[0], slopes, &inputs[1], convolution, (5, 6))
                });
            }
        }
    }

    #[test]
    fn an_unwanted_gradient_is_left_out_and_the_others_are_the_same() {
        let convolution = windows()[0];
        let [x, weight, bias] = &example(convolution);
        let run = |input| {
            let mut tape = OwnedTape::default();
            let y = convolve(&mut tape, x, weight, Some(bias), Some(SLOPE), convolution, input);
            let mut gradients = backward(tape, &y, view(&y).to_vec());
            [x, weight, bias].map(|input| gradient(&mut gradients, input))
        };
        let (wanted, unwanted) = (run(InputGradient::Wanted), run(InputGradient::Unwanted));
        assert_eq!(wanted[1..], unwanted[1..]);
        assert!(unwanted[0].iter().all(|&value| value == 0.0) && wanted[0].iter().any(|&value| value != 0.0));
    }

    /// 37 images of 13 x 12: patches of more than one tile a lane, and a last lane and tile that are not full.
    #[test]
    fn images_of_a_large_batch_are_treated_as_each_alone() {
        let convolution = Convolution { window: Window::square(5, 1, 2), groups: 1 };
        let (x, weight, bias): (Batch<f64>, _, _) =
            (normal("x", (37, 13, 12, 16)), normal("weight", (3, 5, 5, 16)), normal("bias", (1, 1, 1, 3)));
        let plan = Plan::new(convolution, (13, 12), &weight);
        assert!(plan.tile < Plan::lane(37) && !Plan::lane(37).is_multiple_of(plan.tile));
        let cotangents = normal("cotangents", (37, 13, 12, 3));
        let upstream = normal("upstream", shape(&x));
        let run = |x: &Batch<f64>, cotangent: &Batch<f64>, upstream: &Batch<f64>| {
            let mut tape = OwnedTape::default();
            let y = convolve(&mut tape, x, &weight, Some(&bias), Some(SLOPE), convolution, InputGradient::Wanted);
            let mut gradients = backward(tape, &y, view(cotangent).to_vec());
            let first = [x, &weight, &bias].map(|input| gradient(&mut gradients, input));
            let mut tape = OwnedTape::default();
            let pulled = adjoint(&mut tape, cotangent, Some((&y, SLOPE)), &weight, convolution, (13, 12));
            let mut gradients = backward(tape, &pulled, view(upstream).to_vec());
            let second = [cotangent, &weight].map(|input| gradient(&mut gradients, input));
            let [for_x, for_weight, for_bias] = first;
            let [for_cotangent, for_weight_again] = second;
            let of_images = [view(&y).to_vec(), view(&pulled).to_vec(), for_x, for_cotangent];
            (of_images, [for_weight, for_bias, for_weight_again])
        };
        let (of_images, of_batch) = run(&x, &cotangents, &upstream);
        let mut sums = of_batch.clone().map(|values| vec![0.0; values.len()]);
        for image in 0..37 {
            let alone = |x: &Batch<f64>| {
                let (_, h, w, c) = shape(x);
                batch(view(x)[image * h * w * c..][..h * w * c].to_vec(), (1, h, w, c))
            };
            let (of_image, terms) = run(&alone(&x), &alone(&cotangents), &alone(&upstream));
            for (whole, part) in of_images.iter().zip(&of_image) {
                assert_eq!(&whole[image * part.len()..][..part.len()], part, "image {image}");
            }
            sums.iter_mut().zip(&terms).for_each(|(sum, term)| accumulate(sum, term));
        }
        // Sums of 37 * 13 * 12 products in another order.
        of_batch.iter().zip(&sums).for_each(|(whole, sum)| assert_close(whole, sum, 1e-12));
    }
}
