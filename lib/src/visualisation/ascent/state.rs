//! The state of an ascent.

use crate::tensor::{Batch, Element};
use crate::train::adam::Adam;

/// The state of an ascent: its images, and the trace of their objectives.
#[derive(Clone, Debug)]
pub struct State<E: Element> {
    /// Their numbers among those of the objective.
    pub rows: Vec<usize>,
    /// Steps done.
    pub step: u64,
    /// Their parameters, (N, 1, 1, P).
    pub s: Batch<E>,
    /// Adam's moments.
    pub adam: Adam<E>,
    /// For each step the objective and the norm of its gradient of each image, (steps, N, 2).
    pub trace: Vec<f64>,
}

impl<E: Element> State<E> {
    /// A start at parameters `s` (N, 1, 1, P) of images number `rows`.
    pub fn new(rows: Vec<usize>, s: Batch<E>) -> Self {
        let adam = Adam::new(std::slice::from_ref(&s));
        Self { rows, step: 0, s, adam, trace: Vec::new() }
    }
}
