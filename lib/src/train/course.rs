//! What every trainee is given for its run: Adam's settings and the seed.
//!
//! ```
//! use obverse::train::{checkpoint::Position, course::Course, schedule::{Pace, Schedule}};
//! let pace = Pace { learning_rate: 1e-3, schedule: Schedule::Constant, betas: [0.9, 0.999], updates: 100 };
//! let course = Course { pace, seed: 0 };
//! assert_eq!(course.adam(&Position::default()).learning_rate, 1e-3);
//! ```

use super::adam::AdamSettings;
use super::checkpoint::Position;
use super::schedule::Pace;
use crate::tensor::random::Stream;

/// Adam's settings over a run, and the seed of its random draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// Adam's settings over the run.
    pub pace: Pace,
    /// Keys every random draw of the run.
    pub seed: u64,
}

impl Course {
    /// Adam's settings for the update at `position`.
    pub fn adam(&self, position: &Position) -> AdamSettings {
        self.pace.at(position)
    }

    /// The random stream of `purpose` at update `update`.
    pub fn stream(&self, purpose: &str, update: u64) -> Stream {
        Stream::new(self.seed, purpose, update)
    }
}
