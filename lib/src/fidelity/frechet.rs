//! The Fréchet distance between two Gaussians (Dowson & Landau 1982; FID: Heusel et al. 2017):
//!
//! |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2), C unbiased.
//!
//! The last trace is the sum of the singular values of F1 F2^T for any factors C = F^T F. With a Cholesky factor C1 = L L^T it
//! is the sum of the square roots of the eigenvalues of L^T C2 L, symmetric and not negative: no general square root, no
//! imaginary part. Where a side has no more images than features its covariance has no Cholesky factor; its centred features
//! divided by sqrt (n - 1) are a factor, and the singular values are computed directly: exact for any rank.

use faer::linalg::solvers::SelfAdjointEigen;
use faer::{Mat, MatRef, Side};
use rayon::prelude::*;

use super::moments::{Moments, TILE, add_lower};
use super::{Error, Features, Result};
use crate::ops::product::{Matrix, Write, product};

/// The distance and its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frechet {
    /// |m1 - m2|^2.
    pub means: f64,
    /// tr C1 + tr C2 - 2 tr (C1 C2)^(1/2).
    pub covariances: f64,
}

impl Frechet {
    /// The whole distance; clamped at 0, since rounding can make it negative.
    pub fn distance(self) -> f64 {
        (self.means + self.covariances).max(0.0)
    }
}

/// The distance between two sets of features.
///
/// ```
/// use obverse::fidelity::{Features, frechet::frechet_of_features};
/// let (a, b) = ([0.0, 2.0], [3.0, 5.0]);
/// let distance = frechet_of_features(Features::new(&a, 1), Features::new(&b, 1)).unwrap();
/// assert!((distance.distance() - 9.0).abs() < 1e-12);
/// ```
///
/// # Errors
/// Fewer than two rows, features of different lengths.
pub fn frechet_of_features(a: Features, b: Features) -> Result<Frechet> {
    a.require_alike(b)?;
    let dimension = a.dimension();
    if a.count().min(b.count()) > dimension {
        return frechet(&Moments::of(a.rows(), dimension), &Moments::of(b.rows(), dimension));
    }
    let (a, b) = (Factor::of(a)?, Factor::of(b)?);
    let mut mixed = vec![0.0; a.rows * b.rows];
    let (left, right) = (Matrix::new(&a.values, a.rows, dimension), Matrix::new(&b.values, b.rows, dimension));
    product(&mut mixed, left, right.transposed(), Write::Replace);
    let values = MatRef::from_row_major_slice(&mixed, a.rows, b.rows).singular_values();
    let root: f64 = values.map_err(|_| Error::Decomposition("Fréchet distance"))?.iter().sum();
    let covariances = sum_of_squares(&a.values) + sum_of_squares(&b.values) - 2.0 * root;
    Ok(Frechet { means: between(&a.mean, &b.mean), covariances })
}

/// The distance between two sets, from their moments.
///
/// Where both have no more images than features, [`frechet_of_features`] is more exact.
///
/// # Errors
/// Fewer than two rows, features of different lengths.
pub fn frechet(a: &Moments, b: &Moments) -> Result<Frechet> {
    if a.dimension() != b.dimension() {
        return Err(Error::Dimensions { expected: a.dimension(), found: b.dimension() });
    }
    // The factor is that of the side with more images, which has the full rank if either has.
    let (of, other) = if a.count() >= b.count() { (a, b) } else { (b, a) };
    let (factored, other) = (of.covariance()?, other.covariance()?);
    let factor = factor(&factored, a.dimension())?;
    let root = sum_of_roots(&factor, &other, a.dimension())?;
    let covariances = trace(&factored, a.dimension()) + trace(&other, a.dimension()) - 2.0 * root;
    Ok(Frechet { means: between(a.mean(), b.mean()), covariances })
}

/// F, rows x d, with C = F^T F: centred features divided by sqrt (n - 1) where they are few, a Cholesky factor where not.
struct Factor {
    values: Vec<f64>,
    rows: usize,
    mean: Vec<f64>,
}

impl Factor {
    fn of(features: Features) -> Result<Self> {
        let (count, dimension) = (features.count(), features.dimension());
        if count > dimension {
            let moments = Moments::of(features.rows(), dimension);
            let lower = factor(&moments.covariance()?, dimension)?;
            let mut values = vec![0.0; dimension * dimension];
            for i in 0..dimension {
                for j in 0..dimension {
                    values[j * dimension + i] = lower[i * dimension + j];
                }
            }
            return Ok(Self { values, rows: dimension, mean: moments.mean().to_vec() });
        }
        if count < 2 {
            return Err(Error::TooFew { needed: 2, found: count, what: "a Fréchet distance" });
        }
        let mut mean = vec![0.0; dimension];
        for row in features.rows().chunks_exact(dimension) {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value);
        }
        mean.iter_mut().for_each(|mean| *mean /= count as f64);
        let scale = ((count - 1) as f64).sqrt().recip();
        let values = features.rows().chunks_exact(dimension);
        let values = values.flat_map(|row| row.iter().zip(&mean).map(|(value, mean)| (value - mean) * scale)).collect();
        Ok(Self { values, rows: count, mean })
    }
}

/// L in row order with C = L L^T: Cholesky's, or, where C has not the full rank, U sqrt(lambda) of its eigenvectors.
pub(super) fn factor(covariance: &[f64], dimension: usize) -> Result<Vec<f64>> {
    let matrix = MatRef::from_row_major_slice(covariance, dimension, dimension);
    let in_rows = |at: &dyn Fn(usize, usize) -> f64| {
        (0..dimension * dimension).map(|k| at(k / dimension, k % dimension)).collect()
    };
    if let Ok(cholesky) = matrix.llt(Side::Lower) {
        let lower = cholesky.L();
        return Ok(in_rows(&|i, j| if j <= i { lower[(i, j)] } else { 0.0 }));
    }
    let eigen: SelfAdjointEigen<f64> =
        matrix.self_adjoint_eigen(Side::Lower).map_err(|_| Error::Decomposition("Fréchet distance"))?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let roots: Vec<f64> = values.iter().map(|value| value.max(0.0).sqrt()).collect();
    Ok(in_rows(&|i, j| vectors[(i, j)] * roots[j]))
}

/// The sum of the square roots of the eigenvalues of L^T C L; negative ones, which come from rounding, are left out.
fn sum_of_roots(factor: &[f64], covariance: &[f64], dimension: usize) -> Result<f64> {
    let values = between_factors(factor, covariance, dimension)
        .self_adjoint_eigenvalues(Side::Lower)
        .map_err(|_| Error::Decomposition("Fréchet distance"))?;
    let largest = values.iter().fold(0.0f64, |largest, &value| largest.max(value));
    let rounding = largest * f64::EPSILON * dimension as f64;
    Ok(values.iter().filter(|&&value| value > rounding).map(|value| value.sqrt()).sum())
}

/// L^T C L, on and below the diagonal.
pub(super) fn between_factors(factor: &[f64], covariance: &[f64], dimension: usize) -> Mat<f64> {
    let square = |values| Matrix::new(values, dimension, dimension);
    let mut half = vec![0.0; dimension * dimension];
    product(&mut half, square(covariance), square(factor), Write::Replace);
    let mut whole = vec![0.0; dimension * dimension];
    whole.par_chunks_mut(TILE * dimension).enumerate().for_each(|(tile, strip)| {
        add_lower(strip, factor, &half, dimension, tile * TILE);
    });
    Mat::from_fn(dimension, dimension, |i, j| whole[i * dimension + j])
}

fn trace(matrix: &[f64], dimension: usize) -> f64 {
    (0..dimension).map(|i| matrix[i * (dimension + 1)]).sum()
}

fn sum_of_squares(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

fn between(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    fn normal(purpose: &str, count: usize, dimension: usize) -> Vec<f64> {
        Stream::new(1, purpose, 0).normal(0..count * dimension)
    }

    fn gaussian(mean: &[f64], covariance: &[f64]) -> Moments {
        Moments::from_covariance(1000, mean.to_vec(), covariance.to_vec()).unwrap()
    }

    #[test]
    fn gaussians_of_one_covariance_are_as_far_apart_as_their_means() {
        let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let distance = frechet(&gaussian(&[0.0; 3], &identity), &gaussian(&[1.0, -2.0, 0.5], &identity)).unwrap();
        assert!((distance.distance() - 5.25).abs() < 1e-12);
    }

    #[test]
    fn diagonal_gaussians_have_the_closed_form() {
        let (a, b) = ([4.0, 0.0, 0.0, 0.25], [1.0, 0.0, 0.0, 9.0]);
        let distance = frechet(&gaussian(&[0.0, 1.0], &a), &gaussian(&[0.0, 0.0], &b)).unwrap();
        // 1 + (2 - 1)^2 + (0.5 - 3)^2
        assert!((distance.distance() - 8.25).abs() < 1e-12);
    }

    #[test]
    fn rotations_change_nothing() {
        let dimension = 6;
        let (a, b) = (normal("a", 50, dimension), normal("b", 60, dimension));
        let b: Vec<f64> = b.iter().enumerate().map(|(i, value)| 0.3 + value * (1 + i % dimension) as f64).collect();
        let start = normal("q", dimension, dimension);
        let q = Mat::<f64>::from_fn(dimension, dimension, |i, j| start[i * dimension + j]).qr().compute_Q();
        let turned = |rows: &[f64]| -> Vec<f64> {
            let rotate = |row: &[f64], j: usize| (0..dimension).map(|i| row[i] * q[(i, j)]).sum::<f64>();
            rows.chunks_exact(dimension).flat_map(|row| (0..dimension).map(move |j| rotate(row, j))).collect()
        };
        let distance = |a: &[f64], b: &[f64]| {
            frechet_of_features(Features::new(a, dimension), Features::new(b, dimension)).unwrap().distance()
        };
        let (straight, rotated) = (distance(&a, &b), distance(&turned(&a), &turned(&b)));
        assert!((straight - rotated).abs() < 1e-10 * straight, "{straight} {rotated}");
    }

    #[test]
    fn few_images_are_exact_by_both_ways() {
        let dimension = 20;
        let (a, b) = (normal("a", 12, dimension), normal("b", 35, dimension));
        let (a, b) = (Features::new(&a, dimension), Features::new(&b, dimension));
        let exact = frechet_of_features(a, b).unwrap();
        assert_eq!(exact.means, frechet_of_features(b, a).unwrap().means);
        let mirrored = frechet_of_features(b, a).unwrap().distance();
        assert!((exact.distance() - mirrored).abs() < 1e-10 * mirrored);
        let by_moments = frechet(&Moments::of(a.rows(), dimension), &Moments::of(b.rows(), dimension)).unwrap();
        assert!((exact.distance() - by_moments.distance()).abs() < 1e-6 * mirrored);
    }

    #[test]
    fn identical_sets_are_at_no_distance_and_one_image_is_refused() {
        for count in [5, 40] {
            let rows = normal("a", count, 8);
            let features = Features::new(&rows, 8);
            let distance = frechet_of_features(features, features).unwrap().distance();
            assert!((0.0..1e-10).contains(&distance), "{count}: {distance}");
        }
        let (one, many) = (normal("a", 1, 8), normal("b", 40, 8));
        let error = frechet_of_features(Features::new(&one, 8), Features::new(&many, 8)).unwrap_err();
        assert!(error.to_string().contains("at least 2"), "{error}");
    }
}
