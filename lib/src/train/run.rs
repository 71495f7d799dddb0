//! The loop: epochs of shuffled batches, an evaluation after each or after a number of updates, checkpoints, and a watcher that shows progress and may stop it.
//!
//! Whatever is trained implements [`Trainee`]; the loop does not know losses or networks. An update depends on the seed,
//! the position and the rows alone, so a run that was killed and resumed ends with the same bytes.
//!
//! ```
//! use obverse::train::run::{Loop, Rounds};
//! let run = Loop {
//!     epochs: 2,
//!     batch: 128,
//!     examples: 1000,
//!     seed: 0,
//!     every: std::time::Duration::from_secs(300),
//!     rounds: Rounds::default(),
//! };
//! assert_eq!(run.updates_per_epoch(), 8);
//! ```

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::checkpoint::{Checkpoint, Position};
use super::error::{Error, Result};
use crate::data::batches::epoch_order;
use crate::store::sidecar::metric;

/// Losses by name, summed over the examples of a batch.
pub type Losses = Vec<(&'static str, f64)>;

/// Something that a loop trains.
pub trait Trainee {
    /// One update on the examples at `rows`; `position` keys its random streams.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses>;

    /// Metrics at the end of an epoch, or of a round where the loop has rounds, besides the losses.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn evaluate(&mut self, epoch: u64) -> Result<Map<String, Value>>;

    /// Whether the run ends before its last update, as early stopping does.
    fn has_converged(&self) -> bool {
        false
    }

    /// Writes all state into a checkpoint's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn save(&self, folder: &Path) -> Result<()>;

    /// Reads back what `save` wrote.
    ///
    /// # Errors
    /// A file that is missing or damaged.
    fn restore(&mut self, folder: &Path) -> Result<()>;
}

/// An observer of a run.
pub trait Watch {
    /// After each update. `Break` finishes the run with a checkpoint.
    fn updated(&mut self, position: &Position, losses: &Losses) -> ControlFlow<()>;

    /// After each evaluation, with its metrics.
    fn epoch(&mut self, metrics: &Map<String, Value>);

    /// When a checkpoint was found and the run continues from it.
    fn resumed(&mut self, position: &Position);
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs or updates are done, or the trainee has converged.
    Finished,
    /// The run pauses here; a checkpoint is written, and a longer run continues from it.
    Paused,
    /// The watcher stopped it; a checkpoint is written.
    Interrupted,
}

/// A loop over `examples` examples.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Passes over the examples.
    pub epochs: u64,
    /// Examples per update; the last batch of an epoch may be smaller.
    pub batch: usize,
    /// The number of examples.
    pub examples: usize,
    /// Keys the order of the examples.
    pub seed: u64,
    /// Time between checkpoints.
    pub every: Duration,
    /// When it evaluates, pauses and ends.
    pub rounds: Rounds,
}

/// When a loop evaluates and ends, in updates; by default at the ends of epochs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rounds {
    /// Updates between evaluations.
    pub length: Option<u64>,
    /// Updates of the whole run.
    pub most: Option<u64>,
    /// Updates after which this run pauses.
    pub pause: Option<u64>,
}

impl Loop {
    /// Updates per epoch.
    pub fn updates_per_epoch(&self) -> u64 {
        self.examples.div_ceil(self.batch.max(1)) as u64
    }

    /// Trains to the end, from this run's checkpoint if there is one. Returns the metrics of each evaluation.
    ///
    /// # Errors
    /// A loss that is not finite (the checkpoint from before is kept), data or files that fail.
    pub fn run(
        &self,
        trainee: &mut impl Trainee,
        checkpoint: &Checkpoint,
        watch: &mut impl Watch,
    ) -> Result<(Outcome, Vec<Map<String, Value>>)> {
        if self.batch == 0 || self.examples == 0 {
            return Err(Error::Settings("a training needs at least one example and a batch of at least one".into()));
        }
        let mut position = checkpoint.find()?.unwrap_or_default();
        self.check(&position, checkpoint)?;
        if position != Position::default() {
            trainee.restore(checkpoint.folder())?;
            watch.resumed(&position);
        }
        let mut saved = Instant::now();
        let mut order = epoch_order(self.seed, position.epoch, self.examples);
        loop {
            if self.is_due(&position) {
                self.evaluate(trainee, &mut position, watch)?;
            }
            if position.batch == self.updates_per_epoch() {
                position.epoch += 1;
                position.batch = 0;
                order = epoch_order(self.seed, position.epoch, self.examples);
            }
            if position.epoch >= self.epochs || reached(self.rounds.most, &position) || trainee.has_converged() {
                return Ok((Outcome::Finished, position.metrics));
            }
            if reached(self.rounds.pause, &position) {
                checkpoint.write(&position, |folder| trainee.save(folder))?;
                // After the checkpoint: the longer run evaluates where it would have without a pause.
                if position.examples > 0 {
                    self.evaluate(trainee, &mut position, watch)?;
                }
                return Ok((Outcome::Paused, position.metrics));
            }
            let first = position.batch as usize * self.batch;
            let rows = &order[first..self.examples.min(first + self.batch)];
            let losses = trainee.update(&position, rows)?;
            position.batch += 1;
            position.update += 1;
            position.examples += rows.len() as u64;
            add(&mut position, &losses, checkpoint)?;
            if watch.updated(&position, &losses).is_break() {
                checkpoint.write(&position, |folder| trainee.save(folder))?;
                return Ok((Outcome::Interrupted, position.metrics));
            }
            if saved.elapsed() >= self.every {
                checkpoint.write(&position, |folder| trainee.save(folder))?;
                saved = Instant::now();
            }
        }
    }

    /// Checks that this loop can have reached a position.
    fn check(&self, position: &Position, checkpoint: &Checkpoint) -> Result<()> {
        let length = self.updates_per_epoch();
        let update = position.epoch.checked_mul(length).and_then(|before| before.checked_add(position.batch));
        let possible = position.batch <= length
            && update == Some(position.update)
            && position.epoch <= self.epochs
            && self.rounds.most.is_none_or(|most| position.update <= most);
        if possible {
            return Ok(());
        }
        let beyond = position.epoch > self.epochs || self.rounds.most.is_some_and(|most| position.update > most);
        if position.batch <= length && update == Some(position.update) && beyond {
            let differences = format!(
                "it is at epoch {}, update {}, beyond the end of this run",
                position.epoch + 1,
                position.update
            );
            return Err(Error::OtherRequest { path: checkpoint.folder().to_owned(), differences });
        }
        let reason = format!("epoch {}, batch {}, update {}", position.epoch, position.batch, position.update);
        Err(Error::Checkpoint { path: checkpoint.folder().to_owned(), reason })
    }

    /// Whether an evaluation belongs after the updates so far.
    fn is_due(&self, position: &Position) -> bool {
        let at_end = match self.rounds.length {
            Some(length) => position.update.is_multiple_of(length.max(1)),
            None => position.batch == self.updates_per_epoch(),
        };
        position.examples > 0 && (at_end || reached(self.rounds.most, position))
    }

    /// Turns the summed losses into means, and adds what the trainee measures.
    fn evaluate(&self, trainee: &mut impl Trainee, position: &mut Position, watch: &mut impl Watch) -> Result<()> {
        let mut metrics = Map::new();
        metrics.insert("epoch".into(), (position.epoch + 1).into());
        metrics.insert("updates".into(), position.update.into());
        for (name, sum) in std::mem::take(&mut position.losses) {
            metrics.insert(name, metric(sum.as_f64().unwrap_or(f64::NAN) / position.examples as f64));
        }
        position.examples = 0;
        metrics.extend(trainee.evaluate(position.epoch)?);
        watch.epoch(&metrics);
        position.metrics.push(metrics);
        Ok(())
    }
}

/// Whether this many updates are done.
fn reached(updates: Option<u64>, position: &Position) -> bool {
    updates.is_some_and(|updates| position.update >= updates)
}

/// Adds a batch's losses to the epoch's.
fn add(position: &mut Position, losses: &Losses, checkpoint: &Checkpoint) -> Result<()> {
    for &(name, value) in losses {
        if !value.is_finite() {
            let advice = match checkpoint.find().ok().flatten() {
                Some(kept) => format!("the checkpoint at update {} is kept; lower the learning rate", kept.update),
                None => "lower the learning rate".to_string(),
            };
            let (update, epoch) = (position.update, position.epoch + 1);
            return Err(Error::Diverged { loss: name.to_string(), value, update, epoch, advice });
        }
        let sum = position.losses.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        position.losses.insert(name.to_string(), (sum + value).into());
    }
    Ok(())
}
