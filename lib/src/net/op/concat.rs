//! Concatenation.

use serde::{Deserialize, Serialize};

use super::settings::is_default;
use super::{Axis, Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::concat::{concat, slice};
use crate::tensor::{Batch, Element, Tape};

/// Inputs side by side along the channels, or along the rows or columns. An input of one image, such as a constant, stands for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concat {
    /// The axis along which one stands after the other.
    #[serde(default, skip_serializing_if = "is_default")]
    pub axis: Axis,
}

impl Operation for Concat {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let Some(&first) = inputs.first() else { return Err("at least one input".into()) };
        let fits = |&size: &Size| self.axis.resized(size, 1) == self.axis.resized(first, 1);
        match inputs.iter().all(fits) {
            true => Ok(self.axis.resized(first, inputs.iter().map(|&size| self.axis.length(size)).sum())),
            false => Err(format!("inputs of one {}", self.axis.others())),
        }
    }
}

impl Compute for Concat {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        concat(tape, &site.inputs, self.axis.in_batch()).into()
    }

    /// The cotangent, cut into the inputs'.
    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        let mut first = 0;
        let part = |&size: &Size| {
            let range = first..first + self.axis.length(size);
            first = range.end;
            slice(tape, cotangent.value, self.axis.in_batch(), range)
        };
        site.form.sizes.iter().map(part).collect()
    }
}

#[cfg(test)]
impl super::Examples for Concat {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let channels = [2, 1, 3].map(|channels| Size::new(channels, 2, 3)).to_vec();
        let heights = [2, 1].map(|height| Size::new(2, height, 3)).to_vec();
        let widths = [1, 3].map(|width| Size::new(2, 2, width)).to_vec();
        vec![
            (Self::default(), channels),
            (Self::default(), vec![Size::new(4, 1, 1)]),
            (Self { axis: Axis::Height }, heights),
            (Self { axis: Axis::Width }, widths),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::net::op::Op;

    #[test]
    fn a_concatenation_of_channels_is_written_as_ever() {
        let op: Op = serde_json::from_value(json!({"op": "concat"})).expect("an operation");
        assert_eq!(op, Concat { axis: Axis::Channels }.into());
        assert_eq!(serde_json::to_value(op).expect("JSON"), json!({"op": "concat"}));
    }

    #[test]
    fn inputs_may_differ_along_the_axis_alone() {
        let along = |axis| Concat { axis }.output(&[Size::new(4, 3, 5), Size::new(4, 2, 5)]);
        assert_eq!(along(Axis::Height), Ok(Size::new(4, 5, 5)));
        assert_eq!(along(Axis::Channels), Err("inputs of one height and width".into()));
        assert_eq!(along(Axis::Width), Err("inputs of one number of channels and height".into()));
    }
}
