//! Many values of a constant as one: sums, products, extremes, norms; and sums so far.

use ndarray::{ArrayD, Axis, IxDyn};

use super::super::shapes::places;
use super::binary::Number;
use super::{Folded, Folding, axis, refused};
use crate::store::onnx::Constant;

impl Folding<'_> {
    pub(super) fn reduce(&self) -> Folded<Constant> {
        let input = self.first()?;
        let rank = input.shape().len();
        let said = self.settings("axes", 1)?.filter(|axes| !axes.is_empty());
        let axes = match said {
            Some(axes) => places(&axes, rank).ok_or_else(|| refused(format!("axes of {rank}"), format!("{axes:?}")))?,
            None if self.integer("noop_with_empty_axes", 0) != 0 => return Ok(input.clone()),
            None => (0..rank).collect(),
        };
        let shape = self.room(&reduced(input.shape(), &axes, self.integer("keepdims", 1) != 0))?;
        self.room(input.shape())?;
        let operation = self.node.operation.as_str();
        let unknown = || refused("an operation that is known on constants", operation);
        match input {
            Constant::Floats(array) => {
                let reduction = floats(operation).ok_or_else(unknown)?;
                let results = Rows::of(array, &axes).each().map(|row| reduction(row) as f32).collect();
                super::array(shape, results).map(Constant::Floats)
            }
            Constant::Integers(array) => {
                let reduction = integers(operation).ok_or_else(unknown)?;
                let results: Option<Vec<i64>> = Rows::of(array, &axes).each().map(reduction).collect();
                let results =
                    results.ok_or_else(|| refused("numbers of 64 bits", "larger ones, or the mean of none"))?;
                super::array(shape, results).map(Constant::Integers)
            }
        }
    }

    /// The sum of all values up to each along an axis, or from each on; itself included or not.
    pub(super) fn cumulated(&self) -> Folded<Constant> {
        let input = self.first()?;
        let said = self.settings("axis", 1)?.and_then(|axis| axis.first().copied()).unwrap_or(0);
        let axis = axis(said, input.shape().len())?;
        self.room(input.shape())?;
        let settings = [self.integer("exclusive", 0) != 0, self.integer("reverse", 0) != 0];
        let sums = match input {
            Constant::Floats(array) => cumulated(array, axis, settings).map(Constant::Floats),
            Constant::Integers(array) => cumulated(array, axis, settings).map(Constant::Integers),
        };
        sums.ok_or_else(|| refused("sums of 64 bits", "larger ones"))
    }
}

/// The shape without these axes, or with their length 1.
pub(super) fn reduced(shape: &[usize], axes: &[usize], keeps: bool) -> Vec<usize> {
    let kept = (0..shape.len()).filter(|axis| keeps || !axes.contains(axis));
    kept.map(|axis| if axes.contains(&axis) { 1 } else { shape[axis] }).collect()
}

fn cumulated<T: Number>(array: &ArrayD<T>, axis: usize, [exclusive, reverse]: [bool; 2]) -> Option<ArrayD<T>> {
    let mut result = array.clone();
    for mut lane in result.lanes_mut(Axis(axis)) {
        let mut sum = T::default();
        let count = lane.len();
        for place in 0..count {
            let value = &mut lane[if reverse { count - 1 - place } else { place }];
            let next = sum.plus(*value)?;
            *value = if exclusive { sum } else { next };
            sum = next;
        }
    }
    Some(result)
}

/// The values over some axes, a row for each place of the others.
pub(super) struct Rows<T> {
    values: Vec<T>,
    length: usize,
    count: usize,
}

impl<T: Copy> Rows<T> {
    pub(super) fn of(array: &ArrayD<T>, axes: &[usize]) -> Self {
        let kept: Vec<usize> = (0..array.ndim()).filter(|axis| !axes.contains(axis)).collect();
        let count = |axes: &[usize]| axes.iter().map(|&axis| array.shape()[axis]).product();
        let values = array.view().permuted_axes(IxDyn(&[&kept, axes].concat())).iter().copied().collect();
        Self { values, length: count(axes), count: count(&kept) }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &[T]> {
        (0..self.count).map(|row| &self.values[row * self.length..(row + 1) * self.length])
    }
}

fn floats(operation: &str) -> Option<fn(&[f32]) -> f64> {
    fn sum(row: &[f32], f: impl Fn(f64) -> f64) -> f64 {
        row.iter().map(|&value| f(f64::from(value))).sum()
    }
    fn largest(row: &[f32]) -> f64 {
        row.iter()
            .map(|&value| f64::from(value))
            .fold(f64::NEG_INFINITY, |a, b| if a.is_nan() || a > b { a } else { b })
    }
    Some(match operation {
        "ReduceSum" => |row| sum(row, |x| x),
        "ReduceMean" => |row| sum(row, |x| x) / row.len() as f64,
        "ReduceMax" => largest,
        "ReduceMin" => {
            |row| row.iter().map(|&x| f64::from(x)).fold(f64::INFINITY, |a, b| if a.is_nan() || a < b { a } else { b })
        }
        "ReduceProd" => |row| row.iter().map(|&value| f64::from(value)).product(),
        "ReduceL1" => |row| sum(row, f64::abs),
        "ReduceL2" => |row| sum(row, |x| x * x).sqrt(),
        "ReduceSumSquare" => |row| sum(row, |x| x * x),
        "ReduceLogSum" => |row| sum(row, |x| x).ln(),
        "ReduceLogSumExp" => |row| match largest(row) {
            // Of values that are all infinite, the difference to the largest is no number.
            extreme if extreme.is_infinite() => extreme,
            extreme => extreme + sum(row, |x| (x - extreme).exp()).ln(),
        },
        _ => return None,
    })
}

/// What becomes of a row; `None` where 64 bits do not hold it.
type OfRow = fn(&[i64]) -> Option<i64>;

fn integers(operation: &str) -> Option<OfRow> {
    fn sum(row: &[i64], f: impl Fn(i64) -> Option<i64>) -> Option<i64> {
        row.iter().try_fold(0i64, |sum, &value| sum.checked_add(f(value)?))
    }
    Some(match operation {
        "ReduceSum" => |row| sum(row, Some),
        "ReduceMean" => |row| sum(row, Some)?.checked_div(row.len() as i64),
        "ReduceMax" => |row| Some(row.iter().copied().max().unwrap_or(i64::MIN)),
        "ReduceMin" => |row| Some(row.iter().copied().min().unwrap_or(i64::MAX)),
        "ReduceProd" => |row| row.iter().try_fold(1i64, |product, &value| product.checked_mul(value)),
        "ReduceL1" => |row| sum(row, i64::checked_abs),
        "ReduceL2" => |row| Some((sum(row, |value| value.checked_mul(value))? as f64).sqrt() as i64),
        "ReduceSumSquare" => |row| sum(row, |value| value.checked_mul(value)),
        _ => return None,
    })
}
