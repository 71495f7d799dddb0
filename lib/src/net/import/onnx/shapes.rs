//! ONNX's rules for shapes: axes counted from the end, reshaping, squeezing, slices.

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
    pub(super) start: usize,
    pub(super) step: i64,
    pub(super) count: usize,
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
