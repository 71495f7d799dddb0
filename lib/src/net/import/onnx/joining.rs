//! Values side by side.

use super::aligned::{Aligned, Key};
use super::pairs::computed;
use super::translation::Translation;
use super::value::{Computed, Side, Site};
use crate::net::error::Result;
use crate::net::op::{Axis, Concat};

impl Translation<'_> {
    /// Values side by side along an axis.
    pub(super) fn joined(&mut self, site: &Site) -> Result<Computed> {
        let mut sides = Vec::new();
        for which in 0..site.node.inputs.len() {
            sides.push(self.side(site, which)?);
        }
        let rank = sides.first().map_or(0, Side::rank);
        let axis = site.axis(site.integer("axis", 1), rank)?;
        if sides.iter().any(|side| side.rank() != rank) {
            return Err(site.refused("values of one number of axes", "others"));
        }
        self.concatenated(site, &site.name, sides, axis)
    }

    /// Values side by side along an axis; constants are the same for all images.
    pub(super) fn concatenated(&mut self, site: &Site, wish: &str, sides: Vec<Side>, axis: usize) -> Result<Computed> {
        let rank = sides[0].rank();
        let mut own = Vec::new();
        // What each image has of the first axis.
        let each = sides.iter().find_map(|side| match side {
            Side::Computed(value) if value.arrangement.is_batch(0) => Some(value.shape(1)[0]),
            _ => None,
        });
        for side in sides {
            own.push(match side {
                Side::Computed(value) => {
                    let places = self.places(site, &value, &[axis])?;
                    let is_run = places.is_empty() || value.arrangement.run(&places).is_some();
                    Side::Computed(if is_run { value } else { self.with_channels(site, &value, &[axis])? })
                }
                Side::Constant(array, name) if axis > 0 => {
                    let each = each.unwrap_or(array.shape()[0]);
                    Side::Constant(self.once(site, array, 0, each)?, name)
                }
                side => side,
            });
        }
        let labels: Vec<usize> = (0..rank).collect();
        let arrangements: Vec<_> = own.iter().map(Side::arrangement).collect();
        let labelled: Vec<_> = arrangements.iter().map(|all| (all, labels.as_slice())).collect();
        let misfit = || {
            let shapes = arrangements.iter().map(|all| format!("{:?}", all.shape(self.batch))).collect::<Vec<_>>();
            site.refused(format!("values that differ along axis {axis} alone"), shapes.join(" and "))
        };
        let mut aligned = Aligned::but_for(&labelled, Some(axis)).ok_or_else(misfit)?;
        // Memory as in the largest.
        let largest = computed(&own).into_iter().rev().max_by_key(|&which| arrangements[which].elements());
        let Some(largest) = largest else {
            return Err(site.refused("a value that depends on the images", "constants"));
        };
        let mut order = aligned.values[largest].keys.clone();
        let joint: Key = (axis, 0);
        let place = order.iter().position(|&key| key == joint).unwrap_or_else(|| {
            let place = if rank == 4 && axis == 1 || axis + 1 == rank { order.len() } else { 0 };
            order.insert(place, joint);
            place
        });
        let total = arrangements.iter().map(|all| all.shape(self.batch)[axis]).sum();
        if aligned.values.iter().any(|value| value.keys.iter().filter(|&&key| key != joint).count() + 1 != order.len())
        {
            return Err(misfit());
        }
        aligned.lengths.insert(axis, vec![total]);
        let (outside, inside) = (order[..place].to_vec(), order[place + 1..].to_vec());
        let Side::Computed(Computed { size, .. }) = own[largest] else { return Err(misfit()) };
        // The rest as in the largest, where its rows and columns end where a factor does.
        let split = |keys: Vec<Key>, first: usize| -> [Vec<Key>; 2] {
            let mut product = 1;
            let count = keys.iter().take_while(|&&key| {
                let is_within = product < first;
                product *= aligned.length(key);
                is_within
            });
            let count = count.count();
            let (one, two) = keys.split_at(count);
            [one.to_vec(), two.to_vec()]
        };
        let (along, groups) = match (outside.is_empty(), inside.is_empty()) {
            (_, true) => {
                let [rows, columns] = split(outside, size.height);
                (Axis::Channels, [rows, columns, vec![joint]])
            }
            (true, false) => {
                let [columns, channels] = split(inside, size.width);
                (Axis::Height, [vec![joint], columns, channels])
            }
            (false, false) => (Axis::Width, [outside, vec![joint], inside]),
        };
        let mut inputs = Vec::new();
        for (side, keyed) in own.iter().zip(&aligned.values) {
            inputs.push(self.placed_side(side, keyed, &groups, wish)?);
        }
        let (node, size) = self.push(wish, Concat { axis: along }, &inputs.iter().collect::<Vec<_>>())?;
        Ok(Computed { node, size, arrangement: aligned.arrangement(&labels, &order, aligned.batch()) })
    }
}
