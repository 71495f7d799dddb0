//! Max pooling, and the window that poolings share.

use serde::{Deserialize, Serialize};

use super::settings::{check_window, fit, is_false, single};
use super::{Compute, Computed, Cotangent, Operation, Pair, Sides, Site};
use crate::net::size::Size;
use crate::ops::pooling::{End, Pooling, max_pool, max_pool_pullback};
use crate::ops::window::{Padding, Window};
use crate::tensor::{Batch, Element, Tape};

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
    /// Steps between a window's pixels.
    #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
    pub dilation: Pair,
    /// Whether a window may hang over the end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ceil_mode: bool,
}

/// The windows of a pooling.
pub(super) fn windows(kernel: Pair, stride: Option<Pair>, padding: Sides, dilation: Pair, ceil_mode: bool) -> Pooling {
    let (stride, dilation) = (stride.unwrap_or(kernel).values(), dilation.values());
    let window = Window { kernel: kernel.values(), stride, padding: padding.padding(), dilation };
    Pooling { window, end: if ceil_mode { End::Over } else { End::Within } }
}

/// The size of what a pooling makes of its one input.
pub(super) fn pooled(pooling: &Pooling, inputs: &[Size]) -> Result<Size, String> {
    let size = single(inputs)?;
    check_window(&pooling.window)?;
    let Window { kernel, dilation, padding: Padding { top, bottom, left, right }, .. } = pooling.window;
    let reach = |axis: usize| (kernel[axis] - 1) * dilation[axis] + 1;
    if top.max(bottom) * 2 > reach(0) || left.max(right) * 2 > reach(1) {
        return Err("padding of at most half the kernel".into());
    }
    if !pooling.holds_pixels(size.height, size.width) {
        return Err("a pixel of the image in each window".into());
    }
    fit(pooling.output(size.height, size.width), size.channels)
}

impl MaxPool2d {
    fn pooling(&self) -> Pooling {
        windows(self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
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
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        max_pool(tape, site.x(), self.pooling()).into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![max_pool_pullback(tape, cotangent.value, site.x(), self.pooling())]
    }
}

#[cfg(test)]
impl super::Examples for MaxPool2d {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let padding = Sides::Pair(Pair::Both(1));
        let dense = Pair::one();
        let over =
            Self { kernel: Pair::Both(3), stride: Some(Pair::Both(2)), padding, dilation: dense, ceil_mode: true };
        let within = Self {
            kernel: Pair::Each([2, 1]),
            stride: None,
            padding: Sides::none(),
            dilation: dense,
            ceil_mode: false,
        };
        let dilated = Self { dilation: Pair::Each([1, 2]), stride: Some(dense), ..over.clone() };
        let size = Size::new(2, 5, 6);
        vec![(over, vec![size]), (within, vec![Size::new(2, 5, 3)]), (dilated, vec![size])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_holds_no_pixel_is_refused() {
        let padded = |dilation, size| {
            let (kernel, padding) = (Pair::Both(2), Sides::Pair(Pair::Both(2)));
            let op = MaxPool2d {
                kernel,
                stride: Some(Pair::one()),
                padding,
                dilation: Pair::Both(dilation),
                ceil_mode: false,
            };
            op.output(&[Size::new(2, size, size)])
        };
        assert_eq!(padded(3, 5), Ok(Size::new(2, 6, 6)));
        // Two pixels before the image and two after it.
        assert_eq!(padded(4, 1), Err("a pixel of the image in each window".into()));
        assert_eq!(padded(1, 5), Err("padding of at most half the kernel".into()));
    }
}
