//! One search by L-BFGS, iteration by iteration.

use crate::objective::resolved::Result;
use crate::tensor::Element;
use crate::train::lbfgs::{Lbfgs, LbfgsSettings, Limits};

/// A search by L-BFGS: for one image, or for all.
#[derive(Clone, Debug)]
pub struct Search<E> {
    /// Where it is.
    pub lbfgs: Lbfgs<E>,
    /// The objective and the norm of the gradient after each iteration.
    pub trace: Vec<[f64; 2]>,
    /// Whether it has reached a limit.
    pub ended: bool,
}

impl<E: Element> Search<E> {
    pub(super) fn new(lbfgs: Lbfgs<E>) -> Self {
        Self { lbfgs, trace: Vec::new(), ended: false }
    }

    pub(super) fn run(
        &mut self,
        limits: &Limits,
        descent: &mut impl FnMut(&[E]) -> Result<(f64, Vec<E>)>,
        stop: &impl Fn() -> bool,
    ) -> Result<()> {
        while !self.ended {
            let before = self.lbfgs.state().iterations;
            self.ended = self.lbfgs.iterate(&LbfgsSettings::default(), limits, descent)?.is_some();
            if self.lbfgs.state().iterations > before {
                self.trace.push([-self.lbfgs.state().value, self.lbfgs.gradient_norm()]);
            }
            if stop() {
                return Ok(());
            }
        }
        Ok(())
    }
}
