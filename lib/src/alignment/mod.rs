//! Feature alignment (Farias & Maziero, "Feature alignment as a generative process").
//!
//! An encoder E is trained so that a gradient step on a neutral input r recovers what was encoded:
//! r <- r - tau dL/dr with L = 1/2 |z_x - E(r)|^2 (equations 2 and 11), T times, and C = |x - r|^2 trains E.
//!
//! ```
//! // Images recovered from the latents that an encoder, untrained here, makes of them.
//! use obverse::alignment::{recovery::Aim, settings::Settings, training::encode};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::tensor::{Tape, shape, zeros};
//! let graph = architectures::encoder("mnist", Size::new(1, 4, 4), &[("z", 3)])?;
//! let encoder = Network::<f32>::initialised(graph, Initialisation::Uniform, 0);
//! let node = encoder.graph().output("z")?;
//! let z = encode(&encoder, node, &zeros((2, 4, 4, 1)))?;
//! let start = zeros((1, 4, 4, 1));
//! let recovery = Settings::published_code().recovery();
//! let images = recovery.recover(&mut Tape::off(), &encoder, &[Aim::at(node, &z)], &start)?;
//! assert_eq!(shape(&images), (2, 4, 4, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod adversarial;
pub mod latents;
pub mod local;
pub mod orthogonality;
pub mod recovery;
pub mod regression;
pub mod settings;
pub mod step;
pub mod training;
