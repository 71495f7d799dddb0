//! Some of the channels.

use dfdx::prelude::{Cpu, Tape};
use serde::{Deserialize, Serialize};

use super::settings::single;
use super::{Compute, Computed, Cotangent, Form, Operation, Site};
use crate::net::size::Size;
use crate::ops::concat::{slice, slice_pullback};
use crate::tensor::{Batch, Element};

/// Channels start..end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The first channel.
    pub start: usize,
    /// The channel after the last.
    pub end: usize,
}

impl Operation for Slice {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let (size, Self { start, end }) = (single(inputs)?, self);
        match start < end && *end <= size.channels {
            true => Ok(Size { channels: end - start, ..size }),
            false => Err(format!("at least {end} channels, and a start before the end")),
        }
    }
}

impl Compute for Slice {
    fn forward<E: Element, T: Tape<E, Cpu>>(&self, tape: &mut T, site: &Site<E>) -> Computed<E> {
        slice(tape, site.x(), self.start..self.end).into()
    }

    fn adjoint<E: Element, T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        form: Form<E>,
        cotangent: Cotangent<E>,
    ) -> Option<Batch<E>> {
        Some(slice_pullback(tape, cotangent.value, form.from().channels, self.start..self.end))
    }
}

#[cfg(test)]
impl super::Examples for Slice {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { start: 1, end: 3 }, vec![Size::new(4, 2, 2)])]
    }
}
