//! Training by maximum likelihood, L = -mean log p(x | h) (Nash et al. 2019, equation 4): Adam, Polyak averages of the parameters,
//! early stopping on validation images.
//!
//! The averages are validated and kept: a <- d a + (1 - d) p after update t (Salimans et al. 2017), where d is at most
//! (1 + t) / (10 + t), as in TensorFlow's averages.
//!
//! ```
//! use obverse::data::batches::ImageFile;
//! use obverse::density::training::{Examples, log_likelihoods};
//! use obverse::density::{Architecture, Likelihood, PixelCnn};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("images.npy");
//! obverse::store::npy::write(&path, &[2, 4, 4], &[0u8; 32])?;
//! let examples = Examples::new(ImageFile::open(&path)?, None)?;
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
//! let nats = log_likelihoods(&model, &examples, 0..2, |_| ())?;
//! assert!(nats.len() == 2 && nats.iter().all(|&nats| nats < 0.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod examples;
mod settings;

use std::path::Path;

use serde_json::{Map, Value};

use super::architecture::Architecture;
use super::network::{Mode, PixelCnn};
use super::{Error, Result};
use crate::data::batches::epoch_order;
use crate::density::Condition;
use crate::ops::arithmetic::combine;
use crate::store::npy::Scalar;
use crate::store::sidecar::metric;
use crate::tensor::device::all_finite;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, backward, gradient_there, view, view_mut};
use crate::train;
use crate::train::adam::Adam;
use crate::train::best::Best;
use crate::train::checkpoint::{self, Position};
use crate::train::course::Course;
use crate::train::run::{Losses, Trainee};

pub use examples::Examples;
pub use settings::Settings;

/// Images that scales and biases are first fitted to.
const FITTED: usize = 32;
/// Images evaluated at a time.
const EVALUATED: usize = 16;

/// A model in training.
pub struct Training<'a, E: Element> {
    model: PixelCnn<E>,
    average: Vec<Batch<E>>,
    adam: Adam<E>,
    settings: Settings,
    course: Course,
    examples: &'a Examples,
    validation: Option<&'a Examples>,
    best: Best<E>,
}

impl<'a, E: Element + Scalar> Training<'a, E> {
    /// A new model, its scales and biases fitted to images drawn from the examples.
    ///
    /// # Errors
    /// Sizes that do not fit each other or the examples; images that cannot be read.
    pub fn new(
        architecture: Architecture,
        settings: Settings,
        seed: u64,
        examples: &'a Examples,
        validation: Option<&'a Examples>,
    ) -> Result<Self> {
        let settings = settings.check()?;
        for part in std::iter::once(examples).chain(validation) {
            part.check(&architecture)?;
        }
        if settings.condition_dropout > 0.0 && !matches!(architecture.condition, Some(Condition::Vector(_))) {
            let words = "`condition_dropout`: expected 0, since only a condition of vectors is projected linearly";
            return Err(Error::Settings(words.into()));
        }
        let order = epoch_order(seed, 0, examples.count());
        let (pixels, condition) = examples.batch::<E>(&order[..order.len().min(FITTED)])?;
        let mode = mode(&settings, Stream::new(seed, "fitting", 0));
        let model = PixelCnn::random(architecture, seed)?.fitted_to(&pixels, condition.as_ref(), mode);
        let (average, adam) = (model.parameters().to_vec(), Adam::new(model.parameters()));
        let course = Course { pace: settings.pace, seed };
        Ok(Self { model, average, adam, settings, course, examples, validation, best: Best::default() })
    }

    /// The model with the averaged parameters: those of the smallest validation loss, if there are validation images. It takes conditions as they are in
    /// their file.
    pub fn model(&self) -> PixelCnn<E> {
        self.of_parameters(self.best.parameters(0).unwrap_or(&self.average))
    }

    /// The metrics of the smallest validation loss, if there are validation images.
    pub fn best_metrics(&self) -> Map<String, Value> {
        self.best.metrics()
    }

    /// A model with trained parameters, whose projections divide by the conditions' unit.
    fn of_parameters(&self, parameters: &[Batch<E>]) -> PixelCnn<E> {
        let mut model = self.model.clone();
        model.parameters_mut().clone_from_slice(parameters);
        let unit = E::of(self.examples.unit());
        if unit != E::one() {
            for place in model.projections() {
                view_mut(&mut model.parameters_mut()[place]).iter_mut().for_each(|weight| *weight /= unit);
            }
        }
        model
    }

    /// The sum of the negative log-likelihoods of a batch, and the gradients of their mean.
    fn gradients(&self, update: u64, rows: &[usize]) -> Result<(f64, Vec<Batch<E>>)> {
        let (pixels, condition) = self.examples.batch::<E>(rows)?;
        let mut tape = Tape::recording();
        let mode = mode(&self.settings, self.course.stream("dropout", update));
        let nll = self.model.negative_log_likelihood(&mut tape, &pixels, condition.as_ref(), mode);
        let share = E::of(1.0 / rows.len() as f64);
        let mut gradients = backward(tape, &nll, vec![share; rows.len()]);
        let parameters = self.model.parameters().iter();
        let gradients = parameters.map(|parameter| gradient_there(&mut gradients, parameter)).collect();
        Ok((view(&nll).iter().map(|nll| nll.wide()).sum(), gradients))
    }

    fn step(&mut self, gradients: &[Batch<E>], position: &Position) {
        self.adam.advance();
        let adam = self.course.adam(position);
        let decay = averaging(self.settings.polyak, self.updates());
        let (keep, take) = (E::of(decay), E::of(1.0 - decay));
        let parameters = self.model.parameters_mut().iter_mut().zip(&mut self.average);
        for (which, ((parameter, average), gradient)) in parameters.zip(gradients).enumerate() {
            self.adam.update(which, parameter, gradient, &adam, None);
            *average = combine(&mut Tape::off(), keep, average, take, parameter);
        }
    }

    fn updates(&self) -> u64 {
        self.adam.state().2
    }
}

/// The averages' decay at update `update`, from 1: the first averages would otherwise hold the initial parameters for thousands of
/// updates, so early averages reach back over only a tenth of the training.
fn averaging(decay: f64, update: u64) -> f64 {
    decay.min((1.0 + update as f64) / (10.0 + update as f64))
}

fn mode(settings: &Settings, stream: Stream) -> Mode {
    Mode::Training { dropout: settings.dropout, condition_dropout: settings.condition_dropout, stream }
}

/// The log-likelihood of each of these images, in nats, in the rows' order.
///
/// # Errors
/// Images that do not fit the model, or cannot be read.
pub fn log_likelihoods<E: Element + Scalar>(
    model: &PixelCnn<E>,
    examples: &Examples,
    rows: std::ops::Range<usize>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<f64>> {
    examples.check(model.architecture())?;
    let mut result = Vec::with_capacity(rows.len());
    for first in rows.clone().step_by(EVALUATED) {
        let part: Vec<usize> = (first..rows.end.min(first + EVALUATED)).collect();
        let (pixels, condition) = examples.batch::<E>(&part)?;
        let nll = model.negative_log_likelihood(&mut Tape::off(), &pixels, condition.as_ref(), Mode::Inference);
        result.extend(view(&nll).iter().map(|nll| -nll.wide()));
        progress(part.len());
    }
    Ok(result)
}

impl<E: Element + Scalar> Trainee for Training<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> train::Result<Losses> {
        let (nll, gradients) = self.gradients(position.update, rows).map_err(failure)?;
        let finite = all_finite(&gradients);
        if finite && nll.is_finite() {
            self.step(&gradients, position);
        }
        // NaN gradients would spoil the parameters before the loss shows it, so they count as a NaN loss.
        Ok(vec![("train_nll", if finite { nll } else { f64::NAN })])
    }

    fn evaluate(&mut self, _: u64) -> train::Result<Map<String, Value>> {
        let mut metrics = Map::new();
        let Some(validation) = self.validation else { return Ok(metrics) };
        let count = validation.count().min(self.settings.validated).max(1);
        let likelihoods =
            log_likelihoods(&self.of_parameters(&self.average), validation, 0..count, |_| ()).map_err(failure)?;
        let nll = -likelihoods.iter().sum::<f64>() / count as f64;
        let bits = nll / (self.model.architecture().dimensions() as f64 * std::f64::consts::LN_2);
        metrics.insert("validation_nll".into(), metric(nll));
        metrics.insert("validation_bits_per_dimension".into(), metric(bits));
        let mut best = metrics.clone();
        best.insert("best_update".into(), self.updates().into());
        self.best.offer_parameters(nll, best, || vec![self.average.clone()]);
        Ok(metrics)
    }

    fn has_converged(&self) -> bool {
        let best = self.best.metrics().get("best_update").and_then(Value::as_u64);
        self.settings.patience > 0 && best.is_some_and(|best| self.updates() >= best + self.settings.patience)
    }

    fn save(&self, folder: &Path) -> train::Result<()> {
        checkpoint::save_parameters(folder, "model", self.model.parameters(), &self.adam)?;
        for (which, average) in self.average.iter().enumerate() {
            checkpoint::write_values(folder, "average", which, "value", view(average))?;
        }
        self.best.save(folder)
    }

    fn restore(&mut self, folder: &Path) -> train::Result<()> {
        self.adam = checkpoint::restore_parameters(folder, "model", self.model.parameters_mut())?;
        for (which, average) in self.average.iter_mut().enumerate() {
            let values = checkpoint::read_values(folder, "average", which, "value", view(average).len())?;
            view_mut(average).copy_from_slice(&values);
        }
        self.best.restore_parameters(folder, vec![self.average.clone()])
    }
}

/// An error of this module as one of a training.
fn failure(error: Error) -> train::Error {
    match error {
        Error::Net(error) => train::Error::Net(error),
        Error::Data(error) => train::Error::Data(error),
        Error::Store(error) => train::Error::Store(error),
        other => train::Error::Settings(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
