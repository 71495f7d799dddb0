//! elu(x) and elu([x, -x]), and their slopes.

use crate::ops::Kernel;
use crate::tensor::Element;

/// elu([x, -x]) of a pixel: elu(x), elu(-x).
pub(crate) struct ConcatElu;

impl<E: Element> Kernel<(&[E], &mut [E], &mut [E])> for ConcatElu {
    type Output = ();

    #[inline(always)]
    fn run((x, positive, negative): (&[E], &mut [E], &mut [E])) {
        concat_elu(x, positive, negative);
    }
}

/// elu(x).
#[inline(always)]
pub(crate) fn elu<E: Element>(x: &[E], y: &mut [E]) {
    for (&x, y) in x.iter().zip(y) {
        let below = x.min(E::zero()).exponential() - E::one();
        *y = if x > E::zero() { x } else { below };
    }
}

/// elu(x) and elu(-x): one of them needs the exponential.
#[inline(always)]
pub(super) fn concat_elu<E: Element>(x: &[E], positive: &mut [E], negative: &mut [E]) {
    for ((&x, positive), negative) in x.iter().zip(positive).zip(negative) {
        let below = (-x.abs()).exponential() - E::one();
        *positive = if x > E::zero() { x } else { below };
        *negative = if x > E::zero() { below } else { -x };
    }
}

/// elu'(x) = elu(x) + 1 below zero, 1 above.
#[inline(always)]
pub(super) fn add_sloped<E: Element>(gradient: &mut [E], cotangent: &[E], values: &[E]) {
    for ((gradient, &cotangent), &value) in gradient.iter_mut().zip(cotangent).zip(values) {
        *gradient += cotangent * (value.min(E::zero()) + E::one());
    }
}

/// As [`add_sloped`] for elu(x), minus that for elu(-x); values are scaled by 1 / `unscale`.
#[inline(always)]
pub(super) fn add_both<E: Element>(gradient: &mut [E], cotangents: [&[E]; 2], values: [&[E]; 2], unscale: E) {
    let slope = |value: E| (value * unscale).min(E::zero()) + E::one();
    let pairs = cotangents[0].iter().zip(cotangents[1]).zip(values[0].iter().zip(values[1]));
    for (gradient, ((&up, &down), (&above, &below))) in gradient.iter_mut().zip(pairs) {
        *gradient += up * slope(above) - down * slope(below);
    }
}
