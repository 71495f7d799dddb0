//! `ifv-predict`: the objective an image was made for.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use obverse::data::batches::ImageFile;
use obverse::net::Network;
use obverse::objective::aggregation::Aggregation;
use obverse::objective::parameterisation::Parameterisation;
use obverse::objective::resolved::Comparison;
use obverse::recover::critical_space::{self, Candidate, LARGEST_THRESHOLD, STABILITY, Samples, Score};
use obverse::recover::evaluation::{Summary, outliers, projected_angle, require_different};
use obverse::recover::jacobian::{BLOCK, Linearisation, Response};
use obverse::recover::prediction::{Prediction, predict};
use obverse::recover::sampling;
use obverse::recover::subspace::Subspace;
use obverse::report::{Series, encode_png, points_with_margins, read_points, stacked_bars};
use obverse::similarity::Metric;
use obverse::store::npy::{Dtype, Reader, Scalar, Writer, require_finite, write};
use obverse::store::sidecar::{Artifact, metric};
use obverse::store::{atomic, digest};
use obverse::tensor::{Batch, Element, batch, view};
use serde_json::{Value, json};

use crate::climbing::Chunks;
use crate::comparison::{ComparisonArguments, Made};
use crate::parameterisation::ParameterisationArguments;
use crate::{
    CommonArguments, Metrics, Precision, Progress, RowsArguments, SeedArgument, Task, check_interrupted, companion,
    interrupted,
};

/// How far parameters may miss their images: f32's rounding through a spectrum.
const MISSED: f64 = 1e-3;

/// Predict the objective that feature visualisation made an image for
///
/// OBJECTIVES.npy holds a row an image, (N, n), of unit norm: the direction of features for which the image is stationary. Beside
/// it lie OBJECTIVES.responses.npy (N, n), OBJECTIVES.singular-values.npy (N, m) and OBJECTIVES.jacobians.npy (N, n, n + 1), each image's
/// response and reduced Jacobian, from which --jacobians predicts again at once. With --targets also OBJECTIVES.angles.npy
/// (N, 3), degrees from target to prediction, response and a random objective, and OBJECTIVES.shares.npy (N, m), the target's
/// squared coefficients in the singular vectors, that of the prediction first.
///
/// Images that fv-optimize wrote bring their parameters, power of the cosine and aggregation with them. Of other images the
/// parameters are the logits of their pixels, clamped to 1e-6..1 - 1e-6, which the sidecar then says.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  ifv-predict sample --features 64 --count 100 -o targets.npy
  fv-optimize net --objective targets:own:targets.npy --steps 800 --polish 300 -o x.npy
  ifv-predict net x.npy --layer own --targets targets.npy -o predicted.npy
  ifv-predict critical-space net x.npy --layer own --targets targets.npy --samples 32 -o space.npy
  ifv-predict --jacobians predicted.jacobians.npy --critical-space space.npy --targets targets.npy -o better.npy
  ifv-predict net x.npy --layer own --net other --net-layer features.3 -o elsewhere.npy"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    predict: PredictArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Find the directions that images can be moved along (Algorithm 1), as an orthonormal basis (n, m)
    ///
    /// Directions of features that no image's response can be moved along, such as dead channels, are trivial solutions; the
    /// critical space leaves them out. Every dimension that thresholds give is tried. With --targets the best is written; without,
    /// the one that --threshold or --dimension names, or the only one smaller than the whole.
    #[command(after_help = "Examples:
  ifv-predict critical-space net x.npy --layer fc --targets targets.npy --samples 32 -o space.npy
  ifv-predict critical-space --jacobians predicted.jacobians.npy --threshold 0.01 -o space.npy")]
    CriticalSpace(Box<CriticalSpaceArguments>),
    /// Draw objectives: nonnegative, of unit norm and uniform sparseness (Hoyer's), then canonical ones
    #[command(after_help = "Examples:
  ifv-predict sample --features 512 --count 150 --canonical 150 -o targets.npy")]
    Sample(SampleArguments),
    /// Compare objectives with targets, and images with what they became when optimised again for these objectives
    ///
    /// Writes (N, 2): degrees from target to objective, and the structural similarity (SSIM) of the images before and after,
    /// ready for `npy-view --plot scatter`. Images less alike than --least are outliers: no stable optimum.
    #[command(after_help = "Examples:
  fv-optimize net --objective targets:own:predicted.npy --start x.parameters.npy --steps 500 -o again.npy
  ifv-predict score predicted.npy --targets targets.npy --images x.npy --again again.npy -o stability.npy")]
    Score(ScoreArguments),
    /// Draw scores as points with their distributions at the margins, or shares of targets as stacked bars
    ///
    /// `points` takes files of `score`, (N, 2): degrees to the target, and SSIM. `bars` takes OBJECTIVES.shares.npy, a bar each: the
    /// mean shares of the singular vectors, that of the prediction at the bottom.
    #[command(after_help = "Examples:
  ifv-predict figure points score-predicted.npy score-random.npy --captions prediction,random -o stability.svg
  ifv-predict figure bars k0.shares.npy k3.shares.npy --captions 'k = 0,k = 3' -o shares.png")]
    Figure(FigureArguments),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FigureKind {
    /// Points of scores
    Points,
    /// Bars of shares
    Bars,
}

#[derive(Args)]
struct FigureArguments {
    /// What is drawn
    #[arg(value_enum)]
    kind: FigureKind,
    /// Scores, (N, 2), or shares, (N, m)
    #[arg(required = true, value_name = "X.npy")]
    files: Vec<PathBuf>,
    /// A name for each file [default: the files' names]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    captions: Vec<String>,
    /// What to write above
    #[arg(long, value_name = "TEXT", default_value = "")]
    title: String,
    /// The picture: .png, or .svg
    #[arg(short, long, value_name = "PICTURE")]
    output: PathBuf,
    #[command(flatten)]
    common: CommonArguments,
}

/// Where Jacobians come from.
#[derive(Args)]
struct SourceArguments {
    /// The network folder the images were made with
    #[arg(required_unless_present = "jacobians")]
    network: Option<PathBuf>,
    /// The images, (N, C, H, W)
    #[arg(required_unless_present = "jacobians")]
    images: Option<PathBuf>,
    /// The node whose channels are the features
    #[arg(long, value_name = "NODE", required_unless_present = "jacobians")]
    layer: Option<String>,
    /// Use the responses and reduced Jacobians that a run before left instead
    #[arg(long, value_name = "J.npy", conflicts_with_all = ["network", "images", "layer", "parameters", "features"])]
    jacobians: Option<PathBuf>,
    /// The parameters of the images, (N, P), in the --parameterisation [default: those beside the images]
    #[arg(long, value_name = "S.npy")]
    parameters: Option<PathBuf>,
    /// The node's first N channels alone are the features [default: all]
    #[arg(long, value_name = "N")]
    features: Option<usize>,
    #[command(flatten)]
    comparison: ComparisonArguments,
    #[command(flatten)]
    image: ParameterisationArguments,
}

#[derive(Args)]
struct PredictArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// Predict within this critical space, (n, m)
    #[arg(long, value_name = "Q.npy")]
    critical_space: Option<PathBuf>,
    /// The objectives the images were made for, (N, n): says how far predictions are from them
    #[arg(long, value_name = "T.npy")]
    targets: Option<PathBuf>,
    /// Predict under this network instead; the sidecar says how far from an optimum the images are there and in their own
    #[arg(long, value_name = "NET", conflicts_with = "jacobians")]
    net: Option<PathBuf>,
    /// Its node [default: that of --layer]
    #[arg(long, value_name = "NODE", requires = "net")]
    net_layer: Option<String>,
    /// Where the objectives go: .npy, (N, n)
    #[arg(short, long, value_name = "OBJECTIVES.npy", required = true)]
    output: Option<PathBuf>,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    rows: RowsArguments,
}

#[derive(Args)]
struct CriticalSpaceArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// The objectives the images were made for, (N, n): the best space is chosen on them
    #[arg(long, value_name = "T.npy")]
    targets: Option<PathBuf>,
    /// Images whose Jacobians Algorithm 1 sees, from the first on [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// The largest share of the largest singular value that counts as small
    #[arg(long, value_name = "R", default_value_t = LARGEST_THRESHOLD, value_parser = share)]
    largest_threshold: f64,
    /// Dimensions that hold while the threshold grows by less than this factor are left out; 1 keeps all
    #[arg(long, value_name = "F", default_value_t = STABILITY, value_parser = factor)]
    stability: f64,
    /// Take the space of this threshold
    #[arg(long, value_name = "R", value_parser = share, conflicts_with_all = ["targets", "dimension"])]
    threshold: Option<f64>,
    /// Take the space of this dimension
    #[arg(long, value_name = "M", conflicts_with = "targets")]
    dimension: Option<usize>,
    /// Where the basis goes: .npy, (n, m)
    #[arg(short, long, value_name = "Q.npy")]
    output: PathBuf,
    #[command(flatten)]
    rows: RowsArguments,
}

#[derive(Args)]
struct SampleArguments {
    /// Features of an objective
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    features: u32,
    /// Objectives of uniform sparseness
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: u32,
    /// Objectives of one feature each, drawn without repetition
    #[arg(long, value_name = "N", default_value_t = 0)]
    canonical: u32,
    /// Where the objectives go: .npy, (N, n)
    #[arg(short, long, value_name = "T.npy")]
    output: PathBuf,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Args)]
struct ScoreArguments {
    /// The objectives, (N, n)
    objectives: PathBuf,
    /// The objectives the images were made for, (N, n)
    #[arg(long, value_name = "T.npy")]
    targets: PathBuf,
    /// The images, (N, C, H, W)
    #[arg(long, value_name = "IMAGES.npy")]
    images: PathBuf,
    /// The images optimised again for the objectives
    #[arg(long, value_name = "IMAGES.npy")]
    again: PathBuf,
    /// Compare within this critical space, (n, m)
    #[arg(long, value_name = "Q.npy")]
    critical_space: Option<PathBuf>,
    /// The similarity below which an image is an outlier
    #[arg(long, value_name = "SSIM", default_value_t = 0.9)]
    least: f64,
    /// Where angles and similarities go: .npy, (N, 2)
    #[arg(short, long, value_name = "OUT.npy")]
    output: PathBuf,
    #[command(flatten)]
    common: CommonArguments,
}

fn share(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    found.ok_or_else(|| "expected a share from 0 to 1".into())
}

fn factor(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|factor: &f64| *factor >= 1.0).ok_or_else(|| "expected a factor of at least 1".into())
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        None => match arguments.predict.rows.precision {
            Precision::F32 => predict_objectives::<f32>(&arguments.predict),
            Precision::F64 => predict_objectives::<f64>(&arguments.predict),
        },
        Some(Command::CriticalSpace(arguments)) => match arguments.rows.precision {
            Precision::F32 => find_space::<f32>(&arguments),
            Precision::F64 => find_space::<f64>(&arguments),
        },
        Some(Command::Sample(arguments)) => sample(&arguments),
        Some(Command::Score(arguments)) => score(&arguments),
        Some(Command::Figure(arguments)) => figure(&arguments),
    }
}

/// What Jacobians are taken of, checked and declared.
struct Source<'a> {
    arguments: &'a SourceArguments,
    comparison: Comparison,
    /// How the images were made, in words of the arguments, and their parameters where there are any.
    image: ParameterisationArguments,
    parameters: Option<PathBuf>,
}

impl<'a> Source<'a> {
    fn new(arguments: &'a SourceArguments) -> anyhow::Result<Self> {
        let made = match (&arguments.jacobians, &arguments.images) {
            (Some(jacobians), _) => Made::of(&main_output(jacobians), "ifv-predict")?,
            (None, Some(images)) => Made::of(images, "fv-optimize")?,
            (None, None) => Made::default(),
        };
        let usual = Comparison { aggregation: Aggregation::USUAL, power: 3 };
        let comparison = arguments.comparison.resolved(made.comparison(usual));
        // What is said outweighs the sidecar.
        let said = (arguments.image != ParameterisationArguments::default()).then(|| arguments.image.clone());
        let image = said.or(made.parameterisation).unwrap_or_default();
        let parameters = arguments.parameters.clone().or(made.parameters);
        Ok(Self { arguments, comparison, image, parameters })
    }

    fn declare(&self, task: &mut Task) -> anyhow::Result<()> {
        let SourceArguments { network, images, jacobians, layer, features, .. } = self.arguments;
        [network, images, jacobians].into_iter().flatten().try_for_each(|path| task.input(path))?;
        self.parameters.iter().try_for_each(|path| task.input(path))?;
        task.parameter("layer", layer)?;
        task.parameter("features", features)?;
        task.parameter("aggregation", self.comparison.aggregation)?;
        task.parameter("cosine_power", self.comparison.power)?;
        if jacobians.is_none() {
            self.image.declare(task)?;
            let from = if self.parameters.is_some() { "parameters" } else { "pixels, clamped to [1e-6, 1 - 1e-6]" };
            task.parameter("parameters_from", from)?;
        }
        Ok(())
    }

    /// The node of the user's network and the images.
    fn named(&self) -> anyhow::Result<(&Path, &Path, &str)> {
        match self.arguments {
            SourceArguments { network: Some(network), images: Some(images), layer: Some(layer), .. } => {
                Ok((network, images, layer))
            }
            _ => bail!("expected a network, images and --layer, or --jacobians"),
        }
    }

    /// The features asked for, by what else is given, a row of which has a value a feature.
    fn features(&self, rows: &[Option<&Reader>]) -> Option<usize> {
        self.arguments.features.or_else(|| rows.iter().flatten().map(|reader| reader.row_len()).next())
    }
}

/// `a.jacobians.npy` -> `a.npy`.
fn main_output(companion: &Path) -> PathBuf {
    let name = companion.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    companion.with_file_name(name.replacen(".jacobians.npy", ".npy", 1))
}

/// The images of a file with their parameters, a row at a time.
struct Points {
    images: ImageFile,
    parameters: Option<Reader>,
}

impl Points {
    fn open<E: Element>(
        images: &Path,
        parameters: Option<&Path>,
        parameterisation: &dyn Parameterisation<E>,
    ) -> anyhow::Result<Self> {
        let images = ImageFile::open(images)?;
        let (size, found) = (parameterisation.image_size(), images.shape());
        ensure!(
            (found.channels, found.height, found.width) == (size.channels, size.height, size.width),
            "{}: expected images of {size}, as the network and --parameterisation ask, found {}x{}x{}",
            images.reader().path().display(),
            found.channels,
            found.height,
            found.width
        );
        let parameters = parameters.map(Reader::open).transpose()?;
        if let Some(reader) = &parameters {
            reader
                .require_row_shape(&[parameterisation.parameters()], "parameters, as many as the parameterisation's")?;
            ensure!(
                reader.rows() == images.count(),
                "{}: expected {} rows, one an image, found {}",
                reader.path().display(),
                images.count(),
                reader.rows()
            );
        }
        Ok(Self { images, parameters })
    }

    /// The parameters of image number `row`, (1, 1, 1, P).
    fn at<E: Element + Scalar>(&self, row: usize, map: &dyn Parameterisation<E>) -> anyhow::Result<Batch<E>> {
        let size = map.image_size();
        let x = batch(self.images.batch::<E>(&[row])?, (1, size.height, size.width, size.channels));
        let Some(reader) = &self.parameters else {
            let path = self.images.reader().path().display();
            return map.parameters_of(&x).with_context(|| {
                format!(
                    "{path}: expected a parameterisation that can be inverted, or --parameters S.npy beside the images"
                )
            });
        };
        let values = reader.read_row_range_as_float_at::<E>(row, 1)?;
        require_finite(reader.path(), &values, row, values.len())?;
        let length = values.len();
        let s = batch(values, (1, 1, 1, length));
        let made = map.at(&s);
        let missed = view(made.images()).iter().zip(view(&x)).map(|(a, b)| (a.wide() - b.wide()).abs());
        let missed = missed.fold(0.0, f64::max);
        ensure!(
            missed <= MISSED,
            "{}: expected the parameters of {}, found those of other images from row {row} on; give the --parameterisation they are of",
            reader.path().display(),
            self.images.reader().path().display()
        );
        Ok(s)
    }
}

/// A network folder with what is needed of it.
fn network<E: Element + Scalar>(folder: &Path, layer: &str) -> anyhow::Result<Network<E>> {
    Ok(Network::<E>::load(folder)?.folded(&[layer])?)
}

/// The linearisations of `rows`, from chunks where a run before was interrupted. Also the seconds a Jacobian took, where one was
/// computed.
fn linearise<E: Element + Scalar>(
    (chunks, array): (&Chunks, &str),
    points: &Points,
    (response, map): (&Response<E>, &dyn Parameterisation<E>),
    rows: &[usize],
    arguments: &RowsArguments,
) -> anyhow::Result<Option<f64>> {
    let mut progress = Progress::new(rows.len() as u64, "images", arguments.common.quiet);
    let (features, started, mut computed) = (response.features(), Instant::now(), 0u32);
    for &row in rows {
        check_interrupted()?;
        if !chunks.is_finished(row) {
            let context = || format!("{}, image {row}", points.images.reader().path().display());
            let jacobian = response.jacobian(&points.at(row, map)?, arguments.batch.or(BLOCK))?;
            let at = jacobian.reduced().with_context(context)?;
            chunks.finish(row, 1, &[(array, &[features, features + 1], &at.to_row())])?;
            computed += 1;
        }
        progress.advance(1);
    }
    Ok((computed > 0).then(|| started.elapsed().as_secs_f64() / f64::from(computed)))
}

/// Responses and reduced Jacobians of a file, (N, n, n + 1).
struct Linearisations {
    reader: Reader,
    features: usize,
}

impl Linearisations {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let reader = Reader::open(path)?;
        match *reader.row_shape() {
            [features, columns] if columns == features + 1 && features > 1 => Ok(Self { reader, features }),
            _ => bail!(
                "{}: expected reduced Jacobians (N, n, n + 1), found shape {:?}; give the .jacobians.npy that ifv-predict wrote",
                path.display(),
                reader.shape()
            ),
        }
    }

    fn at(&self, row: usize) -> anyhow::Result<Linearisation> {
        let values: Vec<f64> = self.reader.read_row_range_as_float_at(row, 1)?;
        require_finite(self.reader.path(), &values, row, values.len())?;
        let context = || format!("{}, row {row}", self.reader.path().display());
        Linearisation::from_row(&values, self.features).with_context(context)
    }
}

/// Vectors of a file, a row an image; of unit norm or not, but not zero.
fn vectors(path: &Path, rows: usize, features: usize) -> anyhow::Result<Vec<f64>> {
    let reader = Reader::open(path)?;
    reader.require_row_shape(&[features], "objectives, a value a feature")?;
    ensure!(reader.rows() == rows, "{}: expected {rows} rows, one an image, found {}", path.display(), reader.rows());
    let values: Vec<f64> = reader.read_row_range_as_float_at(0, rows)?;
    require_finite(path, &values, 0, features)?;
    if let Some(row) = values.chunks_exact(features).position(|row| row.iter().all(|&value| value == 0.0)) {
        bail!("{}: expected objectives other than zero, found zero in row {row}", path.display());
    }
    Ok(values)
}

/// The critical space of a file, all of R^n where there is none.
fn space(path: Option<&Path>, features: usize) -> anyhow::Result<Subspace> {
    let Some(path) = path else { return Ok(Subspace::whole(features)) };
    let reader = Reader::open(path)?;
    let &[rows, columns] = reader.shape() else {
        bail!("{}: expected a basis (n, m), found shape {:?}", path.display(), reader.shape())
    };
    ensure!(
        rows == features && (1..=features).contains(&columns),
        "{}: expected a basis of {features} rows and at most as many columns, found {rows} x {columns}",
        path.display()
    );
    let values: Vec<f64> = reader.read_row_range_as_float_at(0, rows)?;
    Subspace::from_rows(&values, rows).with_context(|| path.display().to_string())
}

fn predict_objectives<E: Element + Scalar>(arguments: &PredictArguments) -> anyhow::Result<()> {
    let output = arguments.output.as_deref().context("-o: expected a file")?;
    ensure!(output != Path::new("-"), "-o: expected a file, since others are written beside it");
    let source = Source::new(&arguments.source)?;
    let mut task = Task::begin(&arguments.rows.common, Some(output))?;
    source.declare(&mut task)?;
    let others = [&arguments.critical_space, &arguments.targets, &arguments.net];
    others.into_iter().flatten().try_for_each(|path| task.input(path))?;
    task.parameter("critical_space", arguments.critical_space.is_some())?;
    task.parameter("targets", arguments.targets.is_some())?;
    task.parameter("net", arguments.net.is_some())?;
    task.parameter("net_layer", &arguments.net_layer)?;
    task.seed(arguments.seed.seed);
    arguments.rows.declare(&mut task)?;
    if companions(arguments, output).iter().all(|path| path.is_file()) && task.is_fresh()? {
        return Ok(());
    }
    let mut metrics = Metrics::new();
    let path = companion(output, "jacobians");
    let total = match &arguments.source.jacobians {
        Some(given) => copy_part(&Linearisations::open(given)?, &path, arguments)?,
        None => jacobians::<E>(arguments, &source, &task, (output, &path), &mut metrics)?,
    };
    let written = predict_all::<E>(arguments, &source, output, total, &mut metrics)?;
    task.finish(written, metrics)?;
    match arguments.source.jacobians {
        Some(_) => Ok(()),
        None => Chunks::discard(output),
    }
}

/// The files beside the output.
fn companions(arguments: &PredictArguments, output: &Path) -> Vec<PathBuf> {
    let scored = arguments.targets.as_ref().map(|_| ["angles", "shares"]).into_iter().flatten();
    ["jacobians", "responses", "singular-values"]
        .into_iter()
        .chain(scored)
        .map(|kind| companion(output, kind))
        .collect()
}

/// This shard's part of Jacobians that are given. Returns the number of images there are, all shards together.
fn copy_part(given: &Linearisations, path: &Path, arguments: &PredictArguments) -> anyhow::Result<usize> {
    let (total, n) = (given.reader.rows(), given.features);
    let mut writer = Writer::create(path, Dtype::F64, &[n, n + 1])?;
    for row in arguments.rows.shard.shard.rows(total) {
        writer.write_rows(&given.at(row)?.to_row())?;
    }
    writer.finish()?;
    Ok(total)
}

/// Computes the Jacobians of this shard's part of the images. Returns the number of images, all shards together.
fn jacobians<E: Element + Scalar>(
    arguments: &PredictArguments,
    source: &Source,
    task: &Task,
    (output, path): (&Path, &Path),
    metrics: &mut Metrics,
) -> anyhow::Result<usize> {
    let (home, images, layer) = source.named()?;
    let rows = &arguments.rows;
    let targets = arguments.targets.as_deref().map(Reader::open).transpose()?;
    let home = network::<E>(home, layer)?;
    let map = source.image.build::<E>(home.graph().input.shape)?;
    let points = Points::open(images, source.parameters.as_deref(), map.as_ref())?;
    let part: Vec<usize> = rows.shard.shard.rows(points.images.count()).collect();
    ensure!(!part.is_empty(), "--shard: expected a part with at least one image, found none");
    let features = source.features(&[targets.as_ref()]);
    let aggregation = source.comparison.aggregation;
    let respond = |network, layer: &str, features| Response::new(network, map.as_ref(), layer, aggregation, features);
    let other;
    let response = match &arguments.net {
        None => respond(&home, layer, features)?,
        Some(folder) => {
            let layer = arguments.net_layer.as_deref().unwrap_or(layer);
            other = network::<E>(folder, layer)?;
            respond(&other, layer, features)?
        }
    };
    if source.parameters.is_none() {
        task.note("no parameters beside the images: taking the logits of their pixels, clamped to [1e-6, 1 - 1e-6]");
    }
    // From here on an interrupt leaves the images that are done.
    interrupted();
    let chunks = Chunks::of(output, &task.identity())?;
    if arguments.net.is_some() {
        let at_home = respond(&home, layer, None)?;
        let mut distances = Vec::new();
        for &row in &part {
            check_interrupted()?;
            let at = at_home.jacobian(&points.at(row, map.as_ref())?, rows.batch.or(BLOCK))?.reduced()?;
            let whole = Subspace::whole(at.features());
            distances.push(predict(&at, source.comparison.power, &whole)?.distance_from_optimum());
        }
        metrics.insert("distance_from_optimum_at_home".into(), summary(&distances));
    }
    let seconds = linearise((&chunks, "jacobians"), &points, (&response, map.as_ref()), &part, rows)?;
    metrics.insert("seconds_of_a_jacobian".into(), seconds.map_or(Value::Null, metric));
    let n = chunks.open("jacobians", part[0])?.row_shape()[0];
    let mut writer = Writer::create(path, Dtype::F64, &[n, n + 1])?;
    chunks.join::<f64>("jacobians", &part, &mut writer)?;
    writer.finish()?;
    Ok(points.images.count())
}

/// Predicts from the Jacobians beside the output, and scores the predictions where targets are given.
fn predict_all<E: Element + Scalar>(
    arguments: &PredictArguments,
    source: &Source,
    output: &Path,
    total: usize,
    metrics: &mut Metrics,
) -> anyhow::Result<obverse::store::npy::Written> {
    let at = Linearisations::open(&companion(output, "jacobians"))?;
    let (n, part) = (at.features, arguments.rows.shard.shard.rows(total));
    let space = space(arguments.critical_space.as_deref(), n)?;
    let targets = arguments.targets.as_deref().map(|path| vectors(path, total, n)).transpose()?;
    let create = |path: &Path, columns: usize| Writer::create(path, E::DTYPE, &[columns]);
    let mut objectives = create(output, n)?;
    let mut responses = create(&companion(output, "responses"), n)?;
    let mut values = create(&companion(output, "singular-values"), space.dimension())?;
    let (mut scores, mut columns, started) = (Scores::default(), <[Vec<f64>; 4]>::default(), Instant::now());
    for (place, row) in part.clone().enumerate() {
        check_interrupted()?;
        let at = at.at(place)?;
        let found = predict(&at, source.comparison.power, &space)?;
        objectives.write_rows(&narrowed::<E>(&found.objective))?;
        responses.write_rows(&narrowed::<E>(&at.response))?;
        values.write_rows(&narrowed::<E>(&found.singular_values))?;
        let norm = at.response.iter().map(|value| value * value).sum::<f64>().sqrt();
        let row_values = [norm, found.residual, found.gap(), found.distance_from_optimum()];
        columns.iter_mut().zip(row_values).for_each(|(column, value)| column.push(value));
        if let Some(targets) = &targets {
            scores.add(&targets[row * n..(row + 1) * n], &at, &found, &space, (arguments.seed.seed, row));
        }
    }
    let seconds = started.elapsed().as_secs_f64() / part.len().max(1) as f64;
    metrics.insert("seconds_of_a_prediction".into(), metric(seconds));
    for (name, column) in ["response_norm", "residual", "gap", "distance_from_optimum"].iter().zip(&columns) {
        metrics.insert((*name).to_string(), column.iter().map(|&value| metric(value)).collect());
    }
    metrics.insert("median_distance_from_optimum".into(), median(&columns[3]));
    if targets.is_some() {
        scores.write(output, part.len(), space.dimension(), metrics)?;
    }
    responses.finish()?;
    values.finish()?;
    Ok(objectives.finish()?)
}

fn narrowed<E: Element>(values: &[f64]) -> Vec<E> {
    values.iter().map(|&value| E::of(value)).collect()
}

fn summary(values: &[f64]) -> Value {
    json!(Summary::of(values))
}

fn median(values: &[f64]) -> Value {
    Summary::of(values).map_or(Value::Null, |summary| metric(summary.median))
}

/// Angles and shares, row by row.
#[derive(Default)]
struct Scores {
    angles: Vec<f64>,
    shares: Vec<f64>,
}

impl Scores {
    /// Adds an image made for `target`; the random objective is that of the seed and the image's number.
    fn add(
        &mut self,
        target: &[f64],
        at: &Linearisation,
        found: &Prediction,
        space: &Subspace,
        (seed, row): (u64, usize),
    ) {
        // Of another seed than the targets, which `sample` draws with the same one.
        let random = sampling::objective(!seed, row, target.len());
        let to = |vector: &[f64]| projected_angle(space, target, vector);
        self.angles.extend([to(&found.objective), to(&at.response), to(&random)]);
        self.shares.extend(found.shares(target));
    }

    fn write(&self, output: &Path, rows: usize, dimension: usize, metrics: &mut Metrics) -> anyhow::Result<()> {
        write(&companion(output, "angles"), &[rows, 3], &self.angles)?;
        write(&companion(output, "shares"), &[rows, dimension], &self.shares)?;
        let column = |which: usize| self.angles.iter().skip(which).step_by(3).copied().collect::<Vec<f64>>();
        let angles: Vec<Value> = (0..3).map(|which| summary(&column(which))).collect();
        let named = json!({"prediction": angles[0], "response": angles[1], "random": angles[2]});
        metrics.insert("angles".into(), named);
        for (name, which) in [("median_angle", 0), ("median_angle_of_response", 1), ("median_angle_of_random", 2)] {
            metrics.insert(name.into(), median(&column(which)));
        }
        let mean = |order: usize| self.shares.iter().skip(order).step_by(dimension).sum::<f64>() / rows.max(1) as f64;
        metrics.insert("shares".into(), (0..dimension).map(|order| metric(mean(order))).collect());
        Ok(())
    }
}

fn find_space<E: Element + Scalar>(arguments: &CriticalSpaceArguments) -> anyhow::Result<()> {
    let source = Source::new(&arguments.source)?;
    ensure!(arguments.rows.shard.shard.is_whole(), "--shard: expected none: a space is made of all samples together");
    let mut task = Task::begin(&arguments.rows.common, Some(&arguments.output))?;
    source.declare(&mut task)?;
    arguments.targets.iter().try_for_each(|path| task.input(path))?;
    task.parameter("samples", arguments.samples)?;
    task.parameter("largest_threshold", arguments.largest_threshold)?;
    task.parameter("stability", arguments.stability)?;
    task.parameter("threshold", arguments.threshold)?;
    task.parameter("dimension", arguments.dimension)?;
    arguments.rows.declare(&mut task)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let (linearisations, total) = sampled::<E>(arguments, &source, &task)?;
    let n = linearisations.first().map_or(0, Linearisation::features);
    let responses: Vec<f64> = linearisations.iter().flat_map(|at| at.response.clone()).collect();
    require_different("responses of the sampled images", &responses, n)?;
    let targets = arguments.targets.as_deref().map(|path| vectors(path, total, n)).transpose()?;
    if let (Some(targets), Some(path)) = (&targets, &arguments.targets) {
        require_different("objectives", &targets[..linearisations.len() * n], n)
            .with_context(|| path.display().to_string())?;
    }
    let started = Instant::now();
    let samples = Samples::of(&linearisations)?;
    let (space, mut metrics) = match (arguments.threshold, targets) {
        (Some(threshold), _) => (samples.co_kernel(threshold)?.complement(), Metrics::new()),
        (None, targets) => {
            let candidates = samples.candidates(arguments.largest_threshold, arguments.stability)?;
            let known = targets.map(|targets| {
                let rows = targets.chunks_exact(n).map(<[f64]>::to_vec);
                linearisations.into_iter().zip(rows).collect::<Vec<_>>()
            });
            choose(candidates, known.as_deref(), &source, arguments.dimension)?
        }
    };
    ensure!(space.dimension() > 0, "--threshold: expected one below which not all of the directions lie; lower it");
    metrics.insert("dimension".into(), space.dimension().into());
    metrics.insert("features".into(), n.into());
    metrics.insert("seconds".into(), metric(started.elapsed().as_secs_f64()));
    let basis = space.basis();
    let values: Vec<f64> = (0..n).flat_map(|i| basis.row(i).iter().copied().collect::<Vec<_>>()).collect();
    task.finish(write(&arguments.output, &[n, space.dimension()], &values)?, metrics)?;
    Chunks::discard(&arguments.output)
}

/// The linearisations that Algorithm 1 sees, and the number of images there are.
fn sampled<E: Element + Scalar>(
    arguments: &CriticalSpaceArguments,
    source: &Source,
    task: &Task,
) -> anyhow::Result<(Vec<Linearisation>, usize)> {
    let count = |total: usize| arguments.samples.map_or(total, |samples| total.min(samples as usize));
    if let Some(path) = &arguments.source.jacobians {
        let given = Linearisations::open(path)?;
        let total = given.reader.rows();
        return Ok(((0..count(total)).map(|row| given.at(row)).collect::<anyhow::Result<_>>()?, total));
    }
    let (folder, images, layer) = source.named()?;
    let network = network::<E>(folder, layer)?;
    let map = source.image.build::<E>(network.graph().input.shape)?;
    let points = Points::open(images, source.parameters.as_deref(), map.as_ref())?;
    let targets = arguments.targets.as_deref().map(Reader::open).transpose()?;
    let features = source.features(&[targets.as_ref()]);
    let response = Response::new(&network, map.as_ref(), layer, source.comparison.aggregation, features)?;
    let rows: Vec<usize> = (0..count(points.images.count())).collect();
    interrupted();
    let chunks = Chunks::of(&arguments.output, &task.identity())?;
    linearise((&chunks, "jacobians"), &points, (&response, map.as_ref()), &rows, &arguments.rows)?;
    let one = |&row: &usize| {
        let values: Vec<f64> = chunks.open("jacobians", row)?.read_rows(1)?;
        Ok(Linearisation::from_row(&values, response.features())?)
    };
    Ok((rows.iter().map(one).collect::<anyhow::Result<_>>()?, points.images.count()))
}

/// The best candidate on known objectives, the one of a dimension, or the only one.
fn choose(
    candidates: Vec<Candidate>,
    known: Option<&[(Linearisation, Vec<f64>)]>,
    source: &Source,
    dimension: Option<usize>,
) -> anyhow::Result<(Subspace, Metrics)> {
    let described = |candidate: &Candidate, score: Option<&Score>| json!({"dimension": candidate.space.dimension(), "thresholds": candidate.thresholds, "score": score});
    let listed = |all: Vec<Value>| Metrics::from_iter([("candidates".to_string(), Value::from(all))]);
    if let Some(known) = known {
        let power = source.comparison.power;
        let scored = candidates.into_iter().map(|candidate| {
            let score = critical_space::score(&candidate.space, known, power)?;
            Ok((candidate, score))
        });
        let mut scored: Vec<(Candidate, Score)> = scored.collect::<anyhow::Result<_>>()?;
        let all = scored.iter().map(|(candidate, score)| described(candidate, Some(score))).collect();
        let place = critical_space::best(&scored).context("expected a space of at least two dimensions, found none")?;
        let (chosen, score) = scored.swap_remove(place);
        let mut metrics = listed(all);
        metrics.insert("median_angle".into(), metric(score.prediction));
        metrics.insert("median_angle_of_response".into(), metric(score.response));
        return Ok((chosen.space, metrics));
    }
    let metrics = listed(candidates.iter().map(|candidate| described(candidate, None)).collect());
    let dimensions: Vec<usize> = candidates.iter().map(|candidate| candidate.space.dimension()).collect();
    let place = match (dimension, dimensions.as_slice()) {
        (Some(wanted), found) => found.iter().position(|&found| found == wanted),
        (None, [_]) => Some(0),
        (None, [_, _]) => Some(1),
        (None, _) => None,
    };
    match place {
        Some(place) => Ok((candidates[place].space.clone(), metrics)),
        None => bail!(
            "expected a choice among spaces of {dimensions:?} dimensions; give --targets, --dimension with one of these, or --threshold"
        ),
    }
}

fn sample(arguments: &SampleArguments) -> anyhow::Result<()> {
    let SampleArguments { features, count, canonical, .. } = *arguments;
    ensure!(count + canonical > 0, "--count: expected at least one objective, found none");
    ensure!(
        canonical <= features,
        "--canonical: expected at most {features}, as many as there are features, found {canonical}"
    );
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    task.parameter("features", features)?;
    task.parameter("count", count)?;
    task.parameter("canonical", canonical)?;
    task.seed(arguments.seed.seed);
    if task.is_fresh()? {
        return Ok(());
    }
    let (n, seed) = (features as usize, arguments.seed.seed);
    let mut writer = Writer::create(&arguments.output, Dtype::F64, &[n])?;
    let mut sum = 0.0;
    for row in 0..count as usize {
        let objective = sampling::objective(seed, row, n);
        sum += sampling::sparseness(&objective);
        writer.write_rows(&objective)?;
    }
    for channel in sampling::canonical(seed, canonical as usize, n) {
        let one: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i == channel))).collect();
        writer.write_rows(&one)?;
    }
    let mean = sum / f64::from(count.max(1));
    task.finish(writer.finish()?, Metrics::from_iter([("mean_sparseness".to_string(), metric(mean))]))
}

fn score(arguments: &ScoreArguments) -> anyhow::Result<()> {
    let [objectives, targets] = [&arguments.objectives, &arguments.targets].map(|path| Reader::open(path));
    let (objectives, targets) = (objectives?, targets?);
    let [before, after] = [&arguments.images, &arguments.again].map(|path| ImageFile::open(path));
    let (before, after) = (before?, after?);
    let count = objectives.rows();
    for images in [&before, &after] {
        let (path, found) = (images.reader().path().display(), images.count());
        ensure!(found == count, "{path}: expected {count} images, an objective each, found {found}");
    }
    after.reader().require_row_shape(before.reader().row_shape(), "images as those before")?;
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    [&objectives, &targets, before.reader(), after.reader()].into_iter().try_for_each(|reader| task.array(reader))?;
    arguments.critical_space.iter().try_for_each(|path| task.input(path))?;
    task.parameter("critical_space", arguments.critical_space.is_some())?;
    task.parameter("least", arguments.least)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let n = objectives.row_len();
    let space = space(arguments.critical_space.as_deref(), n)?;
    let (found, wanted) = (vectors(&arguments.objectives, count, n)?, vectors(&arguments.targets, count, n)?);
    let size = before.shape();
    let metric_of = Metric::Ssim { channels: size.channels, height: size.height, width: size.width };
    let mut columns = <[Vec<f64>; 2]>::default();
    for (row, (found, wanted)) in found.chunks_exact(n).zip(wanted.chunks_exact(n)).enumerate() {
        check_interrupted()?;
        let [a, b] = [&before, &after].map(|images| planes(images, row));
        columns[0].push(projected_angle(&space, wanted, found));
        columns[1].push(1.0 - metric_of.distance(&a?, &b?));
    }
    let out = outliers(&columns[1], arguments.least);
    let stable: Vec<f64> = (0..count).filter(|row| !out.contains(row)).map(|row| columns[0][row]).collect();
    let rows: Vec<f64> = columns[0].iter().zip(&columns[1]).flat_map(|(&angle, &ssim)| [angle, ssim]).collect();
    let metrics = Metrics::from_iter([
        ("angle".to_string(), summary(&columns[0])),
        ("ssim".to_string(), summary(&columns[1])),
        ("outliers".to_string(), json!(out)),
        ("median_angle_without_outliers".to_string(), median(&stable)),
    ]);
    task.finish(write(&arguments.output, &[count, 2], &rows)?, metrics)
}

fn figure(arguments: &FigureArguments) -> anyhow::Result<()> {
    let FigureArguments { kind, files, captions, title, output, common } = arguments;
    let (given, named) = (files.len(), captions.len());
    ensure!(named == 0 || named == given, "--captions: expected one for each of {given} files, found {named}");
    let extension = output.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let svg = match extension.as_deref() {
        Some("svg") => true,
        Some("png") => false,
        _ => bail!("-o {}: expected a name that ends in .png or .svg", output.display()),
    };
    let mut readers = files.iter().map(|file| Reader::open(file)).collect::<Result<Vec<_>, _>>()?;
    let mut task = Task::begin(common, Some(output))?;
    readers.iter().try_for_each(|reader| task.array(reader))?;
    task.parameter("kind", format!("{kind:?}"))?;
    task.parameter("captions", captions)?;
    task.parameter("title", title)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let name = |place: usize| captions.get(place).cloned().unwrap_or_else(|| files[place].display().to_string());
    let drawn = match kind {
        FigureKind::Points => {
            let points = readers.iter_mut().map(read_points).collect::<Result<Vec<_>, _>>()?;
            let series = points.into_iter().enumerate().map(|(place, points)| Series { name: name(place), points });
            points_with_margins(&series.collect::<Vec<_>>(), title)?
        }
        FigureKind::Bars => {
            let bars = readers.iter().enumerate().map(|(place, reader)| Ok((name(place), mean_row(reader)?)));
            stacked_bars(&bars.collect::<anyhow::Result<Vec<_>>>()?, title)?
        }
    };
    let bytes = if svg { drawn.svg().into_bytes() } else { encode_png(&drawn.picture()?)? };
    atomic::write(output, &bytes)?;
    let blake3 = digest::of_reader(&bytes[..]).context("the digest of the picture")?;
    let path = output.to_string_lossy().into_owned();
    task.finish(Artifact { path, shape: None, dtype: None, blake3 }, Metrics::new())
}

/// The mean of the rows of an array (N, m).
fn mean_row(reader: &Reader) -> anyhow::Result<Vec<f64>> {
    reader.require_rank(2, "shares (N, m)")?;
    let (rows, columns) = (reader.rows(), reader.row_len());
    ensure!(rows > 0, "{}: expected at least one row, found none", reader.path().display());
    let values: Vec<f64> = reader.read_row_range_as_float_at(0, rows)?;
    require_finite(reader.path(), &values, 0, columns)?;
    Ok((0..columns).map(|j| values.iter().skip(j).step_by(columns).sum::<f64>() / rows as f64).collect())
}

/// An image channels first.
fn planes(images: &ImageFile, row: usize) -> anyhow::Result<Vec<f64>> {
    let size = images.shape();
    let values = images.batch::<f64>(&[row])?;
    Ok(obverse::tensor::channels_first(&values, (1, size.height, size.width, size.channels)))
}
