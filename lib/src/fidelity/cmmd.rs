//! CMMD (Jayasumana et al. 2024): the squared maximum mean discrepancy of CLIP's features, each divided by its length, under the
//! Gaussian kernel exp(-|u - v|^2 / (2 sigma^2)), sigma = 10, times 1,000.
//!
//! It is the published estimate, of least variance and never below 0: an image's kernel with itself counts, so that two sets of one
//! distribution do not lie at 0.
//!
//! ```
//! use obverse::fidelity::{Features, cmmd::cmmd};
//! let (a, b) = ([3.0, 0.0], [0.0, 5.0]);
//! // Lengths do not count. Two unit vectors at a right angle: |u - v|^2 = 2.
//! let distance = cmmd(Features::new(&a, 2), Features::new(&b, 2))?;
//! assert!((distance - 1000.0 * (2.0 - 2.0 * (-0.01f64).exp())).abs() < 1e-9);
//! # Ok::<(), obverse::fidelity::Error>(())
//! ```

use rayon::prelude::*;

use super::pairs::{Tile, across, square, within};
use super::{Error, Features, Result};

/// The kernel's width.
const SIGMA: f64 = 10.0;

/// What the distance is multiplied by for readers.
const SCALE: f64 = 1000.0;

/// The distance.
///
/// # Errors
/// A set without rows, features of different lengths.
pub fn cmmd(a: Features, b: Features) -> Result<f64> {
    a.require_alike(b)?;
    let fewest = a.count().min(b.count());
    if fewest == 0 {
        return Err(Error::TooFew { needed: 1, found: 0, what: "a discrepancy" });
    }
    let (a, b) = (unit_rows(a), unit_rows(b));
    let (a, b) = (a.features(), b.features());
    Ok(SCALE * (mean_within(a) + mean_within(b) - 2.0 * mean_across(a, b)))
}

/// Rows of length 1, and how many numbers each has; a row of zeros stays.
struct Unit {
    rows: Vec<f64>,
    dimension: usize,
}

impl Unit {
    fn features(&self) -> Features<'_> {
        Features::new(&self.rows, self.dimension)
    }
}

fn unit_rows(features: Features) -> Unit {
    let dimension = features.dimension();
    let unit = |row: &[f64]| -> Vec<f64> {
        let length = square(row).sqrt();
        row.iter().map(|value| if length > 0.0 { value / length } else { 0.0 }).collect()
    };
    Unit { rows: features.rows().par_chunks_exact(dimension).flat_map_iter(unit).collect(), dimension }
}

/// The mean over all pairs of k(u, v) - 1. The ones cancel in the distance, and digits would be lost with them.
fn mean_across(a: Features, b: Features) -> f64 {
    let (of_a, of_b) = (squares(a), squares(b));
    let sums = across(a, b, |tile, products| sum(&of_a, &of_b, tile, products));
    sums.iter().sum::<f64>() / (a.count() as f64 * b.count() as f64)
}

/// As [`mean_across`], of a set and itself: what lies above the diagonal counts twice.
fn mean_within(features: Features) -> f64 {
    let squares = squares(features);
    let sums = within(features, |tile, products| {
        let times = if tile.rows == tile.columns { 1.0 } else { 2.0 };
        times * sum(&squares, &squares, tile, products)
    });
    sums.iter().sum::<f64>() / (features.count() as f64).powi(2)
}

fn squares(features: Features) -> Vec<f64> {
    (0..features.count()).into_par_iter().map(|row| square(features.row(row))).collect()
}

/// The sum of k - 1 over a tile, from the products and both sides' squares.
fn sum(of_a: &[f64], of_b: &[f64], tile: &Tile, products: &[f64]) -> f64 {
    let columns = &of_b[tile.columns.clone()];
    let of_row = |(own, products): (&f64, &[f64])| {
        let exponent = |(product, other): (&f64, &f64)| (2.0 * product - own - other).min(0.0) / (2.0 * SIGMA * SIGMA);
        products.iter().zip(columns).map(|pair| exponent(pair).exp_m1()).sum::<f64>()
    };
    of_a[tile.rows.clone()].iter().zip(products.chunks_exact(columns.len())).map(of_row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    #[test]
    fn the_distance_is_that_of_the_definition() {
        let (n, m, dimension) = (150, 37, 6);
        let rows = |side: &str, count: usize| -> Vec<f64> { Stream::new(0, side, 0).normal(0..count * dimension) };
        let (a, b) = (rows("a", n), rows("b", m).iter().map(|value| value + 0.4).collect::<Vec<f64>>());
        let (a, b) = (Features::new(&a, dimension), Features::new(&b, dimension));
        let unit = |row: &[f64]| -> Vec<f64> { row.iter().map(|value| value / square(row).sqrt()).collect() };
        let k = |u: &[f64], v: &[f64]| {
            let (u, v) = (unit(u), unit(v));
            (-u.iter().zip(&v).map(|(u, v)| (u - v) * (u - v)).sum::<f64>() / 200.0).exp()
        };
        let mean = |x: Features, y: Features| {
            let rows = |i: usize| (0..y.count()).map(move |j| k(x.row(i), y.row(j))).sum::<f64>();
            (0..x.count()).map(rows).sum::<f64>() / (x.count() * y.count()) as f64
        };
        let expected = 1000.0 * (mean(a, a) + mean(b, b) - 2.0 * mean(a, b));
        // The definition loses digits where ones cancel: 1,000 times the rounding of numbers near 1.
        assert!((cmmd(a, b).unwrap() - expected).abs() < 1e-10, "{expected}");
        assert!(cmmd(a, a).unwrap().abs() < 1e-10);
        assert!(cmmd(a, Features::new(&[], dimension)).is_err());
    }
}
