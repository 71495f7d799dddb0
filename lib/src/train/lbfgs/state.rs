//! The state of a search.

/// The whole state of a search: resumed from it, the search continues bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct LbfgsState<E> {
    /// The point.
    pub x: Vec<E>,
    /// The value there.
    pub value: f64,
    /// The gradient there.
    pub gradient: Vec<E>,
    /// The last steps of x, the oldest first.
    pub steps: Vec<Vec<E>>,
    /// The changes of the gradient over them.
    pub changes: Vec<Vec<E>>,
    /// Iterations done.
    pub iterations: u64,
    /// Evaluations done.
    pub evaluations: u64,
}
