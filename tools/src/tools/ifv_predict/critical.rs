//! The critical space of a layer (Algorithm 1), and the best of its candidates on known objectives.

use std::time::Instant;

use anyhow::{Context, bail, ensure};
use obverse::ifv::critical_space::{self, Candidate, Samples, Score};
use obverse::ifv::evaluation::require_different;
use obverse::ifv::jacobian::{Linearisation, Response};
use obverse::ifv::subspace::Subspace;
use obverse::store::npy::{Reader, Scalar, stage};
use obverse::store::sidecar::metric;
use obverse::tensor::Element;
use serde_json::{Value, json};

use super::CriticalSpaceArguments;
use super::source::{Linearisations, Points, Source, linearise, network, vectors};
use crate::climbing::Chunks;
use crate::{Metrics, Task, interrupted};

pub(super) fn find_space<E: Element + Scalar>(arguments: &CriticalSpaceArguments) -> anyhow::Result<()> {
    let source = Source::new(&arguments.source)?;
    ensure!(arguments.rows.shard.shard.is_whole(), "--shard: a space needs all samples together; leave it out");
    let mut task = Task::begin(&arguments.rows.common, Some(&arguments.output))?;
    arguments.rows.on_device(&mut task)?;
    source.declare(&mut task)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let (linearisations, total) = linearisations::<E>(arguments, &source, &task)?;
    let n = linearisations.first().map_or(0, Linearisation::features);
    let responses: Vec<f64> = linearisations.iter().flat_map(|at| at.response.clone()).collect();
    require_different("responses of the sampled images", &responses, n)?;
    let targets = known(arguments, total, n)?;
    let started = Instant::now();
    let sampled = Samples::of(&linearisations)?;
    let (space, mut metrics) = match (arguments.threshold, targets) {
        (Some(threshold), _) => (sampled.co_kernel(threshold)?.complement(), Metrics::new()),
        (None, targets) => {
            let candidates = sampled.candidates(arguments.largest_threshold, arguments.stability)?;
            let known = targets.map(|targets| {
                let rows = targets.chunks_exact(n).map(<[f64]>::to_vec);
                linearisations.into_iter().zip(rows).collect::<Vec<_>>()
            });
            choose(candidates, known.as_deref(), &source, arguments.dimension)?
        }
    };
    ensure!(space.dimension() > 0, "--threshold: all directions lie below it; lower it");
    metrics.insert("dimension".into(), space.dimension().into());
    metrics.insert("features".into(), n.into());
    metrics.insert("seconds".into(), metric(started.elapsed().as_secs_f64()));
    let basis = space.basis();
    let values: Vec<f64> = (0..n).flat_map(|i| basis.row(i).iter().copied().collect::<Vec<_>>()).collect();
    task.finish_with(|| Ok(stage(&arguments.output, &[n, space.dimension()], &values)?), metrics)?;
    Chunks::discard(&arguments.output)
}

/// How many images Algorithm 1 sees.
fn samples(arguments: &CriticalSpaceArguments, total: usize) -> usize {
    arguments.samples.map_or(total, |samples| total.min(samples as usize))
}

/// The objectives of all images, if they are known; those of the sampled images must differ.
fn known(arguments: &CriticalSpaceArguments, total: usize, n: usize) -> anyhow::Result<Option<Vec<f64>>> {
    let Some(path) = arguments.targets.as_deref() else { return Ok(None) };
    let targets = vectors(path, total, n)?;
    require_different("objectives", &targets[..samples(arguments, total) * n], n)
        .with_context(|| path.display().to_string())?;
    Ok(Some(targets))
}

/// The linearisations that Algorithm 1 sees, and the number of images there are.
fn linearisations<E: Element + Scalar>(
    arguments: &CriticalSpaceArguments,
    source: &Source,
    task: &Task,
) -> anyhow::Result<(Vec<Linearisation>, usize)> {
    if let Some(path) = &arguments.source.jacobians {
        let given = Linearisations::open(path)?;
        let total = given.reader.rows();
        return Ok(((0..samples(arguments, total)).map(|row| given.at(row)).collect::<anyhow::Result<_>>()?, total));
    }
    let (folder, images, layer) = source.named()?;
    let network = network::<E>(folder, layer)?;
    let map = source.image.build::<E>(network.graph().input.shape)?;
    let points = Points::open((images, source.arguments.pixels), source.parameters.as_deref(), map.as_ref())?;
    let targets = arguments.targets.as_deref().map(Reader::open).transpose()?;
    let features = source.features(&[targets.as_ref()]);
    let response = Response::new(&network, map.as_ref(), layer, source.comparison.aggregation, features)?;
    // Read now, so that errors show before hours of Jacobians.
    known(arguments, points.images.count(), response.features())?;
    let rows: Vec<usize> = (0..samples(arguments, points.images.count())).collect();
    interrupted();
    let chunks = Chunks::of(&arguments.output, &task.identity(), arguments.source.restart.restart)?;
    linearise((&chunks, "jacobians"), &points, (&response, map.as_ref()), &rows, &arguments.rows)?;
    let one = |&row: &usize| {
        let values: Vec<f64> = chunks.open("jacobians", row)?.read_rows(1)?;
        Ok(Linearisation::from_row(&values, response.features())?)
    };
    Ok((rows.iter().map(one).collect::<anyhow::Result<_>>()?, points.images.count()))
}

/// The best candidate on known objectives, the candidate of a dimension, or the only one.
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
