//! Training an encoder by Algorithm 1, mode `fa`: presets, and what one update does.
//!
//! An update draws r0, recovers the batch from its latents (see [`Recovery`]), and moves the parameters down
//! dC / dparameters by Adam, clamped to ±sqrt 2 (equation 9).

use std::path::Path;

use dfdx::prelude::NoneTape;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::recovery::Recovery;
use crate::data::batches::ImageFile;
use crate::net::{self, Graph, Mode, Network};
use crate::ops::InputGradient;
use crate::store::npy::Scalar;
use crate::store::sidecar::metric;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, view, zeros};
use crate::train::adam::{Adam, AdamSettings};
use crate::train::checkpoint::{self, Position};
use crate::train::run::{Losses, Trainee};
use crate::train::schedule::Schedule;
use crate::train::{Error, Result};

/// The limit of the weights: the loss is unstable where w^2 > 2 (section 7.2).
pub const WEIGHT_LIMIT: f64 = std::f64::consts::SQRT_2;

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
    pub input_range: Option<[f64; 2]>,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// Adam's decays.
    pub betas: [f64; 2],
    /// Which parameters are clamped.
    pub clamp: Clamp,
}

impl Settings {
    /// The hyper-parameters of section 4.
    pub fn paper() -> Self {
        Self {
            steps: 1,
            tau: 1.0,
            sigmoid: false,
            start: Start::Uniform,
            input_range: None,
            learning_rate: 1e-5,
            schedule: Schedule::Constant,
            betas: [0.9, 0.999],
            clamp: Clamp::All,
        }
    }

    /// Those of the authors' repository (MNIST and CIFAR-10).
    pub fn published_code() -> Self {
        Self {
            sigmoid: true,
            start: Start::Zeros,
            input_range: Some([0.01, 0.99]),
            learning_rate: 1e-4,
            betas: [0.5, 0.999],
            clamp: Clamp::Weights,
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
            return fail("--steps: expected at least 1, found 0".into());
        }
        if !(self.tau > 0.0 && self.tau.is_finite()) {
            return fail(format!("--tau: expected a positive number, found {}", self.tau));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return fail(format!("--learning-rate: expected a positive number, found {}", self.learning_rate));
        }
        if !self.betas.iter().all(|beta| (0.0..1.0).contains(beta)) {
            return fail(format!("--betas: expected two numbers in [0, 1), found {:?}", self.betas));
        }
        match self.input_range {
            Some([low, high]) if low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) => {
                fail(format!("--clamp-inputs: expected low < high, found {low},{high}"))
            }
            _ => Ok(self),
        }
    }

    /// How r follows from z.
    pub fn recovery(&self) -> Recovery {
        Recovery { steps: self.steps, tau: self.tau, squash: self.sigmoid }
    }
}

/// An encoder in training.
pub struct Alignment<'a, E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    settings: Settings,
    seed: u64,
    updates: u64,
    images: &'a ImageFile,
    test: Option<&'a ImageFile>,
    node: usize,
}

/// The name of the encoder's output that holds the latent.
pub const LATENT: &str = "z";
/// Images evaluated at a time.
const EVALUATED: usize = 256;

impl<'a, E: Element + Scalar> Alignment<'a, E> {
    /// An encoder to be trained on `images` for `updates` updates and evaluated on `test`.
    ///
    /// # Errors
    /// A network without an output "z".
    pub fn new(
        network: Network<E>,
        settings: Settings,
        seed: u64,
        updates: u64,
        images: &'a ImageFile,
        test: Option<&'a ImageFile>,
    ) -> Result<Self> {
        let node = network.graph().output(LATENT)?;
        let adam = Adam::new(network.parameters());
        Ok(Self { network, adam, settings, seed, updates, images, test, node })
    }

    /// The encoder.
    pub fn network(&self) -> &Network<E> {
        &self.network
    }

    /// Pixels of a batch, clamped to the settings' range.
    fn pixels(&self, images: &ImageFile, rows: &[usize]) -> Result<Batch<E>> {
        let mut values: Vec<E> = images.batch(rows)?;
        if let Some([low, high]) = self.settings.input_range {
            values.iter_mut().for_each(|value| *value = value.max(E::of(low)).min(E::of(high)));
        }
        let (h, w, c) = image_size(self.network.graph());
        Ok(batch(values, (rows.len(), h, w, c)))
    }

    fn clamped(&self, parameter: &str) -> Option<f64> {
        match self.settings.clamp {
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
/// A net.json that cannot be read.
pub fn trained_settings(folder: &Path) -> Result<Settings> {
    let origin = net::origin(folder)?;
    let settings = origin.get("settings").cloned().and_then(|settings| serde_json::from_value(settings).ok());
    Ok(settings.unwrap_or(Settings { start: Start::Zeros, ..Settings::paper() }))
}

/// Height, width and channels of a network's images.
pub fn image_size(graph: &Graph) -> (usize, usize, usize) {
    let size = graph.input.shape;
    (size.height, size.width, size.channels)
}

/// The squared error of recoveries, plain and after clipping to [0, 1], summed in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct SquaredError {
    plain: f64,
    clipped: f64,
    pixels: usize,
}

impl SquaredError {
    /// Adds pixels and their recoveries, in one order.
    pub fn add<E: Element>(&mut self, x: &[E], r: &[E]) {
        for (&x, &r) in x.iter().zip(r) {
            self.plain += (x - r).wide().powi(2);
            self.clipped += (x - r.max(E::zero()).min(E::one())).wide().powi(2);
        }
        self.pixels += x.len();
    }

    /// `mse` and `mse_clipped`, the means over pixels; nothing where no pixel was added.
    pub fn metrics(&self) -> Map<String, Value> {
        let mut metrics = Map::new();
        if self.pixels > 0 {
            metrics.insert("mse".into(), metric(self.plain / self.pixels as f64));
            metrics.insert("mse_clipped".into(), metric(self.clipped / self.pixels as f64));
        }
        metrics
    }
}

/// The error of `images` recovered from their latents alone.
///
/// # Errors
/// Images that cannot be read.
pub fn recovery_error<E: Element + Scalar>(
    encoder: &Network<E>,
    settings: &Settings,
    images: &ImageFile,
    seed: u64,
) -> Result<SquaredError> {
    let (node, size) = (encoder.graph().output(LATENT)?, image_size(encoder.graph()));
    let stream = Stream::new(seed, "recovery", 0);
    let mut error = SquaredError::default();
    for first in (0..images.count()).step_by(EVALUATED) {
        let rows: Vec<usize> = (first..images.count().min(first + EVALUATED)).collect();
        let x = batch(images.batch::<E>(&rows)?, (rows.len(), size.0, size.1, size.2));
        let z = encode(encoder, node, &x);
        let start = settings.start.draw(&stream, first, rows.len(), size);
        let r = settings.recovery().recover(&mut NoneTape, encoder, node, &z, &start);
        error.add(view(&x), view(&r));
    }
    Ok(error)
}

/// The latents of a batch, (N, 1, 1, Z).
pub fn encode<E: Element>(encoder: &Network<E>, node: usize, x: &Batch<E>) -> Batch<E> {
    let trace = encoder.forward(&mut NoneTape, x, Mode::Inference, InputGradient::Unwanted);
    trace.value(node).cloned().unwrap_or_else(|| x.clone())
}

impl<E: Element + Scalar> Trainee for Alignment<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let x = self.pixels(self.images, rows)?;
        let stream = Stream::new(self.seed, "start", position.update);
        let start = self.settings.start.draw(&stream, 0, rows.len(), image_size(self.network.graph()));
        // Sums over batch and pixels, halved, as in the authors' code; Adam does not see the factor.
        let step = self.settings.recovery().step(&self.network, self.node, &x, &start, 0.5);
        let factor = self.settings.schedule.factor(position.update, self.updates, position.epoch);
        let adam = AdamSettings {
            betas: (self.settings.betas[0], self.settings.betas[1]),
            ..AdamSettings::with_rate(self.settings.learning_rate * factor)
        };
        let limits: Vec<_> =
            self.network.graph().parameters().iter().map(|(_, spec)| self.clamped(spec.name)).collect();
        self.adam.advance();
        for (which, gradient) in step.gradients.iter().enumerate() {
            self.adam.update(which, &mut self.network.parameters_mut()[which], gradient, &adam, limits[which]);
        }
        Ok(vec![("train_mse", step.squared_error / (view(&x).len() / rows.len()) as f64)])
    }

    fn evaluate(&mut self, _: u64) -> Result<Map<String, Value>> {
        let mut metrics = Map::new();
        if let Some(test) = self.test {
            let error = recovery_error(&self.network, &self.settings, test, self.seed)?;
            metrics.extend(error.metrics().into_iter().map(|(name, value)| (format!("test_{name}"), value)));
        }
        Ok(metrics)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "encoder", &self.network, &self.adam)
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        self.adam = checkpoint::restore(folder, "encoder", &mut self.network)?;
        Ok(())
    }
}
