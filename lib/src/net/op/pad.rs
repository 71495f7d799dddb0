//! Values around an image.

use serde::{Deserialize, Serialize};

use super::settings::{check_padding, is_default, single};
use super::{Compute, Computed, Cotangent, Form, Operation, Sides, Site};
use crate::net::size::Size;
use crate::ops::pad::{Beyond, Frame, continued, continued_pullback, crop, pad};
use crate::ops::window::Padding;
use crate::tensor::{Batch, Element, Tape};

/// Zeros around an image, or a value, or what continues the image, and channels of it before and after its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Rows and columns around the image.
    #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
    pub padding: Sides,
    /// Channels before and after.
    #[serde(default)]
    pub channels: [usize; 2],
    /// What stands there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: PadMode,
    /// The value that stands there instead of zeros.
    #[serde(default, skip_serializing_if = "is_default")]
    pub value: f64,
}

/// What stands around an image. `net.json` writes its name in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PadMode {
    /// Zeros, or the value.
    #[default]
    Zeros,
    /// The image mirrored in its first and last pixels, which do not repeat.
    Reflect,
    /// Its first and last pixels.
    Edge,
    /// The image again.
    Wrap,
}

impl PadMode {
    /// How it continues the image.
    fn beyond(self) -> Option<Beyond> {
        match self {
            Self::Zeros => None,
            Self::Reflect => Some(Beyond::Reflect),
            Self::Edge => Some(Beyond::Edge),
            Self::Wrap => Some(Beyond::Wrap),
        }
    }
}

impl Pad {
    /// Zeros around an image, and channels of zeros before and after its own.
    pub fn zeros(padding: Sides, channels: [usize; 2]) -> Self {
        Self { padding, channels, mode: PadMode::Zeros, value: 0.0 }
    }

    fn frame(&self) -> Frame {
        Frame { padding: self.padding.padding(), channels: self.channels }
    }
}

impl Operation for Pad {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let (size, Frame { padding, channels: [before, after] }) = (single(inputs)?, self.frame());
        let Padding { top, bottom, left, right } = padding;
        check_padding(&[top, bottom, left, right, before, after])?;
        if self.value != 0.0 && self.mode != PadMode::Zeros {
            return Err("a value with the mode zeros alone".into());
        }
        if !self.value.is_finite() {
            return Err("a finite value".into());
        }
        Ok(Size::new(size.channels + before + after, size.height + top + bottom, size.width + left + right))
    }
}

impl Compute for Pad {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        match self.mode.beyond() {
            Some(beyond) => continued(tape, site.x(), self.frame(), beyond),
            None => pad(tape, site.x(), self.frame(), E::of(self.value)),
        }
        .into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, _form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        Some(match self.mode.beyond() {
            Some(beyond) => continued_pullback(tape, cotangent.value, self.frame(), beyond),
            None => crop(tape, cotangent.value, self.frame()),
        })
    }
}

#[cfg(test)]
impl super::Examples for Pad {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let padding = Sides::Each { top: 1, bottom: 0, left: 0, right: 2 };
        let zeros = Self::zeros(padding, [1, 2]);
        let value = Self { value: 1.5, ..zeros.clone() };
        let modes = [PadMode::Reflect, PadMode::Edge, PadMode::Wrap].map(|mode| Self { mode, ..zeros.clone() });
        [zeros, value].into_iter().chain(modes).map(|pad| (pad, vec![Size::new(2, 2, 3)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::net::op::Op;

    #[test]
    fn a_frame_of_zeros_is_written_as_ever() {
        let json = json!({"op": "pad", "padding": [1, 2], "channels": [0, 3]});
        let op: Op = serde_json::from_value(json.clone()).expect("an operation");
        assert_eq!(op, Pad::zeros(Sides::Pair(super::super::Pair::Each([1, 2])), [0, 3]).into());
        assert_eq!(serde_json::to_value(op).expect("JSON"), json);
    }

    #[test]
    fn a_value_that_stands_nowhere_is_refused() {
        let of = |mode, value| Pad { mode, value, ..Pad::zeros(Sides::none(), [1, 0]) }.output(&[Size::new(2, 2, 3)]);
        assert_eq!(of(PadMode::Zeros, 1.5), Ok(Size::new(3, 2, 3)));
        assert_eq!(of(PadMode::Edge, 1.5), Err("a value with the mode zeros alone".into()));
        assert_eq!(of(PadMode::Zeros, f64::NAN), Err("a finite value".into()));
    }
}
