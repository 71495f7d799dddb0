//! Means over a batch, channel by channel, in a fixed order.

use rayon::prelude::*;

use super::rows::each;
use crate::tensor::{Batch, Element, shape, view};

/// Rows that are summed together: a fixed number, so that the number of threads does not change the result.
const ROWS: usize = 1024;

/// The means over a batch of K quantities of each channel; f is given the index of an element and its channel.
pub(super) fn means<const K: usize>(
    channels: usize,
    rows: usize,
    f: impl Fn(usize, usize) -> [f64; K] + Sync,
) -> impl Iterator<Item = [f64; K]> {
    let block = |block: usize| {
        let mut sums = vec![[0.0; K]; channels];
        for row in block * ROWS..rows.min((block + 1) * ROWS) {
            for (channel, sums) in sums.iter_mut().enumerate() {
                let values = f(row * channels + channel, channel);
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        sums
    };
    let blocks: Vec<Vec<[f64; K]>> = (0..rows.div_ceil(ROWS)).into_par_iter().map(block).collect();
    (0..channels).map(move |channel| {
        std::array::from_fn(|k| blocks.iter().map(|block| block[channel][k]).sum::<f64>() / rows.max(1) as f64)
    })
}

/// For each channel <c> and <c z>, and the number of values averaged.
pub(super) struct Sums {
    pub(super) means: Vec<[f64; 2]>,
    pub(super) count: usize,
}

impl Sums {
    pub(super) fn of<E: Element>(cotangent: &[E], x: &Batch<E>, scales: &[(E, E)]) -> Self {
        let channels = shape(x).3;
        let count = cotangent.len() / channels.max(1);
        let values = view(x);
        let pair = |i: usize, channel: usize| {
            let (mean, factor) = scales[channel];
            [cotangent[i].wide(), (cotangent[i] * (values[i] - mean) * factor).wide()]
        };
        Self { means: means(channels, count, pair).collect(), count }
    }

    /// The sum over the batch of c or of c z.
    pub(super) fn total(&self, channel: usize, which: usize) -> f64 {
        self.means[channel][which] * self.count as f64
    }
}

/// g s (c - <c> - z <c z>).
pub(super) fn project<E: Element>(cotangent: &[E], x: &Batch<E>, gain: &[E], scales: &[(E, E)], sums: &Sums) -> Vec<E> {
    let (values, sums): (_, Vec<[E; 2]>) = (view(x), sums.means.iter().map(|means| means.map(E::of)).collect());
    each(x, |i, channel| {
        let ((mean, factor), [plain, along]) = (scales[channel], sums[channel]);
        gain[channel] * factor * (cotangent[i] - plain - (values[i] - mean) * factor * along)
    })
}
