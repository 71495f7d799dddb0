//! The ends of a chart's axes.

use super::specification::Chart;
use crate::report::scale::{NARROW, Scale, widened};
use crate::report::{Error, Result};

/// The ends of an axis: those given, or those of the data and a twentieth more.
pub(super) fn range(axis: &'static str, chart: &Chart, which: usize) -> Result<[f64; 2]> {
    let scale = chart.scales[which];
    let values = chart.series.iter().flat_map(|series| {
        series.points.iter().enumerate().flat_map(move |(index, point)| {
            let (value, half) = (point[which], if which == 1 { series.half(index) } else { 0.0 });
            // An interval that reaches below zero does not stretch a logarithmic axis.
            let low = if scale == Scale::Logarithmic && value - half <= 0.0 { value } else { value - half };
            [low, value, value + half]
        })
    });
    let mut data = [f64::INFINITY, f64::NEG_INFINITY];
    for value in values {
        if !value.is_finite() {
            return Err(Error::Range { axis, low: value, high: value });
        }
        data = [data[0].min(value), data[1].max(value)];
    }
    if data[0] > data[1] {
        return Err(Error::NoPoints);
    }
    let lowest = chart.ranges[which].map_or(data[0], |asked| asked[0]);
    if scale == Scale::Logarithmic && lowest <= 0.0 {
        return Err(Error::Logarithm { axis, found: lowest });
    }
    let [low, high] = chart.ranges[which].unwrap_or_else(|| widened(data, scale));
    let is_wide = (high - low).is_finite() && high - low > NARROW * low.abs().max(high.abs());
    if is_wide && high - low >= f64::MIN_POSITIVE { Ok([low, high]) } else { Err(Error::Range { axis, low, high }) }
}
