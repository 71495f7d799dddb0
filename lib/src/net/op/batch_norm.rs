//! Batch normalisation.

use serde::{Deserialize, Serialize};

use super::settings::{epsilon, single};
use super::{Affine, Compute, Computed, Cotangent, Operation, ParameterSpec, Site, Start};
use crate::net::size::Size;
use crate::ops::activation::{before_rectifier, rectified};
use crate::ops::batch_norm::{self, Statistics, batch_norm, batch_norm_training};
use crate::tensor::{Batch, Element, Tape, view};

/// Batch normalisation per channel; weight, bias, running_mean, running_var (C).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Added to the variance.
    #[serde(default = "epsilon")]
    pub eps: f64,
    /// Share of a batch in the running statistics.
    #[serde(default = "momentum")]
    pub momentum: f64,
}

fn momentum() -> f64 {
    0.1
}

impl Operation for BatchNorm {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        single(inputs)
    }

    fn parameters(&self, inputs: &[Size]) -> Vec<ParameterSpec> {
        let shape = vec![inputs.first().map_or(0, |size| size.channels)];
        let spec = |name, trained, start| ParameterSpec { name, shape: shape.clone(), trained, start };
        vec![
            spec("weight", true, Start::Ones),
            spec("bias", true, Start::Zeros),
            spec("running_mean", false, Start::Zeros),
            spec("running_var", false, Start::Ones),
        ]
    }

    fn takes_rectifier(&self) -> bool {
        true
    }
}

impl Compute for BatchNorm {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let [gain, bias, mean, variance] = std::array::from_fn(|which| &site.form.parameters[which]);
        if site.training.is_none() {
            let running = Statistics::running(mean, variance);
            return batch_norm(tape, site.x(), [gain, bias], &running, site.rectifier, self.eps).into();
        }
        let (y, statistics) = batch_norm_training(tape, site.x(), gain, bias, self.eps);
        let (mean, variance) = statistics.update((mean, variance), self.momentum);
        Computed { value: rectified(tape, y, site.rectifier), running: vec![(2, mean), (3, variance)] }
    }

    fn pullback<E: Element>(
        &self,
        tape: &mut Tape<E>,
        site: &Site<E>,
        Cotangent { value, slopes }: Cotangent<E>,
    ) -> Vec<Batch<E>> {
        let [gain, _, mean, variance] = std::array::from_fn(|which| &site.form.parameters[which]);
        vec![if site.training.is_none() {
            batch_norm::pullback(tape, value, slopes, gain, &Statistics::running(mean, variance), self.eps)
        } else {
            let cotangent = before_rectifier(tape, value, slopes);
            batch_norm::pullback_training(tape, &cotangent, site.x(), gain, self.eps)
        }]
    }

    /// y = g (x - m) / sqrt(v + e) + c.
    fn affine<E: Element>(&self, parameters: &[Batch<E>]) -> Option<Affine> {
        let [gain, bias, mean, variance] = std::array::from_fn(|which| view(&parameters[which]));
        let wide = |values: &[E]| values.iter().map(|value| value.wide()).collect::<Vec<f64>>();
        let scales = gain.iter().zip(variance);
        let scale = scales.map(|(gain, variance)| gain.wide() / (variance.wide() + self.eps).sqrt()).collect();
        Some(Affine { mean: wide(mean), scale, shift: wide(bias) })
    }
}

#[cfg(test)]
impl super::Examples for BatchNorm {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { eps: 1e-3, momentum: 0.25 }, vec![Size::new(3, 2, 2)])]
    }
}
