//! The values of an image in another order.

use serde::{Deserialize, Serialize};

use super::settings::single;
use super::{Compute, Computed, Cotangent, Form, Operation, Site};
use crate::net::size::Size;
use crate::ops::rearrange::{inverse, rearrange};
use crate::tensor::{Batch, Element, Tape};

/// The values of an image in memory order (height, width, channels), seen as an array of these axes, the axes put in this order, and the
/// array read as the memory of an image of this size. An order that moves nothing costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rearrange {
    /// The lengths of the array's axes, the outermost first.
    pub axes: Vec<usize>,
    /// Axis k of the result is axis `order[k]` of the array.
    pub order: Vec<usize>,
    /// The size of the result.
    pub size: Size,
}

impl Operation for Rearrange {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let mut sorted = self.order.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.axes.len()) {
            return Err(format!("an order of {} axes that names each once", self.axes.len()));
        }
        let elements = self.axes.iter().fold(1u128, |product, &axis| product.saturating_mul(axis as u128));
        match single(inputs)?.wide_elements() == elements && self.size.wide_elements() == elements {
            true => Ok(self.size),
            false => Err(format!("{elements} values, as the axes hold, before and after")),
        }
    }
}

impl Compute for Rearrange {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let to = site.form.size;
        rearrange(tape, site.x(), &self.axes, &self.order, (to.height, to.width, to.channels)).into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        let axes: Vec<usize> = self.order.iter().map(|&axis| self.axes[axis]).collect();
        let to = form.from();
        Some(rearrange(tape, cotangent.value, &axes, &inverse(&self.order), (to.height, to.width, to.channels)))
    }
}

#[cfg(test)]
impl super::Examples for Rearrange {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let of = |axes: &[usize], order: &[usize], size| Self { axes: axes.to_vec(), order: order.to_vec(), size };
        vec![
            // Heads before places.
            (of(&[4, 2, 3], &[1, 0, 2], Size::new(3, 2, 4)), vec![Size::new(6, 4, 1)]),
            (of(&[2, 3, 4], &[2, 0, 1], Size::new(6, 4, 1)), vec![Size::new(4, 2, 3)]),
            (of(&[6, 4], &[0, 1], Size::new(3, 2, 4)), vec![Size::new(4, 2, 3)]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_sizes_that_do_not_fit_are_refused() {
        let of = |axes: &[usize], order: &[usize]| {
            let op = Rearrange { axes: axes.to_vec(), order: order.to_vec(), size: Size::new(6, 1, 1) };
            op.output(&[Size::new(3, 2, 1)])
        };
        assert_eq!(of(&[2, 3], &[1, 0]), Ok(Size::new(6, 1, 1)));
        for order in [&[0][..], &[0, 0], &[1, 2], &[0, 1, 2]] {
            assert_eq!(of(&[2, 3], order), Err("an order of 2 axes that names each once".into()));
        }
        assert_eq!(of(&[2, 2], &[1, 0]), Err("4 values, as the axes hold, before and after".into()));
        assert!(of(&[usize::MAX, 2], &[1, 0]).is_err());
    }
}
