//! A network fitted to targets image by image: the mean squared error of its output, by Adam.

use std::path::Path;

use dfdx::prelude::{NoneTape, OwnedTape};
use serde_json::{Map, Value};

use crate::data::batches::ImageFile;
use crate::net::{Mode, Network};
use crate::ops::InputGradient;
use crate::ops::loss::squared_error;
use crate::store::npy::Scalar;
use crate::store::sidecar::metric;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, backward, batch, view};
use crate::train::Result;
use crate::train::adam::Adam;
use crate::train::best::Best;
use crate::train::checkpoint::{self, Position};
use crate::train::evaluation::{EVALUATED, HeldOut};
use crate::train::run::{Losses, Trainee};
use crate::train::schedule::Pace;

/// Images and what the network shall make of them.
pub type Pairs<'a> = (&'a ImageFile, &'a ImageFile);

/// A network in training.
pub struct Regressor<'a, E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    output: usize,
    pace: Pace,
    seed: u64,
    examples: Pairs<'a>,
    held_out: HeldOut<Pairs<'a>>,
    best: Best<E>,
}

impl<'a, E: Element + Scalar> Regressor<'a, E> {
    /// A network with an output of this name, whose images fit it and whose targets fit the output.
    ///
    /// # Errors
    /// A network without the output.
    pub fn new(
        network: Network<E>,
        output: &str,
        (pace, seed): (Pace, u64),
        examples: Pairs<'a>,
        held_out: HeldOut<Pairs<'a>>,
    ) -> Result<Self> {
        let adam = Adam::new(network.parameters());
        let output = network.graph().output(output)?;
        Ok(Self { network, adam, output, pace, seed, examples, held_out, best: Best::default() })
    }

    /// The network: of the best epoch, where there is a validation part.
    pub fn network(&self) -> Network<E> {
        self.best.network(0, &self.network)
    }

    /// The metrics of the best epoch, where there is a validation part.
    pub fn best_metrics(&self) -> Map<String, Value> {
        self.best.metrics()
    }

    /// The mean squared error a value.
    fn judge(&self, pairs: Pairs) -> Result<f64> {
        let (mut sum, count) = (0.0, pairs.0.count());
        for first in (0..count).step_by(EVALUATED) {
            let rows: Vec<usize> = (first..count.min(first + EVALUATED)).collect();
            let (x, y) = self.batch(pairs, &rows)?;
            let trace = self.network.forward(&mut NoneTape, &x, Mode::Inference, InputGradient::Unwanted);
            let made = self.network.value(&trace, self.output)?;
            let factor = 1.0 / view(made).len() as f64;
            sum += view(&squared_error(&mut NoneTape, made, &y, factor))[0].wide() * rows.len() as f64;
        }
        Ok(sum / count.max(1) as f64)
    }

    fn batch(&self, (images, targets): Pairs, rows: &[usize]) -> Result<(Batch<E>, Batch<E>)> {
        let of = |file: &ImageFile| -> Result<Batch<E>> {
            let size = file.shape();
            Ok(batch(file.batch(rows)?, (rows.len(), size.height, size.width, size.channels)))
        };
        Ok((of(images)?, of(targets)?))
    }
}

impl<E: Element + Scalar> Trainee for Regressor<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let (x, y) = self.batch(self.examples, rows)?;
        let mut tape = OwnedTape::default();
        let mode = Mode::Training(Stream::new(self.seed, "dropout", position.update));
        let trace = self.network.forward(&mut tape, &x, mode, InputGradient::Unwanted);
        let factor = 1.0 / view(&y).len() as f64;
        let loss = squared_error(&mut tape, self.network.value(&trace, self.output)?, &y, factor);
        let mut gradients = backward(tape, &loss, vec![E::one()]);
        let gradients = self.network.take_gradients(&mut gradients);
        self.adam.step(&mut self.network, &gradients, &self.pace.at(position), |_| None);
        self.network.keep_running_statistics(&trace);
        Ok(vec![("mse", view(&loss)[0].wide() * rows.len() as f64)])
    }

    fn evaluate(&mut self, epoch: u64) -> Result<Map<String, Value>> {
        let mut metrics = Map::new();
        if let Some(test) = self.held_out.test {
            metrics.insert("test_mse".into(), metric(self.judge(test)?));
        }
        if let Some(validation) = self.held_out.validation {
            let error = self.judge(validation)?;
            metrics.insert("validation_mse".into(), metric(error));
            self.best.offer(error, epoch, &metrics, &[&self.network]);
        }
        Ok(metrics)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "regressor", &self.network, &self.adam)?;
        self.best.save(folder)
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        self.adam = checkpoint::restore(folder, "regressor", &mut self.network)?;
        self.best.restore(folder, &[&self.network])
    }
}
