//! The size of what a node computes for one image, and how large it may be. (C, H, W) as in files; a vector of F features is (F, 1, 1).

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// The most values that one node may hold for one image, 2^31: larger ones are taken for a broken file.
const LIMIT: u128 = 1 << 31;

/// Channels, height and width of what a node computes for one image.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<usize>", into = "Vec<usize>")]
pub struct Size {
    /// Channels, or features of a vector.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// Channels, height and width.
    pub fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// Values for one image.
    pub fn elements(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Values for one image, where their number may not fit in memory.
    pub(super) fn wide_elements(self) -> u128 {
        (self.channels as u128).saturating_mul(self.height as u128).saturating_mul(self.width as u128)
    }

    /// Whether height and width are 1.
    pub fn is_vector(self) -> bool {
        self.height == 1 && self.width == 1
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_vector() {
            true => write!(f, "{}", self.channels),
            false => write!(f, "{}x{}x{}", self.channels, self.height, self.width),
        }
    }
}

impl TryFrom<Vec<usize>> for Size {
    type Error = String;

    fn try_from(axes: Vec<usize>) -> std::result::Result<Self, String> {
        match *axes.as_slice() {
            [features] => Ok(Self::new(features, 1, 1)),
            [channels, height, width] => Ok(Self::new(channels, height, width)),
            _ => Err(format!("expected [channels, height, width] or [features], found {axes:?}")),
        }
    }
}

impl From<Size> for Vec<usize> {
    fn from(size: Size) -> Self {
        if size.is_vector() { vec![size.channels] } else { vec![size.channels, size.height, size.width] }
    }
}

/// Refuses a result that would hold no values, or more than a network can be meant to.
pub(super) fn check_size(node: &str, size: Size) -> Result<()> {
    check_elements(node, size.wide_elements())
}

/// Refuses what holds no values, or more than a network can be meant to.
pub(super) fn check_elements(node: &str, elements: u128) -> Result<()> {
    match elements {
        0 => Err(Error::Node { node: node.to_string(), reason: "a size of 0: it would hold no values".into() }),
        1..=LIMIT => Ok(()),
        _ => Err(Error::TooLarge { node: node.to_string(), elements, limit: LIMIT }),
    }
}
