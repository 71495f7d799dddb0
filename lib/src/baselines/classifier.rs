//! A classifier: the mean softmax cross entropy of "logits" (N, 1, 1, K), by Adam, dropout on.

use std::path::Path;

use dfdx::prelude::{NoneTape, OwnedTape};
use serde_json::{Map, Value};

use crate::data::batches::{ImageFile, LabelFile};
use crate::net::{self, Mode, Network};
use crate::ops::InputGradient;
use crate::ops::loss::cross_entropy;
use crate::store::npy::Scalar;
use crate::store::sidecar::metric;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, backward, batch, view};
use crate::train::adam::Adam;
use crate::train::checkpoint::{self, Position};
use crate::train::evaluation::EVALUATED;
use crate::train::run::{Losses, Trainee};
use crate::train::schedule::Pace;
use crate::train::{Error, Result};

/// Images and their classes.
pub type Labelled<'a> = (&'a ImageFile, &'a LabelFile);

/// A classifier in training.
pub struct Classifier<'a, E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    logits: usize,
    pace: Pace,
    seed: u64,
    examples: Labelled<'a>,
    test: Option<Labelled<'a>>,
}

impl<'a, E: Element + Scalar> Classifier<'a, E> {
    /// A network with an output "logits".
    ///
    /// # Errors
    /// A network without it.
    pub fn new(
        network: Network<E>,
        pace: Pace,
        seed: u64,
        examples: Labelled<'a>,
        test: Option<Labelled<'a>>,
    ) -> Result<Self> {
        let adam = Adam::new(network.parameters());
        let logits = network.graph().output("logits")?;
        Ok(Self { network, adam, logits, pace, seed, examples, test })
    }

    /// The classifier.
    pub fn network(&self) -> &Network<E> {
        &self.network
    }

    /// Images and classes of a batch; a class below 0 becomes one that no network has.
    fn batch(&self, (images, labels): Labelled, rows: &[usize]) -> Result<(Batch<E>, Vec<usize>)> {
        let size = self.network.graph().input.shape;
        let x = batch(images.batch(rows)?, (rows.len(), size.height, size.width, size.channels));
        Ok((x, labels.batch(rows)?.into_iter().map(|label| usize::try_from(label).unwrap_or(usize::MAX)).collect()))
    }
}

/// The class of each image of a batch: the largest logit, the first of equals.
///
/// # Errors
/// A network without an output "logits".
pub fn classify<E: Element>(network: &Network<E>, x: &Batch<E>) -> net::Result<Vec<usize>> {
    let trace = network.forward(&mut NoneTape, x, Mode::Inference, InputGradient::Unwanted);
    let logits = network.graph().output("logits")?;
    let classes = network.graph().size(logits).channels;
    let largest =
        |row: &[E]| (0..classes).rev().fold(classes - 1, |best, k| if row[k] >= row[best] { k } else { best });
    Ok(view(network.value(&trace, logits)?).chunks_exact(classes).map(largest).collect())
}

impl<E: Element + Scalar> Trainee for Classifier<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let (x, labels) = self.batch(self.examples, rows)?;
        let mut tape = OwnedTape::default();
        let mode = Mode::Training(Stream::new(self.seed, "dropout", position.update));
        let trace = self.network.forward(&mut tape, &x, mode, InputGradient::Unwanted);
        let loss = cross_entropy(&mut tape, self.network.value(&trace, self.logits)?, &labels)
            .map_err(|error| Error::Settings(format!("--labels: {error}")))?;
        let mut gradients = backward(tape, &loss, vec![E::one()]);
        let gradients = self.network.take_gradients(&mut gradients);
        self.adam.step(&mut self.network, &gradients, &self.pace.at(position), |_| None);
        self.network.keep_running_statistics(&trace);
        Ok(vec![("cross_entropy", view(&loss)[0].wide() * rows.len() as f64)])
    }

    fn evaluate(&mut self, _: u64) -> Result<Map<String, Value>> {
        let mut metrics = Map::new();
        let Some(test) = self.test else { return Ok(metrics) };
        let (mut right, count) = (0, test.0.count());
        for first in (0..count).step_by(EVALUATED) {
            let rows: Vec<usize> = (first..count.min(first + EVALUATED)).collect();
            let (x, labels) = self.batch(test, &rows)?;
            right += classify(&self.network, &x)?.iter().zip(&labels).filter(|(found, label)| found == label).count();
        }
        metrics.insert("test_accuracy".into(), metric(right as f64 / count.max(1) as f64));
        Ok(metrics)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "classifier", &self.network, &self.adam)
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        self.adam = checkpoint::restore(folder, "classifier", &mut self.network)?;
        Ok(())
    }
}
