//! Transposed convolution.

use serde::{Deserialize, Serialize};

use super::settings::{check_groups, check_window, default_true, fit, is_one, is_true, one, single};
use super::{Compute, Computed, Cotangent, Form, Op, Operation, Pair, ParameterSpec, Sides, Site};
use crate::net::size::Size;
use crate::ops::conv_transpose::{self, conv_transpose2d};
use crate::ops::convolution::Convolution;
use crate::ops::window::{Padding, Window};
use crate::tensor::{Batch, Element, Tape};

/// Transposed convolution; weight (C, channels / groups, kh, kw), bias (channels).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTranspose2d {
    /// Output channels.
    pub channels: usize,
    /// Kernel height and width.
    pub kernel: Pair,
    /// Steps between positions of the input in the output.
    #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
    pub stride: Pair,
    /// Rows and columns cut off the output.
    #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
    pub padding: Sides,
    /// Rows and columns added below and to the right.
    #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
    pub output_padding: Sides,
    /// Steps between the kernel's pixels.
    #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
    pub dilation: Pair,
    /// Groups of channels.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
    /// Whether there is a bias.
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub bias: bool,
}

impl ConvTranspose2d {
    /// The window of the convolution that this is the transposed of.
    fn slides(&self) -> Window {
        let (kernel, stride, dilation) = (self.kernel.values(), self.stride.values(), self.dilation.values());
        Window { kernel, stride, padding: self.padding.padding(), dilation }
    }

    /// That convolution.
    fn convolution(&self) -> Convolution {
        Convolution { window: self.slides(), groups: self.groups }
    }
}

impl Operation for ConvTranspose2d {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let (size, window) = (single(inputs)?, self.slides());
        check_window(&window)?;
        let added = self.output_padding.padding();
        if added.bottom >= window.stride[0] || added.right >= window.stride[1] {
            return Err("an output padding smaller than the stride".into());
        }
        check_groups(self.groups, size.channels, self.channels)?;
        let length = |axis: usize, length: usize, cut: usize, added: usize| {
            let reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
            (length.checked_sub(1)? * window.stride[axis] + reach + added).checked_sub(cut)
        };
        let Padding { top, bottom, left, right } = window.padding;
        let height = length(0, size.height, top + bottom, added.bottom);
        let width = length(1, size.width, left + right, added.right);
        fit(height.zip(width), self.channels)
    }

    fn parameters(&self, inputs: &[Size]) -> Vec<ParameterSpec> {
        let [kh, kw] = self.kernel.values();
        let channels = inputs.first().map_or(0, |size| size.channels);
        ParameterSpec::of_layer(vec![channels, self.channels / self.groups, kh, kw], self.bias.then_some(self.channels))
    }

    fn window(&self) -> Option<Window> {
        Some(self.slides())
    }

    fn takes_rectifier(&self) -> bool {
        true
    }

    fn without_bias(&self) -> Option<Op> {
        Some(Self { bias: false, ..self.clone() }.into())
    }
}

impl Compute for ConvTranspose2d {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let Form { parameters, size, .. } = site.form;
        let (weight, bias, to) = (&parameters[0], parameters.get(1), (size.height, size.width));
        conv_transpose2d(tape, site.x(), weight, bias, site.rectifier, self.convolution(), to, site.gradient).into()
    }

    fn adjoint<E: Element>(
        &self,
        tape: &mut Tape<E>,
        form: Form<E>,
        Cotangent { value, slopes }: Cotangent<E>,
    ) -> Option<Batch<E>> {
        Some(conv_transpose::pullback(tape, value, slopes, &form.parameters[0], self.convolution()))
    }
}

#[cfg(test)]
impl super::Examples for ConvTranspose2d {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let doubling = Self {
            channels: 2,
            kernel: Pair::Both(3),
            stride: Pair::Both(2),
            padding: Sides::Pair(Pair::one()),
            output_padding: Sides::Pair(Pair::one()),
            dilation: Pair::one(),
            groups: 1,
            bias: true,
        };
        let plain = Self {
            channels: 3,
            kernel: Pair::Each([2, 3]),
            stride: Pair::one(),
            padding: Sides::none(),
            output_padding: Sides::none(),
            dilation: Pair::one(),
            groups: 1,
            bias: false,
        };
        let dilated = Self { dilation: Pair::Each([3, 2]), ..doubling.clone() };
        let grouped = Self { channels: 4, groups: 2, ..doubling.clone() };
        vec![
            (doubling, vec![Size::new(3, 3, 2)]),
            (plain, vec![Size::new(2, 2, 3)]),
            (dilated, vec![Size::new(2, 2, 3)]),
            (grouped, vec![Size::new(2, 3, 2)]),
        ]
    }
}
