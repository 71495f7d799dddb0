//! Measured numbers as a reader wants them: four digits, with their interval or error.

use serde_json::{Map, Value};

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

/// A whole number with its thousands apart.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(","))
}

/// Seconds as a person says them.
pub fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 90.0 => format!("{seconds:.1} s"),
        _ if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// Every metric that has a number, by its name: a number with its interval or error, the median of a list with its ends. Those of an
/// object have its name before theirs.
pub fn metrics(metrics: &Map<String, Value>) -> Vec<(String, String)> {
    let mut flat = Vec::new();
    flatten("", metrics, &mut flat);
    let spread = |name: &str| {
        let of = |(key, value): &(String, Value)| said_of(key, name, value);
        flat.iter().find_map(of).unwrap_or_default()
    };
    flat.iter()
        .filter(|(name, _)| !is_spread(name, &flat))
        .filter_map(|(name, value)| Some((name.clone(), text(value)? + &spread(name))))
        .collect()
}

fn flatten(before: &str, metrics: &Map<String, Value>, flat: &mut Vec<(String, Value)>) {
    for (name, value) in metrics {
        let name = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
        match value {
            Value::Object(inner) => flatten(&name, inner, flat),
            value => flat.push((name, value.clone())),
        }
    }
}

/// The ways in which a spread is named after its metric.
const SPREADS: [&str; 4] = ["_interval", "_standard_error", "_error", "_half"];

/// The metric that a name's spread is of: itself, or with a unit behind it.
fn is_of(name: &str, base: &str) -> bool {
    name.strip_prefix(base).is_some_and(|unit| matches!(unit, "" | "_nats"))
}

fn said_of(key: &str, name: &str, value: &Value) -> Option<String> {
    let (base, kind) = SPREADS.iter().find_map(|kind| Some((key.strip_suffix(kind)?, *kind)))?;
    if !is_of(name, base) {
        return None;
    }
    match (kind, value) {
        ("_interval", value) => ends(value).map(|[low, high]| format!(" ({} to {})", number(low), number(high))),
        (_, value) => value.as_f64().map(|error| format!(" ± {}", number(error))),
    }
}

/// The interval that stands beside a metric.
pub fn interval(metrics: &Map<String, Value>, name: &str) -> Option<[f64; 2]> {
    let is_its = |key: &str| key.strip_suffix("_interval").is_some_and(|base| is_of(name, base));
    metrics.iter().find(|(key, _)| is_its(key)).and_then(|(_, value)| ends(value))
}

fn ends(interval: &Value) -> Option<[f64; 2]> {
    match interval.as_array()?.as_slice() {
        [low, high] => Some([low.as_f64()?, high.as_f64()?]),
        _ => None,
    }
}

/// Whether a metric is the spread of another.
fn is_spread(key: &str, all: &[(String, Value)]) -> bool {
    let base = SPREADS.iter().find_map(|kind| key.strip_suffix(kind));
    base.is_some_and(|base| all.iter().any(|(name, value)| is_of(name, base) && value.is_number()))
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

/// The numbers of a list, from the least; the best alone of each objective are lists of one. None of another list, and of none.
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
            "nce_nats": -81.5, "nce_standard_error": 0.5, "test_mse": 0.004, "test_mse_error": 0.0001, "cosine": [0.1, 0.3, 0.2],
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
