//! The images that are found without gradients: the best of random latents, the best of a dataset.

use std::path::Path;

use anyhow::ensure;
use obverse::net::{Network, Size};
use obverse::objective::resolved::Objective;
use obverse::store::npy::{Reader, Scalar, Writer, require_finite};
use obverse::store::sidecar::metric;
use obverse::tensor::{Batch, Element, channels_first, shape, view};
use obverse::visualize::search::{Best, Judge, Region};
use serde_json::Value;

use super::{Arguments, plain};
use crate::fitted::FittedImages;
use crate::{Metrics, Task, companion};

/// Keeps the best of `count` random inputs of a decoder.
pub(super) fn search<E: Element + Scalar>(
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
pub(super) fn rank<E: Element + Scalar>(
    arguments: &Arguments,
    network: &Network<E>,
    objectives: &[Objective],
    examples: &Path,
    task: Task,
) -> anyhow::Result<()> {
    let input = network.graph().input.shape;
    let file = FittedImages::open(examples, input)?;
    let judge = Judge { network, plain: &plain(input, input)?, objectives };
    let images = |first: u64, count: usize| {
        let rows: Vec<usize> = (first as usize..first as usize + count).collect();
        file.batch(&rows)
    };
    let best = judge_all(arguments, &judge, file.count() as u64, &images)?;
    write_best(arguments, &best, input, &images, task)
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
    arguments.rows.for_each_batch(count as usize, judge.network.graph().input.shape.elements(), |rows| {
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
    task.finish_array(writer, metrics)
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
