//! Two sets compared as wholes: Fréchet and kernel distances, precision and recall.

use anyhow::{bail, ensure};
use obverse::fidelity::frechet::{Frechet, frechet, frechet_of_features};
use obverse::fidelity::kernel::{kernel_distances_of_subsets, kernel_shares};
use obverse::fidelity::manifold::{Manifold, memberships};
use obverse::fidelity::resampling::{Interval, frechet_at_infinity, interval};
use obverse::fidelity::{self, Features};
use obverse::statistics::Measure;
use obverse::store::sidecar::metric;
use serde_json::{Value, json};

use super::bootstrap::{bootstrap, insert_interval};
use super::sets::{Opening, note_kept};
use super::{CompareArguments, SUBSETS};
use crate::features::{Side, common_origin};
use crate::{Metrics, Task};

/// Images per set above which the kernel distance is taken over subsets.
const MOST_FOR_ALL: usize = 10_000;

/// How many sizes of subsets an extrapolation to infinitely many images is fitted to.
const POINTS: usize = 15;

pub(super) fn compare(arguments: &CompareArguments) -> anyhow::Result<()> {
    let task = Task::begin(&arguments.common, None)?;
    let (a, b) = arguments.sets()?;
    let opening = Opening { features: &arguments.features, cache: &arguments.cache, common: &arguments.common };
    let [of_both, of_second] = arguments.others.wanted();
    let (a, b) = (opening.side(a, &of_both)?, opening.side(b, &of_second)?);
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
        "input": origin.as_ref().map(|origin| &origin.input),
        "resize": origin.as_ref().map(|origin| &origin.input),
        "rounding": origin.as_ref().map(|origin| &origin.rounding),
    });
    metrics.insert("features".into(), described);
    for (name, side) in [("a", &a), ("b", &b)] {
        let left = side.left();
        for (what, count) in [("skipped", left.skipped), ("clipped", left.clipped)] {
            if count > 0 {
                metrics.insert(format!("{what}_{name}"), count.into());
            }
        }
    }
    arguments.others.measure(&a, &b, &mut metrics)?;
    let both = a.features().zip(b.features());
    if let Some(count) = arguments.bootstrap {
        let Some((a, b)) = both else {
            bail!("--bootstrap: expected features or images on both sides, found statistics")
        };
        let replicates = bootstrap(arguments, a, b, count, |a_rows, b_rows| {
            let (a_rows, b_rows) = (a.gathered(a_rows), b.gathered(b_rows));
            let (a, b) = (Features::new(&a_rows, dimension), Features::new(&b_rows, dimension));
            Ok(frechet_of_features(a, b)?.distance())
        })?;
        let interval = interval(distance.distance(), &replicates, 0.95);
        // A distance is never below 0.
        insert_interval(&mut metrics, "fid", distance.distance(), Interval { low: interval.low.max(0.0), ..interval });
    }
    if let Some((a, b)) = both {
        kernel(arguments, a, b, &mut metrics)?;
        if arguments.prdc {
            neighbourhoods(arguments, a, b, &mut metrics)?;
        }
    } else {
        ensure!(
            !arguments.prdc && arguments.kid_subsets.is_none(),
            "--prdc and --kid-subsets: expected features or images on both sides, found statistics"
        );
    }
    if arguments.infinity {
        let Some(b) = b.features() else {
            bail!("--infinity: expected features or images as the second set, found statistics")
        };
        let moments = a.moments();
        let smallest = arguments.infinity_from.unwrap_or(b.count() / 2);
        let limit = frechet_at_infinity(&moments, b, smallest, POINTS, arguments.seed.seed)?;
        let measure = Measure { value: limit.distance, standard_error: Some(limit.error), interval: None };
        measure.insert("fid_infinity", &mut metrics);
    }
    let (a_path, b_path) = arguments.sets()?;
    [(a_path, &a), (b_path, &b)].into_iter().for_each(|(path, side)| note_kept(&task, path, side.left()));
    task.finish_measurement(&metrics)
}

/// The Fréchet distance, from the features themselves where both sets have them.
fn distance(a: &Side, b: &Side) -> fidelity::Result<Frechet> {
    match (a.features(), b.features()) {
        (Some(a), Some(b)) => frechet_of_features(a, b),
        _ => frechet(&a.moments(), &b.moments()),
    }
}

fn kernel(arguments: &CompareArguments, a: Features, b: Features, metrics: &mut Metrics) -> anyhow::Result<()> {
    let many = a.count().max(b.count()) > MOST_FOR_ALL;
    let subsets = arguments.kid_subsets.or(many.then_some(SUBSETS.0)).filter(|&subsets| subsets > 0);
    if let Some(subsets) = subsets {
        let distances = kernel_distances_of_subsets(a, b, subsets, arguments.kid_size, arguments.seed.seed)?;
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let squares = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>();
        metrics.insert("kid".into(), metric(mean));
        metrics.insert("kid_subsets".into(), json!([subsets, arguments.kid_size]));
        metrics.insert("kid_deviation".into(), metric((squares / distances.len() as f64).sqrt()));
        return Ok(());
    }
    let shares = kernel_shares(a, b)?;
    metrics.insert("kid".into(), metric(shares.distance()));
    if let Some(count) = arguments.bootstrap {
        let replicates = bootstrap(arguments, a, b, count, |a, b| Ok(shares.resampled(a, b)))?;
        insert_interval(metrics, "kid", shares.distance(), interval(shares.distance(), &replicates, 0.95));
    }
    Ok(())
}

fn neighbourhoods(arguments: &CompareArguments, a: Features, b: Features, metrics: &mut Metrics) -> anyhow::Result<()> {
    let members = memberships(a, b, usize::from(arguments.neighbours))?;
    let named = |shares: Manifold| {
        [
            ("precision", shares.precision),
            ("recall", shares.recall),
            ("density", shares.density),
            ("coverage", shares.coverage),
        ]
    };
    for (place, (name, value)) in named(members.shares()).into_iter().enumerate() {
        metrics.insert(name.into(), metric(value));
        if let Some(count) = arguments.bootstrap {
            let replicates = bootstrap(arguments, a, b, count, |a, b| {
                Ok(named(members.shares_of(a.iter().copied(), b.iter().copied()))[place].1)
            })?;
            insert_interval(metrics, name, value, interval(value, &replicates, 0.95));
        }
    }
    Ok(())
}
