//! `shadow-measure curves`: a metric of trainings over epochs, with intervals over seeds.

use std::path::Path;

use anyhow::{Context, ensure};
use obverse::report::{Chart, Series};
use obverse::shadow::statistics::Interval;
use obverse::store;
use serde_json::{Value, json};

use super::CurvesArguments;
use crate::picture::Format;
use crate::{Metrics, Task};

pub(super) fn run(arguments: &CurvesArguments) -> anyhow::Result<()> {
    let CurvesArguments { folders, each, metric, error, picture } = arguments;
    let format = Format::of(&picture.output)?;
    ensure!(
        *each > 0 && folders.len().is_multiple_of(*each),
        "--each: expected groups of {each} folders, found {} folders",
        folders.len()
    );
    let firsts: Vec<&Path> = folders.iter().step_by(*each).map(|folder| folder.as_path()).collect();
    let names = picture.names(&firsts)?;
    let mut task = Task::begin(&picture.common, Some(&picture.output))?;
    folders.iter().try_for_each(|folder| task.input(folder))?;
    task.parameter("each", each)?;
    task.parameter("metric", (metric, error))?;
    task.parameter("captions", &picture.captions)?;
    task.parameter("title", &picture.title)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let value = |value: f64| if *error { 1.0 - value } else { value };
    let trainings = folders.iter().map(|folder| Ok(read(folder, metric)?.into_iter().map(value).collect()));
    let trainings = trainings.collect::<anyhow::Result<Vec<Vec<f64>>>>()?;
    let epochs = trainings.iter().map(Vec::len).min().unwrap_or(0);
    ensure!(epochs > 0, "{metric}: expected at least one epoch of each training, found none");
    let groups: Vec<&[Vec<f64>]> = trainings.chunks(*each).collect();
    let curve = |(colour, (group, name)): (usize, (&&[Vec<f64>], &String))| {
        let of_epoch = |epoch: usize| interval(group.iter().map(|training| training[epoch]));
        let intervals = (0..epochs).map(of_epoch).collect::<anyhow::Result<Vec<_>>>()?;
        let points = intervals.iter().enumerate().map(|(epoch, interval)| [epoch as f64 + 1.0, interval.mean]);
        let halves = intervals.iter().map(|interval| interval.half).collect();
        Ok(Series { halves, ..Series::new(name, points.collect(), colour) })
    };
    let series = groups.iter().zip(&names).enumerate().map(curve).collect::<anyhow::Result<Vec<_>>>()?;
    let axis = if *error { format!("1 - {metric}") } else { metric.clone() };
    let chart = Chart { series, names: ["epoch".into(), axis], title: picture.title.clone(), ..Chart::default() };
    let figure = chart.figure()?;
    let last = groups.iter().zip(&names).map(|(group, name)| summary(group, name, groups[0], epochs - 1));
    let last = last.collect::<anyhow::Result<Vec<Value>>>()?;
    let metrics = Metrics::from_iter([("groups".to_string(), Value::Array(last))]);
    task.finish(format.save(&figure, &picture.output)?, metrics)
}

/// A metric after each epoch of a training.
fn read(folder: &Path, metric: &str) -> anyhow::Result<Vec<f64>> {
    let path = folder.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).map_err(store::Error::read(&path))?;
    let number = |(line, text): (usize, &str)| {
        let json: Value =
            serde_json::from_str(text).with_context(|| format!("{}, line {}", path.display(), line + 1))?;
        let found = json.get(metric).and_then(Value::as_f64);
        found.with_context(|| {
            let known = json.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>().join(", "));
            format!(
                "{}, line {}: expected a number \"{metric}\", found {}",
                path.display(),
                line + 1,
                known.unwrap_or_default()
            )
        })
    };
    text.lines().enumerate().map(number).collect()
}

/// The mean with its interval; of a single value without.
fn interval(values: impl Iterator<Item = f64>) -> anyhow::Result<Interval> {
    let values: Vec<f64> = values.collect();
    match values[..] {
        [only] => Ok(Interval { mean: only, half: 0.0 }),
        _ => Ok(Interval::of(&values)?),
    }
}

/// A group after the last epoch, each seed, and how far it is from the first group.
fn summary(group: &[Vec<f64>], name: &str, first: &[Vec<f64>], last: usize) -> anyhow::Result<Value> {
    let seeds: Vec<f64> = group.iter().map(|training| training[last]).collect();
    let Interval { mean, half } = interval(seeds.iter().copied())?;
    let apart = interval(group.iter().zip(first).map(|(training, first)| training[last] - first[last]))?;
    Ok(
        json!({"name": name, "mean": mean, "half": half, "seeds": seeds, "from_first": apart.mean, "from_first_half": apart.half}),
    )
}
