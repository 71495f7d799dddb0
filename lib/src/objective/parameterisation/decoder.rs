//! Images that a decoder network makes: s is its input, a latent vector (or maps, channels first).
//!
//! Sources: Nguyen et al. 2016; generative-model regularisation of feature visualisation, section 3.5.

use std::ops::Range;

use super::{Parameterisation, Point, Result, vectors};
use crate::net::{Mode, Network, Size, Trace};
use crate::ops::InputGradient;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, batch, channels_first, channels_last, shape, view, zeros};

/// The output that holds a decoder's images.
const OUTPUT: &str = "image";

/// The input of a decoder network.
#[derive(Clone, Debug)]
pub struct Decoder<E: Element> {
    network: Network<E>,
    place: usize,
}

impl<E: Element> Decoder<E> {
    /// A network whose output "image" depends on its input.
    ///
    /// # Errors
    /// No such output, or one that does not depend on the input.
    pub fn new(network: Network<E>) -> Result<Self> {
        let place = network.graph().output(OUTPUT)?;
        let decoder = Self { network, place };
        let trace = decoder.trace(&zeros((1, 1, 1, decoder.latent().elements())));
        let image = decoder.network.value(&trace, place)?;
        decoder.network.gradient_at_input(&mut Tape::off(), &trace, &[(place, image)])?;
        Ok(decoder)
    }

    fn latent(&self) -> Size {
        self.network.graph().input.shape
    }

    fn trace(&self, s: &Batch<E>) -> Trace<E> {
        let Size { channels, height, width } = self.latent();
        let input = (shape(s).0, height, width, channels);
        let x = batch(channels_last(view(s), input), input);
        self.network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Wanted)
    }
}

impl<E: Element> Parameterisation<E> for Decoder<E> {
    fn parameters(&self) -> usize {
        self.latent().elements()
    }

    fn image_size(&self) -> Size {
        self.network.graph().size(self.place)
    }

    /// Standard normal, as latents of autoencoders with a prior are.
    fn initial(&self, stream: Stream, images: Range<usize>) -> Batch<E> {
        let length = self.latent().elements();
        vectors(stream.normal(images.start * length..images.end * length), length)
    }

    fn at<'a>(&'a self, s: &Batch<E>) -> Point<'a, E> {
        let trace = self.trace(s);
        let Size { channels, height, width } = self.network.graph().size(self.place);
        // `new` has seen that the output is computed and reached; both alternatives are never taken.
        let nothing = || zeros((shape(s).0, height, width, channels));
        let images = trace.value(self.place).cloned().unwrap_or_else(nothing);
        let length = self.latent().elements();
        Point::new(images, move |cotangent| {
            let pulled = self.network.pullback(&mut Tape::off(), &trace, &[(self.place, cotangent)]);
            let pulled = pulled.unwrap_or_else(|| zeros((shape(cotangent).0, 1, 1, length)));
            vectors(channels_first(view(&pulled), shape(&pulled)), length)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::super::checks::{check_point, check_start};
    use super::*;
    use crate::net::{Graph, Initialisation};
    use crate::ops::checks::normal;

    /// Maps through a convolution and a smooth activation.
    fn network<E: Element>(latent: [usize; 3], output: &str) -> Network<E> {
        let description = json!({"format": "obverse-net/1", "input": {"shape": latent},
            "nodes": [{"name": "conv", "op": "conv2d", "input": "input", "channels": 3, "kernel": 3, "padding": 1},
                      {"name": "squashed", "op": "sigmoid", "input": "conv"}],
            "outputs": {output: "squashed"}});
        let graph = Graph::from_json(Path::new("net.json"), &description).unwrap();
        Network::initialised(graph, Initialisation::Orthogonal, 1)
    }

    #[test]
    fn directions_and_start_of_latent_vectors_and_maps() {
        for latent in [[5, 1, 1], [2, 3, 4]] {
            let map = Decoder::new(network::<f64>(latent, "image")).unwrap();
            check_point(&map, &normal("s", (2, 1, 1, latent.iter().product())));
            check_start(&Decoder::new(network::<f32>(latent, "image")).unwrap(), &map);
        }
    }

    #[test]
    fn a_network_without_images_is_refused() {
        let error = Decoder::new(network::<f32>([5, 1, 1], "y")).unwrap_err();
        assert!(error.to_string().contains("image"), "{error}");
    }
}
