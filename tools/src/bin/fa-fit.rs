//! `fa-fit`: trains an encoder by feature alignment.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use obverse::align::training::{Alignment, Clamp, LATENT, Settings, image_size};
use obverse::data::batches::ImageFile;
use obverse::net::{Graph, Initialisation, Network, Size, architectures};
use obverse::store::atomic::{self, AtomicFolder};
use obverse::store::npy::Scalar;
use obverse::tensor::Element;
use obverse::train::checkpoint::{Checkpoint, Position};
use obverse::train::run::{Loop, Losses, Outcome, Watch};
use obverse::train::schedule::Schedule;
use obverse_tools::alignment::RecoveryArguments;
use obverse_tools::interrupt::Interrupted;
use obverse_tools::{CommonArguments, Metrics, Precision, Progress, SeedArgument, Task, interrupted};
use serde_json::{Map, Value, json};

/// Train an encoder so that a gradient step on a neutral input recovers what it encoded (feature alignment).
///
/// The result is a network folder for fa-encode and fa-invert, with `metrics.jsonl`, a line an epoch. Progress is kept in
/// OUT.checkpoint: a run that was stopped, by any means, goes on from there and ends with the same bytes.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  fa-fit train-images.npy --test test-images.npy --arch mnist --preset published-code --epochs 5 -o encoder
  fa-fit train-images.npy --arch cifar10 --latent 256 --start zeros --sigmoid on --learning-rate 1e-4 -o encoder"
)]
struct Arguments {
    /// Images to train on: .npy, (N, C, H, W), u8 or floats in 0..1
    images: PathBuf,
    /// What is trained: fa is Algorithm 1 of the paper
    #[arg(long, value_enum, default_value_t = Mode::Fa)]
    mode: Mode,
    /// Encoder by name (mnist, cifar10, celeba, stl10: its first linear layer adapts to the images' size), or a net.json
    #[arg(long, default_value = "mnist", value_name = "NAME|FILE")]
    arch: String,
    /// Features of the latent, Z
    #[arg(long, default_value_t = 128, value_name = "Z", value_parser = clap::value_parser!(u32).range(1..=65536))]
    latent: u32,
    /// Hyper-parameters: those of the paper's section 4, or of its authors' repository; the flags below change single ones
    #[arg(long, value_enum, default_value_t = Preset::Paper)]
    preset: Preset,
    /// Passes over the images
    #[arg(long, default_value_t = 10, value_name = "N")]
    epochs: u64,
    /// Images an update
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Images that the recovery error is reported on after each epoch
    #[arg(long, value_name = "IMAGES.npy")]
    test: Option<PathBuf>,
    /// Adam's learning rate
    #[arg(long, value_name = "R")]
    learning_rate: Option<f64>,
    /// Adam's decays
    #[arg(long, value_name = "B1,B2", value_parser = pair)]
    betas: Option<[f64; 2]>,
    /// How the learning rate changes: constant, cosine, epoch:D or update:D (times D after each), steps:N:D (every N epochs)
    #[arg(long, value_parser = schedule)]
    schedule: Option<Schedule>,
    #[command(flatten)]
    recovery: RecoveryArguments,
    /// Which parameters are clamped to ±sqrt 2 (equation 9)
    #[arg(long, value_enum)]
    clamp: Option<ClampArgument>,
    /// Clamp pixels to this range first, or none
    #[arg(long, value_name = "LOW,HIGH|none", value_parser = range)]
    clamp_inputs: Option<InputRange>,
    /// How weights start
    #[arg(long, value_enum, default_value_t = InitialisationArgument::Orthogonal)]
    init: InitialisationArgument,
    /// f64 is for checks: four times slower
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 5.0, value_name = "M")]
    checkpoint_minutes: f64,
    /// The network folder to write
    #[arg(short, long, value_name = "NET")]
    output: PathBuf,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Mode {
    Fa,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    Paper,
    PublishedCode,
}

#[derive(Clone, Copy, ValueEnum)]
enum ClampArgument {
    All,
    Weights,
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InitialisationArgument {
    Orthogonal,
    Uniform,
    He,
    Glorot,
}

/// A range of pixels, or none.
#[derive(Clone, Copy)]
struct InputRange(Option<[f64; 2]>);

fn pair(text: &str) -> Result<[f64; 2], String> {
    let parsed = text.split_once(',').and_then(|(a, b)| Some([a.trim().parse().ok()?, b.trim().parse().ok()?]));
    parsed.ok_or_else(|| "expected two numbers, such as 0.5,0.999".to_string())
}

fn range(text: &str) -> Result<InputRange, String> {
    if text == "none" { Ok(InputRange(None)) } else { pair(text).map(|range| InputRange(Some(range))) }
}

fn schedule(text: &str) -> Result<Schedule, String> {
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

impl Arguments {
    /// The preset, with what was asked otherwise.
    fn settings(&self) -> obverse::train::Result<Settings> {
        let preset = match self.preset {
            Preset::Paper => Settings::paper(),
            Preset::PublishedCode => Settings::published_code(),
        };
        let clamp = self.clamp.map(|clamp| match clamp {
            ClampArgument::All => Clamp::All,
            ClampArgument::Weights => Clamp::Weights,
            ClampArgument::None => Clamp::None,
        });
        Settings {
            input_range: self.clamp_inputs.map_or(preset.input_range, |InputRange(range)| range),
            learning_rate: self.learning_rate.unwrap_or(preset.learning_rate),
            schedule: self.schedule.unwrap_or(preset.schedule),
            betas: self.betas.unwrap_or(preset.betas),
            clamp: clamp.unwrap_or(preset.clamp),
            ..self.recovery.applied_to(preset)
        }
        .check()
    }

    /// The encoder's graph, for images of this size.
    fn graph(&self, size: Size) -> anyhow::Result<Graph> {
        let path = Path::new(&self.arch);
        if path.extension().is_some_and(|extension| extension == "json") || path.is_dir() {
            return Ok(Graph::load(path)?);
        }
        Ok(architectures::encoder(&self.arch, size, &[(LATENT, self.latent as usize)])?)
    }

    fn initialisation(&self) -> Initialisation {
        match self.init {
            InitialisationArgument::Orthogonal => Initialisation::Orthogonal,
            InitialisationArgument::Uniform => Initialisation::Uniform,
            InitialisationArgument::He => Initialisation::He,
            InitialisationArgument::Glorot => Initialisation::Glorot,
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = arguments.settings()?;
    let images = ImageFile::open(&arguments.images)?;
    let test = arguments.test.as_deref().map(ImageFile::open).transpose()?;
    let shape = images.shape();
    let graph = arguments.graph(Size::new(shape.channels, shape.height, shape.width))?;
    for file in [Some(&images), test.as_ref()].into_iter().flatten() {
        obverse_tools::require_images(file, &graph)?;
    }
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    task.array(images.reader())?;
    if let Some(test) = &test {
        task.array(test.reader())?;
    }
    if Path::new(&arguments.arch).exists() {
        task.input(&obverse_tools::network_file(Path::new(&arguments.arch)))?;
    }
    task.seed(arguments.seed.seed);
    task.parameter("mode", "fa")?;
    task.parameter("arch", &arguments.arch)?;
    task.parameter("latent", arguments.latent)?;
    task.parameter("preset", format!("{:?}", arguments.preset))?;
    task.parameter("settings", &settings)?;
    task.parameter("init", format!("{:?}", arguments.init))?;
    task.parameter("epochs", arguments.epochs)?;
    task.parameter("batch", arguments.batch)?;
    task.parameter("precision", arguments.precision)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.precision {
        Precision::F32 => train::<f32>(&arguments, &settings, graph, &images, test.as_ref(), task),
        Precision::F64 => train::<f64>(&arguments, &settings, graph, &images, test.as_ref(), task),
    }
}

/// Trains to the end and puts the network in its place.
fn train<E: Element + Scalar>(
    arguments: &Arguments,
    settings: &Settings,
    graph: Graph,
    images: &ImageFile,
    test: Option<&ImageFile>,
    task: Task,
) -> anyhow::Result<()> {
    interrupted();
    // An output that cannot be written is better known now than after hours of training.
    drop(AtomicFolder::create(&arguments.output)?);
    let seed = arguments.seed.seed;
    let training = Loop {
        epochs: arguments.epochs,
        batch: arguments.batch as usize,
        examples: images.count(),
        seed,
        every: Duration::from_secs_f64((60.0 * arguments.checkpoint_minutes).clamp(0.0, 1e9)),
    };
    let updates = training.epochs * training.updates_per_epoch();
    let network = Network::<E>::initialised(graph, arguments.initialisation(), seed);
    let mut alignment = Alignment::new(network, settings.clone(), seed, updates, images, test)?;
    let checkpoint = Checkpoint::of(&arguments.output, task.identity());
    let progress = Progress::new(updates, "updates", arguments.common.quiet);
    let mut watch = Watcher { progress, batch: f64::from(arguments.batch) };
    let (outcome, epochs) =
        training.run(&mut alignment, &checkpoint, &mut watch).map_err(obverse_tools::training_failure)?;
    if outcome == Outcome::Interrupted {
        return Err(Interrupted.into());
    }
    drop(watch);
    let folder = AtomicFolder::create(&arguments.output)?;
    let origin = json!({
        "tool": "fa-fit", "version": env!("CARGO_PKG_VERSION"), "mode": "fa", "settings": settings, "seed": seed,
        "epochs": arguments.epochs, "batch": arguments.batch, "image_size": image_size(alignment.network().graph()),
    });
    alignment.network().save(folder.path(), &origin)?;
    write_metrics(&folder.path().join("metrics.jsonl"), &epochs)?;
    let mut metrics: Metrics = epochs.last().cloned().unwrap_or_default();
    metrics.insert("parameters".into(), alignment.network().graph().parameter_count().into());
    task.finish_folder(folder, metrics)?;
    Ok(checkpoint.remove()?)
}

/// A line of JSON an epoch.
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
    /// Images an update, to turn a sum into a mean.
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

obverse_tools::main!(Arguments, run);
