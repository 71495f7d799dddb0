//! The statistics that batches are normalised by.

use super::sums::means;
use crate::tensor::{Batch, Element, batch, shape, view};

/// The mean and the biased variance of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    pub(super) mean: Vec<f64>,
    pub(super) variance: Vec<f64>,
    /// The number of values per channel that they were computed from.
    pub(super) count: usize,
}

impl Statistics {
    /// The statistics of a batch.
    pub fn of<E: Element>(x: &Batch<E>) -> Self {
        let (channels, values) = (shape(x).3, view(x));
        let count = values.len() / channels.max(1);
        let mean = means(channels, count, |i, _| [values[i].wide()]).map(|[mean]| mean);
        let mean: Vec<f64> = mean.collect();
        let variance = means(channels, count, |i, channel| [(values[i].wide() - mean[channel]).powi(2)]);
        let variance = variance.map(|[variance]| variance).collect();
        Self { mean, variance, count }
    }

    /// Running statistics, from their parameters.
    pub fn running<E: Element>(mean: &Batch<E>, variance: &Batch<E>) -> Self {
        let wide = |values: &Batch<E>| view(values).iter().map(|value| value.wide()).collect();
        Self { mean: wide(mean), variance: wide(variance), count: 0 }
    }

    /// The running mean and variance after a batch with these statistics: its share is `momentum`, its variance the unbiased
    /// one.
    pub fn update<E: Element>(&self, running: (&Batch<E>, &Batch<E>), momentum: f64) -> (Batch<E>, Batch<E>) {
        let unbiased = self.count as f64 / self.count.saturating_sub(1).max(1) as f64;
        let mix = |running: &Batch<E>, values: &[f64], factor: f64| {
            let pairs = view(running).iter().zip(values);
            let mixed = pairs.map(|(old, new)| E::of((1.0 - momentum) * old.wide() + momentum * factor * new));
            batch(mixed.collect(), shape(running))
        };
        (mix(running.0, &self.mean, 1.0), mix(running.1, &self.variance, unbiased))
    }

    /// For each channel the mean m and the factor s.
    pub(crate) fn scales<E: Element>(&self, epsilon: f64) -> Vec<(E, E)> {
        let pairs = self.mean.iter().zip(&self.variance);
        pairs.map(|(&mean, variance)| (E::of(mean), E::of(1.0 / (variance + epsilon).sqrt()))).collect()
    }
}
