//! Passes over one set: its statistics, its features, and the statistics of its parts joined.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use obverse::data::pictures::Pictures;
use obverse::fidelity::moments::Accumulator;
use obverse::fidelity::statistics::Statistics;
use obverse::store::digest;
use obverse::store::npy::{Dtype, Writer};

use super::cache::metrics_of;
use super::sets;
use super::{MergeArguments, PassArguments, StatsArguments};
use crate::features::{Left, Side, Wanted};
use crate::parts;
use crate::{Metrics, Task};

pub(super) fn stats(arguments: &StatsArguments) -> anyhow::Result<()> {
    let StatsArguments { pass, sfid } = arguments;
    let mut task = Task::begin(&pass.common, Some(&pass.output))?;
    ensure!(
        pass.output.extension().is_some_and(|extension| extension == "npz"),
        "{}: expected a name that ends in .npz",
        pass.output.display()
    );
    let (statistics, left) = if let Some(mut reader) = sets::features(&pass.images)? {
        ensure!(pass.shard.shard.is_whole(), "--shard: expected images; take rows of features with npy-cat --rows");
        ensure!(!sfid, "--sfid: expected images, found features");
        if task.is_fresh()? {
            return Ok(());
        }
        let side = Side::of_array(&mut reader)?;
        (Statistics { origin: side.origin().cloned(), ..Statistics::of(side.moments()) }, Left::default())
    } else {
        let pictures = Pictures::open_as(&pass.images, pass.features.pixels.scored())?;
        let wanted = [Some(Wanted::Compared), sfid.then_some(Wanted::Spatial)];
        let opened = pass.features.open(&wanted.into_iter().flatten().collect::<Vec<_>>())?;
        let taps = opened.taps.clone();
        let origin = taps[0].origin.clone();
        task.on(&pass.features.device, false)?;
        task.resolved("features", &origin)?;
        if task.is_fresh()? {
            return Ok(());
        }
        let map = opened.map(&taps.iter().collect::<Vec<_>>())?;
        let mut accumulators: Vec<_> = taps.iter().map(|tap| Accumulator::new(tap.dimension)).collect();
        let mut sink = |features: &[Vec<f32>]| {
            for (accumulator, rows) in accumulators.iter_mut().zip(features) {
                accumulator.add(&rows.iter().map(|&value| f64::from(value)).collect::<Vec<_>>());
            }
            Ok(())
        };
        let left = pass.features.pass(&map, &pictures, &pass.images, pass.shard.shard, pass.common.quiet, &mut sink)?;
        let mut moments = accumulators.into_iter().map(Accumulator::finish);
        let Some(whole) = moments.next() else { bail!("expected features, found none") };
        (Statistics { spatial: moments.next(), origin: Some(origin), ..Statistics::of(whole) }, left)
    };
    let mut metrics = Metrics::from_iter([
        ("images".to_string(), statistics.moments.count().into()),
        ("dimension".to_string(), statistics.moments.dimension().into()),
    ]);
    metrics.extend(metrics_of(left));
    task.finish_with(|| Ok(statistics.stage(&pass.output)?), metrics)
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
                match (&mut whole.spatial, &part.spatial) {
                    (Some(whole), Some(part)) => whole.merge(part)?,
                    (None, None) => {}
                    _ => bail!(
                        "{}: expected mu_s and sigma_s in all parts or in none; make all with `fid-score stats --sfid`",
                        path.display()
                    ),
                }
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
    task.on(&arguments.features.device, false)?;
    let pictures = Pictures::open_as(&arguments.images, arguments.features.pixels.scored())?;
    let opened = arguments.features.open(&[Wanted::Compared])?;
    let tap = opened.taps[0].clone();
    task.resolved("features", &tap.origin)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let map = opened.map(&[&tap])?;
    let mut writer = Writer::create(&arguments.output, Dtype::F32, &[tap.dimension])?;
    let (shard, quiet) = (arguments.shard.shard, arguments.common.quiet);
    let mut sink = |features: &[Vec<f32>]| Ok(writer.write_rows(&features[0])?);
    let left = arguments.features.pass(&map, &pictures, &arguments.images, shard, quiet, &mut sink)?;
    task.finish_array(writer, metrics_of(left))
}
