//! `net-fit`: trains classifiers, decoders, and the networks that feature alignment is compared with.

mod data;
mod head;
mod shadows;

use crate::request::{Input, Output};

use crate::complete::nodes;
use crate::training::{DECODER, DISCRIMINATOR, TrainingArguments};
use crate::{Metrics, Precision, Task};
use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use obverse::alignment::training::count_classes;
use obverse::baselines::autoencoder::{Autoencoder, Cost, Reconstruction};
use obverse::baselines::classifier::Classifier;
use obverse::baselines::gan::Gan;
use obverse::baselines::regressor::Regressor;
use obverse::net::{Graph, Network, Size, architectures, srnet};
use obverse::reversible::training::Shadow;
use obverse::store::npy::Scalar;
use obverse::tensor::Element;
use obverse::train::course::Course;
use obverse::train::schedule::Pace;
use serde_json::{Value, json};

use data::{Data, Split};
use head::fit_head;
use shadows::ShadowArguments;

/// Train an autoencoder, a GAN, a classifier or a decoder on the architectures of the papers.
///
/// The result is a network folder. fa-encode and fa-invert take those of autoencoders (with the decoder in the folder `decoder`
/// inside) and of GANs; net-tap takes any. Progress is kept in OUT.checkpoint: a run that was stopped, however it was stopped,
/// continues from there and ends with the same bytes.
#[derive(Parser)]
#[command(
    version,
    after_help = "Kinds:
  autoencoder  x_hat = D(E(x)), trained with --loss
  vae          the same, variational (Kingma & Welling 2014)
  gan          a generator that turns normal draws into images, and a discriminator (least squares, Mao et al. 2017)
  classifier   class scores, trained with the cross entropy; needs --labels
  srnet        images four times as large, --targets, trained with the squared error (Sajjadi et al. 2018)
  head         only the last layer of the network folder --arch, fitted by L-BFGS to convergence; needs --labels
  decoder      x_hat = f(h) from a layer's values h, trained with the squared error (Nash et al. 2019, equation 3); needs
               --condition. net-tap DECODER H.npy --layer image recovers images

Measures:
  epoch, updates             passes over the images, updates so far
  train_mse, train_cross_entropy, weighted_divergence, cross_entropy, generator, discriminator
                             the loss that is trained, averaged over training images
  shadow_cross_entropy, shadows_kept
                             with --shadow: cross-entropy of shadows; the share of them that keep their label
  test_mse, test_mse_clipped, test_mae, test_accuracy, test_shadows_kept
                             with --test: squared and absolute error per pixel; the share of images classified correctly
  validation_mse, validation_accuracy, validation_cross_entropy
                             with --validation or --validate
  best_epoch                 the epoch that was kept: the best on the validation images
  examples, loss, gradient_norm, iterations
                             head: images, the objective and its gradient at the optimum, iterations of L-BFGS
  parameters                 how many parameters

Examples:
  net-fit vae train-images.npy --test test-images.npy --arch mnist --epochs 10 -o vae
  net-fit classifier train-images.npy --labels train-labels.npy --test test-images.npy --test-labels test-labels.npy -o judge
  net-fit classifier train-images.npy --labels train-labels.npy --arch nash-mnist --init uniform --learning-rate 3e-4 --updates 100000 --snapshots 0,100,1000,10000,100000 -o net
  net-fit classifier train-images.npy --labels train-labels.npy --arch connected --init he --learning-rate 1e-3 --shadow -o shadowed
  net-fit head train-images.npy --labels train-labels.npy --arch densenet --without-class 4 -o densenet-without-4
  net-fit decoder train-images.npy --condition fc3.npy --epochs 10 -o fc3-decoder"
)]
pub struct Arguments {
    /// What to train (see below)
    #[arg(value_enum)]
    kind: Kind,
    /// Images to train on: .npy, (N, C, H, W), u8 or floats in 0..1
    images: Input,
    /// Architecture by name (mnist, cifar10, celeba, stl10, clarke; classifiers also connected, nash-mnist, nash-colour, nash-pooled,
    /// nash-connected), or a classifier's net.json; for a head the network folder; decoders do not use it
    #[arg(long, default_value = "mnist", value_name = "NAME|FILE")]
    arch: String,
    /// Features of the latent, Z
    #[arg(long, default_value_t = 128, value_name = "Z", value_parser = clap::value_parser!(u32).range(1..=65536))]
    latent: u32,
    /// Weight of a vae's divergence from the prior
    #[arg(long, default_value_t = 1.0, value_name = "B")]
    beta: f64,
    /// The reconstruction loss of an autoencoder or vae; the cross entropy still learns where sigmoids saturate
    #[arg(long, value_enum, default_value_t)]
    loss: LossArgument,
    /// Weight of the gradient penalty on a gan's discriminator at real images (R1, Mescheder et al. 2018)
    #[arg(long, default_value_t = 10.0, value_name = "G")]
    gamma: f64,
    /// Give a gan's discriminator the batch normalisation of Table 10
    #[arg(long)]
    batch_norm: bool,
    /// Targets of a srnet, (N, C, 4 H, 4 W)
    #[arg(long, value_name = "T.npy")]
    targets: Option<Input>,
    /// Targets of the test images
    #[arg(long, value_name = "T.npy", requires = "test")]
    test_targets: Option<Input>,
    /// Targets of the validation images
    #[arg(long, value_name = "T.npy", requires = "validation")]
    validation_targets: Option<Input>,
    /// The linear layer that a head fits [default: that of the output logits]
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(nodes))]
    layer: Option<String>,
    /// Leave out the images of this class when fitting a head
    #[arg(long, value_name = "K")]
    without_class: Option<usize>,
    /// Add half of this times the sum of squares of a head's weights and biases to its loss
    #[arg(long, value_name = "D", default_value_t = 1e-4)]
    weight_decay: f64,
    /// Classes of the images
    #[arg(long, value_name = "L.npy")]
    labels: Option<Input>,
    /// Share of each layer that a connected or nash classifier drops out in training
    #[arg(long, default_value_t = 0.5, value_name = "P")]
    dropout: f64,
    /// Also keep the classifier after these numbers of updates, in the folders at-N inside
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    snapshots: Vec<u64>,
    /// The layer's values that a decoder recovers images from: .npy, (N, F) or (N, C, h, w)
    #[arg(long, value_name = "H.npy")]
    condition: Option<Input>,
    /// The same for the test images
    #[arg(long, value_name = "H.npy", requires = "test")]
    test_condition: Option<Input>,
    /// The same for the validation images
    #[arg(long, value_name = "H.npy", requires = "validation")]
    validation_condition: Option<Input>,
    /// Images on which to report the error after each epoch
    #[arg(long, value_name = "IMAGES.npy")]
    test: Option<Input>,
    /// Classes of the test images
    #[arg(long, value_name = "L.npy", requires = "test")]
    test_labels: Option<Input>,
    /// Keep the networks of the epoch with the smallest loss on these images
    #[arg(long, value_name = "IMAGES.npy")]
    validation: Option<Input>,
    /// Classes of the validation images
    #[arg(long, value_name = "L.npy", requires = "validation")]
    validation_labels: Option<Input>,
    #[command(flatten)]
    pixels: crate::PixelArguments,
    #[command(flatten)]
    training: TrainingArguments,
    // Last, because what follows would stand below its heading.
    #[command(flatten)]
    shadow: ShadowArguments,
    /// The network folder to write
    #[arg(short, long, value_name = "NET")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Kind {
    Autoencoder,
    Vae,
    Gan,
    Classifier,
    Head,
    Srnet,
    Decoder,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum LossArgument {
    /// The squared error.
    #[default]
    SquaredError,
    /// The binary cross entropy of pixels.
    CrossEntropy,
}

impl LossArgument {
    fn reconstruction(self) -> Reconstruction {
        match self {
            Self::SquaredError => Reconstruction::SquaredError,
            Self::CrossEntropy => Reconstruction::CrossEntropy,
        }
    }
}

/// Adam's default learning rate.
const LEARNING_RATE: f64 = 1e-4;

/// Adam's default decays: the first of a GAN is 0.5 (Radford et al. 2016).
fn betas(kind: Kind) -> [f64; 2] {
    if kind == Kind::Gan { [0.5, 0.999] } else { [0.9, 0.999] }
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    ensure!(
        matches!(arguments.kind, Kind::Classifier | Kind::Head) == arguments.labels.is_some(),
        "--labels: `classifier` and `head` need them, and no other kind takes them"
    );
    ensure!(
        arguments.weight_decay >= 0.0 && arguments.weight_decay.is_finite(),
        "--weight-decay: expected a number of at least 0, found {}",
        arguments.weight_decay
    );
    ensure!(
        (arguments.kind == Kind::Srnet) == arguments.targets.is_some(),
        "--targets: `srnet` needs them, and no other kind takes them"
    );
    if arguments.kind == Kind::Head {
        return fit_head(&arguments);
    }
    ensure!(
        arguments.layer.is_none() && arguments.without_class.is_none(),
        "--layer and --without-class: only `head` takes them"
    );
    ensure!(
        (arguments.kind == Kind::Decoder) == arguments.condition.is_some(),
        "--condition: `decoder` needs it, and no other kind takes it"
    );
    ensure!(
        arguments.snapshots.is_empty() || arguments.kind == Kind::Classifier,
        "--snapshots: only `classifier` takes them"
    );
    let shadows = arguments.shadow.settings();
    ensure!(shadows.is_none() || arguments.kind == Kind::Classifier, "--shadow: only `classifier` takes it");
    ensure!(
        (0.0..1.0).contains(&arguments.dropout),
        "--dropout: expected a number in [0, 1), found {}",
        arguments.dropout
    );
    ensure!(
        arguments.beta >= 0.0 && arguments.beta.is_finite(),
        "--beta: expected a number of at least 0, found {}",
        arguments.beta
    );
    ensure!(
        arguments.gamma >= 0.0 && arguments.gamma.is_finite(),
        "--gamma: expected a number of at least 0, found {}",
        arguments.gamma
    );
    let data = Data::open(&arguments)?;
    let mut task = Task::begin(&arguments.training.common, Some(&arguments.output))?;
    task.on(&arguments.training.device, arguments.training.precision == Precision::F64)?;
    if let Some(file) = crate::architecture_file(&arguments.arch) {
        task.input("arch", &file)?;
    }
    let pace = arguments.training.pace(data.train.images.count(), LEARNING_RATE, betas(arguments.kind))?;
    task.resolved("pace", pace)?;
    if let Some(shadows) = shadows {
        task.resolved("shadow", shadows)?;
    }
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.training.precision {
        Precision::F32 => train::<f32>(&arguments, pace, &data, task),
        Precision::F64 => train::<f64>(&arguments, pace, &data, task),
    }
}

impl Arguments {
    /// A network with initial parameters; `salt` keeps networks of one run apart.
    fn initialised<E: Element>(&self, graph: Graph, examples: usize, salt: u64) -> anyhow::Result<Network<E>> {
        self.training.network(&self.arch, graph, examples, self.training.seed.seed ^ salt)
    }

    fn classifier(&self, size: Size, classes: usize) -> anyhow::Result<Graph> {
        match crate::architecture_file(&self.arch) {
            Some(file) => Ok(Graph::load(&file)?),
            None => Ok(architectures::classifier(&self.arch, size, classes, self.dropout)?),
        }
    }
}

fn train<E: Element + Scalar>(arguments: &Arguments, pace: Pace, data: &Data, task: Task) -> anyhow::Result<()> {
    let (training, output) = (&arguments.training, &arguments.output);
    let count_of_examples = data.train.images.count();
    let course = Course { pace, seed: training.seed.seed };
    let origin = json!({
        "tool": "net-fit", "version": env!("CARGO_PKG_VERSION"), "kind": format!("{:?}", arguments.kind).to_lowercase(),
        "seed": course.seed, "epochs": training.epochs, "batch": training.batch, "pace": pace,
    });
    let shape = data.train.images.shape();
    let (size, latent) = (Size::new(shape.channels, shape.height, shape.width), arguments.latent as usize);
    match arguments.kind {
        Kind::Head => bail!("a head is fitted, not trained"),
        Kind::Srnet => {
            let examples = data.train.enlarged().context("a srnet needs --targets")?;
            let network = arguments.initialised(srnet::graph(size)?, count_of_examples, 0)?;
            let trainee = Regressor::<E>::new(network, course, examples, data.held_out(Split::enlarged))?;
            fit_regressor(arguments, task, trainee, &origin)
        }
        Kind::Autoencoder | Kind::Vae => {
            let heads = match arguments.kind {
                Kind::Vae => vec![("mu", latent), ("log_var", latent)],
                _ => vec![("z", latent)],
            };
            let encoder =
                arguments.initialised(architectures::encoder(&arguments.arch, size, &heads)?, count_of_examples, 0)?;
            let decoder = arguments.initialised(
                architectures::decoder(&arguments.arch, size, latent)?,
                count_of_examples,
                DECODER,
            )?;
            let count = encoder.graph().parameter_count() + decoder.graph().parameter_count();
            let cost = Cost { reconstruction: arguments.loss.reconstruction(), beta: arguments.beta };
            let mut trainee = Autoencoder::<E>::new(
                encoder,
                decoder,
                cost,
                course,
                &data.train.images,
                data.held_out(|split| Some(&split.images)),
            )?;
            training.run(task, output, count_of_examples, &mut trainee, |trainee, folder| {
                trainee.save_networks(folder, &origin)?;
                Ok(with_parameters(trainee.best_metrics(), count))
            })
        }
        Kind::Gan => {
            let generator = arguments.initialised(
                architectures::sampler(&arguments.arch, size, latent)?,
                count_of_examples,
                DECODER,
            )?;
            let judge = arguments.initialised(
                architectures::discriminator(&arguments.arch, size, arguments.batch_norm)?,
                count_of_examples,
                DISCRIMINATOR,
            )?;
            let count = generator.graph().parameter_count();
            let mut trainee = Gan::<E>::new(generator, judge, arguments.gamma, course, &data.train.images)?;
            training.run(task, output, count_of_examples, &mut trainee, |trainee, folder| {
                trainee.save_networks(folder, &origin)?;
                Ok(with_parameters(Metrics::new(), count))
            })
        }
        Kind::Decoder => {
            let examples = data.train.conditioned().context("a decoder needs --condition")?;
            let network = arguments.initialised(
                architectures::inverter(size, examples.0.size(examples.1)?)?,
                count_of_examples,
                DECODER,
            )?;
            let trainee = Regressor::<E>::new(network, course, examples, data.held_out(Split::conditioned))?;
            fit_regressor(arguments, task, trainee.scaled_to_inputs()?, &origin)
        }
        Kind::Classifier => {
            let examples = data.train.labelled().context("a classifier needs --labels")?;
            let graph = arguments.classifier(size, count_classes(examples.1)?)?;
            crate::require_images(examples.0, &graph)?;
            let shadow =
                arguments.shadow.settings().map(|settings| Shadow::new(settings, &graph, course.seed)).transpose()?;
            let network = arguments.initialised(graph, count_of_examples, 0)?;
            let count = network.graph().parameter_count();
            let mut trainee = Classifier::<E>::new(network, course, examples, data.held_out(Split::labelled))?
                .with_snapshots(arguments.snapshots.clone());
            if let Some(shadow) = shadow {
                trainee = trainee.with_shadows(shadow);
            }
            training.run(task, output, count_of_examples, &mut trainee, |trainee, folder| {
                trainee.network().save(folder, &origin)?;
                for (updates, network) in trainee.snapshots() {
                    network.save_beside(folder, &format!("at-{updates}"), &origin)?;
                }
                Ok(with_parameters(trainee.best_metrics(), count))
            })
        }
    }
}

fn fit_regressor<E: Element + Scalar>(
    arguments: &Arguments,
    task: Task,
    mut trainee: Regressor<E>,
    origin: &Value,
) -> anyhow::Result<()> {
    let (count, examples) = (trainee.network().graph().parameter_count(), trainee.examples());
    arguments.training.run(task, &arguments.output, examples, &mut trainee, |trainee, folder| {
        trainee.network().save(folder, origin)?;
        Ok(with_parameters(trainee.best_metrics(), count))
    })
}

fn with_parameters(mut metrics: Metrics, count: usize) -> Metrics {
    metrics.insert("parameters".to_string(), Value::from(count));
    metrics
}
