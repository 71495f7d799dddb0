//! The sum of values.

use dfdx::prelude::{Cpu, Tape};
use serde::{Deserialize, Serialize};

use super::{Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::arithmetic::combine;
use crate::tensor::{Batch, Element};

/// The sum of the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add;

impl Operation for Add {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let Some(&first) = inputs.first() else { return Err("at least one input".into()) };
        match inputs.iter().all(|size| *size == first) {
            true => Ok(first),
            false => Err("inputs of one shape".into()),
        }
    }
}

impl Compute for Add {
    fn forward<E: Element, T: Tape<E, Cpu>>(&self, tape: &mut T, site: &Site<E>) -> Computed<E> {
        let more = site.inputs[1..].iter();
        more.fold(site.x().clone(), |sum, more| combine(tape, E::one(), &sum, E::one(), more)).into()
    }

    fn pullback<E: Element, T: Tape<E, Cpu>>(
        &self,
        _tape: &mut T,
        site: &Site<E>,
        cotangent: Cotangent<E>,
    ) -> Vec<Batch<E>> {
        vec![cotangent.value.clone(); site.inputs.len()]
    }
}

#[cfg(test)]
impl super::Examples for Add {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self, vec![Size::new(2, 2, 3); 3]), (Self, vec![Size::new(4, 1, 1)])]
    }
}
