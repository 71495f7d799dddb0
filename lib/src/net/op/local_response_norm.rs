//! Local response normalisation.

use serde::{Deserialize, Serialize};

use super::settings::single;
use super::{Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::local_response::{LocalResponse, local_response_norm, pullback};
use crate::tensor::{Batch, Element, Tape};

/// Each value divided by (k + alpha times the mean of squares of the channels nearby)^beta. Of an even size one channel more after a
/// channel than before it is nearby, as in ONNX; PyTorch has it before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalResponseNorm {
    /// The number of channels nearby, those outside counted as zeros.
    pub size: usize,
    /// Times the mean of squares.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// The exponent.
    #[serde(default = "beta")]
    pub beta: f64,
    /// Added to the mean of squares.
    #[serde(default = "k")]
    pub k: f64,
}

fn alpha() -> f64 {
    1e-4
}

fn beta() -> f64 {
    0.75
}

fn k() -> f64 {
    1.0
}

impl LocalResponseNorm {
    fn settings(&self) -> LocalResponse {
        LocalResponse { size: self.size, alpha: self.alpha, beta: self.beta, k: self.k }
    }
}

impl Operation for LocalResponseNorm {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let all = [self.alpha, self.beta, self.k];
        match self.size > 0 && all.iter().all(|value| value.is_finite()) {
            true => single(inputs),
            false => Err("a size of at least 1, and finite alpha, beta and k".into()),
        }
    }
}

impl Compute for LocalResponseNorm {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        local_response_norm(tape, site.x(), self.settings()).into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![pullback(tape, cotangent.value, site.x(), self.settings())]
    }
}

#[cfg(test)]
impl super::Examples for LocalResponseNorm {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let odd = Self { size: 3, alpha: 0.5, beta: 0.75, k: 2.0 };
        let even = Self { size: 2, beta: 0.5, ..odd.clone() };
        vec![(odd, vec![Size::new(4, 2, 2)]), (even, vec![Size::new(3, 1, 2)])]
    }
}
