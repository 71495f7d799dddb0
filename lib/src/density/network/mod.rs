//! The network: two streams of gated residual blocks over three levels and back, joined by skips; (N, H, W, C) -> (N, H', W', P).
//!
//! `u` sees the rows above, `ul` also what is to the left and, at each block, `u` (Salimans et al. 2017, section 2). H' and W' are H
//! and W rounded up to multiples of 4; beyond the image all inputs are zero, including the channel of ones that marks the image.
//!
//! ```
//! use obverse::density::{Architecture, Likelihood, Mode, PixelCnn};
//! use obverse::tensor::{Tape, shape};
//! let architecture = Architecture {
//!     channels: 1,
//!     height: 4,
//!     width: 4,
//!     filters: 4,
//!     blocks: 1,
//!     likelihood: Likelihood::Softmax,
//!     condition: None,
//! };
//! let model = PixelCnn::<f32>::random(architecture, 0)?;
//! let outputs = model.forward(&mut Tape::off(), &model.scaled(&[0; 16]), None, Mode::Inference);
//! assert_eq!(shape(&outputs), (1, 4, 4, 256));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod pass;

use super::architecture::{Architecture, Condition};
use super::likelihood::negative_log_likelihood;
use super::parameters::{Layers, Spec};
use crate::ops::InputGradient;
use crate::tensor::device::settle;
use crate::tensor::{Batch, Element, Tape, batch, view};
use pass::{Pass, Projected, resized};

pub use pass::Mode;
pub(super) use pass::{Role, grown};

/// A model: its sizes and its parameters.
#[derive(Clone, Debug)]
pub struct PixelCnn<E: Element> {
    architecture: Architecture,
    pub(super) layers: Layers,
    parameters: Vec<Batch<E>>,
}

impl<E: Element> PixelCnn<E> {
    /// A model of these parameters, in the order of [`PixelCnn::specs`] and in memory shapes.
    pub(super) fn assembled(architecture: Architecture, layers: Layers, parameters: Vec<Batch<E>>) -> Self {
        Self { architecture, layers, parameters }
    }

    /// The sizes.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Names and file shapes of the parameters.
    pub fn specs(&self) -> &[Spec] {
        &self.layers.specs
    }

    /// The parameters, in memory order: (O, kh, kw, I) for (O, I, kh, kw).
    pub fn parameters(&self) -> &[Batch<E>] {
        &self.parameters
    }

    /// The parameters, mutable.
    pub fn parameters_mut(&mut self) -> &mut Vec<Batch<E>> {
        &mut self.parameters
    }

    /// The places of the blocks' projections of the condition among the parameters; they are linear in the condition.
    pub(super) fn projections(&self) -> Vec<usize> {
        let blocks =
            [&self.layers.u, &self.layers.ul].into_iter().flat_map(|stream| stream.up.iter().chain(&stream.down));
        blocks.filter_map(|block| block.context).collect()
    }

    /// The number of values of all parameters.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(|parameter| view(parameter).len()).sum()
    }

    /// The parameters of each pixel's distribution, (N, H', W', P), for images x (N, H, W, C) in [-1, 1] and what they are
    /// conditional on; its gradient is recorded where it is `Wanted`.
    pub fn forward(
        &self,
        tape: &mut Tape<E>,
        x: &Batch<E>,
        condition: Option<(&Batch<E>, InputGradient)>,
        mode: Mode,
    ) -> Batch<E> {
        settle(self.parameters.iter().chain([x]));
        self.pass(tape, condition, mode, Role::Computing).run(x)
    }

    /// The negative log-likelihood of each image, (N, 1, 1, 1), in nats; `pixels` are (N, H, W, C).
    pub fn negative_log_likelihood(
        &self,
        tape: &mut Tape<E>,
        pixels: &[u8],
        condition: Option<&Batch<E>>,
        mode: Mode,
    ) -> Batch<E> {
        let condition = condition.map(|condition| (condition, InputGradient::Unwanted));
        let outputs = self.forward(tape, &self.scaled(pixels), condition, mode);
        negative_log_likelihood(tape, &self.architecture, &outputs, pixels)
    }

    /// 8-bit images (N, H, W, C) as the network sees them, in [-1, 1].
    pub fn scaled(&self, pixels: &[u8]) -> Batch<E> {
        let Architecture { channels, height, width, .. } = self.architecture;
        let values: Vec<E> = pixels.iter().map(|&value| E::of(f64::from(value) / 127.5 - 1.0)).collect();
        batch(values, (pixels.len() / (channels * height * width).max(1), height, width, channels))
    }

    pub(super) fn pass<'a>(
        &'a self,
        tape: &'a mut Tape<E>,
        condition: Option<(&Batch<E>, InputGradient)>,
        mode: Mode,
        role: Role,
    ) -> Pass<'a, E> {
        let condition = condition.map(|(values, gradient)| {
            let maps = matches!(self.architecture.condition, Some(Condition::Maps(..)));
            let levels = if maps {
                self.architecture.levels().map(|size| resized(tape, values, size, gradient)).to_vec()
            } else {
                vec![values.clone()]
            };
            Projected { levels, gradient }
        });
        let (layers, parameters) = (&self.layers, self.parameters.clone());
        Pass { tape, layers, architecture: &self.architecture, parameters, condition, mode, role }
    }
}
