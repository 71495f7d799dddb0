//! Which values are the largest, and which are not zero.

use std::cmp::Ordering;

use ndarray::{ArrayD, IxDyn};

use super::reduce::{Rows, reduced};
use super::{Folded, Folding, refused};
use crate::store::onnx::Constant;

impl Folding<'_> {
    /// The k largest or smallest values along an axis, and their places; of equal ones the first.
    pub(super) fn largest(&self) -> Folded<Vec<Constant>> {
        let input = self.first()?;
        let shape = input.shape();
        let axis = self.axis(-1, shape.len())?;
        let count = match self.get(1) {
            Some(_) => self.integers(1)?.first().copied(),
            None => self.node.integer("k"),
        };
        let count = count.and_then(|count| usize::try_from(count).ok()).filter(|&count| count <= shape[axis]);
        let count = count.ok_or_else(|| refused(format!("at most {} values", shape[axis]), "more"))?;
        let is_largest = self.integer("largest", 1) != 0;
        // Values, places, and a row's order.
        self.room(&[shape, &[3]].concat())?;
        // The axis is the last of the rows, and comes back to its place.
        let others: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).collect();
        let turned = IxDyn(&others.iter().map(|&axis| shape[axis]).chain([count]).collect::<Vec<_>>());
        let mut back: Vec<usize> = (0..others.len()).collect();
        back.insert(axis, others.len());
        fn restored<T: Copy>(turned: &IxDyn, back: &[usize], values: Vec<T>) -> Folded<ArrayD<T>> {
            let array = super::array(turned.clone(), values)?;
            Ok(array.permuted_axes(IxDyn(back)).as_standard_layout().into_owned())
        }
        let (values, places) = match input {
            Constant::Floats(array) => {
                let (values, places) = extremes(array, axis, count, is_largest, f32::total_cmp);
                (Constant::Floats(restored(&turned, &back, values)?), places)
            }
            Constant::Integers(array) => {
                let (values, places) = extremes(array, axis, count, is_largest, i64::cmp);
                (Constant::Integers(restored(&turned, &back, values)?), places)
            }
        };
        Ok(vec![values, Constant::Integers(restored(&turned, &back, places)?)])
    }

    /// The place of the largest or smallest value along an axis; of equal ones the first, or the last.
    pub(super) fn arg_extreme(&self) -> Folded<Constant> {
        let input = self.first()?;
        let axis = self.axis(0, input.shape().len())?;
        if input.shape()[axis] == 0 {
            return Err(refused("values along the axis", "none"));
        }
        self.room(input.shape())?;
        let takes_last = self.integer("select_last_index", 0) != 0;
        let wanted = if self.node.operation == "ArgMax" { Ordering::Greater } else { Ordering::Less };
        fn place<T: Copy>(row: &[T], compare: impl Fn(&T, &T) -> Ordering, wanted: Ordering, takes_last: bool) -> i64 {
            let better = |best: usize, place: usize| match compare(&row[place], &row[best]) {
                Ordering::Equal => takes_last,
                order => order == wanted,
            };
            (1..row.len()).fold(0, |best, place| if better(best, place) { place } else { best }) as i64
        }
        let places = match input {
            Constant::Floats(array) => {
                let rows = Rows::of(array, &[axis]);
                let compare = |a: &f32, b: &f32| a.partial_cmp(b).unwrap_or_else(|| a.total_cmp(b));
                rows.each().map(|row| place(row, compare, wanted, takes_last)).collect()
            }
            Constant::Integers(array) => {
                let rows = Rows::of(array, &[axis]);
                rows.each().map(|row| place(row, i64::cmp, wanted, takes_last)).collect()
            }
        };
        let shape = reduced(input.shape(), &[axis], self.integer("keepdims", 1) != 0);
        super::array(IxDyn(&shape), places).map(Constant::Integers)
    }

    /// The places of values that are not zero, a column each, in row order.
    pub(super) fn non_zero(&self) -> Folded<Constant> {
        let input = self.first()?;
        fn places<T: Copy>(array: &ArrayD<T>, is_zero: impl Fn(T) -> bool) -> Vec<IxDyn> {
            array.indexed_iter().filter(|(_, value)| !is_zero(**value)).map(|(at, _)| at).collect()
        }
        // Places of few axes take some ten numbers each while they are gathered.
        self.room(&[input.shape(), &[12]].concat())?;
        let places = match input {
            Constant::Floats(array) => places(array, |value| value == 0.0),
            Constant::Integers(array) => places(array, |value| value == 0),
        };
        let rank = input.shape().len();
        let shape = self.room(&[rank, places.len()])?;
        let values = (0..rank).flat_map(|axis| places.iter().map(move |at| at[axis] as i64));
        super::array(shape, values.collect()).map(Constant::Integers)
    }
}

/// The first `count` values of each row in their order, and where they stand.
fn extremes<T: Copy>(
    array: &ArrayD<T>,
    axis: usize,
    count: usize,
    is_largest: bool,
    compare: impl Fn(&T, &T) -> Ordering,
) -> (Vec<T>, Vec<i64>) {
    let mut values = Vec::new();
    let mut places = Vec::new();
    for row in Rows::of(array, &[axis]).each() {
        let mut order: Vec<usize> = (0..row.len()).collect();
        // The sort is stable.
        order.sort_by(|&a, &b| if is_largest { compare(&row[b], &row[a]) } else { compare(&row[a], &row[b]) });
        values.extend(order[..count].iter().map(|&place| row[place]));
        places.extend(order[..count].iter().map(|&place| place as i64));
    }
    (values, places)
}
