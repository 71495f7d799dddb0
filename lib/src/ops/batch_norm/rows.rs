//! Maps of each pixel's channels, in parallel.

use rayon::prelude::*;

use crate::ops::activation::slope_at;
use crate::tensor::{Batch, Element, GRAIN, batch, filled_in_chunks, shape, view};

/// f(index, channel) for each element of a batch.
pub(super) fn each<E: Element>(x: &Batch<E>, f: impl Fn(usize, usize) -> E + Sync) -> Vec<E> {
    let channels = shape(x).3;
    let mut result = vec![E::zero(); view(x).len()];
    result.par_chunks_mut(channels).enumerate().with_min_len(GRAIN.div_ceil(channels)).for_each(|(row, result)| {
        result.iter_mut().enumerate().for_each(|(channel, result)| *result = f(row * channels + channel, channel));
    });
    result
}

/// g s of each channel.
pub(super) fn factors<E: Element>(gain: &[E], scales: &[(E, E)]) -> Vec<E> {
    gain.iter().zip(scales).map(|(&gain, &(_, scale))| gain * scale).collect()
}

/// f x for each pixel's channels.
pub(super) fn scaled<E: Element>(x: &[E], factors: &[E]) -> Vec<E> {
    in_rows(x, factors.len(), |y, x| {
        y.iter_mut().zip(x).zip(factors).for_each(|((y, &x), &factor)| *y = factor * x);
    })
}

/// f x for each pixel's channels, times the slope of a rectifier that gave y, which is as long as x or repeats.
pub(super) fn scaled_where<E: Element>(x: &[E], y: &[E], slope: E, factors: &[E]) -> Vec<E> {
    let channels = factors.len();
    in_rows_numbered(x, channels, |row, result, x| {
        // A local copy, which no write to the result can change, so that the loop is vectorised.
        #[allow(clippy::redundant_locals)]
        let slope = slope;
        let first = row * channels % y.len();
        let known = x.iter().zip(&y[first..first + channels]).zip(factors);
        for (result, ((&x, &y), &factor)) in result.iter_mut().zip(known) {
            *result = factor * (x * slope_at(y, slope));
        }
    })
}

/// f(g s (x - m) + b).
pub(super) fn normalised<E: Element>(
    x: &Batch<E>,
    gain: &Batch<E>,
    bias: &Batch<E>,
    scales: &[(E, E)],
    f: impl Fn(E) -> E + Copy + Sync + Send,
) -> Batch<E> {
    let factors = factors(view(gain), scales);
    let means: Vec<E> = scales.iter().map(|&(mean, _)| mean).collect();
    let y = in_rows(view(x), means.len(), |y, x| {
        // A local copy, as in `scaled_where`.
        #[allow(clippy::redundant_locals)]
        let f = f;
        let channels = means.iter().zip(&factors).zip(view(bias));
        for ((y, &x), ((&mean, &factor), &bias)) in y.iter_mut().zip(x).zip(channels) {
            *y = f(factor * (x - mean) + bias);
        }
    });
    batch(y, shape(x))
}

/// `fill` applied to each pixel's channels of x.
fn in_rows<E: Element>(x: &[E], channels: usize, fill: impl Fn(&mut [E], &[E]) + Sync + Send) -> Vec<E> {
    in_rows_numbered(x, channels, |_, y, x| fill(y, x))
}

/// As [`in_rows`]; `fill` also gets the pixel's number.
fn in_rows_numbered<E: Element>(
    x: &[E],
    channels: usize,
    fill: impl Fn(usize, &mut [E], &[E]) + Sync + Send,
) -> Vec<E> {
    let rows = GRAIN.div_ceil(channels.max(1));
    let nothing = || ();
    filled_in_chunks(x.len(), rows * channels, nothing, |(), number, y| {
        let pairs = y.chunks_exact_mut(channels).zip(x[number * rows * channels..].chunks_exact(channels));
        pairs.enumerate().for_each(|(row, (y, x))| fill(number * rows + row, y, x));
    })
}
