//! Average pooling, of windows and of whole channels.

use serde::{Deserialize, Serialize};

use super::max_pool::{pooled, windows};
use super::settings::{default_true, is_false, is_true, single};
use super::{Compute, Computed, Cotangent, Form, Operation, Pair, Sides, Site};
use crate::net::size::Size;
use crate::ops::pooling::{Divisor, Pooling, average_pool, average_pool_pullback};
use crate::ops::window::Window;
use crate::tensor::{Batch, Element, Tape};

/// The mean of a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool2d {
    /// Window height and width.
    pub kernel: Pair,
    /// Steps between windows; the kernel's size where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Pair>,
    /// Zeros around the input.
    #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
    pub padding: Sides,
    /// Whether a window may hang over the end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ceil_mode: bool,
    /// Whether padding counts in the mean.
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub count_include_pad: bool,
}

impl AvgPool2d {
    fn pooling(&self) -> Pooling {
        windows(self.kernel, self.stride, self.padding, Pair::one(), self.ceil_mode)
    }

    fn divisor(&self) -> Divisor {
        if self.count_include_pad { Divisor::Padded } else { Divisor::Inside }
    }
}

impl Operation for AvgPool2d {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        pooled(&self.pooling(), inputs)
    }

    fn window(&self) -> Option<Window> {
        Some(self.pooling().window)
    }
}

impl Compute for AvgPool2d {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        average_pool(tape, site.x(), self.pooling(), self.divisor()).into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        let from = form.from();
        let size = (from.height, from.width);
        Some(average_pool_pullback(tape, cotangent.value, self.pooling(), self.divisor(), size))
    }
}

#[cfg(test)]
impl super::Examples for AvgPool2d {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let padded = Self {
            kernel: Pair::Both(2),
            stride: Some(Pair::Both(1)),
            padding: Sides::Pair(Pair::Both(1)),
            ceil_mode: false,
            count_include_pad: false,
        };
        let counted = Self { ceil_mode: true, stride: Some(Pair::Both(2)), count_include_pad: true, ..padded.clone() };
        vec![(padded, vec![Size::new(2, 3, 4)]), (counted, vec![Size::new(2, 4, 3)])]
    }
}

/// The mean of each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalAvgPool;

impl Operation for GlobalAvgPool {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        Ok(Size::new(single(inputs)?.channels, 1, 1))
    }
}

impl Compute for GlobalAvgPool {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let from = site.form.from();
        average_pool(tape, site.x(), Pooling::whole(from.height, from.width), Divisor::Inside).into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        let from = form.from();
        let (whole, size) = (Pooling::whole(from.height, from.width), (from.height, from.width));
        Some(average_pool_pullback(tape, cotangent.value, whole, Divisor::Inside, size))
    }
}

#[cfg(test)]
impl super::Examples for GlobalAvgPool {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self, vec![Size::new(2, 3, 4)])]
    }
}
