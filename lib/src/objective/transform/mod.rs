//! Random transformations of images before the network sees them, so that the result is robust to all of them
//! (transformation robustness; Olah et al. 2017).
//!
//! A list is text: `pad:12,jitter:8,scale:0.9..1.1,rotate:-10..10,jitter:4`, or a name. One value stands for a range of
//! that value alone. Transformations follow one another, each resampling what the one before left, as Lucid's do.
//!
//! | text | does |
//! |---|---|
//! | `pad:M` | a margin of M pixels of grey 0.5 |
//! | `reflect:M` | a margin of M pixels, mirrored at the border pixels |
//! | `jitter:D` | a crop D pixels smaller, its place uniform |
//! | `translate:A..B` | whole pixels down and to the right, each drawn uniformly; grey moves in |
//! | `scale:A..B` | larger by a factor, about the centre; the size stays, grey surrounds |
//! | `rotate:A..B` | by degrees about the centre, anticlockwise; the size stays, grey surrounds |
//! | `blur:A..B` | a Gaussian of that deviation in pixels; borders are repeated |
//! | `noise:S` | normal noise of deviation S |
//! | `lucid` | `pad:12,jitter:8,scale:0.9..1.1,rotate:-10..10,jitter:4`, Lucid's standard list |
//! | `clarke` | `translate:0..20,rotate:0..360` (generative-model regularisation, section 3.3) |
//! | `none` | nothing |
//!
//! Lucid draws scales and angles from a few values; here they are uniform. At the end images are brought to the network's size by a centred
//! crop or a grey margin, not by resizing: a pixel stays a pixel, and the frequencies that the network sees are those of the
//! image.
//!
//! ```
//! use obverse::net::Size;
//! use obverse::objective::transform::Transforms;
//! use obverse::tensor::random::Stream;
//! use obverse::tensor::{Batch, shape, zeros};
//! let transforms: Transforms = "jitter:4".parse()?;
//! let size = Size::new(3, 32, 32);
//! let pipeline = transforms.between(size, size)?;
//! let applied = pipeline.draw(Stream::new(0, "transforms", 17), 0..2);
//! let images: Batch<f32> = zeros((2, 32, 32, 3));
//! assert_eq!(shape(&applied.pullback(&applied.forward(&images))), (2, 32, 32, 3));
//! # Ok::<(), obverse::objective::transform::Error>(())
//! ```

mod applied;
mod blur;
mod gather;
mod list;
mod warp;

pub use applied::{Applied, Pipeline};
pub use list::Transforms;

/// How an image is continued beyond its edges.
const GREY: f64 = 0.5;

/// An error of a list of transformations.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    /// Text that names no transformation.
    #[error(
        "transformation \"{text}\": expected {expected}, such as lucid, clarke, none or pad:12,jitter:8,scale:0.9..1.1,rotate:-10..10"
    )]
    Text {
        /// The part that was not understood.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A transformation for which images of this size are too small.
    #[error("transformation \"{transform}\": images of {height} x {width} pixels {reason}")]
    Size {
        /// The transformation.
        transform: String,
        /// Rows before it.
        height: usize,
        /// Columns before it.
        width: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Images and a network that differ in channels.
    #[error("transformations: images of {images} channels for a network of {network}")]
    Channels {
        /// Channels of the images.
        images: usize,
        /// Channels of the network's input.
        network: usize,
    },
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;
