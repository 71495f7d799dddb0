//! Metrics as they are printed.

use obverse::statistics::measure::STANDARD_ERROR;
use serde_json::Value;

use super::Metrics;

/// The metrics, those that version 0.1 named differently under both names, for scripts that read the old ones.
pub(super) fn with_earlier_names(metrics: &Metrics) -> Metrics {
    const COUNTS: [(&str, &str); 2] = [("images_a", "n_a"), ("images_b", "n_b")];
    let mut all = metrics.clone();
    for (name, value) in metrics {
        let count = COUNTS.iter().find(|(now, _)| now == name).map(|(_, earlier)| (*earlier).to_owned());
        let unit = name.replace("_nats_", "_");
        let error = name.strip_suffix(STANDARD_ERROR).filter(|_| unit == *name).map(|base| format!("{base}_error"));
        if let Some(earlier) = count.or(error).or_else(|| Some(unit).filter(|unit| unit != name)) {
            all.entry(earlier).or_insert_with(|| value.clone());
        }
    }
    all
}

/// A metric as people read it: long lists and lists of objects are shortened to their number of values.
pub(super) fn shortened(value: &Value) -> Value {
    const MOST: usize = 10;
    match value {
        Value::Array(values) if values.len() > MOST || values.iter().any(Value::is_object) => {
            format!("{} values", values.len()).into()
        }
        Value::Array(values) => values.iter().map(shortened).collect(),
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), shortened(value))).collect(),
        _ => value.clone(),
    }
}
