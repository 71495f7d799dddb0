//! Images drawn pixel by pixel, row by row, x_i ~ p(x_i | x_1 … x_(i-1), h); every layer keeps what it has computed, so that each pixel
//! is computed only once (Ramachandran et al. 2017), by the same products as in a full pass.
//!
//! `u` depends only on the rows above and is computed row by row, `ul` pixel by pixel; the half and quarter levels are computed
//! where one of their rows or pixels begins. Draws are keyed by the image's number and pixel: batches and shards change nothing.
//!
//! ```
//! use obverse::density::sampling::{Draws, sample};
//! use obverse::density::{Architecture, Likelihood, PixelCnn};
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
//! let draws = |first| Draws { seed: 0, first, temperature: 1.0 };
//! let both = sample(&model, 2, None, draws(0), None);
//! // An image depends on its number, not on its batch.
//! assert_eq!(both[16..], sample(&model, 1, None, draws(1), None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod layers;
mod levels;
mod planes;
mod products;
mod sampler;

use super::architecture::Architecture;
use super::network::PixelCnn;
use crate::ops::logistic_mixture::draw as draw_mixture;
use crate::tensor::random;
use crate::tensor::{Batch, Element};

pub use sampler::Sampler;

/// How images are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draws {
    /// Keys the draws.
    pub seed: u64,
    /// The number of the first image: each image has draws of its own.
    pub first: usize,
    /// Divides logits and multiplies scales: at 1 images are samples of the model, below 1 they are more likely ones.
    pub temperature: f64,
}

/// Images, (N, H, W, C), each drawn from p(x | h); of each image in `given`, the upper rows are kept.
pub fn sample<E: Element>(
    model: &PixelCnn<E>,
    images: usize,
    condition: Option<&Batch<E>>,
    draws: Draws,
    given: Option<(&[u8], usize)>,
) -> Vec<u8> {
    let architecture = *model.architecture();
    let (channels, dimensions) = (architecture.channels, architecture.dimensions());
    let uniforms: Vec<Vec<f64>> = (0..images)
        .map(|image| {
            let stream = random::Stream::new(draws.seed, "sample", (draws.first + image) as u64);
            // A draw for the mixture's component or the value, and one for each colour.
            stream.uniform(0..architecture.height * architecture.width * (1 + channels))
        })
        .collect();
    let mut result = vec![0; images * dimensions];
    Sampler::new(model, images, condition).run(|pixel, outputs| {
        let place = |image: usize| image * dimensions + pixel * channels;
        let mut values = Vec::with_capacity(images * channels);
        for (image, parameters) in outputs.chunks_exact(architecture.outputs()).enumerate() {
            match given {
                Some((given, rows)) if pixel < rows * architecture.width => {
                    values.extend_from_slice(&given[place(image)..place(image) + channels]);
                }
                _ => {
                    let uniforms = &uniforms[image][pixel * (1 + channels)..][..1 + channels];
                    values.extend(draw(&architecture, parameters, uniforms, draws.temperature));
                }
            }
        }
        for (image, values) in values.chunks_exact(channels).enumerate() {
            result[place(image)..place(image) + channels].copy_from_slice(values);
        }
        values
    });
    result
}

/// A pixel's values from its distribution and uniform numbers.
fn draw<E: Element>(architecture: &Architecture, parameters: &[E], uniforms: &[f64], temperature: f64) -> Vec<u8> {
    let parameters: Vec<f64> = parameters.iter().map(|value| value.wide()).collect();
    match architecture.mixture() {
        None => vec![crate::ops::categorical::draw(&parameters, uniforms[0], temperature) as u8],
        Some(mixture) => draw_mixture(mixture, &parameters, uniforms, temperature),
    }
}

#[cfg(test)]
mod tests;
