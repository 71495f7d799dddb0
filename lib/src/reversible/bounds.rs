//! How well h can be recovered: relative errors |h - h^| / |h| of a layer of n hidden and m visible features, k of h's not zero, a
//! share rho of x's kept.
//!
//! The notes state orders of magnitude; the constants here are those of the Gaussian sums in the proofs. Source: reverse
//! nets, Theorems 3.1 and 3.2, Lemma 3.3.
//!
//! ```
//! use obverse::reversible::bounds::{linear, spectral};
//! // Four times as many visible features halve the error of a given h.
//! assert!((linear(100, 4000) / linear(100, 16_000) - 2.0).abs() < 0.02);
//! assert!(spectral(100, 4000) > linear(100, 4000));
//! ```

use super::model::Sizes;

/// Theorem 3.1: of W^T W h / m for a fixed h, sqrt(n / m).
pub fn linear(n: usize, m: usize) -> f64 {
    (n as f64 / m as f64).sqrt()
}

/// The same for the worst h, the spectral norm of I - W^T W / m: near 2 sqrt(n / m) + n / m, the edge of Marchenko & Pastur's law.
pub fn spectral(n: usize, m: usize) -> f64 {
    2.0 * linear(n, m) + n as f64 / m as f64
}

/// Theorem 3.2: eps = sqrt(k / (rho m)), the order of the error of relu(W^T x + b).
pub fn rectified(sizes: Sizes) -> f64 {
    (sizes.k as f64 / (sizes.kept * sizes.m as f64)).sqrt()
}

/// The eps of Lemma 3.3 below which almost all errors of W^T x stay, as shares of |h| / sqrt k: 2 sqrt(k ln n / (rho m)).
///
/// Where h is zero W^T x is normal of deviation |h| sqrt(2 / (rho m)), and n of those stay below sqrt(2 ln n) deviations.
pub fn threshold(sizes: Sizes) -> f64 {
    2.0 * (sizes.n as f64).ln().sqrt() * rectified(sizes)
}
