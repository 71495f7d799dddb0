//! Convolutions at the pixels of a region.

use super::planes::{Plane, Region};
use crate::density::network::PixelCnn;
use crate::density::parameters::Conv;
use crate::ops::product::{Matrix, Target, Write, product_in_place};
use crate::ops::weight_norm::{Outputs, weight_norm};
use crate::tensor::{Element, Tape, shape, view};

/// A convolution's weights as products take them, rows of its kernel one after the other, (kh, kw C, O).
pub(super) struct Kernel<E> {
    conv: Conv,
    weights: Vec<E>,
    pub(super) bias: Vec<E>,
    channels: usize,
}

impl<E: Element> Kernel<E> {
    pub(super) fn new(model: &PixelCnn<E>, conv: Conv) -> Self {
        let parameters = &model.parameters()[conv.v..conv.v + 3];
        let weight = weight_norm(&mut Tape::off(), &parameters[0], &parameters[1], Outputs::First);
        let (outputs, kh, kw, channels) = shape(&weight);
        let depth = kh * kw * channels;
        let mut weights = vec![E::zero(); outputs * depth];
        for (output, row) in view(&weight).chunks_exact(depth).enumerate() {
            row.iter().enumerate().for_each(|(k, &value)| weights[k * outputs + output] = value);
        }
        Self { conv, weights, bias: view(&parameters[2]).to_vec(), channels }
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// rows (+)= the convolution without bias, at the pixels of a region.
    pub(super) fn apply(&self, plane: &Plane<E>, region: &Region, rows: &mut [E], mut write: Write) {
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

    /// rows (+)= W * values for a kernel of one pixel; `values` has one row per pixel.
    pub(super) fn apply_pointwise(&self, values: &[E], rows: &mut [E], write: Write) {
        let count = values.len() / self.channels;
        let weights = Matrix::new(&self.weights, self.channels, self.outputs());
        product_in_place(Target::new(rows, self.outputs()), Matrix::new(values, count, self.channels), weights, write);
    }
}

pub(super) fn add_bias<E: Element>(rows: &mut [E], bias: &[E]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(value, &bias)| *value += bias);
    }
}
