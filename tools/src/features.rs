//! Where the features that `fid-score` compares come from: images through a network, arrays, files of statistics.

use crate::request::Declared;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use obverse::data::pictures::Pictures;
use obverse::data::samples::holds_images;
use obverse::fidelity::Features;
use obverse::fidelity::features::{FeatureMap, Resize};
use obverse::fidelity::moments::Moments;
use obverse::fidelity::statistics::{Origin, Statistics};
use obverse::net::{self, Network, inception};
use obverse::store::digest;
use obverse::store::npy::{Reader, require_finite};
use obverse::store::sidecar::Sidecar;

use crate::{BatchArgument, CommonArguments, Progress, Shard, check_interrupted};

/// Where the inception network lies unless `--net` is given.
const DEFAULT: &str = "data/inception";

/// The sha256 of the weights that the Fréchet inception distance is defined by, as `dataset fetch inception` checks it.
const OFFICIAL: &str = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2";

/// How images become features.
#[derive(Clone, Debug, Args)]
pub struct FeatureArguments {
    /// The network that images go through, a folder
    #[arg(long, value_name = "NET", default_value = DEFAULT, add = Declared)]
    pub net: PathBuf,
    /// The node whose spatial mean is compared [default: the last features_N, or the last node]
    #[arg(long, value_name = "NODE")]
    pub layer: Option<String>,
    /// How images are resized for the network
    #[arg(long, value_enum, default_value_t)]
    pub resize: ResizeArgument,
    /// What to do with an image file that cannot be decoded
    #[arg(long, value_enum, default_value_t)]
    pub on_error: OnError,
    /// `--batch`.
    #[command(flatten)]
    pub batch: BatchArgument,
}

/// `--resize`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum ResizeArgument {
    /// As pytorch-fid: bilinear, without antialiasing
    #[default]
    Bilinear,
    /// As clean-fid: bicubic, antialiased
    Clean,
    /// Not at all: images must have the network's size
    None,
}

impl ResizeArgument {
    fn resize(self) -> Resize {
        match self {
            Self::Bilinear => Resize::Bilinear,
            Self::Clean => Resize::Clean,
            Self::None => Resize::None,
        }
    }
}

/// `--on-error`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// Stop, naming the file
    #[default]
    Fail,
    /// Name the file and go on without it
    Skip,
}

impl FeatureArguments {
    /// The network up to its layer, and what its features are called.
    ///
    /// # Errors
    /// No network there, no such layer.
    pub fn map(&self) -> anyhow::Result<(FeatureMap, Origin)> {
        let folder = self.net.as_path();
        ensure!(
            folder.join("net.json").is_file(),
            "{}: expected a network folder, found none; make one with `dataset fetch inception`, or with `net-import \
             WEIGHTS --arch {} -o NET`, and name it with --net",
            folder.display(),
            inception::NAME
        );
        let network = Network::<f32>::load(folder)?;
        let graph = network.graph();
        let largest = inception::FEATURES.iter().rev().map(|&features| inception::output(features));
        let known = largest.clone().find(|output| graph.output(output).is_ok());
        let last = || graph.nodes.last().map(|node| node.name.clone());
        let layer = self.layer.clone().or(known).or_else(last).context("a network without nodes has no features")?;
        let from = net::origin(folder)?;
        let is = |key: &str, value: &str| from.get(key).and_then(|found| found.as_str()) == Some(value);
        let of_inception = is("architecture", inception::NAME);
        let official = of_inception && is("weights_sha256", OFFICIAL);
        let map = FeatureMap::new(network, &layer, self.resize.resize())?;
        let dimension = map.dimension();
        let label = match layer == inception::output(dimension) && of_inception {
            true if official || dimension < 2048 => format!("fid-{dimension}"),
            true => format!("fid-{dimension}-unofficial-weights"),
            false => format!("frechet-{layer}-{dimension}"),
        };
        let resize = self.resize.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default();
        Ok((map, Origin { network: digest::of_path(folder)?, layer, resize, label }))
    }

    /// Gives the features of this shard's pictures to `sink`, a batch at a time, in order; returns how many were skipped.
    ///
    /// # Errors
    /// An image that cannot be read, unless those are skipped; one that the network cannot take; an error of `sink`.
    pub fn pass(
        &self,
        map: &FeatureMap,
        pictures: &Pictures,
        path: &Path,
        shard: Shard,
        quiet: bool,
        sink: &mut dyn FnMut(&[f32]) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let rows: Vec<usize> = shard.rows(pictures.count()).collect();
        let mut progress = Progress::new(rows.len() as u64, "images", quiet);
        let mut skipped = 0;
        if let Some(left_out) = pictures.left_out().filter(|_| !quiet) {
            progress.note(&format!("{}: left out: {left_out}", path.display()));
        }
        for rows in rows.chunks(self.batch.or(16)) {
            check_interrupted()?;
            let mut taken = Vec::with_capacity(rows.len());
            for picture in pictures.read(rows) {
                match picture {
                    Ok(picture) => taken.push(picture),
                    Err(error) if self.on_error == OnError::Skip => {
                        skipped += 1;
                        progress.note(&format!("skipped: {error}"));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            let features = map
                .features(&taken)
                .map_err(|refusal| anyhow::anyhow!("{}: from image {} on: {refusal}", path.display(), rows[0]))?;
            sink(&features)?;
            progress.advance(rows.len() as u64);
        }
        Ok(skipped)
    }
}

/// One of the two sets that are compared.
pub enum Side {
    /// Features, one row per image.
    Features {
        /// (N, d) in row order.
        rows: Vec<f64>,
        /// d.
        dimension: usize,
        /// Where they come from, if that is known.
        origin: Option<Origin>,
        /// Images left out.
        skipped: usize,
    },
    /// A file of statistics.
    Statistics(Statistics),
}

impl Side {
    /// Opens statistics (`.npz`), features (an array of two axes), or images, which go through the network.
    ///
    /// # Errors
    /// A path that cannot be read or is none of these; an empty set.
    pub fn open(path: &Path, arguments: &FeatureArguments, common: &CommonArguments) -> anyhow::Result<Self> {
        if path.extension().is_some_and(|extension| extension == "npz") && !holds_images(path)? {
            return Ok(Self::Statistics(Statistics::load(path)?));
        }
        let name = path.to_string_lossy();
        if name.ends_with(".npy") || name.ends_with(".npy.zst") {
            let mut reader = Reader::open(path)?;
            if reader.shape().len() == 2 {
                return Self::of_array(&mut reader);
            }
        }
        let pictures = Pictures::open(path)?;
        ensure!(pictures.count() > 0, "{}: expected images, found none", path.display());
        let (map, origin) = arguments.map()?;
        let mut rows = Vec::with_capacity(pictures.count().min(1 << 16) * map.dimension());
        let skipped = arguments.pass(&map, &pictures, path, Shard::default(), common.quiet, &mut |features| {
            rows.extend(features.iter().map(|&value| f64::from(value)));
            Ok(())
        })?;
        Ok(Self::Features { rows, dimension: map.dimension(), origin: Some(origin), skipped })
    }

    fn of_array(reader: &mut Reader) -> anyhow::Result<Self> {
        let (count, dimension) = (reader.rows(), reader.row_len());
        ensure!(count > 0 && dimension > 0, "{}: expected features, found none", reader.path().display());
        let rows: Vec<f64> = reader.read_rows_as_float(count)?;
        require_finite(reader.path(), &rows, 0, dimension)?;
        let sidecar = Sidecar::path_of(reader.path()).and_then(|path| Sidecar::read(&path).ok());
        let origin = sidecar.and_then(|sidecar| serde_json::from_value(sidecar.resolved.get("features")?.clone()).ok());
        Ok(Self::Features { rows, dimension, origin, skipped: 0 })
    }

    /// The number of images, if it is known.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Features { rows, dimension, .. } => Some(rows.len() / dimension),
            Self::Statistics(statistics) => statistics.counted.then(|| statistics.moments.count()),
        }
    }

    /// The number of features.
    pub fn dimension(&self) -> usize {
        match self {
            Self::Features { dimension, .. } => *dimension,
            Self::Statistics(statistics) => statistics.moments.dimension(),
        }
    }

    /// Where the features come from, if that is known.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Features { origin, .. } => origin.as_ref(),
            Self::Statistics(statistics) => statistics.origin.as_ref(),
        }
    }

    /// The rows, unless only statistics are there.
    pub fn features(&self) -> Option<Features<'_>> {
        match self {
            Self::Features { rows, dimension, .. } => Some(Features::new(rows, *dimension)),
            Self::Statistics(_) => None,
        }
    }

    /// The mean and covariance of the features.
    pub fn moments(&self) -> Moments {
        match self {
            Self::Features { rows, dimension, .. } => Moments::of(rows, *dimension),
            Self::Statistics(statistics) => statistics.moments.clone(),
        }
    }

    /// Images left out.
    pub fn skipped(&self) -> usize {
        match self {
            Self::Features { skipped, .. } => *skipped,
            Self::Statistics(_) => 0,
        }
    }
}

/// Where the features of both sides come from. It must be the same if both are known.
///
/// # Errors
/// Different networks, layers or resizing.
pub fn common_origin(a: &Side, b: &Side) -> anyhow::Result<Option<Origin>> {
    match (a.origin(), b.origin()) {
        (Some(one), Some(other)) if one != other => {
            bail!(
                "expected both sets' features from one layer of one network, found {} of {} ({}) and {} of {} ({})",
                one.layer,
                one.network,
                one.resize,
                other.layer,
                other.network,
                other.resize
            )
        }
        (one, other) => Ok(one.or(other).cloned()),
    }
}
