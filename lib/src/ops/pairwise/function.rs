//! Functions of two values and their derivatives.

use crate::ops::broadcast::Operand;
use crate::tensor::Element;

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairwise {
    /// a + b.
    Add,
    /// a - b.
    Subtract,
    /// a b.
    Multiply,
    /// a / b.
    Divide,
    /// a^b. Its slopes in b are 0 for a <= 0, where they are no real numbers.
    Power,
    /// The smaller one, NaN if one is; equal ones share the cotangent.
    Minimum,
    /// The larger one, NaN if one is; equal ones share the cotangent.
    Maximum,
    /// a, or a b below zero (parametric ReLU, He et al. 2015).
    Rectify,
    /// What is left of a once b is taken off as often as it fits, with a's sign; it is constant in how often.
    Fmod,
    /// 1 where a < b, else 0; its slopes are 0, as those of the next two.
    Less,
    /// 1 where a <= b, else 0.
    LessEqual,
    /// 1 where a = b, else 0.
    Equal,
}

/// What of a function is wanted; an operand is 0 or 1.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The function.
    Value,
    /// The derivative in an operand.
    Slope(usize),
    /// The second derivative in two.
    Curvature(usize, usize),
}

impl Pairwise {
    /// Whether the derivative in two operands is anything but 0.
    pub(super) fn bends(self, one: usize, other: usize) -> bool {
        match self {
            Self::Add | Self::Subtract | Self::Minimum | Self::Maximum | Self::Fmod => false,
            Self::Less | Self::LessEqual | Self::Equal => false,
            Self::Multiply | Self::Rectify => one != other,
            Self::Divide => (one, other) != (0, 0),
            Self::Power => true,
        }
    }

    /// Puts the part's values from place `start` on into `out`.
    pub(super) fn fill<E: Element>(self, part: Part, [a, b]: &[Operand<E>; 2], start: usize, out: &mut [E]) {
        let (zero, one, two) = (E::zero(), E::one(), E::one() + E::one());
        macro_rules! each {
            (|$a:ident, $b:ident| $value:expr) => {{
                a.fill(start, out);
                b.each(start, out, |$a, $b| $value);
            }};
        }
        match (self, part) {
            (Self::Add, Part::Value) => each!(|a, b| a + b),
            (Self::Subtract, Part::Value) => each!(|a, b| a - b),
            (Self::Add, Part::Slope(_)) | (Self::Subtract, Part::Slope(0)) => out.fill(one),
            (Self::Subtract, Part::Slope(_)) => out.fill(-one),
            (Self::Multiply, Part::Value) => each!(|a, b| a * b),
            (Self::Multiply, Part::Slope(0)) => b.fill(start, out),
            (Self::Multiply, Part::Slope(_)) => a.fill(start, out),
            (Self::Multiply, Part::Curvature(..)) => out.fill(one),
            (Self::Divide, Part::Value) => each!(|a, b| a / b),
            (Self::Divide, Part::Slope(0)) => {
                b.fill(start, out);
                out.iter_mut().for_each(|b| *b = one / *b);
            }
            (Self::Divide, Part::Slope(_)) => each!(|a, b| -(a / b) / b),
            (Self::Divide, Part::Curvature(1, 1)) => each!(|a, b| two * (a / b) / b / b),
            (Self::Divide, Part::Curvature(..)) => {
                b.fill(start, out);
                out.iter_mut().for_each(|b| *b = -one / *b / *b);
            }
            (Self::Power, Part::Value) => each!(|a, b| a.powf(b)),
            (Self::Power, Part::Slope(0)) => each!(|a, b| if b == zero { zero } else { b * a.powf(b - one) }),
            (Self::Power, Part::Slope(_)) => each!(|a, b| if a > zero { a.powf(b) * a.ln() } else { zero }),
            (Self::Power, Part::Curvature(0, 0)) => each!(|a, b| match b * (b - one) {
                none if none == zero => zero,
                factor => factor * a.powf(b - two),
            }),
            (Self::Power, Part::Curvature(1, 1)) => {
                each!(|a, b| if a > zero { a.powf(b) * a.ln() * a.ln() } else { zero })
            }
            (Self::Power, Part::Curvature(..)) => {
                each!(|a, b| if a > zero { a.powf(b - one) * (one + b * a.ln()) } else { zero })
            }
            (Self::Minimum, Part::Value) => each!(|a, b| if a < b || a.is_nan() { a } else { b }),
            (Self::Maximum, Part::Value) => each!(|a, b| if a > b || a.is_nan() { a } else { b }),
            (Self::Minimum, Part::Slope(0)) | (Self::Maximum, Part::Slope(1)) => each!(|a, b| share(b, a)),
            (Self::Minimum, Part::Slope(_)) | (Self::Maximum, Part::Slope(_)) => each!(|a, b| share(a, b)),
            (Self::Rectify, Part::Value) => each!(|a, b| if a < zero { a * b } else { a }),
            (Self::Rectify, Part::Slope(0)) => each!(|a, b| if a > zero { one } else { b }),
            (Self::Rectify, Part::Slope(_)) => {
                a.fill(start, out);
                out.iter_mut().for_each(|a| *a = if *a < zero { *a } else { zero });
            }
            (Self::Rectify, Part::Curvature(..)) => {
                a.fill(start, out);
                out.iter_mut().for_each(|a| *a = if *a > zero { zero } else { one });
            }
            (Self::Fmod, Part::Value) => each!(|a, b| a % b),
            (Self::Fmod, Part::Slope(0)) => out.fill(one),
            (Self::Fmod, Part::Slope(_)) => each!(|a, b| -(a / b).trunc()),
            (Self::Less, Part::Value) => each!(|a, b| if a < b { one } else { zero }),
            (Self::LessEqual, Part::Value) => each!(|a, b| if a <= b { one } else { zero }),
            (Self::Equal, Part::Value) => each!(|a, b| if a == b { one } else { zero }),
            (Self::Less | Self::LessEqual | Self::Equal, Part::Slope(_)) => out.fill(zero),
            // Those that bend in nothing.
            (_, Part::Curvature(..)) => out.fill(zero),
        }
    }
}

/// 1 where a is larger, 1/2 where both are equal, else 0.
fn share<E: Element>(a: E, b: E) -> E {
    if a > b {
        E::one()
    } else if a == b {
        E::of(0.5)
    } else {
        E::zero()
    }
}
