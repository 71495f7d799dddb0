//! The generative model, x = relu(alpha W h) * drop, h (N, 1, 1, n) and x (N, 1, 1, m), one layer or several.
//!
//! drop is 1 with probability rho, else 0, element by element. Source: reverse nets, section 3.
//!
//! ```
//! use obverse::reversible::model::{Sizes, sparse};
//! use obverse::tensor::{Batch, random::Stream, view};
//! let sizes = Sizes { n: 20, m: 2000, k: 3, kept: 1.0 }.check()?;
//! let h: Batch<f64> = sparse(&Stream::new(0, "h", 0), 5, sizes);
//! assert!(view(&h).chunks(20).all(|h| h.iter().filter(|&&h| h != 0.0).count() == 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::{Error, Result};
use crate::ops::InputGradient;
use crate::ops::gaussian::multiply;
use crate::ops::linear::linear;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};

/// The sizes of a layer of the model.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Sizes {
    /// Features of h.
    pub n: usize,
    /// Features of x.
    pub m: usize,
    /// Features of h that are not zero.
    pub k: usize,
    /// rho, the share of x that dropout keeps.
    pub kept: f64,
}

impl Sizes {
    /// Checks that there is such a layer.
    ///
    /// # Errors
    /// k or m of 0, k above n, rho outside (0, 1].
    pub fn check(self) -> Result<Self> {
        let Self { n, m, k, kept } = self;
        if m > 0 && (1..=n).contains(&k) && kept > 0.0 && kept <= 1.0 {
            return Ok(self);
        }
        Err(Error::Settings(format!(
            "expected m of at least 1, k from 1 to n and rho in (0, 1], found n {n}, m {m}, k {k}, rho {kept}"
        )))
    }
}

/// One layer of the model.
#[derive(Clone, Debug)]
pub struct Layer<E: Element> {
    /// W, (m, 1, 1, n).
    pub weight: Batch<E>,
    /// alpha, positive.
    pub alpha: f64,
    /// rho.
    pub kept: f64,
}

impl<E: Element> Layer<E> {
    /// A layer of independent N(0, 1) with alpha = 2 / (rho m), for which W^T x estimates h without a factor.
    pub fn random(stream: &Stream, sizes: Sizes) -> Self {
        let Sizes { n, m, kept, .. } = sizes;
        let weight = batch(stream.normal(0..m * n), (m, 1, 1, n));
        Self { weight, alpha: 2.0 / (kept * m as f64), kept }
    }

    /// n.
    pub fn hidden(&self) -> usize {
        shape(&self.weight).3
    }

    /// m.
    pub fn visible(&self) -> usize {
        shape(&self.weight).0
    }

    /// W h, (N, 1, 1, m), without rectifier and dropout: the linear model of Theorem 3.1.
    pub fn linear(&self, h: &Batch<E>) -> Batch<E> {
        linear(&mut Tape::off(), h, &self.weight, None, None, InputGradient::Unwanted)
    }

    /// x = relu(alpha W h) * drop; `drop`, (N, 1, 1, m), is 1 for features that are kept, else 0.
    pub fn generate(&self, h: &Batch<E>, drop: &Batch<E>) -> Batch<E> {
        let active = linear(&mut Tape::off(), h, &self.weight, None, Some(E::zero()), InputGradient::Unwanted);
        // A positive factor passes through the rectifier.
        let alpha = E::of(self.alpha);
        let scaled = batch(view(drop).iter().map(|&drop| alpha * drop).collect(), shape(drop));
        multiply(&mut Tape::off(), &active, &scaled)
    }

    /// Which of `count` x's features are kept, 1 or 0, (N, 1, 1, m).
    pub fn drop(&self, stream: &Stream, count: usize) -> Batch<E> {
        let kept = |draw: f64| if draw < self.kept { E::one() } else { E::zero() };
        let draws: Vec<f64> = stream.uniform(0..count * self.visible());
        batch(draws.into_iter().map(kept).collect(), (count, 1, 1, self.visible()))
    }
}

/// `count` hidden variables (N, 1, 1, n), each nonzero at k features drawn without repetition, uniform in [1/2, 3/2) there.
pub fn sparse<E: Element>(stream: &Stream, count: usize, sizes: Sizes) -> Batch<E> {
    let Sizes { n, k, .. } = sizes;
    let mut h = vec![E::zero(); count * n];
    for (row, h) in h.chunks_exact_mut(n.max(1)).enumerate() {
        let stream = stream.branch(&format!("row {row}"));
        let values: Vec<E> = stream.branch("values").uniform(0..k);
        for (&feature, value) in stream.permutation(n).iter().zip(values) {
            h[feature] = value + E::of(0.5);
        }
    }
    batch(h, (count, 1, 1, n))
}

/// Layers from the sparsest variables down to the visible ones: each generates the next one's h.
#[derive(Clone, Debug)]
pub struct Model<E: Element> {
    layers: Vec<Layer<E>>,
}

impl<E: Element> Model<E> {
    /// Layers that follow each other.
    ///
    /// # Errors
    /// No layers; one that does not generate as many features as the next one takes.
    pub fn new(layers: Vec<Layer<E>>) -> Result<Self> {
        if layers.is_empty() {
            return Err(Error::TooFew { what: "layers of a model", needed: 1, found: 0 });
        }
        match layers.windows(2).find(|pair| pair[0].visible() != pair[1].hidden()) {
            None => Ok(Self { layers }),
            Some(pair) => Err(Error::Settings(format!(
                "layers of a model: expected one that takes {} features after one that generates as many, found {}",
                pair[0].visible(),
                pair[1].hidden()
            ))),
        }
    }

    /// The layers, the one of the sparsest variables first.
    pub fn layers(&self) -> &[Layer<E>] {
        &self.layers
    }

    /// The output of each layer; the last one is x.
    pub fn generate(&self, h: &Batch<E>, stream: &Stream) -> Vec<Batch<E>> {
        let mut generated: Vec<Batch<E>> = Vec::with_capacity(self.layers.len());
        for (number, layer) in self.layers.iter().enumerate() {
            let drop = layer.drop(&stream.branch(&format!("layer {number}")), shape(h).0);
            let x = layer.generate(generated.last().unwrap_or(h), &drop);
            generated.push(x);
        }
        generated
    }

    /// h estimated from x alone, layer by layer (see [`super::estimate`]).
    pub fn recover(&self, x: &Batch<E>) -> Batch<E> {
        self.layers.iter().rev().fold(x.clone(), |x, layer| layer.estimate(&x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { n: 30, m: 400, k: 4, kept: 0.5 };

    #[test]
    fn hidden_variables_have_k_features_and_x_half_of_what_dropout_keeps() {
        let h: Batch<f64> = sparse(&Stream::new(0, "h", 0), 50, SIZES);
        for row in view(&h).chunks(30) {
            let active: Vec<f64> = row.iter().copied().filter(|&value| value != 0.0).collect();
            assert!(active.len() == 4 && active.iter().all(|value| (0.5..1.5).contains(value)));
        }
        let layer = Layer::random(&Stream::new(0, "W", 0), SIZES);
        let x = layer.generate(&h, &layer.drop(&Stream::new(0, "drop", 0), 50));
        let active = view(&x).iter().filter(|&&value| value > 0.0).count() as f64;
        // Rows share W, so this is less sure than 20,000 independent draws are.
        assert!((active / 20_000.0 - 0.25).abs() < 0.02, "{active}");
        assert!(view(&x).iter().all(|&value| value >= 0.0));
    }

    #[test]
    fn sizes_and_layers_that_do_not_fit_are_refused() {
        assert!(SIZES.check().is_ok());
        for wrong in [Sizes { k: 31, ..SIZES }, Sizes { k: 0, ..SIZES }, Sizes { m: 0, ..SIZES }] {
            assert!(wrong.check().unwrap_err().to_string().contains("n 30"));
        }
        assert!(Sizes { kept: 0.0, ..SIZES }.check().is_err() && Sizes { kept: f64::NAN, ..SIZES }.check().is_err());
        let layer = || Layer::<f32>::random(&Stream::new(0, "W", 0), SIZES);
        let error = Model::new(vec![layer(), layer()]).unwrap_err().to_string();
        assert!(error.contains("takes 400") && error.contains("found 30"), "{error}");
        assert!(Model::<f32>::new(Vec::new()).is_err());
    }
}
