//! Bootstrap replicates, and the intervals that they give.

use obverse::fidelity::resampling::{Interval, resample};
use obverse::fidelity::{self, Features};
use obverse::statistics::Measure;

use super::CompareArguments;
use crate::Metrics;

/// `value` of `count` draws of both sets' rows.
pub(super) fn bootstrap(
    arguments: &CompareArguments,
    a: Features,
    b: Features,
    count: usize,
    value: impl Fn(&[usize], &[usize]) -> fidelity::Result<f64>,
) -> anyhow::Result<Vec<f64>> {
    let seed = arguments.seed.seed;
    (0..count)
        .map(|replicate| {
            crate::check_interrupted()?;
            let rows = |features: Features, side| resample(features.count(), seed, side, replicate);
            Ok(value(&rows(a, "a"), &rows(b, "b"))?)
        })
        .collect()
}

/// Adds a measure with the bootstrap's standard error and interval.
pub(super) fn insert_interval(metrics: &mut Metrics, name: &str, value: f64, interval: Interval) {
    let (standard_error, interval) = (Some(interval.deviation), Some([interval.low, interval.high]));
    Measure { value, standard_error, interval }.insert(name, metrics);
}
