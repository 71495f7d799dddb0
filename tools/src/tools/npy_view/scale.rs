//! How much larger or smaller than itself an image is shown.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// How much larger or smaller than itself an image is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// So many pixels for one, in each direction.
    Enlarged(NonZeroUsize),
    /// One pixel for so many.
    Reduced(NonZeroUsize),
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scale = match text.strip_prefix("1/") {
            Some(factor) => factor.parse().map(Self::Reduced),
            None => text.parse().map(Self::Enlarged),
        };
        scale.map_err(|_| "expected K or 1/K, whole numbers from 1".to_owned())
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enlarged(factor) => write!(formatter, "{factor}"),
            Self::Reduced(factor) => write!(formatter, "1/{factor}"),
        }
    }
}
