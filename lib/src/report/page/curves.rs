//! The metrics of a training as curves: one figure per metric, with training, validation and test.

use std::fs;

use serde_json::{Map, Value};

use super::super::Result;
use super::super::chart::Chart;
use super::super::metric::{EPOCHS, epochs, number};
use super::super::scale::Scale;
use super::super::series::Series;
use super::files::{Entry, Problem};
use super::pictures::{Picture, source};
use crate::statistics::Measure;
use crate::statistics::measure::name_of;

/// Keys that are not metrics.
const PLACES: [&str; 4] = ["epoch", "updates", "update", "best_epoch"];
/// From this ratio of the largest to the smallest on, the axis is logarithmic.
const WIDE: f64 = 30.0;
/// Width and height of a figure.
const SIZE: (usize, usize) = (560, 360);

/// The curves of every training, and those that cannot be read.
pub fn of(entries: &[Entry]) -> Result<(Vec<Picture>, Vec<Problem>)> {
    let (mut curves, mut problems) = (Vec::new(), Vec::new());
    for entry in entries {
        let file = entry.full.join(EPOCHS);
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        match epochs(&text) {
            Ok(lines) => curves.extend(of_training(entry, &lines)?),
            Err(error) => {
                let path = format!("{}/{EPOCHS}", entry.path);
                problems.push(Problem { path, what: format!("is not a line of JSON an epoch: {error}; train again") });
            }
        }
    }
    Ok((curves, problems))
}

fn of_training(entry: &Entry, lines: &[Map<String, Value>]) -> Result<Vec<Picture>> {
    let place = PLACES[..2].iter().find(|place| lines.iter().all(|line| line.contains_key(**place)));
    let Some(place) = place.filter(|_| lines.len() > 1) else {
        return Ok(Vec::new());
    };
    let mut measures: Vec<(String, Vec<Series>)> = Vec::new();
    for name in lines[0].keys().filter(|name| !PLACES.contains(&name.as_str()) && name_of(name).is_none()) {
        let points: Vec<[f64; 2]> =
            lines.iter().filter_map(|line| Some([number(line, place)?, number(line, name)?])).collect();
        if points.len() < lines.len() {
            continue;
        }
        let half = |line| Measure::find(name, line)?.interval.map(|[low, high]| (high - low) / 2.0);
        let halves: Vec<f64> = lines.iter().filter_map(half).collect();
        let part = ["train", "validation", "test"].iter().find_map(|part| {
            let measure = name.strip_prefix(part)?.strip_prefix('_')?;
            Some((*part, measure))
        });
        let (part, measure) = part.unwrap_or(("train", name));
        let place = match measures.iter().position(|(known, _)| known == measure) {
            Some(place) => place,
            None => {
                measures.push((measure.to_owned(), Vec::new()));
                measures.len() - 1
            }
        };
        let series = &mut measures[place].1;
        series.push(Series { halves, ..Series::new(part, points, series.len()) });
    }
    measures.into_iter().map(|(measure, series)| curve(entry, measure, series, place)).collect()
}

fn curve(entry: &Entry, measure: String, series: Vec<Series>, place: &str) -> Result<Picture> {
    let values = || series.iter().flat_map(|series| &series.points).map(|point| point[1]);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let scale = if low > 0.0 && high / low > WIDE { Scale::Logarithmic } else { Scale::Linear };
    let ends = series.iter().filter_map(|series| {
        let [first, last] =
            [series.points.first()?, series.points.last()?].map(|point| super::numbers::number(point[1]));
        Some(format!("{} from {first} to {last}", series.name))
    });
    let alternative = format!("{measure} of {} by {place}: {}", entry.path, ends.collect::<Vec<_>>().join(", "));
    let chart = Chart {
        series,
        scales: [Scale::Linear, scale],
        names: [place.to_owned(), measure.clone()],
        size: SIZE,
        ..Chart::default()
    };
    let source = source("svg+xml", chart.figure()?.svg()?.as_bytes());
    let size = Some((SIZE.0 as u32, SIZE.1 as u32));
    Ok(Picture { id: entry.id.clone(), path: entry.path.clone(), source, size, alternative, words: measure })
}
