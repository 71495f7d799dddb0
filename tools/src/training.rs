//! What the tools that train share: their arguments, the run with its checkpoints, and the folder at its end.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context;
use clap::{Args, ValueEnum};
use obverse::net::{Graph, Initialisation, Network};
use obverse::store::atomic::{self, AtomicFolder};
use obverse::tensor::Element;
use obverse::train::checkpoint::{Checkpoint, Position};
use obverse::train::run::{Loop, Losses, Outcome, Rounds, Trainee, Watch};
use obverse::train::schedule::{Pace, Schedule};
use serde_json::{Map, Value};

use crate::interrupt::Interrupted;
use crate::{
    CheckpointArguments, CommonArguments, DeviceArgument, Metrics, Precision, Progress, SeedArgument, Task,
    interrupted, training_failure,
};

/// The arguments of a training.
#[derive(Clone, Debug, Args)]
pub struct TrainingArguments {
    /// Passes over the images
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub epochs: u64,
    /// Updates of the whole run, instead of --epochs; the last epoch may end early
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub updates: Option<u64>,
    /// Updates between evaluations [default: an epoch]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    evaluate_every: Option<u64>,
    /// Images per update
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: u32,
    /// Adam's learning rate
    #[arg(long, value_name = "R")]
    pub learning_rate: Option<f64>,
    /// Adam's decays
    #[arg(long, value_name = "B1,B2", value_parser = pair)]
    pub betas: Option<[f64; 2]>,
    /// How the learning rate changes: constant, cosine, epoch:D or update:D (times D after each), steps:N:D (every N epochs)
    #[arg(long, value_parser = schedule)]
    pub schedule: Option<Schedule>,
    /// How weights are initialised
    #[arg(long, value_enum, default_value_t = InitialisationArgument::Orthogonal)]
    init: InitialisationArgument,
    /// f64 is for checks: four times slower
    #[arg(long, value_enum, default_value_t)]
    pub precision: Precision,
    /// `--device`.
    #[command(flatten)]
    pub device: DeviceArgument,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    /// `--seed`.
    #[command(flatten)]
    pub seed: SeedArgument,
    /// `--threads`, `--json`, …
    #[command(flatten)]
    pub common: CommonArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InitialisationArgument {
    Orthogonal,
    Uniform,
    He,
    Glorot,
}

/// Combined with the seed to initialise a network beside an encoder, so that layers of the same name draw from different streams.
pub const GENERATOR: u64 = 0x6765_6e65_7261_746f;
/// As [`GENERATOR`], for a discriminator.
pub const DISCRIMINATOR: u64 = 0x6a75_6467_6500_0000;
/// As [`GENERATOR`], for a decoder.
pub const DECODER: u64 = 0x6465_636f_6465_7200;

/// Two numbers with a comma between.
///
/// # Errors
/// Anything else.
pub fn pair(text: &str) -> Result<[f64; 2], String> {
    let parsed = text.split_once(',').and_then(|(a, b)| Some([a.trim().parse().ok()?, b.trim().parse().ok()?]));
    parsed.ok_or_else(|| "expected two numbers, such as 0.5,0.999".to_string())
}

/// A schedule of the learning rate, as `--schedule` says it.
///
/// # Errors
/// Anything else.
pub fn schedule(text: &str) -> Result<Schedule, String> {
    let wrong = || "expected constant, cosine, epoch:D, update:D or steps:N:D".to_string();
    let number = |text: &str| text.parse::<f64>().ok().filter(|decay| *decay > 0.0 && *decay <= 1.0).ok_or_else(wrong);
    match text.split(':').collect::<Vec<_>>().as_slice() {
        ["constant"] => Ok(Schedule::Constant),
        ["cosine"] => Ok(Schedule::Cosine),
        ["epoch", decay] => Ok(Schedule::PerEpoch { decay: number(decay)? }),
        ["update", decay] => Ok(Schedule::PerUpdate { decay: number(decay)? }),
        ["steps", epochs, decay] => {
            Ok(Schedule::Steps { epochs: epochs.parse().map_err(|_| wrong())?, decay: number(decay)? })
        }
        _ => Err(wrong()),
    }
}

impl TrainingArguments {
    /// A network of `graph` with initial parameters, if it fits into memory with a batch of at most `examples` examples; `arch` is its
    /// name in errors.
    ///
    /// # Errors
    /// A network that is too large.
    pub fn network<E: Element>(
        &self,
        arch: &str,
        graph: Graph,
        examples: usize,
        seed: u64,
    ) -> anyhow::Result<Network<E>> {
        self.network_from(arch, graph, examples, (self.initialisation(), seed))
    }

    /// As [`TrainingArguments::network`], initialised in another way.
    ///
    /// # Errors
    /// A network that is too large.
    pub fn network_from<E: Element>(
        &self,
        arch: &str,
        graph: Graph,
        examples: usize,
        (start, seed): (Initialisation, u64),
    ) -> anyhow::Result<Network<E>> {
        graph.charge_training(Path::new(arch), examples.min(self.batch as usize), size_of::<E>())?;
        Ok(Network::initialised(graph, start, seed))
    }

    /// How weights are initialised.
    pub fn initialisation(&self) -> Initialisation {
        match self.init {
            InitialisationArgument::Orthogonal => Initialisation::Orthogonal,
            InitialisationArgument::Uniform => Initialisation::Uniform,
            InitialisationArgument::He => Initialisation::He,
            InitialisationArgument::Glorot => Initialisation::Glorot,
        }
    }

    /// Adam's settings over a run on `examples` examples, with these defaults.
    ///
    /// # Errors
    /// A number outside its range.
    pub fn pace(&self, examples: usize, learning_rate: f64, betas: [f64; 2]) -> anyhow::Result<Pace> {
        let (learning_rate, betas) = (self.learning_rate.unwrap_or(learning_rate), self.betas.unwrap_or(betas));
        anyhow::ensure!(
            learning_rate > 0.0 && learning_rate.is_finite(),
            "--learning-rate: expected a positive number, found {learning_rate}"
        );
        anyhow::ensure!(
            betas.iter().all(|beta| (0.0..1.0).contains(beta)),
            "--betas: expected two numbers in [0, 1), found {betas:?}"
        );
        Ok(Pace {
            learning_rate,
            schedule: self.schedule.unwrap_or_default(),
            betas,
            updates: self.total_updates(examples),
        })
    }

    /// Updates of the whole run.
    pub fn total_updates(&self, examples: usize) -> u64 {
        let training = self.training(examples);
        self.updates.unwrap_or(training.epochs.saturating_mul(training.updates_per_epoch()))
    }

    fn training(&self, examples: usize) -> Loop {
        Loop {
            epochs: if self.updates.is_some() { u64::MAX } else { self.epochs },
            batch: self.batch as usize,
            examples,
            seed: self.seed.seed,
            every: self.checkpoint.every(),
            rounds: Rounds { length: self.evaluate_every, most: self.updates, pause: None },
        }
    }

    /// Trains to the end, then puts the folder that `save` fills in its place, with `metrics.jsonl`, one line per epoch.
    ///
    /// # Errors
    /// An interrupt, divergence, data or files that fail.
    pub fn run<T: Trainee>(
        &self,
        task: Task,
        output: &Path,
        examples: usize,
        trainee: &mut T,
        save: impl FnOnce(&T, &Path) -> anyhow::Result<Metrics>,
    ) -> anyhow::Result<()> {
        let run = TrainingRun {
            training: self.training(examples),
            identity: task.identity_of_training(self.schedule.unwrap_or_default()),
            restart: self.checkpoint.restarts(),
            quiet: self.common.quiet,
        };
        run.run(task, output, trainee, save)
    }
}

/// A training's loop, and what must agree before it continues from a checkpoint.
pub struct TrainingRun {
    /// The loop.
    pub training: Loop,
    /// All that decides the result, except where the run pauses.
    pub identity: Value,
    /// Whether a checkpoint that is there is discarded.
    pub restart: bool,
    /// Whether no progress is shown.
    pub quiet: bool,
}

impl TrainingRun {
    /// Updates until the run ends or pauses.
    fn updates(&self) -> u64 {
        let rounds = self.training.rounds;
        let epochs = self.training.epochs.saturating_mul(self.training.updates_per_epoch());
        [rounds.most, rounds.pause].into_iter().flatten().fold(epochs, u64::min)
    }

    /// Trains to the end, then puts the folder that `save` fills in its place, with `metrics.jsonl`, one line per evaluation. The
    /// checkpoint of a paused run is kept.
    ///
    /// # Errors
    /// An interrupt, divergence, data or files that fail.
    pub fn run<T: Trainee>(
        &self,
        task: Task,
        output: &Path,
        trainee: &mut T,
        save: impl FnOnce(&T, &Path) -> anyhow::Result<Metrics>,
    ) -> anyhow::Result<()> {
        interrupted();
        // Fails now, not after hours of training, if the output cannot be written.
        drop(AtomicFolder::create(output)?);
        let checkpoint = Checkpoint::of(output, self.identity.clone());
        if self.restart {
            checkpoint.remove()?;
        }
        let progress = Progress::new(self.updates(), "updates", self.quiet);
        let mut watch = Watcher { progress, batch: self.training.batch as f64 };
        let (outcome, epochs) = self.training.run(trainee, &checkpoint, &mut watch).map_err(training_failure)?;
        if outcome == Outcome::Interrupted {
            return Err(Interrupted.into());
        }
        drop(watch);
        if let Err(changed) = task.verify_inputs() {
            // It was trained on both contents.
            checkpoint.remove()?;
            return Err(changed);
        }
        let folder = AtomicFolder::create(output)?;
        let more = save(trainee, folder.path())?;
        write_metrics(&folder.path().join("metrics.jsonl"), &epochs)?;
        let mut metrics: Metrics = epochs.last().cloned().unwrap_or_default();
        metrics.extend(more);
        task.finish_folder(folder, metrics)?;
        if outcome == Outcome::Finished {
            checkpoint.remove()?;
            // A run that was killed while it wrote the output has left a partial one.
            atomic::clear(output);
        }
        Ok(())
    }
}

/// One line of JSON per evaluation.
fn write_metrics(path: &Path, epochs: &[Map<String, Value>]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for epoch in epochs {
        lines += &serde_json::to_string(epoch).context("the metrics")?;
        lines.push('\n');
    }
    Ok(atomic::write(path, lines.as_bytes())?)
}

/// Shows progress, and stops the run when the user asks.
struct Watcher {
    progress: Progress,
    /// Images per update, to turn a sum into a mean.
    batch: f64,
}

impl Watch for Watcher {
    fn updated(&mut self, _: &Position, losses: &Losses) -> ControlFlow<()> {
        if let Some((name, sum)) = losses.first() {
            self.progress.set_message(format!("{name} {:.5}", sum / self.batch));
        }
        self.progress.advance(1);
        if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn epoch(&mut self, metrics: &Map<String, Value>) {
        let shown: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value}")).collect();
        self.progress.note(&shown.join(", "));
    }

    fn resumed(&mut self, position: &Position) {
        self.progress.note(&format!("goes on after update {} (epoch {})", position.update, position.epoch + 1));
        self.progress.set(position.update);
    }
}
