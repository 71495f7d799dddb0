//! Convolution.

use serde::{Deserialize, Serialize};

use super::linear::scaled;
use super::settings::{check_groups, check_window, default_true, fit, is_one, is_true, one, single};
use super::{
    Affine, Compute, Computed, Cotangent, Form, Op, Operation, Pair, ParameterSpec, Sides, Site, UpsampleNearest,
};
use crate::net::size::Size;
use crate::ops::convolution::{Convolution, adjoint, convolve};
use crate::ops::enlarged;
use crate::ops::window::Window;
use crate::tensor::{Batch, Element, Tape};

/// Convolution; weight (channels, C / groups, kh, kw), bias (channels).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels.
    pub channels: usize,
    /// Kernel height and width.
    pub kernel: Pair,
    /// Steps between positions.
    #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
    pub stride: Pair,
    /// Zeros around the input.
    #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
    pub padding: Sides,
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

impl Conv2d {
    fn slides(&self) -> Window {
        Window {
            kernel: self.kernel.values(),
            stride: self.stride.values(),
            padding: self.padding.padding(),
            dilation: self.dilation.values(),
        }
    }

    fn convolution(&self) -> Convolution {
        Convolution { window: self.slides(), groups: self.groups }
    }
}

impl Operation for Conv2d {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let (size, window) = (single(inputs)?, self.slides());
        check_window(&window)?;
        check_groups(self.groups, size.channels, self.channels)?;
        fit(window.output(size.height, size.width), self.channels)
    }

    fn parameters(&self, inputs: &[Size]) -> Vec<ParameterSpec> {
        let [kh, kw] = self.kernel.values();
        let channels = inputs.first().map_or(0, |size| size.channels);
        let weight = vec![self.channels, channels / self.groups, kh, kw];
        ParameterSpec::of_layer(weight, self.bias.then_some(self.channels))
    }

    fn window(&self) -> Option<Window> {
        Some(self.slides())
    }

    fn takes_rectifier(&self) -> bool {
        true
    }

    /// A convolution after an enlargement does without enlarged images.
    fn takes_before(&self, before: &Op) -> bool {
        let doubles = matches!(before, Op::UpsampleNearest(UpsampleNearest { factor: 2 }));
        doubles && self.groups == 1 && enlarged::is_enlarging(&self.slides())
    }

    fn without_bias(&self) -> Option<Op> {
        Some(Self { bias: false, ..self.clone() }.into())
    }
}

impl Compute for Conv2d {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let Form { parameters, takes_before, .. } = site.form;
        let (weight, bias) = (site.form.weight(tape), parameters.get(1));
        match takes_before {
            true => enlarged::convolve(tape, site.x(), weight.values, bias, site.rectifier, site.gradient),
            false => convolve(tape, site.x(), weight, bias, site.rectifier, self.convolution(), site.gradient),
        }
        .into()
    }

    fn adjoint<E: Element>(
        &self,
        tape: &mut Tape<E>,
        form: Form<E>,
        Cotangent { value, slopes }: Cotangent<E>,
    ) -> Option<Batch<E>> {
        let (weight, from) = (form.weight(tape), form.from());
        Some(match form.takes_before {
            true => enlarged::adjoint(tape, value, slopes, weight.values),
            false => adjoint(tape, value, slopes, weight, self.convolution(), (from.height, from.width)),
        })
    }

    fn absorb<E: Element>(&self, parameters: &[Batch<E>], by: &Affine) -> Option<(Op, Vec<Batch<E>>)> {
        Some((Self { bias: true, ..self.clone() }.into(), scaled(parameters, by)))
    }
}

#[cfg(test)]
impl super::Examples for Conv2d {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let plain = Self {
            channels: 3,
            kernel: Pair::Both(3),
            stride: Pair::one(),
            padding: Sides::Pair(Pair::one()),
            dilation: Pair::one(),
            groups: 1,
            bias: true,
        };
        let uneven = Sides::Each { top: 0, bottom: 1, left: 2, right: 0 };
        let strided = Self { kernel: Pair::Each([2, 3]), stride: Pair::Each([2, 1]), padding: uneven, ..plain.clone() };
        let grouped = Self { channels: 4, groups: 2, bias: false, dilation: Pair::Both(2), ..plain.clone() };
        let depthwise = Self { channels: 4, groups: 4, ..plain.clone() };
        vec![
            (plain, vec![Size::new(2, 5, 6)]),
            (strided, vec![Size::new(2, 5, 4)]),
            (grouped, vec![Size::new(4, 5, 4)]),
            (depthwise, vec![Size::new(4, 4, 3)]),
        ]
    }
}
