//! Training: Adam, L-BFGS, learning-rate schedules, checkpoints and the loop.

pub mod adam;
pub mod best;
pub mod checkpoint;
pub mod discriminator;
mod error;
pub mod evaluation;
pub mod lbfgs;
pub mod run;
pub mod schedule;
pub mod shadowing;
pub mod snapshots;

pub use error::{Error, Result};
