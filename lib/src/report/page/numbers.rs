//! Measured numbers as a reader wants them: four digits, with their interval or error.

use serde_json::{Map, Value};

use crate::statistics::Measure;
use crate::statistics::measure::{belongs, name_of};

/// A number in about four digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => value.to_string(),
        _ if value.fract() == 0.0 && size < 1e15 => grouped(value),
        _ if !(1e-4..1e6).contains(&size) => format!("{value:.3e}"),
        _ => {
            let before = size.log10().floor() as i32 + 1;
            format!("{value:.*}", (4 - before).max(0) as usize)
        }
    }
}

/// A whole number with its thousands separated.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(","))
}

/// Seconds in a readable form.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 90.0 => format!("{seconds:.1} s"),
        _ if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// Every metric that has a number, by its name: a number with its interval or standard error, the median of a list with its ends. Those
/// of an object have its name before theirs.
pub fn metrics(metrics: &Map<String, Value>) -> Vec<(String, String)> {
    let mut flat = Map::new();
    flatten("", metrics, &mut flat);
    flat.iter()
        .filter(|(name, _)| !is_spread(name, &flat))
        .filter_map(|(name, value)| Some((name.clone(), text(value)? + &spread(name, &flat))))
        .collect()
}

fn flatten(before: &str, metrics: &Map<String, Value>, flat: &mut Map<String, Value>) {
    for (name, value) in metrics {
        let name = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
        match value {
            Value::Object(inner) if name_of(&name).is_none() => flatten(&name, inner, flat),
            value => drop(flat.insert(name, value.clone())),
        }
    }
}

/// The uncertainty of a metric.
fn spread(name: &str, all: &Map<String, Value>) -> String {
    match Measure::find(name, all) {
        Some(Measure { interval: Some([low, high]), .. }) => format!(" ({} to {})", number(low), number(high)),
        Some(Measure { standard_error: Some(error), .. }) => format!(" ± {}", number(error)),
        _ => String::new(),
    }
}

/// Whether a metric is the uncertainty of another.
fn is_spread(key: &str, all: &Map<String, Value>) -> bool {
    let of = |base: &str| all.iter().any(|(name, value)| belongs(base, name) && value.is_number());
    name_of(key).is_some_and(of)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Number(found) => found.as_f64().map(number),
        Value::String(said) if said.parse::<f64>().is_ok() => Some(said.clone()),
        Value::Array(values) => {
            let numbers = sorted(values)?;
            let [low, middle, high] = [0, numbers.len() / 2, numbers.len() - 1].map(|place| number(numbers[place]));
            let lone = numbers.len() == 1;
            Some(if lone { middle } else { format!("median {middle} ({low} to {high})") })
        }
        _ => None,
    }
}

/// The numbers of a list, sorted; the best of each objective is a list of one. `None` for other lists and for empty ones.
pub fn sorted(values: &[Value]) -> Option<Vec<f64>> {
    let only = |value: &Value| match value {
        Value::Array(one) if one.len() == 1 => one[0].as_f64(),
        value => value.as_f64(),
    };
    let mut numbers = values.iter().map(only).collect::<Option<Vec<f64>>>().filter(|numbers| !numbers.is_empty())?;
    numbers.sort_by(f64::total_cmp);
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_four_digits_and_their_spread() {
        let written = [0.0, 12.0, 1234567.0, 0.123456, 12.3456, 4.2e-7, -2.5, f64::NAN].map(number);
        assert_eq!(written, ["0", "12", "1,234,567", "0.1235", "12.35", "4.200e-7", "-2.500", "NaN"]);
        let found = json!({
            "nce_nats": -81.5, "nce_standard_error": 0.5, "test_mse": 0.004, "test_mse_standard_error": 0.0001, "cosine": [0.1, 0.3, 0.2],
            "ratio": 0.5, "ratio_interval": [0.4, 0.6], "angles": {"median": 3.5}, "name": "x", "loss": "NaN", "alone_error": 1.5, "best": [[2.0], [1.0], [3.0]], "table": [[1, 2]]
        });
        let found = metrics(found.as_object().unwrap());
        let said: Vec<(&str, &str)> = found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(
            said,
            [
                ("nce_nats", "-81.50 ± 0.5000"),
                ("test_mse", "0.004000 ± 0.0001000"),
                ("cosine", "median 0.2000 (0.1000 to 0.3000)"),
                ("ratio", "0.5000 (0.4000 to 0.6000)"),
                ("angles.median", "3.500"),
                ("loss", "NaN"),
                ("alone_error", "1.500"),
                ("best", "median 2 (1 to 3)"),
            ]
        );
        assert_eq!([0.5, 12.0, 600.0, 7200.0].map(duration), ["500 ms", "12.0 s", "10 min", "2.0 h"]);
    }
}
