//! Parts of constants, and constants with more around them: slices, splits, padding.

use ndarray::{ArrayD, Axis};

use super::super::shapes::{places, steps};
use super::{Folded, Folding, lengths, refused};
use crate::store::onnx::Constant;

impl Folding<'_> {
    pub(super) fn slice(&self) -> Folded<Constant> {
        let mut result = self.first()?.clone();
        let shape = result.shape().to_vec();
        let steps = steps(
            &shape,
            [
                self.settings("starts", 1)?,
                self.settings("ends", 2)?,
                self.settings("axes", 3)?,
                self.settings("steps", 4)?,
            ],
        );
        for (axis, range) in steps.ok_or_else(|| refused("a slice that fits", format!("{shape:?}")))? {
            let indices: Vec<usize> = range.indices().collect();
            result = of_either!(result, array => array.select(Axis(axis), &indices));
        }
        Ok(result)
    }

    /// Parts along an axis, of lengths that are said, or as equal as their number allows, the last the shortest.
    pub(super) fn split(&self) -> Folded<Vec<Constant>> {
        let input = self.first()?;
        let axis = self.axis(0, input.shape().len())?;
        let length = input.shape()[axis];
        let parts = match self.settings("split", 1)? {
            Some(parts) => lengths(&parts)?,
            None => {
                let count = self.integer("num_outputs", self.node.outputs.len() as i64);
                let count = usize::try_from(count).ok().filter(|count| (1..=length.max(1)).contains(count));
                let count = count.ok_or_else(|| refused(format!("at most {length} parts"), self.node.outputs.len()))?;
                let part = length.div_ceil(count);
                (0..count).map(|place| part.min(length.saturating_sub(place * part))).collect()
            }
        };
        if parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part)) != Some(length) {
            return Err(refused(format!("parts of {length} together"), format!("{parts:?}")));
        }
        self.room(input.shape())?;
        let ends = parts.iter().scan(0, |end, part| {
            *end += part;
            Some(*end)
        });
        let part = |(end, part): (usize, &usize)| {
            let indices: Vec<usize> = (end - part..end).collect();
            of_either!(input, array => array.select(Axis(axis), &indices))
        };
        Ok(ends.zip(&parts).map(part).collect())
    }

    /// More places before and after each axis: of one value, or of the values mirrored, repeated or begun anew. Fewer, where they are
    /// negative.
    pub(super) fn pad(&self) -> Folded<Constant> {
        let input = self.first()?;
        let rank = input.shape().len();
        let setting = if self.node.integers("paddings").is_some() { "paddings" } else { "pads" };
        let pads = self.settings(setting, 1)?.unwrap_or_default();
        let axes = match self.get(3) {
            Some(_) => super::values(self.integers(3)?),
            None => (0..rank as i64).collect(),
        };
        let axes = places(&axes, rank).filter(|axes| pads.len() == 2 * axes.len());
        let axes = axes.ok_or_else(|| refused(format!("two lengths for each of {rank} axes"), format!("{pads:?}")))?;
        let mode = self.node.text("mode").unwrap_or("constant");
        let mut result = input.clone();
        for (place, &axis) in axes.iter().enumerate() {
            let length = result.shape()[axis];
            let (before, after) = (pads[place], pads[place + axes.len()]);
            let end = (length as i64).checked_add(after).filter(|&end| end >= before.saturating_neg());
            let end = end.ok_or_else(|| refused("an axis that stays", format!("{before} and {after} of {length}")))?;
            let count = end.checked_add(before).and_then(|count| usize::try_from(count).ok());
            let mut shape = result.shape().to_vec();
            shape[axis] = count.ok_or_else(|| refused("a length", format!("{before} and {after}")))?;
            let shape = self.room(&shape)?;
            let sources = (-before..end).map(|place| source(place, length, mode)).collect::<Folded<Vec<_>>>()?;
            result = match result {
                Constant::Floats(array) => {
                    let given = self.node.float("value");
                    let fill = match self.get(2) {
                        Some(_) => self.floats(2)?.first().copied(),
                        None => given,
                    };
                    Constant::Floats(taken(&array, axis, &sources, ArrayD::from_elem(shape, fill.unwrap_or(0.0))))
                }
                Constant::Integers(array) => {
                    let fill = self.get(2).map(|_| self.integers(2)).transpose()?;
                    let fill = fill.and_then(|fill| fill.first().copied()).unwrap_or(0);
                    Constant::Integers(taken(&array, axis, &sources, ArrayD::from_elem(shape, fill)))
                }
            };
        }
        Ok(result)
    }
}

/// Where a place before, within or after an axis takes its value.
fn source(place: i64, length: usize, mode: &str) -> Folded<Option<usize>> {
    let within = usize::try_from(place).ok().filter(|&place| place < length);
    let last = length as i64 - 1;
    Ok(match mode {
        _ if within.is_some() => within,
        "constant" => None,
        _ if length == 0 => return Err(refused("values to repeat", "none")),
        "edge" => Some(place.clamp(0, last) as usize),
        "wrap" => Some(place.rem_euclid(last + 1) as usize),
        "reflect" => {
            let turn = place.rem_euclid((2 * last).max(1));
            Some(if last == 0 { 0 } else { turn.min(2 * last - turn) as usize })
        }
        other => return Err(refused("mode constant, edge, wrap or reflect", other)),
    })
}

/// The places of an axis that are said, in an array that is filled already.
pub(super) fn taken<T: Copy>(
    array: &ArrayD<T>,
    axis: usize,
    sources: &[Option<usize>],
    mut filled: ArrayD<T>,
) -> ArrayD<T> {
    for (place, source) in sources.iter().enumerate() {
        if let Some(source) = *source {
            filled.index_axis_mut(Axis(axis), place).assign(&array.index_axis(Axis(axis), source));
        }
    }
    filled
}
