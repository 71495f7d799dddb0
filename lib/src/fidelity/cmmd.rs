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

use super::{Error, Features, Result};
use crate::ops::product::{Matrix, Target, Write, product_in_place};

/// The kernel's width.
const SIGMA: f64 = 10.0;

/// What the distance is multiplied by for readers.
const SCALE: f64 = 1000.0;

/// Rows whose kernels with all others are computed at a time.
const BLOCK: usize = 128;

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
    Ok(SCALE * (mean(&a, &a) + mean(&b, &b) - 2.0 * mean(&a, &b)))
}

/// Rows of length 1, and how many numbers each has; a row of zeros stays.
struct Unit {
    rows: Vec<f64>,
    dimension: usize,
}

fn unit_rows(features: Features) -> Unit {
    let dimension = features.dimension();
    let unit = |row: &[f64]| -> Vec<f64> {
        let length = square(row).sqrt();
        row.iter().map(|value| if length > 0.0 { value / length } else { 0.0 }).collect()
    };
    Unit { rows: features.rows().par_chunks_exact(dimension).flat_map_iter(unit).collect(), dimension }
}

fn square(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum()
}

/// The mean over all pairs of k(u, v) - 1. The ones cancel in the distance, and digits would be lost with them.
fn mean(a: &Unit, b: &Unit) -> f64 {
    let dimension = a.dimension;
    let columns = b.rows.len() / dimension;
    let squares: Vec<f64> = b.rows.par_chunks_exact(dimension).map(square).collect();
    let right = Matrix::new(&b.rows, columns, dimension).transposed();
    let sums: Vec<f64> = a
        .rows
        .par_chunks(BLOCK * dimension)
        .map(|rows| {
            let left = Matrix::new(rows, rows.len() / dimension, dimension);
            let mut products = vec![0.0; rows.len() / dimension * columns];
            product_in_place(Target::new(&mut products, columns), left, right, Write::Replace);
            let pairs = rows.chunks_exact(dimension).zip(products.chunks_exact(columns));
            pairs.map(|(row, products)| kernels(square(row), products, &squares)).sum::<f64>()
        })
        .collect();
    sums.iter().sum::<f64>() / ((a.rows.len() / dimension) as f64 * columns as f64)
}

/// The sum of k - 1 of one row with all others, from their products and squares.
fn kernels(own: f64, products: &[f64], squares: &[f64]) -> f64 {
    let exponent = |(product, other): (&f64, &f64)| (2.0 * product - own - other).min(0.0) / (2.0 * SIGMA * SIGMA);
    products.iter().zip(squares).map(|pair| exponent(pair).exp_m1()).sum()
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
