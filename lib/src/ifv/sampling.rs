//! Objectives to try a method on: nonnegative, of unit norm, with a sparseness uniform in [0, 1]; and canonical ones.
//!
//! Hoyer's sparseness of x in R^n is (sqrt n - |x|_1 / |x|_2) / (sqrt n - 1): 0 where all entries are equal, 1 where only one is not zero.
//! A random vector is projected onto the nonnegative vectors of unit norm with the sum that belongs to a sparseness.
//!
//! Sources: inverse feature visualisation, section 3.2; Hoyer 2004, section 3.1.
//!
//! ```
//! use obverse::ifv::sampling::{objective, sparseness};
//! assert!((sparseness(&[0.0, 1.0, 0.0, 0.0]) - 1.0).abs() < 1e-12 && sparseness(&[1.0; 4]).abs() < 1e-12);
//! let w = objective(0, 7, 16);
//! assert!(w.iter().all(|&w| w >= 0.0) && (w.iter().map(|w| w * w).sum::<f64>() - 1.0).abs() < 1e-9);
//! ```

use super::norm;
use crate::tensor::random::Stream;

/// The sparseness of a nonnegative vector of at least two entries, not all zero.
pub fn sparseness(x: &[f64]) -> f64 {
    let root = (x.len() as f64).sqrt();
    (root - x.iter().sum::<f64>() / norm(x)) / (root - 1.0)
}

/// Objective number `row` of a seed, (n) with n at least 2; it does not depend on the others.
pub fn objective(seed: u64, row: usize, features: usize) -> Vec<f64> {
    let stream = Stream::new(seed, "objectives", row as u64);
    let wanted: f64 = stream.branch("sparseness").uniform(0..1)[0];
    with_sparseness(&stream.uniform::<f64>(0..features), wanted)
}

/// `count` different channels of `features`, ascending; the same seed gives the same ones.
pub fn canonical(seed: u64, count: usize, features: usize) -> Vec<usize> {
    let mut channels = Stream::new(seed, "canonical", 0).permutation(features);
    channels.truncate(count);
    channels.sort_unstable();
    channels
}

/// The nonnegative vector of unit norm and of this sparseness that is nearest to `x`.
pub(crate) fn with_sparseness(x: &[f64], sparseness: f64) -> Vec<f64> {
    let n = x.len();
    let root = (n as f64).sqrt();
    let sum = root - sparseness.clamp(0.0, 1.0) * (root - 1.0);
    let shift = (sum - x.iter().sum::<f64>()) / n as f64;
    let mut s: Vec<f64> = x.iter().map(|x| x + shift).collect();
    let mut is_zero = vec![false; n];
    // Each round fixes an entry at zero, so there are at most n.
    for _ in 0..n {
        let free = is_zero.iter().filter(|&&zero| !zero).count();
        s = on_sphere(&s, &is_zero, sum / free as f64);
        if s.iter().all(|&value| value >= 0.0) {
            break;
        }
        is_zero.iter_mut().zip(&s).for_each(|(zero, &value)| *zero |= value < 0.0);
        let free = is_zero.iter().filter(|&&zero| !zero).count();
        let kept: f64 = s.iter().zip(&is_zero).filter(|&(_, zero)| !zero).map(|(value, _)| value).sum();
        let excess = (kept - sum) / free as f64;
        s.iter_mut().zip(&is_zero).for_each(|(value, &zero)| *value = if zero { 0.0 } else { *value - excess });
    }
    let length = norm(&s);
    s.iter().map(|value| value.max(0.0) / length).collect()
}

/// From `s`, on the plane of its sum among the free entries, outward from their mean `centre` to unit norm.
fn on_sphere(s: &[f64], is_zero: &[bool], centre: f64) -> Vec<f64> {
    let free = is_zero.iter().filter(|&&zero| !zero).count() as f64;
    let away: Vec<f64> = s.iter().zip(is_zero).map(|(s, &zero)| if zero { 0.0 } else { s - centre }).collect();
    // |centre + a (s - centre)|^2 = free centre^2 + a^2 |s - centre|^2, since s - centre sums to zero.
    let length = norm(&away);
    let left = (1.0 - free * centre * centre).max(0.0).sqrt();
    let factor = if length > 0.0 { left / length } else { 0.0 };
    away.iter().zip(is_zero).map(|(away, &zero)| if zero { 0.0 } else { centre + factor * away }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn objectives_have_the_sparseness_asked_for(n in 2usize..80, wanted in 0.0f64..0.999, seed in 0u64..1000) {
            let x: Vec<f64> = Stream::new(seed, "x", 0).uniform(0..n);
            let found = with_sparseness(&x, wanted);
            prop_assert!((norm(&found) - 1.0).abs() < 1e-12 && found.iter().all(|&value| value >= 0.0));
            prop_assert!((sparseness(&found) - wanted).abs() < 1e-6, "{} {wanted}", sparseness(&found));
        }

        /// What already has the sparseness is nearest to itself.
        #[test]
        fn a_projection_projects_to_itself(n in 2usize..40, wanted in 0.01f64..0.95, seed in 0u64..1000) {
            let once = with_sparseness(&Stream::new(seed, "x", 0).uniform::<f64>(0..n), wanted);
            let twice = with_sparseness(&once, wanted);
            prop_assert!(once.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-6), "{once:?} {twice:?}");
        }
    }

    #[test]
    fn sparseness_is_uniform() {
        let found: Vec<f64> = (0..2000).map(|row| sparseness(&objective(7, row, 30))).collect();
        for share in [0.1, 0.25, 0.5, 0.75, 0.9] {
            let below = found.iter().filter(|&&value| value < share).count() as f64 / 2000.0;
            // Four standard deviations of a count of 2,000.
            assert!((below - share).abs() < 4.0 * (share * (1.0 - share) / 2000.0).sqrt(), "{below} below {share}");
        }
        assert_ne!(objective(7, 0, 30), objective(8, 0, 30));
        assert_eq!(objective(7, 3, 30), objective(7, 3, 30));
    }

    #[test]
    fn the_ends_of_sparseness_are_one_entry_and_all_equal() {
        let one = with_sparseness(&[0.1, 0.7, 0.3], 1.0);
        assert!((one[1] - 1.0).abs() < 1e-9, "{one:?}");
        let equal = with_sparseness(&[0.1, 0.7, 0.3], 0.0);
        // The root of a difference of rounded numbers: half of f64's digits.
        assert!(equal.iter().all(|value| (value - 3f64.sqrt().recip()).abs() < 1e-7), "{equal:?}");
    }

    #[test]
    fn canonical_channels_are_different_and_all_of_them_in_order() {
        assert_eq!(canonical(3, 10, 10), (0..10).collect::<Vec<_>>());
        let some = canonical(3, 4, 100);
        assert!(some.len() == 4 && some.windows(2).all(|pair| pair[0] < pair[1]) && some[3] < 100);
    }
}
