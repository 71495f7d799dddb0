//! Normalised rows of channels, and the derivatives, a few rows at a time.

use rayon::prelude::*;

use super::Norm;
use crate::ops::lanes::{fill, sums};
use crate::ops::{Kernel, vectorised};
use crate::tensor::{Element, GRAIN, filled_in_chunks};

/// Rows whose gains' gradients are summed together, at least: a fixed number, so that the number of threads does not change the result.
const ROWS: usize = 32;

impl Norm {
    /// m and s of a row.
    #[inline(always)]
    fn of<E: Element>(self, x: &[E]) -> (E, E) {
        let count = E::of(x.len() as f64);
        let (mean, epsilon) = match self {
            Self::Deviation(epsilon) => (sums([x], |x| x)[0] / count, epsilon),
            Self::RootMeanSquare(epsilon) => (E::zero(), epsilon),
        };
        let [squares] = sums([x], |[x]| [(x - mean) * (x - mean)]);
        (mean, E::of(1.0 / ((squares / count).wide() + epsilon).sqrt()))
    }

    /// The mean of what the projection P is applied to, as far as it subtracts it.
    #[inline(always)]
    fn centre<E: Element>(self, mean: E) -> E {
        match self {
            Self::Deviation(_) => mean,
            Self::RootMeanSquare(_) => E::zero(),
        }
    }
}

/// g (x - m) s + b.
pub(super) fn forward<E: Element>(x: &[E], gain: &[E], bias: Option<&[E]>, norm: Norm) -> Vec<E> {
    let channels = gain.len();
    let (rows, nothing) = (GRAIN.div_ceil(channels), || ());
    filled_in_chunks(x.len(), rows * channels, nothing, |(), chunk, y| {
        let x = &x[chunk * rows * channels..][..y.len()];
        vectorised::<Forward, _>((x, gain, bias, norm, y));
    })
}

struct Forward;

impl<E: Element> Kernel<(&[E], &[E], Option<&[E]>, Norm, &mut [E])> for Forward {
    type Output = ();

    #[inline(always)]
    fn run((x, gain, bias, norm, y): (&[E], &[E], Option<&[E]>, Norm, &mut [E])) {
        let channels = gain.len();
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            let (mean, scale) = norm.of(x);
            match bias {
                Some(bias) => fill(y, [x, gain, bias], |[x, gain, bias]| (x - mean) * scale * gain + bias),
                None => fill(y, [x, gain], |[x, gain]| (x - mean) * scale * gain),
            }
        }
    }
}

/// Some rows of K results, and sums over all rows, as many as there are channels in each of M; `fill` gets the number of the first row.
fn in_rows<E: Element, const K: usize, const M: usize>(
    length: usize,
    channels: usize,
    fill: impl Fn(usize, [&mut [E]; K], &mut [Vec<E>; M]) + Sync,
) -> ([Vec<E>; K], [Vec<E>; M]) {
    let rows = GRAIN.div_ceil(channels).max(ROWS);
    let mut results: [Vec<E>; K] = std::array::from_fn(|_| vec![E::zero(); length]);
    let zeros = || std::array::from_fn(|_| vec![E::zero(); channels]);
    let mut left = results.each_mut().map(|values| values.chunks_mut(rows * channels));
    let next = |_| left.each_mut().map(|values| values.next().unwrap_or_default());
    let chunks: Vec<[&mut [E]; K]> = (0..length.div_ceil(rows * channels)).map(next).collect();
    let parts = chunks.into_par_iter().enumerate().map(|(chunk, results)| {
        let mut sums = zeros();
        fill(chunk * rows, results, &mut sums);
        sums
    });
    let parts: Vec<[Vec<E>; M]> = parts.collect();
    let mut total: [Vec<E>; M] = zeros();
    for part in &parts {
        for (total, part) in total.iter_mut().zip(part) {
            total.iter_mut().zip(part).for_each(|(total, &part)| *total += part);
        }
    }
    (results, total)
}

/// For the gradient u of the result that of x, P(g u), and of g and b, the sums of u z and of u. Rows of x may be those of one image, for
/// all.
pub(super) fn back<E: Element>(upstream: &[E], x: &[E], gain: &[E], norm: Norm) -> (Vec<E>, [Vec<E>; 2]) {
    let channels = gain.len();
    let ([of_x], sums) = in_rows(upstream.len(), channels, |first, [result], sums| {
        let upstream = &upstream[first * channels..][..result.len()];
        vectorised::<Back, _>((upstream, (x, first), gain, norm, result, sums));
    });
    (of_x, sums)
}

struct Back;

impl<E: Element> Kernel<(&[E], (&[E], usize), &[E], Norm, &mut [E], &mut [Vec<E>; 2])> for Back {
    type Output = ();

    #[inline(always)]
    fn run(
        (upstream, (x, first), gain, norm, result, [of_gain, of_bias]): (
            &[E],
            (&[E], usize),
            &[E],
            Norm,
            &mut [E],
            &mut [Vec<E>; 2],
        ),
    ) {
        let channels = gain.len();
        let count = E::of(channels as f64);
        let rows = upstream.chunks_exact(channels).zip(result.chunks_exact_mut(channels)).zip(first..);
        for ((u, result), row) in rows {
            let x = row_of(x, channels, row);
            let (mean, scale) = norm.of(x);
            let [plain, along] = sums([u, gain, x], |[u, gain, x]| [u * gain, u * gain * (x - mean)]);
            let (plain, along) = (norm.centre(plain / count), along * scale / count);
            fill(result, [u, gain, x], |[u, gain, x]| scale * (u * gain - plain - (x - mean) * scale * along));
            let terms = of_gain.iter_mut().zip(of_bias.iter_mut()).zip(u).zip(x);
            for (((of_gain, of_bias), &u), &x) in terms {
                *of_gain += u * ((x - mean) * scale);
                *of_bias += u;
            }
        }
    }
}

/// The row of x that belongs to row number `row` of the cotangents.
#[inline(always)]
fn row_of<E>(x: &[E], channels: usize, row: usize) -> &[E] {
    &x[row * channels % x.len()..][..channels]
}

/// For the gradient u of P(g c) those of c, of x (each row's own) and of g.
///
/// With w = g c, A = <u w> - <u><w>, B = <u z> and D = <w z>, where `<u>` and `<w>` are there only if P subtracts them, the sum of u P(w)
/// is C s (A - B D). Its derivative in x is -s^2 (z (A - 3 B D) + D (u - <u>) + B (w - <w>)), as for batch normalisation.
pub(super) fn back_twice<E: Element>(upstream: &[E], cotangent: &[E], x: &[E], gain: &[E], norm: Norm) -> [Vec<E>; 3] {
    let channels = gain.len();
    let ([of_cotangent, of_x], [of_gain]) = in_rows(upstream.len(), channels, |first, results, [of_gain]| {
        let [u, c] = [upstream, cotangent].map(|values| &values[first * channels..][..results[0].len()]);
        vectorised::<BackTwice, _>((u, c, (x, first), gain, norm, results, of_gain));
    });
    [of_cotangent, of_x, of_gain]
}

struct BackTwice;

impl<E: Element> Kernel<(&[E], &[E], (&[E], usize), &[E], Norm, [&mut [E]; 2], &mut Vec<E>)> for BackTwice {
    type Output = ();

    #[inline(always)]
    fn run(
        (upstream, cotangent, (x, first), gain, norm, [of_cotangent, of_x], of_gain): (
            &[E],
            &[E],
            (&[E], usize),
            &[E],
            Norm,
            [&mut [E]; 2],
            &mut Vec<E>,
        ),
    ) {
        let channels = gain.len();
        let count = E::of(channels as f64);
        let results = of_cotangent.chunks_exact_mut(channels).zip(of_x.chunks_exact_mut(channels));
        let rows = upstream.chunks_exact(channels).zip(cotangent.chunks_exact(channels)).zip(results).zip(first..);
        for (((u, c), (of_cotangent, of_x)), row) in rows {
            let x = row_of(x, channels, row);
            let (mean, scale) = norm.of(x);
            let means = sums([u, c, gain, x], |[u, c, gain, x]| {
                let (w, z) = (c * gain, (x - mean) * scale);
                [u, w, u * z, w * z, u * w]
            });
            let [mean_u, mean_w, b, d, product] = means.map(|sum| sum / count);
            let (mean_u, mean_w) = (norm.centre(mean_u), norm.centre(mean_w));
            let bend = product - mean_u * mean_w - E::of(3.0) * b * d;
            // P(u) first, which the gain multiplies once its own gradient is known.
            fill(of_cotangent, [u, x], |[u, x]| scale * (u - mean_u - (x - mean) * scale * b));
            of_gain.iter_mut().zip(c).zip(&*of_cotangent).for_each(|((sum, &c), &projected)| *sum += c * projected);
            of_cotangent.iter_mut().zip(gain).for_each(|(value, &gain)| *value *= gain);
            fill(of_x, [u, c, gain, x], |[u, c, gain, x]| {
                let z = (x - mean) * scale;
                -scale * scale * (z * bend + d * (u - mean_u) + b * (c * gain - mean_w))
            });
        }
    }
}
