//! `fv-optimize`: images that activate units of a network most.

mod climb;
mod select;

use crate::request::{Input, Output};
use std::path::Path;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use obverse::net::{Network, Size};
use obverse::objective::aggregation::Aggregation;
use obverse::objective::expression::{Atom, Expression};
use obverse::objective::resolved::{Comparison, Objective};
use obverse::objective::transform::{Pipeline, Transforms};
use obverse::store::is_standard_stream;
use obverse::store::npy::{Reader, Scalar};
use obverse::tensor::Element;
use obverse::visualisation::ascent::{Optimiser, Settings};

use crate::comparison::ComparisonArguments;
use crate::parameterisation::ParameterisationArguments;
use crate::{CheckpointArguments, Precision, RowsArguments, SeedArgument, Task, companion};

/// Make images that maximise objectives of a network: by gradient ascent, by search, or from a dataset.
///
/// OUT.npy holds the images, floats in 0..1. Beside it lie OUT.parameters.npy, what was optimised, and OUT.trace.npy, (N, T, 2):
/// the objective and the norm of its gradient at each step. A run that was stopped continues from OUT.npy.checkpoint and ends
/// with the same bytes. An image's bytes depend only on its objective, its number and the seed.
#[derive(Parser)]
#[command(
    version,
    after_help = "An objective is a weighted sum of:
  channel:NODE:C          the mean activation of a channel
  neuron:NODE:C:Y:X       one neuron; without Y:X the one at the centre; neuron:NODE:C@T at token T
  class:K                 a class's score before the softmax
  layer:NODE              the mean square of a layer (DeepDream)
  token:NODE:T            that of one token, 0 being the class token; head:NODE:H/N, of head H of N
  direction:NODE:F.npy    similarity to a direction; targets:NODE:F.npy, one row per image:
                          (w.f) max(0.1, cos(w, f))^K of the aggregated activations f;
                          direction:NODE:F.npy[R]@T is row R of a file, at token T alone
  diversity:NODE          minus the mean similarity of an objective's images
  l1, l2, tv              mean |x - 1/2|, mean (x - 1/2)^2, total variation per pixel
  A to B                  A for the first image of --count, B for the last, and mixtures between
Transforms are `lucid` (pad 12, jitter 8, scale 0.9..1.1, rotate -10..10, jitter 4), `clarke` (translation 0 to 20 pixels, any
rotation), `none`, or a list such as pad:12,jitter:8,scale:0.9..1.1,rotate:-10..10,blur:0.5..1,noise:0.05.

Measures:
  objective                  of each image: its value at the end
  gradient_norm, start_gradient_norm
                             of each image: the norm of its gradient at the end and at the start
  cosine                     of each image with a direction or target: the cosine between response and that
  share_without_gradient     of each image: the share of steps whose gradient was 0
  parameters, trace          the files beside the output
  candidate                  with --search and --examples: the number of each image among the candidates

Examples:
  fv-optimize squeezenet --objective class:285 --parameterisation fourier --transforms lucid -o cat.npy
  fv-optimize classifier --objective 'channel:act3:7 - 0.1*tv' --count 4 --steps 256 -o channel.npy
  fv-optimize classifier --objective targets:act3:targets.npy --steps 800 --polish 300 -o realisations.npy
  fv-optimize classifier --objective class:9 --decoder autoencoder --search 500000 --box autoencoder-latents.npy --keep 8 -o best.npy
  fv-optimize classifier --objective class:9 --examples test-images.npy --keep 8 -o examples.npy"
)]
pub struct Arguments {
    /// A network folder
    network: Input,
    /// What to maximise (see below); may be given more than once
    #[arg(long, value_name = "EXPR", required_unless_present = "objectives", conflicts_with = "objectives")]
    objective: Vec<String>,
    /// A file of objectives, one per line; empty lines and text after # are ignored
    #[arg(long, value_name = "FILE")]
    objectives: Option<Input>,
    /// Images per objective [default: the rows of its targets, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Where the images go: .npy, (N, C, H, W)
    #[arg(short, long, value_name = "IMAGES.npy")]
    output: Output,
    #[command(flatten)]
    pixels: crate::PixelArguments,
    #[command(flatten)]
    image: ParameterisationArguments,
    /// Random transforms of the image at each step
    #[arg(long, value_name = "LIST", default_value = "none")]
    transforms: String,
    /// Steps of the optimiser
    #[arg(long, default_value_t = 512, value_name = "N")]
    steps: u64,
    /// The rule that turns a gradient into a step
    #[arg(long, value_enum, default_value_t)]
    optimiser: OptimiserArgument,
    /// Adam's learning rate; the length of a normalised step [default: 0.05; 1]
    #[arg(long, value_name = "R")]
    learning_rate: Option<f64>,
    /// For this many steps at the start, an image with a zero gradient follows the redirected slopes of rectifiers
    #[arg(long, default_value_t = 16, value_name = "N")]
    redirect: u64,
    /// Iterations of L-BFGS afterwards, without transforms
    #[arg(long, default_value_t = 0, value_name = "N")]
    polish: u64,
    /// The norm of the gradient at which L-BFGS stops
    #[arg(long, default_value_t = 1e-9, value_name = "G")]
    tolerance: f64,
    #[command(flatten)]
    comparison: ComparisonArguments,
    /// Start from these parameters, one row per image, instead of small random ones
    #[arg(long, value_name = "S.npy", conflicts_with_all = ["start_images", "search", "examples"])]
    start: Option<Input>,
    /// Start from these images, one for each image
    #[arg(long, value_name = "IMAGES.npy", conflicts_with_all = ["search", "examples"])]
    start_images: Option<Input>,
    /// Instead of gradient ascent, try N random inputs of --decoder and keep the best
    #[arg(long, value_name = "N", requires = "decoder", conflicts_with = "examples")]
    search: Option<u64>,
    /// Search the box around these latents, as fa-encode writes them for training images [default: -1..1]
    #[arg(long = "box", value_name = "Z.npy", requires = "search")]
    region: Option<Input>,
    /// Instead of gradient ascent, keep the best of these images
    #[arg(long, value_name = "IMAGES.npy")]
    examples: Option<Input>,
    /// With --search and --examples: how many to keep per objective
    #[arg(long, default_value_t = 8, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=4096))]
    keep: u32,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    rows: RowsArguments,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OptimiserArgument {
    /// Adam (0.9, 0.999).
    #[default]
    Adam,
    /// Steps of one length along the gradient.
    Normalised,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let request = Request::try_from(arguments)?;
    let mut task = Task::begin(&request.rows.common, Some(&request.output))?;
    request.rows.on_device(&mut task)?;
    request.declare(&mut task)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match request.rows.precision {
        Precision::F32 => request.carry_out::<f32>(task),
        Precision::F64 => request.carry_out::<f64>(task),
    }
}

/// The arguments, checked before anything is computed.
struct Request {
    network: Input,
    output: Output,
    expressions: Vec<(Expression, usize)>,
    comparison: Comparison,
    image: ParameterisationArguments,
    pixels: crate::PixelArguments,
    method: Method,
    seed: u64,
    rows: RowsArguments,
}

/// How images are found.
enum Method {
    Climb(Climb),
    Select(Select),
}

/// By gradients.
struct Climb {
    transforms: Transforms,
    settings: Settings,
    start: Start,
    checkpoint: CheckpointArguments,
}

/// Where gradients begin.
enum Start {
    Drawn,
    Parameters(Input),
    Images(Input),
}

/// The best of many.
struct Select {
    candidates: Candidates,
    /// How many images to keep per objective.
    keep: usize,
}

enum Candidates {
    Drawn { count: u64, region: Option<Input> },
    Examples(Input),
}

impl TryFrom<Arguments> for Request {
    type Error = anyhow::Error;

    fn try_from(arguments: Arguments) -> anyhow::Result<Self> {
        ensure!(!is_standard_stream(&arguments.output), "-o: expected a file, because others are written beside it");
        let expressions = arguments.expressions()?;
        let aimed = |(expression, _): &(Expression, usize)| {
            expression.0.iter().any(|(_, atom)| matches!(atom, Atom::Targets { .. }))
        };
        let usual = if expressions.iter().any(aimed) { 3 } else { 0 };
        let comparison = arguments.comparison.resolved(Comparison { aggregation: Aggregation::USUAL, power: usual });
        let (transforms, settings) = (arguments.transforms.parse().context("--transforms")?, arguments.settings()?);
        let Arguments { network, output, image, pixels, seed, rows, keep, search, examples, region, .. } = arguments;
        let select = |candidates| Method::Select(Select { candidates, keep: keep as usize });
        let method = match (search, examples) {
            (Some(count), _) => select(Candidates::Drawn { count, region }),
            (None, Some(examples)) => select(Candidates::Examples(examples)),
            (None, None) => {
                let start = match (arguments.start, arguments.start_images) {
                    (Some(parameters), _) => Start::Parameters(parameters),
                    (None, Some(images)) => Start::Images(images),
                    (None, None) => Start::Drawn,
                };
                Method::Climb(Climb { transforms, settings, start, checkpoint: arguments.checkpoint })
            }
        };
        Ok(Self { network, output, expressions, comparison, image, pixels, method, seed: seed.seed, rows })
    }
}

impl Arguments {
    /// The objectives, with the number of images of each.
    fn expressions(&self) -> anyhow::Result<Vec<(Expression, usize)>> {
        let texts = match &self.objectives {
            Some(file) => lines(file)?,
            None => self.objective.clone(),
        };
        let single = self.search.is_some() || self.examples.is_some();
        let read = |text: &String| {
            let expression: Expression = text.parse()?;
            let count = if single { 1 } else { images_of(&expression, self.count)? };
            Ok((expression, count))
        };
        let expressions = texts.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!expressions.is_empty(), "--objectives: expected at least one objective, found none");
        Ok(expressions)
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let rate = self.learning_rate.unwrap_or(match self.optimiser {
            OptimiserArgument::Adam => 0.05,
            OptimiserArgument::Normalised => 1.0,
        });
        ensure!(rate > 0.0 && rate.is_finite(), "--learning-rate: expected a positive number, found {rate}");
        let optimiser = match self.optimiser {
            OptimiserArgument::Adam => Optimiser::Adam { learning_rate: rate },
            OptimiserArgument::Normalised => Optimiser::Normalised { length: rate },
        };
        let &Self { steps, redirect: redirected, polish, tolerance, .. } = self;
        Ok(Settings { steps, optimiser, redirected, polish, tolerance })
    }
}

impl Request {
    /// Declares the files that objectives name, those written beside the images, and what defaults resolve to.
    fn declare(&self, task: &mut Task) -> anyhow::Result<()> {
        let mut files = self.expressions.iter().flat_map(|(expression, _)| expression.files());
        files.try_for_each(|path| task.input("objective", path))?;
        if let Method::Climb(climb) = &self.method {
            task.resolved("settings", climb.settings)?;
        }
        task.resolved("aggregation", self.comparison.aggregation)?;
        task.resolved("cosine_power", self.comparison.power)?;
        task.resolved("parameterisation", &self.image)?;
        let beside: &[&str] = match &self.method {
            Method::Climb(_) => &["parameters", "trace"],
            Method::Select(Select { candidates: Candidates::Drawn { .. }, .. }) => &["parameters"],
            Method::Select(_) => &[],
        };
        task.beside(beside.iter().map(|kind| companion(&self.output, kind)).collect());
        Ok(())
    }

    fn carry_out<E: Element + Scalar>(&self, task: Task) -> anyhow::Result<()> {
        let network = Network::<E>::load(&self.network)?;
        let graph = network.graph().clone();
        let resolve = |(expression, count): &(Expression, usize)| {
            Ok(Objective::new(expression, &graph, *count, self.comparison)?)
        };
        let objectives = self.expressions.iter().map(resolve).collect::<anyhow::Result<Vec<_>>>()?;
        let places = objectives.iter().flat_map(Objective::places);
        let names: Vec<&str> = places.map(|place| graph.nodes[place].name.as_str()).collect();
        let network = network.folded(&names)?;
        let moved = objectives.into_iter().map(|objective| Ok(objective.moved(&graph, network.graph())?));
        let objectives = moved.collect::<anyhow::Result<Vec<_>>>()?;
        match &self.method {
            Method::Climb(climb) => climb::climb(self, climb, &network, Objective::joined(objectives), task),
            Method::Select(select) => select::select(self, select, &network, &objectives, task),
        }
    }
}

/// The lines of a file of objectives.
fn lines(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = obverse::store::budget::read_text(file)?;
    let line = |line: &str| line.split('#').next().map(|line| line.trim().to_string());
    Ok(text.lines().filter_map(line).filter(|line| !line.is_empty()).collect())
}

/// How many images an objective is for.
fn images_of(expression: &Expression, count: Option<u32>) -> anyhow::Result<usize> {
    if let Some(count) = count {
        return Ok(count as usize);
    }
    let targets = expression.0.iter().find_map(|(_, atom)| match atom {
        Atom::Targets { file, .. } => Some(file),
        _ => None,
    });
    Ok(match targets {
        Some(file) => Reader::open(file)?.rows(),
        None => 1,
    })
}

/// What an image goes through without transforms: only a change to the network's size.
fn plain(image: Size, network: Size) -> anyhow::Result<Pipeline> {
    Ok(Transforms::default().between(image, network)?)
}
