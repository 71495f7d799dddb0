//! The mean and covariance of feature vectors, in one pass and flat memory, in f64; parts merge.
//!
//! Blocks of rows are centred on their own mean and joined by Chan, Golub and LeVeque's update (1979): no sum of squares is
//! ever subtracted from another. Blocks are counted from the first row, so the result does not depend on how rows arrive.
//!
//! ```
//! use obverse::fidelity::moments::Moments;
//! let rows = [1.0, 2.0, 3.0, 6.0];
//! let mut merged = Moments::of(&rows[..2], 1);
//! merged.merge(&Moments::of(&rows[2..], 1))?;
//! assert_eq!(merged.mean(), [3.0]);
//! assert!((merged.covariance()?[0] - 14.0 / 3.0).abs() < 1e-12);
//! # Ok::<(), obverse::fidelity::Error>(())
//! ```

use rayon::prelude::*;

use super::{Error, Result};
use crate::ops::product::{Matrix, Target, Write, product_in_place};
use crate::tensor::GRAIN;

/// Rows that are centred and multiplied at a time.
const BLOCK: usize = 1024;

/// Rows of a symmetric matrix that are computed together.
pub(super) const TILE: usize = 128;

/// The number of rows, their mean (d) and their scatter, the sum of (x - mean)(x - mean)^T (d x d, in row order).
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    count: usize,
    mean: Vec<f64>,
    scatter: Vec<f64>,
}

impl Moments {
    /// The moments of no rows.
    pub fn empty(dimension: usize) -> Self {
        Self { count: 0, mean: vec![0.0; dimension], scatter: vec![0.0; dimension * dimension] }
    }

    /// The moments of `rows`, (N, d) in row order.
    pub fn of(rows: &[f64], dimension: usize) -> Self {
        let mut accumulator = Accumulator::new(dimension);
        accumulator.add(rows);
        accumulator.finish()
    }

    /// What a file of statistics holds: the number of rows, mean and covariance.
    ///
    /// # Errors
    /// Fewer than two rows, a covariance of another size than the mean's.
    pub(crate) fn from_covariance(count: usize, mean: Vec<f64>, covariance: Vec<f64>) -> Result<Self> {
        let dimension = mean.len();
        if count < 2 {
            return Err(Error::TooFew { needed: 2, found: count, what: "a covariance" });
        }
        if covariance.len() != dimension * dimension {
            return Err(Error::Dimensions { expected: dimension * dimension, found: covariance.len() });
        }
        let freedom = (count - 1) as f64;
        Ok(Self { count, mean, scatter: covariance.into_iter().map(|value| value * freedom).collect() })
    }

    /// The number of rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The number of features, d.
    pub fn dimension(&self) -> usize {
        self.mean.len()
    }

    /// The mean, (d).
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The unbiased covariance, (d, d).
    ///
    /// # Errors
    /// Fewer than two rows.
    pub fn covariance(&self) -> Result<Vec<f64>> {
        if self.count < 2 {
            return Err(Error::TooFew { needed: 2, found: self.count, what: "a covariance" });
        }
        let share = ((self.count - 1) as f64).recip();
        Ok(self.scatter.iter().map(|value| value * share).collect())
    }

    /// Joins the rows of another part to these.
    ///
    /// # Errors
    /// Another number of features.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.dimension() != self.dimension() {
            return Err(Error::Dimensions { expected: self.dimension(), found: other.dimension() });
        }
        if other.count == 0 {
            return Ok(());
        }
        let (mine, theirs) = (self.count as f64, other.count as f64);
        let total = mine + theirs;
        let delta: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(theirs, mine)| theirs - mine).collect();
        let weight = mine * theirs / total;
        let dimension = self.dimension();
        self.scatter.par_chunks_mut(dimension).zip(other.scatter.par_chunks(dimension)).zip(&delta).for_each(
            |((row, other), down)| {
                for ((value, other), across) in row.iter_mut().zip(other).zip(&delta) {
                    *value += other + weight * down * across;
                }
            },
        );
        self.mean.iter_mut().zip(&delta).for_each(|(mean, delta)| *mean += delta * theirs / total);
        self.count += other.count;
        Ok(())
    }
}

/// [`Moments`] that are being accumulated: of their scatter, the tiles on and below the diagonal.
#[derive(Debug)]
pub struct Accumulator {
    moments: Moments,
    waiting: Vec<f64>,
}

impl Accumulator {
    /// No rows yet, of this many features.
    pub fn new(dimension: usize) -> Self {
        Self { moments: Moments::empty(dimension), waiting: Vec::new() }
    }

    /// Takes rows (N, d) in row order, any number at a time.
    pub fn add(&mut self, rows: &[f64]) {
        let block = BLOCK * self.moments.dimension().max(1);
        let mut rows = rows;
        while !rows.is_empty() {
            let (taken, rest) = rows.split_at(rows.len().min(block - self.waiting.len()));
            self.waiting.extend_from_slice(taken);
            rows = rest;
            if self.waiting.len() == block {
                self.join();
            }
        }
    }

    /// The moments of all rows.
    pub fn finish(mut self) -> Moments {
        if !self.waiting.is_empty() {
            self.join();
        }
        let dimension = self.moments.dimension();
        mirror(&mut self.moments.scatter, dimension);
        self.moments
    }

    /// Joins the rows that wait as a block, as [`Moments::merge`] joins parts.
    fn join(&mut self) {
        let Self { moments: Moments { count, mean, scatter }, waiting: rows } = self;
        let dimension = mean.len().max(1);
        let block = centred(rows, dimension);
        let (mine, theirs) = (*count as f64, (rows.len() / dimension) as f64);
        let delta: Vec<f64> = block.iter().zip(&*mean).map(|(theirs, mine)| theirs - mine).collect();
        let weight = mine * theirs / (mine + theirs);
        scatter.par_chunks_mut(TILE * dimension).enumerate().for_each(|(tile, strip)| {
            add_lower(strip, rows, rows, dimension, tile * TILE);
            let end = tile * TILE + strip.len() / dimension;
            for (row, down) in strip.chunks_exact_mut(dimension).zip(&delta[tile * TILE..]) {
                let down = weight * down;
                row[..end].iter_mut().zip(&delta).for_each(|(value, across)| *value += down * across);
            }
        });
        mean.iter_mut().zip(&delta).for_each(|(mean, delta)| *mean += delta * theirs / (mine + theirs));
        *count += rows.len() / dimension;
        rows.clear();
    }
}

/// Takes from each row of `rows` (N, d) their mean, which is returned.
fn centred(rows: &mut [f64], dimension: usize) -> Vec<f64> {
    let mut mean = vec![0.0; dimension];
    mean.par_chunks_mut(TILE).enumerate().for_each(|(tile, mean)| {
        for row in rows.chunks_exact(dimension) {
            mean.iter_mut().zip(&row[tile * TILE..]).for_each(|(mean, value)| *mean += value);
        }
    });
    let count = (rows.len() / dimension) as f64;
    mean.iter_mut().for_each(|mean| *mean /= count);
    rows.par_chunks_exact_mut(dimension).with_min_len(GRAIN.div_ceil(dimension)).for_each(|row| {
        row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
    });
    mean
}

/// Adds to rows of a matrix (d, d), from number `first` on, those of X^T Y up to the diagonal's tile, for X and Y (N, d) in row order.
pub(super) fn add_lower(strip: &mut [f64], x: &[f64], y: &[f64], dimension: usize, first: usize) {
    let (count, height) = (x.len() / dimension, strip.len() / dimension);
    let down = Matrix::strided(&x[first..], count, height, dimension).transposed();
    let across = Matrix::strided(y, count, first + height, dimension);
    product_in_place(Target::strided(strip, dimension), down, across, Write::Add);
}

/// Makes a matrix symmetric whose values below the diagonal are known.
fn mirror(matrix: &mut [f64], dimension: usize) {
    const SIDE: usize = 32;
    for (i, j) in (0..dimension).step_by(SIDE).flat_map(|i| (0..=i).step_by(SIDE).map(move |j| (i, j))) {
        for i in i..dimension.min(i + SIDE) {
            for j in j..i.min(j + SIDE) {
                matrix[j * dimension + i] = matrix[i * dimension + j];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    /// Far from zero, so that sums of squares would lose most digits.
    fn rows(count: usize, dimension: usize) -> Vec<f64> {
        let normal: Vec<f64> = Stream::new(3, "rows", 0).normal(0..count * dimension);
        normal.iter().enumerate().map(|(i, value)| 1e4 + value * (1.0 + (i % dimension) as f64)).collect()
    }

    fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
        let scale = b.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        a.iter().zip(b).fold(0.0f64, |largest, (a, b)| largest.max((a - b).abs())) / scale
    }

    #[test]
    fn the_covariance_is_that_of_the_definition() {
        let (count, dimension) = (301, 7);
        let rows = rows(count, dimension);
        let moments = Moments::of(&rows, dimension);
        let mean = |j: usize| (0..count).map(|n| rows[n * dimension + j]).sum::<f64>() / count as f64;
        let expected: Vec<f64> = (0..dimension * dimension)
            .map(|k| {
                let (i, j) = (k / dimension, k % dimension);
                let product = |n: usize| (rows[n * dimension + i] - mean(i)) * (rows[n * dimension + j] - mean(j));
                (0..count).map(product).sum::<f64>() / (count - 1) as f64
            })
            .collect();
        assert!(largest_difference(&moments.covariance().unwrap(), &expected) < 1e-10);
        assert!((0..dimension).all(|j| (moments.mean()[j] - mean(j)).abs() < 1e-8));
    }

    #[test]
    fn parts_merge_to_the_whole_and_how_rows_arrive_does_not_matter() {
        let (count, dimension) = (2500, 5);
        let rows = rows(count, dimension);
        let whole = Moments::of(&rows, dimension);
        let mut by_pieces = Accumulator::new(dimension);
        rows.chunks(dimension * 37).for_each(|rows| by_pieces.add(rows));
        assert_eq!(by_pieces.finish(), whole);
        for split in [1, 700, 1024, 2499] {
            let (a, b) = rows.split_at(split * dimension);
            let mut merged = Moments::of(a, dimension);
            merged.merge(&Moments::of(b, dimension)).unwrap();
            assert_eq!(merged.count(), count);
            assert!(largest_difference(&merged.scatter, &whole.scatter) < 1e-12, "split at {split}");
            assert!(largest_difference(&merged.mean, &whole.mean) < 1e-12);
        }
    }

    #[test]
    fn wide_features_use_every_tile() {
        let (count, dimension) = (1030, 300);
        let rows: Vec<f64> = Stream::new(4, "rows", 0).normal(0..count * dimension);
        let moments = Moments::of(&rows, dimension);
        let covariance = moments.covariance().unwrap();
        for (i, j) in [(0, 0), (299, 3), (3, 299), (130, 127), (128, 256), (257, 257)] {
            let centred = |n: usize, k: usize| rows[n * dimension + k] - moments.mean()[k];
            let expected = (0..count).map(|n| centred(n, i) * centred(n, j)).sum::<f64>() / (count - 1) as f64;
            assert!((covariance[i * dimension + j] - expected).abs() < 1e-13, "{i} {j}");
        }
        for k in 0..dimension * dimension {
            assert_eq!(covariance[k], covariance[k % dimension * dimension + k / dimension], "{k}");
        }
    }

    #[test]
    fn one_row_has_no_covariance() {
        let error = Moments::of(&rows(1, 2), 2).covariance().unwrap_err();
        assert!(error.to_string().contains("at least 2"), "{error}");
    }
}
