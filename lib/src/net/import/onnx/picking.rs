//! Operations that pick values by constant indices: each is computed on the values' places instead, as arithmetic on constants, and what
//! comes out says which value goes where.

use ndarray::{ArrayD, Axis as ArrayAxis, IxDyn};

use super::arrangement::{Arrangement, Factor};
use super::constants::folded;
use super::translation::Translation;
use super::value::{Computed, Side, Site};
use crate::net::error::Result;
use crate::net::op::{Add, Axis, Gather, Maximum, Minimum, Mul, Op};
use crate::store::onnx::Constant;

/// Where an operation puts zeros.
const ZERO: i64 = 0;

impl Translation<'_> {
    /// An operation that only moves values: its inputs `movable` are picked from, the others are constant.
    pub(super) fn picked(&mut self, site: &Site, movable: &[usize]) -> Result<Computed> {
        let mut sides = Vec::new();
        for &which in movable {
            sides.push(self.side(site, which)?);
        }
        let has_batch = sides.iter().any(|side| side.rank() > 0 && side.arrangement().is_batch(0));
        let images = if has_batch { self.batch } else { 1 };
        // Places count from 1, image by image: 0 is a zero.
        let mut each = Vec::new();
        for side in &sides {
            let shape = side.arrangement().shape(self.batch);
            let is_whole = has_batch && shape.first() != Some(&images);
            if is_whole || (has_batch && !is_row(side)) {
                return Err(
                    site.refused("images along the first axis of all that is picked from", format!("{shape:?}"))
                );
            }
            each.push(shape.iter().product::<usize>() / images);
        }
        let total: usize = each.iter().sum();
        self.charge(2 * (total * images) as u128, size_of::<i64>())?;
        let mut inputs: Vec<Option<Constant>> = Vec::new();
        for which in 0..site.node.inputs.len() {
            let Some(at) = movable.iter().position(|other| *other == which) else {
                inputs.push(self.constant(site, which)?.cloned());
                continue;
            };
            let (before, own): (usize, usize) = (each[..at].iter().sum(), each[at]);
            let place = |number: usize| (1 + number / own.max(1) * total + before + number % own.max(1)) as i64;
            let shape = sides[at].arrangement().shape(self.batch);
            let places = ArrayD::from_shape_vec(IxDyn(&shape), (0..own * images).map(place).collect());
            inputs.push(Some(Constant::Integers(places.map_err(|error| site.refused("values that fit", error))?)));
        }
        let inputs: Vec<Option<&Constant>> = inputs.iter().map(Option::as_ref).collect();
        let made = folded(site.node, &inputs, self.model.opset, self.held)
            .map_err(|(expected, found)| site.refused(expected, found))?;
        let Some(Constant::Integers(places)) = made.into_iter().next() else {
            return Err(site.refused("an operation that moves values", "another"));
        };
        self.pick(site, sides, &places, (images, total, has_batch))
    }

    /// The values at these places, of sides that are laid out one after the other for each of so many images.
    fn pick(
        &mut self,
        site: &Site,
        sides: Vec<Side>,
        places: &ArrayD<i64>,
        (images, total, has_batch): (usize, usize, bool),
    ) -> Result<Computed> {
        if places.is_empty() {
            return Err(site.refused("at least one value", "none"));
        }
        let first = match has_batch {
            true if places.shape().first() == Some(&images) => places.index_axis(ArrayAxis(0), 0).to_owned(),
            true => return Err(site.refused("images that stay one by one", format!("{:?}", places.shape()))),
            false => places.clone(),
        };
        let alike = |(number, rows): (usize, ndarray::ArrayViewD<i64>)| {
            let shift = (number * total) as i64;
            rows.iter().zip(&first).all(|(&own, &first)| own == if first == ZERO { ZERO } else { first + shift })
        };
        if has_batch && !places.outer_iter().enumerate().all(alike) {
            return Err(site.refused("indices that are the same for all images", "others"));
        }
        let mut flat = Vec::new();
        for side in sides {
            flat.push(match side {
                Side::Computed(value) => {
                    let order: Vec<usize> =
                        value.arrangement.sequence().into_iter().filter_map(Factor::place).collect();
                    let count = value.arrangement.elements();
                    let row = self.placed(&value, [Vec::new(), Vec::new(), order], &site.name)?;
                    Side::Computed(row.with(Arrangement::new(&[count], &[0], has_batch)))
                }
                Side::Constant(array, name) => {
                    let array = if has_batch { self.once(site, array, 0, 1)? } else { array };
                    let count = array.len();
                    let shape = if has_batch { vec![1, count] } else { vec![count] };
                    let array = ArrayD::from_shape_vec(IxDyn(&shape), array.iter().copied().collect());
                    Side::Constant(array.map_err(|error| site.refused("values that fit", error))?, name)
                }
            });
        }
        if first.iter().any(|&place| place == ZERO) {
            let shape = if has_batch { vec![1, 1] } else { vec![1] };
            flat.push(Side::Constant(ArrayD::zeros(IxDyn(&shape)), format!("{}.zero", site.name)));
        }
        let wish = format!("{}.values", site.name);
        let axis = usize::from(has_batch);
        let row = match <[Side; 1]>::try_from(flat) {
            Ok([Side::Computed(row)]) => row,
            Ok([Side::Constant(array, name)]) => self.push_constant(&name, &array)?,
            Err(flat) => self.concatenated(site, &wish, flat, axis)?,
        };
        let indices: Vec<usize> =
            first.iter().map(|&place| if place == ZERO { total } else { place as usize - 1 }).collect();
        let count = indices.len();
        let row = self.with_channels(site, &row, &[axis])?;
        let (node, size) = self.push(&site.name, Gather { axis: Axis::Channels, indices }, &[&row])?;
        let picked = Computed { node, size, arrangement: Arrangement::new(&[count], &[0], has_batch) };
        let mut shape = places.shape().to_vec();
        if has_batch {
            shape[0] = self.batch;
        }
        self.as_shape(site, &picked, &shape)
    }

    /// ScatterElements and ScatterND; what is not put there but added, multiplied or compared is so with a constant.
    pub(super) fn scattered(&mut self, site: &Site) -> Result<Computed> {
        let (op, unchanged): (Op, f32) = match site.node.text("reduction").unwrap_or("none") {
            "add" => (Add.into(), 0.0),
            "mul" => (Mul.into(), 1.0),
            "max" => (Maximum.into(), f32::MIN),
            "min" => (Minimum.into(), f32::MAX),
            _ => return self.picked(site, &[0, 2]),
        };
        let x = self.computed(site, 0)?;
        let base = Constant::Floats(ArrayD::from_elem(IxDyn(&x.shape(self.batch)), unchanged));
        let inputs = [Some(&base), self.constant(site, 1)?, self.constant(site, 2)?];
        let made = folded(site.node, &inputs, self.model.opset, self.held)
            .map_err(|(expected, found)| site.refused(expected, found))?;
        let Some(Constant::Floats(operand)) = made.into_iter().next() else {
            return Err(site.refused("floats as updates", "others"));
        };
        self.charge(operand.len() as u128, size_of::<f32>())?;
        let operand = Side::Constant(operand, format!("{}.updates", site.name));
        self.paired(site, &site.name, op, [Side::Computed(x), operand])
    }
}

/// Whether each image's values lie along all axes but the first.
fn is_row(side: &Side) -> bool {
    match side {
        Side::Computed(value) => value.arrangement.axis(0) == [Factor::Batch],
        Side::Constant(..) => true,
    }
}
