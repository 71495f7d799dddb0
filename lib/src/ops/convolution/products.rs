//! The products of patches, weights and cotangents.

use std::ops::Range;

use super::geometry::Geometry;
use crate::ops::product::{Matrix, Target, Write, product_in_place};
use crate::tensor::{Element, transpose_images};

impl Geometry {
    /// W of each group transposed, in row order: as the products with patches read it. Otherwise they would transpose it for every tile.
    pub(super) fn columns<E: Element>(&self, weight: &[E]) -> Vec<E> {
        transpose_images(weight, self.group_outputs(), self.depth())
    }

    /// One group's part of [`Geometry::columns`].
    pub(super) fn columns_of<'a, E: Element>(&self, columns: &'a [E], group: usize) -> Matrix<'a, E> {
        let size = self.group_outputs() * self.depth();
        Matrix::new(&columns[group * size..][..size], self.depth(), self.group_outputs())
    }

    fn weight<'a, E: Element>(&self, weight: &'a [E], group: usize) -> Matrix<'a, E> {
        let size = self.group_outputs() * self.depth();
        Matrix::new(&weight[group * size..][..size], self.group_outputs(), self.depth())
    }

    /// One group's columns of rows of outputs.
    fn delta<'a, E: Element>(&self, delta: &'a [E], group: usize) -> Matrix<'a, E> {
        let rows = delta.len() / self.outputs;
        Matrix::strided(&delta[group * self.group_outputs()..], rows, self.group_outputs(), self.outputs)
    }

    /// Rows of y = W * x for a few images, from W's [`Geometry::columns`].
    pub(super) fn forward<E: Element>(
        &self,
        x: &[E],
        rows: Range<usize>,
        columns: &[E],
        patches: &mut Vec<E>,
        y: &mut [E],
    ) {
        for group in self.groups() {
            let patches = self.patches(x, rows.clone(), group, patches);
            let y = Target::strided(&mut y[group * self.group_outputs()..], self.outputs);
            product_in_place(y, patches, self.columns_of(columns, group), Write::Replace);
        }
    }

    /// The [`Geometry::columns`] of [`Geometry::turned`]: W'[u, v, o, c] = W[o, kh - 1 - u, kw - 1 - v, c].
    fn turn<E: Element>(&self, weight: &[E]) -> Vec<E> {
        let [kh, kw] = self.convolution.window.kernel;
        let (taps, channels, outputs) = (kh * kw, self.channels, self.outputs);
        let mut turned = vec![E::zero(); weight.len()];
        for (i, run) in weight.chunks_exact(channels).enumerate() {
            let (o, tap) = (i / taps, i % taps);
            turned[((taps - 1 - tap) * outputs + o) * channels..][..channels].copy_from_slice(run);
        }
        turned
    }

    /// x += W^T * delta for a few images.
    fn backward<E: Element>(&self, delta: &[E], weight: &[E], patches: &mut Vec<E>, x: &mut [E]) {
        if self.is_pointwise() {
            let target = Target::new(x, self.channels);
            return product_in_place(target, self.delta(delta, 0), self.weight(weight, 0), Write::Add);
        }
        for rows in self.bands() {
            let delta = &delta[self.values(&rows, x.len())];
            patches.resize(delta.len() / self.outputs * self.depth(), E::zero());
            for group in self.groups() {
                let target = Target::new(patches, self.depth());
                product_in_place(target, self.delta(delta, group), self.weight(weight, group), Write::Replace);
                self.scatter(patches, rows.clone(), group, x);
            }
        }
    }

    /// gradient += delta^T patches for the patches of a few images, gathered before.
    pub(super) fn weight_gradient<E: Element>(
        &self,
        delta: &[E],
        patches: Matrix<E>,
        group: usize,
        gradient: &mut [E],
    ) {
        let size = self.group_outputs() * self.depth();
        let target = Target::new(&mut gradient[group * size..][..size], self.depth());
        product_in_place(target, self.delta(delta, group).transposed(), patches, Write::Add);
    }
}

/// From cotangents of outputs to those of inputs: with the rotated kernel, or by a scatter.
pub(super) struct Backward<'a, E> {
    geometry: Geometry,
    weight: &'a [E],
    turned: Option<(Geometry, Vec<E>)>,
}

impl<'a, E: Element> Backward<'a, E> {
    pub(super) fn new(geometry: Geometry, weight: &'a [E]) -> Self {
        Self { geometry, weight, turned: geometry.turned().map(|turned| (turned, geometry.turn(weight))) }
    }

    /// x += W^T * delta for a few images.
    pub(super) fn add(&self, delta: &[E], patches: &mut Vec<E>, x: &mut [E]) {
        let Some((geometry, columns)) = &self.turned else {
            return self.geometry.backward(delta, self.weight, patches, x);
        };
        for rows in geometry.bands() {
            let target = Target::new(&mut x[geometry.values(&rows, delta.len())], geometry.outputs);
            let patches = geometry.patches(delta, rows, 0, patches);
            product_in_place(target, patches, geometry.columns_of(columns, 0), Write::Add);
        }
    }
}

/// Buffers that a thread reuses.
pub(super) struct Scratch<E> {
    pub(super) patches: Vec<E>,
    pub(super) delta: Vec<E>,
    pub(super) outputs: Vec<E>,
}

impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self { patches: Vec::new(), delta: Vec::new(), outputs: Vec::new() }
    }
}
