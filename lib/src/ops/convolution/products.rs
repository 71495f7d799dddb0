//! The products of patches, weights and cotangents.

use std::borrow::Cow;
use std::ops::Range;

use super::geometry::Geometry;
use crate::ops::product::{Matrix, Target, Write, are_enough, product, product_in_place};
use crate::ops::weight::Weight;
use crate::tensor::{Element, transpose_images, view};

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
        threads: Threads,
    ) {
        for group in self.groups() {
            let patches = self.patches(x, rows.clone(), group, patches);
            let columns = self.columns_of(columns, group);
            if self.convolution.groups == 1 {
                return threads.product(y, patches, columns, Write::Replace);
            }
            let y = Target::strided(&mut y[group * self.group_outputs()..], self.outputs);
            product_in_place(y, patches, columns, Write::Replace);
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
    fn backward<E: Element>(&self, delta: &[E], weight: &[E], patches: &mut Vec<E>, x: &mut [E], threads: Threads) {
        if self.is_pointwise() {
            return threads.product(x, self.delta(delta, 0), self.weight(weight, 0), Write::Add);
        }
        for rows in self.bands() {
            let delta = &delta[self.values(&rows, x.len())];
            patches.resize(delta.len() / self.outputs * self.depth(), E::zero());
            for group in self.groups() {
                threads.product(patches, self.delta(delta, group), self.weight(weight, group), Write::Replace);
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
pub(super) struct Backward<'a, E: Element> {
    geometry: Geometry,
    weight: &'a [E],
    turned: Option<(Geometry, Cow<'a, [E]>)>,
}

impl<'a, E: Element> Backward<'a, E> {
    pub(super) fn new(geometry: Geometry, weight: Weight<'a, E>) -> Self {
        let values = view(weight.values);
        let rotated = || weight.rotated(|| geometry.turn(values));
        Self { geometry, weight: values, turned: geometry.turned().map(|turned| (turned, rotated())) }
    }

    /// x += W^T * delta for a few images.
    pub(super) fn add(&self, delta: &[E], patches: &mut Vec<E>, x: &mut [E], threads: Threads) {
        let Some((geometry, columns)) = &self.turned else {
            return self.geometry.backward(delta, self.weight, patches, x, threads);
        };
        for rows in geometry.bands() {
            let target = &mut x[geometry.values(&rows, delta.len())];
            let patches = geometry.patches(delta, rows, 0, patches);
            threads.product(target, patches, geometry.columns_of(columns, 0), Write::Add);
        }
    }
}

/// What the threads share out among themselves. The bits of a result do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    /// Tiles of the work: each product is one thread's.
    Tiles,
    /// Each product, since there are too few tiles to keep all of them busy.
    Products,
}

impl Threads {
    /// For work of so many tiles.
    pub(super) fn of(tiles: usize) -> Self {
        match are_enough(tiles) {
            true => Self::Tiles,
            false => Self::Products,
        }
    }

    /// C = A B or C += A B, C being all of `c`.
    fn product<E: Element>(self, c: &mut [E], a: Matrix<E>, b: Matrix<E>, write: Write) {
        match self {
            Self::Tiles => product_in_place(Target::new(c, b.columns()), a, b, write),
            Self::Products => product(c, a, b, write),
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
