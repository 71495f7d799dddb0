//! Measured numbers as sidecars, `metrics.jsonl` and `--json` hold them: `K` is the number, `K_standard_error` its standard error,
//! `K_interval` its interval of 95%, `[low, high]`. Unknown ones are left out.
//!
//! ```
//! use obverse::statistics::Measure;
//! use serde_json::{Map, json};
//! let mut metrics = Map::new();
//! Measure::of_mean(0.5, 0.1, 20).insert("mse", &mut metrics);
//! assert_eq!(metrics["mse"], json!(0.5));
//! assert_eq!(Measure::find("mse", &metrics).and_then(|measure| measure.standard_error), Some(0.1));
//! ```

use serde_json::{Map, Value};

use super::{Interval, student};
use crate::store::sidecar::metric;

/// The ending of the name of a standard error.
pub const STANDARD_ERROR: &str = "_standard_error";

/// The ending of the name of an interval.
pub const INTERVAL: &str = "_interval";

/// A measured number with its uncertainty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measure {
    /// The number.
    pub value: f64,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// Its interval of 95%, from low to high.
    pub interval: Option<[f64; 2]>,
}

impl From<Interval> for Measure {
    fn from(interval: Interval) -> Self {
        Self { value: interval.mean, standard_error: None, interval: Some(interval.ends()) }
    }
}

impl Measure {
    /// The mean of `count` independent values with a known standard error; its interval is Student's. A single value has
    /// no interval.
    pub fn of_mean(value: f64, standard_error: f64, count: usize) -> Self {
        if count < 2 {
            return Self { value, ..Self::default() };
        }
        let half = student(count - 1) * standard_error;
        Self { value, standard_error: Some(standard_error), interval: Some([value - half, value + half]) }
    }

    /// Adds it to the metrics.
    pub fn insert(self, name: &str, metrics: &mut Map<String, Value>) {
        metrics.insert(name.to_owned(), metric(self.value));
        if let Some(error) = self.standard_error {
            metrics.insert(format!("{name}{STANDARD_ERROR}"), metric(error));
        }
        if let Some(interval) = self.interval {
            metrics.insert(format!("{name}{INTERVAL}"), interval.map(metric).to_vec().into());
        }
    }

    /// The measure of this name, as this version or version 0.1 wrote it; none where there is no such number.
    pub fn find(name: &str, metrics: &Map<String, Value>) -> Option<Self> {
        let value = metrics.get(name)?.as_f64()?;
        let of = |kind: &str| spread_names(name, kind).into_iter().find_map(|key| metrics.get(&key));
        let standard_error = of(STANDARD_ERROR).or(of("_error")).or(of("_half")).and_then(Value::as_f64);
        Some(Self { value, standard_error, interval: of(INTERVAL).and_then(ends) })
    }
}

/// The name of a measure if `key` is that of its standard error or interval, as this version or version 0.1 names them; of 0.1 without
/// its unit.
pub fn name_of(key: &str) -> Option<&str> {
    [STANDARD_ERROR, INTERVAL, "_error", "_half"].iter().find_map(|kind| key.strip_suffix(kind))
}

/// Whether `spread` may be the name of the uncertainty of the measure `name`.
pub fn belongs(spread: &str, name: &str) -> bool {
    spread == name || name.strip_suffix(UNIT) == Some(spread)
}

/// The unit that 0.1 left out of the names of spreads.
const UNIT: &str = "_nats";

fn spread_names(name: &str, kind: &str) -> Vec<String> {
    let without = name.strip_suffix(UNIT).map(|base| format!("{base}{kind}"));
    std::iter::once(format!("{name}{kind}")).chain(without).collect()
}

/// The ends of an interval: `[low, high]`, of 0.1 also `{"low", "high"}`.
fn ends(interval: &Value) -> Option<[f64; 2]> {
    let of = |low: &Value, high: &Value| Some([low.as_f64()?, high.as_f64()?]);
    match interval {
        Value::Array(ends) => match ends.as_slice() {
            [low, high] => of(low, high),
            _ => None,
        },
        Value::Object(ends) => of(ends.get("low")?, ends.get("high")?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tensor::random::Stream;

    #[test]
    fn what_was_written_is_found_and_so_is_what_0_1_wrote() {
        let measure = Measure { value: -2.0, standard_error: Some(0.5), interval: Some([-3.0, -1.0]) };
        let mut metrics = Map::new();
        measure.insert("nce_nats", &mut metrics);
        assert_eq!(
            Value::Object(metrics.clone()),
            json!({"nce_nats": -2.0, "nce_nats_standard_error": 0.5, "nce_nats_interval": [-3.0, -1.0]})
        );
        assert_eq!(Measure::find("nce_nats", &metrics), Some(measure));
        let old = [
            json!({"nce_nats": -2.0, "nce_standard_error": 0.5, "nce_interval": [-3.0, -1.0]}),
            json!({"nce_nats": -2.0, "nce_nats_error": 0.5, "nce_nats_interval": {"low": -3.0, "high": -1.0, "deviation": 1.0}}),
        ];
        for old in old {
            assert_eq!(Measure::find("nce_nats", old.as_object().unwrap()), Some(measure));
        }
        assert_eq!(Measure::find("nce", &metrics), None);
        assert_eq!(name_of("mse_error").zip(name_of("nce_interval")), Some(("mse", "nce")));
        assert!(belongs("nce", "nce_nats") && belongs("mse", "mse") && !belongs("m", "mse"));
    }

    #[test]
    fn intervals_of_skewed_means_hold_the_mean_nineteen_times_in_twenty() {
        // Squared errors of images are skewed: here exponentials of mean 1, those of 100 images.
        let held = (0..2000).filter(|&number| {
            let values: Vec<f64> =
                Stream::new(1, "errors", number).uniform(0..100).iter().map(|u: &f64| -(1.0 - u).ln()).collect();
            let mean = values.iter().sum::<f64>() / 100.0;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 99.0;
            let [low, high] = Measure::of_mean(mean, (variance / 100.0).sqrt(), 100).interval.unwrap();
            low <= 1.0 && 1.0 <= high
        });
        let held = held.count();
        assert!((1860..1940).contains(&held), "{held} of 2000");
    }
}
