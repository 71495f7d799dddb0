//! Aggregation: activations a (N, H, W, C) to a feature response f (N, 1, 1, C), one number per channel.
//!
//! Source: inverse feature visualisation, sections 2.3 and 3.2. A mean cancels what a preceding linear layer adds along an axis;
//! max-pooling before it breaks the linearity, so that filters stay distinguishable.

use serde::{Deserialize, Serialize};

use crate::ops::pooling::{Divisor, End, Pooling, average_pool, average_pool_pullback, max_pool, max_pool_pullback};
use crate::ops::window::{Padding, Window};
use crate::tensor::{Batch, Element, Tape, batch, shape, view};

/// How the activations of a channel become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Their mean.
    Mean,
    /// That of row H / 2 and column W / 2.
    Centre,
    /// The largest.
    Max,
    /// The mean of the largest of each window that fits.
    MaxpoolMean {
        /// Side of a window; of smaller maps, the map's own.
        kernel: usize,
        /// Steps between windows.
        stride: usize,
    },
}

impl Aggregation {
    /// Max-pooling of kernel 3 and stride 2 before the mean.
    pub const USUAL: Self = Self::MaxpoolMean { kernel: 3, stride: 2 };

    /// f (N, 1, 1, C) of activations (N, H, W, C).
    ///
    /// ```
    /// use obverse::objective::aggregation::Aggregation;
    /// use obverse::tensor::{batch, view};
    /// let activations = batch(vec![1.0, 2.0, 3.0, 6.0], (1, 2, 2, 1));
    /// assert_eq!(view(&Aggregation::Mean.response(&activations)), [3.0]);
    /// assert_eq!(view(&Aggregation::USUAL.response(&activations)), [6.0]);
    /// ```
    pub fn response<E: Element>(self, activations: &Batch<E>) -> Batch<E> {
        let (n, h, w, c) = shape(activations);
        let whole = Pooling::whole(h, w);
        match self {
            Self::Mean => average_pool(&mut Tape::off(), activations, whole, Divisor::Inside),
            Self::Max => max_pool(&mut Tape::off(), activations, whole),
            Self::Centre => {
                let first = centre((h, w)) * c;
                let pixels = view(activations).chunks_exact(h * w * c).flat_map(|image| &image[first..first + c]);
                batch(pixels.copied().collect(), (n, 1, 1, c))
            }
            Self::MaxpoolMean { kernel, stride } => {
                Self::Mean.response(&max_pool(&mut Tape::off(), activations, windows(kernel, stride, (h, w))))
            }
        }
    }

    /// The cotangent of the activations for one of f, (N, 1, 1, C). Activations of one image serve all cotangents.
    pub fn pullback<E: Element>(self, cotangent: &Batch<E>, activations: &Batch<E>) -> Batch<E> {
        let (n, (_, h, w, c)) = (shape(cotangent).0, shape(activations));
        match self {
            Self::Mean => {
                let whole = Pooling::whole(h, w);
                average_pool_pullback(&mut Tape::off(), cotangent, whole, Divisor::Inside, (h, w))
            }
            Self::Max => max_pool_pullback(&mut Tape::off(), cotangent, activations, Pooling::whole(h, w)),
            Self::Centre => {
                let mut result = vec![E::zero(); n * h * w * c];
                let first = centre((h, w)) * c;
                for (image, cotangent) in result.chunks_exact_mut(h * w * c).zip(view(cotangent).chunks_exact(c)) {
                    image[first..first + c].copy_from_slice(cotangent);
                }
                batch(result, (n, h, w, c))
            }
            Self::MaxpoolMean { kernel, stride } => {
                let pooling = windows(kernel, stride, (h, w));
                let size = pooling.output(h, w).unwrap_or((1, 1));
                let pooled = average_pool_pullback(
                    &mut Tape::off(),
                    cotangent,
                    Pooling::whole(size.0, size.1),
                    Divisor::Inside,
                    size,
                );
                max_pool_pullback(&mut Tape::off(), &pooled, activations, pooling)
            }
        }
    }
}

/// Which pixel is the centre's, row by row.
fn centre((height, width): (usize, usize)) -> usize {
    (height / 2) * width + width / 2
}

fn windows(kernel: usize, stride: usize, (height, width): (usize, usize)) -> Pooling {
    let window = Window {
        kernel: [kernel.clamp(1, height), kernel.clamp(1, width)],
        stride: [stride.max(1); 2],
        padding: Padding::default(),
        dilation: [1, 1],
    };
    Pooling { window, end: End::Within }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tensor::random::Stream;

    fn draw(purpose: &str, shape: (usize, usize, usize, usize)) -> Batch<f64> {
        let (n, h, w, c) = shape;
        batch(Stream::new(1, purpose, 0).normal(0..n * h * w * c), shape)
    }

    proptest! {
        /// Each aggregation is piecewise linear, so f(a + e v) - f(a) = e <v, pullback> for a small e.
        #[test]
        fn pullbacks_are_differences(which in 0usize..4, h in 1usize..7, w in 1usize..7) {
            let aggregation =
                [Aggregation::Mean, Aggregation::Centre, Aggregation::Max, Aggregation::USUAL][which];
            let (a, v, g) = (draw("a", (2, h, w, 3)), draw("v", (2, h, w, 3)), draw("g", (2, 1, 1, 3)));
            let moved = batch(view(&a).iter().zip(view(&v)).map(|(a, v)| a + 1e-7 * v).collect(), shape(&a));
            let dot = |x: &Batch<f64>, y: &Batch<f64>| -> f64 { view(x).iter().zip(view(y)).map(|(x, y)| x * y).sum() };
            let difference = dot(&aggregation.response(&moved), &g) - dot(&aggregation.response(&a), &g);
            let expected = dot(&aggregation.pullback(&g, &a), &v);
            prop_assert!((difference / 1e-7 - expected).abs() < 1e-6, "{difference} {expected}");
        }
    }

    #[test]
    fn one_image_stands_for_a_block_of_cotangents() {
        let (a, g) = (draw("a", (1, 5, 4, 3)), draw("g", (6, 1, 1, 3)));
        for aggregation in [Aggregation::Mean, Aggregation::Centre, Aggregation::Max, Aggregation::USUAL] {
            let block = aggregation.pullback(&g, &a);
            for (row, cotangent) in view(&g).chunks_exact(3).enumerate() {
                let one = aggregation.pullback(&batch(cotangent.to_vec(), (1, 1, 1, 3)), &a);
                assert_eq!(view(&one), &view(&block)[row * 60..][..60]);
            }
        }
    }
}
