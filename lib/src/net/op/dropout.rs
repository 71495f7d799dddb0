//! Dropout.

use serde::{Deserialize, Serialize};

use super::settings::single;
use super::{Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::dropout;
use crate::tensor::{Batch, Element, Tape, shape};

/// In training: zero with this probability, else divided by what is left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Probability of zero.
    pub p: f64,
}

impl Operation for Dropout {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        match (0.0..1.0).contains(&self.p) {
            true => single(inputs),
            false => Err("a probability in [0, 1)".into()),
        }
    }
}

impl Compute for Dropout {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        match site.stream() {
            Some(stream) => dropout::dropout(tape, site.x(), self.p, stream),
            None => site.x().clone(),
        }
        .into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![match site.stream() {
            Some(stream) => dropout::pullback(tape, cotangent.value, self.p, stream, shape(site.x()).0),
            None => cotangent.value.clone(),
        }]
    }
}

#[cfg(test)]
impl super::Examples for Dropout {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { p: 0.3 }, vec![Size::new(3, 2, 2)])]
    }
}
