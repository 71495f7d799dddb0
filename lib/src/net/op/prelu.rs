//! Rectifiers whose slope below zero is trained.

use serde::{Deserialize, Serialize};

use super::settings::{is_false, single};
use super::{Compute, Computed, Cotangent, Operation, ParameterSpec, Site, Start};
use crate::net::size::Size;
use crate::ops::pairwise::{Pairwise, pairwise, pullback};
use crate::tensor::{Batch, Element, Tape};

/// x, or weight x below zero (He et al. 2015); weight (C), a slope for each channel, or (1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prelu {
    /// Whether all channels share one slope.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared: bool,
}

impl Operation for Prelu {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        single(inputs)
    }

    fn parameters(&self, inputs: &[Size]) -> Vec<ParameterSpec> {
        let channels = inputs.first().map_or(0, |size| size.channels);
        let shape = vec![if self.shared { 1 } else { channels }];
        vec![ParameterSpec { name: "weight", shape, trained: true, start: Start::Quarters }]
    }
}

impl Compute for Prelu {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        pairwise(tape, site.x(), &site.form.parameters[0], Pairwise::Rectify).into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![pullback(tape, cotangent.value, [site.x(), &site.form.parameters[0]], Pairwise::Rectify, 0)]
    }
}

#[cfg(test)]
impl super::Examples for Prelu {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        [false, true].map(|shared| (Self { shared }, vec![Size::new(3, 2, 2)])).to_vec()
    }
}
