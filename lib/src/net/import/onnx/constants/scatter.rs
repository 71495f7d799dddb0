//! Values put at their indices.

use ndarray::ArrayD;

use super::binary::Number;
use super::gather::{Blocks, places_of};
use super::{Folded, Folding, refused, values};
use crate::store::onnx::Constant;

/// What becomes of the value that is there.
#[derive(Clone, Copy)]
enum Reduction {
    None,
    Add,
    Mul,
    Max,
    Min,
}

impl Reduction {
    /// `None` where 64 bits do not hold it.
    fn of<T: Number>(self, there: T, new: T) -> Option<T> {
        Some(match self {
            Self::None => new,
            Self::Add => return there.plus(new),
            Self::Mul => return there.times(new),
            Self::Max => {
                if new > there {
                    new
                } else {
                    there
                }
            }
            Self::Min => {
                if new < there {
                    new
                } else {
                    there
                }
            }
        })
    }
}

impl Folding<'_> {
    fn reduction(&self) -> Folded<Reduction> {
        Ok(match self.node.text("reduction").unwrap_or("none") {
            "none" => Reduction::None,
            "add" => Reduction::Add,
            "mul" => Reduction::Mul,
            "max" => Reduction::Max,
            "min" => Reduction::Min,
            other => return Err(refused("reduction none, add, mul, max or min", other)),
        })
    }

    /// data[i, …, indices[i, …, k], …, k] = updates[i, …, k] along an axis.
    pub(super) fn scatter_elements(&self) -> Folded<Constant> {
        let (input, indices, updates) = (self.first()?, self.integers(1)?, self.input(2)?);
        let axis = self.axis(0, input.shape().len())?;
        let (places, reduction) = (places_of(indices, axis, input.shape())?, self.reduction()?);
        if updates.shape() != indices.shape() {
            return Err(refused(format!("updates of shape {:?}", indices.shape()), format!("{:?}", updates.shape())));
        }
        self.put(updates, &places, 1, reduction)
    }

    /// data[indices[…, :]] = updates[…].
    pub(super) fn scatter_nd(&self) -> Folded<Constant> {
        let (input, indices, updates) = (self.first()?, self.integers(1)?, self.input(2)?);
        let (blocks, reduction) = (Blocks::of(input.shape(), indices, 0)?, self.reduction()?);
        let rows = &indices.shape()[..indices.ndim() - 1];
        let expected = [rows, &input.shape()[blocks.depth..]].concat();
        if updates.shape() != expected {
            return Err(refused(format!("updates of shape {expected:?}"), format!("{:?}", updates.shape())));
        }
        self.put(updates, &blocks.starts, blocks.length, reduction)
    }

    /// The first input, with parts of so many updates put where they begin.
    fn put(&self, updates: &Constant, starts: &[usize], length: usize, reduction: Reduction) -> Folded<Constant> {
        let input = self.first()?;
        let shape = self.room(input.shape())?;
        let large = || refused("numbers of 64 bits", "larger ones");
        match (input, updates) {
            (Constant::Floats(array), Constant::Floats(updates)) => {
                let values = put(array, starts, length, updates, reduction).ok_or_else(large)?;
                super::array(shape, values).map(Constant::Floats)
            }
            (Constant::Integers(array), Constant::Integers(updates)) => {
                let values = put(array, starts, length, updates, reduction).ok_or_else(large)?;
                super::array(shape, values).map(Constant::Integers)
            }
            _ => Err(refused("updates of the data's type", "another")),
        }
    }
}

fn put<T: Number>(
    array: &ArrayD<T>,
    starts: &[usize],
    length: usize,
    updates: &ArrayD<T>,
    reduction: Reduction,
) -> Option<Vec<T>> {
    let mut result = values(array);
    let places = starts.iter().flat_map(|&start| start..start + length);
    for (place, &new) in places.zip(updates) {
        result[place] = reduction.of(result[place], new)?;
    }
    Some(result)
}
