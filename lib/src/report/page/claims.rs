//! What a paper claims, next to what was measured: a TOML file of claims, each with the outputs and the metric to compare.

use serde::Deserialize;
use serde_json::Value;

use super::files::Entry;
use super::numbers;

/// The claims of a paper.
///
/// ```
/// let claims: obverse::report::Claims = toml::from_str(
///     r#"
///     paper = "Feature Alignment"
///     [[claim]]
///     at = "Table 2"
///     says = "mean squared error of the autoencoder on MNIST"
///     stated = "0.0040"
///     outputs = ["study/autoencoder"]
///     metric = "test_mse"
///     "#,
/// )?;
/// assert_eq!(claims.paper, "Feature Alignment");
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Whose claims they are.
    pub paper: String,
    /// The claims, in the order they are shown.
    pub claim: Vec<Claim>,
}

/// One claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Where the paper says it.
    pub at: String,
    /// What is claimed, in words.
    pub says: String,
    /// What the paper states; empty where it gives no number.
    #[serde(default)]
    pub stated: String,
    /// The outputs to compare, by their paths from the run's folder; several are seeds of the same experiment.
    pub outputs: Vec<String>,
    /// The metric, one of an object with its name before it.
    pub metric: String,
    /// A note on our figure.
    #[serde(default)]
    pub note: String,
}

/// A claim with our figure.
pub struct Row {
    pub claim: Claim,
    pub ours: String,
    /// The outputs that were found.
    pub found: Vec<(String, String)>,
}

impl Claims {
    /// Every claim with our measurement.
    pub(super) fn rows(&self, entries: &[Entry]) -> Vec<Row> {
        self.claim.iter().map(|claim| row(claim, entries)).collect()
    }
}

fn row(claim: &Claim, entries: &[Entry]) -> Row {
    let answers: Vec<&Entry> =
        claim.outputs.iter().filter_map(|path| entries.iter().find(|entry| entry.path == *path)).collect();
    let values: Vec<f64> = answers.iter().filter_map(|entry| value(entry, &claim.metric)).collect();
    let ours = match values.as_slice() {
        [] => "not run here".to_owned(),
        [only] if claim.outputs.len() == 1 => {
            let texts = numbers::metrics(&answers[0].sidecar.metrics);
            texts.into_iter().find(|(name, _)| *name == claim.metric).map_or(numbers::number(*only), |(_, text)| text)
        }
        several => {
            let mean = several.iter().sum::<f64>() / several.len() as f64;
            let [low, high] =
                [f64::min, f64::max].map(|of: fn(f64, f64) -> f64| several.iter().copied().fold(mean, of));
            let [mean, low, high] = [mean, low, high].map(numbers::number);
            format!("{mean} ({low} to {high}, {} of {})", several.len(), claim.outputs.len())
        }
    };
    let found = answers.iter().map(|entry| (entry.id.clone(), entry.path.clone())).collect();
    Row { claim: claim.clone(), ours, found }
}

/// The value of a metric; for a list its median.
fn value(entry: &Entry, name: &str) -> Option<f64> {
    let pointer = format!("/{}", name.replace('.', "/"));
    let metrics = Value::Object(entry.sidecar.metrics.clone());
    match metrics.pointer(&pointer)? {
        Value::Array(values) => numbers::sorted(values).map(|values| values[values.len() / 2]),
        value => value.as_f64(),
    }
}
