//! One term of a causal convolution: its inputs, its kernel, where the kernel lies and what it sees.

use super::dropout::Dropout;
use crate::ops::InputGradient;
use crate::tensor::{Batch, Element};

/// Where a kernel lies around its pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Rows above and its own, all columns under the kernel.
    Down,
    /// Rows above and its own, columns to the left and its own.
    Right,
    /// The pixel itself, for kernels of 1 x 1.
    None,
}

impl Shift {
    /// Rows above and columns to the left that a kernel needs.
    pub fn reach(self, [kh, kw]: [usize; 2]) -> (usize, usize) {
        match self {
            Self::Down => (kh - 1, (kw - 1) / 2),
            Self::Right => (kh - 1, kw - 1),
            Self::None => (0, 0),
        }
    }
}

/// The activation of the inputs, whose channels are concatenated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Feed {
    /// The values.
    Plain,
    /// elu(x).
    Elu,
    /// elu([x, -x]).
    ConcatElu,
    /// elu([x, -x]) with dropout.
    DroppedConcatElu(Dropout),
}

impl Feed {
    pub(super) fn channels(self, inputs: usize) -> usize {
        match self {
            Self::Plain | Self::Elu => inputs,
            Self::ConcatElu | Self::DroppedConcatElu(_) => 2 * inputs,
        }
    }
}

/// A convolution whose result is one of the terms of y.
#[derive(Clone, Copy)]
pub struct Term<'a, E: Element> {
    /// The inputs, whose channels are concatenated.
    pub inputs: &'a [&'a Batch<E>],
    /// The kernel, (O, kh, kw, C').
    pub weight: &'a Batch<E>,
    /// Where it lies.
    pub shift: Shift,
    /// What it sees.
    pub feed: Feed,
    /// Whether the inputs' gradients are wanted.
    pub gradient: InputGradient,
}
