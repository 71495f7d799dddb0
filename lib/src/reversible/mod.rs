//! Reverse nets: a network is run backwards with its transposed weights, and trained on the images this gives.
//!
//! [`model`] generates x = relu(alpha W h) * drop from sparse h and [`estimate`] recovers h by relu(W^T x + b), within the
//! [`bounds`] of the theorems, which [`theory`] measures. Trained networks are compared with random matrices by
//! [`random_like`], run backwards by [`reverse`], and trained on their own shadows, x with the labels of their images, by
//! [`training`].
//!
//! In the model h in R^n is k-sparse, x in R^m, W is m x n of independent N(0, 1), rho the share of x that dropout keeps. Source:
//! notes on Arora, Liang & Ma, "Why are deep nets reversible".
//!
//! ```
//! // Sparse hidden variables, what a random layer makes of them, and what its transposed weights make of that.
//! use obverse::reversible::model::{Layer, Sizes, sparse};
//! use obverse::tensor::{random::Stream, view};
//! let sizes = Sizes { n: 20, m: 2000, k: 3, kept: 1.0 }.check()?;
//! let stream = |purpose| Stream::new(0, purpose, 0);
//! let layer = Layer::<f64>::random(&stream("W"), sizes);
//! let h = sparse(&stream("h"), 1, sizes);
//! let x = layer.generate(&h, &layer.drop(&stream("drop"), 1));
//! let found = layer.estimate(&x);
//! let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
//! assert!(distance(view(&found), view(&h)) < 0.5 * distance(view(&h), &[0.0; 20]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bounds;
pub mod estimate;
pub mod model;
pub mod random_like;
pub mod reverse;
#[cfg(test)]
mod reverse_tests;
pub mod theory;
pub mod training;

use crate::net;

/// Why a network or a model cannot be run backwards.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A node whose input cannot be computed from its output.
    #[error("node \"{node}\": {operation} has no reverse: {reason}")]
    NoReverse {
        /// The node's name.
        node: String,
        /// Its operation, as net.json has it.
        operation: String,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// Repetitions that are too few.
    #[error(transparent)]
    Repetitions(#[from] crate::statistics::TooFew),
    /// A request that makes no sense.
    #[error("{0}")]
    Settings(String),
    /// Values that are too few.
    #[error("{what}: expected at least {needed}, found {found}")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// The smallest number.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A decomposition that did not converge.
    #[error("{0}: the decomposition did not converge; values that are not finite do this")]
    Decomposition(String),
    /// A network.
    #[error("{0}")]
    Net(#[from] net::Error),
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;
