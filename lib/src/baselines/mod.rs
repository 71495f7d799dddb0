//! What feature alignment is compared with (section 5) on the same encoders: autoencoders and GANs; classifiers, whole or only their last layer;
//! and networks fitted to images.
//!
//! ```
//! // An autoencoder's halves fit each other.
//! use obverse::net::{Size, architectures};
//! let image = Size::new(1, 8, 8);
//! let encoder = architectures::encoder("mnist", image, &[("z", 3)])?;
//! let decoder = architectures::decoder("mnist", image, 3)?;
//! assert_eq!(encoder.size(encoder.output("z")?), decoder.input.shape);
//! assert_eq!(decoder.size(decoder.output("image")?), image);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod autoencoder;
pub mod classifier;
pub mod gan;
pub mod head;
pub mod regressor;
