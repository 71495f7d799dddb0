//! Gated blocks, at the pixels of a region.

use super::planes::{Plane, Region};
use super::products::{Kernel, add_bias};
use crate::density::architecture::{Architecture, Condition};
use crate::density::network::PixelCnn;
use crate::density::parameters::Gated;
use crate::ops::causal::ConcatElu;
use crate::ops::gated::GatePixels;
use crate::ops::product::{Matrix, Target, Write, product_in_place};
use crate::ops::upsample::bilinear;
use crate::ops::{linear, vectorised};
use crate::tensor::{Batch, Element, Tape, shape, view};

/// The sizes of what is sampled.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) images: usize,
    pub(super) levels: [(usize, usize); 3],
    pub(super) filters: usize,
    pub(super) maps: bool,
}

/// A gated block with the inputs of its two convolutions.
pub(super) struct Block<E> {
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

impl<E: Element> Block<E> {
    pub(super) fn new(
        model: &PixelCnn<E>,
        block: Gated,
        level: usize,
        sizes: Sizes,
        condition: Option<&Projection<E>>,
    ) -> Self {
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

    /// The block's output for x at a region; `beside` are the tensors that its skip connection sees.
    pub(super) fn run(&mut self, region: &Region, sizes: Sizes, x: &[E], beside: &[&[E]]) -> Vec<E> {
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

    /// Adds the bias and that of the condition, in the order of a full pass.
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
pub(super) struct Projection<E: Element> {
    values: Batch<E>,
    maps: Option<[Batch<E>; 3]>,
}

impl<E: Element> Projection<E> {
    pub(super) fn new(architecture: &Architecture, values: &Batch<E>) -> Self {
        let maps = matches!(architecture.condition, Some(Condition::Maps(..)));
        let maps = maps.then(|| architecture.levels().map(|size| bilinear(&mut Tape::off(), values, size)));
        Self { values: values.clone(), maps }
    }

    fn biases(&self, projection: &Batch<E>, level: usize) -> Vec<E> {
        let Some(maps) = &self.maps else {
            return view(&linear::adjoint(&mut Tape::off(), &self.values, None, projection)).to_vec();
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
