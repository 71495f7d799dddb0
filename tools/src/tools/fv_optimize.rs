//! `fv-optimize`: the image that a unit of a network wants.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use obverse::data::Shape;
use obverse::data::batches::ImageFile;
use obverse::data::resize::{Filter, resize};
use obverse::net::{Graph, Network, Size};
use obverse::objective::aggregation::Aggregation;
use obverse::objective::expression::{Atom, Expression};
use obverse::objective::parameterisation::Parameterisation;
use obverse::objective::resolved::{Comparison, Objective};
use obverse::objective::transform::{Pipeline, Transforms};
use obverse::store::npy::{Reader, Scalar, Writer, require_finite};
use obverse::store::sidecar::metric;
use obverse::tensor::{Batch, Element, batch, channels_first, channels_last, shape, view};
use obverse::visualize::ascent::{Ascent, Optimiser, Settings, State};
use obverse::visualize::search::{Best, Judge, Region};
use rayon::prelude::*;
use serde_json::Value;

use crate::climbing::Chunks;
use crate::comparison::ComparisonArguments;
use crate::interrupt::Interrupted;
use crate::parameterisation::ParameterisationArguments;
use crate::{Metrics, Precision, Progress, RowsArguments, SeedArgument, Task, companion, interrupted};

/// Make images that units of a network want, by gradient ascent, by search, or from a dataset.
///
/// OUT.npy holds the images, floats in 0..1. Beside it lie OUT.parameters.npy, what was optimised, and OUT.trace.npy, (N, T, 2):
/// the objective and the norm of its gradient at each step. A run that was stopped goes on from OUT.npy.checkpoint and ends
/// with the same bytes; an image's bytes depend on its objective, its number and the seed alone.
#[derive(Parser)]
#[command(
    version,
    after_help = "Objectives are sums of quantities with factors:
  channel:NODE:C          the mean activation of a channel
  neuron:NODE:C:Y:X       one neuron; without Y:X that at the centre
  class:K                 a class's score before the softmax
  layer:NODE              the mean square of a layer (DeepDream)
  direction:NODE:F.npy    resemblance to a direction; targets:NODE:F.npy, a row an image:
                          (w.f) max(0.1, cos(w, f))^K of the aggregated activations f
  diversity:NODE          minus the mean resemblance of an objective's images
  l1, l2, tv              mean |x - 1/2|, mean (x - 1/2)^2, total variation a pixel
  A to B                  from A for the first image of --count to B for the last
Transforms are `lucid` (pad 12, jitter 8, scale 0.9..1.1, rotate -10..10, jitter 4), `clarke` (translation 0 to 20 pixels, any
rotation), `none`, or a list such as pad:12,jitter:8,scale:0.9..1.1,rotate:-10..10,blur:0.5..1,noise:0.05.

Examples:
  fv-optimize squeezenet --objective class:285 --parameterisation fourier --transforms lucid -o cat.npy
  fv-optimize squeezenet --objective 'channel:conv10:7 - 0.1*tv' --count 4 --steps 256 -o channel.npy
  fv-optimize net --objective targets:dense3:targets.npy --steps 800 --polish 300 -o realisations.npy
  fv-optimize classifier --objective class:9 --decoder autoencoder --search 500000 --box latents.npy --keep 8 -o best.npy
  fv-optimize classifier --objective class:9 --examples test-images.npy --keep 8 -o examples.npy"
)]
pub struct Arguments {
    /// A network folder
    network: PathBuf,
    /// What to raise (see below); given more than once, one after the other
    #[arg(long, value_name = "EXPR", required_unless_present = "objectives", conflicts_with = "objectives")]
    objective: Vec<String>,
    /// A file of objectives, one a line; empty lines and lines after # are left out
    #[arg(long, value_name = "FILE")]
    objectives: Option<PathBuf>,
    /// Images an objective [default: the rows of its targets, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Where the images go: .npy, (N, C, H, W)
    #[arg(short, long, value_name = "IMAGES.npy")]
    output: PathBuf,
    #[command(flatten)]
    image: ParameterisationArguments,
    /// What the network sees an image through at each step
    #[arg(long, value_name = "LIST", default_value = "none")]
    transforms: String,
    /// Steps of the optimiser
    #[arg(long, default_value_t = 512, value_name = "N")]
    steps: u64,
    /// How a gradient becomes a step
    #[arg(long, value_enum, default_value_t)]
    optimiser: OptimiserArgument,
    /// Adam's learning rate; the length of a normalised step [default: 0.05; 1]
    #[arg(long, value_name = "R")]
    learning_rate: Option<f64>,
    /// Steps at the start in which an image without gradient follows the redirected slopes of rectifiers
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
    /// Start from these parameters, a row an image, instead of small random ones
    #[arg(long, value_name = "S.npy", conflicts_with_all = ["start_images", "search", "examples"])]
    start: Option<PathBuf>,
    /// Start from these images, one an image
    #[arg(long, value_name = "IMAGES.npy", conflicts_with_all = ["search", "examples"])]
    start_images: Option<PathBuf>,
    /// Judge N random inputs of --decoder and keep the best, instead of gradients
    #[arg(long, value_name = "N", requires = "decoder", conflicts_with = "examples")]
    search: Option<u64>,
    /// Latents whose box is searched, as fa-encode writes those of training images [default: -1..1]
    #[arg(long = "box", value_name = "Z.npy", requires = "search")]
    region: Option<PathBuf>,
    /// Keep the best of these images, instead of gradients
    #[arg(long, value_name = "IMAGES.npy")]
    examples: Option<PathBuf>,
    /// With --search and --examples: how many to keep of each objective
    #[arg(long, default_value_t = 8, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=4096))]
    keep: u32,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 5.0, value_name = "M")]
    checkpoint_minutes: f64,
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
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let plan = Plan::new(&arguments)?;
    let mut task = Task::begin(&arguments.rows.common, Some(&arguments.output))?;
    task.input(&arguments.network)?;
    plan.declare(&arguments, &mut task)?;
    if companions(&arguments).iter().all(|path| path.is_file()) && task.is_fresh()? {
        return Ok(());
    }
    match arguments.rows.precision {
        Precision::F32 => plan.carry_out::<f32>(&arguments, task),
        Precision::F64 => plan.carry_out::<f64>(&arguments, task),
    }
}

/// The files beside the output.
fn companions(arguments: &Arguments) -> Vec<PathBuf> {
    match (&arguments.search, &arguments.examples) {
        (None, None) => vec![companion(&arguments.output, "parameters"), companion(&arguments.output, "trace")],
        (Some(_), _) => vec![companion(&arguments.output, "parameters")],
        _ => Vec::new(),
    }
}

/// What was asked, checked before anything is computed.
struct Plan {
    expressions: Vec<(Expression, usize)>,
    comparison: Comparison,
    transforms: Transforms,
    settings: Settings,
}

impl Plan {
    fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        ensure!(arguments.output != Path::new("-"), "-o: expected a file, since others are written beside it");
        let texts = match &arguments.objectives {
            Some(file) => lines(file)?,
            None => arguments.objective.clone(),
        };
        let single = arguments.search.is_some() || arguments.examples.is_some();
        let expressions = texts
            .iter()
            .map(|text| {
                let expression: Expression = text.parse()?;
                let count = if single { 1 } else { images_of(&expression, arguments.count)? };
                Ok((expression, count))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!expressions.is_empty(), "--objectives: expected at least one objective, found none");
        let rate = arguments.learning_rate.unwrap_or(match arguments.optimiser {
            OptimiserArgument::Adam => 0.05,
            OptimiserArgument::Normalised => 1.0,
        });
        ensure!(rate > 0.0 && rate.is_finite(), "--learning-rate: expected a positive number, found {rate}");
        let optimiser = match arguments.optimiser {
            OptimiserArgument::Adam => Optimiser::Adam { learning_rate: rate },
            OptimiserArgument::Normalised => Optimiser::Normalised { length: rate },
        };
        let settings = Settings {
            steps: arguments.steps,
            optimiser,
            redirected: arguments.redirect,
            polish: arguments.polish,
            tolerance: arguments.tolerance,
        };
        let aimed = |(expression, _): &(Expression, usize)| {
            expression.0.iter().any(|(_, atom)| matches!(atom, Atom::Targets { .. }))
        };
        let usual = if expressions.iter().any(aimed) { 3 } else { 0 };
        let comparison = arguments.comparison.resolved(Comparison { aggregation: Aggregation::USUAL, power: usual });
        let transforms = arguments.transforms.parse().context("--transforms")?;
        Ok(Self { expressions, comparison, transforms, settings })
    }

    fn declare(&self, arguments: &Arguments, task: &mut Task) -> anyhow::Result<()> {
        let shown: Vec<_> =
            self.expressions.iter().map(|(expression, count)| (format!("{expression:?}"), count)).collect();
        task.parameter("objectives", shown)?;
        let files = self.expressions.iter().flat_map(|(expression, _)| expression.files());
        let others = [&arguments.start, &arguments.start_images, &arguments.region, &arguments.examples];
        files.chain(others.into_iter().flatten().map(PathBuf::as_path)).try_for_each(|path| task.input(path))?;
        arguments.image.declare(task)?;
        task.seed(arguments.seed.seed);
        task.parameter("transforms", &arguments.transforms)?;
        task.parameter("settings", self.settings)?;
        task.parameter("aggregation", self.comparison.aggregation)?;
        task.parameter("cosine_power", self.comparison.power)?;
        task.parameter("search", arguments.search)?;
        task.parameter("keep", arguments.keep)?;
        arguments.rows.declare(task)
    }

    fn carry_out<E: Element + Scalar>(&self, arguments: &Arguments, task: Task) -> anyhow::Result<()> {
        let network = Network::<E>::load(&arguments.network)?;
        let objectives = self.resolved(network.graph())?;
        let places = objectives.iter().flat_map(Objective::places);
        let names: Vec<String> = places.map(|place| network.graph().nodes[place].name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let network = network.folded(&names)?;
        match (arguments.search, &arguments.examples) {
            (Some(count), _) => search(arguments, &network, &objectives, count, task),
            (None, Some(examples)) => rank(arguments, &network, &objectives, examples, task),
            (None, None) => self.climb(arguments, &network, Objective::joined(objectives), task),
        }
    }

    fn resolved(&self, graph: &Graph) -> anyhow::Result<Vec<Objective>> {
        let resolve =
            |(expression, count): &(Expression, usize)| Ok(Objective::new(expression, graph, *count, self.comparison)?);
        self.expressions.iter().map(resolve).collect()
    }

    fn climb<E: Element + Scalar>(
        &self,
        arguments: &Arguments,
        network: &Network<E>,
        objective: Objective,
        task: Task,
    ) -> anyhow::Result<()> {
        let input = network.graph().input.shape;
        let parameterisation = arguments.image.build::<E>(input)?;
        let image = parameterisation.image_size();
        let ascent = Ascent {
            network,
            parameterisation: parameterisation.as_ref(),
            transforms: &self.transforms.between(image, input)?,
            plain: &plain(image, input)?,
            objective: &objective,
            settings: self.settings,
            seed: arguments.seed.seed,
        };
        let starts = Starts::open(arguments, parameterisation.as_ref(), objective.images())?;
        let rows: Vec<usize> = arguments.rows.shard.shard.rows(objective.images()).collect();
        let usual = if objective.is_joint() { rows.len() } else { 16 };
        if objective.is_joint() {
            ensure!(
                arguments.rows.batch.or(usual) >= rows.len() && arguments.rows.shard.shard.is_whole(),
                "diversity: expected all {} images in one batch, since each depends on the others; leave out --batch and --shard",
                rows.len()
            );
        }
        interrupted();
        let chunks = Chunks::of(&arguments.output, &task.identity())?;
        let mut progress = Progress::new(self.settings.steps * rows.len() as u64, "steps", arguments.rows.common.quiet);
        let every = Duration::from_secs_f64((60.0 * arguments.checkpoint_minutes).clamp(0.0, 1e9));
        let mut firsts = Vec::new();
        for rows in rows.chunks(arguments.rows.batch.or(usual).max(1)) {
            firsts.push(rows[0]);
            if !chunks.is_finished(rows[0]) {
                let start = chunks.resume(starts.state(&ascent, rows)?)?;
                climb_chunk(&ascent, start, &chunks, every, &mut progress)?;
            }
            progress.set(self.settings.steps * (rows[rows.len() - 1] + 1 - firsts[0]) as u64);
        }
        drop(progress);
        finish::<E>(arguments, &chunks, &firsts, image, task)?;
        chunks.remove()
    }
}

/// The lines of a file of objectives.
fn lines(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(obverse::store::Error::read(file))?;
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

/// What images go through where nothing is transformed: a change of size, where the network's is another.
fn plain(image: Size, network: Size) -> anyhow::Result<Pipeline> {
    Ok(Transforms::default().between(image, network)?)
}

/// Where images start.
enum Starts {
    Drawn,
    Given { reader: Reader, length: usize },
    Images { images: ImageFile, size: Size },
}

impl Starts {
    fn open<E: Element>(
        arguments: &Arguments,
        parameterisation: &dyn Parameterisation<E>,
        count: usize,
    ) -> anyhow::Result<Self> {
        if let Some(path) = &arguments.start {
            let reader = Reader::open(path)?;
            let length = parameterisation.parameters();
            reader.require_row_shape(&[length], "parameters, as many as the parameterisation's")?;
            ensure!(
                reader.rows() == count,
                "{}: expected {count} rows, one an image, found {}",
                path.display(),
                reader.rows()
            );
            return Ok(Self::Given { reader, length });
        }
        let Some(path) = &arguments.start_images else { return Ok(Self::Drawn) };
        let (images, size) = (ImageFile::open(path)?, parameterisation.image_size());
        let found = images.shape();
        ensure!(
            (found.channels, found.height, found.width) == (size.channels, size.height, size.width)
                && images.count() == count,
            "{}: expected {count} images of {size}, found {} of {}x{}x{}",
            path.display(),
            images.count(),
            found.channels,
            found.height,
            found.width
        );
        Ok(Self::Images { images, size })
    }

    fn state<E: Element + Scalar>(&self, ascent: &Ascent<E>, rows: &[usize]) -> anyhow::Result<State<E>> {
        let s = match self {
            Self::Drawn => return Ok(ascent.start(rows.to_vec())),
            Self::Given { reader, length } => {
                let values = reader.read_row_range_as_float_at::<E>(rows[0], rows.len())?;
                require_finite(reader.path(), &values, rows[0], *length)?;
                batch(values, (rows.len(), 1, 1, *length))
            }
            Self::Images { images, size } => {
                let x = batch(images.batch::<E>(rows)?, (rows.len(), size.height, size.width, size.channels));
                let inverse = ascent.parameterisation.parameters_of(&x);
                inverse
                    .context("--start-images: expected a parameterisation that can be inverted; give --start instead")?
            }
        };
        Ok(State::new(rows.to_vec(), s))
    }
}

/// Climbs a chunk to its end and keeps it.
fn climb_chunk<E: Element + Scalar>(
    ascent: &Ascent<E>,
    mut state: State<E>,
    chunks: &Chunks,
    every: Duration,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let mut saved = Instant::now();
    while state.step < ascent.settings.steps {
        ascent.step(&mut state)?;
        progress.advance(state.rows.len() as u64);
        let stop = interrupted();
        if stop || saved.elapsed() >= every {
            chunks.keep(&state)?;
            saved = Instant::now();
        }
        if stop {
            return Err(Interrupted.into());
        }
    }
    let polished = ascent.polish(&mut state)?;
    let found = ascent.evaluate_plain(&state.s, &state.rows)?;
    let point = ascent.parameterisation.at(&state.s);
    let (n, h, w, c) = shape(point.images());
    let images = channels_first(view(point.images()), (n, h, w, c));
    let trace: Vec<E> = traces(&state, &polished, ascent.settings.polish).into_iter().map(E::of).collect();
    let cosine = |cosine: Option<f64>| cosine.unwrap_or(f64::NAN);
    let summary = found.values.iter().zip(&found.norms).zip(&found.cosines);
    let summary: Vec<E> = summary.flat_map(|((&v, &g), &cos)| [v, g, cosine(cos)]).map(E::of).collect();
    let length = ascent.parameterisation.parameters();
    let steps = trace.len() / (2 * n);
    chunks.finish(
        state.rows[0],
        n,
        &[
            ("images", &[c, h, w], &images),
            ("parameters", &[length], view(&state.s)),
            ("trace", &[steps, 2], &trace),
            ("summary", &[3], &summary),
        ],
    )
}

/// The trace an image (N, T, 2): steps, then iterations of L-BFGS, the last one repeated where it ended before its limit.
fn traces<E: Element>(state: &State<E>, polished: &[Vec<[f64; 2]>], polish: u64) -> Vec<f64> {
    let count = state.rows.len();
    let mut traces = Vec::new();
    for (image, polished) in polished.iter().enumerate() {
        let mut last = [f64::NAN; 2];
        for step in state.trace.chunks_exact(2 * count) {
            last = [step[2 * image], step[2 * image + 1]];
            traces.extend(last);
        }
        for iteration in 0..polish as usize {
            last = polished.get(iteration).copied().unwrap_or(last);
            traces.extend(last);
        }
    }
    traces
}

/// Joins the chunks into the outputs.
fn finish<E: Element + Scalar>(
    arguments: &Arguments,
    chunks: &Chunks,
    firsts: &[usize],
    size: Size,
    task: Task,
) -> anyhow::Result<()> {
    let Some(&first) = firsts.first() else { bail!("--shard: expected a part with at least one image, found none") };
    let mut metrics = Metrics::new();
    for kind in ["parameters", "trace"] {
        let row_shape = chunks.open(kind, first)?.row_shape().to_vec();
        let path = companion(&arguments.output, kind);
        let mut writer = Writer::create(&path, E::DTYPE, &row_shape)?;
        chunks.join::<E>(kind, firsts, &mut writer)?;
        writer.finish()?;
        metrics.insert(kind.into(), path.file_name().map(|name| name.to_string_lossy()).into());
    }
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for &first in firsts {
        let mut reader = chunks.open("summary", first)?;
        let rows = reader.rows();
        for row in reader.read_rows::<E>(rows)?.chunks_exact(3) {
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(metric(value.wide())));
        }
    }
    let [values, norms, cosines] = columns;
    metrics.insert("objective".into(), values.into());
    metrics.insert("gradient_norm".into(), norms.into());
    if cosines.iter().any(Value::is_number) {
        metrics.insert("cosine".into(), cosines.into());
    }
    let mut writer = Writer::create(&arguments.output, E::DTYPE, &[size.channels, size.height, size.width])?;
    chunks.join::<E>("images", firsts, &mut writer)?;
    task.finish(writer.finish()?, metrics)
}

/// Keeps the best of `count` random inputs of a decoder.
fn search<E: Element + Scalar>(
    arguments: &Arguments,
    network: &Network<E>,
    objectives: &[Objective],
    count: u64,
    task: Task,
) -> anyhow::Result<()> {
    let input = network.graph().input.shape;
    let decoder = arguments.image.build::<E>(input)?;
    let region = match &arguments.region {
        Some(path) => region(path, decoder.parameters())?,
        None => Region::unit(decoder.parameters()),
    };
    let judge = Judge { network, plain: &plain(decoder.image_size(), input)?, objectives };
    let images = |first: u64, count: usize| {
        Ok(decoder.at(&region.draw::<E>(arguments.seed.seed, first, count)).images().clone())
    };
    let best = judge_all(arguments, &judge, count, &images)?;
    let latents: Vec<E> =
        kept(&best).flat_map(|at| view(&region.draw::<E>(arguments.seed.seed, at, 1)).to_vec()).collect();
    let path = companion(&arguments.output, "parameters");
    let mut writer = Writer::create(&path, E::DTYPE, &[decoder.parameters()])?;
    writer.write_rows(&latents)?;
    writer.finish()?;
    write_best(arguments, &best, decoder.image_size(), &images, task)
}

/// Keeps the best images of a dataset; those of another size than the network's are resized for it.
fn rank<E: Element + Scalar>(
    arguments: &Arguments,
    network: &Network<E>,
    objectives: &[Objective],
    examples: &Path,
    task: Task,
) -> anyhow::Result<()> {
    let input = network.graph().input.shape;
    let file = ImageFile::open(examples)?;
    let found = file.shape();
    ensure!(
        found.channels == input.channels,
        "{}: expected images of {} channels, which the network takes, found {}",
        examples.display(),
        input.channels,
        found.channels
    );
    let judge = Judge { network, plain: &plain(input, input)?, objectives };
    let images = |first: u64, count: usize| {
        let rows: Vec<usize> = (first as usize..first as usize + count).collect();
        let x = batch(file.batch::<E>(&rows)?, (count, found.height, found.width, found.channels));
        Ok(if (found.height, found.width) == (input.height, input.width) { x } else { resized(&x, input) })
    };
    let best = judge_all(arguments, &judge, file.count() as u64, &images)?;
    write_best(arguments, &best, input, &images, task)
}

/// Images at a network's height and width, by linear interpolation.
fn resized<E: Element + Scalar>(x: &Batch<E>, to: Size) -> Batch<E> {
    let (n, height, width, channels) = shape(x);
    let from = Shape { channels, height, width };
    let planes: Vec<f32> = channels_first(view(x), shape(x)).iter().map(|value| value.wide() as f32).collect();
    let resized: Vec<E> = planes
        .par_chunks_exact(from.len())
        .flat_map_iter(|image| resize(image, from, to.height, to.width, Filter::Triangle))
        .map(|value| E::of(f64::from(value)))
        .collect();
    let shape = (n, to.height, to.width, channels);
    batch(channels_last(&resized, shape), shape)
}

/// Candidates `first` and on, (N, H, W, C).
type Candidates<'a, E> = &'a dyn Fn(u64, usize) -> anyhow::Result<Batch<E>>;

/// Judges all candidates of this shard.
fn judge_all<E: Element>(
    arguments: &Arguments,
    judge: &Judge<E>,
    count: u64,
    images: Candidates<E>,
) -> anyhow::Result<Vec<Best>> {
    let mut best = vec![Best::new(arguments.keep as usize); judge.objectives.len()];
    arguments.rows.for_each_batch(count as usize, 256, |rows| {
        Ok(judge.offer(&images(rows[0] as u64, rows.len())?, rows[0] as u64, &mut best)?)
    })?;
    Ok(best)
}

/// The numbers of the candidates that were kept, objective by objective.
fn kept(best: &[Best]) -> impl Iterator<Item = u64> {
    best.iter().flat_map(|best| best.found().iter().map(|found| found.candidate))
}

/// Writes the images that were kept, objective by objective, the best first.
fn write_best<E: Element + Scalar>(
    arguments: &Arguments,
    best: &[Best],
    size: Size,
    images: Candidates<E>,
    task: Task,
) -> anyhow::Result<()> {
    let mut writer = Writer::create(&arguments.output, E::DTYPE, &[size.channels, size.height, size.width])?;
    for candidate in kept(best) {
        let image = images(candidate, 1)?;
        writer.write_rows(&channels_first(view(&image), shape(&image)))?;
    }
    let lists = |of: &dyn Fn(&obverse::visualize::search::Found) -> Value| -> Value {
        best.iter().map(|best| best.found().iter().map(of).collect::<Value>()).collect()
    };
    let metrics = Metrics::from_iter([
        ("objective".to_string(), lists(&|found| metric(found.value))),
        ("candidate".to_string(), lists(&|found| found.candidate.into())),
    ]);
    task.finish(writer.finish()?, metrics)
}

/// The box of a file of latents.
fn region(path: &Path, features: usize) -> anyhow::Result<Region> {
    let mut reader = Reader::open(path)?;
    reader.require_row_shape(&[features], "latents, as many features as the decoder's")?;
    ensure!(reader.rows() > 0, "{}: expected at least one latent, found none", path.display());
    let mut region = Region::empty(features);
    let mut first = 0;
    while first < reader.rows() {
        let count = (reader.rows() - first).min(4096);
        let rows: Vec<f64> = reader.read_rows_as_float(count)?;
        require_finite(path, &rows, first, features)?;
        region.include(&rows);
        first += count;
    }
    Ok(region)
}
