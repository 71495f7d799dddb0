//! Sums along one axis: each place of the result is a weighted sum of places of the input, the same for all else; (N, H, W, C).
//!
//! A table says which places, and with which weights. Picked, mirrored and repeated values are of this kind (one place of weight 1), and
//! interpolation. The transposed map is that of the transposed table.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::along::{Table, along};
//! let x = batch(vec![1.0f64, 2.0, 3.0], (1, 1, 3, 1));
//! let (mirror, width) = (Table::of_places(&[2, 1, 0], 3), 2);
//! assert_eq!(view(&along(&mut Tape::off(), &x, width, &mirror)), [3.0, 2.0, 1.0]);
//! let means = Table { length: 3, rows: vec![vec![(0, 0.5), (1, 0.5)], vec![(1, 0.5), (2, 0.5)]] };
//! assert_eq!(view(&along(&mut Tape::off(), &x, width, &means)), [1.5, 2.5]);
//! ```

use std::sync::Arc;

use obverse_engine::{Program, Variable};

use super::{Kernel, record_transpose, vectorised};
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, filled_in_chunks, shape, view};

/// What each place along an axis is the weighted sum of.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The number of places of the input.
    pub length: usize,
    /// For each place of the result the places of the input, each with its weight; none for a zero.
    pub rows: Vec<Vec<(usize, f64)>>,
}

impl Table {
    /// Each place is one of the input's, of which there are `length`.
    pub fn of_places(places: &[usize], length: usize) -> Self {
        Self { length, rows: places.iter().map(|&place| vec![(place, 1.0)]).collect() }
    }

    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.length == self.rows.len() && self.rows.iter().enumerate().all(|(place, row)| row[..] == [(place, 1.0)])
    }

    /// The table of the transposed map.
    pub fn transposed(&self) -> Self {
        let mut rows = vec![Vec::new(); self.length];
        for (place, row) in self.rows.iter().enumerate() {
            row.iter().for_each(|&(from, weight)| rows[from].push((place, weight)));
        }
        Self { length: self.rows.len(), rows }
    }

    /// The sums of arrays (outer, length, inner), for devices.
    fn there<'p>(&self, program: &'p Program, x: Variable<'p>, outer: usize, inner: usize) -> Variable<'p> {
        let x = x.reshape(&[outer, self.length, inner]);
        let single = |row: &Vec<(usize, f64)>| match row[..] {
            [(place, 1.0)] => u32::try_from(place).ok(),
            _ => None,
        };
        if let Some(places) = self.rows.iter().map(single).collect::<Option<Arc<[u32]>>>() {
            return x.take(1, places);
        }
        let mut matrix = vec![0.0; self.rows.len() * self.length];
        for (row, terms) in self.rows.iter().enumerate() {
            terms.iter().for_each(|&(from, weight)| matrix[row * self.length + from] += weight);
        }
        let matrix = program.constant(&matrix, &[1, self.rows.len(), self.length]);
        matrix.expand(&[outer, self.rows.len(), self.length]).matmul(x)
    }

    /// The sums of arrays (…, length, inner).
    fn sums<E: Element>(&self, values: &[E], inner: usize) -> Vec<E> {
        let terms = self.rows.iter().flatten().map(|&(from, weight)| (from * inner, E::of(weight))).collect();
        let ends = self.rows.iter().scan(0, |end, row| {
            *end += row.len();
            Some(*end)
        });
        let flat = Flat { terms, ends: ends.collect(), inner, outer: self.length * inner };
        let outer = values.len() / flat.outer.max(1);
        let (at_once, nothing) = (GRAIN.div_ceil(inner), || ());
        filled_in_chunks(outer * self.rows.len() * inner, at_once * inner, nothing, |(), number, result| {
            vectorised::<Sums, _>((values, &flat, number * at_once, result));
        })
    }
}

/// Each place along `axis` of x as the table says; the axes of a batch are 1 for height, 2 for width, 3 for channels.
pub fn along<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, axis: usize, table: &Table) -> Batch<E> {
    let (n, h, w, c) = shape(x);
    let mut lengths = [n, h, w, c];
    assert_eq!(lengths[axis], table.length, "along: expected as many places along axis {axis} as the table reads");
    if table.is_identity() {
        return x.clone();
    }
    let inner = lengths[axis + 1..].iter().product();
    lengths[axis] = table.rows.len();
    let outer = [n, h, w, c][..axis].iter().product();
    let there = on_device(tape, &[x], lengths.into(), |program, x| table.there(program, x[0], outer, inner));
    if let Some(y) = there {
        return y;
    }
    let y = batch(table.sums(view(x), inner), lengths.into());
    let table = table.clone();
    record_transpose(tape, x, &y, move |upstream| table.transposed().sums(upstream, inner));
    y
}

/// A table for arrays with some values within each place.
struct Flat<E> {
    /// Where the values of each place that is read begin, and its weight: those of all rows.
    terms: Vec<(usize, E)>,
    /// Where each row's terms end.
    ends: Vec<usize>,
    /// Values within a place.
    inner: usize,
    /// Values of all places that are read.
    outer: usize,
}

/// Fills some places of the result, from this number on.
struct Sums;

impl<E: Element> Kernel<(&[E], &Flat<E>, usize, &mut [E])> for Sums {
    type Output = ();

    #[inline(always)]
    fn run((values, flat, first, result): (&[E], &Flat<E>, usize, &mut [E])) {
        let rows = flat.ends.len();
        let (mut row, mut start) = (first % rows, first / rows * flat.outer);
        for result in result.chunks_exact_mut(flat.inner) {
            let terms = &flat.terms[row.checked_sub(1).map_or(0, |before| flat.ends[before])..flat.ends[row]];
            for (number, &(from, weight)) in terms.iter().enumerate() {
                let values = &values[start + from..][..flat.inner];
                let pairs = result.iter_mut().zip(values);
                match number {
                    0 => pairs.for_each(|(result, &value)| *result = weight * value),
                    _ => pairs.for_each(|(result, &value)| *result += weight * value),
                }
            }
            row += 1;
            if row == rows {
                (row, start) = (0, start + flat.outer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{assert_close, check_directions, normal};

    fn table(length: usize) -> Table {
        let rows = vec![vec![(0, 0.5), (length - 1, -2.0)], vec![], vec![(1, 1.0)], vec![(1, 0.25), (0, 3.0)]];
        Table { length, rows }
    }

    #[test]
    fn the_sums_along_every_axis_are_those_of_the_definition() {
        // Many values, for several chunks of them.
        let size = [3, 40, 50, 11];
        let x: Batch<f64> = normal("x", size.into());
        let at =
            |place: [usize; 4]| view(&x)[((place[0] * size[1] + place[1]) * size[2] + place[2]) * size[3] + place[3]];
        for axis in 1..4 {
            let table = table(size[axis]);
            let y = along(&mut Tape::off(), &x, axis, &table);
            let mut to = size;
            to[axis] = 4;
            assert_eq!(shape(&y), to.into());
            let place = |number: usize| {
                let mut rest = number;
                let mut place = to;
                place.iter_mut().rev().for_each(|each| (*each, rest) = (rest % *each, rest / *each));
                place
            };
            let value = |number: usize| {
                let place = place(number);
                let from = |from| std::array::from_fn(|each| if each == axis { from } else { place[each] });
                table.rows[place[axis]].iter().map(|&(place, weight)| weight * at(from(place))).sum::<f64>()
            };
            let expected: Vec<f64> = (0..view(&y).len()).map(value).collect();
            assert_close(view(&y), &expected, 1e-15);
        }
    }

    #[test]
    fn the_directions_are_transposed_along_every_axis() {
        for axis in 1..4 {
            let table = table([2, 3, 4, 2][axis]);
            check_directions(
                &normal("x", (2, 3, 4, 2)),
                |tape, x| along(tape, x, axis, &table),
                |tape, cotangent, _| along(tape, cotangent, axis, &table.transposed()),
            );
        }
    }

    #[test]
    fn places_are_moved_to_the_bit() {
        let x: Batch<f32> = batch(vec![-0.0, f32::NAN, f32::INFINITY], (1, 3, 1, 1));
        let y = along(&mut Tape::off(), &x, 1, &Table::of_places(&[2, 0, 1, 0], 3));
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(view(&y)), bits(&[f32::INFINITY, -0.0, f32::NAN, -0.0]));
        assert!(Table::of_places(&[0, 1, 2], 3).is_identity() && !Table::of_places(&[0, 1], 3).is_identity());
    }
}
