//! Learning-rate schedules: the factor of the base rate at an update or epoch, counted from 0.

use serde::{Deserialize, Serialize};

use super::adam::AdamSettings;
use super::checkpoint::Position;

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The learning rate stays the same.
    #[default]
    Constant,
    /// Times `decay` after each epoch.
    PerEpoch {
        /// Factor per epoch.
        decay: f64,
    },
    /// Times `decay` after each update.
    PerUpdate {
        /// Factor per update.
        decay: f64,
    },
    /// Times `decay` after every `epochs` epochs.
    Steps {
        /// Epochs between drops.
        epochs: u64,
        /// Factor per drop.
        decay: f64,
    },
    /// Half a cosine from 1 to 0 over the whole run.
    Cosine,
}

impl Schedule {
    /// Whether the rate at an update depends on the length of the run: a longer run then differs from its start.
    pub fn depends_on_length(self) -> bool {
        self == Self::Cosine
    }

    /// The factor at update `update` of `updates`, in epoch `epoch`.
    ///
    /// ```
    /// use obverse::train::schedule::Schedule;
    /// assert_eq!(Schedule::PerEpoch { decay: 0.5 }.factor(7, 100, 2), 0.25);
    /// assert_eq!(Schedule::Cosine.factor(0, 100, 0), 1.0);
    /// ```
    pub fn factor(self, update: u64, updates: u64, epoch: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::PerEpoch { decay } => decay.powf(epoch as f64),
            Self::PerUpdate { decay } => decay.powf(update as f64),
            Self::Steps { epochs, decay } => decay.powf((epoch / epochs.max(1)) as f64),
            Self::Cosine => {
                let angle = std::f64::consts::PI * update as f64 / updates.max(1) as f64;
                0.5 * (1.0 + angle.cos())
            }
        }
    }
}

/// Adam's settings over a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// The base learning rate.
    pub learning_rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// Adam's decays.
    pub betas: [f64; 2],
    /// Updates of the whole run.
    pub updates: u64,
}

impl Pace {
    /// The settings of the update at `position`.
    pub fn at(&self, position: &Position) -> AdamSettings {
        let factor = self.schedule.factor(position.update, self.updates, position.epoch);
        let betas = (self.betas[0], self.betas[1]);
        AdamSettings { betas, ..AdamSettings::with_rate(self.learning_rate * factor) }
    }
}
