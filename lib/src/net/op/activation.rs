//! Activations: functions of each value alone, and the concatenated ELU of PixelCNN++.

use dfdx::prelude::{Cpu, Tape};
use serde::{Deserialize, Serialize};

use super::settings::single;
use super::{Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::activation::{Activation, LEAKY_SLOPE, activate, pullback};
use crate::ops::concat::{concat_elu, concat_elu_pullback};
use crate::tensor::{Batch, Element};

/// The rooms of activations that have no settings.
macro_rules! plain {
    ($($(#[$doc:meta])* $Name:ident, $activation:expr, $rectifier:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $Name;

            impl Operation for $Name {
                fn output(&self, inputs: &[Size]) -> Result<Size, String> {
                    single(inputs)
                }

                fn rectifier(&self) -> Option<f64> {
                    $rectifier
                }
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
            }
        )*
    };
}

plain! {
    /// max(x, 0).
    Relu, Activation::LeakyRelu { slope: 0.0 }, Some(0.0);
    /// x, or e^x - 1 below zero.
    Elu, Activation::Elu, None;
    /// ln(x + sqrt(1 + x^2)).
    Asinh, Activation::Asinh, None;
    /// (e^x - e^-x) / 2.
    Sinh, Activation::Sinh, None;
    /// 1 / (1 + e^-x).
    Sigmoid, Activation::Sigmoid, None;
    /// Hyperbolic tangent.
    Tanh, Activation::Tanh, None;
    /// ln(1 + e^x).
    Softplus, Activation::Softplus, None;
}

/// max(x, slope x).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakyRelu {
    /// The slope below zero.
    #[serde(default = "leaky_slope")]
    pub slope: f64,
}

fn leaky_slope() -> f64 {
    LEAKY_SLOPE
}

impl Operation for LeakyRelu {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        match (0.0..1.0).contains(&self.slope) {
            true => single(inputs),
            false => Err("a slope in [0, 1)".into()),
        }
    }

    fn rectifier(&self) -> Option<f64> {
        Some(self.slope)
    }
}

impl ElementWise for LeakyRelu {
    fn activation(&self) -> Activation {
        Activation::LeakyRelu { slope: self.slope }
    }
}

#[cfg(test)]
impl super::Examples for LeakyRelu {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { slope: 0.25 }, vec![Size::new(3, 2, 2)])]
    }
}

/// min(max(x, low), high).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// The lowest value.
    pub low: f64,
    /// The highest value.
    pub high: f64,
}

impl Operation for Clip {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let size = single(inputs)?;
        match self.low < self.high && self.low.is_finite() && self.high.is_finite() {
            true => Ok(size),
            false => Err("finite bounds, the low one below the high one".into()),
        }
    }
}

impl ElementWise for Clip {
    fn activation(&self) -> Activation {
        Activation::Clip { low: self.low, high: self.high }
    }
}

#[cfg(test)]
impl super::Examples for Clip {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self { low: -0.5, high: 0.75 }, vec![Size::new(3, 2, 2)])]
    }
}

/// An operation that is a function of each value alone.
trait ElementWise: Operation {
    /// The function.
    fn activation(&self) -> Activation;
}

impl<O: ElementWise> Compute for O {
    fn forward<E: Element, T: Tape<E, Cpu>>(&self, tape: &mut T, site: &Site<E>) -> Computed<E> {
        activate(tape, site.x(), self.activation()).into()
    }

    fn pullback<E: Element, T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        site: &Site<E>,
        cotangent: Cotangent<E>,
    ) -> Vec<Batch<E>> {
        vec![pullback(tape, cotangent.value, site.x(), self.activation())]
    }
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
    fn forward<E: Element, T: Tape<E, Cpu>>(&self, tape: &mut T, site: &Site<E>) -> Computed<E> {
        concat_elu(tape, site.x()).into()
    }

    fn pullback<E: Element, T: Tape<E, Cpu>>(
        &self,
        tape: &mut T,
        site: &Site<E>,
        cotangent: Cotangent<E>,
    ) -> Vec<Batch<E>> {
        vec![concat_elu_pullback(tape, cotangent.value, site.x())]
    }
}

#[cfg(test)]
impl super::Examples for ConcatElu {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        vec![(Self, vec![Size::new(3, 2, 2)])]
    }
}
