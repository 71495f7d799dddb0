//! `ifv-predict`: the objective an image was made for.

mod critical;
mod evaluate;
mod predict;
mod source;

use crate::request::{Input, Output};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use obverse::ifv::critical_space::{LARGEST_THRESHOLD, STABILITY};

use critical::find_space;
use evaluate::{figure, sample, score};
use predict::predict_objectives;

use crate::comparison::ComparisonArguments;
use crate::complete::nodes;
use crate::parameterisation::ParameterisationArguments;
use crate::picture::PictureArguments;
use crate::{CommonArguments, Precision, RowsArguments, SeedArgument};

/// Predict the objective that feature visualisation made an image for
///
/// OBJECTIVES.npy has one row of unit norm per image, (N, n): the direction of features for which the image is stationary. Beside
/// it lie OBJECTIVES.responses.npy (N, n), OBJECTIVES.singular-values.npy (N, m) and OBJECTIVES.jacobians.npy (N, n, n + 1), which holds
/// each image's response and reduced Jacobian; --jacobians predicts from it without computing them again. With --targets there are also
/// OBJECTIVES.angles.npy (N, 3), degrees from target to prediction, response and a random objective, and OBJECTIVES.shares.npy (N, m),
/// the target's squared coefficients in the singular vectors, the prediction's first.
///
/// The sidecar of images that fv-optimize wrote tells their parameters, power of the cosine and aggregation. For other images the
/// parameters are the logits of the pixels, clamped to 1e-6..1 - 1e-6; the sidecar then says so.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Measures:
  angles                     with --targets: degrees from target to prediction, response and random objective (median, quartiles, mean)
  median_angle, median_angle_of_response, median_angle_of_random
                             with --targets: their medians
  shares                     with --targets: the share of the target in each singular vector, averaged over images
  residual, gap              of each image: the smallest singular value, and its distance from the next
  response_norm, distance_from_optimum, median_distance_from_optimum, distance_from_optimum_at_home
                             how far each image is from an optimum
  seconds_of_a_jacobian, seconds_of_a_prediction, seconds
                             time per Jacobian, time per prediction; critical-space: time of Algorithm 1
  candidates, dimension, features
                             critical-space: the spaces tried, the dimension of the one written, the features of the layer
  mean_sparseness            sample: the mean of Hoyer's sparseness over the objectives
  angle, ssim, outliers, median_angle_without_outliers
                             score: degrees to the targets; similarity of the images before and after; images below --least

Examples:
  ifv-predict sample --features 16 --count 100 -o targets.npy
  fv-optimize classifier --objective targets:act3:targets.npy --steps 800 --polish 300 -o x.npy
  ifv-predict classifier x.npy --layer act3 --targets targets.npy -o predicted.npy
  ifv-predict critical-space classifier x.npy --layer act3 --targets targets.npy --samples 32 -o space.npy
  ifv-predict --jacobians predicted.jacobians.npy --critical-space space.npy --targets targets.npy -o better.npy
  ifv-predict --jacobians predicted.jacobians.npy --relative --targets targets.npy -o relative.npy
  ifv-predict classifier x.npy --layer act3 --net judge --net-layer act2 -o elsewhere.npy"
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
    /// Directions of features along which no image's response can be moved, such as dead channels, are trivial solutions. The
    /// critical space leaves them out. Every dimension that a threshold gives is tried. With --targets the best space is written;
    /// otherwise the one that --threshold or --dimension names, or the only one smaller than the whole.
    #[command(after_help = "Examples:
  ifv-predict critical-space net x.npy --layer fc --targets targets.npy --samples 32 -o space.npy
  ifv-predict critical-space --jacobians predicted.jacobians.npy --threshold 0.01 -o space.npy")]
    CriticalSpace(Box<CriticalSpaceArguments>),
    /// Draw objectives: nonnegative, of unit norm and uniform sparseness (Hoyer's); then canonical ones
    #[command(after_help = "Examples:
  ifv-predict sample --features 512 --count 150 --canonical 150 -o targets.npy")]
    Sample(SampleArguments),
    /// Compare objectives with targets, and images with the same images optimised again for these objectives
    ///
    /// Writes (N, 2): degrees from target to objective, and the structural similarity (SSIM) of the images before and after,
    /// ready for `npy-view --plot scatter`. Images with a similarity below --least are outliers: they are no stable optimum.
    #[command(after_help = "Examples:
  fv-optimize net --objective targets:own:predicted.npy --start x.parameters.npy --steps 500 -o again.npy
  ifv-predict score predicted.npy --targets targets.npy --images x.npy --again again.npy -o stability.npy")]
    Score(ScoreArguments),
    /// Draw scores as points with marginal distributions, or shares of targets as stacked bars
    ///
    /// `points` takes files of `score`, (N, 2): degrees to the target, and SSIM. `bars` takes OBJECTIVES.shares.npy and draws one bar
    /// per file: the mean shares of the singular vectors, the prediction's at the bottom.
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
    /// What to draw
    #[arg(value_enum)]
    kind: FigureKind,
    /// Scores, (N, 2), or shares, (N, m)
    #[arg(required = true, value_name = "X.npy")]
    files: Vec<Input>,
    #[command(flatten)]
    picture: PictureArguments,
}

/// Where Jacobians come from.
#[derive(Args)]
struct SourceArguments {
    /// The network folder the images were made with
    #[arg(required_unless_present = "jacobians")]
    network: Option<Input>,
    /// The images, (N, C, H, W)
    #[arg(required_unless_present = "jacobians")]
    images: Option<Input>,
    /// The node whose channels are the features
    #[arg(long, value_name = "NODE", required_unless_present = "jacobians", add = ArgValueCompleter::new(nodes))]
    layer: Option<String>,
    #[command(flatten)]
    pixels: crate::PixelArguments,
    /// Use the responses and reduced Jacobians of an earlier run instead
    #[arg(long, value_name = "J.npy", conflicts_with_all = ["network", "images", "layer", "parameters", "features"])]
    jacobians: Option<Input>,
    /// The parameters of the images, (N, P), in the --parameterisation [default: those beside the images]
    #[arg(long, value_name = "S.npy")]
    parameters: Option<Input>,
    /// Use only the node's first N channels as features [default: all]
    #[arg(long, value_name = "N")]
    features: Option<usize>,
    #[command(flatten)]
    comparison: ComparisonArguments,
    #[command(flatten)]
    image: ParameterisationArguments,
    #[command(flatten)]
    restart: crate::RestartArgument,
}

#[derive(Args)]
struct PredictArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// Predict within this critical space, (n, m)
    #[arg(long, value_name = "Q.npy")]
    critical_space: Option<Input>,
    /// Instead of using a critical space, measure each feature by its own gradient: for many features, some of which hardly fire
    #[arg(long, conflicts_with = "critical_space")]
    relative: bool,
    /// The objectives the images were made for, (N, n): report how far predictions are from them
    #[arg(long, value_name = "T.npy")]
    targets: Option<Input>,
    /// Predict under this network instead; the sidecar says how far the images are from an optimum in either network
    #[arg(long, value_name = "NET", conflicts_with = "jacobians")]
    net: Option<Input>,
    /// The node of --net [default: that of --layer]
    #[arg(long, value_name = "NODE", requires = "net", add = ArgValueCompleter::new(nodes))]
    net_layer: Option<String>,
    /// Where the objectives go: .npy, (N, n)
    #[arg(short, long, value_name = "OBJECTIVES.npy", required = true)]
    output: Option<Output>,
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
    targets: Option<Input>,
    /// Use the Jacobians of only the first N images in Algorithm 1 [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// Singular values up to this share of the largest may count as small
    #[arg(long, value_name = "R", default_value_t = LARGEST_THRESHOLD, value_parser = share)]
    largest_threshold: f64,
    /// Leave out dimensions that last while the threshold grows by less than this factor; 1 keeps all
    #[arg(long, value_name = "F", default_value_t = STABILITY, value_parser = factor)]
    stability: f64,
    /// Take the space that this threshold gives
    #[arg(long, value_name = "R", value_parser = share, conflicts_with_all = ["targets", "dimension"])]
    threshold: Option<f64>,
    /// Take the space of this dimension
    #[arg(long, value_name = "M", conflicts_with = "targets")]
    dimension: Option<usize>,
    /// Where the basis goes: .npy, (n, m)
    #[arg(short, long, value_name = "Q.npy")]
    output: Output,
    #[command(flatten)]
    rows: RowsArguments,
}

#[derive(Args)]
struct SampleArguments {
    /// Features of an objective
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    features: u32,
    /// How many objectives of uniform sparseness
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: u32,
    /// How many objectives of a single feature, drawn without repetition
    #[arg(long, value_name = "N", default_value_t = 0)]
    canonical: u32,
    /// Where the objectives go: .npy, (N, n)
    #[arg(short, long, value_name = "T.npy")]
    output: Output,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Args)]
struct ScoreArguments {
    /// The objectives, (N, n)
    objectives: Input,
    /// The objectives the images were made for, (N, n)
    #[arg(long, value_name = "T.npy")]
    targets: Input,
    /// The images, (N, C, H, W)
    #[arg(long, value_name = "IMAGES.npy")]
    images: Input,
    /// The images optimised again for the objectives
    #[arg(long, value_name = "IMAGES.npy")]
    again: Input,
    /// Compare within this critical space, (n, m)
    #[arg(long, value_name = "Q.npy")]
    critical_space: Option<Input>,
    /// Images below this similarity are outliers
    #[arg(long, value_name = "SSIM", default_value_t = 0.9)]
    least: f64,
    /// Where angles and similarities go: .npy, (N, 2)
    #[arg(short, long, value_name = "OUT.npy")]
    output: Output,
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
/// Bad usage, bad input, a run that fails, an interrupt.
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
