//! Half spectra of real planes, any height and width, weighted bin by bin.
//!
//! Spectra are (…, H, W/2 + 1, 2), real and imaginary parts; planes (…, H, W). Neither direction is normalised, weights
//! hold all factors: x = Re sum_k c_k w_k Z_k e^(2 pi i k.p), where c_k is 1 for the bins of the first column and, for an
//! even width, the last, and 2 for the others, which stand for their conjugates too (NumPy's `irfft2`).

use std::sync::Arc;

use bytemuck::{cast_slice, cast_slice_mut};
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftNum, FftPlanner};

use crate::tensor::{Element, call, filled_in_chunks};

/// The transforms of one plane size, in the type that planes are of.
#[derive(Clone)]
pub(super) enum Spectrum {
    Single(Plan<f32>),
    Double(Plan<f64>),
}

impl Spectrum {
    /// Transforms of planes of `E`.
    pub fn new<E: Element>(height: usize, width: usize) -> Self {
        Self::of_numbers(size_of::<E>(), height, width)
    }

    // Not generic: it is compiled here, once.
    #[inline(never)]
    fn of_numbers(bytes: usize, height: usize, width: usize) -> Self {
        match bytes {
            4 => Self::Single(Plan::new(height, width)),
            _ => Self::Double(Plan::new(height, width)),
        }
    }

    fn sizes(&self) -> (usize, usize) {
        match self {
            Self::Single(plan) => (plan.height, plan.width),
            Self::Double(plan) => (plan.height, plan.width),
        }
    }

    /// The number of bins of a plane, H (W/2 + 1).
    pub fn bins(&self) -> usize {
        let (height, width) = self.sizes();
        height * half(width)
    }

    /// The number of values of a plane, H W.
    pub fn pixels(&self) -> usize {
        let (height, width) = self.sizes();
        height * width
    }

    /// How many bins of the whole spectrum each bin of the half stands for, c_k.
    pub fn counts(&self) -> Vec<f64> {
        let (height, width) = self.sizes();
        let alone = |column: usize| column == 0 || 2 * column == width;
        (0..height).flat_map(|_| (0..half(width)).map(move |column| if alone(column) { 1.0 } else { 2.0 })).collect()
    }

    /// The frequency of each bin, in cycles per pixel.
    pub fn frequencies(&self) -> Vec<f64> {
        let (height, width) = self.sizes();
        let along = |index: usize, length: usize| index.min(length - index) as f64 / length as f64;
        let row = move |y: usize| (0..half(width)).map(move |x| along(x, width).hypot(along(y, height)));
        (0..height).flat_map(row).collect()
    }

    /// Planes of spectra.
    pub fn planes<E: Element>(&self, spectra: &[E], weights: &[E]) -> Vec<E> {
        E::call::<Planes>((self, spectra, weights))
    }

    fn planes_in<E: Element>((spectrum, spectra, weights): (&Self, &[E], &[E])) -> Vec<E> {
        let (bins, pixels) = (2 * spectrum.bins(), spectrum.pixels());
        filled_in_chunks(
            spectra.len() / bins * pixels,
            pixels,
            || (),
            |(), number, plane| {
                let bins = &spectra[number * bins..][..bins];
                match spectrum {
                    Self::Single(plan) => plan.inverse(cast_slice(bins), cast_slice(weights), cast_slice_mut(plane)),
                    Self::Double(plan) => plan.inverse(cast_slice(bins), cast_slice(weights), cast_slice_mut(plane)),
                }
            },
        )
    }

    /// Spectra of planes, each bin times its weight. With weights c_k w_k it is the transpose of [`Spectrum::planes`] with w_k.
    pub fn spectra<E: Element>(&self, planes: &[E], weights: &[E]) -> Vec<E> {
        E::call::<Spectra>((self, planes, weights))
    }

    fn spectra_in<E: Element>((spectrum, planes, weights): (&Self, &[E], &[E])) -> Vec<E> {
        let (bins, pixels) = (2 * spectrum.bins(), spectrum.pixels());
        filled_in_chunks(
            planes.len() / pixels * bins,
            bins,
            || (),
            |(), number, bins| {
                let plane = &planes[number * pixels..][..pixels];
                match spectrum {
                    Self::Single(plan) => plan.forward(cast_slice(plane), cast_slice(weights), cast_slice_mut(bins)),
                    Self::Double(plan) => plan.forward(cast_slice(plane), cast_slice(weights), cast_slice_mut(bins)),
                }
            },
        )
    }
}

call! {
    /// [`Spectrum::planes`].
    Planes<'a>: Spectrum::planes_in, E => ((&'a Spectrum, &'a [E], &'a [E])) -> Vec<E>
}

call! {
    /// [`Spectrum::spectra`].
    Spectra<'a>: Spectrum::spectra_in, E => ((&'a Spectrum, &'a [E], &'a [E])) -> Vec<E>
}

impl std::fmt::Debug for Spectrum {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (height, width) = self.sizes();
        write!(formatter, "Spectrum({height} x {width})")
    }
}

/// Bins along the halved axis.
fn half(width: usize) -> usize {
    width / 2 + 1
}

/// Transforms along rows and columns.
#[derive(Clone)]
pub(super) struct Plan<T: FftNum> {
    height: usize,
    width: usize,
    rows_forward: Arc<dyn RealToComplex<T>>,
    rows_inverse: Arc<dyn ComplexToReal<T>>,
    columns_forward: Arc<dyn Fft<T>>,
    columns_inverse: Arc<dyn Fft<T>>,
}

impl<T: FftNum> Plan<T> {
    fn new(height: usize, width: usize) -> Self {
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        Self {
            height,
            width,
            rows_forward: real.plan_fft_forward(width),
            rows_inverse: real.plan_fft_inverse(width),
            columns_forward: complex.plan_fft_forward(height),
            columns_inverse: complex.plan_fft_inverse(height),
        }
    }

    /// A plane of one spectrum: columns, held one after another, then rows.
    fn inverse(&self, spectrum: &[T], weights: &[T], plane: &mut [T]) {
        let (height, half) = (self.height, half(self.width));
        let mut columns = vec![zero(); half * height];
        for (y, (row, weights)) in spectrum.chunks_exact(2 * half).zip(weights.chunks_exact(half)).enumerate() {
            for (x, (bin, &weight)) in row.chunks_exact(2).zip(weights).enumerate() {
                columns[x * height + y] = Complex::new(bin[0] * weight, bin[1] * weight);
            }
        }
        self.columns_inverse.process(&mut columns);
        let mut row = vec![zero(); half];
        let mut scratch = self.rows_inverse.make_scratch_vec();
        for (y, values) in plane.chunks_exact_mut(self.width).enumerate() {
            row.iter_mut().enumerate().for_each(|(x, bin)| *bin = columns[x * height + y]);
            // These bins are their own conjugates: their imaginary parts do not affect a real plane.
            row[0].im = T::zero();
            if self.width.is_multiple_of(2) {
                row[half - 1].im = T::zero();
            }
            let done = self.rows_inverse.process_with_scratch(&mut row, values, &mut scratch);
            debug_assert!(done.is_ok(), "lengths are the plan's");
        }
    }

    /// The weighted spectrum of one plane: rows, then columns.
    fn forward(&self, plane: &[T], weights: &[T], spectrum: &mut [T]) {
        let (height, half) = (self.height, half(self.width));
        let mut columns = vec![zero(); half * height];
        let (mut values, mut row) = (vec![T::zero(); self.width], vec![zero(); half]);
        let mut scratch = self.rows_forward.make_scratch_vec();
        for (y, plane) in plane.chunks_exact(self.width).enumerate() {
            values.copy_from_slice(plane);
            let done = self.rows_forward.process_with_scratch(&mut values, &mut row, &mut scratch);
            debug_assert!(done.is_ok(), "lengths are the plan's");
            row.iter().enumerate().for_each(|(x, &bin)| columns[x * height + y] = bin);
        }
        self.columns_forward.process(&mut columns);
        for (y, (row, weights)) in spectrum.chunks_exact_mut(2 * half).zip(weights.chunks_exact(half)).enumerate() {
            for (x, (bin, &weight)) in row.chunks_exact_mut(2).zip(weights).enumerate() {
                let value = columns[x * height + y];
                (bin[0], bin[1]) = (value.re * weight, value.im * weight);
            }
        }
    }
}

fn zero<T: FftNum>() -> Complex<T> {
    Complex::new(T::zero(), T::zero())
}
