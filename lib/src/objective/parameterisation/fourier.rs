//! Planes by their half spectra: b(s) = irfft2(w s), s (C, H, W/2 + 1, 2) for each image, real and imaginary parts.
//!
//! Unscaled, w makes the transform orthonormal; scaled, as in Lucid's `fft_image`, w = sqrt(H W) / (4 max(f, 1 / max(H, W)))
//! over irfft2's H W, f in cycles per pixel, so that low frequencies move more (Olah et al. 2017; inverse feature
//! visualisation, section 3.7, uses both). Some bins of a real plane are conjugates of each other, or real: s has more
//! values than the plane, and the redundant ones get no gradient or the same one.

use super::spectrum::Spectrum;
use super::squashed::{Basis, Planes};
use crate::net::Size;
use crate::tensor::Element;

/// Lucid divides its planes by this number.
const SCALED_DIVISOR: f64 = 4.0;

/// The scale of each frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrequencyScale {
    /// All frequencies alike.
    Orthonormal,
    /// Lower frequencies are stronger, as in natural images.
    Inverse,
}

/// The basis of waves.
#[derive(Clone, Debug)]
pub struct Fourier<E> {
    size: Size,
    spectrum: Spectrum,
    /// w of each bin.
    weights: Vec<E>,
    /// c w: the transposed direction's.
    transposed: Vec<E>,
    /// 1 / (H W w): the inverse's.
    inverse: Vec<E>,
}

impl<E: Element> Fourier<E> {
    /// Waves of planes of this size.
    pub fn new(size: Size, scale: FrequencyScale) -> Self {
        let spectrum = Spectrum::new::<E>(size.height, size.width);
        let pixels = spectrum.pixels() as f64;
        let lowest = 1.0 / size.height.max(size.width) as f64;
        let weight = |frequency: f64| match scale {
            FrequencyScale::Orthonormal => 1.0 / pixels.sqrt(),
            FrequencyScale::Inverse => 1.0 / (SCALED_DIVISOR * pixels.sqrt() * frequency.max(lowest)),
        };
        let weights: Vec<f64> = spectrum.frequencies().into_iter().map(weight).collect();
        let transposed = weights.iter().zip(spectrum.counts()).map(|(weight, count)| E::of(weight * count)).collect();
        let inverse = weights.iter().map(|weight| E::of(1.0 / (pixels * weight))).collect();
        Self { size, spectrum, weights: weights.into_iter().map(E::of).collect(), transposed, inverse }
    }
}

impl<E: Element> Basis<E> for Fourier<E> {
    fn parameters(&self) -> usize {
        2 * self.size.channels * self.spectrum.bins()
    }

    fn size(&self) -> Size {
        self.size
    }

    fn at<'a>(&'a self, s: &[E]) -> Planes<'a, E> {
        Planes {
            values: self.spectrum.planes(s, &self.weights),
            pullback: Box::new(|cotangent| self.spectrum.spectra(&cotangent, &self.transposed)),
        }
    }

    fn parameters_of(&self, planes: Vec<E>) -> Option<Vec<E>> {
        Some(self.spectrum.spectra(&planes, &self.inverse))
    }
}

#[cfg(test)]
mod tests {
    use super::super::checks::{check_inverse, check_point, check_start, images};
    use super::super::{Colours, Parameterisation, Squashed};
    use super::*;
    use crate::ops::checks::{Case, assert_close, normal};
    use crate::store::npy::Scalar;
    use crate::tensor::{Batch, channels_first, shape, view};

    const SCALES: [FrequencyScale; 2] = [FrequencyScale::Orthonormal, FrequencyScale::Inverse];

    fn agrees_with_the_oracle<E: Element + Scalar>() {
        let case = Case::open("fourier_image");
        let s: Batch<E> = case.array("spectrum");
        for (scale, name) in SCALES.into_iter().zip(["unscaled", "scaled"]) {
            let expected: Batch<f64> = case.array(name);
            let (_, h, w, c) = shape(&expected);
            let planes = Fourier::new(Size::new(c, h, w), scale).at(view(&s)).values;
            assert_close(&planes, &channels_first(view(&expected), shape(&expected)), case.tolerance::<E>());
        }
        let expected: Batch<f64> = case.array("decorrelated");
        let (_, h, w, c) = shape(&expected);
        let basis = Fourier::<E>::new(Size::new(c, h, w), FrequencyScale::Inverse);
        let map = Squashed::new(basis, Colours::Decorrelated).unwrap();
        assert_close(view(map.at(&s).images()), view(&expected), case.tolerance::<E>());
    }

    #[test]
    fn oracle_values() {
        agrees_with_the_oracle::<f32>();
        agrees_with_the_oracle::<f64>();
    }

    #[test]
    fn directions_start_and_inverse_for_odd_even_and_least_sizes() {
        for (height, width) in [(4, 4), (5, 4), (4, 5), (3, 7), (1, 1), (1, 6), (5, 1), (2, 2)] {
            for scale in SCALES {
                let size = Size::new(3, height, width);
                let map = Squashed::new(Fourier::<f64>::new(size, scale), Colours::Decorrelated).unwrap();
                check_point(&map, &normal("s", (2, 1, 1, Parameterisation::<f64>::parameters(&map))));
                let single = Squashed::new(Fourier::<f32>::new(size, scale), Colours::Decorrelated).unwrap();
                check_start(&single, &map);
                check_inverse(&map, &images(size));
            }
        }
    }

    #[test]
    fn orthonormal_waves_keep_the_norm() {
        let basis = Fourier::<f64>::new(Size::new(1, 6, 6), FrequencyScale::Orthonormal);
        let planes = normal::<f64>("planes", (1, 6, 6, 1));
        let spectrum = basis.parameters_of(view(&planes).to_vec()).unwrap();
        let energy = spectrum
            .chunks_exact(2)
            .zip(basis.spectrum.counts())
            .map(|(bin, count)| count * (bin[0] * bin[0] + bin[1] * bin[1]));
        let expected: f64 = view(&planes).iter().map(|value| value * value).sum();
        assert!((energy.sum::<f64>() - expected).abs() < 1e-12 * expected);
    }
}
