//! Group normalisation.

use serde::{Deserialize, Serialize};

use super::settings::{check_epsilon, epsilon, single};
use super::{Compute, Computed, Cotangent, Operation, ParameterSpec, Site, Start};
use crate::net::size::Size;
use crate::ops::group_norm::{Groups, group_norm, pullback};
use crate::tensor::{Batch, Element, Tape};

/// Groups of neighbouring channels at all places of an image, less their mean and divided by their deviation; weight, bias (C). With as
/// many groups as channels it is instance normalisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupNorm {
    /// The number of groups.
    pub groups: usize,
    /// Added to the variance.
    #[serde(default = "epsilon")]
    pub eps: f64,
}

impl GroupNorm {
    fn settings(&self) -> Groups {
        Groups { groups: self.groups, epsilon: self.eps }
    }
}

impl Operation for GroupNorm {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        check_epsilon(self.eps)?;
        let size = single(inputs)?;
        match self.groups > 0 && size.channels.is_multiple_of(self.groups) {
            true => Ok(size),
            false => Err(format!("channels that {} groups divide", self.groups)),
        }
    }

    fn parameters(&self, inputs: &[Size]) -> Vec<ParameterSpec> {
        ParameterSpec::of_channels(inputs, &[("weight", Start::Ones), ("bias", Start::Zeros)])
    }
}

impl Compute for GroupNorm {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let [gain, bias] = [&site.form.parameters[0], &site.form.parameters[1]];
        group_norm(tape, site.x(), gain, bias, self.settings()).into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![pullback(tape, cotangent.value, site.x(), &site.form.parameters[0], self.settings())]
    }
}

#[cfg(test)]
impl super::Examples for GroupNorm {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        [1, 2, 4].map(|groups| (Self { groups, eps: 1e-3 }, vec![Size::new(4, 2, 2)])).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_do_not_divide_the_channels_are_refused() {
        let of = |groups, eps| GroupNorm { groups, eps }.output(&[Size::new(4, 2, 2)]);
        assert_eq!(of(2, 0.0), Ok(Size::new(4, 2, 2)));
        assert_eq!(of(3, 0.0), Err("channels that 3 groups divide".into()));
        assert_eq!(of(0, 0.0), Err("channels that 0 groups divide".into()));
        assert_eq!(of(2, f64::NAN), Err("a finite eps of at least 0".into()));
    }
}
