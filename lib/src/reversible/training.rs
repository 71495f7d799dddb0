//! SHADOW: at each update the images' shadows x~ = reverse(forward(x)) join the batch with x's labels.
//!
//! The network is run backwards from the layer below the softmax with the rectifiers and dropout on the path, each mask drawn again;
//! scales and biases are estimated on the batch. Attached, gradients also go through x~ to the weights that made it; detached, x~ is an
//! example like any other. Source: reverse nets, sections 2 and 4.
//!
//! ```
//! use obverse::net::{Size, architectures};
//! use obverse::reversible::training::{Settings, Shadow};
//! let settings = Settings { weight: 1.0, start: 0, attached: false };
//! let graph = architectures::classifier("connected", Size::new(1, 4, 4), 10, 0.5)?;
//! assert!(Shadow::new(settings, &graph, 0).is_ok());
//! // Weights below 0 make no sense.
//! assert!(Shadow::new(Settings { weight: -1.0, ..settings }, &graph, 0).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::reverse::Reverse;
use super::{Error, Result};
use crate::net::{Graph, Mode, Network, Trace};
use crate::ops::InputGradient;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape};
use crate::train;
use crate::train::checkpoint::Position;
use crate::train::shadowing::{Shadowing, Shadows};

/// How a network is trained on its shadows.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Settings {
    /// The weight of a shadow in the loss, where an image has 1; positive.
    pub weight: f64,
    /// Epochs without shadows before the first with them.
    pub start: u64,
    /// Whether gradients go through shadows.
    pub attached: bool,
}

/// Settings, and the path back through a network.
#[derive(Clone, Debug)]
pub struct Shadow {
    settings: Settings,
    reverse: Reverse,
    seed: u64,
}

impl Shadow {
    /// Shadows of networks of this graph; `seed` draws dropout's masks.
    ///
    /// # Errors
    /// A weight that is not positive; a node below the softmax that cannot be reversed.
    pub fn new(settings: Settings, graph: &Graph, seed: u64) -> Result<Self> {
        if !(settings.weight > 0.0 && settings.weight.is_finite()) {
            let found = settings.weight;
            return Err(Error::Settings(format!("a shadow's weight: expected a positive number, found {found}")));
        }
        Ok(Self { settings, reverse: Reverse::of(graph)?, seed })
    }
}

/// The path was checked when it was made, so only errors of networks are left.
fn failed(error: Error) -> train::Error {
    match error {
        Error::Net(error) => error.into(),
        other => train::Error::Settings(other.to_string()),
    }
}

impl<E: Element> Shadowing<E> for Shadow {
    fn weight(&self) -> f64 {
        self.settings.weight
    }

    fn shadows(
        &self,
        tape: &mut Tape<E>,
        network: &Network<E>,
        trace: &Trace<E>,
        position: &Position,
    ) -> train::Result<Option<Shadows<E>>> {
        if position.epoch < self.settings.start {
            return Ok(None);
        }
        let mode = Mode::Training(Stream::new(self.seed, "shadow", position.update));
        let (x, gradient) = match self.settings.attached {
            true => (self.reverse.fitted(tape, network, trace, mode), InputGradient::Wanted),
            false => (self.reverse.fitted(&mut Tape::off(), network, trace, mode), InputGradient::Unwanted),
        };
        Ok(Some(Shadows { x: x.map_err(failed)?.0, gradient }))
    }

    fn at_inference(&self, network: &Network<E>, trace: &Trace<E>) -> train::Result<Batch<E>> {
        let shadows = self.reverse.fitted(&mut Tape::off(), network, trace, Mode::Inference);
        Ok(shadows.map_err(failed)?.0)
    }
}
