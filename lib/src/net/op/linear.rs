//! Linear map of a vector, or of the channels at each place, and how a scale and a shift of each output fold into weights.

use serde::{Deserialize, Serialize};

use super::settings::{default_true, is_false, is_true, single};
use super::{Affine, Compute, Computed, Cotangent, Form, Op, Operation, ParameterSpec, Site};
use crate::net::size::Size;
use crate::ops::linear;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};

/// Linear map of a vector, or of the channels at each place; weight (features, F), bias (features).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Output features.
    pub features: usize,
    /// Whether there is a bias.
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub bias: bool,
    /// Whether it maps the channels at each place of an image, as layers of transformers do; otherwise it takes vectors alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub every_place: bool,
}

impl Linear {
    /// A map of vectors.
    pub fn new(features: usize, bias: bool) -> Self {
        Self { features, bias, every_place: false }
    }
}

impl Operation for Linear {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let size = single(inputs)?;
        match self.every_place || size.is_vector() {
            true => Ok(Size { channels: self.features, ..size }),
            false => Err("a vector (put a flatten node before it, or set every_place)".into()),
        }
    }

    fn parameters(&self, inputs: &[Size]) -> Vec<ParameterSpec> {
        let weight = vec![self.features, inputs.first().map_or(0, |size| size.channels)];
        ParameterSpec::of_layer(weight, self.bias.then_some(self.features))
    }

    fn takes_rectifier(&self) -> bool {
        true
    }

    fn without_bias(&self) -> Option<Op> {
        Some(Self { bias: false, ..self.clone() }.into())
    }
}

impl Compute for Linear {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let (weight, bias) = (site.form.weight(tape), site.form.parameters.get(1));
        linear::linear(tape, site.x(), weight, bias, site.rectifier, site.gradient).into()
    }

    fn adjoint<E: Element>(
        &self,
        tape: &mut Tape<E>,
        form: Form<E>,
        Cotangent { value, slopes }: Cotangent<E>,
    ) -> Option<Batch<E>> {
        Some(linear::adjoint(tape, value, slopes, &form.parameters[0]))
    }

    fn absorb<E: Element>(&self, parameters: &[Batch<E>], by: &Affine) -> Option<(Op, Vec<Batch<E>>)> {
        Some((Self { bias: true, ..self.clone() }.into(), scaled(parameters, by)))
    }
}

/// Weight and bias of s (W x + b - m) + t: W' = s W, b' = s (b - m) + t, of each output.
pub(super) fn scaled<E: Element>(parameters: &[Batch<E>], Affine { mean, scale, shift }: &Affine) -> Vec<Batch<E>> {
    let weight = &parameters[0];
    let row = (view(weight).len() / scale.len()).max(1);
    let rows = view(weight).chunks_exact(row).zip(scale);
    let weights = rows.flat_map(|(row, &scale)| row.iter().map(move |value| E::of(value.wide() * scale))).collect();
    let bias = |channel: usize| parameters.get(1).map_or(0.0, |bias| view(bias)[channel].wide());
    let shifted = |channel: usize| E::of((bias(channel) - mean[channel]) * scale[channel] + shift[channel]);
    let biases: Vec<E> = (0..scale.len()).map(shifted).collect();
    let channels = biases.len();
    vec![batch(weights, shape(weight)), batch(biases, (1, 1, 1, channels))]
}

#[cfg(test)]
impl super::Examples for Linear {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let vector = vec![Size::new(5, 1, 1)];
        vec![
            (Self::new(3, true), vector.clone()),
            (Self::new(6, false), vector),
            (Self { every_place: true, ..Self::new(3, true) }, vec![Size::new(5, 3, 2)]),
        ]
    }
}
