//! PixelCNN++ (Salimans et al. 2017), conditional on the output of a network's layer (Nash et al. 2019): log p(x | h) of 8-bit images.
//!
//! Images are (N, H, W, C), 8-bit; a condition is a vector, (N, 1, 1, F), or feature maps, (N, h, w, C').
//!
//! ```
//! use obverse::density::{Architecture, Likelihood, Mode, PixelCnn};
//! use obverse::tensor::{Tape, view};
//! let architecture = Architecture {
//!     channels: 1,
//!     height: 4,
//!     width: 4,
//!     filters: 4,
//!     blocks: 1,
//!     likelihood: Likelihood::Softmax,
//!     condition: None,
//! };
//! let model = PixelCnn::<f64>::random(architecture, 0)?;
//! let nats = model.negative_log_likelihood(&mut Tape::off(), &[0; 32], None, Mode::Inference);
//! // The same image twice, as likely each time.
//! assert!(view(&nats)[0] > 0.0 && view(&nats)[0] == view(&nats)[1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod architecture;
mod folder;
mod initialise;
pub mod likelihood;
pub mod network;
#[cfg(test)]
mod network_tests;
mod parameters;
pub mod sampling;
mod standardise;
pub mod training;

pub use architecture::{Architecture, Condition, Likelihood};
pub use network::{Mode, PixelCnn};

use std::path::PathBuf;

use crate::{data, net, store};

/// What can be wrong with a density model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request that makes no sense.
    #[error("{0}")]
    Settings(String),
    /// A folder that holds another kind of network.
    #[error("{path}: expected format \"{expected}\", found \"{found}\"; give a folder that pixelcnn-fit has written")]
    Format {
        /// The description.
        path: PathBuf,
        /// The format's name.
        expected: &'static str,
        /// The name found.
        found: String,
    },
    /// Images or conditions of another shape than the model's.
    #[error(
        "{file}: the model expects {expected}, found {found}; give those of the dataset and layer it was trained on"
    )]
    Mismatch {
        /// The file.
        file: String,
        /// What the model takes.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// Parameters, or their description.
    #[error("{0}")]
    Net(#[from] net::Error),
    /// A dataset.
    #[error("{0}")]
    Data(#[from] data::Error),
    /// A file.
    #[error("{0}")]
    Store(#[from] store::Error),
}

/// What this module's functions return.
pub type Result<T> = std::result::Result<T, Error>;
