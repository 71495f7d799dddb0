//! The mean of log-likelihoods over images, with its standard error and a bootstrap interval; differences pair by pair.
//!
//! The interval is the percentile interval of means over images drawn with replacement (Efron 1979). It covers the variance from the
//! test images, not from training.
//!
//! ```
//! use obverse::information::bound::{Estimate, bits_per_dimension};
//! let estimate = Estimate::of(&[-100.0, -110.0, -90.0, -100.0], 200, 0)?;
//! assert_eq!(estimate.mean, -100.0);
//! // Of 28 x 28 pixels, in bits, as a loss.
//! assert!((estimate.scaled(bits_per_dimension(784)).mean - 0.184).abs() < 1e-3);
//! # Ok::<(), obverse::information::Error>(())
//! ```

use rayon::prelude::*;

use super::{Error, Result};
use crate::statistics::Measure;
use crate::tensor::random::Stream;

/// The share of resampled means that an interval holds.
const COVERAGE: f64 = 0.95;

/// A mean over images, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The standard deviation over images, divided by the root of their number.
    pub standard_error: f64,
    /// The bootstrap interval of 95%.
    pub interval: [f64; 2],
}

impl From<Estimate> for Measure {
    fn from(Estimate { mean, standard_error, interval }: Estimate) -> Self {
        Self { value: mean, standard_error: Some(standard_error), interval: Some(interval) }
    }
}

impl Estimate {
    /// The estimate by `bootstrap` resampled means; the same seed draws the same images, so that models are compared alike.
    ///
    /// # Errors
    /// Fewer than two images, or no resamples.
    pub fn of(values: &[f64], bootstrap: usize, seed: u64) -> Result<Self> {
        let count = values.len();
        if count < 2 {
            return Err(Error::TooFew { what: "an interval", needed: 2, found: count });
        }
        if bootstrap == 0 {
            return Err(Error::Settings("`bootstrap`: expected at least 1 resample, found 0".into()));
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
        let mut means: Vec<f64> =
            (0..bootstrap as u64).into_par_iter().map(|number| resampled(values, seed, number)).collect();
        means.sort_by(f64::total_cmp);
        let tail = 0.5 * (1.0 - COVERAGE);
        let interval = [quantile(&means, tail), quantile(&means, 1.0 - tail)];
        Ok(Self { mean, standard_error: (variance / count as f64).sqrt(), interval })
    }

    /// The estimate of `constant + sign * values`, as in I >= H(x) + mean log p(x | h).
    pub fn shifted(self, constant: f64) -> Self {
        let interval = self.interval.map(|end| end + constant);
        Self { mean: self.mean + constant, interval, ..self }
    }

    /// The estimate in another unit.
    pub fn scaled(self, factor: f64) -> Self {
        let [low, high] = self.interval.map(|end| end * factor);
        let (mean, standard_error) = (self.mean * factor, self.standard_error * factor.abs());
        Self { mean, standard_error, interval: [low.min(high), low.max(high)] }
    }
}

/// a - b, image by image.
///
/// # Errors
/// Lists of different lengths.
pub fn differences(a: &[f64], b: &[f64]) -> Result<Vec<f64>> {
    if a.len() != b.len() {
        return Err(Error::Unpaired { expected: a.len(), found: b.len() });
    }
    Ok(a.iter().zip(b).map(|(a, b)| a - b).collect())
}

/// The factor from nats per image to bits per dimension, -1 / (D ln 2): for a log-likelihood, the bits per subpixel.
pub fn bits_per_dimension(dimensions: usize) -> f64 {
    -1.0 / (dimensions as f64 * std::f64::consts::LN_2)
}

/// The mean of as many values as there are, drawn with replacement.
fn resampled(values: &[f64], seed: u64, number: u64) -> f64 {
    let draws = Stream::new(seed, "bootstrap", number).bits(0..values.len());
    let place = |bits: u64| ((u128::from(bits) * values.len() as u128) >> 64) as usize;
    draws.into_iter().map(|bits| values[place(bits)]).sum::<f64>() / values.len() as f64
}

/// The value below which this share of sorted ones lies, between neighbours linearly.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let low = place as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (place - low as f64) * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_normal_distribution_for_many_images() {
        let values: Vec<f64> = Stream::new(0, "values", 0).normal(0..4000);
        let estimate = Estimate::of(&values, 4000, 1).unwrap();
        let half = 1.96 * estimate.standard_error;
        for (end, expected) in estimate.interval.into_iter().zip([estimate.mean - half, estimate.mean + half]) {
            // The ends of 4,000 resamples scatter by some 3% of half the interval.
            assert!((end - expected).abs() < 0.12 * half, "{estimate:?}");
        }
        assert!((estimate.standard_error - 1.0 / 4000f64.sqrt()).abs() < 5e-4);
    }

    #[test]
    fn intervals_cover_the_mean_as_often_as_they_say() {
        let covered = (0..400)
            .filter(|&world| {
                let values: Vec<f64> = Stream::new(world, "world", 0).normal(0..100);
                let [low, high] = Estimate::of(&values, 300, world).unwrap().interval;
                low <= 0.0 && 0.0 <= high
            })
            .count();
        // 95% of 400 less five standard deviations, and what 100 images cost a percentile interval.
        assert!((355..=395).contains(&covered), "{covered}");
    }

    #[test]
    fn pairs_of_equal_images_differ_by_nothing_and_lists_must_match() {
        let values: Vec<f64> = Stream::new(0, "values", 0).normal(0..50);
        let difference = Estimate::of(&differences(&values, &values).unwrap(), 100, 0).unwrap();
        assert_eq!((difference.mean, difference.interval), (0.0, [0.0, 0.0]));
        assert!(differences(&values, &values[1..]).unwrap_err().to_string().contains("expected 50"));
        assert!(Estimate::of(&values[..1], 10, 0).is_err() && Estimate::of(&values, 0, 0).is_err());
    }

    #[test]
    fn bits_per_dimension_of_uniform_bytes_are_eight() {
        let nats = -12.0 * 256f64.ln();
        assert!((nats * bits_per_dimension(12) - 8.0).abs() < 1e-12);
    }
}
