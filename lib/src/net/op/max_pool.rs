//! Max pooling, and the window that poolings share.

use dfdx::prelude::{Cpu, Tape};
use serde::{Deserialize, Serialize};

use super::settings::{check_window, fit, is_false, single};
use super::{Compute, Computed, Cotangent, Operation, Pair, Sides, Site};
use crate::net::size::Size;
use crate::ops::pooling::{End, Pooling, max_pool, max_pool_pullback};
use crate::ops::window::{Padding, Window};
use crate::tensor::{Batch, Element};

/// The largest value of a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
    /// Window height and width.
    pub kernel: Pair,
    /// Steps between windows; the kernel's size where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Pair>,
    /// Padding, never the largest.
    #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
    pub padding: Sides,
    /// Whether a window may hang over the end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ceil_mode: bool,
}

/// The windows of a pooling.
pub(super) fn windows(kernel: Pair, stride: Option<Pair>, padding: Sides, ceil_mode: bool) -> Pooling {
    let stride = stride.unwrap_or(kernel).values();
    let window = Window { kernel: kernel.values(), stride, padding: padding.padding(), dilation: [1, 1] };
    Pooling { window, end: if ceil_mode { End::Over } else { End::Within } }
}

/// The size of what a pooling makes of its one input.
pub(super) fn pooled(pooling: &Pooling, inputs: &[Size]) -> Result<Size, String> {
    let size = single(inputs)?;
    check_window(&pooling.window)?;
    let (Padding { top, bottom, left, right }, kernel) = (pooling.window.padding, pooling.window.kernel);
    if top.max(bottom) * 2 > kernel[0] || left.max(right) * 2 > kernel[1] {
        return Err("padding of at most half the kernel".into());
    }
    fit(pooling.output(size.height, size.width), size.channels)
}

impl MaxPool2d {
    fn pooling(&self) -> Pooling {
        windows(self.kernel, self.stride, self.padding, self.ceil_mode)
    }
}

impl Operation for MaxPool2d {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        pooled(&self.pooling(), inputs)
    }

    fn window(&self) -> Option<Window> {
        Some(self.pooling().window)
    }
}

impl Compute for MaxPool2d {
    fn forward<E: Element, T: Tape<E, Cpu>>(&self, tape: &mut T, site: &Site<E>) -> Computed<E> {
        max_pool(tape, site.x(), self.pooling()).into()
    }

    fn pullback<E: Element, T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        site: &Site<E>,
        cotangent: Cotangent<E>,
    ) -> Vec<Batch<E>> {
        vec![max_pool_pullback(tape, cotangent.value, site.x(), self.pooling())]
    }
}

#[cfg(test)]
impl super::Examples for MaxPool2d {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let padding = Sides::Pair(Pair::Both(1));
        let over = Self { kernel: Pair::Both(3), stride: Some(Pair::Both(2)), padding, ceil_mode: true };
        let within = Self { kernel: Pair::Each([2, 1]), stride: None, padding: Sides::none(), ceil_mode: false };
        vec![(over, vec![Size::new(2, 5, 6)]), (within, vec![Size::new(2, 5, 3)])]
    }
}
