//! Values that are a network's own.

use serde::{Deserialize, Serialize};

use super::{Compute, Computed, Cotangent, Operation, ParameterSpec, Site, Start};
use crate::net::size::Size;
use crate::tensor::{Batch, Element, Tape};

/// A parameter as an image, such as the class token and the position embedding of a transformer: it reads no node, and its one image
/// stands for all. Parameter value (1, C, H, W).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Its channels, height and width, or its features.
    pub size: Size,
}

impl Operation for Constant {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        match inputs {
            [] => Ok(self.size),
            _ => Err("no input: its value is its own".into()),
        }
    }

    fn parameters(&self, _inputs: &[Size]) -> Vec<ParameterSpec> {
        let Size { channels, height, width } = self.size;
        let shape = vec![1, channels, height, width];
        vec![ParameterSpec { name: "value", shape, trained: true, start: Start::Zeros }]
    }
}

impl Compute for Constant {
    fn forward<E: Element>(&self, _tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        site.form.parameters[0].clone().into()
    }

    fn pullback<E: Element>(&self, _tape: &mut Tape<E>, _site: &Site<E>, _cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        Vec::new()
    }
}

#[cfg(test)]
impl super::Examples for Constant {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { size: Size::new(2, 3, 2) }, Vec::new())]
    }
}
