//! A discriminator in training: the scores of images, their gradients for the generator, and its own updates.
//!
//! Gradients of images are a pullback, so that its parameters' gradients are not computed for the generator.
//! A penalty on the slope at real images, gamma / 2 mean |dD/dx|^2, keeps it from learning too fast for the generator (R1, Mescheder et al.
//! 2018).
//!
//! ```
//! use obverse::net::{Initialisation, Mode, Network, Size, architectures};
//! use obverse::ops::adversarial::Rule;
//! use obverse::tensor::{shape, zeros};
//! use obverse::train::discriminator::Discriminator;
//! let graph = architectures::discriminator("mnist", Size::new(1, 4, 4), false)?;
//! let network = Network::<f32>::initialised(graph, Initialisation::Uniform, 0);
//! let discriminator = Discriminator::new(network, Rule::LeastSquares, None)?;
//! // What to change in two images so that they pass as real.
//! let (loss, way) = discriminator.wanted(&zeros((2, 4, 4, 1)), Mode::Inference, 1.0)?;
//! assert!(loss > 0.0 && shape(&way) == (2, 4, 4, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use super::adam::{Adam, AdamSettings};
use super::checkpoint;
use super::error::Result;
use crate::net::{self, Mode, Network};
use crate::ops::InputGradient;
use crate::ops::adversarial::{Role, Rule};
use crate::ops::arithmetic::combine;
use crate::ops::loss::squared_error;
use crate::store::npy::Scalar;
use crate::tensor::{Batch, Element, Tape, backward, batch, shape, view, zeros};

/// A network with an output "score", its moments, how scores are judged, the limit of a critic's parameters, and the weight of the
/// penalty on slopes.
#[derive(Debug)]
pub struct Discriminator<E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    score: usize,
    rule: Rule,
    limit: Option<f64>,
    gamma: f64,
}

impl<E: Element + Scalar> Discriminator<E> {
    /// A discriminator with moments of zero; parameters beyond ±`limit` are clamped.
    ///
    /// # Errors
    /// A network without an output "score".
    pub fn new(network: Network<E>, rule: Rule, limit: Option<f64>) -> net::Result<Self> {
        let (adam, score) = (Adam::new(network.parameters()), network.graph().output("score")?);
        Ok(Self { network, adam, score, rule, limit, gamma: 0.0 })
    }

    /// The same, with gamma / 2 times the mean of |dD/dx|^2 over real images in its loss (R1, Mescheder et al. 2018, equation 9).
    pub(crate) fn penalised(self, gamma: f64) -> Self {
        Self { gamma, ..self }
    }

    /// The network.
    pub fn network(&self) -> &Network<E> {
        &self.network
    }

    /// The generator's loss of fakes, each weighted by `factor`, and the cotangent of the images.
    ///
    /// # Errors
    /// A network whose score does not depend on its images.
    pub fn wanted(&self, images: &Batch<E>, mode: Mode, factor: f64) -> Result<(f64, Batch<E>)> {
        let trace = self.network.forward(&mut Tape::off(), images, mode, InputGradient::Wanted);
        let (loss, slope) = self.rule.judge(self.network.value(&trace, self.score)?, Role::Wanted, factor);
        Ok((loss, self.network.gradient_at_input(&mut Tape::off(), &trace, &[(self.score, &slope)])?))
    }

    /// The loss of some images, including the penalty on real ones, and the gradients of the parameters; running statistics are updated.
    ///
    /// # Errors
    /// None in a network that computes its score.
    pub fn judge(&mut self, images: &Batch<E>, role: Role, mode: Mode, factor: f64) -> Result<(f64, Vec<Batch<E>>)> {
        let mut tape = Tape::recording();
        let trace = self.network.forward(&mut tape, images, mode, InputGradient::Unwanted);
        let score = self.network.value(&trace, self.score)?.clone();
        self.network.keep_running_statistics(&trace);
        let (loss, slope) = self.rule.judge(&score, role, factor);
        if role != Role::Real || self.gamma == 0.0 {
            let mut gradients = backward(tape, &score, view(&slope).to_vec());
            return Ok((loss, self.network.take_gradients(&mut gradients)));
        }
        let ones = batch(vec![E::one(); view(&score).len()], shape(&score));
        let steepness = self.network.gradient_at_input(&mut tape, &trace, &[(self.score, &ones)])?;
        let flat = zeros((1, shape(images).1, shape(images).2, shape(images).3));
        let penalty = squared_error(&mut tape, &steepness, &flat, 0.5 * self.gamma * factor);
        // Its derivative at the scores is `slope`.
        let target = combine(&mut Tape::off(), E::one(), &score, -E::of(0.5), &slope);
        let judged = squared_error(&mut tape, &score, &target, 1.0);
        let cost = combine(&mut tape, E::one(), &judged, E::one(), &penalty);
        let mut gradients = backward(tape, &cost, vec![E::one()]);
        Ok((loss + view(&penalty)[0].wide(), self.network.take_gradients(&mut gradients)))
    }

    /// One update on real images and fakes; returns the loss.
    ///
    /// # Errors
    /// As [`Discriminator::judge`].
    pub(crate) fn update_on_both(
        &mut self,
        [real, fakes]: [&Batch<E>; 2],
        mode: Mode,
        factor: f64,
        adam: &AdamSettings,
    ) -> Result<f64> {
        let (real_loss, mut gradients) = self.judge(real, Role::Real, mode, factor)?;
        let (fake_loss, more) = self.judge(fakes, Role::Fake, mode, factor)?;
        for (sum, more) in gradients.iter_mut().zip(&more) {
            *sum = combine(&mut Tape::off(), E::one(), sum, E::one(), more);
        }
        self.step(&gradients, adam);
        Ok(real_loss + fake_loss)
    }

    /// Moves the parameters down their gradients.
    pub fn step(&mut self, gradients: &[Batch<E>], adam: &AdamSettings) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Initialisation, Size, architectures};
    use crate::tensor::random::Stream;
    use crate::tensor::view_mut;

    /// The loss of real images, the penalty included, grows as the gradients say.
    #[test]
    fn gradients_of_the_penalised_loss_are_its_differences() {
        for (rule, batch_norm) in [(Rule::LeastSquares, false), (Rule::Wasserstein, false), (Rule::LeastSquares, true)]
        {
            let graph = architectures::discriminator("mnist", Size::new(1, 6, 6), batch_norm).unwrap();
            let network = Network::<f64>::initialised(graph, Initialisation::He, 1);
            let x = batch(Stream::new(1, "x", 0).uniform(0..3 * 36), (3, 6, 6, 1));
            let mode = Mode::Training(Stream::new(1, "dropout", 0));
            let judged = |network: &Network<f64>| {
                let discriminator = Discriminator::new(network.clone(), rule, None).unwrap();
                discriminator.penalised(3.0).judge(&x, Role::Real, mode, 1.0 / 3.0).unwrap()
            };
            let (_, gradients) = judged(&network);
            let plain = Discriminator::new(network.clone(), rule, None).unwrap().judge(&x, Role::Real, mode, 1.0 / 3.0);
            let values = |gradients: Vec<Batch<f64>>| gradients.iter().map(|x| view(x).to_vec()).collect::<Vec<_>>();
            let gradients = values(gradients);
            assert_ne!(values(plain.unwrap().1), gradients);
            let specs = network.graph().parameters();
            for (which, gradient) in gradients.iter().enumerate().filter(|(which, _)| specs[*which].1.trained) {
                let place = gradient.len() / 2;
                let at = |step: f64| {
                    let mut moved = network.clone();
                    view_mut(&mut moved.parameters_mut()[which])[place] += step;
                    judged(&moved).0
                };
                let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                let close = 1e-7 * gradient[place].abs().max(10.0);
                assert!((difference - gradient[place]).abs() < close, "{which}: {difference} {}", gradient[place]);
            }
        }
    }
}
