//! Functions of straight lines, and one of parabolas.

use super::curve::Curve;
use super::{rectify, slope_at};
use crate::tensor::Element;

#[derive(Clone, Copy)]
pub(super) struct LeakyRelu {
    pub(super) slope: f64,
}

impl Curve for LeakyRelu {
    const FLAT: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        let slope = E::of(self.slope);
        match is_rectifier(self.slope) {
            true => rectify(x, slope),
            false if x < E::zero() => slope * x,
            false => x,
        }
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        slope_at(x, E::of(self.slope))
    }
}

/// Whether x, or `slope` x below zero, is max(x, slope x), so that the result has the sign of x.
pub(crate) fn is_rectifier(slope: f64) -> bool {
    (0.0..1.0).contains(&slope)
}

#[derive(Clone, Copy)]
pub(super) struct Clip {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Curve for Clip {
    const FLAT: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        x.max(E::of(self.low)).min(E::of(self.high))
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        within(x, E::of(self.low), E::of(self.high), E::one())
    }
}

/// The slope between two bounds; 0 at them and beyond.
#[inline(always)]
fn within<E: Element>(x: E, low: E, high: E, slope: E) -> E {
    if x > low && x < high { slope } else { E::zero() }
}

#[derive(Clone, Copy)]
pub(super) struct HardSigmoid {
    pub(super) alpha: f64,
    pub(super) beta: f64,
}

impl Curve for HardSigmoid {
    const FLAT: bool = true;
    const VECTORS: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        (E::of(self.alpha) * x + E::of(self.beta)).max(E::zero()).min(E::one())
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        let alpha = E::of(self.alpha);
        within(alpha * x + E::of(self.beta), E::zero(), E::one(), alpha)
    }
}

#[derive(Clone, Copy)]
pub(super) struct HardSwish;

impl Curve for HardSwish {
    const VECTORS: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        let share = (x + E::of(3.0)).max(E::zero()).min(E::of(6.0)) / E::of(6.0);
        x * share
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        if x >= E::of(3.0) { E::one() } else { within(x, E::of(-3.0), E::of(3.0), x / E::of(3.0) + E::of(0.5)) }
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        within(x, E::of(-3.0), E::of(3.0), E::of(1.0 / 3.0))
    }
}

#[derive(Clone, Copy)]
pub(super) struct Threshold {
    pub(super) threshold: f64,
    pub(super) value: f64,
}

impl Curve for Threshold {
    const FLAT: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        // A NaN stays one.
        if x <= E::of(self.threshold) { E::of(self.value) } else { x }
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        if x > E::of(self.threshold) { E::one() } else { E::zero() }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Shrink {
    pub(super) lambda: f64,
    pub(super) bias: f64,
}

impl Curve for Shrink {
    const FLAT: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        let (lambda, bias) = (E::of(self.lambda), E::of(self.bias));
        if x > lambda {
            x - bias
        } else if x < -lambda {
            x + bias
        } else if x.is_nan() {
            x
        } else {
            E::zero()
        }
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        if x.abs() > E::of(self.lambda) { E::one() } else { E::zero() }
    }
}

/// Functions that need no settings: the value and the slope.
macro_rules! plain {
    ($($Name:ident, |$x:ident| $value:expr, |$at:ident| $slope:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            pub(super) struct $Name;

            impl Curve for $Name {
                const FLAT: bool = true;
                const VECTORS: bool = true;

                #[inline(always)]
                fn value<E: Element>(self, $x: E) -> E {
                    $value
                }

                #[inline(always)]
                fn slope<E: Element>(self, $at: E) -> E {
                    $slope
                }
            }
        )*
    };
}

plain! {
    Abs, |x| x.abs(), |x| sign(x);
    Neg, |x| -x, |_x| -E::one();
    Sign, |x| sign(x), |_x| E::zero();
    Floor, |x| x.floor(), |_x| E::zero();
    Ceil, |x| x.ceil(), |_x| E::zero();
    Round, |x| round(x), |_x| E::zero();
}

/// 1 above 0, -1 below; 0 and NaN are what they are.
#[inline(always)]
pub(super) fn sign<E: Element>(x: E) -> E {
    if x > E::zero() {
        E::one()
    } else if x < E::zero() {
        -E::one()
    } else {
        x
    }
}

/// The nearest integer, of two the even one.
#[inline(always)]
fn round<E: Element>(x: E) -> E {
    let half = E::of(0.5);
    if (x - x.trunc()).abs() == half { (x * half).round() * (E::one() + E::one()) } else { x.round() }
}
