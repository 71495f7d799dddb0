//! Layer normalisation and RMS normalisation.

use serde::{Deserialize, Serialize};

use super::settings::{check_epsilon, epsilon, single};
use super::{Compute, Computed, Cotangent, Operation, ParameterSpec, Site, Start};
use crate::net::size::Size;
use crate::ops::layer_norm::{Norm, layer_norm, pullback, rms_norm};
use crate::tensor::{Batch, Element, Tape};

/// The channels at each place, less their mean and divided by their deviation; weight, bias (C).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    /// Added to the variance.
    #[serde(default = "epsilon")]
    pub eps: f64,
}

impl Operation for LayerNorm {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        check_epsilon(self.eps)?;
        single(inputs)
    }

    fn parameters(&self, inputs: &[Size]) -> Vec<ParameterSpec> {
        ParameterSpec::of_channels(inputs, &[("weight", Start::Ones), ("bias", Start::Zeros)])
    }
}

impl Compute for LayerNorm {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        layer_norm(tape, site.x(), &site.form.parameters[0], &site.form.parameters[1], self.eps).into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![pullback(tape, cotangent.value, site.x(), &site.form.parameters[0], Norm::Deviation(self.eps))]
    }
}

#[cfg(test)]
impl super::Examples for LayerNorm {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { eps: 1e-3 }, vec![Size::new(4, 2, 2)])]
    }
}

/// The channels at each place divided by the root of their mean square; weight (C).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsNorm {
    /// Added to the mean square.
    #[serde(default = "epsilon")]
    pub eps: f64,
}

impl Operation for RmsNorm {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        check_epsilon(self.eps)?;
        single(inputs)
    }

    fn parameters(&self, inputs: &[Size]) -> Vec<ParameterSpec> {
        ParameterSpec::of_channels(inputs, &[("weight", Start::Ones)])
    }
}

impl Compute for RmsNorm {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        rms_norm(tape, site.x(), &site.form.parameters[0], self.eps).into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![pullback(tape, cotangent.value, site.x(), &site.form.parameters[0], Norm::RootMeanSquare(self.eps))]
    }
}

#[cfg(test)]
impl super::Examples for RmsNorm {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { eps: 1e-3 }, vec![Size::new(3, 2, 2)])]
    }
}
