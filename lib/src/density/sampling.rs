//! Images drawn pixel by pixel, row by row, x_i ~ p(x_i | x_1 … x_(i-1), h); every layer keeps what it has computed, so that a pixel
//! costs a pixel's work (Ramachandran et al. 2017) and each product is one that a full pass makes too.
//!
//! `u` depends on rows above alone and is computed a row at a time, `ul` a pixel at a time; the half and the quarter level where a
//! row or pixel of theirs begins. Draws are keyed by the image's number and pixel: batches and shards change nothing.
//!
//! ```
//! use obverse::density::sampling::{Draws, sample};
//! use obverse::density::{Architecture, Likelihood, PixelCnn};
//! let architecture = Architecture {
//!     channels: 1,
//!     height: 4,
//!     width: 4,
//!     filters: 4,
//!     blocks: 1,
//!     likelihood: Likelihood::Softmax,
//!     condition: None,
//! };
//! let model = PixelCnn::<f32>::random(architecture, 0)?;
//! let draws = |first| Draws { seed: 0, first, temperature: 1.0 };
//! let both = sample(&model, 2, None, draws(0), None);
//! // An image depends on its number, not on its batch.
//! assert_eq!(both[16..], sample(&model, 1, None, draws(1), None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ops::Range;

use super::architecture::{Architecture, Condition};
use super::network::{PixelCnn, grown};
use super::parameters::{Conv, Gated, Stream};
use crate::ops::causal::{ConcatElu, elu};
use crate::ops::gated::GatePixels;
use crate::ops::linear;
use crate::ops::logistic_mixture::draw as draw_mixture;
use crate::ops::product::{Matrix, Target, Write, product_in_place};
use crate::ops::upsample::bilinear;
use crate::ops::vectorised;
use crate::ops::weight_norm::{Outputs, weight_norm};
use crate::tensor::random;
use crate::tensor::{Batch, Element, shape, view};
use dfdx::prelude::NoneTape;

/// Pixels of a level that are computed together: a row of them for `u`, one for `ul`; all images of the batch at once.
#[derive(Clone)]
struct Region {
    level: usize,
    row: usize,
    columns: Range<usize>,
}

impl Region {
    fn pixels(&self) -> usize {
        self.columns.len()
    }
}

/// What a layer's kernel sees, of all images, with the zeros around it: the last rows, one more than the kernel has, in turn,
/// (N, kh + 1, left + W + right, C).
struct Plane<E> {
    values: Vec<E>,
    channels: usize,
    top: usize,
    left: usize,
    width: usize,
    rows: usize,
    image: usize,
}

impl<E: Element> Plane<E> {
    fn new(images: usize, width: usize, channels: usize, conv: Conv) -> Self {
        let (top, left) = conv.shift.reach(conv.kernel);
        let (width, rows) = (width + conv.kernel[1] - 1, conv.kernel[0] + 1);
        let image = rows * width * channels;
        Self { values: vec![E::zero(); images * image], channels, top, left, width, rows, image }
    }

    /// Where the window of a pixel starts under row `u` of the kernel, within an image.
    fn window(&self, row: usize, column: usize, u: usize) -> usize {
        ((row + u) % self.rows * self.width + column) * self.channels
    }

    /// The places of a region's pixels, an image after the other.
    fn put(&mut self, region: &Region, mut fill: impl FnMut(usize, &mut [E])) {
        let count = region.pixels() * self.channels;
        let row = (region.row + self.top) % self.rows;
        let first = (row * self.width + self.left + region.columns.start) * self.channels;
        for (number, image) in self.values.chunks_exact_mut(self.image).enumerate() {
            let pixels = image[first..first + count].chunks_exact_mut(self.channels);
            pixels.enumerate().for_each(|(pixel, values)| fill(number * region.pixels() + pixel, values));
        }
    }
}

/// A convolution's weights as products take them, rows of its kernel one after the other, (kh, kw C, O).
struct Kernel<E> {
    conv: Conv,
    weights: Vec<E>,
    bias: Vec<E>,
    channels: usize,
}

impl<E: Element> Kernel<E> {
    fn new(model: &PixelCnn<E>, conv: Conv) -> Self {
        let parameters = &model.parameters()[conv.v..conv.v + 3];
        let weight = weight_norm(&mut NoneTape, &parameters[0], &parameters[1], Outputs::First);
        let (outputs, kh, kw, channels) = shape(&weight);
        let depth = kh * kw * channels;
        let mut weights = vec![E::zero(); outputs * depth];
        for (output, row) in view(&weight).chunks_exact(depth).enumerate() {
            row.iter().enumerate().for_each(|(k, &value)| weights[k * outputs + output] = value);
        }
        Self { conv, weights, bias: view(&parameters[2]).to_vec(), channels }
    }

    fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// rows (+)= the convolution without bias, at the pixels of a region.
    fn apply(&self, plane: &Plane<E>, region: &Region, rows: &mut [E], mut write: Write) {
        let [kh, kw] = self.conv.kernel;
        let (depth, outputs) = (kw * self.channels, self.outputs());
        let images = plane.values.len() / plane.image;
        for u in 0..kh {
            let weights = Matrix::new(&self.weights[u * depth * outputs..][..depth * outputs], depth, outputs);
            let first = plane.window(region.row, region.columns.start, u);
            if region.pixels() == 1 {
                let patches = Matrix::strided(&plane.values[first..], images, depth, plane.image);
                product_in_place(Target::new(rows, outputs), patches, weights, write);
            } else {
                let own = rows.chunks_exact_mut(region.pixels() * outputs).zip(plane.values.chunks_exact(plane.image));
                for (rows, image) in own {
                    let patches = Matrix::strided(&image[first..], region.pixels(), depth, self.channels);
                    product_in_place(Target::new(rows, outputs), patches, weights, write);
                }
            }
            write = Write::Add;
        }
    }

    /// rows (+)= W * values for a kernel of one pixel; `values` one row a pixel.
    fn apply_pointwise(&self, values: &[E], rows: &mut [E], write: Write) {
        let count = values.len() / self.channels;
        let weights = Matrix::new(&self.weights, self.channels, self.outputs());
        product_in_place(Target::new(rows, self.outputs()), Matrix::new(values, count, self.channels), weights, write);
    }
}

fn add_bias<E: Element>(rows: &mut [E], bias: &[E]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(value, &bias)| *value += bias);
    }
}

/// A gated block with what its two convolutions see.
struct Block<E> {
    conv_in: Kernel<E>,
    skip: Option<Kernel<E>>,
    conv_out: Kernel<E>,
    /// The condition's biases: of an image, (N, 2F), or of its pixels at this level, (N, H, W, 2F); empty without a condition.
    condition: Vec<E>,
    before: Plane<E>,
    between: Plane<E>,
    /// The sum of the first two biases.
    bias: Vec<E>,
}

/// The sizes of what is sampled.
#[derive(Clone, Copy)]
struct Sizes {
    images: usize,
    levels: [(usize, usize); 3],
    filters: usize,
    maps: bool,
}

impl<E: Element> Block<E> {
    fn new(model: &PixelCnn<E>, block: Gated, level: usize, sizes: Sizes, condition: Option<&Projection<E>>) -> Self {
        let kernel = |conv| Kernel::new(model, conv);
        let plane = |conv| Plane::new(sizes.images, sizes.levels[level].1, 2 * sizes.filters, conv);
        let (conv_in, skip) = (kernel(block.conv_in), block.skip.map(kernel));
        let mut bias = vec![E::zero(); sizes.filters];
        for kernel in std::iter::once(&conv_in).chain(&skip) {
            bias.iter_mut().zip(&kernel.bias).for_each(|(sum, &bias)| *sum += bias);
        }
        let condition = condition.zip(block.context);
        let condition = condition.map(|(condition, place)| condition.biases(&model.parameters()[place], level));
        Self {
            conv_in,
            skip,
            conv_out: kernel(block.conv_out),
            condition: condition.unwrap_or_default(),
            before: plane(block.conv_in),
            between: plane(block.conv_out),
            bias,
        }
    }

    /// What the block makes of x at a region; `beside` is what its skip sees, a part a tensor.
    fn run(&mut self, region: &Region, sizes: Sizes, x: &[E], beside: &[&[E]]) -> Vec<E> {
        let filters = sizes.filters;
        self.before.put(region, |pixel, values| doubled(&x[pixel * filters..][..filters], values));
        let mut c = vec![E::zero(); x.len()];
        self.conv_in.apply(&self.before, region, &mut c, Write::Replace);
        if let Some(skip) = &self.skip {
            skip.apply_pointwise(&fed(beside, filters), &mut c, Write::Add);
        }
        add_bias(&mut c, &self.bias);
        self.between.put(region, |pixel, values| doubled(&c[pixel * filters..][..filters], values));
        let mut gates = vec![E::zero(); 2 * x.len()];
        self.conv_out.apply(&self.between, region, &mut gates, Write::Replace);
        self.add_condition(region, sizes, &mut gates);
        let mut y = vec![E::zero(); x.len()];
        vectorised::<GatePixels, _>((x, gates.as_slice(), filters, y.as_mut_slice()));
        y
    }

    /// Adds the bias and the condition's, in the order of a full pass.
    fn add_condition(&self, region: &Region, sizes: Sizes, gates: &mut [E]) {
        let (width, own) = (2 * sizes.filters, &self.conv_out.bias);
        let (tall, wide) = sizes.levels[region.level];
        for (image, rows) in gates.chunks_exact_mut(region.pixels() * width).enumerate() {
            if self.condition.is_empty() {
                add_bias(rows, own);
            } else if sizes.maps {
                let first = ((image * tall + region.row) * wide + region.columns.start) * width;
                let maps = &self.condition[first..first + rows.len()];
                rows.iter_mut().zip(maps).for_each(|(value, &map)| *value += map);
                add_bias(rows, own);
            } else {
                let condition = &self.condition[image * width..][..width];
                let sum: Vec<E> = own.iter().zip(condition).map(|(&own, &condition)| own + condition).collect();
                add_bias(rows, &sum);
            }
        }
    }
}

/// elu([x, -x]) of a pixel.
fn doubled<E: Element>(x: &[E], values: &mut [E]) {
    let (positive, negative) = values.split_at_mut(x.len());
    vectorised::<ConcatElu, _>((x, positive, negative));
}

/// elu([a, b, …, -a, -b, …]) of each pixel of several tensors.
fn fed<E: Element>(parts: &[&[E]], filters: usize) -> Vec<E> {
    let count = parts.first().map_or(0, |part| part.len() / filters);
    let width = 2 * filters * parts.len();
    let mut result = vec![E::zero(); count * width];
    for (pixel, values) in result.chunks_exact_mut(width.max(1)).enumerate() {
        let (positive, negative) = values.split_at_mut(width / 2);
        for (number, part) in parts.iter().enumerate() {
            let range = number * filters..(number + 1) * filters;
            let x = &part[pixel * filters..][..filters];
            vectorised::<ConcatElu, _>((x, &mut positive[range.clone()], &mut negative[range]));
        }
    }
    result
}

/// The condition as blocks take it.
struct Projection<E: Element> {
    values: Batch<E>,
    maps: Option<[Batch<E>; 3]>,
}

impl<E: Element> Projection<E> {
    fn new(architecture: &Architecture, values: &Batch<E>) -> Self {
        let maps = matches!(architecture.condition, Some(Condition::Maps(..)));
        let maps = maps.then(|| architecture.levels().map(|size| bilinear(&mut NoneTape, values, size)));
        Self { values: values.clone(), maps }
    }

    fn biases(&self, projection: &Batch<E>, level: usize) -> Vec<E> {
        let Some(maps) = &self.maps else {
            return view(&linear::adjoint(&mut NoneTape, &self.values, None, projection)).to_vec();
        };
        let (outputs, _, _, channels) = shape(projection);
        let rows = view(&maps[level]).len() / channels;
        let mut result = vec![E::zero(); rows * outputs];
        let weights = Matrix::new(view(projection), outputs, channels).transposed();
        let values = Matrix::new(view(&maps[level]), rows, channels);
        product_in_place(Target::new(&mut result, outputs), values, weights, Write::Replace);
        result
    }
}

/// A layer between levels: to half the size, or to twice.
struct Between<E> {
    kernel: [usize; 2],
    weights: Vec<E>,
    bias: Vec<E>,
    filters: usize,
    conv: Conv,
}

impl<E: Element> Between<E> {
    fn new(model: &PixelCnn<E>, conv: Conv, outputs: Outputs) -> Self {
        let parameters = &model.parameters()[conv.v..conv.v + 3];
        let weight = weight_norm(&mut NoneTape, &parameters[0], &parameters[1], outputs);
        let bias = view(&parameters[2]).to_vec();
        Self { kernel: conv.kernel, weights: view(&weight).to_vec(), filters: bias.len(), bias, conv }
    }

    /// A convolution of stride 2 at a region of the smaller level, of what the larger one has computed.
    fn shrink(&self, plane: &Plane<E>, region: &Region) -> Vec<E> {
        let [kh, kw] = self.kernel;
        let depth = kh * kw * self.filters;
        let mut patches = Vec::new();
        for image in plane.values.chunks_exact(plane.image) {
            for column in region.columns.clone() {
                for u in 0..kh {
                    let first = plane.window(2 * region.row, 2 * column, u);
                    patches.extend_from_slice(&image[first..first + kw * self.filters]);
                }
            }
        }
        let rows = patches.len() / depth;
        let mut result = vec![E::zero(); rows * self.filters];
        let weights = Matrix::new(&self.weights, self.filters, depth).transposed();
        product_in_place(
            Target::new(&mut result, self.filters),
            Matrix::new(&patches, rows, depth),
            weights,
            Write::Replace,
        );
        add_bias(&mut result, &self.bias);
        result
    }

    /// The transposed convolution of stride 2 of a region of the smaller level, into what the larger one has.
    fn grow(&self, x: &[E], region: &Region, target: &mut Grown<E>) {
        let ([kh, kw], width) = (self.kernel, self.filters);
        let depth = kh * kw * width;
        let rows = x.len() / width;
        let mut patches = vec![E::zero(); rows * depth];
        let weights = Matrix::new(&self.weights, width, depth);
        product_in_place(Target::new(&mut patches, depth), Matrix::new(x, rows, width), weights, Write::Replace);
        let left = grown(self.conv).padding.left;
        let (tall, wide) = target.size;
        for (row, patch) in patches.chunks_exact(depth).enumerate() {
            let (image, column) = (row / region.pixels(), region.columns.start + row % region.pixels());
            for (tap, values) in patch.chunks_exact(width).enumerate() {
                let (i, j) = (2 * region.row + tap / kw, (2 * column + tap % kw).checked_sub(left));
                let Some(j) = j.filter(|&j| i < tall && j < wide) else { continue };
                let place = ((image * tall + i) * wide + j) * width;
                let sums = target.values[place..place + width].iter_mut().zip(values);
                sums.for_each(|(sum, &value)| *sum += value);
            }
        }
    }
}

/// What a growing layer has made so far, (N, H, W, F), without its bias.
struct Grown<E> {
    values: Vec<E>,
    size: (usize, usize),
}

impl<E: Element> Grown<E> {
    fn at(&self, region: &Region, images: usize, bias: &[E]) -> Vec<E> {
        let (width, (tall, wide)) = (bias.len(), self.size);
        let count = region.pixels() * width;
        let mut result = Vec::with_capacity(images * count);
        for image in 0..images {
            let first = ((image * tall + region.row) * wide + region.columns.start) * width;
            result.extend_from_slice(&self.values[first..first + count]);
        }
        add_bias(&mut result, bias);
        result
    }
}

/// One stream's layers with what they keep.
struct Layers<E> {
    up: Vec<Block<E>>,
    down: Vec<Block<E>>,
    shrink: Vec<Between<E>>,
    grow: Vec<Between<E>>,
    /// What the shrinking layers see.
    large: Vec<Plane<E>>,
    /// What the growing layers have made: of the half level, of the whole one.
    grown: Vec<Grown<E>>,
    /// Of each level, what its layers on the way up made of the region that was computed last.
    ups: [Vec<Vec<E>>; 3],
    /// The same on the way down, in the order they are computed.
    downs: [Vec<Vec<E>>; 3],
}

impl<E: Element> Layers<E> {
    fn new(model: &PixelCnn<E>, stream: &Stream, sizes: Sizes, condition: Option<&Projection<E>>) -> Self {
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

/// A model that computes a pixel's distribution from what it keeps of the pixels before.
pub struct Sampler<E: Element> {
    architecture: Architecture,
    sizes: Sizes,
    first_u: Kernel<E>,
    first_row: Kernel<E>,
    first_column: Kernel<E>,
    seen: [Plane<E>; 3],
    u: Layers<E>,
    ul: Layers<E>,
    out: Kernel<E>,
}

impl<E: Element> Sampler<E> {
    /// A sampler of `images` images at a time, each with its own condition.
    pub fn new(model: &PixelCnn<E>, images: usize, condition: Option<&Batch<E>>) -> Self {
        let architecture = *model.architecture();
        let levels = architecture.levels();
        let maps = matches!(architecture.condition, Some(Condition::Maps(..)));
        let sizes = Sizes { images, levels, filters: architecture.filters, maps };
        let condition = condition.map(|condition| Projection::new(&architecture, condition));
        let layers = &model.layers;
        let seen = [layers.first_u, layers.first_ul_row, layers.first_ul_col]
            .map(|conv| Plane::new(images, levels[0].1, architecture.channels + 1, conv));
        Self {
            architecture,
            sizes,
            first_u: Kernel::new(model, layers.first_u),
            first_row: Kernel::new(model, layers.first_ul_row),
            first_column: Kernel::new(model, layers.first_ul_col),
            seen,
            u: Layers::new(model, &layers.u, sizes, condition.as_ref()),
            ul: Layers::new(model, &layers.ul, sizes, condition.as_ref()),
            out: Kernel::new(model, layers.out),
        }
    }

    /// Goes through the pixels in order. `choose` is told each one's number and the parameters of its distribution, (N, P), and gives
    /// the pixel's values, (N, C).
    pub fn run(mut self, mut choose: impl FnMut(usize, &[E]) -> Vec<u8>) {
        for row in 0..self.architecture.height {
            self.row(row);
            for column in 0..self.architecture.width {
                let outputs = self.pixel(row, column);
                let values = choose(row * self.architecture.width + column, &outputs);
                self.show(row, column, &values);
            }
        }
    }

    /// Lets later pixels see this one.
    fn show(&mut self, row: usize, column: usize, values: &[u8]) {
        let channels = self.architecture.channels;
        let region = Region { level: 0, row, columns: column..column + 1 };
        for plane in &mut self.seen {
            plane.put(&region, |image, place| {
                for (place, &value) in place.iter_mut().zip(&values[image * channels..][..channels]) {
                    *place = E::of(f64::from(value) / 127.5 - 1.0);
                }
                place[channels] = E::one();
            });
        }
    }

    /// What one of the first layers makes at a region, or zeros where it was shifted in from outside.
    fn first(&self, which: usize, region: Option<Region>, pixels: usize) -> Vec<E> {
        let kernel = [&self.first_u, &self.first_row, &self.first_column][which];
        let mut rows = vec![E::zero(); self.sizes.images * pixels * kernel.outputs()];
        if let Some(region) = region {
            kernel.apply(&self.seen[which], &region, &mut rows, Write::Replace);
            add_bias(&mut rows, &kernel.bias);
        }
        rows
    }

    /// Computes what depends on the rows above alone.
    fn row(&mut self, row: usize) {
        let levels = (0..3).take_while(|&level| row.is_multiple_of(1 << level)).count();
        let width = self.sizes.levels[0].1;
        let above = row.checked_sub(1).map(|row| Region { level: 0, row, columns: 0..width });
        let first = self.first(0, above, width);
        let region =
            |sizes: Sizes, level: usize| Region { level, row: row >> level, columns: 0..sizes.levels[level].1 };
        let (blocks, sizes) = (self.architecture.blocks, self.sizes);
        up(&mut self.u, None, first, levels, blocks, sizes, &region);
        down(&mut self.u, None, levels, blocks, sizes, &region);
    }

    /// Computes the parameters of a pixel's distribution, (N, P).
    fn pixel(&mut self, row: usize, column: usize) -> Vec<E> {
        let levels =
            (0..3).take_while(|&level| row.is_multiple_of(1 << level) && column.is_multiple_of(1 << level)).count();
        let at = |row: usize, column: usize| Region { level: 0, row, columns: column..column + 1 };
        let above = self.first(1, row.checked_sub(1).map(|row| at(row, column)), 1);
        let left = self.first(2, column.checked_sub(1).map(|column| at(row, column)), 1);
        let first = above.iter().zip(&left).map(|(&above, &left)| above + left).collect();
        let region = |_: Sizes, level: usize| {
            let column = column >> level;
            Region { level, row: row >> level, columns: column..column + 1 }
        };
        let (blocks, sizes) = (self.architecture.blocks, self.sizes);
        up(&mut self.ul, Some(&self.u), first, levels, blocks, sizes, &region);
        let last = down(&mut self.ul, Some(&self.u), levels, blocks, sizes, &region);
        let mut values = vec![E::zero(); last.len()];
        elu(&last, &mut values);
        let mut outputs = vec![E::zero(); sizes.images * self.out.outputs()];
        self.out.apply_pointwise(&values, &mut outputs, Write::Replace);
        add_bias(&mut outputs, &self.out.bias);
        outputs
    }
}

/// The part of `u`'s last row at a region's columns.
fn columns_of<E: Element>(rows: &[E], region: &Region, sizes: Sizes) -> Vec<E> {
    let (wide, width) = (sizes.levels[region.level].1, sizes.filters);
    let images = rows.chunks_exact(wide * width);
    images.flat_map(|row| &row[region.columns.start * width..region.columns.end * width]).copied().collect()
}

/// The layers on the way up, at as many levels as have a region here.
fn up<E: Element>(
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

/// The layers on the way down, at as many levels as have a region here; what the last one makes.
fn down<E: Element>(
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

/// How images are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draws {
    /// Keys the draws.
    pub seed: u64,
    /// The number of the first image: each image has draws of its own.
    pub first: usize,
    /// Divides logits and multiplies scales: below 1 images are more likely than the model's, at 1 they are its samples.
    pub temperature: f64,
}

/// Images, (N, H, W, C), each drawn from p(x | h); of `given` images the upper rows are kept.
pub fn sample<E: Element>(
    model: &PixelCnn<E>,
    images: usize,
    condition: Option<&Batch<E>>,
    draws: Draws,
    given: Option<(&[u8], usize)>,
) -> Vec<u8> {
    let architecture = *model.architecture();
    let (channels, dimensions) = (architecture.channels, architecture.dimensions());
    let uniforms: Vec<Vec<f64>> = (0..images)
        .map(|image| {
            let stream = random::Stream::new(draws.seed, "sample", (draws.first + image) as u64);
            // A draw for the mixture's component or the value, and one for each colour.
            stream.uniform(0..architecture.height * architecture.width * (1 + channels))
        })
        .collect();
    let mut result = vec![0; images * dimensions];
    Sampler::new(model, images, condition).run(|pixel, outputs| {
        let place = |image: usize| image * dimensions + pixel * channels;
        let mut values = Vec::with_capacity(images * channels);
        for (image, parameters) in outputs.chunks_exact(architecture.outputs()).enumerate() {
            match given {
                Some((given, rows)) if pixel < rows * architecture.width => {
                    values.extend_from_slice(&given[place(image)..place(image) + channels]);
                }
                _ => {
                    let uniforms = &uniforms[image][pixel * (1 + channels)..][..1 + channels];
                    values.extend(draw(&architecture, parameters, uniforms, draws.temperature));
                }
            }
        }
        for (image, values) in values.chunks_exact(channels).enumerate() {
            result[place(image)..place(image) + channels].copy_from_slice(values);
        }
        values
    });
    result
}

/// A pixel's values from its distribution and uniform numbers.
fn draw<E: Element>(architecture: &Architecture, parameters: &[E], uniforms: &[f64], temperature: f64) -> Vec<u8> {
    let parameters: Vec<f64> = parameters.iter().map(|value| value.wide()).collect();
    match architecture.mixture() {
        None => vec![crate::ops::categorical::draw(&parameters, uniforms[0], temperature) as u8],
        Some(mixture) => draw_mixture(mixture, &parameters, uniforms, temperature),
    }
}

/// The parameters of each pixel's distribution, (N, H, W, P), when the pixels before are those given: what [`PixelCnn::forward`]
/// computes in one pass, computed as in sampling.
pub fn teacher_forced<E: Element>(model: &PixelCnn<E>, pixels: &[u8], condition: Option<&Batch<E>>) -> Vec<E> {
    let architecture = *model.architecture();
    let (channels, dimensions, count) = (architecture.channels, architecture.dimensions(), architecture.outputs());
    let images = pixels.len() / dimensions;
    let area = architecture.height * architecture.width;
    let mut result = vec![E::zero(); images * area * count];
    Sampler::new(model, images, condition).run(|pixel, outputs| {
        for (image, outputs) in outputs.chunks_exact(count).enumerate() {
            result[(image * area + pixel) * count..][..count].copy_from_slice(outputs);
        }
        let place = |image: usize| image * dimensions + pixel * channels;
        (0..images).flat_map(|image| pixels[place(image)..place(image) + channels].to_vec()).collect()
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::density::network::Mode;
    use crate::density::network_tests::{configurations, example};
    use crate::ops::InputGradient;
    use crate::store::npy::Scalar;

    /// The largest difference between what sampling and a full pass compute, over pixels within the images.
    fn difference<E: Element + Scalar>(architecture: Architecture) -> f64 {
        let (model, pixels, condition) = example::<E>(architecture, 3);
        let forced = teacher_forced(&model, &pixels, condition.as_ref());
        let given = condition.as_ref().map(|condition| (condition, InputGradient::Unwanted));
        let full = model.forward(&mut NoneTape, &model.scaled(&pixels), given, Mode::Inference);
        let ((_, tall, wide, count), Architecture { height, width, .. }) = (shape(&full), architecture);
        let mut largest: f64 = 0.0;
        for (number, forced) in forced.chunks_exact(count).enumerate() {
            let (image, row, column) = (number / (height * width), number / width % height, number % width);
            let full = &view(&full)[((image * tall + row) * wide + column) * count..][..count];
            let differences = full.iter().zip(forced).map(|(&a, &b)| (a - b).wide().abs());
            largest = differences.fold(largest, |largest, d| if d > largest || d.is_nan() { d } else { largest });
        }
        largest
    }

    #[test]
    fn what_is_kept_gives_what_a_full_pass_gives() {
        for architecture in configurations() {
            let (exact, single) = (difference::<f64>(architecture), difference::<f32>(architecture));
            assert!(exact < 1e-12 && single < 1e-4, "{architecture:?}: {exact:e} {single:e}");
        }
    }

    /// Samples as a full pass at each pixel draws them.
    fn slowly<E: Element + Scalar>(
        model: &PixelCnn<E>,
        images: usize,
        condition: Option<&Batch<E>>,
        draws: Draws,
    ) -> Vec<u8> {
        let architecture = *model.architecture();
        let (channels, count) = (architecture.channels, architecture.outputs());
        let mut pixels = vec![0; images * architecture.dimensions()];
        for pixel in 0..architecture.height * architecture.width {
            let given = condition.map(|condition| (condition, InputGradient::Unwanted));
            let full = model.forward(&mut NoneTape, &model.scaled(&pixels), given, Mode::Inference);
            let (_, tall, wide, _) = shape(&full);
            for image in 0..images {
                let (row, column) = (pixel / architecture.width, pixel % architecture.width);
                let parameters = &view(&full)[((image * tall + row) * wide + column) * count..][..count];
                let uniforms: Vec<f64> = random::Stream::new(draws.seed, "sample", (draws.first + image) as u64)
                    .uniform(pixel * (1 + channels)..(pixel + 1) * (1 + channels));
                let values = draw(&architecture, parameters, &uniforms, draws.temperature);
                pixels[image * architecture.dimensions() + pixel * channels..][..channels].copy_from_slice(&values);
            }
        }
        pixels
    }

    #[test]
    fn samples_are_those_of_full_passes_in_f64_and_nearly_all_in_f32() {
        for architecture in configurations() {
            let draws = Draws { seed: 4, first: 7, temperature: 0.9 };
            let (model, _, condition) = example::<f64>(architecture, 3);
            let exact = sample(&model, 3, condition.as_ref(), draws, None);
            assert_eq!(exact, slowly(&model, 3, condition.as_ref(), draws), "{architecture:?}");
            let (model, _, condition) = example::<f32>(architecture, 3);
            let (fast, slow) =
                (sample(&model, 3, condition.as_ref(), draws, None), slowly(&model, 3, condition.as_ref(), draws));
            let equal = fast.iter().zip(&slow).filter(|(a, b)| a == b).count();
            assert!(equal * 100 >= 99 * fast.len(), "{architecture:?}: {equal} of {}", fast.len());
        }
    }

    #[test]
    fn an_image_has_draws_of_its_own_and_given_rows_stay() {
        let architecture = configurations()[1];
        let (model, pixels, condition) = example::<f32>(architecture, 3);
        let draws = |first| Draws { seed: 4, first, temperature: 1.0 };
        let all = sample(&model, 3, condition.as_ref(), draws(0), None);
        let last = crate::tensor::batch(view(&condition.clone().unwrap())[6..].to_vec(), (1, 1, 1, 3));
        let dimensions = architecture.dimensions();
        assert_eq!(sample(&model, 1, Some(&last), draws(2), None), all[2 * dimensions..]);
        let completed = sample(&model, 3, condition.as_ref(), draws(0), Some((&pixels, 4)));
        for (image, (completed, pixels)) in completed.chunks(dimensions).zip(pixels.chunks(dimensions)).enumerate() {
            let kept = 4 * architecture.width * architecture.channels;
            assert_eq!(completed[..kept], pixels[..kept], "image {image}");
            assert_ne!(completed[kept..], pixels[kept..], "image {image}");
        }
    }
}
