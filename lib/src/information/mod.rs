//! How much a representation h knows of its input x: bounds by density models, and estimators without one.
//!
//! All in nats. H*(x|h) = -mean log p(x | h) >= H(x | h), so I(x; h) >= H(x) - H*(x|h) (Nash et al. 2019, equations 5 to 11). The
//! log-likelihoods come from the caller.
//!
//! ```
//! // How far two bounds of one set of images are apart, pair by pair.
//! use obverse::information::bound::{Estimate, differences};
//! let (conv1, logits) = ([-90.0, -100.0, -95.0], [-120.0, -131.0, -124.0]);
//! let difference = Estimate::of(&differences(&conv1, &logits)?, 200, 0)?;
//! assert!((difference.mean - 30.0).abs() < 1e-12 && difference.interval[0] > 28.0);
//! # Ok::<(), obverse::information::Error>(())
//! ```

pub mod bound;
pub mod estimators;

/// Why something cannot be measured.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    /// Too few rows.
    #[error("{what}: expected at least {needed} rows, found {found}; give more")]
    TooFew {
        /// What needs them.
        what: &'static str,
        /// The smallest number needed.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A setting outside its range.
    #[error("{0}")]
    Settings(String),
    /// Rows that coincide, whose logarithm of distance is no number.
    #[error(
        "row {row}: its neighbour number {k} lies at distance 0, so the entropy is -infinity; values that repeat have no density: \
         measure them with noise (`noise_variance`), or by bins"
    )]
    Coincident {
        /// The row.
        row: usize,
        /// Which neighbour.
        k: usize,
    },
    /// Lists that belong to different images.
    #[error("expected {expected} log-likelihoods, one per image, found {found}; compare models on the same images")]
    Unpaired {
        /// Those of the first.
        expected: usize,
        /// Those of the second.
        found: usize,
    },
}

/// What this module's functions return.
pub type Result<T> = std::result::Result<T, Error>;
