//! The kernel distance (KID: Bińkowski et al. 2018): the unbiased squared maximum mean discrepancy of features u, v under
//! k(u, v) = (u.v / d + 1)^3. It has no bias at any number of images.
//!
//! ```
//! use obverse::fidelity::{Features, kernel::kernel_distance};
//! let set = Features::new(&[0.0, 1.0], 1);
//! // k(u, v) = (u v + 1)^3: of two within a set 1, across 11 / 4 in the mean. Without a bias, hence below 0 for equal sets.
//! assert!((kernel_distance(set, set)? + 3.5).abs() < 1e-12);
//! # Ok::<(), obverse::fidelity::Error>(())
//! ```

use rayon::prelude::*;

use super::{Error, Features, Result};
use crate::ops::product::{Matrix, Target, Write, product_in_place};
use crate::tensor::random::Stream;

/// Rows whose kernels with all others are computed at a time.
const BLOCK: usize = 128;

/// The distance over all images.
///
/// # Errors
/// Fewer than two rows, features of different lengths.
pub fn kernel_distance(a: Features, b: Features) -> Result<f64> {
    Ok(kernel_shares(a, b)?.distance())
}

/// Each image's share of the distance: the mean of its kernel with the other images of its side, minus that with the other
/// side's. The distance is the sum of both sides' mean shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Shares of the first side.
    pub a: Vec<f64>,
    /// Shares of the second.
    pub b: Vec<f64>,
}

impl Shares {
    /// The distance.
    pub fn distance(&self) -> f64 {
        mean(&self.a) + mean(&self.b)
    }

    /// The distance of a resampled set of images, to first order: twice the change of an image's share counts.
    pub fn resampled(&self, a: &[usize], b: &[usize]) -> f64 {
        let moved = |shares: &[f64], rows: &[usize]| {
            rows.iter().map(|&row| shares[row]).sum::<f64>() / rows.len() as f64 - mean(shares)
        };
        self.distance() + 2.0 * (moved(&self.a, a) + moved(&self.b, b))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The shares of all images.
///
/// # Errors
/// Fewer than two rows, features of different lengths.
pub fn kernel_shares(a: Features, b: Features) -> Result<Shares> {
    a.require_alike(b)?;
    let fewest = a.count().min(b.count());
    if fewest < 2 {
        return Err(Error::TooFew { needed: 2, found: fewest, what: "a kernel distance" });
    }
    let of = |own: Features, other: Features| -> Vec<f64> {
        let (within, between) = (sums(own, own), sums(own, other));
        let rows = within.into_iter().zip(between).zip(diagonal(own));
        let others = (own.count() - 1) as f64;
        rows.map(|((within, between), own)| (within - own) / others - between / other.count() as f64).collect()
    };
    Ok(Shares { a: of(a, b), b: of(b, a) })
}

/// The distances of `subsets` pairs of `size` images, drawn without replacement.
///
/// # Errors
/// Fewer images than `size`; as [`kernel_distance`].
pub fn kernel_distances_of_subsets(
    a: Features,
    b: Features,
    subsets: usize,
    size: usize,
    seed: u64,
) -> Result<Vec<f64>> {
    let fewest = a.count().min(b.count());
    if fewest < size {
        return Err(Error::TooFew { needed: size, found: fewest, what: "subsets for the kernel distance" });
    }
    (0..subsets as u64)
        .map(|subset| {
            let drawn = |features: Features, side| {
                features.gathered(&Stream::new(seed, side, subset).permutation(features.count())[..size])
            };
            let (a, b) = (drawn(a, "kernel subset a"), drawn(b, "kernel subset b"));
            let dimension = b.len() / size.max(1);
            kernel_distance(Features::new(&a, dimension), Features::new(&b, dimension))
        })
        .collect()
}

fn kernel(product: f64, dimension: f64) -> f64 {
    (product / dimension + 1.0).powi(3)
}

/// For each row of `a` the sum of its kernel with all rows of `b`.
fn sums(a: Features, b: Features) -> Vec<f64> {
    let (dimension, columns) = (a.dimension(), b.count());
    let right = Matrix::new(b.rows(), columns, dimension).transposed();
    let strips: Vec<Vec<f64>> = a
        .rows()
        .par_chunks(BLOCK * dimension)
        .map(|rows| {
            let left = Matrix::new(rows, rows.len() / dimension, dimension);
            let mut products = vec![0.0; rows.len() / dimension * columns];
            product_in_place(Target::new(&mut products, columns), left, right, Write::Replace);
            let rows = products.chunks_exact(columns);
            rows.map(|row| row.iter().map(|&product| kernel(product, dimension as f64)).sum()).collect()
        })
        .collect();
    strips.into_iter().flatten().collect()
}

/// k(u, u) of each row.
fn diagonal(features: Features) -> Vec<f64> {
    let dimension = features.dimension();
    let rows = features.rows().chunks_exact(dimension);
    rows.map(|row| kernel(row.iter().map(|value| value * value).sum(), dimension as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_that_of_the_definition() {
        let dimension = 3;
        let a: Vec<f64> = Stream::new(0, "a", 0).normal(0..7 * dimension);
        let b: Vec<f64> = Stream::new(0, "b", 0).normal(0..5 * dimension);
        let (a, b) = (Features::new(&a, dimension), Features::new(&b, dimension));
        let k = |u: &[f64], v: &[f64]| (u.iter().zip(v).map(|(u, v)| u * v).sum::<f64>() / 3.0 + 1.0).powi(3);
        let mean = |x: Features, y: Features, skip: bool| {
            let pairs: Vec<f64> = (0..x.count())
                .flat_map(|i| (0..y.count()).filter(move |&j| !skip || i != j).map(move |j| (i, j)))
                .map(|(i, j)| k(x.row(i), y.row(j)))
                .collect();
            pairs.iter().sum::<f64>() / pairs.len() as f64
        };
        let expected = mean(a, a, true) + mean(b, b, true) - 2.0 * mean(a, b, false);
        assert!((kernel_distance(a, b).unwrap() - expected).abs() < 1e-12);
        let shares = kernel_shares(a, b).unwrap();
        let (all_a, all_b): (Vec<usize>, Vec<usize>) = ((0..7).collect(), (0..5).collect());
        assert!((shares.resampled(&all_a, &all_b) - expected).abs() < 1e-12);
    }

    #[test]
    fn first_order_resampling_spreads_as_fresh_sets_do() {
        let (count, dimension) = (120, 3);
        let rows = |side: &str, step: u64| -> Vec<f64> {
            let shift = if side == "b" { 0.7 } else { 0.0 };
            Stream::new(0, side, step).normal::<f64>(0..count * dimension).iter().map(|value| value + shift).collect()
        };
        let spread = |values: &[f64]| {
            let middle = mean(values);
            (values.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
        };
        let fresh: Vec<f64> = (0..60)
            .map(|step| {
                let (a, b) = (rows("a", step), rows("b", step));
                kernel_distance(Features::new(&a, dimension), Features::new(&b, dimension)).unwrap()
            })
            .collect();
        let (a, b) = (rows("a", 0), rows("b", 0));
        let shares = kernel_shares(Features::new(&a, dimension), Features::new(&b, dimension)).unwrap();
        let drawn: Vec<f64> = (0..200)
            .map(|replicate| {
                let draw = |side| super::super::resampling::resample(count, 0, side, replicate);
                shares.resampled(&draw("a"), &draw("b"))
            })
            .collect();
        let ratio = spread(&drawn) / spread(&fresh);
        assert!((0.6..1.6).contains(&ratio), "{ratio}");
    }

    #[test]
    fn subsets_of_one_distribution_are_around_zero() {
        let (a, b): (Vec<f64>, Vec<f64>) =
            (Stream::new(0, "a", 0).normal(0..4 * 600), Stream::new(0, "b", 0).normal(0..4 * 600));
        let distances = kernel_distances_of_subsets(Features::new(&a, 4), Features::new(&b, 4), 40, 100, 0).unwrap();
        let mean = distances.iter().sum::<f64>() / 40.0;
        let spread = (distances.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / 39.0).sqrt();
        assert!(mean.abs() < 3.0 * spread, "{mean} {spread}");
        assert!(distances.iter().any(|&distance| distance < 0.0), "an unbiased estimate is negative now and then");
        assert!(kernel_distances_of_subsets(Features::new(&a, 4), Features::new(&b, 4), 1, 601, 0).is_err());
    }
}
