//! Values along an axis, picked by constant places.

use serde::{Deserialize, Serialize};

use super::settings::{is_default, single};
use super::{Axis, Compute, Computed, Cotangent, Form, Operation, Site};
use crate::net::size::Size;
use crate::ops::along::{Table, along};
use crate::tensor::{Batch, Element, Tape};

/// Values along an axis by constant places, which may repeat: what flips, rolls and repeats an image, or puts its channels in another
/// order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gather {
    /// The axis that the places are along.
    #[serde(default, skip_serializing_if = "is_default")]
    pub axis: Axis,
    /// Place j of the result is place `indices[j]` of the input.
    pub indices: Vec<usize>,
}

impl Operation for Gather {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let size = single(inputs)?;
        match self.indices.iter().all(|&index| index < self.axis.length(size)) {
            true => Ok(self.axis.resized(size, self.indices.len())),
            false => Err(format!("indices below {}", self.axis.length(size))),
        }
    }
}

impl Compute for Gather {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let table = Table::of_places(&self.indices, self.axis.length(site.form.from()));
        along(tape, site.x(), self.axis.in_batch(), &table).into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        let table = Table::of_places(&self.indices, self.axis.length(form.from()));
        Some(along(tape, cotangent.value, self.axis.in_batch(), &table.transposed()))
    }
}

#[cfg(test)]
impl super::Examples for Gather {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let of = |axis, indices: &[usize]| (Self { axis, indices: indices.to_vec() }, vec![Size::new(3, 2, 4)]);
        vec![of(Axis::Channels, &[2, 0, 2, 1]), of(Axis::Height, &[1, 0]), of(Axis::Width, &[0, 3, 3])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_beyond_the_axis_are_refused() {
        let along = |axis| Gather { axis, indices: vec![0, 2] }.output(&[Size::new(3, 2, 4)]);
        assert_eq!(along(Axis::Channels), Ok(Size::new(2, 2, 4)));
        assert_eq!(along(Axis::Width), Ok(Size::new(3, 2, 2)));
        assert_eq!(along(Axis::Height), Err("indices below 2".into()));
    }
}
