//! Approximating a function reversibly (section 3.2): f(x) is learned, together with a latent z that keeps what f forgets.
//!
//! L = 1/2 |z_x - z_r|^2 + alpha/2 |f_x - f_r|^2; with tau = 2 that is equation 3. C = |y - f_x|^2 + |x - r_hat|^2
//! (equation 4), means over the batch. Without a latent only f is learned, and inverting it is plain gradient descent.
//!
//! ```
//! use obverse::alignment::{regression::Regression, settings::Settings};
//! use obverse::data::{batches::ImageFile, sine::write_sine};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::store::npy::Reader;
//! use obverse::train::{checkpoint::Position, run::Trainee};
//! let folder = tempfile::tempdir()?;
//! write_sine(folder.path(), 8, 0)?;
//! let inputs = ImageFile::open(&folder.path().join("train-images.npy"))?;
//! let targets = Reader::open(&folder.path().join("train-targets.npy"))?;
//! let graph = architectures::perceptron(Size::new(1, 1, 1), &[("f", 1), ("z", 1)])?;
//! let network = Network::<f32>::initialised(graph, Initialisation::Uniform, 0);
//! let settings = Settings::paper();
//! let course = settings.course(1, 0);
//! let mut regression = Regression::new(network, settings, course, &inputs, &targets)?;
//! let losses = regression.update(&Position::default(), &[0, 1, 2, 3])?;
//! assert_eq!(losses.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["fit", "recovery"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use super::settings::Settings;
use super::step::{Heads, Wanted};
use super::training::image_size;
use crate::data::batches::ImageFile;
use crate::net::{Mode, Network};
use crate::ops::InputGradient;
use crate::ops::arithmetic::combine;
use crate::ops::loss::squared_error;
use crate::store::npy::{Reader, Scalar, require_finite};
use crate::tensor::{Batch, Element, Tape, backward, batch, view};
use crate::train::Result;
use crate::train::adam::Adam;
use crate::train::checkpoint::{self, Position};
use crate::train::course::Course;
use crate::train::run::{Losses, Trainee};

/// The training of a network with an output "f", and an output "z" if it is to be reversible.
pub struct Regression<'a, E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    settings: Settings,
    course: Course,
    inputs: &'a ImageFile,
    targets: &'a Reader,
    heads: Heads,
}

impl<'a, E: Element + Scalar> Regression<'a, E> {
    /// A network to be trained so that f(inputs) = targets, (N, F).
    ///
    /// # Errors
    /// A network without an output "f".
    pub fn new(
        network: Network<E>,
        settings: Settings,
        course: Course,
        inputs: &'a ImageFile,
        targets: &'a Reader,
    ) -> Result<Self> {
        network.graph().output("f")?;
        let heads = Heads::of(network.graph())?;
        let adam = Adam::new(network.parameters());
        Ok(Self { network, adam, settings, course, inputs, targets, heads })
    }

    /// The network.
    pub fn network(&self) -> &Network<E> {
        &self.network
    }

    /// The place of f.
    fn value(&self) -> usize {
        self.heads.value.unwrap_or(self.heads.latent)
    }

    /// The targets at `rows`, (N, 1, 1, F).
    fn targets(&self, rows: &[usize]) -> Result<Batch<E>> {
        let features = self.network.graph().size(self.value()).channels;
        let mut values = Vec::with_capacity(rows.len() * features);
        for &row in rows {
            let part: Vec<E> = self.targets.read_row_range_as_float_at(row, 1)?;
            require_finite(self.targets.path(), &part, row, features)?;
            values.extend(part);
        }
        Ok(batch(values, (rows.len(), 1, 1, features)))
    }

    /// Sums over the batch of |y - f_x|^2 and |x - r_hat|^2, and the gradients of the cost.
    fn step(&self, x: &Batch<E>, y: &Batch<E>, r: &Batch<E>, factor: f64) -> Result<(f64, f64, Vec<Batch<E>>)> {
        let mut tape = Tape::recording();
        let trace = self.network.forward(&mut tape, x, Mode::Inference, InputGradient::Unwanted);
        let f = self.network.value(&trace, self.value())?.clone();
        let fit = squared_error(&mut tape, &f, y, factor);
        let (cost, recovered) = match self.heads.value {
            None => (fit.clone(), 0.0),
            Some(_) => {
                let z = self.network.value(&trace, self.heads.latent)?.clone();
                let wanted = Wanted { z: &z, labels: None, values: Some(&f) };
                let aims = self.heads.aims(&wanted, &self.settings.weights());
                let recovered = self.settings.recovery().recover(&mut tape, &self.network, &aims, r)?;
                let error = squared_error(&mut tape, &recovered, x, factor);
                (combine(&mut tape, E::one(), &fit, E::one(), &error), view(&error)[0].wide() / factor)
            }
        };
        let mut gradients = backward(tape, &cost, vec![E::one()]);
        let gradients = self.network.take_gradients(&mut gradients);
        Ok((view(&fit)[0].wide() / factor, recovered, gradients))
    }
}

impl<E: Element + Scalar> Trainee for Regression<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let (h, w, c) = image_size(self.network.graph());
        let x = batch(self.inputs.batch::<E>(rows)?, (rows.len(), h, w, c));
        let y = self.targets(rows)?;
        let stream = self.course.stream("start", position.update);
        let r = self.settings.start.draw(&stream, 0, rows.len(), (h, w, c));
        let (fit, recovered, gradients) = self.step(&x, &y, &r, 1.0 / rows.len() as f64)?;
        let adam = self.course.adam(position);
        self.adam.step(&mut self.network, &gradients, &adam, |name| self.settings.limit(name));
        let mut losses: Losses = vec![("fit", fit)];
        losses.extend(self.heads.value.map(|_| ("recovery", recovered)));
        Ok(losses)
    }

    fn evaluate(&mut self, _: u64) -> Result<Map<String, Value>> {
        Ok(Map::new())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "network", &self.network, &self.adam)
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        self.adam = checkpoint::restore(folder, "network", &mut self.network)?;
        Ok(())
    }
}
