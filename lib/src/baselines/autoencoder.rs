//! Autoencoders: x_hat = D(z) with z = E(x); variational (Kingma & Welling 2014) where E has a log-variance.
//!
//! C = mean_n( R(x, x_hat) + beta KL(N(mu, sigma^2) || N(0, 1)) ), z = mu + eps sigma; beta 0 and z = mu without one. R is
//! |x - x_hat|^2, or the binary cross entropy of x_hat's pixels, whose gradient does not vanish for a decoder that ends in a sigmoid.
//!
//! ```
//! use obverse::baselines::autoencoder::decode;
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::tensor::{shape, zeros};
//! let graph = architectures::decoder("mnist", Size::new(1, 8, 8), 3)?;
//! let decoder = Network::<f32>::initialised(graph, Initialisation::Uniform, 0);
//! assert_eq!(shape(&decode(&decoder, &zeros((2, 1, 1, 3)))?), (2, 8, 8, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use crate::data::batches::ImageFile;
use crate::net::op::Sigmoid;
use crate::net::{self, Mode, Network, Op};
use crate::ops::InputGradient;
use crate::ops::arithmetic::combine;
use crate::ops::gaussian::{exponential, multiply};
use crate::ops::loss::{binary_cross_entropy, gaussian_divergence, squared_error};
use crate::store::npy::Scalar;
use crate::store::sidecar::metric;
use crate::tensor::{Batch, Element, Tape, backward, batch, shape, view};
use crate::train::adam::Adam;
use crate::train::best::Best;
use crate::train::checkpoint::{self, Position};
use crate::train::course::Course;
use crate::train::evaluation::{HeldOut, SquaredError};
use crate::train::run::{Losses, Trainee};
use crate::train::{Error, Result};

/// R: how far a reconstruction is from its image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reconstruction {
    /// The squared error.
    #[default]
    SquaredError,
    /// The binary cross entropy of pixels, for decoders that end in a sigmoid.
    CrossEntropy,
}

/// What an autoencoder minimises.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// R.
    pub reconstruction: Reconstruction,
    /// The weight of the divergence from the prior.
    pub beta: f64,
}

/// An encoder and a decoder in training.
pub struct Autoencoder<'a, E: Element> {
    encoder: Network<E>,
    decoder: Network<E>,
    encoder_adam: Adam<E>,
    decoder_adam: Adam<E>,
    latent: usize,
    log_var: Option<usize>,
    image: usize,
    /// The input of the decoder's last sigmoid, where the cost needs it.
    logits: Option<usize>,
    beta: f64,
    course: Course,
    images: &'a ImageFile,
    held_out: HeldOut<&'a ImageFile>,
    best: Best<E>,
}

impl<'a, E: Element + Scalar> Autoencoder<'a, E> {
    /// An encoder with an output "z", or "mu" and "log_var", and a decoder with one "image".
    ///
    /// # Errors
    /// A network without those outputs; cross entropy for a decoder that does not end in a sigmoid.
    pub fn new(
        encoder: Network<E>,
        decoder: Network<E>,
        cost: Cost,
        course: Course,
        images: &'a ImageFile,
        held_out: HeldOut<&'a ImageFile>,
    ) -> Result<Self> {
        let (encoder_adam, decoder_adam) = (Adam::new(encoder.parameters()), Adam::new(decoder.parameters()));
        let log_var = encoder.graph().output("log_var").ok();
        let latent = encoder.graph().output(if log_var.is_some() { "mu" } else { "z" })?;
        let image = decoder.graph().output("image")?;
        let (decoder, logits) = match cost.reconstruction {
            Reconstruction::SquaredError => (decoder, None),
            Reconstruction::CrossEntropy => {
                let place = logits_of(&decoder, image)?;
                let name = decoder.graph().nodes[place].name.clone();
                (decoder.tapped(&[&name])?, Some(place))
            }
        };
        Ok(Self {
            encoder,
            decoder,
            encoder_adam,
            decoder_adam,
            latent,
            log_var,
            image,
            logits,
            beta: cost.beta,
            course,
            images,
            held_out,
            best: Best::default(),
        })
    }

    /// Writes both networks, the decoder as `decoder` next to the encoder; those of the best epoch, where there is a validation
    /// part.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save_networks(&self, folder: &Path, origin: &Value) -> net::Result<()> {
        self.best.network(0, &self.encoder).save(folder, origin)?;
        self.best.network(1, &self.decoder).save_beside(folder, "decoder", origin)
    }

    /// The metrics of the best epoch, where there is a validation part.
    pub fn best_metrics(&self) -> Map<String, Value> {
        self.best.metrics()
    }

    /// The squared error of the reconstructions of mu.
    fn error(&self, images: &ImageFile) -> Result<SquaredError> {
        SquaredError::of(images, |x, _| {
            let trace = self.encoder.forward(&mut Tape::off(), x, Mode::Inference, InputGradient::Unwanted);
            Ok(decode(&self.decoder, self.encoder.value(&trace, self.latent)?)?)
        })
    }
}

impl<E: Element + Scalar> Trainee for Autoencoder<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let (count, size) = (rows.len(), self.encoder.graph().input.shape);
        let x = batch(self.images.batch::<E>(rows)?, (count, size.height, size.width, size.channels));
        let mut tape = Tape::recording();
        let mode = Mode::Training(self.course.stream("dropout", position.update));
        let trace = self.encoder.forward(&mut tape, &x, mode, InputGradient::Unwanted);
        let mu = self.encoder.value(&trace, self.latent)?.clone();
        let log_var = self.log_var.map(|place| self.encoder.value(&trace, place).cloned()).transpose()?;
        let z = match &log_var {
            None => mu.clone(),
            Some(log_var) => {
                let noise = self.course.stream("noise", position.update).normal(0..view(&mu).len());
                let deviation = exponential(&mut tape, log_var, 0.5);
                let shift = multiply(&mut tape, &deviation, &batch(noise, shape(&mu)));
                combine(&mut tape, E::one(), &mu, E::one(), &shift)
            }
        };
        let decoded = self.decoder.forward(&mut tape, &z, mode, InputGradient::Wanted);
        let image = self.decoder.value(&decoded, self.image)?;
        let mean = 1.0 / count as f64;
        let (name, mut cost) = match self.logits {
            None => ("train_mse", squared_error(&mut tape, image, &x, mean)),
            Some(place) => {
                let logits = self.decoder.value(&decoded, place)?;
                ("train_cross_entropy", binary_cross_entropy(&mut tape, logits, &x, mean))
            }
        };
        let pixels = view(&x).len() / count;
        let mut losses: Losses = vec![(name, view(&cost)[0].wide() / mean / pixels as f64)];
        if let Some(log_var) = &log_var {
            let weights = vec![self.beta * mean; count];
            let divergence = gaussian_divergence(&mut tape, &mu, log_var, &weights);
            losses.push(("weighted_divergence", view(&divergence)[0].wide() / mean));
            cost = combine(&mut tape, E::one(), &cost, E::one(), &divergence);
        }
        let mut gradients = backward(tape, &cost, vec![E::one()]);
        let adam = self.course.adam(position);
        for (network, moments) in
            [(&mut self.encoder, &mut self.encoder_adam), (&mut self.decoder, &mut self.decoder_adam)]
        {
            let of_network = network.take_gradients(&mut gradients);
            moments.step(network, &of_network, &adam, |_| None);
        }
        self.encoder.keep_running_statistics(&trace);
        self.decoder.keep_running_statistics(&decoded);
        Ok(losses)
    }

    fn evaluate(&mut self, epoch: u64) -> Result<Map<String, Value>> {
        let mut metrics = match self.held_out.test {
            Some(test) => self.error(test)?.test_metrics(),
            None => Map::new(),
        };
        if let Some(validation) = self.held_out.validation {
            let loss = self.error(validation)?.mean();
            metrics.insert("validation_mse".into(), metric(loss));
            self.best.offer(loss, epoch, &metrics, &[&self.encoder, &self.decoder]);
        }
        Ok(metrics)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "encoder", &self.encoder, &self.encoder_adam)?;
        checkpoint::save(folder, "decoder", &self.decoder, &self.decoder_adam)?;
        self.best.save(folder)
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        self.encoder_adam = checkpoint::restore(folder, "encoder", &mut self.encoder)?;
        self.decoder_adam = checkpoint::restore(folder, "decoder", &mut self.decoder)?;
        self.best.restore(folder, &[&self.encoder, &self.decoder])
    }
}

/// The node that the sigmoid at `image` reads.
fn logits_of<E: Element>(decoder: &Network<E>, image: usize) -> Result<usize> {
    let graph = decoder.graph();
    match (&graph.nodes[image].op, graph.sources(image)) {
        (Op::Sigmoid(Sigmoid), [Some(source)]) => Ok(*source),
        _ => Err(Error::Settings("cross entropy: expected a decoder that ends in a sigmoid, found another".into())),
    }
}

/// The images of latents (N, 1, 1, Z), by a decoder or a GAN's generator.
///
/// # Errors
/// A network without an output "image".
pub fn decode<E: Element>(decoder: &Network<E>, z: &Batch<E>) -> net::Result<Batch<E>> {
    let trace = decoder.forward(&mut Tape::off(), z, Mode::Inference, InputGradient::Unwanted);
    Ok(decoder.value(&trace, decoder.graph().output("image")?)?.clone())
}
