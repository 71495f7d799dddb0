//! The architecture of a model: its images, width and depth, the likelihood of a pixel, the condition; and the papers' presets.
//!
//! Levels of H x W, H/2 x W/2 and H/4 x W/4; sides that are no multiple of 4 are padded at the bottom and to the right.
//!
//! ```
//! use obverse::density::{Architecture, Condition, Likelihood};
//! let architecture = Architecture {
//!     channels: 3,
//!     height: 30,
//!     width: 32,
//!     filters: 16,
//!     blocks: 1,
//!     likelihood: Likelihood::LogisticMixture(10),
//!     condition: Some(Condition::Vector(64)),
//! }
//! .check()?;
//! assert_eq!(architecture.dimensions(), 3 * 30 * 32);
//! assert_eq!(architecture.levels(), [(32, 32), (16, 16), (8, 8)]);
//! // Ten logits; ten means, scales and coefficients a colour.
//! assert_eq!(architecture.outputs(), 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::data::Shape;
use crate::ops::categorical;
use crate::ops::logistic_mixture::Mixture;

/// The largest side, width or depth that is accepted: so that products of sizes do not overflow.
const LARGEST: usize = 4096;

/// How a pixel's distribution is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likelihood {
    /// A softmax over the 256 values, for one channel.
    Softmax,
    /// A discretised mixture of this many logistics, for one or three channels.
    LogisticMixture(usize),
}

/// What a model is conditional on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Vectors of this many features, projected linearly to biases.
    Vector(usize),
    /// Maps of (channels, height, width), resized and projected by 1 x 1 convolutions to spatial biases.
    Maps(usize, usize, usize),
}

impl Condition {
    /// The condition that rows of this shape are: (F) or (C, h, w).
    ///
    /// # Errors
    /// Another number of axes, or an empty axis.
    pub fn of_rows(file: &str, row_shape: &[usize]) -> Result<Self> {
        let condition = match *row_shape {
            [features] => Self::Vector(features),
            [channels, height, width] => Self::Maps(channels, height, width),
            _ => {
                return Err(Error::Mismatch {
                    file: file.to_string(),
                    expected: "vectors (N, F) or feature maps (N, C, h, w)".into(),
                    found: format!("rows of shape {row_shape:?}"),
                });
            }
        };
        if row_shape.iter().any(|&axis| axis == 0 || axis > 1 << 20) {
            let (file, found) = (file.to_string(), format!("rows of shape {row_shape:?}"));
            return Err(Error::Mismatch { file, expected: "axes of 1 to 1048576".into(), found });
        }
        Ok(condition)
    }

    /// Rows of a file: (F) or (C, h, w).
    pub fn row_shape(self) -> Vec<usize> {
        match self {
            Self::Vector(features) => vec![features],
            Self::Maps(channels, height, width) => vec![channels, height, width],
        }
    }
}

/// A model's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// Channels of an image, C.
    pub channels: usize,
    /// Height of an image, H.
    pub height: usize,
    /// Width of an image, W.
    pub width: usize,
    /// Filters of each layer.
    pub filters: usize,
    /// Gated blocks per level on the way down.
    pub blocks: usize,
    /// The likelihood of a pixel.
    pub likelihood: Likelihood,
    /// The condition.
    pub condition: Option<Condition>,
}

impl Architecture {
    /// Checks the sizes against each other.
    ///
    /// # Errors
    /// A size of 0 or beyond 4096, a likelihood that does not fit the channels.
    pub fn check(self) -> Result<Self> {
        let fail = |what: String| Err(Error::Settings(what));
        let sizes =
            [("filters", self.filters), ("blocks", self.blocks), ("height", self.height), ("width", self.width)];
        for (name, size) in sizes {
            if !(1..=LARGEST).contains(&size) {
                return fail(format!("{name}: expected 1 to {LARGEST}, found {size}"));
            }
        }
        match (self.likelihood, self.channels) {
            (Likelihood::Softmax, 1) | (Likelihood::LogisticMixture(1..=1024), 1 | 3) => Ok(self),
            (Likelihood::Softmax, channels) => {
                fail(format!("a softmax describes images of one channel, found {channels}; use logistic mixtures"))
            }
            (Likelihood::LogisticMixture(components), channels) => fail(format!(
                "logistic mixtures: expected 1 to 1024 components and 1 or 3 channels, found {components} and {channels}"
            )),
        }
    }

    /// The shape of an image.
    pub fn image(&self) -> Shape {
        Shape { channels: self.channels, height: self.height, width: self.width }
    }

    /// Subpixels of an image, C H W, over which bits per dimension are computed.
    pub fn dimensions(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Height and width of the three levels, sides rounded up to multiples of 4.
    pub fn levels(&self) -> [(usize, usize); 3] {
        let (height, width) = (self.height.next_multiple_of(4), self.width.next_multiple_of(4));
        [1, 2, 4].map(|factor| (height / factor, width / factor))
    }

    /// Outputs per pixel: the parameters of its distribution.
    pub fn outputs(&self) -> usize {
        self.mixture().map_or(categorical::VALUES, Mixture::parameters)
    }

    /// The mixture, where the likelihood is one.
    pub(super) fn mixture(&self) -> Option<Mixture> {
        match self.likelihood {
            Likelihood::Softmax => None,
            Likelihood::LogisticMixture(components) => Some(Mixture { components, colours: self.channels }),
        }
    }
}
