//! `fa-fit`: trains an encoder by feature alignment.

mod data;

use crate::request::{Input, Output};

use crate::alignment::RecoveryArguments;
use crate::training::{DISCRIMINATOR, GENERATOR, TrainingArguments, pair};
use crate::{Metrics, Precision, Task};
use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use obverse::alignment::adversarial::{AdversarialSettings, Adversary, Fakes};
use obverse::alignment::local::{Chain, LocalAlignment};
use obverse::alignment::regression::Regression;
use obverse::alignment::settings::{Beta, Clamp, Settings};
use obverse::alignment::training::{Alignment, count_classes, image_size};
use obverse::net::architectures::{self, Head};
use obverse::net::{Graph, Initialisation, Network, Size};
use obverse::ops::adversarial::Rule;
use obverse::store::npy::{Reader, Scalar};
use obverse::tensor::Element;
use serde_json::{Value, json};

use data::Data;

/// Train an encoder so that a gradient step on a neutral input recovers what it encoded (feature alignment).
///
/// The result is a network folder for fa-encode and fa-invert, with one line per epoch in `metrics.jsonl`. Progress is kept in
/// OUT.checkpoint: a run that was stopped, however it was stopped, continues from there and ends with the same bytes.
#[derive(Parser)]
#[command(
    version,
    after_help = "Modes:
  fa          Algorithm 1: recover images from their latents
  vfa         variational: latents are close to a standard normal, so that images can be recovered from draws too
  vfa-gan     vfa, with a generator that refines recoveries, trained against a discriminator
  local       Algorithm 2: each layer learns to recover its own input, with asinh between layers
  regression  section 3.2: predict --targets, and keep what they do not hold in a latent; --arch toy is the paper's network

Measures:
  epoch, updates             passes over the images, updates so far
  train_mse                  squared error of the recovery per pixel, during training
  weighted_divergence        modes vfa and vfa-gan: the KL divergence from the prior, times --beta
  generator, discriminator   mode vfa-gan: the adversarial losses
  layer_mse                  mode local: squared error of the recovery, the mean over layers
  fit, recovery              mode regression: the two losses
  test_mse, test_mse_clipped, test_mae
                             with --test: squared error per pixel, with its standard error and interval over test images; the same of
                             recoveries clipped to 0..1; absolute error per pixel
  parameters, parameters_with_generator
                             how many parameters

Examples:
  fa-fit train-images.npy --test test-images.npy --arch mnist --preset published-code --epochs 5 -o encoder
  fa-fit train-images.npy --mode vfa-gan --labels train-labels.npy --preset published-code --epochs 10 -o model
  fa-fit train-images.npy --arch cifar10 --latent 256 --start zeros --sigmoid on --learning-rate 1e-4 -o encoder"
)]
pub struct Arguments {
    /// Images to train on: .npy, (N, C, H, W), u8 or floats in 0..1
    images: Input,
    /// What to train (see below)
    #[arg(long, value_enum, default_value_t = Mode::Fa)]
    mode: Mode,
    /// Encoder by name (mnist, cifar10, celeba, stl10: its first linear layer adapts to the images' size), or a net.json
    #[arg(long, default_value = "mnist", value_name = "NAME|FILE")]
    arch: String,
    /// Features of the latent, Z; 0 trains a regression without a latent
    #[arg(long, default_value_t = 128, value_name = "Z", value_parser = clap::value_parser!(u32).range(0..=65536))]
    latent: u32,
    /// Hyper-parameters: those of the paper's section 4, or of its authors' repository; the flags below override them one by one
    #[arg(long, value_enum, default_value_t = Preset::Paper)]
    preset: Preset,
    /// Images on which to report the recovery error after each epoch
    #[arg(long, value_name = "IMAGES.npy")]
    test: Option<Input>,
    /// Classes of the images: a linear head predicts them, and recoveries aim at them too
    #[arg(long, value_name = "L.npy")]
    labels: Option<Input>,
    /// Classes of the test images
    #[arg(long, value_name = "L.npy", requires = "test", requires = "labels")]
    test_labels: Option<Input>,
    /// Targets of a regression: .npy, (N, F)
    #[arg(long, value_name = "Y.npy")]
    targets: Option<Input>,
    #[command(flatten)]
    recovery: RecoveryArguments,
    /// Which parameters to clamp to ±sqrt 2 (equation 9)
    #[arg(long, value_enum)]
    clamp: Option<ClampArgument>,
    /// Clamp pixels to this range first; none leaves them as they are
    #[arg(long, value_name = "LOW,HIGH|none", value_parser = range)]
    clamp_inputs: Option<InputRange>,
    /// Weight of the divergence from the prior: uniform (drawn from U(0, 1) for each example), or a number
    #[arg(long, value_name = "uniform|B", value_parser = beta, allow_hyphen_values = true)]
    beta: Option<Beta>,
    /// Weight of the generator's perceptual loss
    #[arg(long, value_name = "L")]
    lambda: Option<f64>,
    /// The discriminator's loss: least squares, or Wasserstein (a critic)
    #[arg(long, value_enum)]
    discriminator: Option<DiscriminatorArgument>,
    /// Clip the critic's weights to ±W
    #[arg(long, value_name = "W")]
    critic_limit: Option<f64>,
    /// The discriminator's fakes: the generator's images of the batch's recoveries, or of recoveries from draws of the prior
    #[arg(long, value_enum)]
    fakes: Option<FakesArgument>,
    #[command(flatten)]
    pixels: crate::PixelArguments,
    #[command(flatten)]
    training: TrainingArguments,
    /// The network folder to write
    #[arg(short, long, value_name = "NET")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Mode {
    Fa,
    Vfa,
    VfaGan,
    Local,
    Regression,
}

impl Mode {
    /// The name in sidecars and net.json.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
    }
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

#[derive(Clone, Copy, ValueEnum)]
enum DiscriminatorArgument {
    LeastSquares,
    Wasserstein,
}

#[derive(Clone, Copy, ValueEnum)]
enum FakesArgument {
    Reconstructions,
    Prior,
}

/// A range of pixels, or none.
#[derive(Clone, Copy)]
struct InputRange(Option<[f64; 2]>);

fn range(text: &str) -> Result<InputRange, String> {
    if text == "none" { Ok(InputRange(None)) } else { pair(text).map(|range| InputRange(Some(range))) }
}

fn beta(text: &str) -> Result<Beta, String> {
    match text {
        "uniform" => Ok(Beta::Uniform),
        _ => text.parse().map(Beta::Fixed).map_err(|_| "expected uniform or a number".to_string()),
    }
}

impl Arguments {
    /// The preset, with the flags that were given.
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
        let training = &self.training;
        Settings {
            clamp_inputs: self.clamp_inputs.map_or(preset.clamp_inputs, |InputRange(range)| range),
            learning_rate: training.learning_rate.unwrap_or(preset.learning_rate),
            schedule: training.schedule.unwrap_or(preset.schedule),
            betas: training.betas.unwrap_or(preset.betas),
            clamp: clamp.unwrap_or(preset.clamp),
            beta: self.beta.unwrap_or(preset.beta),
            adversarial: self.adversarial(preset.adversarial),
            ..self.recovery.applied_to(preset)
        }
        .check()
    }

    fn adversarial(&self, preset: AdversarialSettings) -> AdversarialSettings {
        let rule = self.discriminator.map(|discriminator| match discriminator {
            DiscriminatorArgument::LeastSquares => Rule::LeastSquares,
            DiscriminatorArgument::Wasserstein => Rule::Wasserstein,
        });
        let fakes = self.fakes.map(|fakes| match fakes {
            FakesArgument::Reconstructions => Fakes::Reconstructions,
            FakesArgument::Prior => Fakes::Prior,
        });
        AdversarialSettings {
            rule: rule.unwrap_or(preset.rule),
            lambda: self.lambda.unwrap_or(preset.lambda),
            fakes: fakes.unwrap_or(preset.fakes),
            critic_limit: self.critic_limit.unwrap_or(preset.critic_limit),
            ..preset
        }
    }

    /// The encoder's graph, for images of this size and this many classes.
    fn graph(&self, size: Size, classes: Option<usize>, targets: Option<usize>) -> anyhow::Result<Graph> {
        let latent = self.latent as usize;
        ensure!(latent > 0 || self.mode == Mode::Regression, "--latent: expected at least 1, found 0");
        if let Some(file) = crate::architecture_file(&self.arch) {
            return Ok(Graph::load(&file)?);
        }
        let mut heads: Vec<Head> = match self.mode {
            Mode::Fa | Mode::Local => vec![("z", latent)],
            Mode::Vfa | Mode::VfaGan => vec![("mu", latent), ("log_var", latent)],
            Mode::Regression => vec![("f", targets.unwrap_or(1))],
        };
        if self.mode == Mode::Regression && latent > 0 {
            heads.push(("z", latent));
        }
        heads.extend(classes.map(|classes| ("class", classes)));
        Ok(match (self.arch.as_str(), self.mode) {
            (architectures::TOY, _) => architectures::perceptron(size, &heads)?,
            (name, Mode::Local) => architectures::local_encoder(name, size, &heads)?,
            (name, _) => architectures::encoder(name, size, &heads)?,
        })
    }

    /// The generator and the discriminator that train beside the encoder.
    fn adversary<E: Element + Scalar>(
        &self,
        settings: &Settings,
        size: Size,
        (classes, examples): (Option<usize>, usize),
    ) -> anyhow::Result<Option<Adversary<E>>> {
        if self.mode != Mode::VfaGan {
            return Ok(None);
        }
        ensure!(
            architectures::NAMES.contains(&self.arch.as_str()),
            "--mode vfa-gan: expected an architecture by name ({}), which its generator and discriminator follow, found {}",
            architectures::NAMES.join(", "),
            self.arch
        );
        let (seed, start) = (self.training.seed.seed, self.training.initialisation());
        // Section 4 starts encoder and generator orthogonal; the published code the discriminator too.
        let judge_start = match self.preset {
            Preset::Paper => Initialisation::Uniform,
            Preset::PublishedCode => start,
        };
        let generator = architectures::generator(&self.arch, size, classes)?;
        let discriminator = architectures::discriminator(&self.arch, size, settings.adversarial.batch_norm)?;
        let training = &self.training;
        let generator = training.network(&self.arch, generator, examples, seed ^ GENERATOR)?;
        let discriminator =
            training.network_from(&self.arch, discriminator, examples, (judge_start, seed ^ DISCRIMINATOR))?;
        Ok(Some(Adversary::new(generator, discriminator, settings.adversarial)?))
    }

    /// Checks that the flags belong to the mode.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.targets.is_some() == (self.mode == Mode::Regression),
            "--targets and --mode regression go together: give both or neither"
        );
        ensure!(
            self.labels.is_none() || !matches!(self.mode, Mode::Local | Mode::Regression),
            "--labels: expected a mode with a class head (fa, vfa, vfa-gan), found {}",
            self.mode.name()
        );
        Ok(())
    }
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.check()?;
    let settings = arguments.settings()?;
    let data = Data::open(&arguments)?;
    let shape = data.images.shape();
    let size = Size::new(shape.channels, shape.height, shape.width);
    let classes = data.labels.as_ref().map(count_classes).transpose()?;
    let graph = arguments.graph(size, classes, data.targets.as_ref().map(Reader::row_len))?;
    for file in [Some(&data.images), data.test.as_ref().map(|(images, _)| images)].into_iter().flatten() {
        crate::require_images(file, &graph)?;
    }
    let mut task = Task::begin(&arguments.training.common, Some(&arguments.output))?;
    task.on(&arguments.training.device, arguments.training.precision == Precision::F64)?;
    if let Some(file) = crate::architecture_file(&arguments.arch) {
        task.input("arch", &file)?;
    }
    task.resolved("settings", &settings)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.training.precision {
        Precision::F32 => train::<f32>(&arguments, settings, graph, &data, task),
        Precision::F64 => train::<f64>(&arguments, settings, graph, &data, task),
    }
}

/// Trains to the end and puts the networks in their place.
fn train<E: Element + Scalar>(
    arguments: &Arguments,
    settings: Settings,
    graph: Graph,
    data: &Data,
    task: Task,
) -> anyhow::Result<()> {
    let training = &arguments.training;
    let (seed, examples) = (training.seed.seed, data.images.count());
    let course = settings.course(training.total_updates(examples), seed);
    let origin = json!({
        "tool": "fa-fit", "version": env!("CARGO_PKG_VERSION"), "mode": arguments.mode.name(), "settings": settings,
        "seed": seed, "epochs": training.epochs, "batch": training.batch, "image_size": image_size(&graph),
    });
    let classes = graph.output("class").ok().map(|place| graph.size(place).channels);
    let size = graph.input.shape;
    let network: Network<E> = training.network(&arguments.arch, graph, examples, seed)?;
    match arguments.mode {
        Mode::Fa | Mode::Vfa | Mode::VfaGan => {
            let adversary = arguments.adversary(&settings, size, (classes, examples))?;
            let mut trainee = Alignment::new(network, adversary, settings, course, data.examples(), data.test())?;
            training.run(task, &arguments.output, examples, &mut trainee, |trainee, folder| {
                trainee.network().save(folder, &origin)?;
                trainee.adversary().map_or(Ok(()), |adversary| adversary.save_networks(folder, &origin))?;
                Ok(counts(trainee.network().graph(), trainee.adversary().map(|a| a.generator().network().graph())))
            })
        }
        Mode::Local => {
            let chain = Chain::of(&network)?;
            let mut trainee = LocalAlignment::new(chain, settings, course, data.examples(), data.test());
            training.run(task, &arguments.output, examples, &mut trainee, |trainee, folder| {
                let network = trainee.chain().network();
                network.save(folder, &origin)?;
                Ok(counts(network.graph(), None))
            })
        }
        Mode::Regression => {
            let targets = data.targets.as_ref().context("--mode regression needs --targets")?;
            let mut trainee = Regression::new(network, settings, course, &data.images, targets)?;
            training.run(task, &arguments.output, examples, &mut trainee, |trainee, folder| {
                trainee.network().save(folder, &origin)?;
                Ok(counts(trainee.network().graph(), None))
            })
        }
    }
}

/// The number of parameters: of the encoder, and of the encoder and the generator together.
fn counts(encoder: &Graph, generator: Option<&Graph>) -> Metrics {
    let mut metrics = Metrics::new();
    let encoder = encoder.parameter_count();
    metrics.insert("parameters".into(), Value::from(encoder));
    if let Some(generator) = generator {
        metrics.insert("parameters_with_generator".into(), (encoder + generator.parameter_count()).into());
    }
    metrics
}
