//! The hyper-parameters of alignment: those of the paper, those of its authors' code, and what a user may change.
//!
//! `paper` is section 4 with equations 5 to 9; `published-code` the authors' repository (MNIST and CIFAR-10).
//!
//! ```
//! use obverse::alignment::settings::{Settings, Start};
//! let paper = Settings::paper().check()?;
//! assert_eq!((paper.start, paper.learning_rate, paper.sigmoid), (Start::Uniform, 1e-5, false));
//! let published = Settings::published_code().check()?;
//! assert_eq!((published.start, published.learning_rate, published.sigmoid), (Start::Zeros, 1e-4, true));
//! assert!(Settings { steps: 0, ..paper }.check().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::adversarial::AdversarialSettings;
use super::recovery::Recovery;
use super::step::{AimWeights, Objective};
use crate::net;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, zeros};
use crate::train::course::Course;
use crate::train::schedule::{Pace, Schedule};
use crate::train::{Error, Result};

/// The limit of the weights: the loss is unstable where w^2 > 2 (section 7.2).
pub(crate) const WEIGHT_LIMIT: f64 = std::f64::consts::SQRT_2;

/// Where the recovery starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// r0 = 0: the recovery is a function of the latent alone.
    Zeros,
    /// r0 uniform in [0, 1).
    Uniform,
    /// r0 standard normal.
    Gaussian,
    /// r0 uniform in [-1, 1).
    Symmetric,
}

impl Start {
    /// r0 for the images numbered `first..first + count` of a stream; one image where all are the same.
    pub fn draw<E: Element>(
        self,
        stream: &Stream,
        first: usize,
        count: usize,
        size: (usize, usize, usize),
    ) -> Batch<E> {
        let (h, w, c) = size;
        let image = h * w * c;
        let range = first * image..(first + count) * image;
        match self {
            Self::Zeros => zeros((1, h, w, c)),
            Self::Uniform => batch(stream.uniform(range), (count, h, w, c)),
            Self::Gaussian => batch(stream.normal(range), (count, h, w, c)),
            Self::Symmetric => {
                let values = stream.uniform::<E>(range).into_iter().map(|value| value + value - E::one()).collect();
                batch(values, (count, h, w, c))
            }
        }
    }
}

/// Which parameters are clamped to ±sqrt 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clamp {
    /// Weights and biases.
    All,
    /// Weights.
    Weights,
    /// None.
    None,
}

/// The hyper-parameters of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Gradient steps on the input, T.
    pub steps: usize,
    /// Weight of each step, tau.
    pub tau: f64,
    /// Whether the recovery passes through a sigmoid.
    pub sigmoid: bool,
    /// Where the recovery starts.
    pub start: Start,
    /// Pixels are clamped to this range first.
    #[serde(rename = "input_range")]
    pub clamp_inputs: Option<[f64; 2]>,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// Adam's decays.
    pub betas: [f64; 2],
    /// Which parameters are clamped.
    pub clamp: Clamp,
    /// Whether the squared error and the divergence are sums over the batch, the error halved, as in the published code,
    /// or means over its examples. For Adam this only changes the balance of the two.
    #[serde(default)]
    pub halved_sums: bool,
    /// Weight of an example's divergence, in variational modes.
    #[serde(default)]
    pub beta: Beta,
    /// Weight of the function's value in a regression's L (equation 3).
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// Whether z_r = mu_r + sigma_r rather than mu_r, in variational modes.
    #[serde(default)]
    pub deviated: bool,
    /// The generator's and the discriminator's, in mode `vfa-gan`.
    #[serde(default)]
    pub adversarial: AdversarialSettings,
}

/// The alpha of section 3.2.
fn alpha() -> f64 {
    0.01
}

/// The weight of an example's divergence in the cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Beta {
    /// Drawn from U(0, 1) for each example and update (section 3.4).
    #[default]
    Uniform,
    /// The same for all.
    Fixed(f64),
}

impl Beta {
    /// A weight for each example.
    pub fn draw(self, stream: &Stream, count: usize) -> Vec<f64> {
        match self {
            Self::Uniform => stream.uniform(0..count),
            Self::Fixed(beta) => vec![beta; count],
        }
    }
}

impl Settings {
    /// The hyper-parameters of section 4.
    pub fn paper() -> Self {
        Self {
            steps: 1,
            tau: 1.0,
            sigmoid: false,
            start: Start::Uniform,
            clamp_inputs: None,
            learning_rate: 1e-5,
            schedule: Schedule::Constant,
            betas: [0.9, 0.999],
            clamp: Clamp::All,
            halved_sums: false,
            beta: Beta::Uniform,
            alpha: alpha(),
            deviated: false,
            adversarial: AdversarialSettings::paper(),
        }
    }

    /// Those of the authors' repository (MNIST and CIFAR-10).
    pub fn published_code() -> Self {
        Self {
            sigmoid: true,
            start: Start::Zeros,
            clamp_inputs: Some([0.01, 0.99]),
            learning_rate: 1e-4,
            betas: [0.5, 0.999],
            clamp: Clamp::Weights,
            halved_sums: true,
            deviated: true,
            adversarial: AdversarialSettings::published_code(),
            ..Self::paper()
        }
    }

    /// Checks every value, before any data is read.
    ///
    /// # Errors
    /// A value outside its range, with the range.
    pub fn check(self) -> Result<Self> {
        let fail = |what: String| Err(Error::Settings(what));
        if self.steps == 0 {
            return fail("`steps`: expected at least 1, found 0".into());
        }
        if !(self.tau > 0.0 && self.tau.is_finite()) {
            return fail(format!("`tau`: expected a positive number, found {}", self.tau));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return fail(format!("`learning_rate`: expected a positive number, found {}", self.learning_rate));
        }
        if !self.betas.iter().all(|beta| (0.0..1.0).contains(beta)) {
            return fail(format!("`betas`: expected two numbers in [0, 1), found {:?}", self.betas));
        }
        if !(self.alpha >= 0.0 && self.alpha.is_finite()) {
            return fail(format!("`alpha`: expected a number of at least 0, found {}", self.alpha));
        }
        if let Beta::Fixed(beta) = self.beta
            && !(beta >= 0.0 && beta.is_finite())
        {
            return fail(format!("`beta`: expected uniform or a number of at least 0, found {beta}"));
        }
        self.adversarial.check()?;
        match self.clamp_inputs {
            Some([low, high]) if low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) => {
                fail(format!("`clamp_inputs`: expected low < high, found {low},{high}"))
            }
            _ => Ok(self),
        }
    }

    /// How r is recovered from z.
    pub fn recovery(&self) -> Recovery {
        Recovery { steps: self.steps, tau: self.tau, sigmoid: self.sigmoid }
    }

    /// Adam's settings over a run of `updates` updates, and the run's seed.
    pub fn course(&self, updates: u64, seed: u64) -> Course {
        let pace = Pace { learning_rate: self.learning_rate, schedule: self.schedule, betas: self.betas, updates };
        Course { pace, seed }
    }

    /// The objective of an update of `count` examples.
    pub fn objective(&self, count: usize) -> Objective {
        let factor = if self.halved_sums { 0.5 } else { 1.0 / count.max(1) as f64 };
        Objective { recovery: self.recovery(), weights: self.weights(), factor }
    }

    /// How the encoder's outputs count in a recovery.
    pub fn weights(&self) -> AimWeights {
        AimWeights { deviated: self.deviated, alpha: self.alpha }
    }

    /// The weight of each example's divergence in the cost of an update.
    pub fn divergence_weights(&self, stream: &Stream, count: usize) -> Vec<f64> {
        let scale = if self.halved_sums { 1.0 } else { 1.0 / count.max(1) as f64 };
        self.beta.draw(stream, count).into_iter().map(|beta| scale * beta).collect()
    }

    /// The limit of a parameter of the encoder.
    pub fn limit(&self, parameter: &str) -> Option<f64> {
        match self.clamp {
            Clamp::All => Some(WEIGHT_LIMIT),
            Clamp::Weights => (parameter == "weight").then_some(WEIGHT_LIMIT),
            Clamp::None => None,
        }
    }
}

/// How to recover from the latents of the network in `folder`: the settings it was trained with, or, for one that was not
/// trained by feature alignment, those of the paper from zeros.
///
/// # Errors
/// A net.json that cannot be read, or whose settings are not those of a training.
pub fn trained_settings(folder: &Path) -> net::Result<Settings> {
    match net::origin(folder)?.get("settings") {
        None | Some(Value::Null) => Ok(Settings { start: Start::Zeros, ..Settings::paper() }),
        Some(settings) => serde_json::from_value(settings.clone()).map_err(|error| net::Error::Json {
            path: folder.join("net.json"),
            reason: format!("origin.settings: {error}; give a network that fa-fit has written"),
        }),
    }
}
