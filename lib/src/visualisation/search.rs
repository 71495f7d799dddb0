//! Search instead of gradients: many candidates are evaluated, and the best few of each objective are kept.
//!
//! Candidates are draws through a decoder, uniform in the box that the latents of training images span (generative-model
//! regularisation, section 3.5: 500,000 in six dimensions), or images of a dataset. A candidate is identified by its number, so a
//! search in shards merges to the same result, and memory does not grow with it.
//!
//! ```
//! use obverse::visualisation::search::{Best, Found, Region};
//! let mut region = Region::empty(2);
//! region.include(&[1.0, -2.0, 3.0, 0.5]);
//! let draws = region.draw::<f64>(0, 0, 10);
//! assert!(obverse::tensor::view(&draws).chunks(2).all(|z| (1.0..=3.0).contains(&z[0])));
//! let mut best = Best::new(1);
//! for (candidate, value) in [(0, 0.5), (1, 2.0), (2, 1.0)] {
//!     best.offer(Found { value, candidate });
//! }
//! assert_eq!(best.found()[0].candidate, 1);
//! ```

use crate::net::{Mode, Network};
use crate::objective::resolved::{Objective, Result};
use crate::objective::transform::Pipeline;
use crate::ops::InputGradient;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, batch};

/// A candidate and its objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The objective.
    pub value: f64,
    /// The candidate's number.
    pub candidate: u64,
}

/// The best candidates of an objective, the best first; among equals, the lower number first.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    kept: Vec<Found>,
    count: usize,
}

impl Best {
    /// Room for `count`.
    pub fn new(count: usize) -> Self {
        Self { kept: Vec::with_capacity(count + 1), count }
    }

    /// The best so far, the best first.
    pub fn found(&self) -> &[Found] {
        &self.kept
    }

    /// Keeps a candidate if it is among the best; NaN is never kept.
    pub fn offer(&mut self, found: Found) {
        let before =
            |kept: &Found| kept.value > found.value || (kept.value == found.value && kept.candidate < found.candidate);
        let place = self.kept.partition_point(before);
        if place < self.count && !found.value.is_nan() {
            self.kept.insert(place, found);
            self.kept.truncate(self.count);
        }
    }
}

/// The box that latents are drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Region {
    /// [-1, 1] in each of `features` dimensions.
    pub fn unit(features: usize) -> Self {
        Self { low: vec![-1.0; features], high: vec![1.0; features] }
    }

    /// An empty region.
    pub fn empty(features: usize) -> Self {
        Self { low: vec![f64::INFINITY; features], high: vec![f64::NEG_INFINITY; features] }
    }

    /// Extends it to these latents, rows with the same number of features.
    pub fn include(&mut self, latents: &[f64]) {
        for row in latents.chunks_exact(self.low.len()) {
            for ((low, high), &value) in self.low.iter_mut().zip(&mut self.high).zip(row) {
                (*low, *high) = (low.min(value), high.max(value));
            }
        }
    }

    /// Draws number `first` and on, (N, 1, 1, Z), uniform: each depends on the seed and its number alone.
    pub fn draw<E: Element>(&self, seed: u64, first: u64, count: usize) -> Batch<E> {
        let features = self.low.len();
        let start = first as usize * features;
        let shares: Vec<f64> = Stream::new(seed, "search", 0).uniform(start..start + count * features);
        let scaled = |(place, share): (usize, &f64)| {
            let (low, high) = (self.low[place % features], self.high[place % features]);
            E::of(low + share * (high - low))
        };
        batch(shares.iter().enumerate().map(scaled).collect(), (count, 1, 1, features))
    }
}

/// Evaluates candidates: objectives of one image each, without random transformations.
pub struct Judge<'a, E: Element> {
    /// The network; the objectives' nodes are tapped.
    pub network: &'a Network<E>,
    /// The transformations: none, or a change of size.
    pub plain: &'a Pipeline,
    /// The objectives.
    pub objectives: &'a [Objective],
}

impl<E: Element> Judge<'_, E> {
    /// Offers images (N, H, W, C), candidates `first` and on, to the best of each objective.
    ///
    /// # Errors
    /// A network that does not compute the objectives' nodes.
    pub fn offer(&self, images: &Batch<E>, first: u64, best: &mut [Best]) -> Result<()> {
        let drawn = self.plain.draw(Stream::new(0, "transforms", 0), 0..crate::tensor::shape(images).0);
        let trace =
            self.network.forward(&mut Tape::off(), &drawn.forward(images), Mode::Inference, InputGradient::Unwanted);
        let rows = vec![0; crate::tensor::shape(images).0];
        for (objective, best) in self.objectives.iter().zip(best) {
            let judged = objective.judge(self.network, &trace, &rows)?;
            let (penalties, _) = objective.judge_images(images, &rows);
            for (candidate, (value, penalty)) in (first..).zip(judged.values.iter().zip(&penalties)) {
                best.offer(Found { value: value + penalty, candidate });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_are_those_of_a_sort_in_any_order(values in prop::collection::vec(0i32..20, 0..60), seed in 0u64..9) {
            let mut all: Vec<Found> =
                (0..).zip(&values).map(|(candidate, &value)| Found { value: value.into(), candidate }).collect();
            let mut best = Best::new(5);
            for place in Stream::new(seed, "order", 0).permutation(all.len()) {
                best.offer(all[place]);
            }
            all.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.candidate.cmp(&b.candidate)));
            all.truncate(5);
            prop_assert_eq!(best.found(), &all);
        }
    }

    #[test]
    fn draws_lie_in_the_region_and_do_not_depend_on_the_batch() {
        let mut region = Region::empty(2);
        region.include(&[1.0, -2.0, 3.0, 0.5]);
        let whole: Batch<f64> = region.draw(4, 0, 10);
        let part: Batch<f64> = region.draw(4, 6, 4);
        let whole = crate::tensor::view(&whole);
        assert_eq!(&whole[12..], crate::tensor::view(&part));
        assert!(whole.chunks(2).all(|z| (1.0..=3.0).contains(&z[0]) && (-2.0..=0.5).contains(&z[1])));
    }

    #[test]
    fn no_number_is_never_kept() {
        let mut best = Best::new(2);
        best.offer(Found { value: f64::NAN, candidate: 0 });
        assert!(best.found().is_empty());
    }
}
