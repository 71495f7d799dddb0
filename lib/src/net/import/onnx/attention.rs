//! ONNX's Attention and RotaryEmbedding, taken apart into products, a softmax and sums.

use ndarray::{ArrayD, Axis as ArrayAxis, Dimension, IxDyn, Slice};

use super::translation::Translation;
use super::value::{Computed, Side, Site, Value};
use crate::net::error::Result;
use crate::net::op::{Add, Mul, Op, Softmax, Sub, Tanh};
use crate::store::onnx::Constant;

/// What stands for minus infinity: a softmax gives it 0.
const BLOCKED: f32 = f32::MIN;

impl Translation<'_> {
    /// Softmax(scale Q K^T + bias) V for each head, and the keys, the values and the products where they are read.
    pub(super) fn attention(&mut self, site: &Site) -> Result<Vec<Value>> {
        let counts = ["q_num_heads", "kv_num_heads"].map(|name| usize::try_from(site.integer(name, 0)).unwrap_or(0));
        let is_flat = self.side(site, 0)?.rank() == 3;
        let query = self.computed(site, 0)?;
        let width = *query.shape(self.batch).last().unwrap_or(&1) / if is_flat { counts[0].max(1) } else { 1 };
        let scale = site.float("scale", 1.0 / (width as f64).sqrt()) as f32;
        // Scaled before it is split into heads, which the layer before absorbs.
        let query = if scale == 1.0 { query } else { self.times(site, &query, scale)? };
        let query = self.heads(site, Side::Computed(query), counts[0])?;
        let mut key = self.heads(site, self.side(site, 1)?, counts[1])?;
        let mut value = self.heads(site, self.side(site, 2)?, counts[1])?;
        let mut past = 0;
        if self.value(site, 4)?.is_some() {
            past = self.side(site, 4)?.arrangement().shape(self.batch)[2];
            key = self.joined_sides(site, "keys", [self.side(site, 4)?, key])?;
            value = self.joined_sides(site, "values", [self.side(site, 5)?, value])?;
        }
        let shapes = [&query, &key, &value].map(|side| side.arrangement().shape(self.batch));
        let [&[_, heads, rows, width], &[_, groups, columns, _], &[.., depth]] = shapes.each_ref().map(Vec::as_slice)
        else {
            return Err(site.refused("(N, H, T, D) or (N, T, H D)", format!("{shapes:?}")));
        };
        if groups == 0 || !heads.is_multiple_of(groups) {
            return Err(site.refused(format!("a multiple of {groups} heads"), heads));
        }
        // Labels: images, groups of heads, heads in a group, rows, columns, features.
        let (q_labels, k_labels) = ([0, 1, 2, 3, 5], [0, 1, 4, 5]);
        let images = self.images_of(&query);
        let query =
            self.reshaped_side(site, query, &[images, groups, heads / groups, rows, width], &[0, 1, 2, 3, 4])?;
        let part = |part: &str| format!("{}.{part}", site.name);
        let scores =
            self.contracted(site, &part("scores"), [query, key.clone()], [&q_labels, &k_labels], &[0, 1, 2, 3, 4])?;
        let mut scores = self.as_shape(site, &scores, &[images, heads, rows, columns])?;
        let mode = site.integer("qk_matmul_output_mode", 0);
        let mut shown = scores.clone();
        let cap = site.float("softcap", 0.0) as f32;
        if cap != 0.0 {
            let narrow = self.times(site, &scores, 1.0 / cap)?;
            let bent = self.push_like(&part("tanh"), Tanh, &[&narrow])?;
            scores = self.times(site, &bent, cap)?;
        }
        if mode == 1 {
            shown = scores.clone();
        }
        let bias = self.attention_bias(site, [images, heads, rows, columns], past)?;
        let mut open = None;
        if let Some(bias) = bias {
            let is_open =
                bias.map_axis(ArrayAxis(3), |row| if row.iter().all(|&value| value <= BLOCKED) { 0.0 } else { 1.0 });
            open = is_open.iter().any(|&open| open == 0.0).then(|| is_open.insert_axis(ArrayAxis(3)));
            scores = self.paired(
                site,
                &part("biased"),
                Add.into(),
                [Side::Computed(scores), Side::Constant(bias, part("bias"))],
            )?;
        }
        if mode == 2 {
            shown = scores.clone();
        }
        let (image, axis) = self.along(site, &scores, &[3])?;
        let mut shares = self.push_like(&part("shares"), Softmax { axis }, &[&image])?;
        if let Some(open) = open {
            let sides = [Side::Computed(shares), Side::Constant(open, part("open"))];
            shares = self.paired(site, &part("kept"), Mul.into(), sides)?;
        }
        if mode == 3 {
            shown = shares.clone();
        }
        let shares = self.as_shape(site, &shares, &[images, groups, heads / groups, rows, columns])?;
        let sides = [Side::Computed(shares), value.clone()];
        let joined = self.contracted(site, &site.name, sides, [&[0, 1, 2, 3, 4], &[0, 1, 4, 5]], &[0, 1, 2, 3, 5])?;
        let mut joined = self.as_shape(site, &joined, &[images, heads, rows, depth])?;
        if is_flat {
            joined = joined.with(joined.arrangement.transposed(&[0, 2, 1, 3]));
            joined = self.as_shape(site, &joined, &[images, rows, heads * depth])?;
        }
        let of = |side: Side| match side {
            Side::Computed(value) => Value::Computed(value),
            Side::Constant(array, _) => Value::Constant(Constant::Floats(array)),
        };
        Ok(vec![Value::Computed(joined), of(key), of(value), Value::Computed(shown)])
    }

    /// (N, T, H D) as (N, H, T, D).
    fn heads(&mut self, site: &Site, side: Side, count: usize) -> Result<Side> {
        let shape = side.arrangement().shape(self.batch);
        match *shape.as_slice() {
            [images, rows, width] if count > 0 && width.is_multiple_of(count) => {
                self.reshaped_side(site, side, &[images, rows, count, width / count], &[0, 2, 1, 3])
            }
            [_, _, _, _] => Ok(side),
            _ => Err(site.refused("(N, H, T, D), or (N, T, H D) and the number of heads", format!("{shape:?}"))),
        }
    }

    /// A side under other axes, then in another order.
    fn reshaped_side(&mut self, site: &Site, side: Side, shape: &[usize], order: &[usize]) -> Result<Side> {
        Ok(match side {
            Side::Computed(value) => {
                let value = self.as_shape(site, &value, shape)?;
                Side::Computed(value.with(value.arrangement.transposed(order)))
            }
            Side::Constant(array, name) => {
                let split = array.as_standard_layout().into_owned().into_shape_with_order(IxDyn(shape));
                let split = split.map_err(|error| site.refused(format!("shape {shape:?}"), error))?;
                Side::Constant(split.permuted_axes(IxDyn(order)).as_standard_layout().into_owned(), name)
            }
        })
    }

    /// Two sides, one after the other along the tokens.
    fn joined_sides(&mut self, site: &Site, word: &str, sides: [Side; 2]) -> Result<Side> {
        Ok(match sides {
            [Side::Constant(a, name), Side::Constant(b, _)] => {
                let joined = ndarray::concatenate(ArrayAxis(2), &[a.view(), b.view()]);
                Side::Constant(joined.map_err(|error| site.refused("keys and values that fit", error))?, name)
            }
            sides => Side::Computed(self.concatenated(site, &format!("{}.{word}", site.name), sides.into(), 2)?),
        })
    }

    /// The length of the first axis.
    fn images_of(&self, side: &Side) -> usize {
        side.arrangement().shape(self.batch)[0]
    }

    /// What is added to the scores: a mask, what causality and windows leave out, and keys that are padding; `None` where nothing is.
    fn attention_bias(&mut self, site: &Site, shape: [usize; 4], past: usize) -> Result<Option<ArrayD<f32>>> {
        let [images, heads, rows, columns] = shape;
        let mask = match self.constant(site, 3)? {
            None => None,
            Some(Constant::Integers(open)) => Some(open.mapv(|open| if open != 0 { 0.0 } else { BLOCKED })),
            Some(Constant::Floats(bias)) => Some(bias.mapv(|bias| bias.max(BLOCKED))),
        };
        let lengths = match self.constant(site, 6)? {
            Some(Constant::Integers(lengths)) => Some(lengths.iter().copied().collect::<Vec<i64>>()),
            _ => None,
        };
        let is_causal = site.integer("is_causal", 0) != 0;
        let windows = ["left_window_size", "right_window_size"].map(|name| site.integer(name, -1));
        if mask.is_none() && lengths.is_none() && !is_causal && windows == [-1, -1] {
            return Ok(None);
        }
        if lengths.as_ref().is_some_and(|lengths| lengths.len() != images) {
            return Err(site.refused(format!("{images} lengths"), format!("{lengths:?}")));
        }
        let own = mask.as_ref().map_or(&[][..], |mask| mask.shape());
        if own.len() > 4 {
            return Err(site.refused("a mask of at most 4 axes", format!("{own:?}")));
        }
        // Only as large as it has to be.
        let at = |axis: usize| (axis + own.len()).checked_sub(4).map_or(1, |place| own[place]);
        let first = if lengths.is_some() { images } else { at(0) };
        let whole = [first, at(1), rows, columns];
        self.charge(2 * whole.iter().map(|&length| length as u128).product::<u128>(), size_of::<f32>())?;
        if [at(0), at(1), at(2)].iter().zip([images, heads, rows]).any(|(&own, whole)| own != 1 && own != whole)
            || at(3) > columns
        {
            return Err(site.refused(format!("a mask for {shape:?}"), format!("{own:?}")));
        }
        let spread = mask.map(|mask| {
            let full: Vec<usize> = [vec![1; 4 - mask.ndim()], mask.shape().to_vec()].concat();
            mask.as_standard_layout().into_owned().into_shape_with_order(IxDyn(&full))
        });
        let spread = spread.transpose().map_err(|error| site.refused("a mask in row order", error))?;
        let bias = |place: &[usize]| -> f32 {
            let (image, row, column) = (place[0], place[2] as i64, place[3] as i64);
            let length = lengths.as_ref().map(|lengths| lengths[image]);
            let offset = length.map_or(past as i64, |length| length - rows as i64);
            let here = offset + row;
            let is_blocked = is_causal && column > here
                || windows[0] >= 0 && column < here - windows[0]
                || windows[1] >= 0 && column > here + windows[1]
                || length.is_some_and(|length| column >= length);
            let given = match &spread {
                None => 0.0,
                // A mask that is shorter leaves the rest out.
                Some(mask) if mask.shape()[3] != 1 && place[3] >= mask.shape()[3] => BLOCKED,
                Some(mask) => {
                    let at: Vec<usize> =
                        (0..4).map(|axis| if mask.shape()[axis] == 1 { 0 } else { place[axis] }).collect();
                    mask[IxDyn(&at)]
                }
            };
            if is_blocked { BLOCKED } else { given }
        };
        Ok(Some(ArrayD::from_shape_fn(IxDyn(&whole), |place| bias(place.slice()))))
    }

    /// Features turned in pairs by angles that depend on the token (Su et al. 2021, RoFormer).
    pub(super) fn rotated(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let given = x.shape(self.batch);
        let heads = usize::try_from(site.integer("num_heads", 0)).unwrap_or(0);
        // (N, T, H, D).
        let split = match *given.as_slice() {
            [images, rows, width] if heads > 0 && width.is_multiple_of(heads) => {
                self.as_shape(site, &x, &[images, rows, heads, width / heads])?
            }
            [_, _, _, _] => x.with(x.arrangement.transposed(&[0, 2, 1, 3])),
            _ => return Err(site.refused("(N, H, T, D), or (N, T, H D) and num_heads", format!("{given:?}"))),
        };
        let shape = split.shape(self.batch);
        let width = match site.integer("rotary_embedding_dim", 0) {
            0 => shape[3],
            width => usize::try_from(width).unwrap_or(0),
        };
        if width == 0 || width > shape[3] || width % 2 != 0 {
            return Err(site.refused(format!("an even rotary_embedding_dim up to {}", shape[3]), width));
        }
        let is_interleaved = site.integer("interleaved", 0) != 0;
        // Pairs along an axis of their own, before or after their places.
        let (pairs, axis) = if is_interleaved { ([width / 2, 2], 4) } else { ([2, width / 2], 3) };
        let part = |part: &str| format!("{}.{part}", site.name);
        let turned = self.cut(site, &part("turned"), &split, 3, [0, width, 1])?;
        let turned = self.as_shape(site, &turned, &[&shape[..3], &pairs[..]].concat())?;
        let [cosine, sine] = [self.angles(site, 1, &shape, axis)?, self.angles(site, 2, &shape, axis)?];
        let [first, second] = [
            self.cut(site, &part("first"), &turned, axis, [0, 1, 1])?,
            self.cut(site, &part("second"), &turned, axis, [1, 2, 1])?,
        ];
        let mut sums = Vec::new();
        for (word, op, by) in
            [("real", Op::from(Sub), [&cosine, &sine]), ("imaginary", Op::from(Add), [&sine, &cosine])]
        {
            let mut products = Vec::new();
            for (number, (value, angle)) in [&first, &second].into_iter().zip(by).enumerate() {
                let wish = format!("{}.{word}.{number}", site.name);
                let sides = [Side::Computed(value.clone()), Side::Constant(angle.clone(), format!("{wish}.angle"))];
                products.push(Side::Computed(self.paired(site, &wish, Mul.into(), sides)?));
            }
            let [a, b] = <[Side; 2]>::try_from(products).map_err(|_| site.refused("two products", "others"))?;
            sums.push(Side::Computed(self.paired(site, &part(word), op, [a, b])?));
        }
        let joined = self.concatenated(site, &part("pairs"), sums, axis)?;
        let mut joined = self.as_shape(site, &joined, &[&shape[..3], &[width][..]].concat())?;
        if width < shape[3] {
            let rest = self.cut(site, &part("rest"), &split, 3, [width, shape[3], 1])?;
            joined = self.concatenated(site, &site.name, vec![Side::Computed(joined), Side::Computed(rest)], 3)?;
        }
        match given.len() {
            3 => self.as_shape(site, &joined, &given),
            _ => Ok(joined.with(joined.arrangement.transposed(&[0, 2, 1, 3]))),
        }
    }

    /// The cosines or sines of the tokens' angles, for (N, T, H, …) with the pairs' axis there.
    fn angles(&self, site: &Site, which: usize, shape: &[usize], axis: usize) -> Result<ArrayD<f32>> {
        let table = self.weights(site, which)?;
        let misfit = |found: &[usize]| site.refused(format!("angles for {shape:?}"), format!("{found:?}"));
        let angles = match self.constant(site, 3)? {
            None => table,
            Some(Constant::Integers(tokens)) => {
                let rows = table.shape()[0];
                let token = |&token: &i64| usize::try_from(token).ok().filter(|&token| token < rows);
                let picked: Option<Vec<usize>> = tokens.iter().map(token).collect();
                let picked =
                    picked.ok_or_else(|| site.refused(format!("tokens below {rows}"), format!("{tokens:?}")))?;
                let lengths = [tokens.shape(), &table.shape()[1..]].concat();
                let angles = table.select(ArrayAxis(0), &picked).into_shape_with_order(lengths);
                angles.map_err(|error| site.refused("angles in row order", error))?
            }
            Some(Constant::Floats(_)) => return Err(site.refused("whole numbers as tokens", "floats")),
        };
        let angles = if angles.ndim() == 2 { angles.insert_axis(ArrayAxis(0)) } else { angles };
        if angles.ndim() != 3 || angles.shape()[1] < shape[1] {
            return Err(misfit(angles.shape()));
        }
        let angles = angles.slice_axis(ArrayAxis(1), Slice::from(0..shape[1])).to_owned();
        // (N, T, 1, …).
        Ok(angles.insert_axis(ArrayAxis(2)).insert_axis(ArrayAxis(axis)))
    }
}
