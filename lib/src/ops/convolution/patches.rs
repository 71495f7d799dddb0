//! Patches, one row per position: gathered from images, and added back to where they came from.

use std::ops::Range;

use super::geometry::Geometry;
use crate::ops::product::Matrix;
use crate::ops::window::Window;
use crate::tensor::Element;

impl Geometry {
    /// The patches of all rows of a few images, or of a band of rows of one: one matrix row of kh kw C / groups values per position.
    pub(super) fn patches<'a, E: Element>(
        &self,
        x: &'a [E],
        rows: Range<usize>,
        group: usize,
        patches: &'a mut Vec<E>,
    ) -> Matrix<'a, E> {
        let positions = self.values(&rows, x.len()).len() / self.outputs.max(1);
        if self.is_pointwise() {
            let first = if rows.len() == self.output.0 { 0 } else { rows.start * self.output.1 };
            return Matrix::new(&x[first * self.channels..][..positions * self.channels], positions, self.channels);
        }
        patches.resize(positions * self.depth(), E::zero());
        let images = patches.chunks_exact_mut(rows.len() * self.output.1 * self.depth());
        for (x, patches) in x.chunks_exact(self.input_len()).zip(images) {
            self.walk(rows.clone(), group, |patch, pixels| match pixels {
                Some(pixel) => copy_run(patches, x, patch, pixel),
                None => patches[patch].fill(E::zero()),
            });
        }
        Matrix::new(patches, positions, self.depth())
    }

    /// Adds patches of rows back to where they came from.
    pub(super) fn scatter<E: Element>(&self, patches: &[E], rows: Range<usize>, group: usize, x: &mut [E]) {
        let patches = patches.chunks_exact(rows.len() * self.output.1 * self.depth());
        for (x, patches) in x.chunks_exact_mut(self.input_len()).zip(patches) {
            self.walk(rows.clone(), group, |patch, pixels| {
                let Some(pixel) = pixels else { return };
                let x = &mut x[pixel..pixel + patch.len()];
                x.iter_mut().zip(&patches[patch]).for_each(|(x, &patch)| *x += patch);
            });
        }
    }

    /// Visits the patches of one image's rows run by run: a range of the patches and where it starts in the image, or `None`
    /// where it is padding. A run is as long as the image allows: neighbouring pixels are neighbours in memory.
    fn walk(&self, rows: Range<usize>, group: usize, mut visit: impl FnMut(Range<usize>, Option<usize>)) {
        let Window { kernel: [kh, kw], stride, padding, dilation } = self.convolution.window;
        let width = self.channels / self.convolution.groups;
        // Pixels of a run: a whole kernel row where its pixels touch and all channels belong to it, else one.
        let run = if dilation[1] == 1 && self.convolution.groups == 1 { kw } else { 1 };
        let pixel = |row: usize, column: usize| (row * self.input.1 + column) * self.channels + group * width;
        let mut start = 0;
        for i in rows {
            let row =
                |u: usize| (i * stride[0] + u * dilation[0]).checked_sub(padding.top).filter(|&row| row < self.input.0);
            let taps: Vec<Option<usize>> = (0..kh).map(row).collect();
            for j in 0..self.output.1 {
                // Most kernel rows lie inside the image, as one run.
                let whole = (j * stride[1]).checked_sub(padding.left);
                let whole = whole.filter(|left| run == kw && left + kw <= self.input.1);
                for row in taps.iter().copied() {
                    for v in (0..kw).step_by(run) {
                        let end = start + run * width;
                        match (row, whole) {
                            (None, _) => visit(start..end, None),
                            (Some(row), Some(left)) => visit(start..end, Some(pixel(row, left))),
                            (Some(row), None) => {
                                let left = (j * stride[1] + v * dilation[1]) as isize - padding.left as isize;
                                let before = (-left).clamp(0, run as isize) as usize;
                                let inside =
                                    (self.input.1 as isize - left).clamp(before as isize, run as isize) as usize;
                                let at = |v: usize| start + v * width;
                                if before > 0 {
                                    visit(start..at(before), None);
                                }
                                if inside > before {
                                    visit(at(before)..at(inside), Some(pixel(row, (left + before as isize) as usize)));
                                }
                                if inside < run {
                                    visit(at(inside)..end, None);
                                }
                            }
                        }
                        start = end;
                    }
                }
            }
        }
    }
}

/// Copies the values of `x` from `from` on to the range `to` of `patches`, which are written from front to back: a short run may
/// spill over what comes next, since copies of a fixed length need no function call.
fn copy_run<E: Element>(patches: &mut [E], x: &[E], to: Range<usize>, from: usize) {
    const SHORT: usize = 8;
    if to.len() < SHORT
        && let Some(patches) = patches.get_mut(to.start..to.start + SHORT)
        && let Some(x) = x.get(from..from + SHORT)
    {
        patches.copy_from_slice(x);
        return;
    }
    patches[to.clone()].copy_from_slice(&x[from..from + to.len()]);
}
