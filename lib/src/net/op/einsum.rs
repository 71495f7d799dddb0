//! Einstein summation: the products of attention.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::einsum::{Subscripts, einsum};
use crate::tensor::{Batch, Element, Tape};

/// Products of two inputs along named axes, summed over those that the output does not name. Letters name the axes of each image in
/// memory order (height, width, channels, the outermost first; an axis may be cut into several), such as `"thd"` for places with heads
/// of channels: `"thd"`, `"shd"` and `"hts"` are the scores of attention, `"hts"`, `"shd"` and `"thd"` what is read by them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Einsum {
    /// The letters of the first input.
    pub left: String,
    /// The letters of the second input.
    pub right: String,
    /// The letters of the result.
    pub output: String,
    /// The length of each letter's axis.
    pub sizes: BTreeMap<char, usize>,
    /// The size of the result.
    pub size: Size,
}

impl Einsum {
    fn subscripts(&self) -> Subscripts {
        Subscripts::new(&self.left, &self.right, &self.output, &self.sizes)
    }
}

impl Operation for Einsum {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let [left, right] = inputs else { return Err("two inputs".into()) };
        let subscripts = self.subscripts();
        subscripts.check()?;
        let expected = subscripts.elements();
        match [left, right, &self.size].map(|size| size.wide_elements()) == expected {
            true => Ok(self.size),
            false => Err(format!("{} and {} values, and {} of the result", expected[0], expected[1], expected[2])),
        }
    }
}

impl Compute for Einsum {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        einsum(tape, &self.subscripts(), site.inputs[0], site.inputs[1], lengths(site.form.size)).into()
    }

    /// Einsums of the cotangent and the other input.
    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        let (subscripts, sizes) = (self.subscripts(), site.form.sizes);
        let left = einsum(tape, &subscripts.of_left(), cotangent.value, site.inputs[1], lengths(sizes[0]));
        let right = einsum(tape, &subscripts.of_right(), site.inputs[0], cotangent.value, lengths(sizes[1]));
        vec![left, right]
    }
}

/// Height, width and channels.
fn lengths(size: Size) -> (usize, usize, usize) {
    (size.height, size.width, size.channels)
}

#[cfg(test)]
impl super::Examples for Einsum {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let of = |left: &str, right: &str, output: &str, size| {
            let lengths = [('t', 2), ('s', 3), ('h', 2), ('d', 2)];
            let used = lengths.into_iter().filter(|&(letter, _)| left.contains(letter) || right.contains(letter));
            Self { left: left.into(), right: right.into(), output: output.into(), sizes: used.collect(), size }
        };
        let (places, more, scores) = (Size::new(4, 2, 1), Size::new(4, 3, 1), Size::new(3, 2, 2));
        vec![
            (of("thd", "shd", "hts", scores), vec![places, more]),
            (of("hts", "shd", "thd", places), vec![scores, more]),
            // A letter of one input alone, which is summed over, and one that counts products only.
            (of("thd", "sd", "ht", Size::new(2, 2, 1)), vec![Size::new(8, 1, 1), Size::new(2, 3, 1)]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::net::op::Op;

    #[test]
    fn inputs_that_the_letters_do_not_fit_are_refused() {
        let json = json!({"op": "einsum", "left": "td", "right": "sd", "output": "ts",
                          "sizes": {"t": 2, "s": 3, "d": 4}, "size": [1, 2, 3]});
        let op: Op = serde_json::from_value(json).expect("an operation");
        let [left, right] = [Size::new(4, 2, 1), Size::new(4, 3, 1)];
        assert_eq!(op.output(&[left, right]), Ok(Size::new(1, 2, 3)));
        assert_eq!(op.output(&[left, left]), Err("8 and 12 values, and 6 of the result".into()));
        assert_eq!(op.output(&[left]), Err("two inputs".into()));
    }
}
