//! The pixels of a batch of images in order, each computed from what was kept of those before it.

use super::blocks::{Projection, Sizes};
use super::layers::{Layers, down, up};
use super::planes::{Plane, Region};
use super::products::{Kernel, add_bias};
use crate::density::architecture::{Architecture, Condition};
use crate::density::network::PixelCnn;
use crate::ops::causal::elu;
use crate::ops::product::Write;
use crate::tensor::{Batch, Element};

/// A model that computes a pixel's distribution from what it kept of the pixels before.
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

    /// Goes through the pixels in order. `choose` gets each pixel's number and the parameters of its distribution, (N, P), and returns
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

    /// Makes this pixel visible to later ones.
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

    /// The output of one of the first layers at a region, or zeros where it is shifted in from outside.
    fn first(&self, which: usize, region: Option<Region>, pixels: usize) -> Vec<E> {
        let kernel = [&self.first_u, &self.first_row, &self.first_column][which];
        let mut rows = vec![E::zero(); self.sizes.images * pixels * kernel.outputs()];
        if let Some(region) = region {
            kernel.apply(&self.seen[which], &region, &mut rows, Write::Replace);
            add_bias(&mut rows, &kernel.bias);
        }
        rows
    }

    /// Computes what depends only on the rows above.
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
