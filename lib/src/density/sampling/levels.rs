//! Layers between levels: to half the size, and to twice.

use super::planes::{Plane, Region};
use super::products::add_bias;
use crate::density::network::{PixelCnn, grown};
use crate::density::parameters::Conv;
use crate::ops::product::{Matrix, Target, Write, product_in_place};
use crate::ops::weight_norm::{Outputs, weight_norm};
use crate::tensor::{Element, Tape, view};

/// A layer between levels: to half the size, or to twice.
pub(super) struct Between<E> {
    kernel: [usize; 2],
    weights: Vec<E>,
    pub(super) bias: Vec<E>,
    filters: usize,
    conv: Conv,
}

impl<E: Element> Between<E> {
    pub(super) fn new(model: &PixelCnn<E>, conv: Conv, outputs: Outputs) -> Self {
        let parameters = &model.parameters()[conv.v..conv.v + 3];
        let weight = weight_norm(&mut Tape::off(), &parameters[0], &parameters[1], outputs);
        let bias = view(&parameters[2]).to_vec();
        Self { kernel: conv.kernel, weights: view(&weight).to_vec(), filters: bias.len(), bias, conv }
    }

    /// A convolution of stride 2: a region of the smaller level from what the larger level has computed.
    pub(super) fn shrink(&self, plane: &Plane<E>, region: &Region) -> Vec<E> {
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
    pub(super) fn grow(&self, x: &[E], region: &Region, target: &mut Grown<E>) {
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

/// What a growing layer has computed so far, (N, H, W, F), without its bias.
pub(super) struct Grown<E> {
    pub(super) values: Vec<E>,
    pub(super) size: (usize, usize),
}

impl<E: Element> Grown<E> {
    pub(super) fn at(&self, region: &Region, images: usize, bias: &[E]) -> Vec<E> {
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
