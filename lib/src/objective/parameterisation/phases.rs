//! Phases under fixed magnitudes: b(s) = standardised irfft2(r e^(i s)), s (C, H, W/2 + 1) for each image, in radians.
//!
//! r is the mean magnitude of the spectra of real images, so high frequencies cannot dominate the result (MACO,
//! Fel et al. 2023, equation 5; each set of planes is brought to mean 0 and deviation 1 as in the authors' code, xplique).

use std::f64::consts::PI;
use std::ops::Range;

use rayon::prelude::*;

use super::colour::inverse;
use super::spectrum::Spectrum;
use super::squashed::{Basis, Planes, to_planes};
use super::{Colours, Error, Result};
use crate::net::Size;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, view};

/// Added to the deviation that planes are divided by, as the authors do.
const EPSILON: f64 = 1e-5;

/// The mean magnitude of images' spectra, batch by batch.
#[derive(Clone, Debug)]
pub struct Magnitudes {
    size: Size,
    colours: Option<[[f64; 3]; 3]>,
    sums: Vec<f64>,
    count: usize,
}

impl Magnitudes {
    /// Magnitudes of no image yet. Where colours are decorrelated, the spectra are those of their coordinates.
    ///
    /// # Errors
    /// Decorrelated colours of other than three channels.
    pub fn new(size: Size, colours: Colours) -> Result<Self> {
        let colours = colours.matrix(size.channels)?.map(inverse);
        let bins = Spectrum::new::<f64>(size.height, size.width).bins();
        Ok(Self { size, colours, sums: vec![0.0; size.channels * bins], count: 0 })
    }

    /// Adds images (N, H, W, C). They are summed in order, so the batches do not matter.
    pub fn add<E: Element>(&mut self, images: &Batch<E>) {
        let Size { channels, height, width } = self.size;
        let spectrum = Spectrum::new::<E>(height, width);
        let planes = to_planes(view(images), channels, height * width, self.colours, |image, _| image.to_vec());
        let spectra = spectrum.spectra(&planes, &vec![E::one(); spectrum.bins()]);
        for spectrum in spectra.chunks_exact(2 * self.sums.len()) {
            let magnitude = |bin: &[E]| bin[0].wide().hypot(bin[1].wide());
            self.sums.iter_mut().zip(spectrum.chunks_exact(2)).for_each(|(sum, bin)| *sum += magnitude(bin));
            self.count += 1;
        }
    }

    fn mean<E: Element>(&self) -> Vec<E> {
        self.sums.iter().map(|sum| E::of(sum / self.count as f64)).collect()
    }
}

/// The basis of phases.
#[derive(Clone, Debug)]
pub struct Phases<E> {
    size: Size,
    spectrum: Spectrum,
    magnitudes: Vec<E>,
    weights: Vec<E>,
    transposed: Vec<E>,
}

impl<E: Element> Phases<E> {
    /// Phases under these magnitudes.
    ///
    /// # Errors
    /// Magnitudes of no image.
    pub fn new(magnitudes: &Magnitudes) -> Result<Self> {
        if magnitudes.count == 0 {
            return Err(Error::request("phases", "magnitudes of at least one image", 0));
        }
        let size = magnitudes.size;
        let spectrum = Spectrum::new::<E>(size.height, size.width);
        let weight = 1.0 / spectrum.pixels() as f64;
        let transposed = spectrum.counts().into_iter().map(|count| E::of(weight * count)).collect();
        let weights = vec![E::of(weight); spectrum.bins()];
        Ok(Self { size, magnitudes: magnitudes.mean(), spectrum, weights, transposed })
    }

    /// r e^(i s), real and imaginary parts.
    fn bins(&self, s: &[E]) -> Vec<E> {
        let bins = s.iter().zip(self.magnitudes.iter().cycle());
        bins.flat_map(|(phase, &magnitude)| [magnitude * phase.cos(), magnitude * phase.sin()]).collect()
    }
}

impl<E: Element> Basis<E> for Phases<E> {
    fn parameters(&self) -> usize {
        self.magnitudes.len()
    }

    fn size(&self) -> Size {
        self.size
    }

    /// Phases uniform on the circle.
    fn initial(&self, stream: Stream, images: Range<usize>) -> Vec<E> {
        let length = self.magnitudes.len();
        let drawn: Vec<E> = stream.uniform(images.start * length..images.end * length);
        drawn.into_iter().map(|value| E::of(PI) * (value + value - E::one())).collect()
    }

    fn at<'a>(&'a self, s: &[E]) -> Planes<'a, E> {
        let bins = self.bins(s);
        let mut values = self.spectrum.planes(&bins, &self.weights);
        let length = self.size.elements();
        let deviations: Vec<f64> = values.par_chunks_mut(length).map(standardise).collect();
        let standardised = values.clone();
        let pullback = move |mut cotangent: Vec<E>| {
            cotangent.par_chunks_mut(length).enumerate().for_each(|(which, cotangent)| {
                let which = if deviations.len() == 1 { 0 } else { which };
                pull_standardise(cotangent, &standardised[which * length..][..length], deviations[which]);
            });
            let pulled = self.spectrum.spectra(&cotangent, &self.transposed);
            // d(r cos s) = -r sin s ds, d(r sin s) = r cos s ds.
            let pairs = pulled.chunks_exact(2).zip(bins.chunks_exact(2).cycle());
            pairs.map(|(pulled, bin)| pulled[1] * bin[0] - pulled[0] * bin[1]).collect()
        };
        Planes { values, pullback: Box::new(pullback) }
    }

    fn parameters_of(&self, _planes: Vec<E>) -> Option<Vec<E>> {
        None
    }
}

/// Brings values to mean 0 and deviation 1; returns the deviation they had.
fn standardise<E: Element>(values: &mut [E]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| value.wide()).sum::<f64>() / count;
    let variance = values.iter().map(|value| (value.wide() - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    values.iter_mut().for_each(|value| *value = E::of((value.wide() - mean) / (deviation + EPSILON)));
    deviation
}

/// The transposed derivative of [`standardise`] in place: (c - mean c) / (d + eps) - y mean(c y) / d, of its result y and the
/// deviation d.
fn pull_standardise<E: Element>(cotangent: &mut [E], y: &[E], deviation: f64) {
    let count = y.len() as f64;
    let mean = cotangent.iter().map(|value| value.wide()).sum::<f64>() / count;
    let along = cotangent.iter().zip(y).map(|(cotangent, y)| cotangent.wide() * y.wide()).sum::<f64>() / count;
    let slope = along / deviation.max(f64::MIN_POSITIVE);
    for (cotangent, y) in cotangent.iter_mut().zip(y) {
        *cotangent = E::of((cotangent.wide() - mean) / (deviation + EPSILON) - y.wide() * slope);
    }
}

#[cfg(test)]
mod tests {
    use super::super::checks::{check_point, check_start, images};
    use super::super::{Parameterisation, Squashed};
    use super::*;
    use crate::ops::checks::{assert_close, normal};
    use crate::tensor::batch;

    fn measured(size: Size, colours: Colours) -> Magnitudes {
        let mut magnitudes = Magnitudes::new(size, colours).unwrap();
        magnitudes.add(&images(size));
        magnitudes
    }

    #[test]
    fn directions_and_start() {
        for (height, width) in [(4, 5), (5, 4), (3, 3)] {
            let size = Size::new(3, height, width);
            let magnitudes = measured(size, Colours::Decorrelated);
            let double = Squashed::new(Phases::<f64>::new(&magnitudes).unwrap(), Colours::Decorrelated).unwrap();
            check_point(&double, &normal("s", (2, 1, 1, Parameterisation::<f64>::parameters(&double))));
            let single = Squashed::new(Phases::<f32>::new(&magnitudes).unwrap(), Colours::Decorrelated).unwrap();
            check_start(&single, &double);
        }
    }

    #[test]
    fn magnitudes_are_the_mean_over_images_whatever_the_batches() {
        let size = Size::new(1, 3, 4);
        let all = images(size);
        let mut parts = Magnitudes::new(size, Colours::Plain).unwrap();
        view(&all).chunks(12).for_each(|image| parts.add(&batch(image.to_vec(), (1, 3, 4, 1))));
        let whole = measured(size, Colours::Plain);
        assert_eq!(parts.sums, whole.sums);
        // The bin of frequency 0 is the sum of an image.
        assert_close(&whole.mean::<f64>()[..1], &[view(&all).iter().sum::<f64>() / 2.0], 1e-13);
    }

    #[test]
    fn planes_of_an_image_s_own_phases_are_that_image_standardised() {
        let size = Size::new(2, 4, 6);
        let image = batch(view(&images(size))[..size.elements()].to_vec(), (1, 4, 6, 2));
        let mut magnitudes = Magnitudes::new(size, Colours::Plain).unwrap();
        magnitudes.add(&image);
        let basis = Phases::<f64>::new(&magnitudes).unwrap();
        let mut planes = to_planes(view(&image), 2, 24, None, |image, _| image.to_vec());
        let spectra = basis.spectrum.spectra(&planes, &vec![1.0; basis.spectrum.bins()]);
        let phases: Vec<f64> = spectra.chunks_exact(2).map(|bin| bin[1].atan2(bin[0])).collect();
        standardise(&mut planes);
        assert_close(&basis.at(&phases).values, &planes, 1e-12);
    }

    #[test]
    fn magnitudes_of_no_image_are_refused() {
        let error = Phases::<f32>::new(&Magnitudes::new(Size::new(1, 2, 2), Colours::Plain).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "phases: expected magnitudes of at least one image, found 0");
    }
}
