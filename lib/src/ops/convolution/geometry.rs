//! A convolution's sizes: rows, bands and tiles, and those of the convolution that is its adjoint.

use std::ops::Range;

use crate::ops::window::{Padding, Window};
use crate::tensor::{Batch, Element, Shape, shape};

/// Values of patches gathered at a time: with their product they stay in a core's second-level cache.
const TILE: usize = 1 << 17;
/// What gathering a value of a patch costs, in multiplications of a product: an estimate. Adding it back to its pixel counts twice as
/// much, so that padded convolutions of more than twice as many outputs as channels scatter.
const GATHER: usize = 8;
/// See [`GATHER`].
const SCATTER: usize = 16;
/// Parts of a batch whose weight gradients are summed separately.
pub(super) const LANES: usize = 8;

/// How a convolution slides, and how its channels are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Kernel, stride, padding and dilation.
    pub window: Window,
    /// Channels are cut into this many groups that do not see each other; 1 is the ordinary convolution.
    pub groups: usize,
}

/// A convolution's sizes, worked out once.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub(super) convolution: Convolution,
    /// Height and width of x.
    pub(super) input: (usize, usize),
    /// Height and width of y.
    pub(super) output: (usize, usize),
    pub(super) channels: usize,
    pub(super) outputs: usize,
    /// Images whose patches are gathered at a time.
    pub(super) tile: usize,
}

impl Geometry {
    /// The network has checked the shapes of its input; a window that does not fit gives no output.
    pub(super) fn new<E: Element>(convolution: Convolution, input: (usize, usize), weight: &Batch<E>) -> Self {
        let (outputs, kh, kw, depth): Shape = shape(weight);
        debug_assert_eq!([kh, kw], convolution.window.kernel);
        let output = convolution.window.output(input.0, input.1).unwrap_or((0, 0));
        let patches = (output.0 * output.1 * kh * kw * depth).max(1);
        let tile = (TILE / patches).max(1);
        Self { convolution, input, output, channels: depth * convolution.groups, outputs, tile }
    }

    pub(super) fn input_len(&self) -> usize {
        self.input.0 * self.input.1 * self.channels
    }

    pub(super) fn output_len(&self) -> usize {
        self.positions() * self.outputs
    }

    fn positions(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// Length of a patch, and of a row of W.
    pub(super) fn depth(&self) -> usize {
        let [kh, kw] = self.convolution.window.kernel;
        kh * kw * self.channels / self.convolution.groups
    }

    pub(super) fn group_outputs(&self) -> usize {
        self.outputs / self.convolution.groups
    }

    pub(super) fn groups(&self) -> Range<usize> {
        0..self.convolution.groups
    }

    pub(super) fn all_rows(&self) -> Range<usize> {
        0..self.output.0
    }

    /// Whether the patches are the image itself: a 1 x 1 kernel at every position.
    pub(super) fn is_pointwise(&self) -> bool {
        let Window { kernel, stride, padding, .. } = self.convolution.window;
        let unpadded = [padding.top, padding.bottom, padding.left, padding.right] == [0; 4];
        kernel == [1, 1] && stride == [1, 1] && unpadded && self.convolution.groups == 1
    }

    /// Values of a row of an output image.
    pub(super) fn row_len(&self) -> usize {
        self.output.1 * self.outputs
    }

    /// Rows of an output image whose patches are gathered at a time.
    fn band(&self) -> usize {
        (TILE / (self.output.1 * self.depth()).max(1)).clamp(1, self.output.0.max(1))
    }

    /// As [`Geometry::band`], rounded to a divisor of the number of rows: the next larger one, since weights pass through the cache once per band, unless
    /// that is much larger.
    pub(super) fn even_band(&self) -> usize {
        const LARGER: usize = 4;
        let (rows, band) = (self.output.0, self.band());
        let divides = |band: &usize| rows.is_multiple_of(*band);
        let larger = (band..=rows.min(LARGER * band)).find(divides);
        larger.or_else(|| (1..band).rev().find(divides)).unwrap_or(1)
    }

    /// The rows of output images in bands.
    pub(super) fn bands(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, band) = (self.output.0, self.band());
        (0..rows).step_by(band).map(move |first| first..rows.min(first + band))
    }

    /// The range of these rows in the outputs of images with `inputs` values altogether. Only a single image is cut into bands of rows.
    pub(super) fn values(&self, rows: &Range<usize>, inputs: usize) -> Range<usize> {
        if rows.len() == self.output.0 {
            return 0..inputs / self.input_len() * self.output_len();
        }
        rows.start * self.row_len()..rows.end * self.row_len()
    }

    /// The convolution that is this one's adjoint, where there is one that costs less than a scatter: with stride 1 it is the
    /// convolution with the rotated kernel. Its patches are longer the more outputs there are per input, and more numerous the
    /// less padding there was.
    pub(super) fn turned(&self) -> Option<Self> {
        let Window { kernel: [kh, kw], stride, padding, dilation } = self.convolution.window;
        let plain = stride == [1, 1] && dilation == [1, 1] && self.convolution.groups == 1;
        // The number of multiplications, with the cost of moving a value of a patch in the same unit.
        let gathered = self.input.0 * self.input.1 * self.outputs * (self.channels + GATHER);
        let scattered = self.positions() * self.channels * (self.outputs + SCATTER);
        if !plain || self.is_pointwise() || gathered > scattered {
            return None;
        }
        let padding = Padding {
            top: (kh - 1).checked_sub(padding.top)?,
            bottom: (kh - 1).checked_sub(padding.bottom)?,
            left: (kw - 1).checked_sub(padding.left)?,
            right: (kw - 1).checked_sub(padding.right)?,
        };
        let window = Window { padding, ..self.convolution.window };
        let convolution = Convolution { window, groups: 1 };
        let (input, output) = (self.output, self.input);
        Some(Self { convolution, input, output, channels: self.outputs, outputs: self.channels, tile: self.tile })
    }

    /// Images that a lane goes through, in order.
    pub(super) fn lane(images: usize) -> usize {
        images.div_ceil(LANES).max(1)
    }
}
