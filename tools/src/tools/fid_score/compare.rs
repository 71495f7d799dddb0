//! Two sets compared as wholes: Fréchet and kernel distances, precision and recall.

use obverse::fidelity;
use obverse::fidelity::frechet::{Frechet, frechet, frechet_of_features};
use obverse::store::sidecar::metric;
use serde_json::{Value, json};

use super::CompareArguments;
use super::pair::Measuring;
use crate::features::{Side, common_origin};
use crate::{Metrics, Task};

pub(super) fn compare(arguments: &CompareArguments) -> anyhow::Result<()> {
    let task = Task::begin(&arguments.common, None)?;
    let (a, b) = arguments.sets()?;
    let open = |path| Side::open(path, &arguments.features, &arguments.common);
    let (a, b) = (open(a)?, open(b)?);
    let origin = common_origin(&a, &b)?;
    let dimension = a.dimension();
    let distance = distance(&a, &b)?;
    let fewest = a.count().into_iter().chain(b.count()).min();
    let deficient = fewest.is_some_and(|count| count <= dimension);
    let known = origin.as_ref().map_or_else(|| format!("frechet-features-{dimension}"), |origin| origin.label.clone());
    let label = if deficient { format!("{known}-deficient") } else { known };
    let mut metrics = Metrics::new();
    metrics.insert("fid".into(), metric(distance.distance()));
    metrics.insert("kid".into(), Value::Null);
    metrics.insert("images_a".into(), json!(a.count()));
    metrics.insert("images_b".into(), json!(b.count()));
    let described = json!({
        "label": label,
        "dimension": dimension,
        "network": origin.as_ref().map(|origin| &origin.network),
        "layer": origin.as_ref().map(|origin| &origin.layer),
        "resize": origin.as_ref().map(|origin| &origin.resize),
    });
    metrics.insert("features".into(), described);
    for (name, side) in [("skipped_a", &a), ("skipped_b", &b)] {
        if side.skipped() > 0 {
            metrics.insert(name.into(), side.skipped().into());
        }
    }
    let third = arguments.against.as_deref().map(open).transpose()?;
    if let Some(third) = &third {
        common_origin(&a, third)?;
        metrics.insert("images_against".into(), json!(third.count()));
    }
    let sets = [Some(&a), Some(&b), third.as_ref()];
    let largest = sets.into_iter().flatten().filter_map(Side::count).max().unwrap_or(0);
    let measuring = Measuring { arguments, largest };
    let pair = measuring.pair((&a, &b), distance, "", &mut metrics)?;
    if let Some(third) = &third {
        let other = measuring.pair((&a, third), self::distance(&a, third)?, "_against", &mut metrics)?;
        pair.minus(&other, &mut metrics)?;
    }
    task.finish_measurement(&metrics)
}

/// The Fréchet distance, from the features themselves where both sets have them.
fn distance(a: &Side, b: &Side) -> fidelity::Result<Frechet> {
    match (a.features(), b.features()) {
        (Some(a), Some(b)) => frechet_of_features(a, b),
        _ => frechet(&a.moments(), &b.moments()),
    }
}
