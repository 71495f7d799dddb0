//! A discriminator in training: what it says of images, which way images should go to please it, and its own updates.
//!
//! Images' gradients come down through it as a pullback, so that no gradient of its parameters is computed for a generator.

use std::path::Path;

use dfdx::prelude::{NoneTape, OwnedTape};

use super::adam::{Adam, AdamSettings};
use super::checkpoint;
use super::error::Result;
use crate::net::{self, Mode, Network};
use crate::ops::InputGradient;
use crate::ops::adversarial::{Role, Rule};
use crate::store::npy::Scalar;
use crate::tensor::{Batch, Element, backward, view};

/// A network with an output "score", its moments, how scores are judged, and the limit of a critic's parameters.
#[derive(Debug)]
pub struct Discriminator<E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    score: usize,
    rule: Rule,
    limit: Option<f64>,
}

impl<E: Element + Scalar> Discriminator<E> {
    /// A discriminator with moments of zero; parameters beyond ±`limit` are clamped.
    ///
    /// # Errors
    /// A network without an output "score".
    pub fn new(network: Network<E>, rule: Rule, limit: Option<f64>) -> net::Result<Self> {
        let (adam, score) = (Adam::new(network.parameters()), network.graph().output("score")?);
        Ok(Self { network, adam, score, rule, limit })
    }

    /// The network.
    pub fn network(&self) -> &Network<E> {
        &self.network
    }

    /// The loss of fakes that want to pass, an example's weighed by `factor`, and the cotangent of the images.
    ///
    /// # Errors
    /// A network whose score does not depend on its images.
    pub fn wanted(&self, images: &Batch<E>, mode: Mode, factor: f64) -> Result<(f64, Batch<E>)> {
        let trace = self.network.forward(&mut NoneTape, images, mode, InputGradient::Wanted);
        let (loss, slope) = self.rule.judge(self.network.value(&trace, self.score)?, Role::Wanted, factor);
        Ok((loss, self.network.gradient_at_input(&mut NoneTape, &trace, &[(self.score, &slope)])?))
    }

    /// The loss of some images and the gradients of the parameters; running statistics move.
    ///
    /// # Errors
    /// None in a network that computes its score.
    pub fn judge(&mut self, images: &Batch<E>, role: Role, mode: Mode, factor: f64) -> Result<(f64, Vec<Vec<E>>)> {
        let mut tape = OwnedTape::default();
        let trace = self.network.forward(&mut tape, images, mode, InputGradient::Unwanted);
        let score = self.network.value(&trace, self.score)?.clone();
        self.network.keep_running_statistics(&trace);
        let (loss, slope) = self.rule.judge(&score, role, factor);
        let mut gradients = backward(tape, &score, view(&slope).to_vec());
        Ok((loss, self.network.take_gradients(&mut gradients)))
    }

    /// One update on real images beside fakes; returns the loss.
    ///
    /// # Errors
    /// As [`Discriminator::judge`].
    pub fn update_on_both(
        &mut self,
        [real, fakes]: [&Batch<E>; 2],
        mode: Mode,
        factor: f64,
        adam: &AdamSettings,
    ) -> Result<f64> {
        let (real_loss, mut gradients) = self.judge(real, Role::Real, mode, factor)?;
        let (fake_loss, more) = self.judge(fakes, Role::Fake, mode, factor)?;
        for (sum, more) in gradients.iter_mut().zip(&more) {
            sum.iter_mut().zip(more).for_each(|(sum, &more)| *sum += more);
        }
        self.step(&gradients, adam);
        Ok(real_loss + fake_loss)
    }

    /// Moves the parameters down their gradients.
    pub fn step(&mut self, gradients: &[Vec<E>], adam: &AdamSettings) {
        let limit = self.limit;
        self.adam.step(&mut self.network, gradients, adam, |_| limit);
    }

    /// Writes all state into a checkpoint's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "discriminator", &self.network, &self.adam)
    }

    /// Reads back what `save` wrote.
    ///
    /// # Errors
    /// A file that is missing or damaged.
    pub fn restore(&mut self, folder: &Path) -> Result<()> {
        self.adam = checkpoint::restore(folder, "discriminator", &mut self.network)?;
        Ok(())
    }
}
