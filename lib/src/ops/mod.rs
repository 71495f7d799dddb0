//! Differentiable operations on dfdx's tape, one idea a file, and the one matrix product under them.
//!
//! Every operation takes the tape, then its tensors, channels last; [`NoneTape`](dfdx::prelude::NoneTape) runs the same
//! code without recording. An operation that a network can hold has a `pullback`, its transposed derivative, made of tape
//! operations too, so that gradients can be differentiated.

pub mod activation;
pub mod arithmetic;
#[cfg(test)]
pub(crate) mod checks;
pub mod conv_transpose;
pub mod convolution;
pub mod linear;
mod product;
pub mod reshape;
pub mod window;

use rayon::prelude::*;

use crate::tensor::{Element, GRAIN};

/// Whether anything upstream of an operation's input wants its gradient; the images a network is trained on do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputGradient {
    /// The input's gradient is computed.
    Wanted,
    /// The input is a constant.
    Unwanted,
}

/// target += values, element by element.
pub(crate) fn accumulate<E: Element>(target: &mut [E], values: &[E]) {
    target.par_iter_mut().zip(values).with_min_len(GRAIN).for_each(|(target, &value)| *target += value);
}
