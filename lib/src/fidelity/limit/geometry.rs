//! Two covariances in common coordinates, in which both are diag (s).

use faer::Side;

use super::super::frechet::{between_factors, factor};
use super::super::moments::Moments;
use super::super::{Error, Result};
use crate::ops::product::{Matrix, Target, Write, product, product_in_place};

/// Eigenvalues below this share of the largest are rounding, or of directions that one side does not have: what they add is below 1e-6
/// of the distance.
const RANK: f64 = 1e-12;

/// The means of two sets, and the maps into the common coordinates.
pub(super) struct Geometry {
    /// The means.
    pub means: [Vec<f64>; 2],
    /// The traces of the covariances.
    pub traces: [f64; 2],
    /// s, the roots of the eigenvalues of C1 C2 that are not 0.
    pub roots: Vec<f64>,
    /// (d, rank) each: centred rows times these have the covariance diag (s).
    maps: [Vec<f64>; 2],
}

impl Geometry {
    /// That of two sets' moments.
    pub fn of(a: &Moments, b: &Moments) -> Result<Self> {
        let dimension = a.dimension();
        if dimension != b.dimension() {
            return Err(Error::Dimensions { expected: dimension, found: b.dimension() });
        }
        let (one, other) = (a.covariance()?, b.covariance()?);
        let lower = factor(&one, dimension)?;
        let square = |values| Matrix::new(values, dimension, dimension);
        let eigen = between_factors(&lower, &other, dimension)
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| Error::Decomposition("Fréchet distance"))?;
        let (vectors, values) = (eigen.U(), eigen.S().column_vector());
        let largest = values.iter().fold(0.0f64, |largest, &value| largest.max(value));
        let kept: Vec<usize> = (0..dimension).filter(|&i| values[i] > largest * RANK).collect();
        let roots: Vec<f64> = kept.iter().map(|&i| values[i].sqrt()).collect();
        let rank = roots.len();
        // L U s^(-1/2) takes rows of the second side there, and C2 L U s^(-3/2) those of the first.
        let scaled: Vec<f64> = (0..dimension)
            .flat_map(|i| kept.iter().zip(&roots).map(move |(&j, root)| (i, j, root)))
            .map(|(i, j, root)| vectors[(i, j)] / root.sqrt())
            .collect();
        let mut of_second = vec![0.0; dimension * rank];
        let mut of_first = vec![0.0; dimension * rank];
        product(&mut of_second, square(&lower), Matrix::new(&scaled, dimension, rank), Write::Replace);
        product(&mut of_first, square(&other), Matrix::new(&of_second, dimension, rank), Write::Replace);
        for row in of_first.chunks_exact_mut(rank.max(1)) {
            row.iter_mut().zip(&roots).for_each(|(value, root)| *value /= root);
        }
        let trace = |covariance: &[f64]| (0..dimension).map(|i| covariance[i * (dimension + 1)]).sum();
        Ok(Self {
            means: [a, b].map(|side| side.mean().to_vec()),
            traces: [trace(&one), trace(&other)],
            roots,
            maps: [of_first, of_second],
        })
    }

    /// d.
    pub fn dimension(&self) -> usize {
        self.means[0].len()
    }

    /// The plain Fréchet distance.
    pub fn distance(&self) -> f64 {
        let apart: f64 = self.means[0].iter().zip(&self.means[1]).map(|(a, b)| (a - b) * (a - b)).sum();
        apart + self.traces[0] + self.traces[1] - 2.0 * self.roots.iter().sum::<f64>()
    }

    /// Rows of a side without its mean.
    pub fn centred(&self, side: usize, rows: &[f64]) -> Vec<f64> {
        let rows = rows.chunks_exact(self.dimension());
        rows.flat_map(|row| row.iter().zip(&self.means[side]).map(|(value, mean)| value - mean)).collect()
    }

    /// Centred rows of a side in the common coordinates, (N, rank).
    pub fn mapped(&self, side: usize, centred: &[f64]) -> Vec<f64> {
        let (dimension, rank) = (self.dimension(), self.roots.len());
        let count = centred.len() / dimension.max(1);
        let mut mapped = vec![0.0; count * rank];
        let map = Matrix::new(&self.maps[side], dimension, rank);
        product_in_place(Target::new(&mut mapped, rank), Matrix::new(centred, count, dimension), map, Write::Replace);
        mapped
    }
}
