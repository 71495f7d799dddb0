//! How close predictions are to the objectives that images were made for: angles in degrees, their distributions, outliers.
//!
//! With a critical space both vectors are projected onto it first: shifts perpendicular to it cannot be observed (section 2.2). Source:
//! inverse feature visualisation, sections 3.4 and 3.5.

use serde::Serialize;

use super::subspace::Subspace;
use super::{Error, Result, norm};

/// The angle between two vectors in degrees; 90 where one is zero.
///
/// ```
/// use obverse::ifv::evaluation::angle;
/// assert!((angle(&[1.0, 0.0], &[1.0, 1.0]) - 45.0).abs() < 1e-12);
/// ```
pub fn angle(a: &[f64], b: &[f64]) -> f64 {
    let (length_a, length_b) = (norm(a), norm(b));
    if length_a == 0.0 || length_b == 0.0 {
        return 90.0;
    }
    // Exact for small angles too, where a cosine is not (Kahan).
    let length = |sign: f64| {
        let square = a.iter().zip(b).map(|(a, b)| (a / length_a + sign * b / length_b).powi(2));
        square.sum::<f64>().sqrt()
    };
    2.0 * length(-1.0).atan2(length(1.0)).to_degrees()
}

/// The angle between the projections of two vectors onto a space.
pub fn projected_angle(space: &Subspace, a: &[f64], b: &[f64]) -> f64 {
    angle(&space.coordinates(a), &space.coordinates(b))
}

/// A distribution in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The smallest value.
    pub least: f64,
    /// A quarter is below.
    pub lower_quartile: f64,
    /// Half are below.
    pub median: f64,
    /// Three quarters are below.
    pub upper_quartile: f64,
    /// The largest value.
    pub largest: f64,
}

impl Summary {
    /// The distribution of these finite values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        // Linear between neighbours, as NumPy's.
        let at = |share: f64| {
            let place = share * last as f64;
            let below = place.floor() as usize;
            sorted[below] + (place - below as f64) * (sorted[(below + 1).min(last)] - sorted[below])
        };
        Some(Self {
            least: at(0.0),
            lower_quartile: at(0.25),
            median: at(0.5),
            upper_quartile: at(0.75),
            largest: at(1.0),
        })
    }
}

/// Rejects vectors, (N, n) in row order, if two have the same direction; all zero vectors count as the same.
///
/// # Errors
/// Two vectors of the same direction.
pub fn require_different(what: &'static str, rows: &[f64], features: usize) -> Result<()> {
    let rows: Vec<&[f64]> = rows.chunks_exact(features.max(1)).collect();
    for (second, row) in rows.iter().enumerate() {
        // Equal bits up to a factor: below what two different realisations could share.
        if let Some(first) = rows[..second].iter().position(|other| angle(row, other) < 1e-6) {
            return Err(Error::Identical { what, first, second });
        }
    }
    Ok(())
}

/// Which of these images changed too much when optimised again for their predictions (section 3.5): their similarity (SSIM) before
/// and after is below `least` or NaN.
pub fn outliers(similarities: &[f64], least: f64) -> Vec<usize> {
    let stable = |similarity: f64| similarity >= least;
    (0..similarities.len()).filter(|&row| !stable(similarities[row])).collect()
}

#[cfg(test)]
mod tests {
    use faer::Mat;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn angles_are_those_of_the_plane(degrees in 0.0f64..180.0, scale in 0.1f64..10.0) {
            let (sine, cosine) = degrees.to_radians().sin_cos();
            prop_assert!((angle(&[2.0, 0.0], &[scale * cosine, scale * sine]) - degrees).abs() < 1e-9);
        }

        #[test]
        fn quartiles_lie_between_the_values(values in prop::collection::vec(-10.0f64..10.0, 1..40)) {
            let found = Summary::of(&values).unwrap();
            let below = |limit: f64| values.iter().filter(|&&value| value <= limit).count();
            prop_assert!(found.least <= found.lower_quartile && found.upper_quartile <= found.largest);
            prop_assert!(2 * below(found.median) >= values.len() && below(found.largest) == values.len());
        }
    }

    #[test]
    fn tiny_angles_keep_their_digits() {
        let found = angle(&[1.0, 0.0], &[1.0, 1e-12]);
        assert!((found.to_radians() - 1e-12).abs() < 1e-20, "{found:e}");
        assert_eq!(angle(&[0.0, 0.0], &[1.0, 0.0]), 90.0);
    }

    #[test]
    fn what_a_space_leaves_out_does_not_count() {
        let space = Subspace::new(Mat::from_fn(3, 2, |i, j| f64::from(u8::from(i == j)))).unwrap();
        assert!(projected_angle(&space, &[1.0, 1.0, 5.0], &[2.0, 2.0, -1.0]) < 1e-6);
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]).unwrap().median, 2.0);
        assert!(Summary::of(&[]).is_none());
    }

    #[test]
    fn equal_directions_and_unstable_images_are_found() {
        let error = require_different("objectives", &[1.0, 0.0, 0.0, 1.0, 2.0, 0.0], 2).unwrap_err();
        assert!(error.to_string().contains("row 2 equal to row 0"), "{error}");
        assert!(require_different("objectives", &[1.0, 0.0, 0.0, 1.0], 2).is_ok());
        assert_eq!(outliers(&[0.99, 0.5, f64::NAN, 0.9], 0.9), [1, 2]);
    }
}
