//! The uncertainty of a distance: bootstrap intervals, and the distance extrapolated to infinitely many images.
//!
//! ```
//! use obverse::fidelity::resampling::{interval, resample};
//! let rows = resample(5, 0, "a", 0);
//! assert!(rows.len() == 5 && rows.iter().all(|&row| row < 5));
//! let replicates: Vec<f64> = (0..=100).map(f64::from).collect();
//! let interval = interval(50.0, &replicates, 0.9);
//! assert!((interval.low - 5.0).abs() < 1e-9 && (interval.high - 95.0).abs() < 1e-9);
//! ```

use super::frechet::frechet;
use super::moments::Moments;
use super::{Error, Features, Result};
use crate::tensor::random::Stream;

/// An interval of a value.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The standard deviation of the value over resamplings.
    pub deviation: f64,
}

/// The interval of `estimate` that covers `level` of the bootstrap's `replicates`, moved so that their mean is the estimate.
///
/// Resampled sets repeat images, which shifts a Fréchet distance as fewer images would: the replicates show how much the value
/// varies, not where it lies.
pub fn interval(estimate: f64, replicates: &[f64], level: f64) -> Interval {
    let count = replicates.len() as f64;
    let mean = replicates.iter().sum::<f64>() / count;
    let squares = replicates.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    let mut sorted: Vec<f64> = replicates.iter().map(|value| value - mean + estimate).collect();
    sorted.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = share * (count - 1.0);
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    let tail = (1.0 - level) / 2.0;
    Interval { low: quantile(tail), high: quantile(1.0 - tail), deviation: (squares / (count - 1.0)).sqrt() }
}

/// `count` row numbers drawn with replacement, for replicate `replicate` of the side `side`.
pub fn resample(count: usize, seed: u64, side: &str, replicate: usize) -> Vec<usize> {
    let stream = Stream::new(seed, &format!("bootstrap {side}"), replicate as u64);
    stream.uniform::<f64>(0..count).into_iter().map(|value| (value * count as f64) as usize).collect()
}

/// The distance of infinitely many images of `b` from the set `a`, and the standard error of it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Infinity {
    /// The value at 1 / N = 0.
    pub distance: f64,
    /// Its standard error in the straight line's fit.
    pub error: f64,
}

/// The Fréchet distance at 1 / N = 0 (Chong & Forsyth 2020): `points` sizes N from `smallest` to all images, evenly spaced, a
/// random subset of `b` each against all of `a`, and a straight line in 1 / N through the distances.
///
/// # Errors
/// Fewer images than `smallest`, which must pass the number of features; fewer than three points.
pub fn frechet_at_infinity(a: &Moments, b: Features, smallest: usize, points: usize, seed: u64) -> Result<Infinity> {
    let count = b.count();
    if smallest <= b.dimension() {
        return Err(Error::TooFew { needed: b.dimension() + 1, found: smallest, what: "subsets for the limit" });
    }
    if count <= smallest || points < 3 {
        return Err(Error::TooFew { needed: smallest + 1, found: count, what: "an extrapolation to infinitely many" });
    }
    let mut line = Vec::with_capacity(points);
    for point in 0..points {
        let size = smallest + (count - smallest) * point / (points - 1);
        let rows = Stream::new(seed, "subset for the limit", point as u64).permutation(count);
        let moments = Moments::of(&b.gathered(&rows[..size]), b.dimension());
        line.push(((size as f64).recip(), frechet(a, &moments)?.distance()));
    }
    Ok(intercept(&line))
}

/// Where the least-squares line through (x, y) crosses x = 0.
fn intercept(points: &[(f64, f64)]) -> Infinity {
    let count = points.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.0), mean(&|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    let distance = y - slope * x;
    let rest: f64 = points.iter().map(|point| (point.1 - distance - slope * point.0).powi(2)).sum();
    let variance = rest / (count - 2.0);
    Infinity { distance, error: (variance * (count.recip() + x * x / spread)).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_covers_the_middle_of_its_replicates_around_the_estimate() {
        let replicates: Vec<f64> = (0..=100).map(f64::from).collect();
        let interval = interval(7.0, &replicates, 0.9);
        assert!((interval.low - (7.0 - 45.0)).abs() < 1e-12 && (interval.high - (7.0 + 45.0)).abs() < 1e-12);
        assert!((interval.deviation - 29.3).abs() < 0.01);
    }

    #[test]
    fn resamples_are_seeded_and_draw_with_replacement() {
        let rows = resample(1000, 0, "a", 3);
        assert_eq!(rows, resample(1000, 0, "a", 3));
        assert_ne!(rows, resample(1000, 0, "b", 3));
        let distinct: std::collections::BTreeSet<_> = rows.iter().collect();
        // 1 - 1/e of them.
        assert!((590..675).contains(&distinct.len()), "{}", distinct.len());
        assert!(rows.iter().all(|&row| row < 1000));
    }

    #[test]
    fn a_straight_line_is_met_where_it_starts() {
        let line: Vec<(f64, f64)> = [0.1, 0.2, 0.4, 0.5].iter().map(|&x| (x, 3.0 + 2.0 * x)).collect();
        let met = intercept(&line);
        assert!((met.distance - 3.0).abs() < 1e-12 && met.error < 1e-12);
    }

    #[test]
    fn the_bias_of_few_images_is_taken_away() {
        let dimension = 8;
        let rows = |purpose: &str| -> Vec<f64> { Stream::new(2, purpose, 0).normal(0..2000 * dimension) };
        let (a, b) = (rows("a"), rows("b"));
        // Both of one distribution: the distance is all bias, d (d + 3) / (4 N) a side or so.
        let (a, b) = (Moments::of(&a, dimension), Features::new(&b, dimension));
        let few = frechet(&a, &Moments::of(&b.rows()[..200 * dimension], dimension)).unwrap().distance();
        let limit = frechet_at_infinity(&a, b, 200, 15, 0).unwrap();
        assert!(limit.distance < few / 4.0, "{limit:?} {few}");
        assert!(frechet_at_infinity(&a, b, 8, 15, 0).is_err() && frechet_at_infinity(&a, b, 2000, 15, 0).is_err());
    }
}
