//! Initial parameters: v and projections normal with deviation 0.05; g and b such that each convolution's outputs have mean 0 and
//! deviation 1 on a batch of images, and 0.1 for a block's second one (Salimans & Kingma 2016, section 3; Salimans et al. 2017).

use super::architecture::Architecture;
use super::network::{Mode, PixelCnn, Role};
use super::parameters::{Layers, Spec};
use crate::net::initialise::memory_shape;
use crate::ops::InputGradient;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, batch};

const DEVIATION: f64 = 0.05;

impl<E: Element> PixelCnn<E> {
    /// A model with random directions, scales of 1 and biases of 0; [`PixelCnn::fitted_to`] sets these two.
    ///
    /// # Errors
    /// Sizes that do not fit each other.
    pub fn random(architecture: Architecture, seed: u64) -> super::Result<Self> {
        let architecture = architecture.check()?;
        let layers = Layers::of(&architecture);
        let parameters = layers.specs.iter().map(|spec| initial(spec, seed)).collect();
        Ok(Self::assembled(architecture, layers, parameters))
    }

    /// The same model with scales and biases that give each layer's outputs on these images mean 0 and deviation 1.
    pub fn fitted_to(mut self, pixels: &[u8], condition: Option<&Batch<E>>, mode: Mode) -> Self {
        let condition = condition.map(|condition| (condition, InputGradient::Unwanted));
        let x = self.scaled(pixels);
        let mut tape = Tape::off();
        let mut pass = self.pass(&mut tape, condition, mode, Role::Initialising);
        pass.run(&x);
        let parameters = pass.parameters;
        *self.parameters_mut() = parameters;
        self
    }
}

fn initial<E: Element>(spec: &Spec, seed: u64) -> Batch<E> {
    let count: usize = spec.shape.iter().product();
    let values = match spec.name.rsplit('.').next() {
        Some("g") => vec![E::one(); count],
        Some("b") => vec![E::zero(); count],
        _ => {
            let draws = Stream::new(seed, &format!("initialise {}", spec.name), 0).normal::<E>(0..count);
            draws.into_iter().map(|value| E::of(DEVIATION) * value).collect()
        }
    };
    batch(values, memory_shape(&spec.shape))
}
