//! Single nodes as linear maps: W x without bias and rectifier, and W^T y, which needs no trace.
//!
//! What reverse nets are made of (notes on Arora, Liang & Ma). Nodes that hold no weights and move or average values only are maps too.

use dfdx::prelude::{Cpu, NoneTape, Tape};

use super::layers;
use super::network::{Network, Trace};
use super::operation::Op;
use crate::ops::InputGradient;
use crate::ops::convolution::{Convolution, convolve};
use crate::ops::linear::linear;
use crate::tensor::{Batch, Element};

impl<E: Element> Network<E> {
    /// The first input of the node at `place`, (N, H, W, C); `None` where the trace does not hold it.
    pub(crate) fn input_of<'a>(&self, trace: &'a Trace<E>, place: usize) -> Option<&'a Batch<E>> {
        self.source(trace, place, 0)
    }

    /// W x of a convolution or linear layer; `None` of other nodes.
    pub(crate) fn weighted(&self, place: usize, x: &Batch<E>) -> Option<Batch<E>> {
        let op = &self.graph().nodes[place].op;
        let weight = self.parameters_of(place).first()?;
        Some(match op {
            Op::Conv2d { groups, .. } => {
                let convolution = Convolution { window: op.window()?, groups: *groups };
                convolve(&mut NoneTape, x, weight, None, None, convolution, InputGradient::Unwanted)
            }
            Op::Linear { .. } => linear(&mut NoneTape, x, weight, None, None, InputGradient::Unwanted),
            _ => return None,
        })
    }

    /// W^T y of a convolution, transposed convolution or linear layer; of an average pooling, flattening or reshaping its
    /// transposed map. `None` of other nodes.
    pub(crate) fn transposed(&self, tape: &mut impl Tape<E, Cpu>, place: usize, y: &Batch<E>) -> Option<Batch<E>> {
        let (op, size) = (&self.graph().nodes[place].op, self.graph().input_size(place));
        match op {
            Op::AvgPool2d { .. } | Op::GlobalAvgPool | Op::Flatten | Op::Reshape { .. } => {
                // The pullbacks of these do not depend on their input: y stands for it.
                layers::pullback(tape, op, y, y, size)
            }
            _ => self.adjoint_of(tape, place, None, y),
        }
    }
}
