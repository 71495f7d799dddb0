//! Operands with letters, and how they are multiplied: as matrices where they lie, where they must be copied first, or directly.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::direct::direct;
use crate::ops::loops::{Loop, merged};
use crate::ops::product::{Matrix, products};
use crate::ops::rearrange::Permutation;
use crate::tensor::Element;

/// The letter that counts images.
pub(super) const IMAGES: char = '*';

/// Products of fewer rows or columns are summed directly.
const LEAST_SIDE: usize = 8;

/// An array whose axes have letters, the outermost first.
pub(super) struct Operand<'a, E: Element> {
    letters: Vec<char>,
    values: Cow<'a, [E]>,
}

impl<'a, E: Element> Operand<'a, E> {
    pub(super) fn new(letters: Vec<char>, values: &'a [E]) -> Self {
        Self { letters, values: Cow::Borrowed(values) }
    }

    fn has(&self, letter: char) -> bool {
        self.letters.contains(&letter)
    }
}

/// The length of the axis of each letter.
pub(super) struct Letters {
    lengths: BTreeMap<char, usize>,
}

impl Letters {
    pub(super) fn new(lengths: BTreeMap<char, usize>) -> Self {
        Self { lengths }
    }

    fn length(&self, letter: char) -> usize {
        self.lengths.get(&letter).copied().unwrap_or(1)
    }

    /// The number of values of an array with these letters.
    fn count(&self, letters: &[char]) -> usize {
        letters.iter().map(|&letter| self.length(letter)).product()
    }

    /// How far apart the places along a letter's axis are in an array; 0 where it does not have the letter.
    fn stride(&self, array: &[char], letter: char) -> usize {
        let place = array.iter().position(|&other| other == letter);
        place.map_or(0, |place| self.count(&array[place + 1..]))
    }

    /// Loops over these letters, with the strides of arrays.
    fn loops<const K: usize>(&self, letters: &[char], arrays: [&[char]; K]) -> Vec<Loop<K>> {
        let each = |&letter: &char| Loop {
            steps: self.length(letter),
            strides: arrays.map(|array| self.stride(array, letter)),
        };
        letters.iter().map(each).collect()
    }

    /// Length and stride of the one axis that these letters are in an array, in this order; `None` where they are not one.
    fn as_one(&self, letters: &[char], array: &[char]) -> Option<(usize, usize)> {
        match merged(self.loops(letters, [array]))[..] {
            [] => Some((1, 1)),
            [Loop { steps, strides: [stride] }] => Some((steps, stride)),
            _ => None,
        }
    }

    /// The same array with its axes in the order of `letters`.
    fn in_order<'a, E: Element>(&self, array: &Operand<'_, E>, letters: Vec<char>) -> Operand<'a, E> {
        let axes: Vec<usize> = array.letters.iter().map(|&letter| self.length(letter)).collect();
        let place = |letter: &char| array.letters.iter().position(|other| other == letter).unwrap_or_default();
        let order: Vec<usize> = letters.iter().map(place).collect();
        Operand { letters, values: Cow::Owned(Permutation::new(&axes, &order).apply(&array.values)) }
    }

    /// The array summed over the letters that are not kept.
    fn summed<'a, E: Element>(&self, array: Operand<'a, E>, kept: impl Fn(char) -> bool) -> Operand<'a, E> {
        let (kept, dropped): (Vec<char>, Vec<char>) = array.letters.iter().partition(|&&letter| kept(letter));
        if dropped.is_empty() {
            return array;
        }
        let loops = |letters| self.loops(letters, [&array.letters, &[]]);
        let values = direct(&array.values, &[E::one()], &loops(&kept), &loops(&dropped));
        Operand { letters: kept, values: Cow::Owned(values) }
    }

    /// The sum over the letters that the output does not have of the products along all others. A letter that the output alone has
    /// repeats it.
    pub(super) fn sum<E: Element>(&self, left: Operand<E>, right: Operand<E>, output: &[char]) -> Vec<E> {
        let known: Vec<char> = output.iter().copied().filter(|&letter| left.has(letter) || right.has(letter)).collect();
        let left = self.summed(left, |letter| right.has(letter) || known.contains(&letter));
        let right = self.summed(right, |letter| left.has(letter) || known.contains(&letter));
        let values = self.product(left, right, &known);
        match known.len() == output.len() {
            true => values,
            false => direct(&values, &[E::one()], &self.loops(output, [&known, &[]]), &[]),
        }
    }

    /// As [`Letters::sum`], where each letter is in the output, or in both operands, and the output has no letter alone.
    fn product<E: Element>(&self, left: Operand<E>, right: Operand<E>, output: &[char]) -> Vec<E> {
        // Images are never rows, even of an operand that meets one image of the other, so that no value depends on their number.
        let is_row = |letter: char| letter != IMAGES && !right.has(letter);
        let is_column = |letter: char| letter != IMAGES && !left.has(letter);
        // The output is written row by row.
        if output.iter().rev().find(|&&letter| self.length(letter) > 1).is_some_and(|&last| is_row(last)) {
            return self.product(right, left, output);
        }
        let of_output =
            |is: &dyn Fn(char) -> bool| output.iter().copied().filter(|&letter| is(letter)).collect::<Vec<char>>();
        let (rows, columns) = (of_output(&is_row), of_output(&is_column));
        let both = of_output(&|letter| !is_row(letter) && !is_column(letter));
        let depth: Vec<char> = left.letters.iter().copied().filter(|letter| !output.contains(letter)).collect();
        if self.count(&rows).min(self.count(&columns)) < LEAST_SIDE || self.count(&depth) == 1 {
            let operands = [&left.letters[..], &right.letters];
            return direct(&left.values, &right.values, &self.loops(output, operands), &self.loops(&depth, operands));
        }
        self.matrix_products(left, right, output, [both, rows, columns, depth])
    }

    /// A matrix product for each place along the letters that both operands have.
    fn matrix_products<E: Element>(
        &self,
        left: Operand<E>,
        right: Operand<E>,
        output: &[char],
        [both, rows, columns, depth]: [Vec<char>; 4],
    ) -> Vec<E> {
        let (left, of_left) = self.as_matrices(left, &both, [&rows, &depth]);
        let (right, of_right) = self.as_matrices(right, &both, [&depth, &columns]);
        let in_place = self.as_one(&rows, output).zip(self.as_one(&columns, output).filter(|&(_, stride)| stride == 1));
        let packed = [&both[..], &rows, &columns].concat();
        let (target, row_stride) = match in_place {
            Some(((_, row_stride), _)) => (output, row_stride),
            None => (&packed[..], self.count(&columns)),
        };
        let mut values = vec![E::zero(); self.count(output)];
        products(
            &mut values,
            row_stride,
            Matrix::spread(&left.values, of_left[0], of_left[1]),
            Matrix::spread(&right.values, of_right[0], of_right[1]),
            &self.loops(&both, [&left.letters, &right.letters, target]),
        );
        match in_place {
            Some(_) => values,
            None => self.in_order(&Operand::new(packed, &values), output.to_vec()).values.into_owned(),
        }
    }

    /// An array of matrices with these letters of rows and columns, and the lengths and strides of both; copied where it has them not.
    fn as_matrices<'a, E: Element>(
        &self,
        array: Operand<'a, E>,
        both: &[char],
        [rows, columns]: [&[char]; 2],
    ) -> (Operand<'a, E>, [(usize, usize); 2]) {
        if let Some((rows, columns)) = self.as_one(rows, &array.letters).zip(self.as_one(columns, &array.letters)) {
            return (array, [rows, columns]);
        }
        let before = both.iter().copied().filter(|&letter| array.has(letter));
        let letters = before.chain(rows.iter().copied()).chain(columns.iter().copied()).collect();
        let [height, width] = [self.count(rows), self.count(columns)];
        (self.in_order(&array, letters), [(height, width), (width, 1)])
    }
}
