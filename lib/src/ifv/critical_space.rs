//! The critical space, Algorithm 1: R^n without the directions along which no image's response can change.
//!
//! Each sampled Jacobian gives the left singular vectors whose singular value, relative to the largest, is below a
//! threshold; two of these subspaces at a time are merged until one is left, by the spherical interpolation of principal
//! vectors less than 45 degrees apart (see [`super::subspace`]), weighted by how many were merged before. Its complement is
//! the critical space. Nested intervals of thresholds find every possible dimension, and known objectives the best one.
//!
//! Source: inverse feature visualisation, sections 2.2 and 3.5.
//!
//! ```
//! use obverse::ifv::{critical_space::Samples, jacobian::Jacobian};
//! // The third feature never moves.
//! let at = |a: f64| Jacobian { response: vec![1.0; 3], rows: vec![a, 0.0, 0.0, 1.0, 0.0, 0.0] }.reduced();
//! let samples = Samples::of(&[at(1.0)?, at(2.0)?])?;
//! assert_eq!(samples.co_kernel(0.01)?.dimension(), 1);
//! # Ok::<(), obverse::ifv::Error>(())
//! ```

use std::collections::{BTreeMap, VecDeque};

use faer::Mat;
use rayon::prelude::*;
use serde::Serialize;

use super::evaluation::{Summary, projected_angle};
use super::jacobian::Linearisation;
use super::prediction::predict;
use super::subspace::Subspace;
use super::{Error, Result};

/// The default share of the largest singular value below which one counts as small: every dimension is tried.
pub const LARGEST_THRESHOLD: f64 = 1.0;

/// Thresholds that are tried before intervals are nested.
const PLACES: usize = 32;

/// The left singular vectors of sampled Jacobians.
#[derive(Clone, Debug)]
pub struct Samples {
    /// For each sample its vectors, n x n, and their singular values relative to the largest, both descending.
    samples: Vec<(Mat<f64>, Vec<f64>)>,
    features: usize,
}

/// The default factor by which a threshold must grow without changing the dimension.
pub const STABILITY: f64 = 1.5;

/// A critical space, and the thresholds that give its dimension.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The space.
    pub space: Subspace,
    /// The interval of thresholds that give its dimension.
    pub thresholds: [f64; 2],
}

/// How well a candidate does on known objectives, after projection onto it, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The median angle of prediction and target.
    pub prediction: f64,
    /// The median angle of response and target.
    pub response: f64,
}

impl Samples {
    /// Decomposes Jacobians.
    ///
    /// # Errors
    /// No samples, samples of different lengths, a Jacobian of zero, a decomposition that does not converge.
    pub fn of(linearisations: &[Linearisation]) -> Result<Self> {
        let features = linearisations.first().map(Linearisation::features);
        let features = features.ok_or(Error::TooFew { what: "sampled Jacobians", needed: 1, found: 0 })?;
        let samples = linearisations.par_iter().map(|at| decomposed(at, features)).collect::<Result<_>>()?;
        Ok(Self { samples, features })
    }

    /// The directions along which no sample changes, for one threshold: Algorithm 1.
    ///
    /// # Errors
    /// A decomposition that does not converge.
    pub fn co_kernel(&self, threshold: f64) -> Result<Subspace> {
        let small = |(vectors, values): &(Mat<f64>, Vec<f64>)| {
            let first = values.partition_point(|&value| value >= threshold);
            (Subspace::of(vectors.subcols(first, self.features - first).to_owned()), 1.0)
        };
        let mut waiting: VecDeque<(Subspace, f64)> = self.samples.iter().map(small).collect();
        while waiting.len() > 1 {
            // A round merges neighbours, all pairs at once; one without a partner waits for the next.
            let pairs: Vec<_> = waiting.drain(..).collect();
            let merged: Vec<_> = pairs.par_chunks(2).map(merged).collect::<Result<_>>()?;
            waiting.extend(merged);
        }
        Ok(waiting.pop_front().map_or_else(|| Subspace::of(Mat::zeros(self.features, 0)), |(space, _)| space))
    }

    /// The critical spaces that thresholds up to `largest` give, by nested intervals; the largest space first, which is that of
    /// threshold 0: all of R^n. The dimension may fall and rise again with the threshold, so the search begins with thirty-two of
    /// them. A dimension is kept if it stays the same while the threshold grows by the factor `stability`: a narrower interval
    /// separates singular values that differ only by noise.
    ///
    /// # Errors
    /// A decomposition that does not converge.
    pub fn candidates(&self, largest: f64, stability: f64) -> Result<Vec<Candidate>> {
        let intervals = self.intervals(largest);
        // Between thresholds closer than this no dimension lasts long enough.
        let fine = 1.0 + (stability - 1.0) / 4.0;
        let mut tried = BTreeMap::new();
        let last = intervals.len() - 1;
        let first: Vec<usize> = (0..=PLACES).map(|place| last * place / PLACES).collect();
        let mut open: Vec<(usize, usize)> = first.windows(2).map(|ends| (ends[0], ends[1])).collect();
        while let Some((low, high)) = open.pop() {
            let [at_low, at_high] = [low, high].map(|place| self.dimension(intervals[place], place, &mut tried));
            if at_low? != at_high? && high - low > 1 && intervals[high][1] > fine * intervals[low][0] {
                let middle = (low + high) / 2;
                open.extend([(low, middle), (middle, high)]);
            }
        }
        let tried: Vec<(usize, usize)> = tried.into_iter().collect();
        // For each dimension the longest run of neighbouring places that give it.
        let ends = |run: &[(usize, usize)]| [intervals[run[0].0][0], intervals[run[run.len() - 1].0][1]];
        let growth = |[low, high]: [f64; 2]| high / low;
        let mut runs: BTreeMap<usize, &[(usize, usize)]> = BTreeMap::new();
        for run in tried.chunk_by(|(_, a), (_, b)| a == b) {
            let longest = runs.entry(run[0].1).or_insert(run);
            if growth(ends(run)) > growth(ends(longest)) {
                *longest = run;
            }
        }
        let candidate = |run: &&[(usize, usize)]| {
            let thresholds = ends(run);
            let widest =
                run.iter().map(|(place, _)| intervals[*place]).max_by(|&a, &b| growth(a).total_cmp(&growth(b)));
            let widest = widest.filter(|_| thresholds[1] >= stability * thresholds[0])?;
            let space = self.co_kernel(threshold(widest)).map(|space| space.complement());
            Some(space.map(|space| Candidate { space, thresholds }))
        };
        runs.values().rev().filter_map(candidate).collect()
    }

    /// The dimension of the critical space for thresholds of an interval, remembered.
    fn dimension(&self, interval: [f64; 2], place: usize, tried: &mut BTreeMap<usize, usize>) -> Result<usize> {
        if let Some(&dimension) = tried.get(&place) {
            return Ok(dimension);
        }
        let dimension = self.features - self.co_kernel(threshold(interval))?.dimension();
        tried.insert(place, dimension);
        Ok(dimension)
    }

    /// Intervals of thresholds up to `largest` between which no relative singular value lies; the first is below all of them.
    fn intervals(&self, largest: f64) -> Vec<[f64; 2]> {
        let mut values: Vec<f64> = self.samples.iter().flat_map(|(_, values)| values.clone()).collect();
        values.retain(|&value| value < largest);
        values.extend([0.0, largest]);
        values.sort_by(f64::total_cmp);
        values.dedup();
        let below = [0.0, 0.0];
        std::iter::once(below).chain(values.windows(2).map(|pair| [pair[0], pair[1]])).collect()
    }
}

/// A threshold inside an interval.
fn threshold([low, high]: [f64; 2]) -> f64 {
    0.5 * (low + high)
}

/// Merges a space of `count` samples with another, if there is one.
fn merged(pair: &[(Subspace, f64)]) -> Result<(Subspace, f64)> {
    match pair {
        [(a, in_a), (b, in_b)] => Ok((a.merged(b, in_b / (in_a + in_b))?, in_a + in_b)),
        other => Ok(other[0].clone()),
    }
}

/// Left singular vectors and relative singular values.
fn decomposed(at: &Linearisation, features: usize) -> Result<(Mat<f64>, Vec<f64>)> {
    if at.features() != features {
        return Err(Error::Length { what: "a sampled Jacobian", expected: features, found: at.features() });
    }
    let svd = at.factor.svd().map_err(|_| Error::Decomposition("a sampled Jacobian"))?;
    let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    if values[0] == 0.0 {
        return Err(Error::NoGradient);
    }
    Ok((svd.U().to_owned(), values.iter().map(|value| value / values[0]).collect()))
}

/// How well a space does on images whose objectives are known; `power` is k.
///
/// # Errors
/// No images; those of [`predict`].
pub fn score(space: &Subspace, known: &[(Linearisation, Vec<f64>)], power: u32) -> Result<Score> {
    let angles = known.par_iter().map(|(at, target)| {
        let found = predict(at, power, space)?;
        Ok([&found.objective, &at.response].map(|vector| projected_angle(space, target, vector)))
    });
    let angles: Vec<[f64; 2]> = angles.collect::<Result<_>>()?;
    let median = |which: usize| {
        let values: Vec<f64> = angles.iter().map(|angles| angles[which]).collect();
        Summary::of(&values).map(|summary| summary.median)
    };
    match (median(0), median(1)) {
        (Some(prediction), Some(response)) => Ok(Score { prediction, response }),
        _ => Err(Error::TooFew { what: "images of known objectives", needed: 1, found: 0 }),
    }
}

/// Which of these scores is best: the smallest angle of prediction relative to that of the response, since both shrink with the
/// dimension. A space of one dimension, in which every angle is 0 or 180, is ignored.
pub fn best(candidates: &[(Candidate, Score)]) -> Option<usize> {
    let ratio = |score: &Score| score.prediction / score.response.max(f64::MIN_POSITIVE);
    let several = candidates.iter().enumerate().filter(|(_, (candidate, _))| candidate.space.dimension() > 1);
    several.min_by(|(_, (_, a)), (_, (_, b))| ratio(a).total_cmp(&ratio(b))).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ifv::jacobian::Jacobian;
    use crate::ifv::norm;
    use crate::ops::checks::Case;
    use crate::store::npy::Scalar;
    use crate::tensor::random::Stream;
    use crate::tensor::{Element, shape, view};

    /// Eight Jacobians of 10 x 60 with a common left kernel of two dimensions.
    fn sampled<E: Element + Scalar>(case: &Case) -> Vec<Linearisation> {
        let all = case.jacobians::<E>();
        all.into_iter().map(|rows| Jacobian { response: vec![1.0; 10], rows }.reduced().unwrap()).collect()
    }

    /// The largest |(P - Q) v| of unit vectors v.
    fn distance(space: &Subspace, projector: &[f64]) -> f64 {
        let n = space.basis().nrows();
        let difference = space.basis() * space.basis().transpose() - Mat::from_fn(n, n, |i, j| projector[i * n + j]);
        difference.singular_values().unwrap()[0]
    }

    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("critical_space");
        let samples = Samples::of(&sampled::<E>(&case)).unwrap();
        let projector = case.array::<f64>("critical_projector");
        let n = shape(&projector).3;
        let tolerance = case.description["tolerance"]["spectral_norm"].as_f64().unwrap();
        let wanted = case.description["dimension"].as_u64().unwrap() as usize;
        for threshold in [3e-3, 1e-2, 0.1, 0.2] {
            let space = samples.co_kernel(threshold).unwrap().complement();
            assert_eq!(space.dimension(), wanted, "{threshold}");
            let found = distance(&space, view(&projector));
            assert!(found <= tolerance, "{threshold}: {found:e}");
        }
        // Above it nothing is small any more.
        const SMALL: f64 = 0.1;
        let candidates = samples.candidates(SMALL, STABILITY).unwrap();
        assert!(samples.candidates(SMALL, 1.0).unwrap().len() >= candidates.len());
        let dimensions: Vec<usize> = candidates.iter().map(|candidate| candidate.space.dimension()).collect();
        assert_eq!(dimensions, [n, wanted]);
        assert!(distance(&candidates[1].space, view(&projector)) <= tolerance);
        let [low, high] = candidates[1].thresholds;
        assert!(low < 3e-3 && high == SMALL, "{low} {high}");
    }

    #[test]
    fn agrees_with_the_oracle_in_f64() {
        check_oracle::<f64>();
    }

    #[test]
    fn agrees_with_the_oracle_in_f32() {
        check_oracle::<f32>();
    }

    /// Jacobians of images whose feature 0 is dead, stationary for objectives that are known.
    fn known(count: usize) -> Vec<(Linearisation, Vec<f64>)> {
        let (n, power) = (6, 3);
        let one = |row: u64| {
            let draw = |purpose: &str, count: usize| Stream::new(row, purpose, 0).uniform::<f64>(0..count);
            let (mut response, target) = (draw("f", n), draw("w", n));
            response[0] = 0.0;
            let normal: Vec<f64> = Stream::new(row, "J", 0).normal(0..n * 40);
            let judged = crate::objective::significance::significance(&target, &response, power).gradient;
            let dead = |i: usize| i == 0;
            // Rows perpendicular to what the objective asks among the features that move.
            let asked: Vec<f64> = judged.iter().enumerate().map(|(i, &g)| if dead(i) { 0.0 } else { g }).collect();
            let length = norm(&asked);
            let along: Vec<f64> =
                (0..40).map(|j| (0..n).map(|i| asked[i] / length * normal[i * 40 + j]).sum()).collect();
            let value = |k: usize| {
                let (i, j) = (k / 40, k % 40);
                if dead(i) { 0.0 } else { normal[k] - asked[i] / length * along[j] }
            };
            let rows: Vec<f64> = (0..n * 40).map(value).collect();
            (Jacobian { response, rows }.reduced().unwrap(), target)
        };
        (0..count as u64).map(one).collect()
    }

    #[test]
    fn known_objectives_choose_the_space_in_which_they_are_recovered() {
        let known = known(12);
        let linearisations: Vec<Linearisation> = known.iter().map(|(at, _)| at.clone()).collect();
        let candidates = Samples::of(&linearisations).unwrap().candidates(LARGEST_THRESHOLD, STABILITY).unwrap();
        let scored: Vec<_> = candidates
            .into_iter()
            .map(|candidate| {
                let score = score(&candidate.space, &known, 3).unwrap();
                (candidate, score)
            })
            .collect();
        let chosen = &scored[best(&scored).unwrap()];
        assert_eq!(chosen.0.space.dimension(), 5, "{scored:?}");
        assert!(chosen.0.space.basis().row(0).norm_l2() < 1e-9);
        assert!(chosen.1.prediction < 1e-5 && chosen.1.response > 10.0, "{:?}", chosen.1);
        let whole = score(&Subspace::whole(6), &known, 3).unwrap();
        assert!(whole.prediction > 10.0 * chosen.1.prediction + 1.0, "{whole:?}");
    }

    #[test]
    fn the_order_of_threads_changes_nothing_and_too_little_is_refused() {
        assert!(Samples::of(&[]).is_err());
        assert!(score(&Subspace::whole(6), &[], 3).is_err());
        let linearisations: Vec<Linearisation> = known(7).into_iter().map(|(at, _)| at).collect();
        let samples = Samples::of(&linearisations).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let alone = pool.install(|| samples.co_kernel(0.1).unwrap());
        assert_eq!(samples.co_kernel(0.1).unwrap(), alone);
    }
}
