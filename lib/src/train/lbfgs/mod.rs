//! L-BFGS with a line search for the strong Wolfe conditions: x <- x - a H g, H made of the last m steps and changes of the
//! gradient.
//!
//! Source: Nocedal & Wright, Numerical Optimization, 2nd edition: two loops (algorithm 7.4), scaling (7.20), line search
//! (algorithms 3.5 and 3.6) with cubic interpolation (3.59). Values and sums are f64, in a fixed order; x and g are `E`. A
//! point whose value or gradient is not finite is never accepted.
//!
//! ```
//! use obverse::train::lbfgs::{Lbfgs, LbfgsSettings, Limits, Stop};
//! // (x - 3)^2, its value and gradient in one evaluation.
//! let mut f = |x: &[f64]| Ok::<_, String>(((x[0] - 3.0).powi(2), vec![2.0 * (x[0] - 3.0)]));
//! let mut search = Lbfgs::start(vec![0.0], &mut f)?;
//! let limits = Limits { gradient_norm: 1e-9, ..Limits::default() };
//! assert_eq!(search.run(&LbfgsSettings::default(), &limits, &mut f)?, Stop::Gradient);
//! assert!((search.state().x[0] - 3.0).abs() < 1e-9);
//! # Ok::<(), String>(())
//! ```

mod line_search;
mod settings;
mod state;
mod vectors;

use rayon::prelude::*;

use crate::tensor::{Element, GRAIN};
use line_search::{LineSearch, Trial};
use vectors::{add, difference, dot, dot_wide, norm};

pub use settings::{LbfgsSettings, Limits, Stop};
pub use state::LbfgsState;

/// A search for a minimum.
#[derive(Clone, Debug)]
pub struct Lbfgs<E> {
    state: LbfgsState<E>,
}

impl<E: Element> Lbfgs<E> {
    /// Evaluates the first point. `f` gives value and gradient.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn start<X>(x: Vec<E>, f: &mut impl FnMut(&[E]) -> Result<(f64, Vec<E>), X>) -> Result<Self, X> {
        let (value, gradient) = f(&x)?;
        let (steps, changes) = (Vec::new(), Vec::new());
        Ok(Self { state: LbfgsState { x, value, gradient, steps, changes, iterations: 0, evaluations: 1 } })
    }

    /// A search from a checkpoint.
    pub fn resumed(state: LbfgsState<E>) -> Self {
        Self { state }
    }

    /// The point, its value and gradient, and the memory.
    pub fn state(&self) -> &LbfgsState<E> {
        &self.state
    }

    /// The Euclidean norm of the gradient.
    pub fn gradient_norm(&self) -> f64 {
        norm(&self.state.gradient)
    }

    /// Iterates until a limit is met.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn run<X>(
        &mut self,
        settings: &LbfgsSettings,
        limits: &Limits,
        f: &mut impl FnMut(&[E]) -> Result<(f64, Vec<E>), X>,
    ) -> Result<Stop, X> {
        loop {
            if let Some(stop) = self.iterate(settings, limits, f)? {
                return Ok(stop);
            }
        }
    }

    /// One iteration, unless a limit is met already; returns the limit met before or after it, if any.
    ///
    /// # Errors
    /// Those of `f`.
    pub(crate) fn iterate<X>(
        &mut self,
        settings: &LbfgsSettings,
        limits: &Limits,
        f: &mut impl FnMut(&[E]) -> Result<(f64, Vec<E>), X>,
    ) -> Result<Option<Stop>, X> {
        if let Some(stop) = self.met(limits) {
            return Ok(Some(stop));
        }
        let (before, norm_before) = (self.state.value, self.gradient_norm());
        let Some(trial) = self.searched(settings, f)? else { return Ok(Some(Stop::Stalled)) };
        self.accept(trial, settings.history);
        let gain = before - self.state.value;
        // Where rounding hides the decrease, only the gradient shows progress.
        let stalled = gain < limits.stall * before.abs() || (gain <= 0.0 && self.gradient_norm() >= norm_before);
        Ok(self.met(limits).or(stalled.then_some(Stop::Stalled)))
    }

    /// The limit that the search has reached.
    fn met(&self, limits: &Limits) -> Option<Stop> {
        let norm = self.gradient_norm();
        if !(self.state.value.is_finite() && norm.is_finite()) {
            return Some(Stop::NotFinite);
        }
        let met = [
            (norm <= limits.gradient_norm, Stop::Gradient),
            (self.state.iterations >= limits.iterations, Stop::Iterations),
            (self.state.evaluations >= limits.evaluations, Stop::Evaluations),
        ];
        met.into_iter().find_map(|(met, stop)| met.then_some(stop))
    }

    /// A better point along the quasi-Newton direction or, where there is none, along the gradient after clearing the memory.
    fn searched<X>(
        &mut self,
        settings: &LbfgsSettings,
        f: &mut impl FnMut(&[E]) -> Result<(f64, Vec<E>), X>,
    ) -> Result<Option<Trial<E>>, X> {
        loop {
            let direction = self.direction();
            let found = LineSearch::new(&self.state, &direction, settings, f).run()?;
            self.state.evaluations += found.evaluations as u64;
            if found.trial.is_some() || self.state.steps.is_empty() {
                return Ok(found.trial);
            }
            self.state.steps.clear();
            self.state.changes.clear();
        }
    }

    /// -H g by the two loops.
    fn direction(&self) -> Vec<f64> {
        let LbfgsState { gradient, steps, changes, .. } = &self.state;
        let mut direction: Vec<f64> = gradient.iter().map(|value| -value.wide()).collect();
        let mut shares = Vec::with_capacity(steps.len());
        for (step, change) in steps.iter().zip(changes).rev() {
            let inverse = 1.0 / dot(step, change);
            let share = inverse * dot_wide(&direction, step);
            add(&mut direction, -share, change);
            shares.push((share, inverse));
        }
        let scale = match (steps.last(), changes.last()) {
            (Some(step), Some(change)) => dot(step, change) / dot(change, change),
            // The first step is no longer than 1.
            _ => 1.0 / norm(gradient).max(1.0),
        };
        direction.par_iter_mut().with_min_len(GRAIN).for_each(|value| *value *= scale);
        for ((step, change), (share, inverse)) in steps.iter().zip(changes).zip(shares.into_iter().rev()) {
            let other = inverse * dot_wide(&direction, change);
            add(&mut direction, share - other, step);
        }
        direction
    }

    /// Moves to the point and remembers the step, unless its curvature is not positive.
    fn accept(&mut self, trial: Trial<E>, history: usize) {
        let state = &mut self.state;
        let step = difference(&trial.x, &state.x);
        let change = difference(&trial.gradient, &state.gradient);
        if dot(&step, &change) > f64::EPSILON * dot(&change, &change) {
            state.steps.push(step);
            state.changes.push(change);
        }
        let surplus = state.steps.len().saturating_sub(history);
        state.steps.drain(..surplus);
        state.changes.drain(..surplus);
        (state.x, state.value, state.gradient) = (trial.x, trial.value, trial.gradient);
        state.iterations += 1;
    }
}

#[cfg(test)]
mod tests;
