//! Settings that several operations share: pairs and sides as net.json writes them, their defaults, and how long they may be.

use serde::{Deserialize, Serialize};

use crate::net::size::Size;
use crate::ops::window::{Padding, Window};

/// The longest kernel, stride or padding, larger than any image: sums of them cannot overflow.
const LONGEST: usize = 1 << 20;

/// An axis of an image. `net.json` writes its name in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// From channel to channel.
    #[default]
    Channels,
    /// From row to row.
    Height,
    /// From column to column.
    Width,
}

impl Axis {
    /// Which axis of a batch, (N, H, W, C), it is.
    pub(super) fn in_batch(self) -> usize {
        match self {
            Self::Height => 1,
            Self::Width => 2,
            Self::Channels => 3,
        }
    }

    /// How long it is in images of this size.
    pub(super) fn length(self, size: Size) -> usize {
        match self {
            Self::Height => size.height,
            Self::Width => size.width,
            Self::Channels => size.channels,
        }
    }

    /// The size of images in which it has another length.
    pub(super) fn resized(self, size: Size, length: usize) -> Size {
        match self {
            Self::Height => Size { height: length, ..size },
            Self::Width => Size { width: length, ..size },
            Self::Channels => Size { channels: length, ..size },
        }
    }

    /// What stands along it, in words.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Height => "rows",
            Self::Width => "columns",
            Self::Channels => "channels",
        }
    }

    /// The lengths of the two others, in words.
    pub(super) fn others(self) -> &'static str {
        match self {
            Self::Height => "number of channels and width",
            Self::Width => "number of channels and height",
            Self::Channels => "height and width",
        }
    }
}

/// One number for both axes, or (height, width): equal where the numbers are, however they are written.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pair {
    /// The same along height and width.
    Both(usize),
    /// Along height, along width.
    Each([usize; 2]),
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.values() == other.values()
    }
}

impl Pair {
    pub(crate) fn values(self) -> [usize; 2] {
        match self {
            Self::Both(value) => [value; 2],
            Self::Each(values) => values,
        }
    }

    pub(super) fn one() -> Self {
        Self::Both(1)
    }

    pub(super) fn is_one(&self) -> bool {
        self.values() == [1, 1]
    }
}

/// Padding: one number for all sides, (height, width), or a number for each side; equal where the numbers are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sides {
    /// The same along height and width, or each.
    Pair(Pair),
    /// A number for each side.
    Each {
        /// Rows above.
        top: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the left.
        left: usize,
        /// Columns to the right.
        right: usize,
    },
}

impl PartialEq for Sides {
    fn eq(&self, other: &Self) -> bool {
        self.padding() == other.padding()
    }
}

impl Sides {
    pub(super) fn none() -> Self {
        Self::Pair(Pair::Both(0))
    }

    pub(super) fn is_none(&self) -> bool {
        self.padding() == Padding::default()
    }

    /// The rows and columns on each side.
    pub fn padding(self) -> Padding {
        match self {
            Self::Pair(pair) => {
                let [height, width] = pair.values();
                Padding { top: height, bottom: height, left: width, right: width }
            }
            Self::Each { top, bottom, left, right } => Padding { top, bottom, left, right },
        }
    }
}

pub(super) fn default_true() -> bool {
    true
}

pub(super) fn is_true(value: &bool) -> bool {
    *value
}

pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn one() -> usize {
    1
}

pub(super) fn is_one(value: &usize) -> bool {
    *value == 1
}

/// PyTorch's default of what normalisations add to variances.
pub(super) fn epsilon() -> f64 {
    1e-5
}

/// Refuses what cannot be added to a variance.
pub(super) fn check_epsilon(epsilon: f64) -> Result<(), String> {
    match epsilon.is_finite() && epsilon >= 0.0 {
        true => Ok(()),
        false => Err("a finite eps of at least 0".into()),
    }
}

/// The one input of an operation that reads one.
pub(super) fn single(inputs: &[Size]) -> Result<Size, String> {
    match inputs {
        [size] => Ok(*size),
        _ => Err("one input".into()),
    }
}

/// An image of this height and width, where there is one.
pub(super) fn fit(output: Option<(usize, usize)>, channels: usize) -> Result<Size, String> {
    match output {
        Some((height, width)) if height > 0 && width > 0 => Ok(Size { channels, height, width }),
        _ => Err("an image that the kernel fits into".into()),
    }
}

/// Refuses windows that stand still, and those too long to be meant.
pub(super) fn check_window(window: &Window) -> Result<(), String> {
    let Window { kernel, stride, padding, dilation } = *window;
    let steps = [kernel, stride, dilation].concat();
    let sides = [padding.top, padding.bottom, padding.left, padding.right];
    match steps.contains(&0) || steps.iter().chain(&sides).any(|&length| length > LONGEST) {
        true => Err(format!("a kernel, stride and dilation from 1 to {LONGEST}, padding up to {LONGEST}")),
        false => Ok(()),
    }
}

/// Refuses groups that do not divide the channels before and after.
pub(super) fn check_groups(groups: usize, before: usize, after: usize) -> Result<(), String> {
    match groups > 0 && before.is_multiple_of(groups) && after.is_multiple_of(groups) {
        true => Ok(()),
        false => Err(format!("channels that {groups} groups divide")),
    }
}

/// Refuses padding too long to be meant.
pub(super) fn check_padding(lengths: &[usize]) -> Result<(), String> {
    match lengths.iter().any(|&length| length > LONGEST) {
        true => Err(format!("padding up to {LONGEST}")),
        false => Ok(()),
    }
}
