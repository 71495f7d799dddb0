//! What layers have seen so far: a few rows per image, written region by region.

use std::ops::Range;

use crate::density::parameters::Conv;
use crate::tensor::Element;

/// Pixels of a level that are computed together: a row of them for `u`, one for `ul`; all images of the batch at once.
#[derive(Clone)]
pub(super) struct Region {
    pub(super) level: usize,
    pub(super) row: usize,
    pub(super) columns: Range<usize>,
}

impl Region {
    pub(super) fn pixels(&self) -> usize {
        self.columns.len()
    }
}

/// The input of a layer's kernel for all images, with the zeros around it: a ring of the last rows, one more than the kernel has,
/// (N, kh + 1, left + W + right, C).
pub(super) struct Plane<E> {
    pub(super) values: Vec<E>,
    channels: usize,
    top: usize,
    left: usize,
    width: usize,
    rows: usize,
    pub(super) image: usize,
}

impl<E: Element> Plane<E> {
    pub(super) fn new(images: usize, width: usize, channels: usize, conv: Conv) -> Self {
        let (top, left) = conv.shift.reach(conv.kernel);
        let (width, rows) = (width + conv.kernel[1] - 1, conv.kernel[0] + 1);
        let image = rows * width * channels;
        Self { values: vec![E::zero(); images * image], channels, top, left, width, rows, image }
    }

    /// Where the window of a pixel starts under row `u` of the kernel, within an image.
    pub(super) fn window(&self, row: usize, column: usize, u: usize) -> usize {
        ((row + u) % self.rows * self.width + column) * self.channels
    }

    /// Fills the pixels of a region, image by image.
    pub(super) fn put(&mut self, region: &Region, mut fill: impl FnMut(usize, &mut [E])) {
        let count = region.pixels() * self.channels;
        let row = (region.row + self.top) % self.rows;
        let first = (row * self.width + self.left + region.columns.start) * self.channels;
        for (number, image) in self.values.chunks_exact_mut(self.image).enumerate() {
            let pixels = image[first..first + count].chunks_exact_mut(self.channels);
            pixels.enumerate().for_each(|(pixel, values)| fill(number * region.pixels() + pixel, values));
        }
    }
}
