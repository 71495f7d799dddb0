//! The same values as a vector or as an image, in the order of files: channels first.

use serde::{Deserialize, Serialize};

use super::settings::single;
use super::{Compute, Computed, Cotangent, Form, Operation, Site};
use crate::net::size::Size;
use crate::ops::reshape::{flatten, unflatten};
use crate::tensor::{Batch, Element, Tape};

/// An image as a vector, channels first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flatten;

impl Operation for Flatten {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        Ok(Size::new(single(inputs)?.elements(), 1, 1))
    }
}

impl Compute for Flatten {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        flatten(tape, site.x()).into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        let from = form.from();
        Some(unflatten(tape, cotangent.value, (from.channels, from.height, from.width)))
    }
}

#[cfg(test)]
impl super::Examples for Flatten {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self, vec![Size::new(2, 3, 2)])]
    }
}

/// A vector as an image, channels first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The image's channels, height and width.
    pub shape: [usize; 3],
}

impl Operation for Reshape {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let ([channels, height, width], size) = (self.shape, single(inputs)?);
        let to = Size::new(channels, height, width);
        match to.wide_elements() == size.wide_elements() {
            true => Ok(to),
            false => Err(format!("{} values", to.wide_elements())),
        }
    }
}

impl Compute for Reshape {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        reshaped(tape, site.x(), site.form.from(), site.form.size).into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        Some(reshaped(tape, cotangent.value, form.size, form.from()))
    }
}

/// The same values in channels-first order, as an image of another size.
fn reshaped<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, from: Size, to: Size) -> Batch<E> {
    let vector = if from.is_vector() { x.clone() } else { flatten(tape, x) };
    if to.is_vector() { vector } else { unflatten(tape, &vector, (to.channels, to.height, to.width)) }
}

#[cfg(test)]
impl super::Examples for Reshape {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![
            (Self { shape: [2, 3, 2] }, vec![Size::new(12, 1, 1)]),
            (Self { shape: [3, 2, 2] }, vec![Size::new(2, 3, 2)]),
            (Self { shape: [12, 1, 1] }, vec![Size::new(2, 3, 2)]),
        ]
    }
}
