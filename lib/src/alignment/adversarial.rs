//! A generator that refines recoveries, and the discriminator that trains it (section 3.4).
//!
//! Least squares (equations 7 and 8): L_G = |1 - D(G(r_hat))|^2 + lambda (|mu(x) - mu(G)|^2 + |s(x) - s(G)|^2), s = sigma^2
//! (paper) or sigma (published code); L_D = |1 - D(x)|^2 + |-1 - D(G)|^2. The Wasserstein critic, which the paper names as
//! the alternative: L_G = -D(G), L_D = D(G) - D(x), the critic's weights clipped (Arjovsky et al. 2017).
//!
//! The generator's gradient comes down through D, and through E, as a pullback: the gradients of their weights are not computed.
//!
//! ```
//! use obverse::alignment::{adversarial::Refiner, training::one_hot};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::tensor::{shape, zeros};
//! let graph = architectures::generator("mnist", Size::new(1, 4, 4), Some(10))?;
//! let generator = Refiner::new(Network::<f32>::initialised(graph, Initialisation::Uniform, 0))?;
//! let refined = generator.refine(&zeros((2, 4, 4, 1)), Some(&one_hot(&[3, 7], 10, 1.0)))?;
//! assert_eq!((generator.classes(), shape(&refined)), (Some(10), (2, 4, 4, 1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::step::Heads;
use crate::net::{self, Mode, Network, Trace};
use crate::ops::InputGradient;
use crate::ops::adversarial::{Role, Rule};
use crate::ops::arithmetic::combine;
use crate::store::npy::Scalar;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, backward, batch, shape, view};
use crate::train::adam::{Adam, AdamSettings};
use crate::train::checkpoint;
use crate::train::discriminator::Discriminator;
use crate::train::run::Losses;
use crate::train::{Error, Result};

/// Which statistic of the encoder the perceptual loss compares, besides the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// sigma^2 (equation 7).
    #[default]
    Variance,
    /// sigma (published code).
    Deviation,
}

impl Spread {
    /// sigma^2 or sigma of a log-variance, and the factor of its exponent.
    fn of<E: Element>(self, log_var: &Batch<E>) -> (Vec<f64>, f64) {
        let factor = match self {
            Self::Variance => 1.0,
            Self::Deviation => 0.5,
        };
        (view(log_var).iter().map(|log_var| (factor * log_var.wide()).exp()).collect(), factor)
    }
}

/// The fakes that the discriminator sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fakes {
    /// G(r_hat) of the batch, together with its real images in one update (equation 8).
    #[default]
    Reconstructions,
    /// G of recoveries from fresh draws of the prior, in an update of its own (published code).
    Prior,
}

/// The hyper-parameters of generator and discriminator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdversarialSettings {
    /// The loss of the scores.
    pub rule: Rule,
    /// Weight of the perceptual loss.
    pub lambda: f64,
    /// What it compares besides the mean.
    pub spread: Spread,
    /// The fakes that the discriminator sees.
    pub fakes: Fakes,
    /// Whether the discriminator has the batch normalisation of Table 10.
    pub batch_norm: bool,
    /// The critic's parameters are clipped to ± this, with the Wasserstein rule.
    pub critic_limit: f64,
}

impl Default for AdversarialSettings {
    fn default() -> Self {
        Self::paper()
    }
}

impl AdversarialSettings {
    /// Sections 3.4 and 4, Table 10.
    pub fn paper() -> Self {
        Self {
            rule: Rule::LeastSquares,
            lambda: 0.01,
            spread: Spread::Variance,
            fakes: Fakes::Reconstructions,
            batch_norm: true,
            critic_limit: 0.01,
        }
    }

    /// The authors' repository.
    pub fn published_code() -> Self {
        Self { lambda: 0.0, spread: Spread::Deviation, fakes: Fakes::Prior, batch_norm: false, ..Self::paper() }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// A value outside its range, with the range.
    pub fn check(&self) -> Result<()> {
        if !(self.lambda >= 0.0 && self.lambda.is_finite()) {
            return Err(Error::Settings(format!("`lambda`: expected a number of at least 0, found {}", self.lambda)));
        }
        if !(self.critic_limit > 0.0 && self.critic_limit.is_finite()) {
            let found = self.critic_limit;
            return Err(Error::Settings(format!("`critic_limit`: expected a positive number, found {found}")));
        }
        Ok(())
    }

    /// Adds the perceptual loss of an image's mean and log-variance to their cotangents, scaled by factor * lambda.
    pub fn perceptual<E: Element>(&self, real: [&Batch<E>; 2], fake: [&Batch<E>; 2], factor: f64) -> Perceptual<E> {
        let factor = factor * self.lambda;
        let mut loss = 0.0;
        let mut slope = |difference: f64| {
            loss += factor * difference * difference;
            2.0 * factor * difference
        };
        let means = view(fake[0]).iter().zip(view(real[0]));
        let mu: Vec<E> = means.map(|(fake, real)| E::of(slope(fake.wide() - real.wide()))).collect();
        let ((wanted, _), (spread, exponent)) = (self.spread.of(real[1]), self.spread.of(fake[1]));
        let spreads = spread.iter().zip(&wanted);
        // d e^(a log_var) / d log_var = a e^(a log_var).
        let log_var = spreads.map(|(fake, real)| E::of(slope(fake - real) * exponent * fake)).collect();
        Perceptual { loss, mu: batch(mu, shape(fake[0])), log_var: batch(log_var, shape(fake[1])) }
    }
}

/// The perceptual loss and its cotangents.
#[derive(Debug)]
pub struct Perceptual<E: Element> {
    /// Its value.
    pub loss: f64,
    /// Its cotangent at mu(G).
    pub mu: Batch<E>,
    /// Its cotangent at log_var(G).
    pub log_var: Batch<E>,
}

/// One batch as generator and discriminator see it.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a, E: Element> {
    /// Real images, (N, H, W, C).
    pub x: &'a Batch<E>,
    /// What the generator refines: their recoveries (N, H, W, C), constants here.
    pub r: &'a Batch<E>,
    /// Their one-hot classes, (N, 1, 1, K), where the generator reads them.
    pub labels: Option<&'a Batch<E>>,
    /// mu(x) and log_var(x), for the perceptual loss.
    pub statistics: Option<[&'a Batch<E>; 2]>,
    /// The weight of an example's loss: 1/N for means, 1/2 for halved sums.
    pub factor: f64,
    /// Keys dropout, if there is any.
    pub stream: Stream,
}

/// A generator and its discriminator in training.
#[derive(Debug)]
pub struct Adversary<E: Element> {
    generator: Refiner<E>,
    discriminator: Discriminator<E>,
    generator_adam: Adam<E>,
    settings: AdversarialSettings,
}

/// A generator and the places of its inputs and outputs.
#[derive(Clone, Debug)]
pub struct Refiner<E: Element> {
    network: Network<E>,
    image: usize,
    labels: Option<usize>,
}

impl<E: Element> Refiner<E> {
    /// A generator by its output "image" and, where it has one, its input "labels".
    ///
    /// # Errors
    /// No output "image".
    pub fn new(network: Network<E>) -> net::Result<Self> {
        let image = network.graph().output("image")?;
        let labels = network.graph().place(net::architectures::LABELS).ok();
        Ok(Self { network, image, labels })
    }

    /// The network.
    pub fn network(&self) -> &Network<E> {
        &self.network
    }

    /// The number of classes it reads.
    pub fn classes(&self) -> Option<usize> {
        self.labels.map(|place| self.network.graph().size(place).channels)
    }

    /// G(r) with the running statistics of its batch normalisation.
    ///
    /// # Errors
    /// A generator that reads classes, without `labels`.
    pub fn refine(&self, r: &Batch<E>, labels: Option<&Batch<E>>) -> net::Result<Batch<E>> {
        let trace = self.forward(&mut Tape::off(), r, labels, Mode::Inference);
        self.network.value(&trace, self.image).cloned()
    }

    fn forward(&self, tape: &mut Tape<E>, r: &Batch<E>, labels: Option<&Batch<E>>, mode: Mode) -> Trace<E> {
        let given: Vec<_> = self.labels.zip(labels).into_iter().collect();
        self.network.forward_given(tape, r, &given, mode, InputGradient::Unwanted)
    }

    /// G(r) as in training; the running statistics are updated.
    fn refine_in_training(&mut self, r: &Batch<E>, labels: Option<&Batch<E>>, mode: Mode) -> net::Result<Batch<E>> {
        let trace = self.forward(&mut Tape::off(), r, labels, mode);
        self.network.keep_running_statistics(&trace);
        self.network.value(&trace, self.image).cloned()
    }
}

impl<E: Element + Scalar> Adversary<E> {
    /// A generator and a discriminator with moments of zero.
    ///
    /// # Errors
    /// A generator without an output "image", a discriminator without one "score".
    pub fn new(generator: Network<E>, discriminator: Network<E>, settings: AdversarialSettings) -> net::Result<Self> {
        let generator_adam = Adam::new(generator.parameters());
        let limit = (settings.rule == Rule::Wasserstein).then_some(settings.critic_limit);
        let discriminator = Discriminator::new(discriminator, settings.rule, limit)?;
        Ok(Self { generator: Refiner::new(generator)?, discriminator, generator_adam, settings })
    }

    /// The generator.
    pub fn generator(&self) -> &Refiner<E> {
        &self.generator
    }

    /// One update of the generator; returns its loss and G(r), as it was before.
    ///
    /// # Errors
    /// Networks that do not compute their outputs.
    pub(crate) fn update_generator(
        &mut self,
        encoder: &Network<E>,
        heads: &Heads,
        round: &Round<E>,
        adam: &AdamSettings,
    ) -> Result<(f64, Batch<E>)> {
        let mode = Mode::Training(round.stream);
        let mut tape = Tape::recording();
        let trace = self.generator.forward(&mut tape, round.r, round.labels, mode);
        let image = self.generator.network.value(&trace, self.generator.image)?.clone();
        let (mut loss, mut cotangent) = self.discriminator.wanted(&image, mode, round.factor)?;
        if let (true, Some(real), Some(log_var)) = (self.settings.lambda > 0.0, round.statistics, heads.log_var) {
            let seen = encoder.forward(&mut Tape::off(), &image, Mode::Inference, InputGradient::Wanted);
            let fake = [encoder.value(&seen, heads.latent)?, encoder.value(&seen, log_var)?];
            let perceptual = self.settings.perceptual(real, fake, round.factor);
            let cotangents = [(heads.latent, &perceptual.mu), (log_var, &perceptual.log_var)];
            let through = encoder.gradient_at_input(&mut Tape::off(), &seen, &cotangents)?;
            cotangent = combine(&mut Tape::off(), E::one(), &cotangent, E::one(), &through);
            loss += perceptual.loss;
        }
        let mut gradients = backward(tape, &image, view(&cotangent).to_vec());
        let network = &mut self.generator.network;
        network.keep_running_statistics(&trace);
        let gradients = network.take_gradients(&mut gradients);
        self.generator_adam.step(network, &gradients, adam, |_| None);
        Ok((loss, image))
    }

    /// One update of the discriminator on real images and fakes together, or one update on each; returns the loss.
    ///
    /// # Errors
    /// A discriminator that does not compute its score.
    pub(crate) fn update_discriminator(
        &mut self,
        round: &Round<E>,
        fakes: &Batch<E>,
        adam: &AdamSettings,
    ) -> Result<f64> {
        let (mode, factor) = (Mode::Training(round.stream), round.factor);
        if self.settings.fakes == Fakes::Reconstructions {
            return self.discriminator.update_on_both([round.x, fakes], mode, factor, adam);
        }
        let mut total = 0.0;
        for (images, role) in [(round.x, Role::Real), (fakes, Role::Fake)] {
            let (loss, gradients) = self.discriminator.judge(images, role, mode, factor)?;
            self.discriminator.step(&gradients, adam);
            total += loss;
        }
        Ok(total)
    }

    /// One round: an update of the generator, then of the discriminator. `prior` holds a recovery and its one-hot
    /// classes from fresh draws of the prior, where the discriminator sees those.
    ///
    /// # Errors
    /// As the two updates.
    pub fn update(
        &mut self,
        encoder: &Network<E>,
        heads: &Heads,
        round: &Round<E>,
        prior: Option<(&Batch<E>, Option<&Batch<E>>)>,
        adam: &AdamSettings,
    ) -> Result<Losses> {
        let (generator, image) = self.update_generator(encoder, heads, round, adam)?;
        let fakes = match prior {
            None => image,
            Some((r, labels)) => self.generator.refine_in_training(r, labels, Mode::Training(round.stream))?,
        };
        let discriminator = self.update_discriminator(round, &fakes, adam)?;
        // Reported as unweighted sums over examples.
        Ok(vec![("generator", generator / round.factor), ("discriminator", discriminator / round.factor)])
    }

    /// Writes both networks next to the encoder in `folder`, as `generator` and `discriminator`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save_networks(&self, folder: &Path, origin: &serde_json::Value) -> net::Result<()> {
        self.generator.network.save_beside(folder, "generator", origin)?;
        self.discriminator.network().save_beside(folder, "discriminator", origin)
    }

    /// Writes all state into a checkpoint's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "generator", &self.generator.network, &self.generator_adam)?;
        self.discriminator.save(folder)
    }

    /// Reads back what `save` wrote.
    ///
    /// # Errors
    /// A file that is missing or damaged.
    pub fn restore(&mut self, folder: &Path) -> Result<()> {
        self.generator_adam = checkpoint::restore(folder, "generator", &mut self.generator.network)?;
        self.discriminator.restore(folder)
    }
}
