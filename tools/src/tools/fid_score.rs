//! `fid-score`: how far apart two sets of images are.

use crate::request::{Declared, Input, Output};
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use clap::{Args, Parser, Subcommand};
use obverse::data::pictures::{Picture, Pictures};
use obverse::fidelity::frechet::{Frechet, frechet, frechet_of_features};
use obverse::fidelity::kernel::{kernel_distances_of_subsets, kernel_shares};
use obverse::fidelity::manifold::{Manifold, memberships};
use obverse::fidelity::moments::{Accumulator, Moments};
use obverse::fidelity::resampling::{Interval, frechet_at_infinity, interval, resample};
use obverse::fidelity::statistics::Statistics;
use obverse::fidelity::{self, Features};
use obverse::similarity::Metric;
use obverse::statistics::Measure;
use obverse::store::digest;
use obverse::store::npy::{Dtype, Writer};
use obverse::store::sidecar::metric;
use serde_json::{Value, json};

use crate::features::{FeatureArguments, Side, common_origin};
use crate::parts::{self, PartsArgument};
use crate::{CommonArguments, Metrics, SeedArgument, ShardArgument, Task};

/// Images a side above which the kernel distance is taken over subsets.
const MOST_FOR_ALL: usize = 10_000;
/// How many subsets, of how many images, it is taken over then.
const SUBSETS: (usize, usize) = (100, 1000);
/// Sizes of subsets that an extrapolation to infinitely many images goes through.
const POINTS: usize = 15;

/// Measure how far apart two sets of images are: Fréchet and kernel distances, precision and recall, with intervals
///
/// Each set is images (an .npy file, a folder, a tar or zip), features (.npy, N x d, as `features` writes them), or statistics
/// (.npz, as `stats` or pytorch-fid writes them). Images go through a network, by default the inception network of the Fréchet
/// inception distance. The distance is exact and real however few images there are; where they are no more than the features,
/// or where the network is another, the output's label says so.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Measures:
  fid                  Fréchet distance of the features, with --bootstrap its standard error and interval, as of all below
  kid                  kernel distance (unbiased, polynomial kernel of degree 3); null where a side is statistics
  kid_deviation        with --kid-subsets: the standard deviation over subsets, not a standard error
  kid_subsets          with --kid-subsets: how many subsets, of how many images
  precision, recall, density, coverage
                       with --prdc
  fid_infinity         with --infinity: what infinitely many images would give, with its standard error
  images_a, images_b   how many images
  skipped_a, skipped_b files that are no images
  features             what the features are
  ssim, l2             with --paired: structural similarity and L2 distance, means over pairs
  images               how many images, or pairs
  dimension, parts, skipped
                       stats, merge, features: length of the features, parts joined, files that are no images

Examples:
  fid-score test-images.npy samples.npy --json
  fid-score test-images.npy samples.npy --net classifier --layer act3 --bootstrap 200
  fid-score features samples.npy --net classifier --layer act3 -o features.npy
  fid-score stats data/cifar10/train-images.npy -o cifar10.stats.npz && fid-score cifar10.stats.npz samples/ --bootstrap 200
  fid-score features samples.tar --shard 1/8 -o part1.npy"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: CompareArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Write the mean and covariance of a set's features, in one pass and flat memory
    #[command(after_help = "Examples:
  fid-score stats data/cifar10/train-images.npy -o cifar10.stats.npz
  fid-score stats faces.tar --shard 2/8 -o part2.stats.npz")]
    Stats(PassArguments),
    /// Join statistics of the parts of a set; their order does not matter
    #[command(after_help = "Examples:
  fid-score merge part1.stats.npz part2.stats.npz -o whole.stats.npz
  fid-score merge part*.stats.npz -o whole.stats.npz")]
    Merge(MergeArguments),
    /// Write a set's features, a row an image
    #[command(after_help = "Examples:
  fid-score features samples.npy -o features.npy
  fid-score features samples/ --net encoder --layer act_fc1 --resize none -o features.npy")]
    Features(PassArguments),
}

#[derive(Args)]
struct CompareArguments {
    /// The set to compare with: images, features or statistics
    #[arg(required = true)]
    a: Option<Input>,
    /// The set that is measured
    #[arg(required = true)]
    b: Option<Input>,
    #[command(flatten)]
    features: FeatureArguments,
    /// Also the kernel distance over N random subsets of --kid-size images [default: over all images; from 10,000 images a side
    /// on 100 subsets]
    #[arg(long, value_name = "N")]
    kid_subsets: Option<usize>,
    /// Images of a subset
    #[arg(long, value_name = "N", default_value_t = SUBSETS.1, value_parser = at_least_two)]
    kid_size: usize,
    /// Also precision, recall, density and coverage
    #[arg(long)]
    prdc: bool,
    /// The nearest neighbour whose distance is the size of a neighbourhood
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    neighbours: u16,
    /// Also the Fréchet distance that infinitely many images of the second set would have
    #[arg(long)]
    infinity: bool,
    /// The smallest subset for it [default: half the images]
    #[arg(long, value_name = "N", requires = "infinity")]
    infinity_from: Option<usize>,
    /// Intervals that cover 95% of N bootstrap replicates
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    bootstrap: Option<usize>,
    /// Compare image with image instead: mean SSIM and L2 of two sets of the same images
    #[arg(long, conflicts_with_all = ["prdc", "infinity", "kid_subsets"])]
    paired: bool,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Args)]
struct PassArguments {
    /// Images: .npy, a folder, a tar or zip; for stats also features
    images: Input,
    /// Where the result goes: .npz, or .npy for features
    #[arg(short, long, value_name = "OUT")]
    output: Output,
    #[command(flatten)]
    features: FeatureArguments,
    #[command(flatten)]
    shard: ShardArgument,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Args)]
struct MergeArguments {
    /// Files of statistics
    #[arg(required = true, value_name = "PART.npz", add = Declared)]
    parts: Vec<PathBuf>,
    /// Where the whole's statistics go
    #[arg(short, long, value_name = "OUT.npz")]
    output: Output,
    #[command(flatten)]
    any: PartsArgument,
    #[command(flatten)]
    common: CommonArguments,
}

fn at_least_two(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number >= 2).ok_or_else(|| "expected a whole number of at least 2".into())
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        None if arguments.compare.paired => paired(&arguments.compare),
        None => compare(&arguments.compare),
        Some(Command::Stats(arguments)) => stats(&arguments),
        Some(Command::Merge(arguments)) => merge(&arguments),
        Some(Command::Features(arguments)) => features(&arguments),
    }
}

/// Both paths, which clap has required.
fn sides(arguments: &CompareArguments) -> anyhow::Result<(&Path, &Path)> {
    match (&arguments.a, &arguments.b) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => bail!("expected two sets to compare"),
    }
}

fn compare(arguments: &CompareArguments) -> anyhow::Result<()> {
    let task = Task::begin(&arguments.common, None)?;
    let (a, b) = sides(arguments)?;
    let open = |path| Side::open(path, &arguments.features, &arguments.common);
    let (a, b) = (open(a)?, open(b)?);
    let origin = common_origin(&a, &b)?;
    let dimension = a.dimension();
    let distance = distance(&a, &b)?;
    let fewest = a.count().into_iter().chain(b.count()).min();
    let deficient = fewest.is_some_and(|count| count <= dimension);
    let known = origin.as_ref().map_or_else(|| format!("frechet-features-{dimension}"), |origin| origin.label.clone());
    let label = if deficient { format!("{known}-deficient") } else { known };
    let mut metrics = Metrics::new();
    metrics.insert("fid".into(), metric(distance.distance()));
    metrics.insert("kid".into(), Value::Null);
    metrics.insert("images_a".into(), json!(a.count()));
    metrics.insert("images_b".into(), json!(b.count()));
    let described = json!({
        "label": label,
        "dimension": dimension,
        "network": origin.as_ref().map(|origin| &origin.network),
        "layer": origin.as_ref().map(|origin| &origin.layer),
        "resize": origin.as_ref().map(|origin| &origin.resize),
    });
    metrics.insert("features".into(), described);
    for (name, side) in [("skipped_a", &a), ("skipped_b", &b)] {
        if side.skipped() > 0 {
            metrics.insert(name.into(), side.skipped().into());
        }
    }
    let both = a.features().zip(b.features());
    if let Some(count) = arguments.bootstrap {
        let Some((a, b)) = both else {
            bail!("--bootstrap: expected features or images on both sides, found statistics")
        };
        let replicates = bootstrap(arguments, a, b, count, |a_rows, b_rows| {
            let (a_rows, b_rows) = (a.gathered(a_rows), b.gathered(b_rows));
            let (a, b) = (Features::new(&a_rows, dimension), Features::new(&b_rows, dimension));
            Ok(frechet_of_features(a, b)?.distance())
        })?;
        let interval = interval(distance.distance(), &replicates, 0.95);
        // A distance is not below 0.
        insert_interval(&mut metrics, "fid", distance.distance(), Interval { low: interval.low.max(0.0), ..interval });
    }
    if let Some((a, b)) = both {
        kernel(arguments, a, b, &mut metrics)?;
        if arguments.prdc {
            neighbourhoods(arguments, a, b, &mut metrics)?;
        }
    } else {
        ensure!(
            !arguments.prdc && arguments.kid_subsets.is_none(),
            "--prdc and --kid-subsets: expected features or images on both sides, found statistics"
        );
    }
    if arguments.infinity {
        let Some(b) = b.features() else {
            bail!("--infinity: expected features or images as the second set, found statistics")
        };
        let moments = match &a {
            Side::Statistics(statistics) => statistics.moments.clone(),
            Side::Features { rows, dimension, .. } => Moments::of(rows, *dimension),
        };
        let smallest = arguments.infinity_from.unwrap_or(b.count() / 2);
        let limit = frechet_at_infinity(&moments, b, smallest, POINTS, arguments.seed.seed)?;
        let measure = Measure { value: limit.distance, standard_error: Some(limit.error), interval: None };
        measure.insert("fid_infinity", &mut metrics);
    }
    task.finish_measurement(&metrics)
}

/// The Fréchet distance, by the features themselves where both are there.
fn distance(a: &Side, b: &Side) -> fidelity::Result<Frechet> {
    match (a.features(), b.features()) {
        (Some(a), Some(b)) => frechet_of_features(a, b),
        _ => frechet(&moments(a), &moments(b)),
    }
}

fn moments(side: &Side) -> Moments {
    match side {
        Side::Statistics(statistics) => statistics.moments.clone(),
        Side::Features { rows, dimension, .. } => Moments::of(rows, *dimension),
    }
}

/// What `value` makes of `count` draws of both sets' rows.
fn bootstrap(
    arguments: &CompareArguments,
    a: Features,
    b: Features,
    count: usize,
    value: impl Fn(&[usize], &[usize]) -> fidelity::Result<f64>,
) -> anyhow::Result<Vec<f64>> {
    let seed = arguments.seed.seed;
    (0..count)
        .map(|replicate| {
            crate::check_interrupted()?;
            let rows = |features: Features, side| resample(features.count(), seed, side, replicate);
            Ok(value(&rows(a, "a"), &rows(b, "b"))?)
        })
        .collect()
}

/// What the bootstrap says of a measure.
fn insert_interval(metrics: &mut Metrics, name: &str, value: f64, interval: Interval) {
    let (standard_error, interval) = (Some(interval.deviation), Some([interval.low, interval.high]));
    Measure { value, standard_error, interval }.insert(name, metrics);
}

fn kernel(arguments: &CompareArguments, a: Features, b: Features, metrics: &mut Metrics) -> anyhow::Result<()> {
    let many = a.count().max(b.count()) > MOST_FOR_ALL;
    let subsets = arguments.kid_subsets.or(many.then_some(SUBSETS.0)).filter(|&subsets| subsets > 0);
    if let Some(subsets) = subsets {
        let distances = kernel_distances_of_subsets(a, b, subsets, arguments.kid_size, arguments.seed.seed)?;
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let squares = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>();
        metrics.insert("kid".into(), metric(mean));
        metrics.insert("kid_subsets".into(), json!([subsets, arguments.kid_size]));
        metrics.insert("kid_deviation".into(), metric((squares / distances.len() as f64).sqrt()));
        return Ok(());
    }
    let shares = kernel_shares(a, b)?;
    metrics.insert("kid".into(), metric(shares.distance()));
    if let Some(count) = arguments.bootstrap {
        let replicates = bootstrap(arguments, a, b, count, |a, b| Ok(shares.resampled(a, b)))?;
        insert_interval(metrics, "kid", shares.distance(), interval(shares.distance(), &replicates, 0.95));
    }
    Ok(())
}

fn neighbourhoods(arguments: &CompareArguments, a: Features, b: Features, metrics: &mut Metrics) -> anyhow::Result<()> {
    let members = memberships(a, b, usize::from(arguments.neighbours))?;
    let named = |shares: Manifold| {
        [
            ("precision", shares.precision),
            ("recall", shares.recall),
            ("density", shares.density),
            ("coverage", shares.coverage),
        ]
    };
    for (place, (name, value)) in named(members.shares()).into_iter().enumerate() {
        metrics.insert(name.into(), metric(value));
        if let Some(count) = arguments.bootstrap {
            let replicates = bootstrap(arguments, a, b, count, |a, b| {
                Ok(named(members.shares_of(a.iter().copied(), b.iter().copied()))[place].1)
            })?;
            insert_interval(metrics, name, value, interval(value, &replicates, 0.95));
        }
    }
    Ok(())
}

/// Image against image: structural similarity and L2 distance.
fn paired(arguments: &CompareArguments) -> anyhow::Result<()> {
    let task = Task::begin(&arguments.common, None)?;
    let (a_path, b_path) = sides(arguments)?;
    let (a, b) = (Pictures::open(a_path)?, Pictures::open(b_path)?);
    ensure!(
        a.count() == b.count() && a.count() > 0,
        "{}: expected as many images as {} has, {}, found {}",
        b_path.display(),
        a_path.display(),
        a.count(),
        b.count()
    );
    let (mut similarities, mut distances) = (Vec::new(), Vec::new());
    let rows: Vec<usize> = (0..a.count()).collect();
    for rows in rows.chunks(256) {
        crate::check_interrupted()?;
        for ((row, a), b) in rows.iter().zip(a.read(rows)).zip(b.read(rows)) {
            let (a, b) = (a?, b?);
            ensure!(a.shape == b.shape, "{}: image {row}: expected {}, found {}", b_path.display(), a.shape, b.shape);
            let [x, y] = [&a, &b].map(planes);
            let [channels, height, width] = [a.shape.channels, a.shape.height, a.shape.width];
            similarities.push(1.0 - Metric::Ssim { channels, height, width }.distance(&x, &y));
            distances.push(Metric::L2.distance(&x, &y));
        }
    }
    let mut metrics = Metrics::new();
    for (name, values) in [("ssim", &similarities), ("l2", &distances)] {
        let mean = |rows: &[usize]| rows.iter().map(|&row| values[row]).sum::<f64>() / rows.len() as f64;
        let estimate = mean(&(0..values.len()).collect::<Vec<_>>());
        metrics.insert(name.into(), metric(estimate));
        if let Some(count) = arguments.bootstrap {
            let replicate = |number| mean(&resample(values.len(), arguments.seed.seed, "pairs", number));
            let replicates: Vec<f64> = (0..count).map(replicate).collect();
            insert_interval(&mut metrics, name, estimate, interval(estimate, &replicates, 0.95));
        }
    }
    metrics.insert("images".into(), similarities.len().into());
    task.finish_measurement(&metrics)
}

/// A picture's values, channels first.
fn planes(picture: &Picture) -> Vec<f64> {
    let channels = picture.shape.channels;
    let plane = |channel: usize| picture.pixels.iter().skip(channel).step_by(channels).map(|&value| f64::from(value));
    (0..channels).flat_map(plane).collect()
}

fn stats(arguments: &PassArguments) -> anyhow::Result<()> {
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    ensure!(
        arguments.output.extension().is_some_and(|extension| extension == "npz"),
        "{}: expected a name that ends in .npz",
        arguments.output.display()
    );
    let is_features = arguments.images.extension().is_some_and(|extension| extension == "npy")
        && obverse::store::npy::Reader::open(&arguments.images)?.shape().len() == 2;
    let (statistics, skipped) = if is_features {
        ensure!(
            arguments.shard.shard.is_whole(),
            "--shard: expected images; of features take rows with npy-cat --rows"
        );
        if task.is_fresh()? {
            return Ok(());
        }
        let side = Side::open(&arguments.images, &arguments.features, &arguments.common)?;
        (Statistics { moments: moments(&side), counted: true, origin: side.origin().cloned() }, 0)
    } else {
        let pictures = Pictures::open(&arguments.images)?;
        let (map, origin) = arguments.features.map()?;
        task.resolved("features", &origin)?;
        if task.is_fresh()? {
            return Ok(());
        }
        let mut accumulator = Accumulator::new(map.dimension());
        let mut sink = |features: &[f32]| {
            accumulator.add(&features.iter().map(|&value| f64::from(value)).collect::<Vec<_>>());
            Ok(())
        };
        let (shard, quiet) = (arguments.shard.shard, arguments.common.quiet);
        let skipped = arguments.features.pass(&map, &pictures, &arguments.images, shard, quiet, &mut sink)?;
        (Statistics { moments: accumulator.finish(), counted: true, origin: Some(origin) }, skipped)
    };
    let metrics = Metrics::from_iter([
        ("images".to_string(), statistics.moments.count().into()),
        ("dimension".to_string(), statistics.moments.dimension().into()),
        ("skipped".to_string(), skipped.into()),
    ]);
    task.finish_with(|| Ok(statistics.stage(&arguments.output)?), metrics)
}

fn merge(arguments: &MergeArguments) -> anyhow::Result<()> {
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    // In the order of their content, so that the order of the arguments does not matter.
    let mut parts: Vec<(String, &PathBuf)> =
        arguments.parts.iter().map(|path| Ok((digest::of_path(path)?, path))).collect::<anyhow::Result<_>>()?;
    parts.sort();
    parts.iter().try_for_each(|(_, path)| task.input("parts", path))?;
    if !arguments.any.any_parts {
        parts::check(parts.iter().map(|(digest, path)| (path.as_path(), digest.as_str())), false)?;
    }
    if task.is_fresh()? {
        return Ok(());
    }
    let mut whole: Option<Statistics> = None;
    for (_, path) in &parts {
        let part = Statistics::load(path)?;
        ensure!(
            part.counted,
            "{}: expected the number of images (n), found none; write it with `fid-score stats`",
            path.display()
        );
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                ensure!(
                    part.origin == whole.origin,
                    "{}: expected features from the same layer of the same network as the other parts, found others",
                    path.display()
                );
                whole.moments.merge(&part.moments)?;
            }
        }
    }
    let Some(whole) = whole else { bail!("expected parts to merge, found none") };
    let metrics = Metrics::from_iter([
        ("images".to_string(), whole.moments.count().into()),
        ("parts".to_string(), parts.len().into()),
    ]);
    task.finish_with(|| Ok(whole.stage(&arguments.output)?), metrics)
}

fn features(arguments: &PassArguments) -> anyhow::Result<()> {
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    let pictures = Pictures::open(&arguments.images)?;
    let (map, origin) = arguments.features.map()?;
    task.resolved("features", &origin)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let mut writer = Writer::create(&arguments.output, Dtype::F32, &[map.dimension()])?;
    let (shard, quiet) = (arguments.shard.shard, arguments.common.quiet);
    let skipped = arguments
        .features
        .pass(&map, &pictures, &arguments.images, shard, quiet, &mut |features| Ok(writer.write_rows(features)?))?;
    task.finish_array(writer, Metrics::from_iter([("skipped".to_string(), skipped.into())]))
}
