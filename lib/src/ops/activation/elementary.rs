//! Elementary functions and the error function.

use std::f64::consts::{FRAC_2_SQRT_PI, LN_2};

use super::curve::Curve;
use crate::tensor::Element;

/// Functions that need no settings: the value and two derivatives, of which the second gets the first.
macro_rules! plain {
    ($($Name:ident, |$x:ident| $value:expr, $slope:expr, |$s:ident| $curvature:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            pub(super) struct $Name;

            impl Curve for $Name {
                #[inline(always)]
                fn value<E: Element>(self, $x: E) -> E {
                    $value
                }

                #[inline(always)]
                fn slope<E: Element>(self, $x: E) -> E {
                    $slope
                }

                #[inline(always)]
                fn curvature<E: Element>(self, $x: E) -> E {
                    let $s: E = self.slope($x);
                    $curvature
                }
            }
        )*
    };
}

plain! {
    Asinh, |x| x.asinh(), E::one() / (E::one() + x * x).sqrt(), |_s| {
        let square = E::one() + x * x;
        -x / (square * square.sqrt())
    };
    Sinh, |x| x.sinh(), x.cosh(), |_s| x.sinh();
    Cosh, |x| x.cosh(), x.sinh(), |_s| x.cosh();
    // Roots of each factor: their product has no overflow.
    Acosh, |x| acosh(x), E::one() / ((x - E::one()).sqrt() * (x + E::one()).sqrt()), |s| -x * s * s * s;
    Atanh, |x| x.atanh(), E::one() / ((E::one() - x) * (E::one() + x)), |s| (x + x) * s * s;
    Sin, |x| x.sin(), x.cos(), |_s| -x.sin();
    Cos, |x| x.cos(), -x.sin(), |_s| -x.cos();
    Tan, |x| x.tan(), E::one() + x.tan() * x.tan(), |s| (s + s) * x.tan();
    Asin, |x| x.asin(), E::one() / ((E::one() - x) * (E::one() + x)).sqrt(), |s| x * s * s * s;
    Acos, |x| x.acos(), -E::one() / ((E::one() - x) * (E::one() + x)).sqrt(), |s| x * s * s * s;
    Atan, |x| x.atan(), E::one() / (E::one() + x * x), |s| -(x * s + x * s) * s;
    Exp, |x| x.exp(), x.exp(), |s| s;
    Log, |x| x.ln(), x.recip(), |s| -s * s;
    Sqrt, |x| x.sqrt(), E::of(0.5) / x.sqrt(), |s| -E::of(0.5) * s / x;
    Reciprocal, |x| x.recip(), -x.recip() * x.recip(), |s| -(s + s) / x;
}

/// ln(x + sqrt(x^2 - 1)), which is ln 2x as soon as 1 is nothing beside x^2; 2x itself may be infinite.
#[inline(always)]
fn acosh<E: Element>(x: E) -> E {
    if x > E::of(2f64.powi(28)) { x.ln() + E::of(LN_2) } else { x.acosh() }
}

#[derive(Clone, Copy)]
pub(super) struct Power {
    pub(super) exponent: f64,
}

impl Curve for Power {
    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        power(x, self.exponent)
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        scaled_power(x, self.exponent, self.exponent - 1.0)
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        scaled_power(x, self.exponent * (self.exponent - 1.0), self.exponent - 2.0)
    }
}

/// factor x^exponent; 0 also where the power is infinite if the factor is 0.
#[inline(always)]
fn scaled_power<E: Element>(x: E, factor: f64, exponent: f64) -> E {
    if factor == 0.0 { E::zero() } else { E::of(factor) * power(x, exponent) }
}

/// x^exponent: exact, up to one rounding, for the exponents that networks have.
#[inline(always)]
fn power<E: Element>(x: E, exponent: f64) -> E {
    match exponent {
        0.0 => E::one(),
        1.0 => x,
        2.0 => x * x,
        0.5 => x.sqrt(),
        -1.0 => x.recip(),
        -0.5 => x.sqrt().recip(),
        _ => x.powf(E::of(exponent)),
    }
}

#[derive(Clone, Copy)]
pub(super) struct Erf;

impl Curve for Erf {
    const VECTORS: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        x.error_function()
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        E::of(FRAC_2_SQRT_PI) * (-x * x).exponential()
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        // The slope first: where it is 0, 2 x may be infinite.
        let bent = -x * self.slope(x);
        bent + bent
    }
}
