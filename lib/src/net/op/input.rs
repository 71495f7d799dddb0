//! Inputs of a network beside the first.

use serde::{Deserialize, Serialize};

use super::{Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::tensor::{Batch, Element, Tape};

/// An input of the network beside the first, such as a class: it reads no node. Its value is given, so that nothing computes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its channels, height and width, or its features.
    pub shape: Size,
}

impl Operation for Input {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        match inputs {
            [] => Ok(self.shape),
            _ => Err("no input: it is one itself".into()),
        }
    }
}

impl Compute for Input {
    fn forward<E: Element>(&self, _tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        site.x().clone().into()
    }

    fn pullback<E: Element>(&self, _tape: &mut Tape<E>, _site: &Site<E>, _cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        Vec::new()
    }
}

#[cfg(test)]
impl super::Examples for Input {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { shape: Size::new(2, 2, 2) }, Vec::new())]
    }
}
