//! A generative adversarial network (Goodfellow et al. 2014): a decoder that makes images from normal draws, and the
//! discriminator of Table 10, with least-squares losses (Mao et al. 2017) and a penalty on the discriminator's slope (Mescheder et
//! al. 2018), without which the discriminator learns too fast for a generator without batch normalisation.
//!
//! An image is reconstructed by a search: argmin_z |x - G(z)|^2, by Adam (section 4).
//!
//! ```
//! use obverse::baselines::gan::Search;
//! use obverse::net::op::Linear;
//! use obverse::net::{Graph, InputSpec, Network, Node, Size};
//! use obverse::tensor::{batch, view, zeros};
//! let layer = Node::new("double", Linear::new(1, false), "input");
//! let outputs = [("image".into(), "double".into())].into();
//! let graph = Graph::new(InputSpec::plain(Size::new(1, 1, 1)), vec![layer], outputs)?;
//! let generator = Network::<f64>::of_parameters(graph, |_, _| Ok(vec![2.0]))?;
//! let z = Search { steps: 500, rate: 0.01 }.run(&generator, &batch(vec![0.8], (1, 1, 1, 1)), &zeros((1, 1, 1, 1)))?;
//! assert!((view(&z)[0] - 0.4).abs() < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use crate::data::batches::ImageFile;
use crate::net::{self, Mode, Network};
use crate::ops::InputGradient;
use crate::ops::adversarial::Rule;
use crate::ops::arithmetic::combine;
use crate::store::npy::Scalar;
use crate::tensor::{Batch, Element, Tape, backward, batch, shape, view};
use crate::train::Result;
use crate::train::adam::{Adam, AdamSettings};
use crate::train::checkpoint::{self, Position};
use crate::train::course::Course;
use crate::train::discriminator::Discriminator;
use crate::train::run::{Losses, Trainee};

/// A generator and a discriminator in training.
pub struct Gan<'a, E: Element> {
    generator: Network<E>,
    discriminator: Discriminator<E>,
    generator_adam: Adam<E>,
    image: usize,
    course: Course,
    images: &'a ImageFile,
}

impl<'a, E: Element + Scalar> Gan<'a, E> {
    /// A decoder with an output "image" and a discriminator with one "score"; gamma weighs the penalty on its slope.
    ///
    /// # Errors
    /// A network without that output.
    pub fn new(
        generator: Network<E>,
        discriminator: Network<E>,
        gamma: f64,
        course: Course,
        images: &'a ImageFile,
    ) -> Result<Self> {
        let (generator_adam, image) = (Adam::new(generator.parameters()), generator.graph().output("image")?);
        let discriminator = Discriminator::new(discriminator, Rule::LeastSquares, None)?.penalised(gamma);
        Ok(Self { generator, discriminator, generator_adam, image, course, images })
    }

    /// Writes both networks, the discriminator as `discriminator` next to the generator.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save_networks(&self, folder: &Path, origin: &Value) -> net::Result<()> {
        self.generator.save(folder, origin)?;
        self.discriminator.network().save_beside(folder, "discriminator", origin)
    }

    /// One update of the generator: its loss, and its images as they were before.
    fn update_generator(&mut self, z: &Batch<E>, mode: Mode, adam: &AdamSettings) -> Result<(f64, Batch<E>)> {
        let mut tape = Tape::recording();
        let trace = self.generator.forward(&mut tape, z, mode, InputGradient::Unwanted);
        let image = self.generator.value(&trace, self.image)?.clone();
        let (loss, cotangent) = self.discriminator.wanted(&image, mode, 1.0 / shape(z).0 as f64)?;
        let mut gradients = backward(tape, &image, view(&cotangent).to_vec());
        let gradients = self.generator.take_gradients(&mut gradients);
        self.generator_adam.step(&mut self.generator, &gradients, adam, |_| None);
        self.generator.keep_running_statistics(&trace);
        Ok((loss, image))
    }
}

impl<E: Element + Scalar> Trainee for Gan<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let (count, size) = (rows.len(), self.discriminator.network().graph().input.shape);
        let features = self.generator.graph().input.shape.channels;
        let x = batch(self.images.batch::<E>(rows)?, (count, size.height, size.width, size.channels));
        let z = self.course.stream("prior", position.update).normal(0..count * features);
        let (mode, adam) = (Mode::Training(self.course.stream("dropout", position.update)), self.course.adam(position));
        let (generator, fakes) = self.update_generator(&batch(z, (count, 1, 1, features)), mode, &adam)?;
        let judged = self.discriminator.update_on_both([&x, &fakes], mode, 1.0 / count as f64, &adam)?;
        let sum = count as f64;
        Ok(vec![("generator", generator * sum), ("discriminator", judged * sum)])
    }

    fn evaluate(&mut self, _: u64) -> Result<Map<String, Value>> {
        Ok(Map::new())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save(folder, "generator", &self.generator, &self.generator_adam)?;
        self.discriminator.save(folder)
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        self.generator_adam = checkpoint::restore(folder, "generator", &mut self.generator)?;
        self.discriminator.restore(folder)
    }
}

/// A search for the latents whose images are closest to given ones.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Updates by Adam.
    pub steps: usize,
    /// Its learning rate.
    pub rate: f64,
}

impl Search {
    /// The latents (N, 1, 1, Z) that a search from `z` finds for images x, each on its own.
    ///
    /// # Errors
    /// A network without an output "image".
    pub fn run<E: Element>(&self, generator: &Network<E>, x: &Batch<E>, z: &Batch<E>) -> net::Result<Batch<E>> {
        let image = generator.graph().output("image")?;
        let mut z = z.clone();
        let mut adam = Adam::new(std::slice::from_ref(&z));
        let settings = AdamSettings::with_rate(self.rate);
        for _ in 0..self.steps {
            let trace = generator.forward(&mut Tape::off(), &z, Mode::Inference, InputGradient::Wanted);
            // Sums over pixels: an image's step depends on no other image.
            let slope = combine(&mut Tape::off(), E::of(2.0), generator.value(&trace, image)?, -E::of(2.0), x);
            let gradient = generator.gradient_at_input(&mut Tape::off(), &trace, &[(image, &slope)])?;
            adam.advance();
            adam.update(0, &mut z, &gradient, &settings, None);
        }
        Ok(z)
    }
}
