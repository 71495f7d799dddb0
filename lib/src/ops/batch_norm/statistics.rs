//! The statistics that batches are normalised by.

use obverse_engine::{Program, Variable};

use super::sums::means;
use crate::ops::arithmetic::combine;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, Tape, batch, count, shape, view};

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

    /// For each channel the mean m and the factor s, for devices.
    pub(super) fn there<'p>(&self, program: &'p Program, epsilon: f64) -> [Variable<'p>; 2] {
        let scales: Vec<f64> = self.variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
        [&self.mean, &scales].map(|values| program.constant(values, &[1, 1, 1, values.len()]))
    }

    /// For each channel the mean m and the factor s.
    pub(crate) fn scales<E: Element>(&self, epsilon: f64) -> Vec<(E, E)> {
        let pairs = self.mean.iter().zip(&self.variance);
        pairs.map(|(&mean, variance)| (E::of(mean), E::of(1.0 / (variance + epsilon).sqrt()))).collect()
    }
}

/// The statistics of a batch in training, where the batch lies.
#[derive(Clone, Debug)]
pub enum Moments<E: Element> {
    /// In the processor's memory.
    Here(Statistics),
    /// On a device: the mean, the biased variance, and the number of values per channel.
    There(Batch<E>, Batch<E>, usize),
}

impl<E: Element> Moments<E> {
    /// Those of a batch.
    pub fn of(x: &Batch<E>) -> Self {
        let channels = shape(x).3;
        let moment = |of: fn(Variable<'_>) -> Variable<'_>| {
            on_device(&mut Tape::off(), &[x], (1, 1, 1, channels), |_, x| of(x[0]).mean(&[0, 1, 2]))
        };
        let variance = || moment(|x| (x - x.mean(&[0, 1, 2])).squared());
        match moment(|x| x).and_then(|mean| Some((mean, variance()?))) {
            Some((mean, variance)) => Self::There(mean, variance, count(x) / channels.max(1)),
            None => Self::Here(Statistics::of(x)),
        }
    }

    /// As [`Statistics::update`].
    pub fn update(&self, running: (&Batch<E>, &Batch<E>), momentum: f64) -> (Batch<E>, Batch<E>) {
        let (mean, variance, count) = match self {
            Self::Here(statistics) => return statistics.update(running, momentum),
            Self::There(mean, variance, count) => (mean, variance, count),
        };
        let unbiased = *count as f64 / count.saturating_sub(1).max(1) as f64;
        let mix = |old: &Batch<E>, new: &Batch<E>, factor: f64| {
            let share = E::of(momentum * factor);
            combine(&mut Tape::off(), E::of(1.0 - momentum), old, share, new)
        };
        (mix(running.0, mean, 1.0), mix(running.1, variance, unbiased))
    }
}

/// A batch less its mean over its deviation, channel by channel, for devices.
pub(super) fn normalised(x: Variable<'_>, epsilon: f64) -> Variable<'_> {
    let centred = x - x.mean(&[0, 1, 2]);
    centred * (centred.squared().mean(&[0, 1, 2]) + epsilon).sqrt().recip()
}
