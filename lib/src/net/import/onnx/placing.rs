//! Values brought into the arrangement that an operation needs: a node is made only where numbers must move, or be seen under other
//! sizes.

use ndarray::ArrayD;

use super::arrangement::{Arrangement, Factor};
use super::translation::Translation;
use super::value::{Computed, Site};
use crate::net::error::Result;
use crate::net::op::{Axis, Constant, Flatten, Op, Rearrange, Reshape};
use crate::net::size::Size;

impl Translation<'_> {
    /// A value with these places of its memory as rows, columns and channels; all places, each once.
    pub(super) fn placed(&mut self, value: &Computed, groups: [Vec<usize>; 3], wish: &str) -> Result<Computed> {
        let [height, width, channels] = groups.each_ref().map(|places| value.arrangement.product(places));
        let (size, order) = (Size::new(channels, height, width), groups.concat());
        let is_still = order.is_sorted();
        if is_still && size == value.size {
            return Ok(value.clone());
        }
        let memory = value.arrangement.memory().to_vec();
        let arrangement = value.arrangement.moved(&order).normalised();
        let key = (value.node.clone(), size, memory.clone(), order.clone());
        if let Some((node, size)) = self.moved.get(&key).cloned() {
            return Ok(Computed { node, size, arrangement });
        }
        let (suffix, op) = movement(value.size, size, &memory, &order);
        let (node, size) = self.push(&format!("{wish}.{suffix}"), op, &[value])?;
        self.moved.insert(key, (node.clone(), size));
        Ok(Computed { node, size, arrangement })
    }

    /// A value (N, C, H, W), or (N, C, L) as an image of one row.
    pub(super) fn as_image(&mut self, site: &Site, value: &Computed) -> Result<Computed> {
        let arrangement = &value.arrangement;
        let found = || format!("{:?}", value.shape(self.batch));
        let is_one = |axis: usize| matches!(arrangement.axis(axis), [] | [Factor::Batch]);
        if !matches!(value.rank(), 3 | 4) || !is_one(0) {
            return Err(site.refused("an image (N, C, H, W) or (N, C, L)", found()));
        }
        let (rows, columns): (&[usize], &[usize]) = if value.rank() == 4 { (&[2], &[3]) } else { (&[], &[2]) };
        let groups = [arrangement.places(rows), arrangement.places(columns), arrangement.places(&[1])];
        match groups {
            [Some(rows), Some(columns), Some(channels)] => self.placed(value, [rows, columns, channels], &site.name),
            _ => Err(site.refused("images along the first axis alone", found())),
        }
    }

    /// Input number `which` as an image.
    pub(super) fn image(&mut self, site: &Site, which: usize) -> Result<Computed> {
        let value = self.computed(site, which)?;
        self.as_image(site, &value)
    }

    /// A value with some axes, one after the other, as its channels: whatever else is there stays as it is, where it can.
    pub(super) fn with_channels(&mut self, site: &Site, value: &Computed, axes: &[usize]) -> Result<Computed> {
        let places = self.places(site, value, axes)?;
        if value.are_channels(&places) || (places.is_empty() && value.size.channels == 1) {
            return Ok(value.clone());
        }
        self.placed(value, [value.arrangement.others(&places), Vec::new(), places], &site.name)
    }

    /// A value with some axes, one after the other, as one axis of its memory, and which.
    pub(super) fn along(&mut self, site: &Site, value: &Computed, axes: &[usize]) -> Result<(Computed, Axis)> {
        let places = self.places(site, value, axes)?;
        let Some(run) = value.arrangement.run(&places) else {
            return Ok((self.with_channels(site, value, axes)?, Axis::Channels));
        };
        let memory = value.arrangement.memory();
        let product = |places: &[usize]| places.iter().product::<usize>();
        let [before, own, after] = [&memory[..run.start], &memory[run.clone()], &memory[run.end..]].map(product);
        let Size { channels, height, width } = value.size;
        if run.end == memory.len() {
            return Ok((self.with_channels(site, value, axes)?, Axis::Channels));
        }
        match () {
            () if (before, own, after) == (1, height, width * channels) => Ok((value.clone(), Axis::Height)),
            () if (before, own, after) == (height, width, channels) => Ok((value.clone(), Axis::Width)),
            () => {
                let groups = [(0..run.start).collect(), run.clone().collect(), (run.end..memory.len()).collect()];
                Ok((self.placed(value, groups, &site.name)?, Axis::Width))
            }
        }
    }

    /// The places of axes among which the images are not.
    pub(super) fn places(&self, site: &Site, value: &Computed, axes: &[usize]) -> Result<Vec<usize>> {
        value.arrangement.places(axes).ok_or_else(|| {
            let found = format!("axes {axes:?} of {:?}", value.shape(self.batch));
            site.refused("an operation on each image by itself (`unbatched` where the first axis is no batch)", found)
        })
    }

    /// A constant as a node: memory in the order of its axes, of which the last is the channels.
    pub(super) fn push_constant(&mut self, name: &str, array: &ArrayD<f32>) -> Result<Computed> {
        let lengths = array.shape().to_vec();
        let order: Vec<usize> = match lengths.len() {
            4 => vec![0, 2, 3, 1],
            rank => (0..rank).collect(),
        };
        let values: Vec<f32> = array.view().permuted_axes(order.clone()).iter().copied().collect();
        let channels = order.last().map_or(1, |&axis| lengths[axis]);
        let size = Size::new(channels, values.len() / channels.max(1), 1);
        let node = self.push_parameter(name, size, values)?;
        Ok(Computed { node, size, arrangement: Arrangement::new(&lengths, &order, false) })
    }

    /// A node that gives a parameter of this size, in memory order.
    pub(super) fn push_parameter(&mut self, name: &str, size: Size, values: Vec<f32>) -> Result<String> {
        let (node, _) = self.push(name, Constant { size }, &[])?;
        let Size { channels, height, width } = size;
        let of_file = crate::tensor::channels_first(&values, (1, height, width, channels));
        self.keep(&node, [("value", of_file)]);
        Ok(node)
    }
}

/// The operation that moves an image's memory, and a word for its name.
fn movement(from: Size, to: Size, memory: &[usize], order: &[usize]) -> (&'static str, Op) {
    // Channels, the innermost in memory, come first, or go last again: the whole order is turned.
    let turned = order.iter().position(|&place| place == 0).unwrap_or(0);
    let first = order.len() - turned;
    let is_turned = turned > 0 && order.iter().copied().eq((first..order.len()).chain(0..first));
    let product = |places: &[usize]| places.iter().product::<usize>();
    if is_turned && !from.is_vector() && to.is_vector() && product(&memory[first..]) == from.channels {
        return ("flatten", Flatten.into());
    }
    if is_turned && from.is_vector() && !to.is_vector() && product(&memory[..first]) == to.channels {
        return ("image", Reshape { shape: [to.channels, to.height, to.width] }.into());
    }
    let suffix = if order.is_sorted() { "view" } else { "permute" };
    (suffix, Rearrange { axes: memory.to_vec(), order: order.to_vec(), size: to }.into())
}
