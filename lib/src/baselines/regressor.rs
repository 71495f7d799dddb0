//! Networks fitted to images, x_hat = f(h), by the squared error L = mean |x - f(h)|^2.
//!
//! h is the output of a layer for the images (point-estimate inversion, Nash et al. 2019, equation 3), or other images.
//!
//! ```
//! use obverse::baselines::regressor::Inputs;
//! use obverse::data::batches::ImageFile;
//! use obverse::net::Size;
//! use obverse::store::npy::{Reader, write};
//! let folder = tempfile::tempdir()?;
//! let (images, maps) = (folder.path().join("images.npy"), folder.path().join("maps.npy"));
//! write(&images, &[2, 4, 4], &[0u8; 32])?;
//! write(&maps, &[2, 6, 2, 2], &[0.0f32; 48])?;
//! let images = ImageFile::open(&images)?;
//! assert_eq!(Inputs::Layer(&Reader::open(&maps)?).size(&images)?, Size::new(6, 2, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use crate::data::batches::ImageFile;
use crate::net::{Mode, Network, Size};
use crate::ops::InputGradient;
use crate::ops::loss::squared_error;
use crate::store::npy::{Dtype, Reader, Scalar, require_finite};
use crate::store::sidecar::metric;
use crate::tensor::{Batch, Element, Tape, backward, batch, channels_last, view, view_mut};
use crate::train::adam::Adam;
use crate::train::best::Best;
use crate::train::checkpoint::{self, Position};
use crate::train::course::Course;
use crate::train::evaluation::{HeldOut, SquaredError};
use crate::train::run::{Losses, Trainee};
use crate::train::{Error, Result};

/// The number of rows from which the scale of the first layer is computed.
const SCALED_BY: usize = 1024;

/// The inputs of a network, row by row.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// Images.
    Images(&'a ImageFile),
    /// What a layer computes: vectors (N, F) or maps (N, C, h, w).
    Layer(&'a Reader),
}

/// The inputs of a network, and the images it should compute from them.
pub type Pairs<'a> = (Inputs<'a>, &'a ImageFile);

impl Inputs<'_> {
    /// The size of a row, checked against the images.
    ///
    /// # Errors
    /// Rows that are not numbers, not one per image, or neither vectors nor maps.
    pub fn size(self, images: &ImageFile) -> Result<Size> {
        let reader = match self {
            Self::Images(inputs) => inputs.reader(),
            Self::Layer(layer) => layer,
        };
        let wrong = |expected: String, found: String| {
            Error::Settings(format!("{}: expected {expected}, found {found}", reader.path().display()))
        };
        if reader.rows() != images.count() {
            let found = format!("{} rows; tap the layer with these images", reader.rows());
            return Err(wrong(format!("{} rows, one per image", images.count()), found));
        }
        let layer = match self {
            Self::Images(inputs) => {
                let size = inputs.shape();
                return Ok(Size::new(size.channels, size.height, size.width));
            }
            Self::Layer(layer) => layer,
        };
        layer.require_dtype(&[Dtype::F32, Dtype::F64])?;
        match *layer.row_shape() {
            [features] if features > 0 => Ok(Size::new(features, 1, 1)),
            [channels, height, width] if channels * height * width > 0 => Ok(Size::new(channels, height, width)),
            _ => Err(wrong("vectors (N, F) or feature maps (N, C, h, w)".into(), format!("shape {:?}", layer.shape()))),
        }
    }

    /// Rows of `size`, channels last.
    fn rows<E: Element + Scalar>(self, size: Size, rows: &[usize]) -> Result<Batch<E>> {
        let shape = (rows.len(), size.height, size.width, size.channels);
        let layer = match self {
            Self::Images(images) => return Ok(batch(images.batch(rows)?, shape)),
            Self::Layer(layer) => layer,
        };
        let mut values = Vec::with_capacity(rows.len() * size.elements());
        for &row in rows {
            let part: Vec<E> = layer.read_row_range_as_float_at(row, 1)?;
            require_finite(layer.path(), &part, row, size.elements())?;
            values.extend(part);
        }
        Ok(batch(channels_last(&values, shape), shape))
    }
}

/// A network in training.
pub struct Regressor<'a, E: Element> {
    network: Network<E>,
    adam: Adam<E>,
    image: usize,
    course: Course,
    examples: Pairs<'a>,
    held_out: HeldOut<Pairs<'a>>,
    best: Best<E>,
}

impl<'a, E: Element + Scalar> Regressor<'a, E> {
    /// A network with an output "image".
    ///
    /// # Errors
    /// A network without it; rows that do not fit it.
    pub fn new(network: Network<E>, course: Course, examples: Pairs<'a>, held_out: HeldOut<Pairs<'a>>) -> Result<Self> {
        let wanted = network.graph().input.shape;
        for (inputs, images) in [Some(examples), held_out.test, held_out.validation].into_iter().flatten() {
            let found = inputs.size(images)?;
            if found != wanted {
                return Err(Error::Settings(format!("expected rows of {wanted}, found {found}")));
            }
        }
        let (adam, image) = (Adam::new(network.parameters()), network.graph().output("image")?);
        Ok(Self { network, adam, image, course, examples, held_out, best: Best::default() })
    }

    /// Divides the first layer's weights by the root mean square of its inputs, so that its outputs start as large as an
    /// initialisation expects for inputs of size 1; logits are ten times larger.
    ///
    /// # Errors
    /// Rows that cannot be read.
    pub fn scaled_to_inputs(mut self) -> Result<Self> {
        let rows: Vec<usize> = (0..self.examples().min(SCALED_BY)).collect();
        let inputs = self.rows(self.examples, &rows)?;
        let squares: f64 = view(&inputs).iter().map(|value| value.wide().powi(2)).sum();
        let size = (squares / view(&inputs).len() as f64).sqrt();
        if let Some(first) = self.network.parameters_mut().first_mut().filter(|_| size > 0.0) {
            view_mut(first).iter_mut().for_each(|weight| *weight = E::of(weight.wide() / size));
        }
        Ok(self)
    }

    /// The network, of the best epoch if there is a validation part.
    pub fn network(&self) -> Network<E> {
        self.best.network(0, &self.network)
    }

    /// How many examples it is trained on.
    pub fn examples(&self) -> usize {
        self.examples.1.count()
    }

    /// The metrics of the best epoch, where there is a validation part.
    pub fn best_metrics(&self) -> Map<String, Value> {
        self.best.metrics()
    }

    fn rows(&self, part: Pairs, rows: &[usize]) -> Result<Batch<E>> {
        part.0.rows(self.network.graph().input.shape, rows)
    }

    fn error(&self, part: Pairs) -> Result<SquaredError> {
        SquaredError::of(part.1, |_, rows| {
            let h = self.rows(part, rows)?;
            let trace = self.network.forward(&mut Tape::off(), &h, Mode::Inference, InputGradient::Unwanted);
            Ok(self.network.value(&trace, self.image)?.clone())
        })
    }
}

impl<E: Element + Scalar> Trainee for Regressor<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let shape = self.examples.1.shape();
        let x = batch(self.examples.1.batch::<E>(rows)?, (rows.len(), shape.height, shape.width, shape.channels));
        let mut tape = Tape::recording();
        let mode = Mode::Training(self.course.stream("dropout", position.update));
        let h = self.rows(self.examples, rows)?;
        let trace = self.network.forward(&mut tape, &h, mode, InputGradient::Unwanted);
        let recovered = self.network.value(&trace, self.image)?;
        let loss = squared_error(&mut tape, recovered, &x, 1.0 / rows.len() as f64);
        let mut gradients = backward(tape, &loss, vec![E::one()]);
        let gradients = self.network.take_gradients(&mut gradients);
        self.adam.step(&mut self.network, &gradients, &self.course.adam(position), |_| None);
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
