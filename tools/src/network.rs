//! What the tools that run networks share: the precision they compute in, images that must fit, and the loop over rows.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use obverse::data::batches::{ImageFile, LabelFile};
use obverse::net::{Graph, architectures};
use obverse::train;
use serde::Serialize;

use crate::exit::Failure;
use crate::{BatchArgument, CommonArguments, DeviceArgument, Progress, ShardArgument, Task, check_interrupted};

/// The numbers a tool computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 64-bit floats.
    F64,
}

/// The arguments of a tool that computes row by row.
#[derive(Clone, Debug, Args)]
pub struct RowsArguments {
    /// The numbers to compute with, and to write
    #[arg(long, value_enum, default_value_t)]
    pub precision: Precision,
    /// `--device`.
    #[command(flatten)]
    pub device: DeviceArgument,
    /// `--batch`.
    #[command(flatten)]
    pub batch: BatchArgument,
    /// `--shard`.
    #[command(flatten)]
    pub shard: ShardArgument,
    /// `--threads`, `--json`, …
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Values of images that are computed at a time. A network's values are some tens of times as many.
const ELEMENTS: usize = 1 << 20;

impl RowsArguments {
    /// Has the task compute on the device that was asked for.
    ///
    /// # Errors
    /// Those of [`Task::on`].
    pub fn on_device(&self, task: &mut Task) -> anyhow::Result<()> {
        task.on(&self.device, self.precision == Precision::F64)
    }

    /// Goes through this shard's part of `total` rows a batch at a time, with progress. The default batch suits images of `elements`
    /// values.
    ///
    /// # Errors
    /// Those of `step`, and an interrupt.
    pub fn for_each_batch(
        &self,
        total: usize,
        elements: usize,
        step: impl FnMut(&[usize]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for_each_batch(self.shard.shard.rows(total), self.together(elements), self.common.quiet, step)
    }

    /// How many images of `elements` values are computed at a time.
    fn together(&self, elements: usize) -> usize {
        self.batch.or((ELEMENTS / elements.max(1)).clamp(1, 128))
    }

    /// Checks that the network's values for a batch fit into memory; `path` is the network's folder, and there are `total` images of
    /// `elements` values.
    ///
    /// # Errors
    /// A batch that does not.
    pub fn charge(&self, path: &Path, graph: &Graph, total: usize, elements: usize) -> anyhow::Result<()> {
        let element = match self.precision {
            Precision::F32 => 4,
            Precision::F64 => 8,
        };
        let images = self.together(elements).min(self.shard.shard.rows(total).len());
        graph.charge(path, images, element).context("--batch")
    }
}

/// The classes of rows: read from a file, or listed and taken in turn.
#[derive(Debug)]
pub enum Classes {
    /// Those of a file, one per row.
    File(LabelFile),
    /// The first for row 0, the second for row 1, …, then the first again.
    InTurn(Vec<usize>),
}

impl Classes {
    /// The classes that `--labels` (of `count` rows) or `--class` gives; `None` if neither is given.
    ///
    /// # Errors
    /// A file that cannot be read, or with another number of labels.
    pub fn open(labels: Option<&Path>, listed: &[usize], count: usize) -> anyhow::Result<Option<Self>> {
        Ok(match labels {
            Some(path) => Some(Self::File(LabelFile::open(path, count)?)),
            None => (!listed.is_empty()).then(|| Self::InTurn(listed.to_vec())),
        })
    }

    /// The classes of `rows`, each below `count`.
    ///
    /// # Errors
    /// A class that is not below `count`, a file that cannot be read.
    pub fn of(&self, rows: &[usize], count: usize) -> anyhow::Result<Vec<i64>> {
        let (chosen, source) = match self {
            Self::File(labels) => (labels.batch(rows)?, labels.reader().path().display().to_string()),
            Self::InTurn(listed) => {
                let chosen = rows.iter().map(|row| i64::try_from(listed[row % listed.len()]).unwrap_or(i64::MAX));
                (chosen.collect(), "--class".into())
            }
        };
        if let Some(wrong) = chosen.iter().find(|&&class| usize::try_from(class).map_or(true, |class| class >= count)) {
            bail!("{source}: expected classes from 0 to {}, found {wrong}", count.saturating_sub(1));
        }
        Ok(chosen)
    }
}

/// The file that `--arch` means; `None` for the name of an architecture, even if there is a file of that name.
pub fn architecture_file(arch: &str) -> Option<PathBuf> {
    let path = Path::new(arch);
    let others = [architectures::TOY, architectures::CLARKE, architectures::CONNECTED];
    let named = architectures::NAMES.contains(&arch) || others.contains(&arch);
    let is_file = path.is_dir() || path.extension().is_some_and(|extension| extension == "json");
    (!named && is_file).then(|| network_file(path))
}

/// The file that describes a network: itself, or `net.json` in its folder.
fn network_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("net.json") } else { path.to_owned() }
}

/// Checks that a network takes these images.
///
/// # Errors
/// Another shape; the error names both.
pub fn require_images(images: &ImageFile, graph: &Graph) -> anyhow::Result<()> {
    let (wanted, found) = (graph.input.shape, images.shape());
    if (found.channels, found.height, found.width) != (wanted.channels, wanted.height, wanted.width) {
        let path = images.reader().path().display();
        anyhow::bail!(
            "{path}: expected images of {wanted}, which the network takes, found {}x{}x{}; resize them, or use another network",
            found.channels,
            found.height,
            found.width
        );
    }
    Ok(())
}

/// A training's error, with divergence as a failed run rather than bad input.
pub fn training_failure(error: train::Error) -> anyhow::Error {
    match error {
        train::Error::Diverged { .. } => Failure(error.to_string()).into(),
        other => other.into(),
    }
}

/// Goes through `rows` a batch at a time, with progress, until done or interrupted.
pub(crate) fn for_each_batch(
    rows: Range<usize>,
    batch: usize,
    quiet: bool,
    mut step: impl FnMut(&[usize]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut progress = Progress::new(rows.len() as u64, "images", quiet);
    let indices: Vec<usize> = rows.collect();
    for part in indices.chunks(batch) {
        check_interrupted()?;
        step(part)?;
        progress.advance(part.len() as u64);
    }
    Ok(())
}
