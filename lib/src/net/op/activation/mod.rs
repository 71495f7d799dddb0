//! Activations: functions of each value alone, and the concatenated ELU of PixelCNN++.

mod adjusted;

use serde::{Deserialize, Serialize};

use super::settings::single;
use super::{Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::activation::{Activation, activate, pullback};
use crate::ops::concat::{concat_elu, concat_elu_pullback};
use crate::tensor::{Batch, Element, Tape};

pub use adjusted::{Celu, Clip, Elu, HardSigmoid, LeakyRelu, Power, Selu, Shrink, Softplus, Threshold};

/// An operation that is a function of each value alone.
trait ElementWise: Operation {
    /// The function.
    fn activation(&self) -> Activation;
}

impl<O: ElementWise> Compute for O {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        activate(tape, site.x(), self.activation()).into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![pullback(tape, cotangent.value, site.x(), self.activation())]
    }
}

/// The rooms of activations that have no settings; for tests the values at which each is smooth, of normal ones, if not all.
macro_rules! plain {
    ($($(#[$doc:meta])* $Name:ident, $activation:expr $(, rectifier $slope:literal)? $(, domain $domain:expr)?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $Name;

            impl Operation for $Name {
                fn output(&self, inputs: &[Size]) -> Result<Size, String> {
                    single(inputs)
                }

                $(fn rectifier(&self) -> Option<f64> {
                    Some($slope)
                })?
            }

            impl ElementWise for $Name {
                fn activation(&self) -> Activation {
                    $activation
                }
            }

            #[cfg(test)]
            impl super::Examples for $Name {
                fn examples() -> Vec<(Self, Vec<Size>)> {
                    vec![(Self, vec![Size::new(3, 2, 2)])]
                }

                $(fn domain(value: f64) -> f64 {
                    let domain: fn(f64) -> f64 = $domain;
                    domain(value)
                })?
            }
        )*
    };
}

plain! {
    /// max(x, 0).
    Relu, Activation::LeakyRelu { slope: 0.0 }, rectifier 0.0;
    /// |x|; at 0 its slope is 0.
    Abs, Activation::Abs;
    /// -x.
    Neg, Activation::Neg;
    /// 1 above 0, -1 below; its slope is 0.
    Sign, Activation::Sign;
    /// The largest integer that is not above x; its slope is 0.
    Floor, Activation::Floor;
    /// The smallest integer that is not below x; its slope is 0.
    Ceil, Activation::Ceil;
    /// The nearest integer, of two the even one; its slope is 0.
    Round, Activation::Round;
    /// e^x.
    Exp, Activation::Exp;
    /// ln x.
    Log, Activation::Log, domain |value| value.abs() + 0.5;
    /// The square root.
    Sqrt, Activation::Sqrt, domain |value| value.abs() + 0.5;
    /// 1 / x.
    Reciprocal, Activation::Reciprocal, domain |value| value + value.signum();
    /// The error function.
    Erf, Activation::Erf;
    /// Sine.
    Sin, Activation::Sin;
    /// Cosine.
    Cos, Activation::Cos;
    /// Tangent.
    Tan, Activation::Tan, domain f64::tanh;
    /// The inverse of the sine.
    Asin, Activation::Asin, domain |value| 0.9 * value.tanh();
    /// The inverse of the cosine.
    Acos, Activation::Acos, domain |value| 0.9 * value.tanh();
    /// The inverse of the tangent.
    Atan, Activation::Atan;
    /// (e^x - e^-x) / 2.
    Sinh, Activation::Sinh;
    /// (e^x + e^-x) / 2.
    Cosh, Activation::Cosh;
    /// ln(x + sqrt(1 + x^2)).
    Asinh, Activation::Asinh;
    /// ln(x + sqrt(x^2 - 1)), from 1 on.
    Acosh, Activation::Acosh, domain |value| value.abs() + 1.5;
    /// ln((1 + x) / (1 - x)) / 2.
    Atanh, Activation::Atanh, domain |value| 0.9 * value.tanh();
    /// 1 / (1 + e^-x).
    Sigmoid, Activation::Sigmoid;
    /// ln(1 / (1 + e^-x)).
    LogSigmoid, Activation::LogSigmoid;
    /// Hyperbolic tangent.
    Tanh, Activation::Tanh;
    /// x / (1 + |x|).
    Softsign, Activation::Softsign;
    /// x max(0, min(1, x / 6 + 1 / 2)).
    HardSwish, Activation::HardSwish;
    /// x / (1 + e^-x).
    Silu, Activation::Silu;
    /// x tanh(ln(1 + e^x)).
    Mish, Activation::Mish;
    /// x F(x), F being the normal distribution function.
    Gelu, Activation::Gelu;
    /// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    GeluTanh, Activation::GeluTanh;
}

/// elu of x and of -x, side by side along the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcatElu;

impl Operation for ConcatElu {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let size = single(inputs)?;
        Ok(Size { channels: 2 * size.channels, ..size })
    }
}

impl Compute for ConcatElu {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        concat_elu(tape, site.x()).into()
    }

    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        vec![concat_elu_pullback(tape, cotangent.value, site.x())]
    }
}

#[cfg(test)]
impl super::Examples for ConcatElu {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self, vec![Size::new(3, 2, 2)])]
    }
}
