//! The gradients of a convolution and of its adjoint, summed over a fixed number of lanes.

use rayon::prelude::*;

use super::geometry::Geometry;
use super::grouped::Grouped;
use super::products::{Backward, Scratch, Threads};
use super::slopes::{Slopes, sloped};
use crate::ops::product::{Target, Write, product_in_place};
use crate::ops::{InputGradient, accumulate};
use crate::tensor::{Batch, Element, Gradients, Tape, shape, view};

/// Records the gradients of W, b and x for that of y.
#[expect(clippy::too_many_arguments, reason = "an operation's tensors and settings, named one by one")]
pub(super) fn record_convolve<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    weight: &Batch<E>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    y: &Batch<E>,
    geometry: Geometry,
    input: InputGradient,
) {
    if !tape.records() {
        return;
    }
    let slopes = slope.map(|slope| Slopes::new(y, slope));
    let (x, weight, bias, y) = (x.clone(), weight.clone(), bias.cloned(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let mut delta = gradients.take(&y);
        if geometry.is_narrow() {
            if let Some(slopes) = &slopes {
                slopes.apply_to_all(&mut delta);
            }
            if let Some(bias) = &bias {
                add_column_sums(gradients.of(bias), &delta);
            }
            return add_grouped(gradients, &geometry, &delta, &x, &weight, input);
        }
        let lane = Geometry::lane(shape(&x).0);
        let mut x_gradient = match input {
            InputGradient::Wanted => gradients.take(&x),
            InputGradient::Unwanted => Vec::new(),
        };
        let mut x_lanes = x_gradient.chunks_mut(lane * geometry.input_len());
        let lanes: Vec<_> = delta
            .chunks_mut(lane * geometry.output_len())
            .zip(view(&x).chunks(lane * geometry.input_len()))
            .map(|(delta, x)| (delta, x, x_lanes.next()))
            .collect();
        let backward = (input == InputGradient::Wanted).then(|| Backward::new(geometry, (&weight).into()));
        let sums = lanes.into_par_iter().enumerate().map(|(number, (delta, x, x_gradient))| {
            if let Some(slopes) = &slopes {
                slopes.apply(delta, number * lane);
            }
            backward_lane(&geometry, delta, x, view(&weight).len(), backward.as_ref().zip(x_gradient))
        });
        let sums: Vec<Vec<E>> = sums.collect();
        drop(x_lanes);
        if input == InputGradient::Wanted {
            gradients.put(&x, x_gradient);
        }
        if let Some(bias) = &bias {
            add_column_sums(gradients.of(bias), &delta);
        }
        add_lanes(gradients, &weight, &sums)
    });
}

/// The gradients of W and x of a convolution of narrow groups for `delta`, that of its results before the rectifier.
fn add_grouped<E: Element>(
    gradients: &mut Gradients<E>,
    geometry: &Geometry,
    delta: &[E],
    x: &Batch<E>,
    weight: &Batch<E>,
    input: InputGradient,
) {
    if input == InputGradient::Wanted {
        let gradient = Grouped::adjoint(geometry).apply(delta, None, view(weight), |_| ());
        accumulate(gradients.of(x), &gradient);
    }
    let gradient = Grouped::forward(geometry).weight_gradient(view(x), delta, None);
    accumulate(gradients.of(weight), &gradient);
}

/// One lane's share of the gradients: that of W, `length` values, is returned; that of x, where it is wanted, is added to the
/// slice given with its [`Backward`].
pub(super) fn backward_lane<E: Element>(
    geometry: &Geometry,
    delta: &[E],
    x: &[E],
    length: usize,
    wanted: Option<(&Backward<E>, &mut [E])>,
) -> Vec<E> {
    let mut patches = Vec::new();
    let mut sum = vec![E::zero(); length];
    let tiles = delta.chunks(geometry.tile * geometry.output_len());
    for (delta, x) in tiles.clone().zip(x.chunks(geometry.tile * geometry.input_len())) {
        for group in geometry.groups() {
            let patches = geometry.patches(x, geometry.all_rows(), group, &mut patches);
            geometry.weight_gradient(delta, patches, group, &mut sum);
        }
    }
    if let Some((backward, x_gradient)) = wanted {
        for (delta, x) in tiles.zip(x_gradient.chunks_mut(geometry.tile * geometry.input_len())) {
            backward.add(delta, &mut patches, x, Threads::Tiles);
        }
    }
    sum
}

/// Records the gradients of W and of the cotangent for that of the adjoint's result.
pub(super) fn record_adjoint<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    slopes: Option<Slopes<E>>,
    weight: &Batch<E>,
    x: &Batch<E>,
    geometry: Geometry,
    input: InputGradient,
) {
    if !tape.records() {
        return;
    }
    let (cotangent, weight, x) = (cotangent.clone(), weight.clone(), x.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&x);
        if geometry.is_narrow() {
            return add_grouped_adjoint(gradients, &geometry, &upstream, &cotangent, slopes.as_ref(), &weight, input);
        }
        let mut gradient = match input {
            InputGradient::Wanted => gradients.take(&cotangent),
            InputGradient::Unwanted => Vec::new(),
        };
        let lane = Geometry::lane(shape(&cotangent).0);
        let mut gradient_lanes = gradient.chunks_mut(lane * geometry.output_len());
        let lanes: Vec<_> = upstream
            .chunks(lane * geometry.input_len())
            .zip(view(&cotangent).chunks(lane * geometry.output_len()))
            .map(|(upstream, cotangent)| (upstream, cotangent, gradient_lanes.next()))
            .collect();
        let columns = match input {
            InputGradient::Wanted => geometry.columns(view(&weight)),
            InputGradient::Unwanted => Vec::new(),
        };
        let sums = lanes.into_par_iter().enumerate().map(|(number, (upstream, cotangent, gradient))| {
            let gradient = gradient.map(|gradient| (columns.as_slice(), gradient));
            adjoint_lane(&geometry, upstream, cotangent, slopes.as_ref(), number * lane, view(&weight).len(), gradient)
        });
        let sums: Vec<Vec<E>> = sums.collect();
        drop(gradient_lanes);
        if input == InputGradient::Wanted {
            gradients.put(&cotangent, gradient);
        }
        add_lanes(gradients, &weight, &sums)
    });
}

/// As [`add_grouped`], of the adjoint: for `upstream`, the gradient of what it gave.
fn add_grouped_adjoint<E: Element>(
    gradients: &mut Gradients<E>,
    geometry: &Geometry,
    upstream: &[E],
    cotangent: &Batch<E>,
    slopes: Option<&Slopes<E>>,
    weight: &Batch<E>,
    input: InputGradient,
) {
    let grouped = Grouped::forward(geometry);
    if input == InputGradient::Wanted {
        let mut gradient = grouped.apply(upstream, None, view(weight), |_| ());
        if let Some(slopes) = slopes {
            slopes.apply_to_all(&mut gradient);
        }
        accumulate(gradients.of(cotangent), &gradient);
    }
    let gradient = grouped.weight_gradient(upstream, view(cotangent), slopes);
    accumulate(gradients.of(weight), &gradient);
}

/// One lane's share of the gradients of the cotangent (added to `gradient`) and W (returned). The patches of `upstream`
/// serve both products.
fn adjoint_lane<E: Element>(
    geometry: &Geometry,
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
        wanted.map(|(columns, gradient)| (columns, gradient.chunks_mut(geometry.tile * geometry.output_len()))).unzip();
    let tiles = upstream
        .chunks(geometry.tile * geometry.input_len())
        .zip(cotangent.chunks(geometry.tile * geometry.output_len()));
    for (tile, (upstream, cotangent)) in tiles.enumerate() {
        let gradient = gradients.as_mut().and_then(Iterator::next);
        let first = first + tile * geometry.tile;
        let delta = sloped(cotangent, slopes, first, &mut delta);
        outputs.resize(delta.len(), E::zero());
        for group in geometry.groups() {
            let patches = geometry.patches(upstream, geometry.all_rows(), group, &mut patches);
            geometry.weight_gradient(delta, patches, group, &mut sum);
            if let Some(columns) = columns {
                let target = Target::strided(&mut outputs[group * geometry.group_outputs()..], geometry.outputs);
                product_in_place(target, patches, geometry.columns_of(columns, group), Write::Replace);
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
fn add_lanes<E: Element>(gradients: &mut Gradients<E>, weight: &Batch<E>, sums: &[Vec<E>]) {
    let target = gradients.of(weight);
    sums.iter().for_each(|sum| accumulate(target, sum));
}

/// `target[j] += sum over rows of values[., j]`; the gradient of a bias. Rows are summed in fixed blocks, in order.
pub(crate) fn add_column_sums<E: Element>(target: &mut [E], values: &[E]) {
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
