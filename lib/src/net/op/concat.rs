//! Concatenation along the channels.

use dfdx::prelude::{Cpu, Tape};
use serde::{Deserialize, Serialize};

use super::{Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::concat::{concat, slice};
use crate::tensor::{Batch, Element};

/// Inputs side by side along the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concat;

impl Operation for Concat {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let Some(&first) = inputs.first() else { return Err("at least one input".into()) };
        let fits = |size: &Size| (size.height, size.width) == (first.height, first.width);
        match inputs.iter().all(fits) {
            true => Ok(Size { channels: inputs.iter().map(|size| size.channels).sum(), ..first }),
            false => Err("inputs of one height and width".into()),
        }
    }
}

impl Compute for Concat {
    fn forward<E: Element, T: Tape<E, Cpu>>(&self, tape: &mut T, site: &Site<E>) -> Computed<E> {
        concat(tape, &site.inputs).into()
    }

    /// The cotangent, cut into the inputs'.
    fn pullback<E: Element, T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        site: &Site<E>,
        cotangent: Cotangent<E>,
    ) -> Vec<Batch<E>> {
        let mut first = 0;
        let part = |size: &Size| {
            let range = first..first + size.channels;
            first = range.end;
            slice(tape, cotangent.value, range)
        };
        site.form.sizes.iter().map(part).collect()
    }
}

#[cfg(test)]
impl super::Examples for Concat {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let sizes = [2, 1, 3].map(|channels| Size::new(channels, 2, 3)).to_vec();
        vec![(Self, sizes), (Self, vec![Size::new(4, 1, 1)])]
    }
}
