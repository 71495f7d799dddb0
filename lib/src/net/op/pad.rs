//! Zeros around an image.

use dfdx::prelude::{Cpu, Tape};
use serde::{Deserialize, Serialize};

use super::settings::{check_padding, single};
use super::{Compute, Computed, Cotangent, Form, Operation, Sides, Site};
use crate::net::size::Size;
use crate::ops::pad::{Frame, crop, pad};
use crate::ops::window::Padding;
use crate::tensor::{Batch, Element};

/// Zeros around an image, and channels of zeros before and after its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Rows and columns of zeros.
    #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
    pub padding: Sides,
    /// Channels of zeros before and after.
    #[serde(default)]
    pub channels: [usize; 2],
}

impl Pad {
    fn frame(&self) -> Frame {
        Frame { padding: self.padding.padding(), channels: self.channels }
    }
}

impl Operation for Pad {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let (size, Frame { padding, channels: [before, after] }) = (single(inputs)?, self.frame());
        let Padding { top, bottom, left, right } = padding;
        check_padding(&[top, bottom, left, right, before, after])?;
        Ok(Size::new(size.channels + before + after, size.height + top + bottom, size.width + left + right))
    }
}

impl Compute for Pad {
    fn forward<E: Element, T: Tape<E, Cpu>>(&self, tape: &mut T, site: &Site<E>) -> Computed<E> {
        pad(tape, site.x(), self.frame()).into()
    }

    fn adjoint<E: Element, T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        _form: Form<E>,
        cotangent: Cotangent<E>,
    ) -> Option<Batch<E>> {
        Some(crop(tape, cotangent.value, self.frame()))
    }
}

#[cfg(test)]
impl super::Examples for Pad {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let padding = Sides::Each { top: 1, bottom: 0, left: 0, right: 2 };
        vec![(Self { padding, channels: [1, 2] }, vec![Size::new(2, 2, 3)])]
    }
}
