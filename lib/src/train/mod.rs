//! Training: Adam, L-BFGS, learning-rate schedules, checkpoints and the loop.
//!
//! ```
//! use obverse::tensor::{batch, view};
//! use obverse::train::adam::{Adam, AdamSettings};
//! // x^2 from x = 1.
//! let mut x = batch(vec![1.0f64], (1, 1, 1, 1));
//! let mut adam = Adam::new(std::slice::from_ref(&x));
//! for _ in 0..200 {
//!     let slope = batch(vec![2.0 * view(&x)[0]], (1, 1, 1, 1));
//!     adam.advance();
//!     adam.update(0, &mut x, &slope, &AdamSettings::with_rate(0.05), None);
//! }
//! assert!(view(&x)[0].abs() < 0.05);
//! ```

pub mod adam;
pub mod best;
pub mod checkpoint;
pub mod course;
pub mod discriminator;
mod error;
pub mod evaluation;
pub mod lbfgs;
pub mod run;
pub mod schedule;
pub mod seal;
pub mod shadowing;
pub mod snapshots;

pub use error::{Error, Result};
