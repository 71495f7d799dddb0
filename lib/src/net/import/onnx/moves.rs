//! Operations that move values without changing them: slices, gathering, padding, repeating, choosing.

use ndarray::{ArrayD, IxDyn};

use super::shapes::steps;
use super::translation::Translation;
use super::value::{Computed, Side, Site, Value};
use crate::net::error::Result;
use crate::net::op::{Add, Axis, Gather, Mul, Pad, PadMode, Pair, Sides, Slice};
use crate::store::onnx::Constant;

impl Translation<'_> {
    /// Slices of any axes, one after the other.
    pub(super) fn sliced(&mut self, site: &Site) -> Result<Computed> {
        let mut x = self.computed(site, 0)?;
        let shape = x.shape(self.batch);
        let settings = [
            self.settings(site, "starts", 1)?,
            self.settings(site, "ends", 2)?,
            self.settings(site, "axes", 3)?,
            self.settings(site, "steps", 4)?,
        ];
        let parts = steps(&shape, settings);
        let parts = parts.ok_or_else(|| site.refused("a slice that fits", format!("{shape:?}")))?;
        let parts: Vec<_> =
            parts.into_iter().filter(|(axis, part)| part.step != 1 || part.count != shape[*axis]).collect();
        let last = parts.len().saturating_sub(1);
        for (number, (axis, part)) in parts.into_iter().enumerate() {
            let wish = if number == last { site.name.clone() } else { format!("{}.{number}", site.name) };
            x = match usize::try_from(part.step) {
                Ok(step) if part.count > 0 => {
                    let end = part.start + (part.count - 1) * step + 1;
                    self.cut(site, &wish, &x, axis, [part.start, end, step])?
                }
                _ => self.taken(site, &wish, &x, axis, part.indices().collect())?,
            };
        }
        Ok(x)
    }

    /// Every `step`-th place of an axis from `start` to before `end`.
    pub(super) fn cut(
        &mut self,
        site: &Site,
        wish: &str,
        x: &Computed,
        axis: usize,
        [start, end, step]: [usize; 3],
    ) -> Result<Computed> {
        let count = (end - start).div_ceil(step);
        if step == 1
            && let Some((own, inner)) = self.inner(x, axis)
        {
            let op = Slice { axis: own, start: start * inner, end: end * inner, step: 1 };
            let (node, size) = self.push(wish, op, &[x])?;
            return Ok(Computed { node, size, arrangement: x.arrangement.with_length(axis, count, 0) });
        }
        let (x, own) = self.along(site, x, &[axis])?;
        let (node, size) = self.push(wish, Slice { axis: own, start, end, step }, &[&x])?;
        Ok(Computed { node, size, arrangement: x.arrangement.with_length(axis, count, 0) })
    }

    /// Where an axis begins the node's rows, columns or channels: which, and how many values of them go with each of its places.
    fn inner(&self, x: &Computed, axis: usize) -> Option<(Axis, usize)> {
        let places = x.arrangement.places(&[axis])?;
        let run = x.arrangement.run(&places)?;
        let memory = x.arrangement.memory();
        let before: usize = memory[..run.start].iter().product();
        let through: usize = memory[..run.end].iter().product();
        let size = x.size;
        let groups = [
            (Axis::Channels, size.height * size.width, size.elements()),
            (Axis::Width, size.height, size.height * size.width),
            (Axis::Height, 1, size.height),
        ];
        let (own, _, end) = groups.into_iter().find(|&(_, start, end)| before == start && through <= end)?;
        end.is_multiple_of(through).then_some((own, end / through))
    }

    /// Places of an axis by constant indices.
    pub(super) fn taken(
        &mut self,
        site: &Site,
        wish: &str,
        x: &Computed,
        axis: usize,
        indices: Vec<usize>,
    ) -> Result<Computed> {
        let count = indices.len();
        if count == 0 {
            return Err(site.refused("at least one value", "none"));
        }
        if indices.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            return match indices[0] == 0 && count == x.shape(self.batch)[axis] {
                true => Ok(x.clone()),
                false => self.cut(site, wish, x, axis, [indices[0], indices[0] + count, 1]),
            };
        }
        let (x, own) = self.along(site, x, &[axis])?;
        let (node, size) = self.push(wish, Gather { axis: own, indices }, &[&x])?;
        Ok(Computed { node, size, arrangement: x.arrangement.with_length(axis, count, x.arrangement.memory().len()) })
    }

    /// Gather by constant indices of any shape.
    pub(super) fn gathered(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let shape = x.shape(self.batch);
        let axis = site.axis(site.integer("axis", 0), shape.len())?;
        let Some(Constant::Integers(wanted)) = self.constant(site, 1)? else {
            return Err(site.refused("whole numbers to gather", "others"));
        };
        let (form, length) = (wanted.shape().to_vec(), shape[axis]);
        let index = |&value: &i64| usize::try_from(if value < 0 { value + length as i64 } else { value }).ok();
        let indices: Option<Vec<usize>> =
            wanted.iter().map(|value| index(value).filter(|&index| index < length)).collect();
        let indices = indices.ok_or_else(|| site.refused(format!("indices below {length}"), format!("{wanted:?}")))?;
        let taken = self.taken(site, &site.name, &x, axis, indices)?;
        match form.len() {
            0 => Ok(taken.with(taken.arrangement.squeezed(&[axis]))),
            1 => Ok(taken),
            _ => {
                let target = [&shape[..axis], form.as_slice(), &shape[axis + 1..]].concat();
                self.as_shape(site, &taken, &target)
            }
        }
    }

    /// Parts of an axis, one after the other.
    pub(super) fn split(&mut self, site: &Site) -> Result<Vec<Value>> {
        let x = self.computed(site, 0)?;
        let axis = site.axis(site.integer("axis", 0), x.rank())?;
        let (length, count) = (x.shape(self.batch)[axis], site.node.outputs.len());
        let lengths: Vec<usize> = match self.settings(site, "split", 1)? {
            Some(lengths) => lengths.iter().map(|&length| usize::try_from(length).unwrap_or(0)).collect(),
            None => {
                let each = length.div_ceil(count);
                (0..count).map(|part| each.min(length.saturating_sub(part * each))).collect()
            }
        };
        if lengths.iter().sum::<usize>() != length || lengths.len() != count || lengths.contains(&0) {
            return Err(site.refused(format!("{count} parts of {length}"), format!("{lengths:?}")));
        }
        let mut start = 0;
        let mut parts = Vec::new();
        for (number, own) in lengths.into_iter().enumerate() {
            let wish = if count == 1 { site.name.clone() } else { format!("{}.{number}", site.name) };
            let part = match own == length {
                true => x.clone(),
                false => self.cut(site, &wish, &x, axis, [start, start + own, 1])?,
            };
            start += own;
            parts.push(Value::Computed(part));
        }
        Ok(parts)
    }

    /// Zeros, or what mode says, around an image and beside its channels; of other values, of one axis after the other.
    pub(super) fn padded(&mut self, site: &Site) -> Result<Computed> {
        let mode = match site.node.text("mode").unwrap_or("constant") {
            "constant" => PadMode::Zeros,
            "reflect" => PadMode::Reflect,
            "edge" => PadMode::Edge,
            "wrap" => PadMode::Wrap,
            other => return Err(site.refused("mode constant, reflect, edge or wrap", other)),
        };
        let value = self.number(site, 2)?.unwrap_or(site.float("value", 0.0));
        let mut x = self.computed(site, 0)?;
        let rank = x.rank();
        let pads =
            self.settings(site, if site.node.integers("paddings").is_some() { "paddings" } else { "pads" }, 1)?;
        let pads = pads.unwrap_or_default();
        let axes = match self.settings(site, "axes", 3)? {
            Some(axes) => site.axes(&axes, rank)?,
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(site.refused("a length before and after each axis", format!("{pads:?}")));
        }
        let mut sides = vec![[0_i64; 2]; rank];
        for (i, &axis) in axes.iter().enumerate() {
            sides[axis] = [pads[i], pads[i + axes.len()]];
        }
        // Less than nothing is cut off.
        for (axis, sides) in sides.iter().enumerate() {
            let length = x.shape(self.batch)[axis];
            let [before, after] = sides.map(|side| usize::try_from(-side).unwrap_or(0));
            if before + after > 0 {
                if before + after >= length {
                    return Err(site.refused("a part that stays", format!("{pads:?}")));
                }
                let wish = format!("{}.crop", site.name);
                x = self.cut(site, &wish, &x, axis, [before, length - after, 1])?;
            }
        }
        let sides: Vec<[usize; 2]> =
            sides.iter().map(|side| side.map(|side| usize::try_from(side).unwrap_or(0))).collect();
        let is_image = rank == 4 && sides[0] == [0, 0];
        if sides.iter().all(|side| *side == [0, 0]) {
            return Ok(x);
        }
        if is_image && (sides[1] == [0, 0] || mode == PadMode::Zeros) {
            let image = self.as_image(site, &x)?;
            let op = Pad { padding: around(sides[2], sides[3]), channels: sides[1], mode, value };
            let (node, size) = self.push(&site.name, op, &[&image])?;
            return Ok(Computed::image(node, size));
        }
        for axis in (0..rank).filter(|&axis| sides[axis] != [0, 0]) {
            let length = x.shape(self.batch)[axis];
            let (own, along) = self.along(site, &x, &[axis])?;
            let none = [0, 0];
            let (padding, channels) = match along {
                Axis::Channels => (around(none, none), sides[axis]),
                Axis::Height => (around(sides[axis], none), none),
                Axis::Width => (around(none, sides[axis]), none),
            };
            let (node, size) = self.push(&site.name, Pad { padding, channels, mode, value }, &[&own])?;
            let length = length + sides[axis][0] + sides[axis][1];
            let last = own.arrangement.memory().len();
            x = Computed { node, size, arrangement: own.arrangement.with_length(axis, length, last) };
        }
        Ok(x)
    }

    /// Expand: axes of length 1 repeated.
    pub(super) fn spread_out(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let target = self.settings(site, "shape", 1)?.unwrap_or_default();
        let own = x.shape(self.batch);
        let rank = own.len().max(target.len());
        let added: Vec<usize> = (0..rank - own.len()).collect();
        let x = x.with(x.arrangement.unsqueezed(&added));
        let own = x.shape(self.batch);
        let wanted = |axis: usize| -> Option<usize> {
            let Some(at) = axis.checked_sub(rank - target.len()) else { return Some(own[axis]) };
            let wanted = usize::try_from(target[at]).ok()?;
            (wanted == 1 || own[axis] == 1 || wanted == own[axis]).then_some(wanted.max(own[axis]))
        };
        let shape: Option<Vec<usize>> = (0..rank).map(wanted).collect();
        let shape =
            shape.ok_or_else(|| site.refused("a shape that repeats axes of length 1", format!("{target:?}")))?;
        if (0..rank).any(|axis| x.arrangement.is_batch(axis) && shape[axis] != own[axis]) {
            return Err(site.refused("as many images as before", format!("{own:?} to {shape:?}")));
        }
        self.expanded(site, &x, &shape)
    }

    /// Tile: axes repeated whole.
    pub(super) fn tiled(&mut self, site: &Site) -> Result<Computed> {
        let mut x = self.computed(site, 0)?;
        let repeats = self.settings(site, "repeats", 1)?.unwrap_or_default();
        for (axis, &times) in repeats.iter().enumerate() {
            let length = x.shape(self.batch)[axis];
            let times = usize::try_from(times).unwrap_or(0);
            let indices = (0..times).flat_map(|_| 0..length).collect();
            let wish = format!("{}.{axis}", site.name);
            x = self.taken(site, &wish, &x, axis, indices)?;
        }
        Ok(x)
    }

    /// DepthToSpace and SpaceToDepth.
    pub(super) fn blocks(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let block = usize::try_from(site.integer("blocksize", 0)).unwrap_or(0);
        let shape = x.shape(self.batch);
        let (&[n, c, h, w], true) = (shape.as_slice(), block > 0) else {
            return Err(site.refused("an image and a block size", format!("{shape:?}")));
        };
        let depth = site.node.operation == "DepthToSpace";
        let (split, order, target) = match (depth, site.node.text("mode").unwrap_or("DCR")) {
            (true, "CRD") => (
                [n, c / block / block, block, block, h, w],
                [0, 1, 4, 2, 5, 3],
                [n, c / block / block, h * block, w * block],
            ),
            (true, _) => (
                [n, block, block, c / block / block, h, w],
                [0, 3, 4, 1, 5, 2],
                [n, c / block / block, h * block, w * block],
            ),
            (false, mode) => (
                [n, c, h / block, block, w / block, block],
                if mode == "CRD" { [0, 1, 3, 5, 2, 4] } else { [0, 3, 5, 1, 2, 4] },
                [n, c * block * block, h / block, w / block],
            ),
        };
        let split = self.as_shape(site, &x, &split)?;
        let moved = split.with(split.arrangement.transposed(&order));
        self.as_shape(site, &moved, &target)
    }

    /// Where: what is not wanted is multiplied by 0.
    pub(super) fn chosen(&mut self, site: &Site) -> Result<Computed> {
        if !self.is_constant(site, 0)? {
            let condition = self.computed(site, 0)?;
            let other = self.less_than_one(site, &format!("{}.otherwise", site.name), &condition)?;
            let mut parts = Vec::new();
            for (word, which, mask) in [("then", 1, condition), ("else", 2, other)] {
                let sides = [Side::Computed(mask), self.side(site, which)?];
                parts.push(Side::Computed(self.paired(site, &format!("{}.{word}", site.name), Mul.into(), sides)?));
            }
            let [then, other] = <[Side; 2]>::try_from(parts).map_err(|_| site.refused("two values", "others"))?;
            return self.paired(site, &site.name, Add.into(), [then, other]);
        }
        let condition = match self.constant(site, 0)? {
            Some(Constant::Integers(values)) => values.mapv(|value| if value != 0 { 1.0_f32 } else { 0.0 }),
            _ => return Err(site.refused("a constant condition", "another")),
        };
        let mut parts = Vec::new();
        for (which, word) in [(1, "then"), (2, "else")] {
            let mask = if which == 1 { condition.clone() } else { condition.mapv(|value| 1.0 - value) };
            parts.push(match self.side(site, which)? {
                Side::Constant(array, name) => {
                    let shape = broadcast_shape(array.shape(), mask.shape());
                    let shape =
                        shape.ok_or_else(|| site.refused("shapes that broadcast", format!("{:?}", array.shape())))?;
                    self.charge(2 * shape.iter().map(|&length| length as u128).product::<u128>(), size_of::<f32>())?;
                    let (Some(array), Some(mask)) = (array.broadcast(shape.clone()), mask.broadcast(shape)) else {
                        return Err(site.refused("shapes that broadcast", format!("{:?}", array.shape())));
                    };
                    // No number is infinite here: softmax gives 0 of the lowest as well.
                    let product =
                        |(&value, &mask): (&f32, &f32)| if mask == 0.0 { 0.0 } else { value.clamp(f32::MIN, f32::MAX) };
                    let values = array.iter().zip(mask.iter()).map(product).collect();
                    let shape = array.shape().to_vec();
                    let array = ArrayD::from_shape_vec(IxDyn(&shape), values);
                    Side::Constant(array.map_err(|error| site.refused("a constant", error))?, name)
                }
                Side::Computed(value) => {
                    let mask = Side::Constant(mask, format!("{}.mask", site.name));
                    let wish = format!("{}.{word}", site.name);
                    Side::Computed(self.paired(site, &wish, Mul.into(), [Side::Computed(value), mask])?)
                }
            });
        }
        let [then, other] = <[Side; 2]>::try_from(parts).map_err(|_| site.refused("two values", "others"))?;
        self.paired(site, &site.name, Add.into(), [then, other])
    }
}

fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let one = |axis: usize| match (at(a, axis), at(b, axis)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    };
    (0..rank).map(one).collect()
}

fn around([top, bottom]: [usize; 2], [left, right]: [usize; 2]) -> Sides {
    match [top, bottom, left, right] == [top; 4] {
        true => Sides::Pair(Pair::Both(top)),
        false => Sides::Each { top, bottom, left, right },
    }
}
