//! Estimators of appendix B (Nash et al. 2019) for a deterministic h(x), rows (N, D), in nats.
//!
//! binned: H of h in equal bins, which is I(x; bin(h)) (Shwartz-Ziv & Tishby 2017). kde: bounds on I(x; h + noise) for Gaussian noise
//! of variance s^2 (Kolchinsky & Tracey 2017): -mean_i log mean_j exp(-|h_i - h_j|^2 / (2 s^2)) above, and with 8 s^2 below.
//! neighbours: differential entropy by distances to the k-th neighbour (Kozachenko & Leonenko 1987; equations 13 and 14).
//!
//! ```
//! use obverse::information::estimators::{Squash, binned};
//! // Four images, two bins of one feature, two images in each: ln 2.
//! let nats = binned(&[0.1, 0.2, 0.8, 0.9], 1, 2, Squash::Range(0.0, 1.0))?;
//! assert!((nats - 2f64.ln()).abs() < 1e-12);
//! # Ok::<(), obverse::information::Error>(())
//! ```

use rayon::prelude::*;
use statrs::function::gamma::{digamma, ln_gamma};

use super::{Error, Result};
use crate::similarity::Metric;
use crate::similarity::nearest::{Nearest, search};
use crate::tensor::random::Stream;

/// How unbounded values are mapped to the range of the bins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Squash {
    /// By the hyperbolic tangent, into [-1, 1].
    Tanh,
    /// Not mapped: bins divide this range, and values outside count in the outermost bins.
    Range(f64, f64),
}

/// The entropy of rows in `bins` equal bins per feature.
///
/// # Errors
/// No rows, no bins or more than 65536, an empty range.
pub fn binned(h: &[f64], features: usize, bins: usize, squash: Squash) -> Result<f64> {
    let rows = rows(h, features, 1, "bins")?;
    if !(1..=1 << 16).contains(&bins) {
        return Err(Error::Settings(format!("`bins`: expected 1 to 65536, found {bins}")));
    }
    let (low, high) = match squash {
        Squash::Tanh => (-1.0, 1.0),
        Squash::Range(low, high) => (low, high),
    };
    if !(low < high && (high - low).is_finite()) {
        return Err(Error::Settings(format!("`range`: expected low < high, found {low},{high}")));
    }
    let bin = |value: f64| {
        let value = if squash == Squash::Tanh { value.tanh() } else { value };
        ((value - low) / (high - low) * bins as f64).floor().clamp(0.0, (bins - 1) as f64) as u16
    };
    let mut binned: Vec<Vec<u16>> =
        h.par_chunks_exact(features).map(|row| row.iter().map(|&v| bin(v)).collect()).collect();
    binned.par_sort_unstable();
    let counts = binned.chunk_by(|a, b| a == b).map(|equal| equal.len() as f64 / rows as f64);
    Ok(-counts.map(|share| share * share.ln()).sum::<f64>())
}

/// Bounds on I(x; h + noise).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelBounds {
    /// By Bhattacharyya distances.
    pub lower: f64,
    /// By divergences.
    pub upper: f64,
}

/// Bounds by kernel densities for noise of this variance.
///
/// # Errors
/// No rows, a variance that is not positive.
pub fn kernel_bounds(h: &[f64], features: usize, noise_variance: f64) -> Result<KernelBounds> {
    let rows = rows(h, features, 1, "kernel densities")?;
    check_variance(noise_variance)?;
    let sums: Vec<[f64; 2]> = h
        .par_chunks_exact(features)
        .map(|row| {
            let squares: Vec<f64> = h
                .chunks_exact(features)
                .map(|other| row.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum())
                .collect();
            // A row's distance to itself is 0: the sum is at least 1 and cannot underflow.
            [8.0, 2.0].map(|factor| {
                let mass: f64 = squares.iter().map(|square| (-square / (factor * noise_variance)).exp()).sum();
                (mass / rows as f64).ln()
            })
        })
        .collect();
    let mean = |which: usize| -sums.iter().map(|sum| sum[which]).sum::<f64>() / rows as f64;
    Ok(KernelBounds { lower: mean(0), upper: mean(1) })
}

/// The differential entropy of rows by their k-th neighbours, not counting themselves.
///
/// # Errors
/// No more than k rows, k of 0, a k-th neighbour at distance 0.
pub fn neighbour_entropy(h: &[f64], features: usize, k: usize) -> Result<f64> {
    if k == 0 {
        return Err(Error::Settings("`k`: expected at least 1, found 0".into()));
    }
    let rows = rows(h, features, k + 1, "neighbours")?;
    let mut nearest = vec![Nearest::new(k + 1); rows];
    search(Metric::L2, h, h, features, 0, &mut nearest);
    let mut sum = 0.0;
    for (row, nearest) in nearest.iter().enumerate() {
        let distance = nearest.found().last().map_or(0.0, |found| found.distance);
        if distance <= 0.0 {
            return Err(Error::Coincident { row, k });
        }
        sum += distance.ln();
    }
    let dimension = features as f64;
    let ball = 0.5 * dimension * std::f64::consts::PI.ln() - ln_gamma(0.5 * dimension + 1.0);
    Ok(dimension * sum / rows as f64 + ball + digamma(rows as f64) - digamma(k as f64))
}

/// I(x; h + noise) = H(h + noise) - H(noise), the first by neighbours of rows to which noise of this variance was added.
///
/// # Errors
/// As [`neighbour_entropy`]; a variance that is not positive.
pub fn neighbour_information(h: &[f64], features: usize, k: usize, noise_variance: f64, seed: u64) -> Result<f64> {
    check_variance(noise_variance)?;
    let noise: Vec<f64> = Stream::new(seed, "noise", 0).normal(0..h.len());
    let deviation = noise_variance.sqrt();
    let noisy: Vec<f64> = h.iter().zip(noise).map(|(h, noise)| h + deviation * noise).collect();
    Ok(neighbour_entropy(&noisy, features, k)? - gaussian_entropy(features, noise_variance))
}

/// The differential entropy of Gaussian noise, D/2 log(2 pi e s^2).
pub fn gaussian_entropy(features: usize, variance: f64) -> f64 {
    0.5 * features as f64 * (2.0 * std::f64::consts::PI * std::f64::consts::E * variance).ln()
}

/// The number of rows, if there are enough.
fn rows(h: &[f64], features: usize, needed: usize, what: &'static str) -> Result<usize> {
    let found = h.len() / features.max(1);
    if found < needed { Err(Error::TooFew { what, needed, found }) } else { Ok(found) }
}

fn check_variance(variance: f64) -> Result<()> {
    if variance > 0.0 && variance.is_finite() {
        return Ok(());
    }
    Err(Error::Settings(format!("`noise_variance`: expected a positive number, found {variance}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::Case;
    use crate::store::npy::Scalar;
    use crate::tensor::{Element, shape, view};

    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("information");
        let h = case.array::<E>("h");
        let features = shape(&h).3;
        let values: Vec<f64> = view(&h).iter().map(|value| value.wide()).collect();
        let number = |name: &str| case.description[name].as_f64().unwrap();
        let bounds = kernel_bounds(&values, features, number("noise_variance")).unwrap();
        for (name, actual) in [
            ("kozachenko_leonenko_nats", neighbour_entropy(&values, features, number("k") as usize).unwrap()),
            ("kde_upper_nats", bounds.upper),
            ("kde_lower_nats", bounds.lower),
            ("binned_nats", binned(&values, features, number("bins") as usize, Squash::Tanh).unwrap()),
        ] {
            let expected = case.description["expected"][name].as_f64().unwrap();
            let close = case.tolerance::<E>() * expected.abs().max(1.0);
            assert!((actual - expected).abs() <= close, "{name}: {actual}, expected {expected}");
        }
    }

    #[test]
    fn oracle_estimates() {
        check_oracle::<f64>();
        check_oracle::<f32>();
    }

    #[test]
    fn entropies_of_known_distributions() {
        // 4,000 normal rows in 2 dimensions: H = log(2 pi e).
        let h: Vec<f64> = Stream::new(0, "h", 0).normal(0..8000);
        let found = neighbour_entropy(&h, 2, 4).unwrap();
        assert!((found - gaussian_entropy(2, 1.0)).abs() < 0.06, "{found}");
        // Noise of variance 1 and a signal of variance 3: I = log 2 per dimension.
        let signal: Vec<f64> = h.iter().map(|value| 3f64.sqrt() * value).collect();
        let information = neighbour_information(&signal, 2, 4, 1.0, 1).unwrap();
        assert!((information - 4f64.ln()).abs() < 0.08, "{information}");
        let bounds = kernel_bounds(&signal, 2, 1.0).unwrap();
        assert!(bounds.lower < 4f64.ln() && 4f64.ln() < bounds.upper + 0.05, "{bounds:?}");
    }

    #[test]
    fn eight_clusters_hold_three_bits_by_every_estimator() {
        let h: Vec<f64> = (0..800).flat_map(|i| [10.0 * f64::from(i % 8), 0.0]).collect();
        let bits = 8f64.ln();
        let bounds = kernel_bounds(&h, 2, 0.01).unwrap();
        assert!((bounds.lower - bits).abs() < 1e-9 && (bounds.upper - bits).abs() < 1e-9, "{bounds:?}");
        assert!((binned(&h, 2, 100, Squash::Range(0.0, 80.0)).unwrap() - bits).abs() < 1e-12);
        let information = neighbour_information(&h, 2, 5, 0.01, 0).unwrap();
        assert!((information - bits).abs() < 0.1, "{information}");
        assert_eq!(neighbour_entropy(&h, 2, 5).unwrap_err(), Error::Coincident { row: 0, k: 5 });
    }

    #[test]
    fn settings_outside_their_ranges_are_refused() {
        let h = [0.0, 1.0, 2.0];
        assert!(binned(&h, 1, 0, Squash::Tanh).is_err() && binned(&h, 1, 30, Squash::Range(1.0, 1.0)).is_err());
        assert!(kernel_bounds(&h, 1, 0.0).is_err() && neighbour_entropy(&h, 1, 0).is_err());
        let found = neighbour_entropy(&h, 1, 3).unwrap_err();
        assert_eq!(found, Error::TooFew { what: "neighbours", needed: 4, found: 3 });
        assert!(binned(&[], 1, 30, Squash::Tanh).is_err());
    }
}
