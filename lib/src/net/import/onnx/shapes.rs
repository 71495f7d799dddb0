//! Operations that move values without changing them: reshaping, slices, padding, concatenation.

use super::{Computed, Site, Translation, Value};
use crate::net::error::Result;
use crate::net::import::builder::mean_pool;
use crate::net::op::{Concat, Pad, Pair, Sides, Slice};
use crate::store::onnx::Constant;

/// Axes counted from the end where they are negative; `None` where one is not among `rank`, or stands twice.
pub(super) fn places(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    let place = |axis: &i64| usize::try_from(if *axis < 0 { axis.checked_add(rank as i64)? } else { *axis }).ok();
    let places: Vec<usize> =
        axes.iter().map(|axis| place(axis).filter(|&place| place < rank)).collect::<Option<Vec<_>>>()?;
    let is_new = |(i, place): (usize, &usize)| !places[..i].contains(place);
    places.iter().enumerate().all(is_new).then_some(places.clone())
}

/// The shape that `target` asks for of values of `shape`: 0 keeps an axis, -1 takes what is left.
pub(super) fn reshaped(shape: &[usize], target: &[i64]) -> Option<Vec<usize>> {
    let count: usize = shape.iter().product();
    let known = |(i, &axis): (usize, &i64)| match axis {
        -1 => Some(None),
        0 => Some(Some(*shape.get(i)?)),
        axis => usize::try_from(axis).ok().map(Some),
    };
    let axes: Vec<Option<usize>> = target.iter().enumerate().map(known).collect::<Option<_>>()?;
    let product = axes.iter().flatten().try_fold(1usize, |product, &axis| product.checked_mul(axis))?;
    let is_open = axes.iter().filter(|axis| axis.is_none()).count();
    let left = match is_open {
        0 => 1,
        1 if product > 0 => count / product,
        _ => return None,
    };
    (product.checked_mul(left) == Some(count)).then(|| axes.iter().map(|axis| axis.unwrap_or(left)).collect())
}

/// The shape without the axes said, or without any of length 1.
pub(super) fn squeezed(shape: &[usize], axes: Option<&[i64]>) -> Option<Vec<usize>> {
    let dropped = match axes {
        Some(axes) => places(axes, shape.len())?,
        None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
    };
    let kept = (0..shape.len()).filter(|axis| !dropped.contains(axis)).map(|axis| shape[axis]).collect();
    dropped.iter().all(|&axis| shape[axis] == 1).then_some(kept)
}

/// The shape with axes of length 1 where they will stand.
pub(super) fn unsqueezed(shape: &[usize], axes: &[i64]) -> Option<Vec<usize>> {
    let rank = shape.len() + axes.len();
    let added = places(axes, rank)?;
    let mut rest = shape.iter().copied();
    (0..rank).map(|axis| if added.contains(&axis) { Some(1) } else { rest.next() }).collect()
}

/// Every `step`-th place of an axis from `start`, `count` of them; backwards where the step is negative.
pub(super) struct Steps {
    start: usize,
    step: i64,
    count: usize,
}

impl Steps {
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> {
        let (start, step) = (self.start as i64, self.step);
        (0..self.count as i64).map(move |index| (start + index * step) as usize)
    }

    /// ONNX's slice of an axis of so many places; bounds beyond it are drawn in.
    fn of(length: usize, start: i64, end: i64, step: i64) -> Option<Self> {
        let length = i64::try_from(length).ok()?;
        let from_front = |bound: i64| if bound < 0 { bound.saturating_add(length) } else { bound };
        let (start, end) = (from_front(start), from_front(end));
        let (start, span) = match step {
            0 => return None,
            1.. => (start.clamp(0, length), end.clamp(0, length) - start.clamp(0, length)),
            _ => {
                let start = start.clamp(-1, length - 1);
                (start, start - end.clamp(-1, length - 1))
            }
        };
        let stride = usize::try_from(step.unsigned_abs()).ok()?;
        let count = usize::try_from(span.max(0)).ok()?.div_ceil(stride);
        Some(Self { start: usize::try_from(start.max(0)).ok()?, step, count })
    }
}

/// What ONNX's starts, ends, axes and steps take of each axis they name.
pub(super) fn steps(shape: &[usize], settings: [Option<Vec<i64>>; 4]) -> Option<Vec<(usize, Steps)>> {
    let [starts, ends, axes, steps] = settings;
    let (starts, ends) = (starts?, ends?);
    let axes = places(&axes.unwrap_or_else(|| (0..starts.len() as i64).collect()), shape.len())?;
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    let lengths = [ends.len(), axes.len(), steps.len()];
    if lengths.iter().any(|&length| length != starts.len()) {
        return None;
    }
    (0..axes.len()).map(|i| Some((axes[i], Steps::of(shape[axes[i]], starts[i], ends[i], steps[i])?))).collect()
}

impl Translation<'_> {
    /// The shape of a value, as a constant.
    pub(super) fn shape(&self, site: &Site) -> Result<Value> {
        let shape = self.computed(site, 0)?.shape(self.batch);
        let rank = shape.len() as i64;
        let bound = |value: i64| (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize;
        let (start, end) = (bound(site.integer("start", 0)), bound(site.integer("end", rank)));
        let axes = shape.get(start..end).unwrap_or_default();
        Ok(Value::Constant(whole(axes.iter().map(|&axis| axis as i64).collect())))
    }

    /// Reshape, Flatten, Squeeze, Unsqueeze: the same numbers under other axes, the batch still the first.
    pub(super) fn renamed(&self, site: &Site) -> Result<Value> {
        let x = self.computed(site, 0)?;
        let shape = x.shape(self.batch);
        let axes = match site.node.operation.as_str() {
            "Reshape" => reshaped(&shape, &self.settings(site, "shape", 1)?.unwrap_or_default()),
            "Squeeze" => match self.settings(site, "axes", 1)? {
                Some(axes) => squeezed(&shape, Some(&axes)),
                // The batch stays, even of one image.
                None => squeezed(&x.axes, None).map(|axes| [&[self.batch], axes.as_slice()].concat()),
            },
            "Unsqueeze" => unsqueezed(&shape, &self.settings(site, "axes", 1)?.unwrap_or_default()),
            _ => {
                site.require("axis", 1)?;
                Some(vec![self.batch, x.elements()])
            }
        };
        match axes.as_deref() {
            Some([batch, axes @ ..]) if *batch == self.batch && axes.iter().product::<usize>() == x.elements() => {
                Ok(x.with_axes(axes.to_vec()))
            }
            _ => Err(site.refused(
                "a shape whose first axis is the batch",
                format!("{shape:?} to {}", axes.map_or("one that does not fit".into(), |axes| format!("{axes:?}"))),
            )),
        }
    }

    /// A transposition that moves no number: of axes of length 1 only.
    pub(super) fn transposed(&self, site: &Site) -> Result<Value> {
        let x = self.computed(site, 0)?;
        let shape = x.shape(self.batch);
        let order = site.node.integers("perm").and_then(|order| places(order, shape.len())).unwrap_or_default();
        let long: Vec<usize> = order.iter().copied().filter(|&axis| axis > 0 && shape[axis] > 1).collect();
        if order.len() != shape.len() || order[0] != 0 || !long.is_sorted() {
            return Err(site.refused("an order of the axes that moves no number", format!("{order:?} of {shape:?}")));
        }
        Ok(x.with_axes(order[1..].iter().map(|&axis| shape[axis]).collect()))
    }

    /// A range of channels, or every n-th row and column.
    pub(super) fn sliced(&mut self, site: &Site) -> Result<Value> {
        let x = self.either(site, 0)?;
        let shape = x.shape(self.batch);
        let settings = [
            self.settings(site, "starts", 1)?,
            self.settings(site, "ends", 2)?,
            self.settings(site, "axes", 3)?,
            self.settings(site, "steps", 4)?,
        ];
        let found = || format!("another slice of {shape:?}");
        let expected = "a range of channels, or every n-th row and column from the first on";
        let parts = steps(&shape, settings).ok_or_else(|| site.refused("a slice that fits", found()))?;
        let (mut channels, mut stride) = (0..shape[1], [1, 1]);
        for (axis, part) in parts {
            let Steps { start, step, count } = part;
            match (axis, usize::try_from(step)) {
                _ if step == 1 && count == shape[axis] => {}
                (1, Ok(1)) if count > 0 => channels = start..start + count,
                (2 | 3, Ok(step)) if start == 0 && count == shape[axis].div_ceil(step) => stride[axis - 2] = step,
                _ => return Err(site.refused(expected, found())),
            }
        }
        match (channels == (0..shape[1]), stride) {
            (true, [1, 1]) => Ok(Value::Computed(x)),
            (true, stride) => self.push_image(site, mean_pool([1, 1], stride), &[&x]),
            (false, [1, 1]) => self.channels(site, &x, channels),
            (false, _) => Err(site.refused(expected, found())),
        }
    }

    fn channels(&mut self, site: &Site, x: &Computed, range: std::ops::Range<usize>) -> Result<Value> {
        let name = self.free(&site.name);
        let size = self.push(name.clone(), Slice { start: range.start, end: range.end }, &[x])?;
        let axes = [&[range.len()], &x.axes[1..]].concat();
        Ok(Value::Computed(Computed { node: name, size, axes }))
    }

    /// One channel by its number.
    pub(super) fn gathered(&mut self, site: &Site) -> Result<Value> {
        site.require("axis", 1)?;
        let x = self.either(site, 0)?;
        let count = x.axes[0];
        let wanted = match self.constant(site, 1)? {
            Some(Constant::Integers(index)) if index.len() == 1 => {
                index.first().copied().map(|value| (value, index.ndim()))
            }
            _ => None,
        };
        let place = wanted.and_then(|(value, rank)| Some((places(&[value], count)?[0], rank)));
        let (place, rank) = place.ok_or_else(|| site.refused(format!("one of {count} channels"), "others"))?;
        match self.channels(site, &x, place..place + 1)? {
            // Of an index without axes, the channels' axis is gone.
            Value::Computed(channel) if rank == 0 => Ok(channel.with_axes(channel.axes[1..].to_vec())),
            channel => Ok(channel),
        }
    }

    /// Zeros around an image and beside its channels.
    pub(super) fn padded(&mut self, site: &Site) -> Result<Value> {
        let mode = site.node.text("mode").unwrap_or("constant");
        let value = match self.floats(site, 2)? {
            Some(value) => value.first().copied().unwrap_or(0.0),
            None => site.node.float("value").unwrap_or(0.0),
        };
        if mode != "constant" || value != 0.0 {
            return Err(site.refused("padding with zeros", format!("mode {mode}, value {value}")));
        }
        let x = self.image(site, 0)?;
        let pads = self.settings(site, "pads", 1)?.unwrap_or_default();
        let all: Vec<i64> = (0..4).collect();
        let axes = self.settings(site, "axes", 3)?.unwrap_or(all);
        let axes = places(&axes, 4).filter(|axes| pads.len() == 2 * axes.len());
        let lengths = pads.iter().map(|&length| usize::try_from(length).ok()).collect::<Option<Vec<_>>>();
        let Some((axes, lengths)) = axes.zip(lengths) else {
            return Err(site.refused("zeros before and after each axis", format!("{pads:?}")));
        };
        let mut sides = [[0; 2]; 4];
        for (i, &axis) in axes.iter().enumerate() {
            sides[axis] = [lengths[i], lengths[i + axes.len()]];
        }
        let [batch, channels, [top, bottom], [left, right]] = sides;
        if batch != [0, 0] {
            return Err(site.refused("as many images as before", format!("{pads:?}")));
        }
        if sides == [[0; 2]; 4] {
            return Ok(Value::Computed(x));
        }
        let padding = match [top, bottom, left, right] == [top; 4] {
            true => Sides::Pair(Pair::Both(top)),
            false => Sides::Each { top, bottom, left, right },
        };
        self.push_image(site, Pad { padding, channels }, &[&x])
    }

    /// Values side by side along the channels.
    pub(super) fn joined(&mut self, site: &Site) -> Result<Value> {
        let inputs = (0..site.node.inputs.len()).map(|which| self.either(site, which)).collect::<Result<Vec<_>>>()?;
        let rank = inputs.first().map_or(0, |first| first.axes.len() + 1);
        let axis = site.integer("axis", 1);
        if places(&[axis], rank) != Some(vec![1]) || inputs.iter().any(|input| input.axes.len() + 1 != rank) {
            return Err(site.refused("images or vectors side by side along axis 1", format!("axis {axis}")));
        }
        let name = self.free(&site.name);
        let size = self.push(name.clone(), Concat, &inputs.iter().collect::<Vec<_>>())?;
        let axes = if rank == 2 { vec![size.channels] } else { vec![size.channels, size.height, size.width] };
        Ok(Value::Computed(Computed { node: name, size, axes }))
    }
}

/// A vector of whole numbers.
pub(super) fn whole(values: Vec<i64>) -> Constant {
    Constant::Integers(ndarray::Array1::from(values).into_dyn())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_onnx() {
        assert_eq!(reshaped(&[1, 8, 2, 2], &[0, -1]), Some(vec![1, 32]));
        assert_eq!(reshaped(&[1, 8, 2, 2], &[-1, -1]), None);
        assert_eq!(reshaped(&[1, 8, 2, 2], &[3, -1]), None);
        assert_eq!(reshaped(&[0, 2], &[0, -1]), None);
        assert_eq!(squeezed(&[1, 8, 1, 1], Some(&[2, -1])), Some(vec![1, 8]));
        assert_eq!(squeezed(&[1, 8, 1, 1], Some(&[1])), None);
        assert_eq!(unsqueezed(&[4], &[0, -1]), Some(vec![1, 4, 1]));
        assert_eq!(unsqueezed(&[4], &[5]), None);
    }

    #[test]
    fn slices_are_those_of_onnx() {
        let taken = |start, end, step| Steps::of(5, start, end, step).map(|steps| steps.indices().collect::<Vec<_>>());
        assert_eq!(taken(0, i64::MAX, 2), Some(vec![0, 2, 4]));
        assert_eq!(taken(-1, i64::MIN + 1, -1), Some(vec![4, 3, 2, 1, 0]));
        assert_eq!(taken(1, -1, 1), Some(vec![1, 2, 3]));
        assert_eq!(taken(4, 2, 1), Some(vec![]));
        assert_eq!(taken(0, 5, 0), None);
    }
}
