//! Comparisons, whose answers are 1 and 0, and places of extremes.

use ndarray::{ArrayD, IxDyn, arr0};

use super::translation::Translation;
use super::value::{Computed, Side, Site};
use crate::net::error::Result;
use crate::net::op::{Equal, Fmod, Reduce, Reduction, Sub};

impl Translation<'_> {
    /// ArgMax and ArgMin.
    pub(super) fn place_of_extreme(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let axis = site.axis(site.integer("axis", 0), x.rank())?;
        let keeps = site.integer("keepdims", 1) != 0;
        let kind = if site.node.operation == "ArgMax" { Reduction::ArgMax } else { Reduction::ArgMin };
        if site.integer("select_last_index", 0) == 0 {
            return self.extreme(site, &site.name, &x, &[axis], (kind, keeps));
        }
        // The first from the other end.
        let length = x.shape(self.batch)[axis];
        let turned = self.taken(site, &format!("{}.turned", site.name), &x, axis, (0..length).rev().collect())?;
        let place = self.extreme(site, &format!("{}.place", site.name), &turned, &[axis], (kind, keeps))?;
        let last = Side::Constant(arr0(length as f32 - 1.0).into_dyn(), format!("{}.last", site.name));
        self.paired(site, &site.name, Sub.into(), [last, Side::Computed(place)])
    }

    /// The place of an extreme along axes, one after the other.
    fn extreme(
        &mut self,
        site: &Site,
        wish: &str,
        x: &Computed,
        axes: &[usize],
        (kind, keeps): (Reduction, bool),
    ) -> Result<Computed> {
        let (image, along) = self.along(site, x, axes)?;
        let (node, size) = self.push(wish, Reduce { kind, axes: vec![along] }, &[&image])?;
        Ok(Computed { node, size, arrangement: image.arrangement.reduced(axes, keeps) })
    }

    /// 1 at the first of the largest values, else 0: along one axis, before opset 13 along all from it on.
    pub(super) fn hardmax(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let axes = self.softmax_axes(site, x.rank())?;
        let wish = format!("{}.place", site.name);
        let place = self.extreme(site, &wish, &x, &axes, (Reduction::ArgMax, true))?;
        let shape = x.shape(self.batch);
        let all: Vec<usize> = (0..shape.len()).map(|axis| if axes.contains(&axis) { shape[axis] } else { 1 }).collect();
        let count = all.iter().product::<usize>();
        let places = ArrayD::from_shape_vec(IxDyn(&all), (0..count).map(|place| place as f32).collect());
        let places = places.map_err(|error| site.refused("axes that fit", error))?;
        let places = Side::Constant(places, format!("{}.places", site.name));
        self.paired(site, &site.name, Equal.into(), [Side::Computed(place), places])
    }

    /// What is no number is not equal to itself.
    pub(super) fn is_no_number(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let sides = [Side::Computed(x.clone()), Side::Computed(x)];
        let equal = self.paired(site, &format!("{}.equal", site.name), Equal.into(), sides)?;
        self.less_than_one(site, &site.name, &equal)
    }

    /// 1 where the input is 0, and the other way round.
    pub(super) fn not(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        self.less_than_one(site, &site.name, &x)
    }

    /// 1 - x.
    pub(super) fn less_than_one(&mut self, site: &Site, wish: &str, x: &Computed) -> Result<Computed> {
        let one = Side::Constant(arr0(1.0).into_dyn(), format!("{wish}.one"));
        self.paired(site, wish, Sub.into(), [one, Side::Computed(x.clone())])
    }

    /// Mod of floats, C's fmod.
    pub(super) fn remainder(&mut self, site: &Site) -> Result<Computed> {
        site.require("fmod", 1)?;
        let sides = [self.side(site, 0)?, self.side(site, 1)?];
        self.paired(site, &site.name, Fmod.into(), sides)
    }
}
