//! Training by feature alignment, modes `fa`, `vfa` and `vfa-gan`: what one update does, and the error on a test set.
//!
//! An update draws r0 (and, in variational modes, eps and beta), recovers the batch from its latents, updates the encoder
//! by Adam with weights clamped to ±sqrt 2 (equation 9), and then updates the generator and the discriminator.
//!
//! ```
//! use obverse::alignment::settings::Settings;
//! use obverse::alignment::training::{Dataset, recovery_error};
//! use obverse::data::batches::ImageFile;
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("images.npy");
//! obverse::store::npy::write(&path, &[2, 4, 4], &[128u8; 32])?;
//! let data = Dataset { images: &ImageFile::open(&path)?, labels: None };
//! let graph = architectures::encoder("mnist", Size::new(1, 4, 4), &[("z", 3)])?;
//! let encoder = Network::<f32>::initialised(graph, Initialisation::Uniform, 0);
//! // The sigmoid of a step from zero by an untrained encoder is grey.
//! assert!(recovery_error(&encoder, &Settings::published_code(), &data, 0)?.mean() < 0.1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use super::adversarial::{Adversary, Fakes, Round};
use super::settings::Settings;
use super::step::{Draw, Examples, Heads, Step, Wanted, step};
use crate::data::batches::{ImageFile, LabelFile};
use crate::net::{Graph, Mode, Network};
use crate::ops::InputGradient;
use crate::store::npy::Scalar;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};
use crate::train::adam::{Adam, AdamSettings};
use crate::train::checkpoint::{self, Position};
use crate::train::course::Course;
use crate::train::evaluation::SquaredError;
use crate::train::run::{Losses, Trainee};
use crate::train::{Error, Result};

/// Images for training or testing, with their classes where a class head learns them.
#[derive(Clone, Copy, Debug)]
pub struct Dataset<'a> {
    /// The images.
    pub images: &'a ImageFile,
    /// Their classes.
    pub labels: Option<&'a LabelFile>,
}

/// An encoder in training.
pub struct Alignment<'a, E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    adversary: Option<Adversary<E>>,
    settings: Settings,
    course: Course,
    examples: Dataset<'a>,
    test: Option<Dataset<'a>>,
    heads: Heads,
}

impl<'a, E: Element + Scalar> Alignment<'a, E> {
    /// An encoder to be trained on `examples` and evaluated on `test`; variational where it has an
    /// output "log_var".
    ///
    /// # Errors
    /// A network without a latent.
    pub fn new(
        network: Network<E>,
        adversary: Option<Adversary<E>>,
        settings: Settings,
        course: Course,
        examples: Dataset<'a>,
        test: Option<Dataset<'a>>,
    ) -> Result<Self> {
        let heads = Heads::of(network.graph())?;
        let adam = Adam::new(network.parameters());
        Ok(Self { network, adam, adversary, settings, course, examples, test, heads })
    }

    /// The encoder.
    pub fn network(&self) -> &Network<E> {
        &self.network
    }

    /// The generator and the discriminator.
    pub fn adversary(&self) -> Option<&Adversary<E>> {
        self.adversary.as_ref()
    }

    fn stream(&self, purpose: &str, update: u64) -> Stream {
        self.course.stream(purpose, update)
    }

    /// Pixels of a batch, clamped to the settings' range.
    fn pixels(&self, rows: &[usize]) -> Result<Batch<E>> {
        let mut values: Vec<E> = self.examples.images.batch(rows)?;
        if let Some([low, high]) = self.settings.clamp_inputs {
            values.iter_mut().for_each(|value| *value = value.max(E::of(low)).min(E::of(high)));
        }
        let (h, w, c) = image_size(self.network.graph());
        Ok(batch(values, (rows.len(), h, w, c)))
    }

    /// eps and the weights of the divergences.
    fn draw(&self, update: u64, count: usize) -> Draw<E> {
        let features = self.features();
        Draw {
            noise: batch(self.stream("noise", update).normal(0..count * features), (count, 1, 1, features)),
            weights: self.settings.divergence_weights(&self.stream("beta", update), count),
        }
    }

    fn features(&self) -> usize {
        self.network.graph().size(self.heads.latent).channels
    }

    /// The encoder's part of an update.
    fn align(&mut self, update: u64, x: &Batch<E>, labels: Option<&Batch<E>>, adam: &AdamSettings) -> Result<Step<E>> {
        let count = shape(x).0;
        let size = image_size(self.network.graph());
        let r = self.settings.start.draw(&self.stream("start", update), 0, count, size);
        let draw = self.heads.log_var.map(|_| self.draw(update, count));
        let examples = Examples { x, labels, r: &r };
        let step = step(&self.network, &self.heads, &self.settings.objective(count), &examples, draw.as_ref())?;
        self.adam.step(&mut self.network, &step.gradients, adam, |name| self.settings.limit(name));
        Ok(step)
    }

    /// Recoveries and one-hot classes from fresh draws of the prior.
    fn prior(&self, update: u64, count: usize, labelled: bool) -> Result<(Batch<E>, Option<Batch<E>>)> {
        let (stream, features) = (self.stream("prior", update), self.features());
        let z = batch(stream.normal(0..count * features), (count, 1, 1, features));
        let classes = self.heads.class.filter(|_| labelled).map(|place| self.network.graph().size(place).channels);
        let labels = classes.map(|classes| {
            let chosen = stream.branch("class").bits(0..count).into_iter().map(|bits| (bits % classes as u64) as i64);
            one_hot(&chosen.collect::<Vec<_>>(), classes, 1.0)
        });
        let start = self.settings.start.draw(&stream.branch("start"), 0, count, image_size(self.network.graph()));
        let wanted = Wanted { z: &z, labels: labels.as_ref(), values: None };
        let aims = self.heads.aims(&wanted, &self.settings.weights());
        let r = self.settings.recovery().recover(&mut Tape::off(), &self.network, &aims, &start)?;
        Ok((r, labels))
    }

    /// The generator's and the discriminator's part of an update.
    fn play(
        &mut self,
        update: u64,
        x: &Batch<E>,
        labels: Option<&Batch<E>>,
        step: &Step<E>,
        adam: &AdamSettings,
    ) -> Result<Losses> {
        let Some(mut adversary) = self.adversary.take() else { return Ok(Losses::new()) };
        let round = Round {
            x,
            r: &step.recovered,
            labels,
            statistics: step.log_variances.as_ref().map(|log_var| [&step.latents, log_var]),
            factor: self.settings.objective(shape(x).0).factor,
            stream: self.stream("round", update),
        };
        let drawn = match self.settings.adversarial.fakes {
            Fakes::Reconstructions => None,
            Fakes::Prior => Some(self.prior(update, shape(x).0, labels.is_some())?),
        };
        let prior = drawn.as_ref().map(|(r, labels)| (r, labels.as_ref()));
        let losses = adversary.update(&self.network, &self.heads, &round, prior, adam);
        self.adversary = Some(adversary);
        losses
    }
}

/// The one-hot classes of a batch, (N, 1, 1, K), each `strength` high.
///
/// A label that is not a class gives a row of zeros; [`count_classes`] rejects such files earlier.
pub fn one_hot<E: Element>(labels: &[i64], classes: usize, strength: f64) -> Batch<E> {
    let mut values = vec![E::zero(); labels.len() * classes];
    for (row, &label) in labels.iter().enumerate() {
        if let Some(value) = usize::try_from(label).ok().filter(|&label| label < classes) {
            values[row * classes + value] = E::of(strength);
        }
    }
    batch(values, (labels.len(), 1, 1, classes))
}

/// The classes of a batch as one-hot rows, where there are labels and a head for them.
fn labels_of<E: Element>(data: &Dataset, graph: &Graph, heads: &Heads, rows: &[usize]) -> Result<Option<Batch<E>>> {
    let (Some(labels), Some(class)) = (data.labels, heads.class) else { return Ok(None) };
    Ok(Some(one_hot(&labels.batch(rows)?, graph.size(class).channels, 1.0)))
}

/// The number of classes of a file of labels: one more than the largest.
///
/// # Errors
/// A label that is negative or too large for a class.
pub fn count_classes(labels: &LabelFile) -> Result<usize> {
    const MOST: i64 = 1 << 16;
    let rows: Vec<usize> = (0..labels.count()).collect();
    let labels = labels.batch(&rows)?;
    match labels.iter().find(|label| !(0..MOST).contains(*label)) {
        Some(label) => {
            Err(Error::Settings(format!("`labels`: expected classes from 0 to {}, found {label}", MOST - 1)))
        }
        None => Ok(labels.iter().max().map_or(0, |&largest| largest as usize + 1)),
    }
}

/// Height, width and channels of a network's images.
pub fn image_size(graph: &Graph) -> (usize, usize, usize) {
    let size = graph.input.shape;
    (size.height, size.width, size.channels)
}

/// The error of images recovered from their latents alone, and, where there is a class head and labels, their classes.
///
/// # Errors
/// Images that cannot be read, a network without a latent.
pub fn recovery_error<E: Element + Scalar>(
    encoder: &Network<E>,
    settings: &Settings,
    data: &Dataset,
    seed: u64,
) -> Result<SquaredError> {
    let (heads, size) = (Heads::of(encoder.graph())?, image_size(encoder.graph()));
    let stream = Stream::new(seed, "recovery", 0);
    SquaredError::of(data.images, |x, rows| {
        let (z, labels) = (encode(encoder, heads.latent, x)?, labels_of(data, encoder.graph(), &heads, rows)?);
        let start = settings.start.draw(&stream, rows[0], rows.len(), size);
        let wanted = Wanted { z: &z, labels: labels.as_ref(), values: None };
        let aims = heads.aims(&wanted, &settings.weights());
        Ok(settings.recovery().recover(&mut Tape::off(), encoder, &aims, &start)?)
    })
}

/// The output of a node of the encoder for a batch: its latents, (N, 1, 1, Z).
///
/// # Errors
/// A node that the network does not compute.
pub fn encode<E: Element>(encoder: &Network<E>, node: usize, x: &Batch<E>) -> Result<Batch<E>> {
    let trace = encoder.forward(&mut Tape::off(), x, Mode::Inference, InputGradient::Unwanted);
    Ok(encoder.value(&trace, node)?.clone())
}

impl<E: Element + Scalar> Trainee for Alignment<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let x = self.pixels(rows)?;
        let labels = labels_of(&self.examples, self.network.graph(), &self.heads, rows)?;
        let adam = self.course.adam(position);
        let step = self.align(position.update, &x, labels.as_ref(), &adam)?;
        let pixels = (view(&x).len() / rows.len()) as f64;
        let mut losses: Losses = vec![("train_mse", step.squared_error / pixels)];
        if self.heads.log_var.is_some() {
            let scale = if self.settings.halved_sums { 1.0 } else { rows.len() as f64 };
            losses.push(("weighted_divergence", step.divergence * scale));
        }
        losses.extend(self.play(position.update, &x, labels.as_ref(), &step, &adam)?);
        Ok(losses)
    }

    fn evaluate(&mut self, _: u64) -> Result<Map<String, Value>> {
        let Some(test) = &self.test else { return Ok(Map::new()) };
        Ok(recovery_error(&self.network, &self.settings, test, self.course.seed)?.test_metrics())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "encoder", &self.network, &self.adam)?;
        self.adversary.as_ref().map_or(Ok(()), |adversary| adversary.save(folder))
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        self.adam = checkpoint::restore(folder, "encoder", &mut self.network)?;
        self.adversary.as_mut().map_or(Ok(()), |adversary| adversary.restore(folder))
    }
}
