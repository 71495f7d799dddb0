//! Operations of networks. Each is a room: a file with its settings, its parameters, the size of its result, what it computes, its
//! pullback, what it folds with, and examples of it.
//!
//! `Operation` is what an operation *is*: anything that runs networks reads it. `Compute` is how dfdx's tape on the processor computes
//! it; another engine implements the same rooms. A pullback is made of tape operations, since feature alignment and Grad-IFV
//! differentiate it again. One test goes over the examples of every room and holds both directions to finite differences.
//!
//! A new operation is a file here and a line in the list below; `layer_norm.rs` would be the file, `layer_norm::LayerNorm` the line.
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
mod add;
mod average_pool;
mod batch_norm;
mod concat;
mod conv2d;
mod conv_transpose2d;
mod dropout;
mod input;
mod linear;
mod max_pool;
mod pad;
mod reshape;
mod room;
mod settings;
mod slice;
#[cfg(test)]
mod tests;
mod upsample;

use dfdx::prelude::{Cpu, Tape};
use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use room::Examples;
pub(crate) use room::{Affine, Compute, Computed, Cotangent, Form, Operation, Site};
pub use room::{ParameterSpec, Start};
pub use settings::{Pair, Sides};

use super::size::Size;
use crate::ops::window::Window;
use crate::tensor::{Batch, Element};

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

            /// What it computes at a site.
            pub(crate) fn forward<E: Element, T: Tape<E, Cpu>>(&self, tape: &mut T, site: &Site<E>) -> Computed<E> {
                match self {
                    $(Self::$Name(settings) => settings.forward(tape, site)),*
                }
            }

            /// The cotangents of its inputs, in their order, for one of its result.
            pub(crate) fn pullback<E: Element, T: Tape<E, Cpu>>(
                &self,
                tape: &mut T,
                site: &Site<E>,
                cotangent: Cotangent<E>,
            ) -> Vec<Batch<E>> {
                match self {
                    $(Self::$Name(settings) => settings.pullback(tape, site, cotangent)),*
                }
            }

            /// The transposed map of an operation that is linear up to a bias; `None` of others.
            pub(crate) fn adjoint<E: Element, T: Tape<E, Cpu>>(
                &self,
                tape: &mut T,
                form: Form<E>,
                cotangent: Cotangent<E>,
            ) -> Option<Batch<E>> {
                match self {
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

            /// The names of all operations, as net.json writes them.
            #[cfg(test)]
            fn names() -> Vec<&'static str> {
                vec![$(stringify!($Name)),*]
            }
        }
    };
}

operations! {
    /// Convolution; weight (channels, C / groups, kh, kw), bias (channels).
    conv2d::Conv2d,
    /// Transposed convolution; weight (C, channels, kh, kw), bias (channels).
    conv_transpose2d::ConvTranspose2d,
    /// Linear map of a vector; weight (features, F), bias (features).
    linear::Linear,
    /// max(x, slope x).
    activation::LeakyRelu,
    /// max(x, 0).
    activation::Relu,
    /// min(max(x, low), high).
    activation::Clip,
    /// x, or e^x - 1 below zero.
    activation::Elu,
    /// elu of x and of -x, side by side along the channels.
    activation::ConcatElu,
    /// ln(x + sqrt(1 + x^2)).
    activation::Asinh,
    /// (e^x - e^-x) / 2.
    activation::Sinh,
    /// 1 / (1 + e^-x).
    activation::Sigmoid,
    /// Hyperbolic tangent.
    activation::Tanh,
    /// ln(1 + e^x).
    activation::Softplus,
    /// The largest value of a window.
    max_pool::MaxPool2d,
    /// The mean of a window.
    average_pool::AvgPool2d,
    /// The mean of each channel.
    average_pool::GlobalAvgPool,
    /// Batch normalisation per channel; weight, bias, running_mean, running_var (C).
    batch_norm::BatchNorm,
    /// In training: zero with this probability, else divided by what is left.
    dropout::Dropout,
    /// Each pixel repeated.
    upsample::UpsampleNearest,
    /// Bilinear interpolation with half-pixel centres.
    upsample::UpsampleBilinear,
    /// Inputs side by side along the channels.
    concat::Concat,
    /// The sum of the inputs.
    add::Add,
    /// Channels start..end.
    slice::Slice,
    /// Zeros around an image, and channels of zeros before and after its own.
    pad::Pad,
    /// An image as a vector, channels first.
    reshape::Flatten,
    /// An input of the network beside the first, such as a class: it reads no node.
    input::Input,
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

    /// Whether its name says it all.
    pub(super) fn has_no_settings(&self) -> bool {
        serde_json::to_value(self).is_ok_and(|json| json.as_object().is_some_and(|fields| fields.len() == 1))
    }
}
