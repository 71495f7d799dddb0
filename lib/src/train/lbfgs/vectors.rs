//! Sums over vectors in f64 and in a fixed order.

use rayon::prelude::*;

use crate::tensor::{Element, GRAIN};

/// The sum of `product` over pairs, in blocks whose sums are added in their order, whatever the threads.
fn sum<A: Sync, B: Sync>(a: &[A], b: &[B], product: impl Fn(&A, &B) -> f64 + Sync) -> f64 {
    let blocks = a.par_chunks(GRAIN).zip(b.par_chunks(GRAIN));
    let blocks = blocks.map(|(a, b)| a.iter().zip(b).map(|(a, b)| product(a, b)).sum::<f64>());
    blocks.collect::<Vec<f64>>().into_iter().sum()
}

pub(super) fn dot<E: Element>(a: &[E], b: &[E]) -> f64 {
    sum(a, b, |a, b| a.wide() * b.wide())
}

pub(super) fn dot_wide<E: Element>(a: &[f64], b: &[E]) -> f64 {
    sum(a, b, |a, b| a * b.wide())
}

pub(super) fn norm<E: Element>(values: &[E]) -> f64 {
    dot(values, values).sqrt()
}

/// target += factor values.
pub(super) fn add<E: Element>(target: &mut [f64], factor: f64, values: &[E]) {
    let pairs = target.par_iter_mut().zip(values).with_min_len(GRAIN);
    pairs.for_each(|(target, value)| *target += factor * value.wide());
}

pub(super) fn difference<E: Element>(a: &[E], b: &[E]) -> Vec<E> {
    a.par_iter().zip(b).with_min_len(GRAIN).map(|(&a, &b)| a - b).collect()
}
