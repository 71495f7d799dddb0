//! The uncertainty of numbers: means over independent repetitions and slopes of straight lines, with intervals of 95% by Student's t; and
//! the format of measured numbers ([`measure`]).
//!
//! ```
//! use obverse::statistics::Interval;
//! let seeds = Interval::of(&[0.91, 0.93, 0.92])?;
//! assert!((seeds.mean - 0.92).abs() < 1e-12 && seeds.half < 0.03);
//! # Ok::<(), obverse::statistics::TooFew>(())
//! ```

pub mod measure;

use statrs::distribution::{ContinuousCDF, StudentsT};

pub use measure::Measure;

/// Too few values for an interval of their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("values of an interval: expected at least 2, found {found}")]
pub struct TooFew {
    /// How many there are.
    pub found: usize,
}

/// A mean and half the width of its interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval: mean ± this.
    pub half: f64,
}

impl Interval {
    /// The mean of independent, roughly normal values.
    ///
    /// ```
    /// use obverse::statistics::Interval;
    /// let interval = Interval::of(&[1.0, 2.0, 3.0, 4.0, 5.0])?;
    /// assert_eq!(interval.mean, 3.0);
    /// assert!((interval.half - 2.776_4 * (2.5f64 / 5.0).sqrt()).abs() < 1e-3);
    /// # Ok::<(), obverse::statistics::TooFew>(())
    /// ```
    ///
    /// # Errors
    /// Fewer than two values.
    pub fn of(values: &[f64]) -> Result<Self, TooFew> {
        let found = values.len();
        if found < 2 {
            return Err(TooFew { found });
        }
        let count = found as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Ok(Self { mean, half: student(found - 1) * (variance / count).sqrt() })
    }

    /// Its ends.
    pub fn ends(self) -> [f64; 2] {
        [self.mean - self.half, self.mean + self.half]
    }
}

/// The 0.975 quantile of Student's t with this many degrees of freedom, at least 1.
fn student(degrees: usize) -> f64 {
    StudentsT::new(0.0, 1.0, degrees as f64).map_or(f64::NAN, |student| student.inverse_cdf(0.975))
}

/// The slope of the least-squares line through points; NaN where all x are equal.
pub fn slope(points: &[[f64; 2]]) -> f64 {
    let count = points.len() as f64;
    let mean = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / count;
    let (x, y) = (mean(0), mean(1));
    let above: f64 = points.iter().map(|point| (point[0] - x) * (point[1] - y)).sum();
    above / points.iter().map(|point| (point[0] - x).powi(2)).sum::<f64>()
}

/// The p of error = c value^p: the mean over repetitions of the slope of ln error over ln value. `errors` has one row for each repetition, with one error
/// per value.
///
/// # Errors
/// Fewer than two repetitions.
pub fn exponent(values: &[f64], errors: &[Vec<f64>]) -> Result<Interval, TooFew> {
    let of_one = |row: &Vec<f64>| {
        let points: Vec<[f64; 2]> = values.iter().zip(row).map(|(value, error)| [value.ln(), error.ln()]).collect();
        slope(&points)
    };
    Interval::of(&errors.iter().map(of_one).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tensor::random::Stream;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (degrees, expected) in [(1, 12.706), (4, 2.776), (5, 2.571), (9, 2.262), (19, 2.093), (100, 1.984)] {
            assert!((student(degrees) - expected).abs() < 1e-3, "{degrees}: {}", student(degrees));
        }
        assert!(Interval::of(&[1.0]).unwrap_err().to_string().contains("at least 2, found 1"));
    }

    #[test]
    fn intervals_hold_the_mean_nineteen_times_in_twenty() {
        let held = (0..2000).filter(|&number| {
            let values: Vec<f64> = Stream::new(0, "values", number).normal(0..5);
            let interval = Interval::of(&values).unwrap();
            interval.mean.abs() <= interval.half
        });
        // Four standard deviations of a binomial count.
        assert!((held.count() as f64 - 1900.0).abs() < 40.0);
    }

    proptest! {
        #[test]
        fn powers_have_their_exponents(power in -2.0f64..2.0, factor in 0.1f64..10.0) {
            let values = [1.0, 2.0, 4.0, 8.0, 16.0];
            let row: Vec<f64> = values.iter().map(|value: &f64| factor * value.powf(power)).collect();
            let found = exponent(&values, &[row.clone(), row]).unwrap();
            prop_assert!((found.mean - power).abs() < 1e-9 && found.half < 1e-6);
        }
    }
}
