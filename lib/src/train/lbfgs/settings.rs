//! How a search goes, and when it stops.

/// The settings of an iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LbfgsSettings {
    /// Steps remembered, m.
    pub history: usize,
    /// c1: the share of the predicted decrease that a step must bring.
    pub decrease: f64,
    /// c2: the share of the slope that may remain.
    pub curvature: f64,
    /// Evaluations of one line search.
    pub line_search: usize,
}

impl Default for LbfgsSettings {
    /// Nocedal & Wright's: c1 1e-4, c2 0.9. History 10, and 25 evaluations per search.
    fn default() -> Self {
        Self { history: 10, decrease: 1e-4, curvature: 0.9, line_search: 25 }
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// At a gradient of this Euclidean norm or less.
    pub gradient_norm: f64,
    /// After this many iterations since the start.
    pub iterations: u64,
    /// After this many evaluations since the start; a line search under way is completed.
    pub evaluations: u64,
    /// When an iteration lowers the value by less than this share of it.
    pub stall: f64,
}

impl Default for Limits {
    /// Norm 1e-8, no other limit.
    fn default() -> Self {
        Self { gradient_norm: 1e-8, iterations: u64::MAX, evaluations: u64::MAX, stall: 0.0 }
    }
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The gradient is small enough.
    Gradient,
    /// As many iterations as allowed.
    Iterations,
    /// As many evaluations as allowed.
    Evaluations,
    /// The value hardly changes, or no step lowers it within the precision of the numbers.
    Stalled,
    /// The start's value or gradient is not finite.
    NotFinite,
}
