//! `fid-score`: how far apart two sets of images are.

mod compare;
mod pair;
mod paired;
mod statistics;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Parser, Subcommand};

use crate::features::FeatureArguments;
use crate::parts::PartsArgument;
use crate::request::{Declared, Input, Output};
use crate::{CommonArguments, SeedArgument, ShardArgument};

/// How many subsets, of how many images, the kernel distance is taken over for large sets.
const SUBSETS: (usize, usize) = (100, 1000);

/// Measure how far apart two sets of images are: Fréchet and kernel distances, precision and recall, with intervals
///
/// Each set is images (an .npy file, a folder, a tar or zip), features (.npy, N x d, as `features` writes them), or statistics
/// (.npz, as `stats` or pytorch-fid writes them). Images go through a network, by default the inception network of the Fréchet
/// inception distance. The distance is exact and real however few images there are; the output's label says when there are no more
/// images than features, or when the network is another one.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Measures:
  fid                  Fréchet distance of the features, too large by the bias of few images; --intervals adds a standard error and
                       an interval to it and to all below. Its interval holds the distance of infinitely many images
  kid                  kernel distance (unbiased, polynomial kernel of degree 3); null when a set is given as statistics
  kid_deviation        with --kid-subsets: the standard deviation over subsets, not a standard error
  kid_remark           why kid is null: how many images it would need
  kid_subsets          with --kid-subsets: how many subsets, of how many images
  precision, recall, density, coverage
                       with --prdc; intervals hold what is expected of as many images
  fid_infinity         with --infinity: the distance that infinitely many images of both sets would give, with its standard error and
                       interval; below 0 now and then, since it has no bias
  K_against            with --against: the same of A and the third set
  K_difference         with --against: K of B minus K of the third set, the bias taken off; K_difference_p_value is the probability
                       of one as far from 0 if both were alike
  images_a, images_b, images_against
                       how many images
  skipped_a, skipped_b files that could not be decoded
  features             what the features are
  ssim, l2             with --paired: structural similarity and L2 distance, means over pairs
  images               how many images, or pairs
  dimension, parts, skipped
                       stats, merge, features: length of the features, parts joined, files that could not be decoded

Examples:
  fid-score test-images.npy samples.npy --json
  fid-score test-images.npy samples.npy --net classifier --layer act3 --intervals
  fid-score features samples.npy --net classifier --layer act3 -o features.npy
  fid-score stats data/cifar10/train-images.npy -o cifar10.stats.npz && fid-score cifar10.stats.npz samples/ --intervals
  fid-score test-images.npy samples.npy --against other-samples.npy --prdc
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
    /// Join the statistics of the parts of a set, in any order
    #[command(after_help = "Examples:
  fid-score merge part1.stats.npz part2.stats.npz -o whole.stats.npz
  fid-score merge part*.stats.npz -o whole.stats.npz")]
    Merge(MergeArguments),
    /// Write a set's features, one row per image
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
    /// The set to measure
    #[arg(required = true)]
    b: Option<Input>,
    #[command(flatten)]
    features: FeatureArguments,
    /// Take the kernel distance over N random subsets of --kid-size images [default: over all images; with more than 10,000 images
    /// per set, over 100 subsets]
    #[arg(long, value_name = "N")]
    kid_subsets: Option<usize>,
    /// Images of a subset
    #[arg(long, value_name = "N", default_value_t = SUBSETS.1, value_parser = at_least_two)]
    kid_size: usize,
    /// Also measure precision, recall, density and coverage
    #[arg(long)]
    prdc: bool,
    /// A neighbourhood reaches to the K-th nearest neighbour
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    neighbours: u16,
    /// Also estimate the Fréchet distance of infinitely many images of both sets
    #[arg(long)]
    infinity: bool,
    /// The smallest subset of an extrapolation, which --infinity no longer makes
    #[arg(long, value_name = "N", requires = "infinity", hide = true)]
    infinity_from: Option<usize>,
    /// Give standard errors and intervals of 95%; a set given as statistics counts as exact
    #[arg(long)]
    intervals: bool,
    /// Also measure how far set C is from A, and whether B or C is nearer, with intervals
    #[arg(long, value_name = "C")]
    against: Option<Input>,
    /// --intervals, as scripts for older versions ask for them
    #[arg(long, value_name = "N", value_parser = at_least_two, hide = true)]
    bootstrap: Option<usize>,
    /// Compare image with image instead: mean SSIM and L2 of two sets of the same images
    #[arg(long, conflicts_with_all = ["prdc", "infinity", "kid_subsets", "against"])]
    paired: bool,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

impl CompareArguments {
    /// Whether intervals are asked for.
    fn intervals(&self) -> bool {
        self.intervals || self.bootstrap.is_some() || self.against.is_some()
    }

    /// Both paths, which clap has required.
    fn sets(&self) -> anyhow::Result<(&Path, &Path)> {
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => Ok((a, b)),
            _ => bail!("expected two sets to compare"),
        }
    }
}

#[derive(Args)]
struct PassArguments {
    /// Images: .npy, a folder, a tar or zip; stats also takes features
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
    /// Where the joined statistics go
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
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        None if arguments.compare.paired => paired::compare(&arguments.compare),
        None => compare::compare(&arguments.compare),
        Some(Command::Stats(arguments)) => statistics::stats(&arguments),
        Some(Command::Merge(arguments)) => statistics::merge(&arguments),
        Some(Command::Features(arguments)) => statistics::features(&arguments),
    }
}
