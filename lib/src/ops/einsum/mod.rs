//! Einstein summation of two operands: the sum over some axes of the products along others, image by image.
//!
//! Each operand's axes are named by letters, in memory order (height, width, channels, the outermost first). An axis that the output
//! names is kept; one that it does not name is summed over. `"thd,shd->hts"` are the scores of attention, head by head; `"hts,shd->thd"`
//! what is read by them. The number of images is a letter more, in front, which is not written. The gradient of either operand is an
//! einsum of the cotangent and the other one, so that the operation is closed under differentiation.
//!
//! What both operands and the output name counts many matrix products, whose operands are read where they lie where strides allow it;
//! products of few rows or columns are summed directly. Sums are in a fixed order.
//!
//! ```
//! use obverse::ops::einsum::{Subscripts, einsum};
//! use obverse::tensor::{Tape, batch, view};
//! let product = Subscripts::new("ij", "jk", "ik", &[('i', 1), ('j', 2), ('k', 2)].into());
//! let (a, b) = (batch(vec![1.0f64, 10.0], (1, 1, 2, 1)), batch(vec![1.0, 2.0, 3.0, 4.0], (1, 2, 2, 1)));
//! assert_eq!(view(&einsum(&mut Tape::off(), &product, &a, &b, (1, 2, 1))), [31.0, 42.0]);
//! ```

mod direct;
mod operand;
#[cfg(test)]
mod tests;
mod there;

use std::collections::BTreeMap;

use super::accumulate;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, Tape, batch, image_len, shape, view};
use operand::{IMAGES, Letters, Operand};

/// The letters of two operands and of their output, and how long the axes are that they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscripts {
    left: Vec<char>,
    right: Vec<char>,
    output: Vec<char>,
    lengths: BTreeMap<char, usize>,
}

impl Subscripts {
    /// Those of `left,right->output` in NumPy's notation; a letter that has no length is one of an axis of length 1.
    pub fn new(left: &str, right: &str, output: &str, lengths: &BTreeMap<char, usize>) -> Self {
        let [left, right, output] = [left, right, output].map(|word| word.chars().collect());
        Self { left, right, output, lengths: lengths.clone() }
    }

    /// Refuses letters that are not a to z or A to Z, that come twice in one array, that the output alone has, or that have no length;
    /// and lengths of no letter.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(&self) -> Result<(), String> {
        let operands = [&self.left[..], &self.right].concat();
        for word in [&self.left, &self.right, &self.output] {
            if let Some(letter) = word.iter().find(|letter| !letter.is_ascii_alphabetic()) {
                return Err(format!("letters from a to z or A to Z, not {letter:?}"));
            }
            if (1..word.len()).any(|at| word[..at].contains(&word[at])) {
                return Err("each letter at most once in an input and in the output".into());
            }
        }
        if let Some(letter) = self.output.iter().find(|letter| !operands.contains(letter)) {
            return Err(format!("an input with the output's letter {letter}"));
        }
        if let Some(letter) = operands.iter().find(|letter| self.lengths.get(letter).is_none_or(|&length| length == 0))
        {
            return Err(format!("a length of at least 1 for the letter {letter}"));
        }
        match self.lengths.keys().find(|letter| !operands.contains(letter)) {
            Some(letter) => Err(format!("an input with the letter {letter}, which has a length")),
            None => Ok(()),
        }
    }

    /// The numbers of values of an image of the left operand, of the right one and of the output.
    pub fn elements(&self) -> [u128; 3] {
        let length = |letter: &char| self.lengths.get(letter).map_or(1, |&length| length as u128);
        [&self.left, &self.right, &self.output].map(|word| word.iter().map(length).fold(1, u128::saturating_mul))
    }

    /// Those of the left operand's cotangent, given the output's and the right operand.
    pub(crate) fn of_left(&self) -> Self {
        Self { left: self.output.clone(), output: self.left.clone(), ..self.clone() }
    }

    /// Those of the right operand's cotangent, given the left operand and the output's.
    pub(crate) fn of_right(&self) -> Self {
        Self { right: self.output.clone(), output: self.right.clone(), ..self.clone() }
    }

    /// The output's values, for `images` images of it (where 1, the sum over images that the operands have), of operands of one image or
    /// more each.
    fn values<E: Element>(&self, left: (&[E], usize), right: (&[E], usize), images: usize) -> Vec<E> {
        let most = left.1.max(right.1);
        if most == 0 {
            return Vec::new();
        }
        let lengths = self.lengths.iter().map(|(&letter, &length)| (letter, length)).chain([(IMAGES, most)]);
        let letters = Letters::new(lengths.collect());
        let word = |word: &[char], images: usize| {
            (images > 1).then_some(IMAGES).into_iter().chain(word.iter().copied()).collect::<Vec<char>>()
        };
        let operand = |letters: &[char], (values, images)| Operand::new(word(letters, images), values);
        let output = word(&self.output, images);
        letters.sum(operand(&self.left, left), operand(&self.right, right), &output)
    }
}

/// The einsum of `left` (N, H, W, C) and `right` (N, H', W', C'), images of `size`, (height, width, channels). An operand of one image
/// stands for all images of the other.
pub fn einsum<E: Element>(
    tape: &mut Tape<E>,
    subscripts: &Subscripts,
    left: &Batch<E>,
    right: &Batch<E>,
    size: (usize, usize, usize),
) -> Batch<E> {
    let found = [image_len(left), image_len(right), size.0 * size.1 * size.2];
    assert_eq!(found.map(|found| found as u128), subscripts.elements(), "einsum: expected images as the letters say");
    let counts = [shape(left).0, shape(right).0];
    let images = if counts[0] == 1 { counts[1] } else { counts[0] };
    assert!(counts[1] == images || counts[1] == 1, "einsum: expected as many images, or one for all, found {counts:?}");
    let there = on_device(tape, &[left, right], (images, size.0, size.1, size.2), |_, values| {
        there::summed(subscripts, values[0], values[1], images)
    });
    if let Some(y) = there {
        return y;
    }
    let values = subscripts.values((view(left), counts[0]), (view(right), counts[1]), images);
    let y = batch(values, (images, size.0, size.1, size.2));
    record(tape, subscripts, left, right, &y);
    y
}

/// Records the gradients of both operands for that of the output.
fn record<E: Element>(tape: &mut Tape<E>, subscripts: &Subscripts, left: &Batch<E>, right: &Batch<E>, y: &Batch<E>) {
    if !tape.records() {
        return;
    }
    let images = shape(y).0;
    let (subscripts, left, right, y) = (subscripts.clone(), left.clone(), right.clone(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&y);
        let upstream = (&upstream[..], images);
        let counts = [shape(&left).0, shape(&right).0];
        let of_left = subscripts.of_left().values(upstream, (view(&right), counts[1]), counts[0]);
        accumulate(gradients.of(&left), &of_left);
        let of_right = subscripts.of_right().values((view(&left), counts[0]), upstream, counts[1]);
        accumulate(gradients.of(&right), &of_right);
    });
}
