//! How far recovered images are from the originals: squared errors a pixel, with the spread of their mean over images.

use serde_json::{Map, Value};

use crate::store::sidecar::metric;
use crate::tensor::Element;

/// Images evaluated at a time.
pub(crate) const EVALUATED: usize = 256;

/// The squared error of recoveries, plain and after clipping to [0, 1], summed in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct SquaredError {
    plain: f64,
    clipped: f64,
    absolute: f64,
    pixels: usize,
    images: usize,
    /// Sum over images of the square of an image's clipped error, for the spread of the mean.
    squares: f64,
}

impl SquaredError {
    /// Adds the pixels of one image and of its recovery, in one order.
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

    /// `mse` and `mse_clipped`, the means over pixels, `mae`, that of absolute errors, and `mse_error`, the standard error
    /// of `mse` over images; nothing where no image was added.
    pub fn metrics(&self) -> Map<String, Value> {
        let mut metrics = Map::new();
        if self.pixels > 0 {
            let (mean, images) = (self.plain / self.pixels as f64, self.images as f64);
            let variance = (self.squares / images - mean * mean).max(0.0);
            metrics.insert("mse".into(), metric(mean));
            metrics.insert("mse_clipped".into(), metric(self.clipped / self.pixels as f64));
            metrics.insert("mae".into(), metric(self.absolute / self.pixels as f64));
            metrics.insert("mse_error".into(), metric((variance / images).sqrt()));
        }
        metrics
    }
}
