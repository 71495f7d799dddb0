//! Inverse feature visualisation: the objective w that an image was made for, from how the response depends on the image.
//!
//! An image that feature visualisation made is stationary for psi_w(s) = (w.f) cos(w, f)^k, so w^T A = 0 with A = [(k + 1) I -
//! k f f^T / |f|^2] J: the left singular vector of A with the smallest singular value is the prediction. [`jacobian`] finds f
//! and J, [`prediction`] the vector; where J has left null vectors whatever the image, [`critical_space`] (Algorithm 1, on
//! [`subspace`]) removes them. [`sampling`] draws objectives for tests, [`evaluation`] compares predictions with them.
//!
//! Source: "Inverting the feature visualization process for feedforward neural networks".
//!
//! ```
//! use obverse::ifv::{evaluation::angle, jacobian::Jacobian, prediction::predict, subspace::Subspace};
//! // Both features follow one parameter, the second twice as far: along (2, -1) nothing moves.
//! let at = Jacobian { response: vec![3.0, 1.0], rows: vec![1.0, 0.0, 2.0, 0.0] }.reduced()?;
//! let prediction = predict(&at, 0, &Subspace::whole(2))?;
//! assert!(angle(&prediction.objective, &[2.0, -1.0]) < 1e-3);
//! # Ok::<(), obverse::ifv::Error>(())
//! ```

pub mod critical_space;
pub mod evaluation;
pub mod jacobian;
pub mod prediction;
pub mod sampling;
pub mod subspace;

use crate::net;
use crate::objective::transform;

/// Why an objective cannot be predicted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number of features that the node or the parameters do not allow.
    #[error("features at node \"{node}\": expected {expected}, found {found}")]
    Features {
        /// The node's name.
        node: String,
        /// What is possible.
        expected: String,
        /// What was requested.
        found: usize,
    },
    /// Vectors of different lengths.
    #[error("{what}: expected {expected} features, found {found}")]
    Length {
        /// What holds them.
        what: &'static str,
        /// The features of the response.
        expected: usize,
        /// Those found.
        found: usize,
    },
    /// A response without direction.
    #[error(
        "a response of zero: no feature of the node is active, so the image says nothing of its objective; choose another node or image"
    )]
    NoResponse,
    /// A Jacobian without values.
    #[error("a Jacobian of zero: the response does not depend on the image; choose another node or image")]
    NoGradient,
    /// A basis whose columns are not orthonormal.
    #[error(
        "a basis of {dimension} columns in {features} dimensions: expected orthonormal columns, found a product of {found:.3e} with itself off the identity"
    )]
    NotOrthonormal {
        /// Rows.
        features: usize,
        /// Columns.
        dimension: usize,
        /// The largest element of Q^T Q - I.
        found: f64,
    },
    /// Samples that are the same.
    #[error(
        "{what}: expected different ones, found row {second} equal to row {first}; each sample must add something new"
    )]
    Identical {
        /// Objectives or images.
        what: &'static str,
        /// The row that came first.
        first: usize,
        /// The row equal to it.
        second: usize,
    },
    /// Too few samples.
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
    #[error("{0}: the singular value decomposition did not converge; values that are not finite do this")]
    Decomposition(&'static str),
    /// A network.
    #[error("{0}")]
    Net(#[from] net::Error),
    /// A change of an image's size.
    #[error("{0}")]
    Transform(#[from] transform::Error),
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// a . b.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// |a|.
fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}
