//! Values by their indices.

use ndarray::{ArrayD, Dimension, IxDyn};

use super::{Folded, Folding, index, refused, values};
use crate::store::onnx::Constant;

impl Folding<'_> {
    /// data[…, indices, …] along an axis.
    pub(super) fn gather(&self) -> Folded<Constant> {
        let (input, wanted) = (self.first()?, self.integers(1)?);
        let shape = input.shape();
        let axis = self.axis(0, shape.len())?;
        let length = shape[axis];
        let indices = wanted.iter().map(|&value| index(value, length)).collect::<Folded<Vec<_>>>()?;
        let inner: usize = shape[axis + 1..].iter().product();
        let outer: usize = shape[..axis].iter().product();
        let shape = self.room(&[&shape[..axis], wanted.shape(), &shape[axis + 1..]].concat())?;
        Ok(of_either!(input, array => {
            let values = values(array);
            let starts = (0..outer).flat_map(|row| indices.iter().map(move |&index| (row * length + index) * inner));
            super::array(shape, starts.flat_map(|start| values[start..start + inner].iter().copied()).collect())?
        }))
    }

    /// data[i, …, indices[i, …, k], …, k] along an axis.
    pub(super) fn gather_elements(&self) -> Folded<Constant> {
        let (input, wanted) = (self.first()?, self.integers(1)?);
        let axis = self.axis(0, input.shape().len())?;
        self.room(&[wanted.shape(), &[2]].concat())?;
        let places = places_of(wanted, axis, input.shape())?;
        Ok(of_either!(input, array => {
            let values = values(array);
            super::array(wanted.raw_dim(), places.iter().map(|&place| values[place]).collect())?
        }))
    }

    /// data[indices[…, :]], the first `batch_dims` axes side by side.
    pub(super) fn gather_nd(&self) -> Folded<Constant> {
        let (input, wanted) = (self.first()?, self.integers(1)?);
        let batch = usize::try_from(self.integer("batch_dims", 0)).unwrap_or(usize::MAX);
        let blocks = Blocks::of(input.shape(), wanted, batch)?;
        let rows = &wanted.shape()[..wanted.ndim() - 1];
        let shape = self.room(&[rows, &input.shape()[batch + blocks.depth..]].concat())?;
        Ok(of_either!(input, array => {
            let values = values(array);
            let starts = blocks.starts.iter().flat_map(|&start| values[start..start + blocks.length].iter().copied());
            super::array(shape, starts.collect())?
        }))
    }
}

/// Parts of an array in row order that rows of indices name.
pub(super) struct Blocks {
    /// Where each begins.
    pub(super) starts: Vec<usize>,
    /// How many values each has.
    pub(super) length: usize,
    /// How many axes an index has.
    pub(super) depth: usize,
}

impl Blocks {
    /// Those of an array of this shape, whose first `batch` axes are those of the indices.
    pub(super) fn of(shape: &[usize], indices: &ArrayD<i64>, batch: usize) -> Folded<Self> {
        let (rows, depth) = match indices.shape() {
            [rows @ .., depth] => (rows, *depth),
            [] => return Err(refused("rows of indices", "one number")),
        };
        let fits = batch <= rows.len() && batch.saturating_add(depth) <= shape.len() && rows[..batch] == shape[..batch];
        if !fits {
            let found = format!("{:?}", indices.shape());
            return Err(refused(format!("indices that fit an array of shape {shape:?}"), found));
        }
        let length: usize = shape[batch + depth..].iter().product();
        let whole: usize = shape[batch..].iter().product();
        let of_batch: usize = rows[batch..].iter().product();
        let values = values(indices);
        let start = |row: usize| -> Folded<usize> {
            let at = values[row * depth..(row + 1) * depth].iter().zip(&shape[batch..]);
            let place = at
                .into_iter()
                .try_fold(0, |place, (&value, &axis)| -> Folded<usize> { Ok(place * axis + index(value, axis)?) })?;
            Ok(row / of_batch * whole + place * length)
        };
        let count: usize = rows.iter().product();
        Ok(Self { starts: (0..count).map(start).collect::<Folded<_>>()?, length, depth })
    }
}

/// Where the values lie in row order that indices along an axis name, one for each index.
pub(super) fn places_of(indices: &ArrayD<i64>, axis: usize, shape: &[usize]) -> Folded<Vec<usize>> {
    let others = indices.shape().iter().zip(shape).enumerate().filter(|(of, _)| *of != axis);
    if indices.ndim() != shape.len() || others.into_iter().any(|(_, (wanted, length))| wanted > length) {
        return Err(refused(format!("indices within {shape:?}"), format!("shape {:?}", indices.shape())));
    }
    let place = |(at, &value): (IxDyn, &i64)| -> Folded<usize> {
        let value = index(value, shape[axis])?;
        let along = at.slice().iter().enumerate().map(|(of, &at)| if of == axis { value } else { at });
        Ok(along.zip(shape).fold(0, |place, (at, &length)| place * length + at))
    };
    indices.indexed_iter().map(place).collect()
}
