//! The line search for the strong Wolfe conditions (algorithms 3.5 and 3.6).

use rayon::prelude::*;

use super::settings::LbfgsSettings;
use super::state::LbfgsState;
use super::vectors::dot_wide;
use crate::tensor::{Element, GRAIN};

/// A value and gradient at x + along * direction.
pub(super) struct Trial<E> {
    along: f64,
    pub(super) value: f64,
    slope: f64,
    pub(super) x: Vec<E>,
    pub(super) gradient: Vec<E>,
}

impl<E> Trial<E> {
    fn is_finite(&self) -> bool {
        self.value.is_finite() && self.slope.is_finite()
    }
}

/// The result of a line search.
pub(super) struct Found<E> {
    pub(super) trial: Option<Trial<E>>,
    pub(super) evaluations: usize,
}

/// A search along one direction.
pub(super) struct LineSearch<'a, E, F> {
    state: &'a LbfgsState<E>,
    direction: &'a [f64],
    settings: &'a LbfgsSettings,
    f: &'a mut F,
    /// The slope at the start, below zero.
    slope: f64,
    evaluations: usize,
}

impl<'a, E: Element, F> LineSearch<'a, E, F> {
    pub(super) fn new(
        state: &'a LbfgsState<E>,
        direction: &'a [f64],
        settings: &'a LbfgsSettings,
        f: &'a mut F,
    ) -> Self {
        let slope = dot_wide(direction, &state.gradient);
        Self { state, direction, settings, f, slope, evaluations: 0 }
    }

    /// Algorithm 3.5: longer steps until an interval is known to hold good ones, then [`LineSearch::zoom`].
    pub(super) fn run<X>(mut self) -> Result<Found<E>, X>
    where
        F: FnMut(&[E]) -> Result<(f64, Vec<E>), X>,
    {
        if self.slope >= 0.0 || self.slope.is_nan() {
            return Ok(Found { trial: None, evaluations: 0 });
        }
        let mut before = self.origin();
        let mut along = 1.0;
        while self.evaluations < self.settings.line_search {
            let trial = self.at(along)?;
            if self.too_high(&trial) || (before.along > 0.0 && trial.value >= before.value) {
                return self.zoom(before, trial);
            }
            if self.flat(&trial) {
                return Ok(Found { trial: Some(trial), evaluations: self.evaluations });
            }
            if trial.slope >= 0.0 {
                return self.zoom(trial, before);
            }
            // Beyond the trial, at the minimum of the cubic through both points, 2 to 10 times as far.
            along = cubic_minimum(&before, &trial).map_or(2.0 * along, |at| at.clamp(2.0 * along, 10.0 * along));
            before = trial;
        }
        self.ended(before)
    }

    /// Algorithm 3.6: narrows the interval between `low`, the best point so far, and `high`.
    fn zoom<X>(mut self, mut low: Trial<E>, mut high: Trial<E>) -> Result<Found<E>, X>
    where
        F: FnMut(&[E]) -> Result<(f64, Vec<E>), X>,
    {
        while self.evaluations < self.settings.line_search && !self.same_point(&low, &high) {
            let trial = self.at(between(&low, &high))?;
            if self.too_high(&trial) || trial.value >= low.value {
                high = trial;
                continue;
            }
            if self.flat(&trial) {
                return Ok(Found { trial: Some(trial), evaluations: self.evaluations });
            }
            if trial.slope * (high.along - low.along) >= 0.0 {
                high = low;
            }
            low = trial;
        }
        self.ended(low)
    }

    /// The best point when the search gives up: accepted if it is lower than the start.
    fn ended<X>(self, best: Trial<E>) -> Result<Found<E>, X> {
        let lower = best.along > 0.0 && best.value < self.state.value;
        Ok(Found { trial: lower.then_some(best), evaluations: self.evaluations })
    }

    /// Not low enough (3.7a), or not finite.
    fn too_high(&self, trial: &Trial<E>) -> bool {
        let enough = self.state.value + self.settings.decrease * trial.along * self.slope;
        !trial.is_finite() || trial.value > enough
    }

    /// Flat enough (3.7b).
    fn flat(&self, trial: &Trial<E>) -> bool {
        trial.slope.abs() <= -self.settings.curvature * self.slope
    }

    /// Whether nothing lies between two points in the precision of x.
    fn same_point(&self, low: &Trial<E>, high: &Trial<E>) -> bool {
        let along = (high.along - low.along).abs();
        let moves = |(&direction, &x): (&f64, &E)| (along * direction).abs() > E::epsilon().wide() * x.wide().abs();
        !self.direction.iter().zip(&low.x).any(moves)
    }

    /// The start, without its gradient: it is never accepted, but [`LineSearch::same_point`] looks at x.
    fn origin(&self) -> Trial<E> {
        let LbfgsState { x, value, .. } = self.state;
        Trial { along: 0.0, value: *value, slope: self.slope, x: x.clone(), gradient: Vec::new() }
    }

    fn at<X>(&mut self, along: f64) -> Result<Trial<E>, X>
    where
        F: FnMut(&[E]) -> Result<(f64, Vec<E>), X>,
    {
        let moved = |(&x, &direction): (&E, &f64)| E::of(x.wide() + along * direction);
        let x: Vec<E> = self.state.x.par_iter().zip(self.direction).with_min_len(GRAIN).map(moved).collect();
        let (value, gradient) = (self.f)(&x)?;
        self.evaluations += 1;
        let slope = dot_wide(self.direction, &gradient);
        Ok(Trial { along, value, slope, x, gradient })
    }
}

/// The minimum of the cubic that has both points' values and slopes (3.59); none where it has none.
fn cubic_minimum<E>(a: &Trial<E>, b: &Trial<E>) -> Option<f64> {
    let first = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.along - b.along);
    let second = (b.along - a.along).signum() * (first * first - a.slope * b.slope).sqrt();
    let share = (b.slope + second - first) / (b.slope - a.slope + 2.0 * second);
    Some(b.along - (b.along - a.along) * share).filter(|at| at.is_finite())
}

/// A point between two: the cubic's minimum, a tenth of the interval from its ends; the middle where there is no cubic.
fn between<E>(low: &Trial<E>, high: &Trial<E>) -> f64 {
    let (left, right) = (low.along.min(high.along), low.along.max(high.along));
    let margin = 0.1 * (right - left);
    let cubic = if high.is_finite() { cubic_minimum(low, high) } else { None };
    cubic.map_or(0.5 * (left + right), |at| at.clamp(left + margin, right - margin))
}
