//! `net-fit`: trains the networks that feature alignment is compared with, and classifiers.

use std::path::{Path, PathBuf};

use super::dataset::folder_at;
use crate::training::{DECODER, DISCRIMINATOR, TrainingArguments};
use crate::{Metrics, Precision, Progress, Task, check_interrupted};
use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use dfdx::prelude::NoneTape;
use obverse::align::training::count_classes;
use obverse::baselines::autoencoder::{Autoencoder, Cost, Reconstruction};
use obverse::baselines::classifier::{Classifier, Labelled};
use obverse::baselines::gan::Gan;
use obverse::baselines::head;
use obverse::baselines::regressor::{Pairs, Regressor};
use obverse::data::batches::{ImageFile, LabelFile};
use obverse::net::{Graph, Mode, Network, Op, Size, architectures, srnet};
use obverse::ops::InputGradient;
use obverse::store::npy::Scalar;
use obverse::store::sidecar::metric;
use obverse::tensor::{Element, batch, image_len, view, view_mut};
use obverse::train::evaluation::HeldOut;
use obverse::train::lbfgs::Limits;
use obverse::train::schedule::Pace;
use serde_json::{Value, json};

/// Train an autoencoder, a GAN or a classifier on the architectures of the papers.
///
/// The result is a network folder. fa-encode and fa-invert take those of autoencoders (the decoder lies in the folder
/// `decoder` inside) and GANs; net-tap taps any. Progress is kept in OUT.checkpoint: a run that was stopped, by any means,
/// goes on from there and ends with the same bytes.
#[derive(Parser)]
#[command(
    version,
    after_help = "What is trained:
  autoencoder  x_hat = D(E(x)), by --loss
  vae          the same, variational (Kingma & Welling 2014)
  gan          a generator of images from normal draws, and a discriminator (least squares, Mao et al. 2017)
  classifier   class scores, by the cross entropy; needs --labels
  srnet        images four times as large, --targets, by the squared error (Sajjadi et al. 2018)
  head         the last layer alone of the network folder --arch, its other layers kept, by L-BFGS to convergence; needs --labels

Examples:
  net-fit vae train-images.npy --test test-images.npy --arch mnist --epochs 10 -o vae
  net-fit head train-images.npy --labels train-labels.npy --arch densenet --without-class 4 -o densenet-without-4
  net-fit classifier train-images.npy --labels train-labels.npy --test test-images.npy --test-labels test-labels.npy -o judge"
)]
pub struct Arguments {
    /// What is trained (see below)
    #[arg(value_enum)]
    kind: Kind,
    /// Images to train on: .npy, (N, C, H, W), u8 or floats in 0..1
    images: PathBuf,
    /// Architecture by name (mnist, cifar10, celeba, stl10, clarke), or the classifier's net.json; for a head the network folder
    #[arg(long, default_value = "mnist", value_name = "NAME|FILE")]
    arch: String,
    /// Features of the latent, Z
    #[arg(long, default_value_t = 128, value_name = "Z", value_parser = clap::value_parser!(u32).range(1..=65536))]
    latent: u32,
    /// Weight of a vae's divergence from the prior
    #[arg(long, default_value_t = 1.0, value_name = "B")]
    beta: f64,
    /// What an autoencoder's or vae's reconstructions are held to; a cross entropy still learns where sigmoids saturate
    #[arg(long, value_enum, default_value_t)]
    loss: LossArgument,
    /// Weight of the penalty on the slope of a gan's discriminator at real images (R1, Mescheder et al. 2018)
    #[arg(long, default_value_t = 10.0, value_name = "G")]
    gamma: f64,
    /// Whether a gan's discriminator has the batch normalisation of Table 10
    #[arg(long)]
    batch_norm: bool,
    /// What a srnet shall make of the images, (N, C, 4 H, 4 W)
    #[arg(long, value_name = "T.npy")]
    targets: Option<PathBuf>,
    /// What it shall make of the test images
    #[arg(long, value_name = "T.npy", requires = "test")]
    test_targets: Option<PathBuf>,
    /// What it shall make of the validation images
    #[arg(long, value_name = "T.npy", requires = "validation")]
    validation_targets: Option<PathBuf>,
    /// A head's node, a linear layer [default: that of the output logits]
    #[arg(long, value_name = "NODE")]
    layer: Option<String>,
    /// A class whose images a head never sees
    #[arg(long, value_name = "K")]
    without_class: Option<usize>,
    /// Half of this times the squares of a head's weights and biases is added to its loss
    #[arg(long, value_name = "D", default_value_t = 1e-4)]
    weight_decay: f64,
    /// Classes of the images
    #[arg(long, value_name = "L.npy")]
    labels: Option<PathBuf>,
    /// Images that the error is reported on after each epoch
    #[arg(long, value_name = "IMAGES.npy")]
    test: Option<PathBuf>,
    /// Classes of the test images
    #[arg(long, value_name = "L.npy", requires = "test")]
    test_labels: Option<PathBuf>,
    /// Images that choose the epoch whose networks are kept: that of the least loss on them
    #[arg(long, value_name = "IMAGES.npy")]
    validation: Option<PathBuf>,
    /// Classes of the validation images
    #[arg(long, value_name = "L.npy", requires = "validation")]
    validation_labels: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingArguments,
    /// The network folder to write
    #[arg(short, long, value_name = "NET")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Kind {
    Autoencoder,
    Vae,
    Gan,
    Classifier,
    Head,
    Srnet,
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

/// Adam's learning rate where none is asked for.
const LEARNING_RATE: f64 = 1e-4;

/// Adam's decays where none are asked for: a GAN's first one is 0.5 (Radford et al. 2016).
fn betas(kind: Kind) -> [f64; 2] {
    if kind == Kind::Gan { [0.5, 0.999] } else { [0.9, 0.999] }
}

/// A part of a dataset: images, and their classes where they are given.
struct Part {
    images: ImageFile,
    labels: Option<LabelFile>,
    targets: Option<ImageFile>,
}

impl Part {
    fn open(images: &Path, labels: Option<&Path>, targets: Option<&Path>) -> anyhow::Result<Self> {
        let images = ImageFile::open(images)?;
        let labels = labels.map(|path| LabelFile::open(path, images.count())).transpose()?;
        let targets = targets.map(ImageFile::open).transpose()?;
        if let Some(targets) = &targets {
            let (small, large) = (images.shape(), targets.shape());
            let (height, width) = (srnet::FACTOR * small.height, srnet::FACTOR * small.width);
            ensure!(
                targets.count() == images.count()
                    && (large.channels, large.height, large.width) == (small.channels, height, width),
                "{}: expected {} images of {}x{height}x{width}, {} times as large as those to enlarge, found {} of {}x{}x{}",
                targets.reader().path().display(),
                images.count(),
                small.channels,
                srnet::FACTOR,
                targets.count(),
                large.channels,
                large.height,
                large.width
            );
        }
        Ok(Self { images, labels, targets })
    }

    fn declare(&self, task: &mut Task) -> anyhow::Result<()> {
        task.array(self.images.reader())?;
        self.targets.iter().try_for_each(|targets| task.array(targets.reader()))?;
        self.labels.as_ref().map_or(Ok(()), |labels| task.array(labels.reader()))
    }

    fn pairs(&self) -> Option<Pairs<'_>> {
        self.targets.as_ref().map(|targets| (&self.images, targets))
    }

    fn labelled(&self) -> Option<Labelled<'_>> {
        self.labels.as_ref().map(|labels| (&self.images, labels))
    }
}

/// Every file that a training reads.
struct Data {
    train: Part,
    test: Option<Part>,
    validation: Option<Part>,
}

impl Data {
    fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let part = |images: &Option<PathBuf>, labels: &Option<PathBuf>, targets: &Option<PathBuf>| {
            images.as_deref().map(|images| Part::open(images, labels.as_deref(), targets.as_deref())).transpose()
        };
        let train = Part::open(&arguments.images, arguments.labels.as_deref(), arguments.targets.as_deref())?;
        let test = part(&arguments.test, &arguments.test_labels, &arguments.test_targets)?;
        let validation = part(&arguments.validation, &arguments.validation_labels, &arguments.validation_targets)?;
        let wanted = train.images.shape();
        for images in [&test, &validation].into_iter().flatten().map(|part| &part.images) {
            let found = images.shape();
            ensure!(
                wanted == found,
                "{}: expected images of {}x{}x{}, as those to train on, found {}x{}x{}",
                images.reader().path().display(),
                wanted.channels,
                wanted.height,
                wanted.width,
                found.channels,
                found.height,
                found.width
            );
        }
        Ok(Self { train, test, validation })
    }

    fn declare(&self, task: &mut Task) -> anyhow::Result<()> {
        let held_out = [&self.test, &self.validation].into_iter().flatten();
        std::iter::once(&self.train).chain(held_out).try_for_each(|part| part.declare(task))
    }

    /// The parts that nothing is trained on.
    fn held_out<'a, T>(&'a self, of: impl Fn(&'a Part) -> Option<T>) -> HeldOut<T> {
        HeldOut { test: self.test.as_ref().and_then(&of), validation: self.validation.as_ref().and_then(&of) }
    }
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    ensure!(
        matches!(arguments.kind, Kind::Classifier | Kind::Head) == arguments.labels.is_some(),
        "--labels: a classifier and a head need them, and nothing else takes them"
    );
    ensure!(
        arguments.weight_decay >= 0.0 && arguments.weight_decay.is_finite(),
        "--weight-decay: expected a number of at least 0, found {}",
        arguments.weight_decay
    );
    ensure!(
        (arguments.kind == Kind::Srnet) == arguments.targets.is_some(),
        "--targets: a srnet needs them, and nothing else takes them"
    );
    if arguments.kind == Kind::Head {
        return fit_head(&arguments);
    }
    ensure!(
        arguments.layer.is_none() && arguments.without_class.is_none(),
        "--layer and --without-class: expected a head, which alone takes them"
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
    data.declare(&mut task)?;
    if let Some(file) = crate::architecture_file(&arguments.arch) {
        task.input(&file)?;
    }
    let pace = arguments.training.pace(data.train.images.count(), LEARNING_RATE, betas(arguments.kind))?;
    task.parameter("kind", format!("{:?}", arguments.kind))?;
    task.parameter("arch", &arguments.arch)?;
    task.parameter("latent", arguments.latent)?;
    task.parameter("beta", arguments.beta)?;
    task.parameter("loss", format!("{:?}", arguments.loss))?;
    task.parameter("gamma", arguments.gamma)?;
    task.parameter("batch_norm", arguments.batch_norm)?;
    task.parameter("pace", pace)?;
    arguments.training.declare(&mut task)?;
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
    fn initialised<E: Element>(&self, graph: Graph, salt: u64) -> Network<E> {
        Network::initialised(graph, self.training.initialisation(), self.training.seed.seed ^ salt)
    }

    fn classifier(&self, size: Size, classes: usize) -> anyhow::Result<Graph> {
        match crate::architecture_file(&self.arch) {
            Some(file) => Ok(Graph::load(&file)?),
            None => Ok(architectures::classifier(&self.arch, size, classes)?),
        }
    }
}

fn train<E: Element + Scalar>(arguments: &Arguments, pace: Pace, data: &Data, task: Task) -> anyhow::Result<()> {
    let (training, output) = (&arguments.training, &arguments.output);
    let count_of_examples = data.train.images.count();
    let seed = training.seed.seed;
    let origin = json!({
        "tool": "net-fit", "version": env!("CARGO_PKG_VERSION"), "kind": format!("{:?}", arguments.kind).to_lowercase(),
        "seed": seed, "epochs": training.epochs, "batch": training.batch, "pace": pace,
    });
    let shape = data.train.images.shape();
    let (size, latent) = (Size::new(shape.channels, shape.height, shape.width), arguments.latent as usize);
    match arguments.kind {
        Kind::Head => bail!("a head is fitted, not trained"),
        Kind::Srnet => {
            let examples = data.train.pairs().context("a srnet needs --targets")?;
            let network = arguments.initialised(srnet::graph(size)?, 0);
            let count = network.graph().parameter_count();
            let held_out = data.held_out(Part::pairs);
            let mut trainee = Regressor::<E>::new(network, srnet::IMAGE, (pace, seed), examples, held_out)?;
            training.run(task, output, count_of_examples, &mut trainee, |trainee, folder| {
                trainee.network().save(folder, &origin)?;
                Ok(with_parameters(trainee.best_metrics(), count))
            })
        }
        Kind::Autoencoder | Kind::Vae => {
            let heads = match arguments.kind {
                Kind::Vae => vec![("mu", latent), ("log_var", latent)],
                _ => vec![("z", latent)],
            };
            let encoder = arguments.initialised(architectures::encoder(&arguments.arch, size, &heads)?, 0);
            let decoder = arguments.initialised(architectures::decoder(&arguments.arch, size, latent)?, DECODER);
            let count = encoder.graph().parameter_count() + decoder.graph().parameter_count();
            let cost = Cost { reconstruction: arguments.loss.reconstruction(), beta: arguments.beta };
            let mut trainee = Autoencoder::<E>::new(
                encoder,
                decoder,
                (cost, pace, seed),
                &data.train.images,
                data.held_out(|part| Some(&part.images)),
            )?;
            training.run(task, output, count_of_examples, &mut trainee, |trainee, folder| {
                trainee.save_networks(folder, &origin)?;
                Ok(with_parameters(trainee.best_metrics(), count))
            })
        }
        Kind::Gan => {
            let generator = arguments.initialised(architectures::sampler(&arguments.arch, size, latent)?, DECODER);
            let judge = arguments
                .initialised(architectures::discriminator(&arguments.arch, size, arguments.batch_norm)?, DISCRIMINATOR);
            let count = generator.graph().parameter_count();
            let mut trainee = Gan::<E>::new(generator, judge, (pace, arguments.gamma, seed), &data.train.images)?;
            training.run(task, output, count_of_examples, &mut trainee, |trainee, folder| {
                trainee.save_networks(folder, &origin)?;
                Ok(with_parameters(Metrics::new(), count))
            })
        }
        Kind::Classifier => {
            let examples = data.train.labelled().context("a classifier needs --labels")?;
            let graph = arguments.classifier(size, count_classes(examples.1)?)?;
            crate::require_images(examples.0, &graph)?;
            let network = arguments.initialised(graph, 0);
            let count = network.graph().parameter_count();
            let mut trainee = Classifier::<E>::new(network, pace, seed, examples, data.held_out(Part::labelled))?;
            training.run(task, output, count_of_examples, &mut trainee, |trainee, folder| {
                trainee.network().save(folder, &origin)?;
                Ok(with_parameters(trainee.best_metrics(), count))
            })
        }
    }
}

/// Fits the last layer of a network to the features that reach it.
fn fit_head(arguments: &Arguments) -> anyhow::Result<()> {
    let labels = arguments.labels.as_deref().context("a head needs --labels")?;
    let part = Part::open(&arguments.images, Some(labels), None)?;
    let folder = Path::new(&arguments.arch);
    let mut task = Task::begin(&arguments.training.common, Some(&arguments.output))?;
    part.declare(&mut task)?;
    task.input(folder)?;
    task.parameter("kind", "Head")?;
    task.parameter("layer", &arguments.layer)?;
    task.parameter("without_class", arguments.without_class)?;
    task.parameter("weight_decay", arguments.weight_decay)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let mut network = Network::<f32>::load(folder)?;
    crate::require_images(&part.images, network.graph())?;
    let graph = network.graph();
    let place = match &arguments.layer {
        Some(layer) => graph.place(layer)?,
        None => graph.output("logits")?,
    };
    let (name, size) = (graph.nodes[place].name.clone(), graph.input_size(place));
    let places: Vec<usize> = graph.parameters_at(place).iter().map(|&(at, _)| at).collect();
    let (Op::Linear { .. }, &[weight, bias]) = (&graph.nodes[place].op, places.as_slice()) else {
        bail!("--layer {name}: expected a linear layer with a bias, found another operation")
    };
    let source = graph.sources(place)[0].map(|source| graph.nodes[source].name.clone());
    let source = source.context("--layer: expected a layer after others, found one that reads the input")?;
    let classes = graph.size(place).channels;
    let (features, labels) = features(arguments, &part, &network.clone().folded(&[&source])?, (&source, classes))?;
    let start: Vec<f64> =
        [weight, bias].iter().flat_map(|&at| view(&network.parameters()[at]).to_vec()).map(f64::from).collect();
    let limits = Limits { iterations: 5000, ..Limits::default() };
    let examples = head::Examples { features: &features, labels: &labels, classes };
    let fitted = head::fit(examples, start, arguments.weight_decay, &limits);
    let (weights, biases) = fitted.parameters.split_at(classes * size.channels);
    for (at, values) in [(weight, weights), (bias, biases)] {
        let target = view_mut(&mut network.parameters_mut()[at]);
        target.iter_mut().zip(values).for_each(|(target, &value)| *target = value as f32);
    }
    let origin = json!({
        "tool": "net-fit", "version": env!("CARGO_PKG_VERSION"), "kind": "head", "layer": name,
        "without_class": arguments.without_class, "weight_decay": arguments.weight_decay,
    });
    let output = folder_at(&arguments.output)?;
    network.save(output.path(), &origin)?;
    let metrics = Metrics::from_iter([
        ("examples".to_string(), Value::from(labels.len())),
        ("loss".to_string(), metric(fitted.loss)),
        ("gradient_norm".to_string(), metric(fitted.gradient_norm)),
        ("iterations".to_string(), Value::from(fitted.iterations)),
    ]);
    task.finish_folder(output, metrics)
}

/// The features that reach a head, and the classes, of the images it shall see.
fn features(
    arguments: &Arguments,
    part: &Part,
    network: &Network<f32>,
    (source, classes): (&str, usize),
) -> anyhow::Result<(Vec<f64>, Vec<usize>)> {
    let labels = part.labels.as_ref().context("a head needs --labels")?;
    let (place, input) = (network.graph().place(source)?, network.graph().input.shape);
    let all: Vec<usize> = (0..part.images.count()).collect();
    let (mut features, mut seen) = (Vec::new(), Vec::new());
    let mut progress = Progress::new(all.len() as u64, "images", arguments.training.common.quiet);
    for rows in all.chunks(arguments.training.batch as usize) {
        check_interrupted()?;
        let x = batch(part.images.batch::<f32>(rows)?, (rows.len(), input.height, input.width, input.channels));
        let trace = network.forward(&mut NoneTape, &x, Mode::Inference, InputGradient::Unwanted);
        let value = network.value(&trace, place)?;
        for (row, label) in view(value).chunks_exact(image_len(value)).zip(labels.batch(rows)?) {
            let label = usize::try_from(label).ok().filter(|&label| label < classes);
            let label = label.with_context(|| {
                format!("{}: expected classes from 0 to {}", labels.reader().path().display(), classes - 1)
            })?;
            if arguments.without_class != Some(label) {
                features.extend(row.iter().map(|&value| f64::from(value)));
                seen.push(label);
            }
        }
        progress.advance(rows.len() as u64);
    }
    ensure!(!seen.is_empty(), "--without-class: expected images of other classes, found none");
    Ok((features, seen))
}

fn with_parameters(mut metrics: Metrics, count: usize) -> Metrics {
    metrics.insert("parameters".to_string(), Value::from(count));
    metrics
}
