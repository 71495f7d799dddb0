//! Operations that give values other axes: Reshape, Squeeze, Transpose. Numbers move only where none of the new axes fits memory.

use super::arrangement::Factor;
use super::shapes::{places, reshaped, squeezed, unsqueezed, whole};
use super::translation::Translation;
use super::value::{Computed, Side, Site, Value};
use crate::net::error::Result;
use crate::store::onnx::Constant;

impl Translation<'_> {
    /// The shape of a value, as a constant.
    pub(super) fn shape(&self, site: &Site) -> Result<Value> {
        let Side::Computed(value) = self.side(site, 0)? else { return Err(site.refused("a value", "a constant")) };
        let shape = value.shape(self.batch);
        if site.node.operation == "Size" {
            let count = shape.iter().product::<usize>() as i64;
            return Ok(Value::Constant(Constant::Integers(ndarray::arr0(count).into_dyn())));
        }
        let rank = shape.len() as i64;
        let bound = |value: i64| (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize;
        let (start, end) = (bound(site.integer("start", 0)), bound(site.integer("end", rank)));
        let axes = shape.get(start..end).unwrap_or_default();
        Ok(Value::Constant(whole(axes.iter().map(|&axis| axis as i64).collect())))
    }

    /// Reshape, Flatten, Squeeze, Unsqueeze: the same numbers under other axes.
    pub(super) fn renamed(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let shape = x.shape(self.batch);
        let arrangement = match site.node.operation.as_str() {
            "Reshape" => {
                let target = self.settings(site, "shape", 1)?.unwrap_or_default();
                let target = if site.integer("allowzero", 0) != 0 && target.contains(&0) {
                    None
                } else {
                    reshaped(&shape, &target)
                };
                let Some(target) = target else {
                    return Err(site.refused("a shape of as many values", format!("{shape:?}")));
                };
                return self.as_shape(site, &x, &target);
            }
            "Squeeze" => match self.settings(site, "axes", 1)? {
                Some(axes) => squeezed(&shape, Some(&axes))
                    .and_then(|_| Some(x.arrangement.squeezed(&places(&axes, shape.len())?))),
                // The batch stays, even of one image.
                None => {
                    let dropped: Vec<usize> =
                        (0..shape.len()).filter(|&axis| x.arrangement.axis(axis).is_empty()).collect();
                    Some(x.arrangement.squeezed(&dropped))
                }
            },
            "Unsqueeze" => {
                let axes = self.settings(site, "axes", 1)?.unwrap_or_default();
                let added = unsqueezed(&shape, &axes).and_then(|all| places(&axes, all.len()));
                added.map(|added| x.arrangement.unsqueezed(&added))
            }
            _ => {
                let axis = site.integer("axis", 1);
                let rank = shape.len();
                let place = if axis == rank as i64 { rank } else { site.axis(axis, rank)? };
                let target = [&shape[..place], &shape[place..]].map(|part| part.iter().product());
                return self.as_shape(site, &x, &target);
            }
        };
        let arrangement = arrangement.ok_or_else(|| site.refused("axes that fit", format!("{shape:?}")))?;
        Ok(x.with(arrangement))
    }

    /// A value under axes of these lengths; numbers move only where an axis would cut through what lies apart in memory.
    pub(super) fn as_shape(&mut self, site: &Site, x: &Computed, target: &[usize]) -> Result<Computed> {
        if let Some(arrangement) = x.arrangement.reshaped(target, self.batch) {
            return Ok(x.with(arrangement));
        }
        // All numbers in ONNX's order.
        let order = x.arrangement.sequence().into_iter().filter_map(Factor::place).collect();
        let wish = format!("{}.order", site.name);
        let moved = self.placed(x, [Vec::new(), Vec::new(), order], &wish)?;
        let found = || format!("{:?} to {target:?}", x.shape(self.batch));
        match moved.arrangement.reshaped(target, self.batch) {
            Some(arrangement) => Ok(moved.with(arrangement)),
            None => Err(site.refused("a shape with the images along one axis", found())),
        }
    }

    /// The axes in another order.
    pub(super) fn transposed(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let rank = x.rank();
        let order = match site.node.integers("perm") {
            Some(order) => site.axes(order, rank)?,
            None => (0..rank).rev().collect(),
        };
        match order.len() == rank {
            true => Ok(x.with(x.arrangement.transposed(&order))),
            false => Err(site.refused(format!("an order of {rank} axes"), format!("{order:?}"))),
        }
    }

    /// A cast between floats: all numbers are of one type here.
    pub(super) fn cast(&mut self, site: &Site) -> Result<Computed> {
        match site.integer("to", 1) {
            1 | 10 | 11 | 16 => self.computed(site, 0),
            other => Err(site.refused("a cast to floats", format!("type {other}"))),
        }
    }
}
