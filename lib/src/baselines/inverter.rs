//! Point-estimate inversion: x_hat = f(h) by the squared error, L = mean |x - f(h)|^2 (Nash et al. 2019, equation 3).

use std::path::Path;

use dfdx::prelude::{NoneTape, OwnedTape};
use serde_json::{Map, Value};

use crate::data::batches::ImageFile;
use crate::net::{Mode, Network, Size};
use crate::ops::InputGradient;
use crate::ops::loss::squared_error;
use crate::store::npy::{Dtype, Reader, Scalar, require_finite};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, backward, batch, channels_last, view};
use crate::train::adam::Adam;
use crate::train::best::Best;
use crate::train::checkpoint::{self, Position};
use crate::train::evaluation::{HeldOut, SquaredError};
use crate::train::run::{Losses, Trainee};
use crate::train::schedule::Pace;
use crate::train::{Error, Result};

/// Images, and what a layer computes of them, row by row: vectors (N, F) or maps (N, C, h, w).
pub type Inverted<'a> = (&'a ImageFile, &'a Reader);

/// The size of a layer's rows, checked against their images.
///
/// # Errors
/// Rows that are no numbers, of another number than the images, or neither vectors nor maps.
pub fn layer_size((images, layer): Inverted) -> Result<Size> {
    layer.require_dtype(&[Dtype::F32, Dtype::F64])?;
    let wrong = |expected: String, found: String| {
        let file = layer.path().display();
        Error::Settings(format!("{file}: expected {expected}, found {found}; tap the layer with these images"))
    };
    if layer.rows() != images.count() {
        return Err(wrong(format!("{} rows, one an image", images.count()), format!("{} rows", layer.rows())));
    }
    match *layer.row_shape() {
        [features] if features > 0 => Ok(Size::new(features, 1, 1)),
        [channels, height, width] if channels * height * width > 0 => Ok(Size::new(channels, height, width)),
        _ => Err(wrong("vectors (N, F) or feature maps (N, C, h, w)".into(), format!("shape {:?}", layer.shape()))),
    }
}

/// The rows of a layer, channels last.
///
/// # Errors
/// Rows that cannot be read or are not finite.
pub fn layer_rows<E: Element + Scalar>(layer: &Reader, size: Size, rows: &[usize]) -> Result<Batch<E>> {
    let mut values = Vec::with_capacity(rows.len() * size.elements());
    for &row in rows {
        let part: Vec<E> = layer.read_row_range_as_float_at(row, 1)?;
        require_finite(layer.path(), &part, row, size.elements())?;
        values.extend(part);
    }
    let shape = (rows.len(), size.height, size.width, size.channels);
    Ok(batch(channels_last(&values, shape), shape))
}

/// A network from a layer to images, in training.
pub struct Inverter<'a, E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    image: usize,
    pace: Pace,
    seed: u64,
    examples: Inverted<'a>,
    held_out: HeldOut<Inverted<'a>>,
    best: Best<E>,
}

impl<'a, E: Element + Scalar> Inverter<'a, E> {
    /// A network with an output "image".
    ///
    /// # Errors
    /// A network without it; rows that do not fit it.
    pub fn new(
        network: Network<E>,
        (pace, seed): (Pace, u64),
        examples: Inverted<'a>,
        held_out: HeldOut<Inverted<'a>>,
    ) -> Result<Self> {
        let wanted = network.graph().input.shape;
        for part in [Some(examples), held_out.test, held_out.validation].into_iter().flatten() {
            let found = layer_size(part)?;
            if found != wanted {
                let (file, wanted, found) = (part.1.path().display(), Vec::from(wanted), Vec::from(found));
                return Err(Error::Settings(format!("{file}: expected rows of {wanted:?}, found {found:?}")));
            }
        }
        let (adam, image) = (Adam::new(network.parameters()), network.graph().output("image")?);
        Ok(Self { network, adam, image, pace, seed, examples, held_out, best: Best::default() })
    }

    /// The network: of the best epoch, where there is a validation part.
    pub fn network(&self) -> Network<E> {
        self.best.network(0, &self.network)
    }

    /// The metrics of the best epoch, where there is a validation part.
    pub fn best_metrics(&self) -> Map<String, Value> {
        self.best.metrics()
    }

    fn rows(&self, part: Inverted, rows: &[usize]) -> Result<Batch<E>> {
        layer_rows(part.1, self.network.graph().input.shape, rows)
    }

    fn error(&self, part: Inverted) -> Result<SquaredError> {
        SquaredError::of(part.0, |_, rows| {
            let h = self.rows(part, rows)?;
            let trace = self.network.forward(&mut NoneTape, &h, Mode::Inference, InputGradient::Unwanted);
            Ok(self.network.value(&trace, self.image)?.clone())
        })
    }
}

impl<E: Element + Scalar> Trainee for Inverter<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let shape = self.examples.0.shape();
        let x = batch(self.examples.0.batch::<E>(rows)?, (rows.len(), shape.height, shape.width, shape.channels));
        let mut tape = OwnedTape::default();
        let mode = Mode::Training(Stream::new(self.seed, "dropout", position.update));
        let h = self.rows(self.examples, rows)?;
        let trace = self.network.forward(&mut tape, &h, mode, InputGradient::Unwanted);
        let recovered = self.network.value(&trace, self.image)?;
        let loss = squared_error(&mut tape, recovered, &x, 1.0 / rows.len() as f64);
        let mut gradients = backward(tape, &loss, vec![E::one()]);
        let gradients = self.network.take_gradients(&mut gradients);
        self.adam.step(&mut self.network, &gradients, &self.pace.at(position), |_| None);
        self.network.keep_running_statistics(&trace);
        Ok(vec![("train_mse", view(&loss)[0].wide() * rows.len() as f64 / shape.len() as f64)])
    }

    fn evaluate(&mut self, epoch: u64) -> Result<Map<String, Value>> {
        let mut metrics = Map::new();
        if let Some(test) = self.held_out.test {
            metrics.extend(self.error(test)?.test_metrics());
        }
        if let Some(validation) = self.held_out.validation {
            let error = self.error(validation)?.mean();
            metrics.insert("validation_mse".into(), crate::store::sidecar::metric(error));
            self.best.offer(error, epoch, &metrics, &[&self.network]);
        }
        Ok(metrics)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "inverter", &self.network, &self.adam)?;
        self.best.save(folder)
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        self.adam = checkpoint::restore(folder, "inverter", &mut self.network)?;
        self.best.restore(folder, &[&self.network])
    }
}
