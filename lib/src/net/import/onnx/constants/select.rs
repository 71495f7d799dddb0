//! Places of constants that are kept, turned round or centred.

use ndarray::{ArrayD, Axis, IxDyn};

use super::super::shapes::places;
use super::parts::taken;
use super::{Folded, Folding, axis, lengths, refused};
use crate::store::onnx::Constant;

impl Folding<'_> {
    /// The places of an axis, or of all values, where a condition holds.
    pub(super) fn compressed(&self) -> Folded<Constant> {
        let (input, condition) = (self.first()?, self.integers(1)?);
        let kept = |length: usize| -> Vec<usize> {
            condition
                .iter()
                .take(length)
                .enumerate()
                .filter(|(_, holds)| **holds != 0)
                .map(|(place, _)| place)
                .collect()
        };
        self.room(input.shape())?;
        Ok(match self.node.integer("axis") {
            Some(said) => {
                let axis = axis(said, input.shape().len())?;
                let kept = kept(input.shape()[axis]);
                of_either!(input, array => array.select(Axis(axis), &kept))
            }
            None => of_either!(input, array => {
                let all: Vec<_> = array.iter().copied().collect();
                kept(all.len()).into_iter().map(|place| all[place]).collect::<ndarray::Array1<_>>().into_dyn()
            }),
        })
    }

    /// The first so many places of an axis turned round, for each place of another.
    pub(super) fn reversed(&self) -> Folded<Constant> {
        let (input, counts) = (self.first()?, self.integers(1)?);
        let rank = input.shape().len();
        let [rows, steps] = [axis(self.integer("batch_axis", 1), rank)?, axis(self.integer("time_axis", 0), rank)?];
        let counts = lengths(&counts.iter().copied().collect::<Vec<_>>())?;
        if rows == steps
            || counts.len() != input.shape()[rows]
            || counts.iter().any(|&count| count > input.shape()[steps])
        {
            return Err(refused(format!("lengths that fit {:?}", input.shape()), format!("{counts:?}")));
        }
        self.room(input.shape())?;
        Ok(of_either!(input, array => ArrayD::from_shape_fn(array.raw_dim(), |place| {
            let mut place = place.clone();
            if place[steps] < counts[place[rows]] {
                place[steps] = counts[place[rows]] - 1 - place[steps];
            }
            array[place]
        })))
    }

    /// The middle of each axis, or zeros around it.
    pub(super) fn centred(&self) -> Folded<Constant> {
        let input = self.first()?;
        let rank = input.shape().len();
        let target = lengths(&self.integers(1)?.iter().copied().collect::<Vec<_>>())?;
        let axes = match self.node.integers("axes") {
            Some(axes) => places(axes, rank),
            None => Some((0..rank).collect()),
        };
        let axes = axes.filter(|axes| axes.len() == target.len());
        let axes = axes.ok_or_else(|| refused(format!("a length for each of {rank} axes"), format!("{target:?}")))?;
        let mut result = input.clone();
        for (&axis, &wanted) in axes.iter().zip(&target) {
            let mut shape = result.shape().to_vec();
            let length = std::mem::replace(&mut shape[axis], wanted);
            self.room(&shape)?;
            let (cut, added) = (length.saturating_sub(wanted) / 2, wanted.saturating_sub(length) / 2);
            let source = |place: usize| (place + cut).checked_sub(added).filter(|&source| source < length);
            let sources: Vec<Option<usize>> = (0..wanted).map(source).collect();
            result = match result {
                Constant::Floats(array) => {
                    Constant::Floats(taken(&array, axis, &sources, ArrayD::zeros(IxDyn(&shape))))
                }
                Constant::Integers(array) => {
                    Constant::Integers(taken(&array, axis, &sources, ArrayD::zeros(IxDyn(&shape))))
                }
            };
        }
        Ok(result)
    }
}
