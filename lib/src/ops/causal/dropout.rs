//! Dropout of activations, from random bits that are drawn again in the backward pass.

use crate::tensor::Element;
use crate::tensor::random::Stream;

/// A share of activations that is left out; the others are scaled so that the mean stays the same (Srivastava et al. 2014).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// 16 random bits below this leave an activation out.
    limit: u16,
    stream: Stream,
}

impl Dropout {
    /// A share `p`, 0 <= p < 1, to 1/65536; `None` where nothing is left out.
    pub fn new(p: f64, stream: Stream) -> Option<Self> {
        let limit = (p * 65536.0).round().clamp(0.0, 65535.0) as u16;
        (limit > 0).then_some(Self { limit, stream })
    }

    pub(super) fn scale(self) -> f64 {
        65536.0 / (65536.0 - f64::from(self.limit))
    }

    /// What `count` activations of the batch are multiplied by, for devices.
    pub(super) fn factors(self, count: usize) -> Vec<f64> {
        let draws = self.stream.bits(0..count.div_ceil(4));
        let bits: &[u16] = bytemuck::cast_slice(&draws);
        bits[..count].iter().map(|&bits| if bits >= self.limit { self.scale() } else { 0.0 }).collect()
    }

    /// The bits of activations `first..first + count`, four to a draw, and where they start.
    pub(super) fn bits(self, first: usize, count: usize) -> Mask {
        let draws = self.stream.bits(first / 4..(first + count).div_ceil(4));
        Mask { draws, start: first % 4, limit: self.limit }
    }
}

/// Which activations of an image are kept.
pub(super) struct Mask {
    draws: Vec<u64>,
    start: usize,
    limit: u16,
}

impl Mask {
    /// Scales what is kept of values `first..` of the image, and zeroes the rest.
    #[inline(always)]
    pub(super) fn apply<E: Element>(&self, first: usize, values: &mut [E], scale: E) {
        let bits: &[u16] = bytemuck::cast_slice(&self.draws);
        let limit = self.limit;
        for (value, &bits) in values.iter_mut().zip(&bits[self.start + first..]) {
            *value = if bits >= limit { *value * scale } else { E::zero() };
        }
    }
}
