//! How far apart two sets of feature vectors are: Fréchet and kernel distances, precision and recall, with intervals.
//!
//! Features are rows (N, d) in f64; the caller computes them. Randomised estimates take a seed.
//!
//! ```
//! use obverse::fidelity::{Features, frechet::frechet, moments::Moments};
//! let rows = [0.0, 1.0, 2.0, 5.0, 4.0, 3.0];
//! // Three images of two features: the distance of a set from itself, by its moments.
//! let moments = Moments::of(&rows, 2);
//! assert_eq!((moments.count(), Features::new(&rows, 2).row(1)), (3, &[2.0, 5.0][..]));
//! assert!(frechet(&moments, &moments)?.distance() < 1e-9);
//! # Ok::<(), obverse::fidelity::Error>(())
//! ```

pub mod cmmd;
pub mod features;
pub mod frechet;
pub mod halves;
pub mod inception_score;
pub mod input;
pub mod kernel;
pub mod limit;
pub mod manifold;
pub mod moments;
mod pairs;
pub mod shuffle;
pub mod statistics;
pub mod uncertainty;

/// Why a distance cannot be computed.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    /// Sets that are too small.
    #[error("{what}: expected at least {needed} images, found {found}; give more")]
    TooFew {
        /// The smallest number needed.
        needed: usize,
        /// How many there are.
        found: usize,
        /// What needs them.
        what: &'static str,
    },
    /// Features of different lengths.
    #[error("expected {expected} features, found {found}; both sides must come from one layer of one network")]
    Dimensions {
        /// Those of the first side.
        expected: usize,
        /// Those of the second.
        found: usize,
    },
    /// Sets of different sizes where shares of images are compared.
    #[error(
        "expected as many images in both sets that are compared with the first, {expected}, found {found}; take as many"
    )]
    Counts {
        /// Images of the one set.
        expected: usize,
        /// Images of the other.
        found: usize,
    },
    /// A decomposition that did not converge.
    #[error("{0}: the decomposition did not converge; features that are not finite, or overflow when squared, do this")]
    Decomposition(&'static str),
}

/// What this module's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Feature vectors, (N, d) in row order.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    rows: &'a [f64],
    dimension: usize,
}

impl<'a> Features<'a> {
    /// `rows` in row order, of `dimension` features each; a rest shorter than a row is left out.
    pub fn new(rows: &'a [f64], dimension: usize) -> Self {
        let whole = rows.len() / dimension.max(1) * dimension.max(1);
        Self { rows: &rows[..whole], dimension }
    }

    /// The number of rows, N.
    pub fn count(self) -> usize {
        self.rows.len() / self.dimension.max(1)
    }

    /// The number of features, d.
    pub fn dimension(self) -> usize {
        self.dimension
    }

    /// All rows, one after the other.
    pub fn rows(self) -> &'a [f64] {
        self.rows
    }

    /// One row.
    pub fn row(self, n: usize) -> &'a [f64] {
        &self.rows[n * self.dimension..(n + 1) * self.dimension]
    }

    /// These rows in this order, copied.
    pub fn gathered(self, rows: &[usize]) -> Vec<f64> {
        rows.iter().flat_map(|&row| self.row(row)).copied().collect()
    }

    fn require_alike(self, other: Features<'_>) -> Result<()> {
        match self.dimension == other.dimension {
            true => Ok(()),
            false => Err(Error::Dimensions { expected: self.dimension, found: other.dimension }),
        }
    }
}
