//! Values under other axes, and repeated: reshaping, transposing, joining, expanding, tiling.

use ndarray::{ArrayD, Axis, concatenate};

use super::super::shapes::{places, reshaped, squeezed, unsqueezed};
use super::binary::broadcast;
use super::{AXES, Folded, Folding, lengths, refused};
use crate::store::onnx::Constant;

impl Folding<'_> {
    pub(super) fn reshape(&self) -> Folded<Constant> {
        let input = self.first()?;
        let shape = input.shape();
        let axes = match self.node.operation.as_str() {
            "Reshape" => {
                let target = self.settings("shape", 1)?.unwrap_or_default();
                match self.integer("allowzero", 0) != 0 && target.contains(&0) {
                    true => Some(lengths(&target)?),
                    false => reshaped(shape, &target),
                }
            }
            "Squeeze" => squeezed(shape, self.settings("axes", 1)?.as_deref()),
            "Unsqueeze" => {
                let axes = self.settings("axes", 1)?.unwrap_or_default();
                if axes.len() > AXES { None } else { unsqueezed(shape, &axes) }
            }
            _ => {
                let said = self.integer("axis", 1);
                let axis = if said == shape.len() as i64 { shape.len() } else { super::axis(said, shape.len())? };
                Some(vec![shape[..axis].iter().product(), shape[axis..].iter().product()])
            }
        };
        let axes = axes.ok_or_else(|| refused("axes that fit", format!("{shape:?}")))?;
        let shape = self.room(&axes)?;
        Ok(of_either!(input, array => super::array(shape, super::values(array))?))
    }

    pub(super) fn transpose(&self) -> Folded<Constant> {
        let input = self.first()?;
        let rank = input.shape().len();
        let reversed: Vec<i64> = (0..rank as i64).rev().collect();
        let order = places(self.node.integers("perm").unwrap_or(&reversed), rank);
        let order =
            order.filter(|order| order.len() == rank).ok_or_else(|| refused("an order of the axes", "another"))?;
        self.room(input.shape())?;
        Ok(of_either!(input, array => array.view().permuted_axes(order).as_standard_layout().into_owned()))
    }

    pub(super) fn concat(&self) -> Folded<Constant> {
        let first = self.first()?.shape();
        let axis = self.axis(0, first.len())?;
        let misfit = |error| refused("constants that stand side by side", error);
        let inputs: Vec<&Constant> = self.inputs.iter().copied().flatten().collect();
        if inputs.iter().any(|input| input.shape().len() != first.len()) {
            return Err(refused(format!("constants of {} axes", first.len()), "others"));
        }
        let length = inputs.iter().map(|input| input.shape()[axis]).sum();
        self.room(&[&first[..axis], &[length], &first[axis + 1..]].concat())?;
        let floats: Option<Vec<_>> = inputs
            .iter()
            .map(|input| if let Constant::Floats(array) = input { Some(array.view()) } else { None })
            .collect();
        if let Some(floats) = floats {
            return concatenate(Axis(axis), &floats).map(Constant::Floats).map_err(misfit);
        }
        let whole: Option<Vec<_>> = inputs
            .iter()
            .map(|input| if let Constant::Integers(array) = input { Some(array.view()) } else { None })
            .collect();
        let whole = whole.ok_or_else(|| refused("constants of one type", "floats and whole numbers"))?;
        concatenate(Axis(axis), &whole).map(Constant::Integers).map_err(misfit)
    }

    /// Each axis of length 1 repeated; so is the input where the shape that is asked for is shorter.
    pub(super) fn expand(&self) -> Folded<Constant> {
        let input = self.first()?;
        let target = lengths(&self.settings("shape", 1)?.unwrap_or_default())?;
        let shape = self.room(&broadcast(&[input.shape(), &target])?)?;
        let misfit = || refused(format!("a shape that becomes {target:?}"), format!("{:?}", input.shape()));
        Ok(of_either!(input, array => array.broadcast(shape).ok_or_else(misfit)?.to_owned()))
    }

    /// The whole repeated along each axis.
    pub(super) fn tile(&self) -> Folded<Constant> {
        let input = self.first()?;
        let repeats = lengths(&self.settings("repeats", 1)?.unwrap_or_default())?;
        if repeats.len() != input.shape().len() {
            return Err(refused(format!("{} repeats", input.shape().len()), format!("{repeats:?}")));
        }
        let shape: Vec<usize> =
            input.shape().iter().zip(&repeats).map(|(length, &repeat)| length.saturating_mul(repeat)).collect();
        self.room(&shape)?;
        let mut result = input.clone();
        for (axis, (&length, &long)) in input.shape().iter().zip(&shape).enumerate().filter(|(_, (a, b))| a != b) {
            let indices: Vec<usize> = (0..long).map(|place| place % length).collect();
            result = of_either!(result, array => array.select(Axis(axis), &indices));
        }
        Ok(result)
    }

    /// A matrix of each pair of last axes, of which what lies above or below a diagonal is zero.
    pub(super) fn triangle(&self) -> Folded<Constant> {
        let input = self.first()?;
        let rank = input.shape().len();
        if rank < 2 {
            return Err(refused("matrices", format!("shape {:?}", input.shape())));
        }
        let offset = self.settings("k", 1)?.and_then(|offset| offset.first().copied()).unwrap_or(0);
        let is_upper = self.integer("upper", 1) != 0;
        let is_kept = |row: usize, column: usize| {
            let diagonal = (row as i64).saturating_add(offset);
            if is_upper { column as i64 >= diagonal } else { column as i64 <= diagonal }
        };
        let mut result = input.clone();
        match &mut result {
            Constant::Floats(array) => {
                for (at, value) in array.indexed_iter_mut() {
                    *value = if is_kept(at[rank - 2], at[rank - 1]) { *value } else { 0.0 };
                }
            }
            Constant::Integers(array) => {
                for (at, value) in array.indexed_iter_mut() {
                    *value = if is_kept(at[rank - 2], at[rank - 1]) { *value } else { 0 };
                }
            }
        }
        Ok(result)
    }

    /// The input, and where a second output is asked for, that all of it was kept.
    pub(super) fn dropout(&self) -> Folded<Vec<Constant>> {
        if self.settings("training_mode", 2)?.is_some_and(|mode| mode.iter().any(|&mode| mode != 0)) {
            return Err(refused("training_mode 0", 1));
        }
        let mut outputs = vec![self.first()?.clone()];
        if self.node.outputs.len() > 1 {
            outputs.push(Constant::Integers(ArrayD::from_elem(self.room(outputs[0].shape())?, 1)));
        }
        Ok(outputs)
    }
}
