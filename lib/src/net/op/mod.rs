//! Operations of networks. Each is a room: a file with its settings, its parameters, the size of its result, what it computes, its
//! pullback, what it folds with, and examples of it.
//!
//! `Operation` is what an operation *is*: anything that runs networks reads it. `Compute` is how dfdx's tape on the processor computes
//! it; another engine implements the same rooms. A pullback is made of tape operations, since feature alignment and Grad-IFV
//! differentiate it again. One test goes over the examples of every room and holds both directions to finite differences.
//!
//! A new operation is a file here and a line in the list below, such as `gather.rs` and `gather::Gather`.
//!
//! ```
//! use obverse::net::op::{Conv2d, Op};
//! use obverse::net::Size;
//! // Settings that are not given are PyTorch's.
//! let op: Op = serde_json::from_str(r#"{"op": "conv2d", "channels": 8, "kernel": 3, "padding": 1}"#)?;
//! assert!(matches!(&op, Op::Conv2d(Conv2d { groups: 1, bias: true, .. })));
//! assert_eq!(op.parameters(&[Size::new(3, 32, 32)])[0].shape, [8, 3, 3, 3]);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod activation;
mod arithmetic;
mod average_pool;
mod batch_norm;
mod concat;
mod constant;
mod conv2d;
mod conv_transpose2d;
mod dropout;
mod einsum;
mod gather;
mod group_norm;
mod input;
mod layer_norm;
mod linear;
mod local_response_norm;
mod max_pool;
mod pad;
mod prelu;
mod rearrange;
mod reduce;
mod reshape;
mod resize;
mod room;
mod settings;
mod slice;
mod softmax;
#[cfg(test)]
mod tests;
mod upsample;

use serde::{Deserialize, Serialize};

pub use pad::PadMode;
#[cfg(test)]
pub(crate) use room::Examples;
pub(crate) use room::{Affine, Compute, Computed, Cotangent, Form, Operation, Site};
pub use room::{ParameterSpec, Start};
pub use settings::{Axis, Pair, Sides};

use super::size::Size;
pub use crate::ops::reduce::Reduction;
pub use crate::ops::resize::{Coordinates, Interpolation, Rounding};
use crate::ops::window::Window;
use crate::tensor::{Batch, Element, Tape, call};

/// Makes [`Op`] of the list of rooms, and hands each call to the room.
macro_rules! operations {
    ($($(#[$doc:meta])* $room:ident::$Name:ident),* $(,)?) => {
        $(pub use $room::$Name;)*

        /// What a node computes, with PyTorch's names, defaults and meanings. `net.json` names it in snake case.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "op", rename_all = "snake_case")]
        pub enum Op {
            $($(#[$doc])* $Name($Name)),*
        }

        $(impl From<$Name> for Op {
            fn from(settings: $Name) -> Self {
                Self::$Name(settings)
            }
        })*

        impl Op {
            /// What it is.
            fn operation(&self) -> &dyn Operation {
                match self {
                    $(Self::$Name(settings) => settings),*
                }
            }

            fn forward_in<E: Element>((op, tape, site): (&Self, &mut Tape<E>, &Site<E>)) -> Computed<E> {
                match op {
                    $(Self::$Name(settings) => settings.forward(tape, site)),*
                }
            }

            fn pullback_in<E: Element>(
                (op, tape, site, cotangent): (&Self, &mut Tape<E>, &Site<E>, Cotangent<E>),
            ) -> Vec<Batch<E>> {
                match op {
                    $(Self::$Name(settings) => settings.pullback(tape, site, cotangent)),*
                }
            }

            fn adjoint_in<E: Element>(
                (op, tape, form, cotangent): (&Self, &mut Tape<E>, Form<E>, Cotangent<E>),
            ) -> Option<Batch<E>> {
                match op {
                    $(Self::$Name(settings) => settings.adjoint(tape, form, cotangent)),*
                }
            }

            /// The scale and the shift of each channel, of an operation that at inference is nothing else.
            pub(crate) fn affine<E: Element>(&self, parameters: &[Batch<E>]) -> Option<Affine> {
                match self {
                    $(Self::$Name(settings) => settings.affine(parameters)),*
                }
            }

            /// The same operation with a scale and a shift of each channel of its result folded in, and its parameters.
            pub(crate) fn absorb<E: Element>(&self, parameters: &[Batch<E>], by: &Affine) -> Option<(Op, Vec<Batch<E>>)> {
                match self {
                    $(Self::$Name(settings) => settings.absorb(parameters, by)),*
                }
            }

            /// Small sites of every operation, for the tests that all must pass.
            #[cfg(test)]
            fn examples() -> Vec<(Op, Vec<Size>)> {
                let mut all = Vec::new();
                $(all.extend($Name::examples().into_iter().map(|(settings, inputs)| (settings.into(), inputs)));)*
                all
            }

            /// A normal value as one at which it is smooth.
            #[cfg(test)]
            fn domain(&self, value: f64) -> f64 {
                match self {
                    $(Self::$Name(_) => $Name::domain(value)),*
                }
            }

            /// The names of all operations, as net.json writes them.
            #[cfg(test)]
            fn names() -> Vec<&'static str> {
                vec![$(stringify!($Name)),*]
            }
        }
    };
}

call! {
    /// [`Op::forward`].
    Forward<'a>: Op::forward_in, E => ((&'a Op, &'a mut Tape<E>, &'a Site<'a, E>)) -> Computed<E>
}

call! {
    /// [`Op::pullback`].
    Pullback<'a>: Op::pullback_in, E => ((&'a Op, &'a mut Tape<E>, &'a Site<'a, E>, Cotangent<'a, E>)) -> Vec<Batch<E>>
}

call! {
    /// [`Op::adjoint`].
    Adjoint<'a>: Op::adjoint_in, E => ((&'a Op, &'a mut Tape<E>, Form<'a, E>, Cotangent<'a, E>)) -> Option<Batch<E>>
}

impl Op {
    /// What it computes at a site.
    pub(crate) fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        E::call::<Forward>((self, tape, site))
    }

    /// The cotangents of its inputs, in their order, for one of its result.
    pub(crate) fn pullback<E: Element>(
        &self,
        tape: &mut Tape<E>,
        site: &Site<E>,
        cotangent: Cotangent<E>,
    ) -> Vec<Batch<E>> {
        E::call::<Pullback>((self, tape, site, cotangent))
    }

    /// The transposed map of an operation that is linear up to a bias; `None` of others.
    pub(crate) fn adjoint<E: Element>(
        &self,
        tape: &mut Tape<E>,
        form: Form<E>,
        cotangent: Cotangent<E>,
    ) -> Option<Batch<E>> {
        E::call::<Adjoint>((self, tape, form, cotangent))
    }
}

operations! {
    /// Convolution; weight (channels, C / groups, kh, kw), bias (channels).
    conv2d::Conv2d,
    /// Transposed convolution; weight (C, channels / groups, kh, kw), bias (channels).
    conv_transpose2d::ConvTranspose2d,
    /// Linear map of a vector, or of the channels at each place; weight (features, F), bias (features).
    linear::Linear,
    /// x, or slope x below zero.
    activation::LeakyRelu,
    /// max(x, 0).
    activation::Relu,
    /// min(max(x, low), high).
    activation::Clip,
    /// x, or alpha (e^x - 1) below zero.
    activation::Elu,
    /// x, or alpha (e^(x / alpha) - 1) below zero.
    activation::Celu,
    /// gamma times elu.
    activation::Selu,
    /// elu of x and of -x, side by side along the channels.
    activation::ConcatElu,
    /// |x|.
    activation::Abs,
    /// -x.
    activation::Neg,
    /// 1 above zero, -1 below.
    activation::Sign,
    /// The largest integer that is not above x.
    activation::Floor,
    /// The smallest integer that is not below x.
    activation::Ceil,
    /// The nearest integer, of two the even one.
    activation::Round,
    /// e^x.
    activation::Exp,
    /// ln x.
    activation::Log,
    /// The square root.
    activation::Sqrt,
    /// 1 / x.
    activation::Reciprocal,
    /// x^exponent.
    activation::Power,
    /// The error function.
    activation::Erf,
    /// Sine.
    activation::Sin,
    /// Cosine.
    activation::Cos,
    /// Tangent.
    activation::Tan,
    /// The inverse of the sine.
    activation::Asin,
    /// The inverse of the cosine.
    activation::Acos,
    /// The inverse of the tangent.
    activation::Atan,
    /// (e^x - e^-x) / 2.
    activation::Sinh,
    /// (e^x + e^-x) / 2.
    activation::Cosh,
    /// ln(x + sqrt(1 + x^2)).
    activation::Asinh,
    /// ln(x + sqrt(x^2 - 1)).
    activation::Acosh,
    /// ln((1 + x) / (1 - x)) / 2.
    activation::Atanh,
    /// 1 / (1 + e^-x).
    activation::Sigmoid,
    /// ln(1 / (1 + e^-x)).
    activation::LogSigmoid,
    /// max(0, min(1, alpha x + beta)).
    activation::HardSigmoid,
    /// Hyperbolic tangent.
    activation::Tanh,
    /// ln(1 + e^(beta x)) / beta.
    activation::Softplus,
    /// x / (1 + |x|).
    activation::Softsign,
    /// x max(0, min(1, x / 6 + 1 / 2)).
    activation::HardSwish,
    /// x / (1 + e^-x).
    activation::Silu,
    /// x tanh(ln(1 + e^x)).
    activation::Mish,
    /// x times the normal distribution function.
    activation::Gelu,
    /// An approximation of that by tanh.
    activation::GeluTanh,
    /// x above a threshold, else a value.
    activation::Threshold,
    /// 0 where |x| is small, else x moved towards 0.
    activation::Shrink,
    /// x, or a trained slope times x below zero; weight (C) or (1).
    prelu::Prelu,
    /// Axes joined to length 1 by a sum, a mean, an extreme, a product or a norm.
    reduce::Reduce,
    /// e^x / sum e^x along an axis.
    softmax::Softmax,
    /// The logarithm of that.
    softmax::LogSoftmax,
    /// The largest value of a window.
    max_pool::MaxPool2d,
    /// The mean of a window.
    average_pool::AvgPool2d,
    /// The mean of each channel.
    average_pool::GlobalAvgPool,
    /// Batch normalisation per channel; weight, bias, running_mean, running_var (C).
    batch_norm::BatchNorm,
    /// Normalisation of the channels at each place; weight, bias (C).
    layer_norm::LayerNorm,
    /// The channels at each place divided by the root of their mean square; weight (C).
    layer_norm::RmsNorm,
    /// Normalisation of groups of channels of an image; weight, bias (C).
    group_norm::GroupNorm,
    /// Each value divided by a power of the mean square of the channels nearby.
    local_response_norm::LocalResponseNorm,
    /// In training: zero with this probability, else divided by what is left.
    dropout::Dropout,
    /// Each pixel repeated.
    upsample::UpsampleNearest,
    /// Bilinear interpolation with half-pixel centres.
    upsample::UpsampleBilinear,
    /// An image of another height and width, by ONNX's formulas.
    resize::Resize,
    /// Inputs side by side along the channels, or along the rows or columns.
    concat::Concat,
    /// The sum of the inputs, which broadcast.
    arithmetic::Add,
    /// The product of the inputs, which broadcast.
    arithmetic::Mul,
    /// The smallest of the inputs, which broadcast.
    arithmetic::Minimum,
    /// The largest of the inputs, which broadcast.
    arithmetic::Maximum,
    /// The first input less the second; both broadcast.
    arithmetic::Sub,
    /// The first input divided by the second; both broadcast.
    arithmetic::Div,
    /// The first input to the power of the second; both broadcast.
    arithmetic::Pow,
    /// What is left of the first input once the second is taken off as often as it fits; both broadcast.
    arithmetic::Fmod,
    /// 1 where the first input is less than the second, else 0; both broadcast.
    arithmetic::Less,
    /// 1 where the first input is at most the second, else 0; both broadcast.
    arithmetic::LessEqual,
    /// 1 where the inputs are equal, else 0; both broadcast.
    arithmetic::Equal,
    /// Channels, or rows or columns, start..end, or every so many of them.
    slice::Slice,
    /// Values along an axis by constant places, which may repeat.
    gather::Gather,
    /// Zeros around an image, or a value, or what continues the image, and channels of it before and after its own.
    pad::Pad,
    /// Products of two inputs along named axes, summed over those that the result does not name.
    einsum::Einsum,
    /// The values of an image in another order.
    rearrange::Rearrange,
    /// An image as a vector, channels first.
    reshape::Flatten,
    /// An input of the network beside the first, such as a class: it reads no node.
    input::Input,
    /// A parameter as an image, which reads no node; value (1, C, H, W).
    constant::Constant,
    /// A vector as an image, channels first.
    reshape::Reshape,
}

impl Op {
    /// The parameters that this operation holds for inputs of these sizes.
    pub fn parameters(&self, inputs: &[Size]) -> Vec<ParameterSpec> {
        self.operation().parameters(inputs)
    }

    /// The size of the result, or what was expected of the inputs.
    pub(crate) fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        self.operation().output(inputs)
    }

    /// The window that a convolution or pooling slides.
    pub fn window(&self) -> Option<Window> {
        self.operation().window()
    }

    /// The slope of a rectifier.
    pub fn rectifier(&self) -> Option<f64> {
        self.operation().rectifier()
    }

    /// Whether it computes the rectifier after it in the same pass.
    pub(crate) fn takes_rectifier(&self) -> bool {
        self.operation().takes_rectifier()
    }

    /// Whether it computes what the operation before it does, and reads that one's input instead.
    pub(crate) fn takes_before(&self, before: &Self) -> bool {
        self.operation().takes_before(before)
    }

    /// A layer of weights without its bias; `None` of other operations.
    pub(crate) fn without_bias(&self) -> Option<Self> {
        self.operation().without_bias()
    }
}
