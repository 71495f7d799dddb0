//! `metric-view`: a figure of a metric of outputs, over epochs or other positions, with intervals.

use crate::request::Input;
use std::path::Path;

use anyhow::ensure;
use clap::Parser;
use obverse::report::{Chart, Series, metric_of_epochs, metric_of_output};
use obverse::statistics::{Interval, Measure};
use serde_json::Value;

use crate::picture::{Format, PictureArguments};
use crate::{Metrics, Task};

/// Draw a metric of outputs as curves with intervals: over the epochs of trainings, or over other positions
///
/// Without --at, the outputs are networks of net-fit, whose metrics.jsonl has one line per epoch. With --at, each output gives one value,
/// the metric in its sidecar. Give the outputs in this order: seed by seed, position by position, curve by curve.
///
/// Intervals are of 95%: by Student's t over several seeds, or for a single seed the interval in the sidecar. The sidecar of the figure
/// holds the values that were drawn (of epochs, only the last) and their differences from the first curve, seed by seed.
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  groups      a list with an entry for each curve and position: name, at, mean, from_first (the difference from the first curve, seed
              by seed), both with their intervals if known, and the values of the seeds

Examples:
  metric-view plain-0 plain-1 dropout-0 dropout-1 --each 2 --captions plain,dropout --metric test_accuracy --error -o errors.svg
  metric-view conv2-likelihoods.npy fc3-likelihoods.npy --at CONV2,FC3 --metric nce_nats --captions MNIST -o nce.png"
)]
pub struct Arguments {
    /// Outputs of tools: networks, arrays
    #[arg(required = true, value_name = "OUTPUT")]
    outputs: Vec<Input>,
    /// The metric, by its name in metrics.jsonl or in the sidecar
    #[arg(long, value_name = "NAME", default_value = "test_accuracy")]
    metric: String,
    /// How many outputs in a row differ only in their seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    each: usize,
    /// Labels of the positions along each curve [default: epochs]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    at: Vec<String>,
    /// Draw 1 minus the metric
    #[arg(long, conflicts_with = "relative")]
    error: bool,
    /// Draw the metric divided by its absolute value at the first position, seed by seed
    #[arg(long, requires = "at")]
    relative: bool,
    #[command(flatten)]
    picture: PictureArguments,
}

/// The values of a curve: for each position, those of all seeds.
type Curve = Vec<Vec<Interval>>;

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { outputs, metric: asked, each, at, error, relative, picture } = &arguments;
    let format = Format::of(&picture.output)?;
    let (places, found) = (at.len().max(1), outputs.len());
    ensure!(
        *each > 0 && found.is_multiple_of(each * places),
        "--each, --at: expected curves of {places} x {each} outputs, found {found} outputs"
    );
    let firsts: Vec<&Path> = outputs.iter().step_by(each * places).map(|output| &**output).collect();
    let names = picture.names(&firsts)?;
    let mut task = Task::begin(&picture.common, Some(&picture.output))?;
    task.resolved("captions", &names)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let mut curves =
        if at.is_empty() { over_epochs(outputs, asked, *each)? } else { over(outputs, asked, *each, places)? };
    if *error {
        curves.iter_mut().flatten().flatten().for_each(|value| value.mean = 1.0 - value.mean);
    }
    if *relative {
        curves.iter_mut().for_each(divide_by_first);
    }
    let figure = chart(&curves, &names, &arguments)?.figure()?;
    let mut groups = Vec::new();
    for (curve, name) in curves.iter().zip(&names) {
        let first = if at.is_empty() { curve.len() - 1 } else { 0 };
        for place in first..curve.len() {
            let below = at.get(place).map_or_else(|| Value::from(place + 1), |at| Value::from(at.as_str()));
            groups.push(summary(name, below, &curve[place], &curves[0][place])?);
        }
    }
    let metrics = Metrics::from_iter([("groups".to_string(), Value::Array(groups))]);
    task.finish_with(|| format.stage(&figure, &picture.output), metrics)
}

/// A metric of trainings, over the epochs that all of them have.
fn over_epochs(trainings: &[Input], metric: &str, each: usize) -> anyhow::Result<Vec<Curve>> {
    let read = |training: &Input| metric_of_epochs(training, metric);
    let values = trainings.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let epochs = values.iter().map(Vec::len).min().unwrap_or(0);
    ensure!(epochs > 0, "{metric}: expected at least one epoch of each training, found none");
    let of_epoch = |seeds: &[Vec<f64>], epoch: usize| seeds.iter().map(|seed| alone(seed[epoch])).collect();
    Ok(values.chunks(each).map(|seeds| (0..epochs).map(|epoch| of_epoch(seeds, epoch)).collect()).collect())
}

/// A metric of outputs.
fn over(outputs: &[Input], metric: &str, each: usize, places: usize) -> anyhow::Result<Vec<Curve>> {
    let values = outputs.iter().map(|output| metric_of_output(output, metric)).collect::<Result<Vec<_>, _>>()?;
    Ok(values.chunks(each * places).map(|curve| curve.chunks(each).map(<[Interval]>::to_vec).collect()).collect())
}

fn divide_by_first(curve: &mut Curve) {
    let sizes: Vec<f64> = curve[0].iter().map(|first| first.mean.abs()).collect();
    for values in curve {
        for (value, size) in values.iter_mut().zip(&sizes) {
            *value = Interval { mean: value.mean / size, half: value.half / size };
        }
    }
}

/// A value without an interval.
fn alone(mean: f64) -> Interval {
    Interval { mean, half: 0.0 }
}

/// What is drawn: the mean of several seeds, or the value of a single one.
fn together(seeds: &[Interval]) -> anyhow::Result<Interval> {
    match seeds {
        [only] => Ok(*only),
        _ => Ok(Interval::of(&seeds.iter().map(|seed| seed.mean).collect::<Vec<_>>())?),
    }
}

/// The mean over seeds at each position, with its interval.
fn chart(curves: &[Curve], names: &[String], arguments: &Arguments) -> anyhow::Result<Chart> {
    let Arguments { metric, at, error, picture, .. } = arguments;
    let (first, below) = if at.is_empty() { (1, "epoch") } else { (0, "") };
    let mut series = Vec::new();
    for (colour, (curve, name)) in curves.iter().zip(names).enumerate() {
        let drawn = curve.iter().map(|seeds| together(seeds)).collect::<anyhow::Result<Vec<_>>>()?;
        let points = drawn.iter().enumerate().map(|(place, value)| [(first + place) as f64, value.mean]).collect();
        let halves = drawn.iter().map(|value| value.half).collect();
        series.push(Series { halves, ..Series::new(name, points, colour) });
    }
    let beside = if *error { format!("1 - {metric}") } else { metric.clone() };
    let (names, title) = ([below.to_owned(), beside], picture.title.clone());
    Ok(Chart { series, places: at.clone(), names, title, ..Chart::default() })
}

/// A position of a curve: its mean, its seeds, and its difference from the first curve. Intervals are left out if unknown.
fn summary(name: &str, at: Value, seeds: &[Interval], first: &[Interval]) -> anyhow::Result<Value> {
    let apart: Vec<Interval> = seeds.iter().zip(first).map(|(seed, first)| alone(seed.mean - first.mean)).collect();
    let (drawn, apart) = (together(seeds)?, together(&apart)?);
    let means: Vec<f64> = seeds.iter().map(|seed| seed.mean).collect();
    let mut group = Metrics::from_iter([("name".to_owned(), name.into()), ("at".to_owned(), at)]);
    for (name, found) in [("mean", drawn), ("from_first", apart)] {
        let known = means.len() > 1 || found.half > 0.0;
        let measure = Measure::from(found);
        Measure { interval: measure.interval.filter(|_| known), ..measure }.insert(name, &mut group);
    }
    group.insert("seeds".into(), means.into());
    Ok(group.into())
}
