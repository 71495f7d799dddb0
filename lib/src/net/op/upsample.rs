//! Enlargements.

use serde::{Deserialize, Serialize};

use super::settings::{fit, single};
use super::{Compute, Computed, Cotangent, Form, Operation, Pair, Site};
use crate::net::size::Size;
use crate::ops::upsample::{bilinear, bilinear_pullback, nearest, nearest_pullback};
use crate::tensor::{Batch, Element, Tape};

/// Each pixel repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpsampleNearest {
    /// Times along both axes.
    pub factor: usize,
}

impl Operation for UpsampleNearest {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let size = single(inputs)?;
        let along = |length: usize| length.saturating_mul(self.factor);
        match self.factor {
            0 => Err("a factor of at least 1".into()),
            _ => Ok(Size { height: along(size.height), width: along(size.width), ..size }),
        }
    }
}

impl Compute for UpsampleNearest {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        nearest(tape, site.x(), self.factor).into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, _form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        Some(nearest_pullback(tape, cotangent.value, self.factor))
    }
}

#[cfg(test)]
impl super::Examples for UpsampleNearest {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { factor: 2 }, vec![Size::new(2, 2, 3)]), (Self { factor: 3 }, vec![Size::new(1, 2, 1)])]
    }
}

/// Bilinear interpolation with half-pixel centres.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpsampleBilinear {
    /// Height and width of the result.
    pub size: Pair,
}

impl Operation for UpsampleBilinear {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let [height, width] = self.size.values();
        fit(Some((height, width)), single(inputs)?.channels)
    }
}

impl Compute for UpsampleBilinear {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let to = site.form.size;
        bilinear(tape, site.x(), (to.height, to.width)).into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        let from = form.from();
        Some(bilinear_pullback(tape, cotangent.value, (from.height, from.width)))
    }
}

#[cfg(test)]
impl super::Examples for UpsampleBilinear {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let larger = Self { size: Pair::Each([4, 3]) };
        let smaller = Self { size: Pair::Both(2) };
        vec![(larger, vec![Size::new(2, 2, 2)]), (smaller, vec![Size::new(2, 3, 5)])]
    }
}
