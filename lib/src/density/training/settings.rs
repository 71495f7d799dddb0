//! The hyper-parameters of a training, checked.

use serde::{Deserialize, Serialize};

use crate::density::{Error, Result};
use crate::train::schedule::Pace;

/// The hyper-parameters of a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Adam's settings over the run.
    pub pace: Pace,
    /// The share of a block's activations that is dropped.
    pub dropout: f64,
    /// The share of the condition's projections that is dropped.
    pub condition_dropout: f64,
    /// The decay of the averages, d.
    pub polyak: f64,
    /// Updates without a better validation loss after which the training ends; 0 for never.
    pub patience: u64,
    /// Validation images evaluated each time, the first of the file.
    pub validated: usize,
}

impl Settings {
    /// Checks every value, before any data is read.
    ///
    /// # Errors
    /// A value outside its range, with the range.
    pub fn check(self) -> Result<Self> {
        let shares =
            [("dropout", self.dropout), ("condition_dropout", self.condition_dropout), ("polyak", self.polyak)];
        for (name, value) in shares {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::Settings(format!("`{name}`: expected a number in [0, 1), found {value}")));
            }
        }
        Ok(self)
    }
}
