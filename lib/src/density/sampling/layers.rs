//! One stream's layers on the way up and down, with what they keep.

use std::ops::Range;

use super::blocks::{Block, Projection, Sizes};
use super::levels::{Between, Grown};
use super::planes::{Plane, Region};
use crate::density::network::PixelCnn;
use crate::density::parameters::{Gated, Stream};
use crate::ops::weight_norm::Outputs;
use crate::tensor::Element;

/// One stream's layers with what they keep.
pub(super) struct Layers<E> {
    up: Vec<Block<E>>,
    down: Vec<Block<E>>,
    shrink: Vec<Between<E>>,
    grow: Vec<Between<E>>,
    /// The inputs of the shrinking layers.
    large: Vec<Plane<E>>,
    /// The outputs of the growing layers: at the half level, and at the full one.
    grown: Vec<Grown<E>>,
    /// For each level, the outputs of its layers on the way up at the region computed last.
    ups: [Vec<Vec<E>>; 3],
    /// The same on the way down, in the order they are computed.
    downs: [Vec<Vec<E>>; 3],
}

impl<E: Element> Layers<E> {
    pub(super) fn new(model: &PixelCnn<E>, stream: &Stream, sizes: Sizes, condition: Option<&Projection<E>>) -> Self {
        let blocks = model.architecture().blocks;
        let block = |gated: &Gated, level| Block::new(model, *gated, level, sizes, condition);
        let up = stream.up.iter().enumerate().map(|(i, gated)| block(gated, i / blocks)).collect();
        let level_down = |i: usize| 2 - (i + 1).saturating_sub(blocks).div_ceil(blocks + 1).min(2);
        let down = stream.down.iter().enumerate().map(|(i, gated)| block(gated, level_down(i))).collect();
        let large = stream.shrink.iter().enumerate();
        let large = large.map(|(level, conv)| Plane::new(sizes.images, sizes.levels[level].1, sizes.filters, *conv));
        let grown = [1, 0].map(|level| {
            let (height, width) = sizes.levels[level];
            Grown { values: vec![E::zero(); sizes.images * height * width * sizes.filters], size: (height, width) }
        });
        Self {
            up,
            down,
            shrink: stream.shrink.iter().map(|conv| Between::new(model, *conv, Outputs::First)).collect(),
            grow: stream.grow.iter().map(|conv| Between::new(model, *conv, Outputs::Last)).collect(),
            large: large.collect(),
            grown: grown.into(),
            ups: Default::default(),
            downs: Default::default(),
        }
    }
}

/// The places of the blocks on the way down at a level.
fn down_blocks(blocks: usize, level: usize) -> Range<usize> {
    match level {
        2 => 0..blocks,
        1 => blocks..2 * blocks + 1,
        _ => 2 * blocks + 1..3 * blocks + 2,
    }
}

/// The part of `u`'s last row at a region's columns.
fn columns_of<E: Element>(rows: &[E], region: &Region, sizes: Sizes) -> Vec<E> {
    let (wide, width) = (sizes.levels[region.level].1, sizes.filters);
    let images = rows.chunks_exact(wide * width);
    images.flat_map(|row| &row[region.columns.start * width..region.columns.end * width]).copied().collect()
}

/// The layers on the way up, at the levels that have a region here.
pub(super) fn up<E: Element>(
    layers: &mut Layers<E>,
    beside: Option<&Layers<E>>,
    first: Vec<E>,
    levels: usize,
    blocks: usize,
    sizes: Sizes,
    region: &impl Fn(Sizes, usize) -> Region,
) {
    let mut x = first;
    for level in 0..levels {
        let at = region(sizes, level);
        layers.ups[level] = vec![x.clone()];
        for (number, block) in layers.up[level * blocks..(level + 1) * blocks].iter_mut().enumerate() {
            let skip = beside.map(|u| columns_of(&u.ups[level][number + 1], &at, sizes));
            x = block.run(&at, sizes, &x, &skip.iter().map(Vec::as_slice).collect::<Vec<_>>());
            layers.ups[level].push(x.clone());
        }
        if level < 2 {
            let filters = sizes.filters;
            layers.large[level].put(&at, |pixel, values| values.copy_from_slice(&x[pixel * filters..][..filters]));
        }
        if level + 1 < levels {
            x = layers.shrink[level].shrink(&layers.large[level], &region(sizes, level + 1));
        }
    }
}

/// The layers on the way down, at the levels that have a region here; returns the last output.
pub(super) fn down<E: Element>(
    layers: &mut Layers<E>,
    beside: Option<&Layers<E>>,
    levels: usize,
    blocks: usize,
    sizes: Sizes,
    region: &impl Fn(Sizes, usize) -> Region,
) -> Vec<E> {
    let mut x = Vec::new();
    for level in (0..levels).rev() {
        let at = region(sizes, level);
        let mut skips = layers.ups[level].clone();
        x = match level {
            2 => skips.pop().unwrap_or_default(),
            _ => layers.grown[1 - level].at(&at, sizes.images, &layers.grow[1 - level].bias),
        };
        layers.downs[level].clear();
        for (number, block) in layers.down[down_blocks(blocks, level)].iter_mut().enumerate() {
            let own = skips.pop().unwrap_or_default();
            let u = beside.map(|u| columns_of(&u.downs[level][number], &at, sizes));
            let parts: Vec<&[E]> = u.iter().map(Vec::as_slice).chain([own.as_slice()]).collect();
            x = block.run(&at, sizes, &x, &parts);
            layers.downs[level].push(x.clone());
        }
        if level > 0 {
            let (grow, target) = (&layers.grow[2 - level], &mut layers.grown[2 - level]);
            grow.grow(&x, &at, target);
        }
    }
    x
}
