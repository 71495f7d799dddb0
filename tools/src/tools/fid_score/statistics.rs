//! Passes over one set: its statistics, its features, and the statistics of its parts joined.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use obverse::data::pictures::Pictures;
use obverse::fidelity::moments::Accumulator;
use obverse::fidelity::statistics::Statistics;
use obverse::store::digest;
use obverse::store::npy::{Dtype, Writer};

use super::{MergeArguments, PassArguments};
use crate::features::Side;
use crate::parts;
use crate::{Metrics, Task};

pub(super) fn stats(arguments: &PassArguments) -> anyhow::Result<()> {
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
            "--shard: expected images; take rows of features with npy-cat --rows"
        );
        if task.is_fresh()? {
            return Ok(());
        }
        let side = Side::open(&arguments.images, &arguments.features, &arguments.common)?;
        (Statistics { moments: side.moments(), counted: true, origin: side.origin().cloned() }, 0)
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

pub(super) fn merge(arguments: &MergeArguments) -> anyhow::Result<()> {
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    // Sorted by content, so that the order of the arguments does not matter.
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

pub(super) fn features(arguments: &PassArguments) -> anyhow::Result<()> {
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
