//! Predicts the objectives of images from Jacobians, computed or given, and compares them with targets.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use obverse::ifv::evaluation::{Summary, projected_angle};
use obverse::ifv::jacobian::{BLOCK, Linearisation, Response};
use obverse::ifv::prediction::{Prediction, predict, predict_relative};
use obverse::ifv::sampling;
use obverse::ifv::subspace::Subspace;
use obverse::store::npy::{Dtype, Reader, Scalar, Writer, write};
use obverse::store::sidecar::metric;
use obverse::tensor::Element;
use serde_json::{Value, json};

use super::PredictArguments;
use super::source::{Linearisations, Points, Source, linearise, network, space, vectors};
use crate::climbing::Chunks;
use crate::{Metrics, Task, check_interrupted, companion, interrupted};

pub(super) fn predict_objectives<E: Element + Scalar>(arguments: &PredictArguments) -> anyhow::Result<()> {
    let output = arguments.output.as_deref().context("-o: expected a file")?;
    ensure!(output != Path::new("-"), "-o: expected a file, because others are written beside it");
    let source = Source::new(&arguments.source)?;
    let mut task = Task::begin(&arguments.rows.common, Some(output))?;
    arguments.rows.on_device(&mut task)?;
    source.declare(&mut task)?;
    task.beside(companions(arguments, output));
    if task.is_fresh()? {
        return Ok(());
    }
    let mut metrics = Metrics::new();
    let path = companion(output, "jacobians");
    let total = match &arguments.source.jacobians {
        Some(given) => copy_part(&Linearisations::open(given)?, &path, arguments)?,
        None => jacobians::<E>(arguments, &source, &task, (output, &path), &mut metrics)?,
    };
    let predicted = predict_all::<E>(arguments, &source, output, total, &mut metrics)?;
    task.finish_array(predicted, metrics)?;
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
pub(super) fn copy_part(given: &Linearisations, path: &Path, arguments: &PredictArguments) -> anyhow::Result<usize> {
    let (total, n) = (given.reader.rows(), given.features);
    let mut writer = Writer::create(path, Dtype::F64, &[n, n + 1])?;
    for row in arguments.rows.shard.shard.rows(total) {
        writer.write_rows(&given.at(row)?.to_row())?;
    }
    writer.finish()?;
    Ok(total)
}

/// Computes the Jacobians of this shard's part of the images. Returns the number of images, all shards together.
pub(super) fn jacobians<E: Element + Scalar>(
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
    let points = Points::open((images, source.arguments.pixels), source.parameters.as_deref(), map.as_ref())?;
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
    // Read now, so that errors show before hours of Jacobians.
    space(arguments.critical_space.as_deref(), response.features())?;
    arguments.targets.as_deref().map(|path| vectors(path, points.images.count(), response.features())).transpose()?;
    if source.parameters.is_none() {
        task.note("no parameters beside the images: taking the logits of their pixels, clamped to [1e-6, 1 - 1e-6]");
    }
    // From here on, an interrupt keeps the images that are done.
    interrupted();
    let chunks = Chunks::of(output, &task.identity(), arguments.source.restart.restart)?;
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
pub(super) fn predict_all<E: Element + Scalar>(
    arguments: &PredictArguments,
    source: &Source,
    output: &Path,
    total: usize,
    metrics: &mut Metrics,
) -> anyhow::Result<Writer> {
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
        let power = source.comparison.power;
        let found = if arguments.relative { predict_relative(&at, power)? } else { predict(&at, power, &space)? };
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
    Ok(objectives)
}

pub(super) fn narrowed<E: Element>(values: &[f64]) -> Vec<E> {
    values.iter().map(|&value| E::of(value)).collect()
}

pub(super) fn summary(values: &[f64]) -> Value {
    json!(Summary::of(values))
}

pub(super) fn median(values: &[f64]) -> Value {
    Summary::of(values).map_or(Value::Null, |summary| metric(summary.median))
}

/// Angles and shares, row by row.
#[derive(Default)]
pub(super) struct Scores {
    pub(super) angles: Vec<f64>,
    pub(super) shares: Vec<f64>,
}

impl Scores {
    /// Adds an image made for `target`; the random objective is that of the seed and the image's number.
    pub(super) fn add(
        &mut self,
        target: &[f64],
        at: &Linearisation,
        found: &Prediction,
        space: &Subspace,
        (seed, row): (u64, usize),
    ) {
        // Another seed than that of the targets, which `sample` may have drawn with the same seed.
        let random = sampling::objective(!seed, row, target.len());
        let to = |vector: &[f64]| projected_angle(space, target, vector);
        self.angles.extend([to(&found.objective), to(&at.response), to(&random)]);
        self.shares.extend(found.shares(target));
    }

    pub(super) fn write(
        &self,
        output: &Path,
        rows: usize,
        dimension: usize,
        metrics: &mut Metrics,
    ) -> anyhow::Result<()> {
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
