//! A metric of outputs, from sidecars and training folders.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Error, Result};
use crate::statistics::{Interval, Measure};
use crate::store;
use crate::store::sidecar::Sidecar;

/// The file in a training folder with the metrics of each epoch.
pub(super) const EPOCHS: &str = "metrics.jsonl";

/// A metric from the sidecar of an output, with half the width of its interval; 0 where there is none.
///
/// # Errors
/// `Store` without a sidecar; `Metric` for one that does not hold this number.
pub fn metric_of_output(output: &Path, metric: &str) -> Result<Interval> {
    let path = Sidecar::path_of(output).unwrap_or_else(|| output.to_owned());
    let metrics = Sidecar::read(&path)?.metrics;
    let measure = Measure::find(metric, &metrics).ok_or_else(|| missing(path, None, metric, &metrics))?;
    let half = measure.interval.map_or(0.0, |[low, high]| (high - low) / 2.0);
    Ok(Interval { mean: measure.value, half })
}

/// A metric after each epoch of a training.
///
/// # Errors
/// `Store` where the folder has no metrics.jsonl or it is damaged; `Metric` for a line without this number.
pub fn metric_of_epochs(training: &Path, metric: &str) -> Result<Vec<f64>> {
    let path = training.join(EPOCHS);
    let text = store::budget::read_text(&path)?;
    let expected = "a line of metrics an epoch";
    let epochs = epochs(&text).map_err(|source| store::Error::Json { path: path.clone(), expected, source })?;
    let of_line = |(line, metrics): (usize, &Map<String, Value>)| {
        number(metrics, metric).ok_or_else(|| missing(path.clone(), Some(line + 1), metric, metrics))
    };
    epochs.iter().enumerate().map(of_line).collect()
}

/// The lines of a training's file.
pub(super) fn epochs(text: &str) -> serde_json::Result<Vec<Map<String, Value>>> {
    text.lines().map(serde_json::from_str).collect()
}

pub(super) fn number(metrics: &Map<String, Value>, metric: &str) -> Option<f64> {
    metrics.get(metric).and_then(Value::as_f64)
}

fn missing(path: PathBuf, line: Option<usize>, metric: &str, metrics: &Map<String, Value>) -> Error {
    let numbers = metrics.iter().filter(|(_, value)| value.is_number()).map(|(name, _)| name.as_str());
    let found = numbers.collect::<Vec<_>>().join(", ");
    let line = line.map_or_else(String::new, |line| format!(", line {line}"));
    Error::Metric { path, line, metric: metric.to_owned(), found }
}
