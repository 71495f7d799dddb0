//! Images found without gradients: the best of random latents, or of a dataset.

use std::path::Path;

use anyhow::ensure;
use obverse::net::{Network, Size};
use obverse::objective::resolved::Objective;
use obverse::store::npy::{Reader, Scalar, Writer, require_finite};
use obverse::store::sidecar::metric;
use obverse::tensor::{Batch, Element, channels_first, shape, view};
use obverse::visualisation::search::{Best, Judge, Region};
use serde_json::Value;

use super::{Candidates, Request, Select, plain};
use crate::fitted::FittedImages;
use crate::{Metrics, Task, companion};

/// Keeps the best candidates of each objective, and writes their images.
pub(super) fn select<E: Element + Scalar>(
    request: &Request,
    Select { candidates, keep }: &Select,
    network: &Network<E>,
    objectives: &[Objective],
    task: Task,
) -> anyhow::Result<()> {
    let best = vec![Best::new(*keep); objectives.len()];
    match candidates {
        Candidates::Drawn { count, region } => {
            search(request, (network, objectives, best), (*count, region.as_deref()), task)
        }
        Candidates::Examples(examples) => rank(request, (network, objectives, best), examples, task),
    }
}

/// The network, the objectives that judge its activations, and the best of each so far.
type Judged<'a, E> = (&'a Network<E>, &'a [Objective], Vec<Best>);

/// Keeps the best of `count` random inputs of a decoder.
fn search<E: Element + Scalar>(
    request: &Request,
    (network, objectives, best): Judged<E>,
    (count, region): (u64, Option<&Path>),
    task: Task,
) -> anyhow::Result<()> {
    let input = network.graph().input.shape;
    let decoder = request.image.build::<E>(input)?;
    let region = match region {
        Some(path) => region_of(path, decoder.parameters())?,
        None => Region::unit(decoder.parameters()),
    };
    let judge = Judge { network, plain: &plain(decoder.image_size(), input)?, objectives };
    let images =
        |first: u64, count: usize| Ok(decoder.at(&region.draw::<E>(request.seed, first, count)).images().clone());
    let best = judge_all(request, (&judge, best), count, &images)?;
    let latents: Vec<E> = kept(&best).flat_map(|at| view(&region.draw::<E>(request.seed, at, 1)).to_vec()).collect();
    let path = companion(&request.output, "parameters");
    let mut writer = Writer::create(&path, E::DTYPE, &[decoder.parameters()])?;
    writer.write_rows(&latents)?;
    writer.finish()?;
    write_best(request, &best, decoder.image_size(), &images, task)
}

/// Keeps the best images of a dataset; those of another size than the network's are resized for it.
fn rank<E: Element + Scalar>(
    request: &Request,
    (network, objectives, best): Judged<E>,
    examples: &Path,
    task: Task,
) -> anyhow::Result<()> {
    let input = network.graph().input.shape;
    let file = FittedImages::open(request.pixels.open(examples)?, input)?;
    let judge = Judge { network, plain: &plain(input, input)?, objectives };
    let images = |first: u64, count: usize| {
        let rows: Vec<usize> = (first as usize..first as usize + count).collect();
        file.batch(&rows)
    };
    let best = judge_all(request, (&judge, best), file.count() as u64, &images)?;
    write_best(request, &best, input, &images, task)
}

/// The images of the candidates `first` and on, (N, H, W, C).
type Images<'a, E> = &'a dyn Fn(u64, usize) -> anyhow::Result<Batch<E>>;

/// Judges all candidates of this shard.
fn judge_all<E: Element>(
    request: &Request,
    (judge, mut best): (&Judge<E>, Vec<Best>),
    count: u64,
    images: Images<E>,
) -> anyhow::Result<Vec<Best>> {
    let (graph, count) = (judge.network.graph(), count as usize);
    let elements = graph.input.shape.elements();
    request.rows.charge(&request.network, graph, count, elements)?;
    request.rows.for_each_batch(count, elements, |rows| {
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
    request: &Request,
    best: &[Best],
    size: Size,
    images: Images<E>,
    task: Task,
) -> anyhow::Result<()> {
    let mut writer =
        Writer::create(&request.output, E::DTYPE, &[size.channels, size.height, size.width])?.of_images([0.0, 1.0]);
    for candidate in kept(best) {
        let image = images(candidate, 1)?;
        writer.write_rows(&channels_first(view(&image), shape(&image)))?;
    }
    let lists = |of: &dyn Fn(&obverse::visualisation::search::Found) -> Value| -> Value {
        best.iter().map(|best| best.found().iter().map(of).collect::<Value>()).collect()
    };
    let metrics = Metrics::from_iter([
        ("objective".to_string(), lists(&|found| metric(found.value))),
        ("candidate".to_string(), lists(&|found| found.candidate.into())),
    ]);
    task.finish_array(writer, metrics)
}

/// The box of a file of latents.
fn region_of(path: &Path, features: usize) -> anyhow::Result<Region> {
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
