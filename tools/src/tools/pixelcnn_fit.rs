//! `pixelcnn-fit`: trains a density model of images, conditional on a layer's values.

use crate::request::{Input, Output};
use std::path::Path;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use obverse::data::batches::ImageFile;
use obverse::density::training::{Examples, Settings, Training};
use obverse::density::{Architecture, Likelihood};
use obverse::store::npy::{Reader, Scalar};
use obverse::tensor::Element;
use obverse::train::run::{Loop, Rounds};
use obverse::train::schedule::{Pace, Schedule};
use serde_json::{Value, json};

use crate::training::{TrainingRun, pair, schedule};
use crate::{CheckpointArguments, CommonArguments, Precision, SeedArgument, Task};

/// Train PixelCNN++, log p(x | h), on 8-bit images x and a layer's values h.
///
/// The result is a folder that pixelcnn-sample draws images from and mi-bound measures information with. It holds the Polyak
/// averages of the parameters; with --validation those with the smallest loss. Progress is kept in MODEL.checkpoint: a run that was
/// stopped, however it was stopped, continues from there and ends with the same bytes.
#[derive(Parser)]
#[command(
    version,
    after_help = "Presets (each number can be set on its own):
  nash-mnist   64 filters, 3 blocks per level, softmax over 256 values (Nash et al. 2019); images of one channel
  nash-colour  196 filters, 3 blocks, 10 logistics
  salimans     160 filters, 5 blocks, 10 logistics (Salimans et al. 2017): learning rate times 0.999995 after each update

Conditions are vectors (N, F), projected to biases, or feature maps (N, C, h, w), resized and projected to spatial biases.
Images whose sides are not multiples of 4 are padded and masked.

Measures:
  epoch, updates             passes over the images, updates so far
  train_nll                  nats per image, averaged over the updates since the last line
  validation_nll, validation_bits_per_dimension
                             with --validation: nats per image, bits per colour value
  best_update                the update that was kept: the best on the validation images
  parameters                 how many parameters

Examples:
  net-tap net train-images.npy --layer fc3 -o fc3.npy
  pixelcnn-fit train-images.npy --condition fc3.npy --updates 250000 --stop-after 2500 -o fc3-model
  pixelcnn-fit train-images.npy --condition fc3.npy --updates 250000 -o fc3-model    # continues from update 2500
  pixelcnn-fit train-images.npy --updates 250000 -o density"
)]
pub struct Arguments {
    /// Images to train on: .npy, (N, C, H, W) or (N, H, W), u8
    images: Input,
    /// The condition of each image: .npy, (N, F) or (N, C, h, w), floats
    #[arg(long, value_name = "H.npy")]
    condition: Option<Input>,
    /// Sizes and schedule (see below) [default: nash-mnist for images of one channel, else nash-colour]
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Filters per layer
    #[arg(long, value_name = "F")]
    filters: Option<usize>,
    /// Gated blocks per level
    #[arg(long, value_name = "B")]
    blocks: Option<usize>,
    /// The distribution of a pixel
    #[arg(long, value_enum)]
    likelihood: Option<LikelihoodArgument>,
    /// Logistics in a mixture
    #[arg(long, default_value_t = 10, value_name = "M")]
    mixtures: usize,
    /// Share of each block's activations that is dropped out in training
    #[arg(long, default_value_t = 0.5, value_name = "P")]
    dropout: f64,
    /// Divide the condition by its root mean square over the training images, so that layers with small and large values are learned
    /// from equally well. The model still takes conditions as they are
    #[arg(long, requires = "condition")]
    standardise: bool,
    /// Share of the condition's linear projections that is dropped out in training
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    condition_dropout: f64,
    /// Updates of the whole training
    #[arg(long, default_value_t = 250_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    updates: u64,
    /// Write the model after this many updates and keep the checkpoint, so that a longer run can continue
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    stop_after: Option<u64>,
    /// Images per update
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Adam's learning rate
    #[arg(long, default_value_t = 1e-3, value_name = "R")]
    learning_rate: f64,
    /// How the learning rate changes: constant, cosine, epoch:D or update:D (times D after each), steps:N:D (every N epochs)
    /// [default: epoch:0.9999; for salimans update:0.999995]
    #[arg(long, value_parser = schedule)]
    schedule: Option<Schedule>,
    /// Adam's decays
    #[arg(long, default_value = "0.95,0.9995", value_name = "B1,B2", value_parser = pair)]
    betas: [f64; 2],
    /// Decay of the Polyak averages; after t updates at most (1 + t) / (10 + t)
    #[arg(long, default_value_t = 0.9995, value_name = "D")]
    polyak: f64,
    /// Keep the parameters with the smallest loss on these images
    #[arg(long, value_name = "IMAGES.npy")]
    validation: Option<Input>,
    /// The condition of the validation images
    #[arg(long, value_name = "H.npy", requires = "validation")]
    validation_condition: Option<Input>,
    /// Evaluate the first N validation images each time
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    validation_count: u32,
    /// Updates between evaluations [default: an epoch]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    evaluate_every: Option<u64>,
    /// Stop early after this many updates without a better validation loss; 0 never stops early
    #[arg(long, default_value_t = 0, value_name = "N", requires = "validation")]
    patience: u64,
    /// f64 is for checks: several times slower
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    #[command(flatten)]
    device: crate::DeviceArgument,
    #[command(flatten)]
    layout: crate::LayoutArguments,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
    /// The model's folder to write
    #[arg(short, long, value_name = "MODEL")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    NashMnist,
    NashColour,
    Salimans,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LikelihoodArgument {
    Softmax,
    Mixture,
}

impl Preset {
    fn of(channels: usize) -> Self {
        if channels == 1 { Self::NashMnist } else { Self::NashColour }
    }

    /// Filters and blocks.
    fn sizes(self) -> (usize, usize) {
        match self {
            Self::NashMnist => (64, 3),
            Self::NashColour => (196, 3),
            Self::Salimans => (160, 5),
        }
    }

    fn likelihood(self) -> LikelihoodArgument {
        match self {
            Self::NashMnist => LikelihoodArgument::Softmax,
            Self::NashColour | Self::Salimans => LikelihoodArgument::Mixture,
        }
    }

    fn schedule(self) -> Schedule {
        match self {
            Self::NashMnist | Self::NashColour => Schedule::PerEpoch { decay: 0.9999 },
            Self::Salimans => Schedule::PerUpdate { decay: 0.999_995 },
        }
    }
}

/// Opens images and their conditions.
///
/// # Errors
/// Images that are not 8-bit, conditions of another number or shape.
pub(crate) fn examples(
    images: &Path,
    condition: Option<&Path>,
    layout: crate::LayoutArguments,
) -> anyhow::Result<Examples> {
    let condition = condition.map(Reader::open).transpose()?;
    Ok(Examples::new(ImageFile::open_as(images, layout.options())?, condition)?)
}

impl Arguments {
    fn architecture(&self, examples: &Examples) -> anyhow::Result<Architecture> {
        let image = examples.images().shape();
        let preset = self.preset.unwrap_or(Preset::of(image.channels));
        let (filters, blocks) = preset.sizes();
        let likelihood = match self.likelihood.unwrap_or(preset.likelihood()) {
            LikelihoodArgument::Softmax => Likelihood::Softmax,
            LikelihoodArgument::Mixture => Likelihood::LogisticMixture(self.mixtures),
        };
        let architecture = Architecture {
            channels: image.channels,
            height: image.height,
            width: image.width,
            filters: self.filters.unwrap_or(filters),
            blocks: self.blocks.unwrap_or(blocks),
            likelihood,
            condition: examples.condition(),
        };
        Ok(architecture.check()?)
    }

    fn settings(&self, channels: usize) -> anyhow::Result<Settings> {
        ensure!(
            self.learning_rate > 0.0 && self.learning_rate.is_finite(),
            "--learning-rate: expected a positive number, found {}",
            self.learning_rate
        );
        ensure!(
            self.betas.iter().all(|beta| (0.0..1.0).contains(beta)),
            "--betas: expected two numbers in [0, 1), found {:?}",
            self.betas
        );
        let schedule = self.schedule.unwrap_or(self.preset.unwrap_or(Preset::of(channels)).schedule());
        let settings = Settings {
            pace: Pace { learning_rate: self.learning_rate, schedule, betas: self.betas, updates: self.updates },
            dropout: self.dropout,
            condition_dropout: self.condition_dropout,
            polyak: self.polyak,
            patience: self.patience,
            validated: self.validation_count as usize,
        };
        Ok(settings.check()?)
    }

    fn training_run(&self, examples: usize, identity: Value) -> TrainingRun {
        let rounds = Rounds { length: self.evaluate_every, most: Some(self.updates), pause: self.stop_after };
        let training = Loop {
            epochs: u64::MAX,
            batch: self.batch as usize,
            examples,
            seed: self.seed.seed,
            every: self.checkpoint.every(),
            rounds,
        };
        TrainingRun { training, identity, restart: self.checkpoint.restarts(), quiet: self.common.quiet }
    }
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a training that diverges, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut data = examples(&arguments.images, arguments.condition.as_deref(), arguments.layout)?;
    let validation = arguments.validation.as_deref();
    let validation = validation
        .map(|images| examples(images, arguments.validation_condition.as_deref(), arguments.layout))
        .transpose()?;
    let architecture = arguments.architecture(&data)?;
    let settings = arguments.settings(architecture.channels)?;
    for part in std::iter::once(&data).chain(&validation) {
        ensure!(part.count() > 0, "{}: expected images, found none", part.images().reader().path().display());
        part.check(&architecture)?;
    }
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    task.on(&arguments.device, arguments.precision == Precision::F64)?;
    task.resolved("architecture", architecture)?;
    task.resolved("settings", settings)?;
    // A run that stops after fewer updates is the same training: the longer one continues from its checkpoint.
    let run = arguments.training_run(data.count(), task.identity_of_training(settings.pace.schedule));
    if task.is_fresh()? {
        return Ok(());
    }
    if arguments.standardise {
        data = data.standardised()?;
    }
    let fit = match arguments.precision {
        Precision::F32 => fit::<f32>,
        Precision::F64 => fit::<f64>,
    };
    fit(&arguments, (architecture, settings), (&data, validation.as_ref()), &run, task)
}

fn fit<E: Element + Scalar>(
    arguments: &Arguments,
    (architecture, settings): (Architecture, Settings),
    (data, validation): (&Examples, Option<&Examples>),
    run: &TrainingRun,
    task: Task,
) -> anyhow::Result<()> {
    let mut training = Training::<E>::new(architecture, settings, arguments.seed.seed, data, validation)?;
    run.run(task, &arguments.output, &mut training, |training, folder| {
        let (model, mut metrics) = (training.model(), training.best_metrics());
        let origin = json!({
            "tool": "pixelcnn-fit", "version": env!("CARGO_PKG_VERSION"), "settings": settings,
            "seed": arguments.seed.seed, "batch": arguments.batch, "stop_after": arguments.stop_after,
        });
        model.save(folder, &origin)?;
        metrics.insert("parameters".into(), model.parameter_count().into());
        Ok(metrics)
    })
}
