//! Shadows: examples computed from a batch that join it under the same labels. A classifier trains on both.
//!
//! ```
//! use obverse::net::{Size, architectures};
//! use obverse::reversible::training::{Settings, Shadow};
//! use obverse::train::shadowing::Shadowing;
//! let graph = architectures::classifier("connected", Size::new(1, 4, 4), 10, 0.5)?;
//! let shadow = Shadow::new(Settings { weight: 0.5, start: 0, attached: false }, &graph, 0)?;
//! assert_eq!(Shadowing::<f32>::weight(&shadow), 0.5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::Result;
use super::checkpoint::Position;
use crate::net::{Network, Trace};
use crate::ops::InputGradient;
use crate::tensor::{Batch, Element, Tape};

/// The shadows of a batch.
#[derive(Clone, Debug)]
pub struct Shadows<E: Element> {
    /// One per example, (N, H, W, C).
    pub x: Batch<E>,
    /// Whether gradients go through them to the network that made them.
    pub gradient: InputGradient,
}

/// What makes shadows.
pub trait Shadowing<E: Element> {
    /// The weight of a shadow in the loss, where an example has 1.
    fn weight(&self) -> f64;

    /// The shadows of the batch of this trace; `None` before there are any.
    ///
    /// # Errors
    /// A network that does not fit.
    fn shadows(
        &self,
        tape: &mut Tape<E>,
        network: &Network<E>,
        trace: &Trace<E>,
        position: &Position,
    ) -> Result<Option<Shadows<E>>>;

    /// The same at inference, (N, H, W, C).
    ///
    /// # Errors
    /// A network that does not fit.
    fn at_inference(&self, network: &Network<E>, trace: &Trace<E>) -> Result<Batch<E>>;
}
