//! How far recovered images are from the originals: squared errors per pixel, with the spread of their mean over images.
//!
//! ```
//! use obverse::train::evaluation::SquaredError;
//! let mut error = SquaredError::default();
//! error.add_image(&[0.0, 1.0], &[0.5, 1.5]);
//! assert_eq!(error.mean(), 0.25);
//! ```

use serde_json::{Map, Value};

use super::error::Result;
use crate::data::Shape;
use crate::data::batches::ImageFile;
use crate::statistics::Measure;
use crate::store::npy::Scalar;
use crate::store::sidecar::metric;
use crate::tensor::{Batch, Element, batch, view};

/// Images evaluated at a time.
pub(crate) const EVALUATED: usize = 256;

/// Parts of a dataset that are not used for training.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeldOut<T> {
    /// The part that errors are reported on.
    pub test: Option<T>,
    /// The part that selects the epoch whose networks are kept, by the smallest loss.
    pub validation: Option<T>,
}

/// The squared error of recoveries, plain and after clipping to [0, 1], summed in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct SquaredError {
    plain: f64,
    clipped: f64,
    absolute: f64,
    pixels: usize,
    images: usize,
    /// Sum over images of the square of an image's error, for the spread of the mean.
    squares: f64,
}

impl SquaredError {
    /// The error of `recover`, which gets batches (N, H, W, C) of images and their rows in the file.
    ///
    /// # Errors
    /// Images that cannot be read, and what `recover` says.
    pub fn of<E: Element + Scalar>(
        images: &ImageFile,
        recover: impl Fn(&Batch<E>, &[usize]) -> Result<Batch<E>>,
    ) -> Result<Self> {
        let Shape { channels, height, width } = images.shape();
        let mut error = Self::default();
        for first in (0..images.count()).step_by(EVALUATED) {
            let rows: Vec<usize> = (first..images.count().min(first + EVALUATED)).collect();
            let x = batch(images.batch::<E>(&rows)?, (rows.len(), height, width, channels));
            error.add(view(&x), view(&recover(&x, &rows)?), channels * height * width);
        }
        Ok(error)
    }

    /// Adds the pixels of one image and of its recovery, in the same order.
    pub fn add_image<E: Element>(&mut self, x: &[E], r: &[E]) {
        let (mut plain, mut clipped) = (0.0, 0.0);
        for (&x, &r) in x.iter().zip(r) {
            self.absolute += (x - r).wide().abs();
            plain += (x - r).wide().powi(2);
            clipped += (x - r.max(E::zero()).min(E::one())).wide().powi(2);
        }
        self.plain += plain;
        self.clipped += clipped;
        self.pixels += x.len();
        self.images += 1;
        self.squares += (plain / x.len().max(1) as f64).powi(2);
    }

    /// Adds images of `length` pixels.
    pub fn add<E: Element>(&mut self, x: &[E], r: &[E], length: usize) {
        x.chunks(length.max(1)).zip(r.chunks(length.max(1))).for_each(|(x, r)| self.add_image(x, r));
    }

    /// The mean of the squares over pixels; NaN where no image was added.
    pub fn mean(&self) -> f64 {
        self.plain / self.pixels as f64
    }

    /// `mse` and `mse_clipped`, the means over pixels, `mae`, that of absolute errors; of `mse` also the standard error and the interval
    /// of 95% over images. Nothing where no image was added.
    pub fn metrics(&self) -> Map<String, Value> {
        let mut metrics = Map::new();
        if self.pixels > 0 {
            let (mean, images) = (self.mean(), self.images as f64);
            let variance = (self.squares - images * mean * mean).max(0.0) / (images - 1.0).max(1.0);
            Measure::of_mean(mean, (variance / images).sqrt(), self.images).insert("mse", &mut metrics);
            metrics.insert("mse_clipped".into(), metric(self.clipped / self.pixels as f64));
            metrics.insert("mae".into(), metric(self.absolute / self.pixels as f64));
        }
        metrics
    }

    /// The same metrics as those of a test part: `test_mse`, …
    pub(crate) fn test_metrics(&self) -> Map<String, Value> {
        self.metrics().into_iter().map(|(name, value)| (format!("test_{name}"), value)).collect()
    }
}
