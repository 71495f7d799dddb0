//! What is measured beside the Fréchet and kernel distances: sFID, CMMD, the Inception Score.

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use obverse::fidelity::cmmd::cmmd;
use obverse::fidelity::frechet::{frechet, frechet_of_features};
use obverse::fidelity::inception_score::{Order, inception_score};
use obverse::fidelity::{self, Features};
use obverse::store::sidecar::metric;

use super::cache::CacheArguments;
use super::sets::{self, Opening};
use crate::features::{FeatureArguments, Left, Rows, Side, Wanted};
use crate::request::Input;
use crate::{CommonArguments, Metrics, Task};

/// Which other measures are wanted.
#[derive(Args)]
pub(super) struct OtherArguments {
    /// Also measure sFID: the Fréchet distance of the first 7 channels of Mixed_6d.branch1x1 at every place, as ADM has it
    #[arg(long)]
    sfid: bool,
    /// Also measure CMMD of the features, as a rule CLIP's: each divided by its length, under a Gaussian kernel
    #[arg(long)]
    cmmd: bool,
    /// Also measure the Inception Score of the second set
    #[arg(long)]
    inception_score: bool,
    #[command(flatten)]
    score: ScoreArguments,
}

/// How the Inception Score is measured.
#[derive(Args)]
pub(super) struct ScoreArguments {
    /// The node of the logits [default: logits_unbiased, or logits]
    #[arg(long, value_name = "NODE")]
    logits: Option<String>,
    /// The parts whose Inception Scores are averaged
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = super::at_least_one)]
    is_splits: usize,
    /// How images come into parts
    #[arg(long, value_enum, default_value_t)]
    is_order: OrderArgument,
}

/// `--is-order`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OrderArgument {
    /// Shuffled as torch-fidelity does, with its seed
    #[default]
    Shuffled,
    /// As they are, as ADM does
    Given,
}

#[derive(Args)]
pub(super) struct InceptionScoreArguments {
    /// Images (.npy, a folder, a tar or zip), or logits (.npy, N x classes)
    set: Input,
    #[command(flatten)]
    score: ScoreArguments,
    #[command(flatten)]
    features: FeatureArguments,
    #[command(flatten)]
    cache: CacheArguments,
    #[command(flatten)]
    common: CommonArguments,
}

impl OtherArguments {
    /// What is read of images for them, beside the features: of both sets, and of the second alone.
    pub(super) fn wanted(&self) -> [Vec<Wanted>; 2] {
        let both: Vec<_> = std::iter::once(Wanted::Compared).chain(self.sfid.then_some(Wanted::Spatial)).collect();
        let logits = self.inception_score.then(|| Wanted::Logits(self.score.logits.clone()));
        [both.clone(), both.into_iter().chain(logits).collect()]
    }

    /// Adds those that are wanted.
    pub(super) fn measure(&self, a: &Side, b: &Side, metrics: &mut Metrics) -> anyhow::Result<()> {
        if self.sfid {
            metrics.insert("sfid".into(), metric(spatial_distance(a, b)?));
        }
        if self.cmmd {
            let Some((a, b)) = a.features().zip(b.features()) else {
                bail!("--cmmd: expected features or images on both sides, found statistics")
            };
            metrics.insert("cmmd".into(), metric(cmmd(a, b)?));
        }
        if self.inception_score {
            let logits = b.logits().context(
                "--inception-score: expected images as the second set, found features or statistics; measure logits by                  `fid-score inception-score`",
            )?;
            self.score.insert(logits, metrics)?;
        }
        Ok(())
    }
}

impl ScoreArguments {
    fn insert(&self, logits: Features, metrics: &mut Metrics) -> fidelity::Result<()> {
        let order = match self.is_order {
            OrderArgument::Shuffled => Order::Shuffled,
            OrderArgument::Given => Order::Given,
        };
        let score = inception_score(logits, self.is_splits, order)?;
        metrics.insert("inception_score".into(), metric(score.mean));
        metrics.insert("inception_score_deviation".into(), metric(score.deviation));
        Ok(())
    }
}

/// The Fréchet distance of spatial features, from themselves where both sets have them.
fn spatial_distance(a: &Side, b: &Side) -> anyhow::Result<f64> {
    if let Some((a, b)) = a.spatial().zip(b.spatial()) {
        return Ok(frechet_of_features(a, b)?.distance());
    }
    match a.spatial_moments().zip(b.spatial_moments()) {
        Some((a, b)) => Ok(frechet(&a, &b)?.distance()),
        None => bail!(
            "--sfid: expected images, or statistics with mu_s and sigma_s, on both sides, found others; `fid-score stats --sfid`              writes them"
        ),
    }
}

/// The Inception Score of one set.
pub(super) fn score(arguments: &InceptionScoreArguments) -> anyhow::Result<()> {
    let InceptionScoreArguments { set, score, features, cache, common } = arguments;
    let task = Task::begin(common, None)?;
    let (logits, left) = match sets::features(set)? {
        Some(mut reader) => (Rows::of_array(&mut reader)?, Left::default()),
        None => {
            let opening = Opening { features, cache, common };
            let (mut read, left) = opening.images(set, &[Wanted::Logits(score.logits.clone())])?;
            (read.remove(0).1, left)
        }
    };
    ensure!(
        logits.dimension > 1,
        "{}: expected logits of at least 2 classes, found {}",
        set.display(),
        logits.dimension
    );
    let mut metrics = Metrics::new();
    score.insert(logits.features(), &mut metrics)?;
    metrics.insert("images".into(), logits.features().count().into());
    metrics.insert("dimension".into(), logits.dimension.into());
    metrics.extend(super::cache::metrics_of(left));
    sets::note_kept(&task, set, left);
    task.finish_measurement(&metrics)
}
