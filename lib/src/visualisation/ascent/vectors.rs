//! Sums, norms and steps of vectors.

use crate::tensor::{Batch, Element, view, view_mut};

pub(super) fn sum<E: Element>(mut a: Batch<E>, b: &Batch<E>) -> Batch<E> {
    view_mut(&mut a).iter_mut().zip(view(b)).for_each(|(a, &b)| *a += b);
    a
}

/// s += length gradient / norm, where there is a gradient. In f64: for subnormal gradients the factor is outside single precision.
pub(super) fn step_along<E: Element>(s: &mut [E], gradient: &[E], norm: f64, length: f64) {
    if norm > 0.0 {
        s.iter_mut().zip(gradient).for_each(|(s, gradient)| *s += E::of(length * (gradient.wide() / norm)));
    }
}

/// The Euclidean norm, summed in f64.
pub(super) fn norm<E: Element>(values: &[E]) -> f64 {
    values.iter().map(|value| value.wide() * value.wide()).sum::<f64>().sqrt()
}
