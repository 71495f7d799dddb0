//! -log p(x | h) of images, in nats, from the outputs of a model; (N, H, W, P) -> (N, 1, 1, 1).
//!
//! ```
//! use obverse::density::likelihood::negative_log_likelihood;
//! use obverse::density::{Architecture, Likelihood};
//! use obverse::tensor::{Tape, view, zeros};
//! let architecture = Architecture {
//!     channels: 1,
//!     height: 4,
//!     width: 4,
//!     filters: 4,
//!     blocks: 1,
//!     likelihood: Likelihood::Softmax,
//!     condition: None,
//! };
//! // Where all 256 values are as likely, a pixel costs ln 256.
//! let nats = negative_log_likelihood::<f64>(&mut Tape::off(), &architecture, &zeros((1, 4, 4, 256)), &[7; 16]);
//! assert!((view(&nats)[0] - 16.0 * 256f64.ln()).abs() < 1e-9);
//! ```

use super::architecture::Architecture;
use crate::ops::categorical::categorical;
use crate::ops::logistic_mixture::logistic_mixture;
use crate::tensor::{Batch, Element, Tape};

/// The negative log-likelihood of each image, in nats; `pixels` are (N, H, W, C), for as many images as `outputs`.
pub fn negative_log_likelihood<E: Element>(
    tape: &mut Tape<E>,
    architecture: &Architecture,
    outputs: &Batch<E>,
    pixels: &[u8],
) -> Batch<E> {
    let size = (architecture.height, architecture.width);
    match architecture.mixture() {
        None => categorical(tape, outputs, pixels, size),
        Some(mixture) => logistic_mixture(tape, outputs, pixels, size, mixture),
    }
}
