//! A range along an axis.

use serde::{Deserialize, Serialize};

use super::settings::{is_default, is_one, one, single};
use super::{Axis, Compute, Computed, Cotangent, Form, Operation, Site};
use crate::net::size::Size;
use crate::ops::along::{Table, along};
use crate::ops::concat::{slice, slice_pullback};
use crate::tensor::{Batch, Element, Tape};

/// Channels, or rows or columns, start..end, or every so many of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The axis of the range.
    #[serde(default, skip_serializing_if = "is_default")]
    pub axis: Axis,
    /// The first channel.
    pub start: usize,
    /// The channel after the last.
    pub end: usize,
    /// From one that is taken to the next.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub step: usize,
}

impl Slice {
    /// Channels start..end.
    pub fn channels(start: usize, end: usize) -> Self {
        Self { axis: Axis::Channels, start, end, step: 1 }
    }

    /// What a slice of more than one step takes of an axis of this length.
    fn table(&self, length: usize) -> Table {
        Table::of_places(&(self.start..self.end).step_by(self.step).collect::<Vec<usize>>(), length)
    }
}

impl Operation for Slice {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let (size, Self { axis, start, end, step }) = (single(inputs)?, self);
        if *step == 0 {
            return Err("a step of at least 1".into());
        }
        match start < end && *end <= axis.length(size) {
            true => Ok(axis.resized(size, (end - start).div_ceil(*step))),
            false => Err(format!("at least {end} {}, and a start before the end", axis.plural())),
        }
    }
}

impl Compute for Slice {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let (axis, length) = (self.axis.in_batch(), self.axis.length(site.form.from()));
        match self.step {
            1 => slice(tape, site.x(), axis, self.start..self.end),
            _ => along(tape, site.x(), axis, &self.table(length)),
        }
        .into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        let (axis, length) = (self.axis.in_batch(), self.axis.length(form.from()));
        Some(match self.step {
            1 => slice_pullback(tape, cotangent.value, axis, length, self.start..self.end),
            _ => along(tape, cotangent.value, axis, &self.table(length).transposed()),
        })
    }
}

#[cfg(test)]
impl super::Examples for Slice {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let size = Size::new(4, 3, 5);
        vec![
            (Self::channels(1, 3), vec![Size::new(4, 2, 2)]),
            (Self { axis: Axis::Height, ..Self::channels(1, 3) }, vec![size]),
            (Self { axis: Axis::Width, ..Self::channels(0, 4) }, vec![size]),
            (Self { axis: Axis::Width, step: 2, ..Self::channels(0, 5) }, vec![size]),
            (Self { step: 3, ..Self::channels(0, 4) }, vec![size]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::net::op::Op;

    #[test]
    fn a_slice_of_channels_is_written_as_ever() {
        let json = json!({"op": "slice", "start": 1, "end": 3});
        let op: Op = serde_json::from_value(json.clone()).expect("an operation");
        assert_eq!(op, Slice::channels(1, 3).into());
        assert_eq!(serde_json::to_value(op).expect("JSON"), json);
    }

    #[test]
    fn ranges_that_do_not_fit_are_refused() {
        let of = |axis, start, end, step| Slice { axis, start, end, step }.output(&[Size::new(4, 3, 5)]);
        assert_eq!(of(Axis::Width, 0, 5, 2), Ok(Size::new(4, 3, 3)));
        assert_eq!(of(Axis::Height, 1, 4, 1), Err("at least 4 rows, and a start before the end".into()));
        assert_eq!(of(Axis::Channels, 2, 2, 1), Err("at least 2 channels, and a start before the end".into()));
        assert_eq!(of(Axis::Width, 0, 5, 0), Err("a step of at least 1".into()));
    }
}
