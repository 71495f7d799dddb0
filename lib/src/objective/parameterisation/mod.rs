//! How images (N, H, W, C) are computed from unconstrained parameters s (N, 1, 1, P).
//!
//! Optimisers need a vector space, but images lie in a box, so a map from one to the other is optimised through (inverse
//! feature visualisation, section 2, after Olah et al. 2017). [`Parameterisation::at`] evaluates a map and keeps what its
//! transposed derivative needs, so that a Jacobian is one [`Point`] and many pullbacks.
//!
//! | kind | s | source |
//! |---|---|---|
//! | [`Clamped`] | pixels in [0, 1], put back after each update | |
//! | [`Squashed`] of [`Pixels`] | pixels before a sigmoid | inverse feature visualisation, section 3.2 |
//! | [`Squashed`] of [`Fourier`] | half a spectrum, scaled to favour low frequencies or not | section 3.7; Lucid |
//! | [`Squashed`] of [`Phases`] | phases; magnitudes are those of the user's images | Fel et al. 2023 |
//! | [`Cppn`] | weights of a small network from coordinates to colours | Mordvintsev et al. 2018 |
//! | [`Decoder`] | the input of a decoder network | Nguyen et al. 2016 |
//! | [`Geometry`] | angles, depth and mask of a surface | inverse feature visualisation, section 3.7 |
//!
//! ```
//! use obverse::net::Size;
//! use obverse::objective::parameterisation::{Colours, Parameterisation, Pixels, Squashed};
//! use obverse::tensor::{view, zeros};
//! let pixels = Squashed::new::<f64>(Pixels(Size::new(1, 2, 2)), Colours::Plain)?;
//! let point = pixels.at(&zeros((1, 1, 1, 4)));
//! // The sigmoid of 0, and its slope there.
//! assert_eq!(view(point.images()), [0.5; 4]);
//! assert_eq!(view(&point.pullback(&obverse::tensor::batch(vec![1.0; 4], (1, 2, 2, 1)))), [0.25; 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clamped;
mod colour;
mod cppn;
mod decoder;
mod fourier;
mod geometry;
mod phases;
mod spectrum;
mod squashed;

use std::ops::Range;

pub use clamped::Clamped;
pub use colour::Colours;
pub use cppn::Cppn;
pub use decoder::Decoder;
pub use fourier::{Fourier, FrequencyScale};
pub use geometry::{Geometry, Mask};
pub use phases::{Magnitudes, Phases};
pub use squashed::{Basis, Pixels, Planes, Squashed};

use crate::net::{self, Size};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, shape};

/// The deviation of initial values around grey, Lucid's.
const INITIAL_DEVIATION: f64 = 0.01;
/// The distance of pixels from 0 and 1 before the logit.
const LOGIT_MARGIN: f64 = 1e-6;

/// An error of a parameterisation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A combination that makes no sense.
    #[error("{kind}: expected {expected}, found {found}")]
    Request {
        /// The parameterisation.
        kind: &'static str,
        /// What it takes.
        expected: String,
        /// What it got.
        found: String,
    },
    /// A decoder network.
    #[error("{0}")]
    Net(#[from] net::Error),
}

impl Error {
    fn request(kind: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Request { kind, expected: expected.into(), found: found.to_string() }
    }
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// A map from unconstrained parameters to images.
pub trait Parameterisation<E: Element>: Sync {
    /// The number of parameters of one image, P.
    fn parameters(&self) -> usize;

    /// Channels, height and width of an image.
    fn image_size(&self) -> Size;

    /// Parameters to start from, (N, 1, 1, P). An image's depend on the stream and its number alone.
    fn initial(&self, stream: Stream, images: Range<usize>) -> Batch<E>;

    /// The images (N, H, W, C) of s (N, 1, 1, P), and the way back.
    fn at<'a>(&'a self, s: &Batch<E>) -> Point<'a, E>;

    /// Projects s back onto the admissible set after an update; by default every s is admissible.
    fn project(&self, _s: &mut Batch<E>) {}

    /// Parameters that make these images (N, H, W, C), or those nearest to them; none where the map has no inverse.
    fn parameters_of(&self, _images: &Batch<E>) -> Option<Batch<E>> {
        None
    }
}

/// From cotangents of images to cotangents of their parameters.
type Pullback<'a, E> = Box<dyn Fn(&Batch<E>) -> Batch<E> + 'a>;

/// A map's value at parameters s, with its transposed derivative there.
pub struct Point<'a, E: Element> {
    images: Batch<E>,
    pullback: Pullback<'a, E>,
}

impl<'a, E: Element> Point<'a, E> {
    fn new(images: Batch<E>, pullback: impl Fn(&Batch<E>) -> Batch<E> + 'a) -> Self {
        Self { images, pullback: Box::new(pullback) }
    }

    /// The images, (N, H, W, C).
    pub fn images(&self) -> &Batch<E> {
        &self.images
    }

    /// The cotangents of s, (K, 1, 1, P), for cotangents of the images, (K, H, W, C). A point of one image serves a
    /// block of any K; another has K = N.
    pub fn pullback(&self, cotangent: &Batch<E>) -> Batch<E> {
        let (n, h, w, c) = shape(&self.images);
        debug_assert!(n == 1 || shape(cotangent) == (n, h, w, c), "a cotangent an image");
        (self.pullback)(cotangent)
    }
}

/// Values as vectors (N, 1, 1, P).
fn vectors<E: Element>(values: Vec<E>, length: usize) -> Batch<E> {
    let n = values.len() / length.max(1);
    batch(values, (n, 1, 1, length))
}

/// Normal values around 0, [`INITIAL_DEVIATION`] wide, `length` per image.
fn small_normal<E: Element>(stream: Stream, images: Range<usize>, length: usize) -> Vec<E> {
    let mut values = stream.normal(images.start * length..images.end * length);
    values.iter_mut().for_each(|value: &mut E| *value *= E::of(INITIAL_DEVIATION));
    values
}

/// ln(y / (1 - y)), the sigmoid's inverse, of values kept [`LOGIT_MARGIN`] inside (0, 1).
fn logit<E: Element>(y: E) -> E {
    let y = y.max(E::of(LOGIT_MARGIN)).min(E::of(1.0 - LOGIT_MARGIN));
    (y / (E::one() - y)).ln()
}

#[cfg(test)]
mod checks {
    //! The tests that every parameterisation must pass.

    use super::*;
    use crate::ops::checks::{DIFFERENCES, assert_close, check_adjoint, normal, repeated};
    use crate::tensor::view;

    /// Checks the pullback at `s` against differences, a block of cotangents at a single point, and shapes.
    #[track_caller]
    pub(super) fn check_point(map: &dyn Parameterisation<f64>, s: &Batch<f64>) {
        let Size { channels, height, width } = map.image_size();
        assert_eq!(shape(map.at(s).images()), (shape(s).0, height, width, channels));
        assert_eq!(shape(s).3, map.parameters());
        check_adjoint(s, |s| map.at(s).images().clone(), |cotangent| map.at(s).pullback(cotangent));
        let one = batch(view(s)[..map.parameters()].to_vec(), (1, 1, 1, map.parameters()));
        let block = normal("block", (3, height, width, channels));
        let expected = map.at(&repeated(&one, 3)).pullback(&block);
        assert_close(view(&map.at(&one).pullback(&block)), view(&expected), 1e-13);
    }

    /// Checks that shards start as the whole does, and that f32 stays near f64.
    #[track_caller]
    pub(super) fn check_start(single: &dyn Parameterisation<f32>, double: &dyn Parameterisation<f64>) {
        let stream = Stream::new(3, "start", 0);
        let whole = single.initial(stream, 0..4);
        let p = single.parameters();
        assert_eq!(shape(&whole), (4, 1, 1, p));
        assert_eq!(view(&single.initial(stream, 2..4)), &view(&whole)[2 * p..]);
        let expected = double.at(&double.initial(stream, 0..4));
        assert_close(view(single.at(&whole).images()), view(expected.images()), 1e-5);
    }

    /// Checks that parameters of images make the images.
    #[track_caller]
    pub(super) fn check_inverse(map: &dyn Parameterisation<f64>, images: &Batch<f64>) {
        let s = map.parameters_of(images).unwrap();
        assert_close(view(map.at(&s).images()), view(images), DIFFERENCES);
    }

    /// Images strictly within (0, 1).
    pub(super) fn images(size: Size) -> Batch<f64> {
        let length = 2 * size.elements();
        let values = Stream::new(1, "images", 0).uniform::<f64>(0..length).iter().map(|u| 0.05 + 0.9 * u).collect();
        batch(values, (2, size.height, size.width, size.channels))
    }
}
