//! The numbers of one pair of sets, and what two pairs with one reference set differ by.

use anyhow::ensure;
use obverse::fidelity::Features;
use obverse::fidelity::frechet::Frechet;
use obverse::fidelity::halves::Halves;
use obverse::fidelity::kernel::{kernel_dependence, kernel_distances_of_subsets, mean_of_subsets};
use obverse::fidelity::limit::{Sample, frechet_in_the_limit};
use obverse::fidelity::manifold::memberships;
use obverse::fidelity::moments::Moments;
use obverse::fidelity::uncertainty::{Components, Dependence, Uncertain};
use obverse::statistics::Measure;
use obverse::store::sidecar::metric;
use serde_json::{Value, json};

use super::{CompareArguments, SUBSETS};
use crate::Metrics;
use crate::features::Side;

/// Images per set above which the kernel distance is taken over subsets.
const MOST_FOR_ALL: usize = 10_000;

/// The names of the four shares.
const SHARES: [&str; 4] = ["precision", "recall", "density", "coverage"];

/// What a pair's numbers depend on, where intervals were asked for.
pub(super) struct Pair {
    sizes: [usize; 2],
    frechet: Option<Dependence>,
    kernel: Vec<Dependence>,
    halves: Option<Halves>,
}

/// Measures a pair.
pub(super) struct Measuring<'a> {
    pub(super) arguments: &'a CompareArguments,
    /// Images of the largest of all sets.
    pub(super) largest: usize,
}

impl Measuring<'_> {
    /// Adds the numbers of a pair to the metrics, with `suffix` behind their names.
    pub(super) fn pair(
        &self,
        (a, b): (&Side, &Side),
        plain: Frechet,
        suffix: &str,
        metrics: &mut Metrics,
    ) -> anyhow::Result<Pair> {
        let sizes = [a, b].map(|side| side.features().map_or(0, Features::count));
        let frechet = self.frechet((a, b), plain, suffix, metrics)?;
        let (mut kernel, mut halves) = (Vec::new(), None);
        metrics.insert(format!("kid{suffix}"), Value::Null);
        if let Some((a, b)) = a.features().zip(b.features()) {
            kernel = self.kernel(a, b, suffix, metrics)?;
            if self.arguments.prdc {
                halves = self.neighbourhoods(a, b, suffix, metrics)?;
            }
        } else {
            ensure!(
                !self.arguments.prdc && self.arguments.kid_subsets.is_none(),
                "--prdc and --kid-subsets: expected features or images on both sides, found statistics"
            );
        }
        Ok(Pair { sizes, frechet, kernel, halves })
    }

    fn frechet(
        &self,
        (a, b): (&Side, &Side),
        plain: Frechet,
        suffix: &str,
        metrics: &mut Metrics,
    ) -> anyhow::Result<Option<Dependence>> {
        metrics.insert(format!("fid{suffix}"), metric(plain.distance()));
        let intervals = self.arguments.intervals();
        if !intervals && !self.arguments.infinity {
            return Ok(None);
        }
        ensure!(
            a.features().or(b.features()).is_some(),
            "--intervals, --bootstrap, --against and --infinity: expected features or images on one side at least, found \
             statistics on both"
        );
        crate::check_interrupted()?;
        let moments = |side: &Side| side.features().is_none().then(|| side.moments());
        let of = (moments(a), moments(b));
        let (sample_a, sample_b) = (sample(a, &of.0), sample(b, &of.1));
        let limit = frechet_in_the_limit(sample_a, sample_b, self.arguments.seed.seed)?;
        let found = Components::of(&limit).at(limit.value, &[sample_a.count(), sample_b.count()]);
        if intervals {
            distance(plain.distance(), found).insert(&format!("fid{suffix}"), metrics);
        }
        if self.arguments.infinity {
            distance(limit.value, found).insert(&format!("fid_infinity{suffix}"), metrics);
        }
        Ok(Some(limit))
    }

    fn kernel(&self, a: Features, b: Features, suffix: &str, metrics: &mut Metrics) -> anyhow::Result<Vec<Dependence>> {
        let (arguments, name) = (self.arguments, format!("kid{suffix}"));
        let many = self.largest > MOST_FOR_ALL;
        let subsets = arguments.kid_subsets.or(many.then_some(SUBSETS.0)).filter(|&subsets| subsets > 0);
        let fewest = a.count().min(b.count());
        let found = match subsets {
            None => vec![kernel_dependence(a, b)?],
            Some(_) if fewest < arguments.kid_size => {
                let needed = arguments.kid_size;
                let remark = format!(
                    "expected at least {needed} images per set for subsets of --kid-size {needed}, found {fewest}; give \
                     --kid-size {fewest} or less, or --kid-subsets 0"
                );
                metrics.insert(format!("{name}_remark"), remark.into());
                return Ok(Vec::new());
            }
            Some(subsets) => kernel_distances_of_subsets(a, b, subsets, arguments.kid_size, arguments.seed.seed)?,
        };
        let values: Vec<f64> = found.iter().map(|one| one.value).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        metrics.insert(name.clone(), metric(mean));
        if subsets.is_some() {
            let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            metrics.insert("kid_subsets".into(), json!([values.len(), arguments.kid_size]));
            metrics.insert(format!("kid_deviation{suffix}"), metric((squares / values.len() as f64).sqrt()));
        }
        if arguments.intervals() {
            let components: Vec<Components> = found.iter().map(Components::of).collect();
            let uncertain = mean_of_subsets(&values, &components, &[a.count(), b.count()]);
            distance(mean, uncertain).insert(&name, metrics);
        }
        Ok(found)
    }

    fn neighbourhoods(
        &self,
        a: Features,
        b: Features,
        suffix: &str,
        metrics: &mut Metrics,
    ) -> anyhow::Result<Option<Halves>> {
        let neighbours = usize::from(self.arguments.neighbours);
        if !self.arguments.intervals() {
            for (name, value) in SHARES.iter().zip(memberships(a, b, neighbours)?.shares().each()) {
                metrics.insert(format!("{name}{suffix}"), metric(value));
            }
            return Ok(None);
        }
        let halves = Halves::of(a, b, neighbours, self.arguments.seed.seed)?;
        for (name, (found, interval)) in SHARES.iter().zip(halves.each().into_iter().zip(halves.intervals())) {
            let standard_error = Some(found.standard_error());
            let measure = Measure { value: found.value, standard_error, interval: Some(interval) };
            measure.insert(&format!("{name}{suffix}"), metrics);
        }
        Ok(Some(halves))
    }
}

impl Pair {
    /// Adds what the numbers of this pair are larger by than those of another with the same first set.
    pub(super) fn minus(&self, other: &Self, metrics: &mut Metrics) -> anyhow::Result<()> {
        let sizes = [self.sizes[0], self.sizes[1], other.sizes[1]];
        if let (Some(one), Some(other)) = (&self.frechet, &other.frechet) {
            let found = Components::of_difference(one, other).at(one.value - other.value, &sizes);
            difference("fid", found, metrics);
        }
        if !self.kernel.is_empty() && self.kernel.len() == other.kernel.len() {
            let pairs = || self.kernel.iter().zip(&other.kernel);
            let values: Vec<f64> = pairs().map(|(one, other)| one.value - other.value).collect();
            let components: Vec<Components> =
                pairs().map(|(one, other)| Components::of_difference(one, other)).collect();
            difference("kid", mean_of_subsets(&values, &components, &sizes), metrics);
        }
        if let (Some(one), Some(other)) = (&self.halves, &other.halves) {
            for (name, found) in SHARES.iter().zip(one.minus(other)?) {
                difference(name, found, metrics);
            }
        }
        Ok(())
    }
}

fn sample<'a>(side: &'a Side, moments: &'a Option<Moments>) -> Sample<'a> {
    match (side.features(), moments) {
        (_, Some(moments)) => Sample::Exact(moments),
        (features, None) => Sample::Rows(features.unwrap_or(Features::new(&[], 1))),
    }
}

/// A value with the uncertainty of the distance that it estimates.
fn distance(value: f64, found: Uncertain) -> Measure {
    Measure { value, standard_error: Some(found.standard_error()), interval: Some(found.interval_of_distance()) }
}

fn difference(name: &str, found: Uncertain, metrics: &mut Metrics) {
    let (standard_error, interval) = (Some(found.standard_error()), Some(found.interval()));
    Measure { value: found.value, standard_error, interval }.insert(&format!("{name}_difference"), metrics);
    metrics.insert(format!("{name}_difference_p_value"), metric(found.probability()));
}
