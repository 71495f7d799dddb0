//! A classifier: the mean softmax cross entropy of "logits" (N, 1, 1, K), by Adam, dropout on.
//!
//! With shadows of weight w, which have their images' labels, (L(x) + w L(x~)) / (1 + w).
//!
//! ```
//! use obverse::baselines::classifier::largest;
//! // The class of a row of logits.
//! assert_eq!(largest(&[0.5, 2.0, -1.0]), 1);
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use crate::data::batches::{ImageFile, LabelFile};
use crate::net::{Mode, Network, Trace};
use crate::ops::InputGradient;
use crate::ops::arithmetic::combine;
use crate::ops::loss::cross_entropy;
use crate::store::npy::Scalar;
use crate::store::sidecar::metric;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, backward, batch, image_len, view};
use crate::train::adam::Adam;
use crate::train::best::Best;
use crate::train::checkpoint::{self, Position};
use crate::train::course::Course;
use crate::train::evaluation::{EVALUATED, HeldOut};
use crate::train::run::{Losses, Trainee};
use crate::train::shadowing::Shadowing;
use crate::train::snapshots::Snapshots;
use crate::train::{Error, Result};

/// Images and their classes.
pub type Labelled<'a> = (&'a ImageFile, &'a LabelFile);

/// A classifier in training.
pub struct Classifier<'a, E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    logits: usize,
    course: Course,
    examples: Labelled<'a>,
    held_out: HeldOut<Labelled<'a>>,
    best: Best<E>,
    snapshots: Snapshots<E>,
    shadowing: Option<Box<dyn Shadowing<E> + 'a>>,
}

/// How well a classifier does on a part of the data.
#[derive(Clone, Copy, Debug, Default)]
struct Judged {
    /// The mean cross entropy.
    loss: f64,
    /// The share of images classified rightly.
    accuracy: f64,
    /// The share of shadows classified as their images are labelled.
    kept: f64,
}

impl<'a, E: Element + Scalar> Classifier<'a, E> {
    /// A network with an output "logits".
    ///
    /// # Errors
    /// A network without it.
    pub fn new(
        network: Network<E>,
        course: Course,
        examples: Labelled<'a>,
        held_out: HeldOut<Labelled<'a>>,
    ) -> Result<Self> {
        let adam = Adam::new(network.parameters());
        let logits = network.graph().output("logits")?;
        Ok(Self {
            network,
            adam,
            logits,
            course,
            examples,
            held_out,
            best: Best::default(),
            snapshots: Snapshots::default(),
            shadowing: None,
        })
    }

    /// The same, trained on its shadows too.
    pub fn with_shadows(self, shadowing: impl Shadowing<E> + 'a) -> Self {
        Self { shadowing: Some(Box::new(shadowing)), ..self }
    }

    /// The same, keeping its parameters after these numbers of updates.
    pub fn with_snapshots(self, updates: Vec<u64>) -> Self {
        Self { snapshots: Snapshots::new(updates), ..self }
    }

    /// The classifier after each of the chosen numbers of updates that have passed.
    pub fn snapshots(&self) -> Vec<(u64, Network<E>)> {
        let mut snapshots = self.snapshots.clone();
        snapshots.offer(self.adam.state().2, self.network.parameters());
        let networks = snapshots.taken().iter().map(|(updates, parameters)| {
            let mut network = self.network.clone();
            network.parameters_mut().clone_from_slice(parameters);
            (*updates, network)
        });
        networks.collect()
    }

    /// The classifier, of the best epoch if there is a validation part.
    pub fn network(&self) -> Network<E> {
        self.best.network(0, &self.network)
    }

    /// The metrics of the best epoch, where there is a validation part.
    pub fn best_metrics(&self) -> Map<String, Value> {
        self.best.metrics()
    }

    fn judge(&self, part: Labelled) -> Result<Judged> {
        let (mut sums, count) = (Judged::default(), part.0.count());
        for first in (0..count).step_by(EVALUATED) {
            let rows: Vec<usize> = (first..count.min(first + EVALUATED)).collect();
            let (x, labels) = self.batch(part, &rows)?;
            let trace = self.network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
            let logits = self.network.value(&trace, self.logits)?;
            sums.accuracy += right(logits, &labels);
            sums.loss += view(&entropy(&mut Tape::off(), logits, &labels)?)[0].wide() * rows.len() as f64;
            if let Some(shadowing) = &self.shadowing {
                let x = shadowing.at_inference(&self.network, &trace)?;
                let trace = self.network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
                sums.kept += right(self.network.value(&trace, self.logits)?, &labels);
            }
        }
        let count = count.max(1) as f64;
        Ok(Judged { loss: sums.loss / count, accuracy: sums.accuracy / count, kept: sums.kept / count })
    }

    /// The loss of a batch on the tape, including its shadows; and the reported losses, summed over examples.
    fn loss(
        &self,
        tape: &mut Tape<E>,
        trace: &Trace<E>,
        labels: &[usize],
        (position, stream): (&Position, Stream),
    ) -> Result<(Batch<E>, Losses)> {
        let own = entropy(tape, self.network.value(trace, self.logits)?, labels)?;
        let sum = |loss: &Batch<E>| view(loss)[0].wide() * labels.len() as f64;
        let mut losses = vec![("cross_entropy", sum(&own))];
        let Some(shadowing) = &self.shadowing else { return Ok((own, losses)) };
        let Some(shadows) = shadowing.shadows(tape, &self.network, trace, position)? else { return Ok((own, losses)) };
        let mode = Mode::Training(stream.branch("shadows"));
        let trace = self.network.forward(tape, &shadows.x, mode, shadows.gradient);
        let logits = self.network.value(&trace, self.logits)?;
        let theirs = entropy(tape, logits, labels)?;
        losses.extend([("shadow_cross_entropy", sum(&theirs)), ("shadows_kept", right(logits, labels))]);
        let (one, weight) = (1.0 / (1.0 + shadowing.weight()), shadowing.weight() / (1.0 + shadowing.weight()));
        Ok((combine(tape, E::of(one), &own, E::of(weight), &theirs), losses))
    }

    /// Images and classes of a batch; a class below 0 becomes one that no network has.
    fn batch(&self, (images, labels): Labelled, rows: &[usize]) -> Result<(Batch<E>, Vec<usize>)> {
        let size = self.network.graph().input.shape;
        let x = batch(images.batch(rows)?, (rows.len(), size.height, size.width, size.channels));
        Ok((x, labels.batch(rows)?.into_iter().map(|label| usize::try_from(label).unwrap_or(usize::MAX)).collect()))
    }
}

/// The predicted class: the index of the largest logit, the first among equals.
pub fn largest<E: Element>(row: &[E]) -> usize {
    (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best })
}

/// How many rows of logits predict their label.
fn right<E: Element>(logits: &Batch<E>, labels: &[usize]) -> f64 {
    let predicted = view(logits).chunks_exact(image_len(logits)).map(largest);
    predicted.zip(labels).filter(|(class, label)| class == *label).count() as f64
}

/// The cross entropy, with labels that fit none of the logits as an error of the arguments.
fn entropy<E: Element>(tape: &mut Tape<E>, logits: &Batch<E>, labels: &[usize]) -> Result<Batch<E>> {
    cross_entropy(tape, logits, labels).map_err(|error| Error::Settings(format!("`labels`: {error}")))
}

impl<E: Element + Scalar> Trainee for Classifier<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        self.snapshots.offer(position.update, self.network.parameters());
        let (x, labels) = self.batch(self.examples, rows)?;
        let mut tape = Tape::recording();
        let stream = self.course.stream("dropout", position.update);
        let trace = self.network.forward(&mut tape, &x, Mode::Training(stream), InputGradient::Unwanted);
        let (loss, losses) = self.loss(&mut tape, &trace, &labels, (position, stream))?;
        let mut gradients = backward(tape, &loss, vec![E::one()]);
        let gradients = self.network.take_gradients(&mut gradients);
        self.adam.step(&mut self.network, &gradients, &self.course.adam(position), |_| None);
        self.network.keep_running_statistics(&trace);
        Ok(losses)
    }

    fn evaluate(&mut self, epoch: u64) -> Result<Map<String, Value>> {
        let mut metrics = Map::new();
        if let Some(test) = self.held_out.test {
            let judged = self.judge(test)?;
            metrics.insert("test_accuracy".into(), metric(judged.accuracy));
            if self.shadowing.is_some() {
                metrics.insert("test_shadows_kept".into(), metric(judged.kept));
            }
        }
        if let Some(validation) = self.held_out.validation {
            let Judged { loss, accuracy, .. } = self.judge(validation)?;
            metrics.insert("validation_accuracy".into(), metric(accuracy));
            metrics.insert("validation_cross_entropy".into(), metric(loss));
            self.best.offer(loss, epoch, &metrics, &[&self.network]);
        }
        Ok(metrics)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "classifier", &self.network, &self.adam)?;
        self.snapshots.save(folder)?;
        self.best.save(folder)
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        self.adam = checkpoint::restore(folder, "classifier", &mut self.network)?;
        self.snapshots.restore(folder, self.network.parameters())?;
        self.best.restore(folder, &[&self.network])
    }
}
