//! Single nodes as linear maps: W x without bias and rectifier, and W^T y, which needs no trace.
//!
//! What reverse nets are made of (notes on Arora, Liang & Ma). Nodes that hold no weights and move or average values only are maps too.

use super::network::{Network, Trace};
use super::op::{Cotangent, Form, Site};
use crate::ops::InputGradient;
use crate::tensor::{Batch, Element, Tape};

impl<E: Element> Network<E> {
    /// The first input of the node at `place`, (N, H, W, C); `None` where the trace does not hold it.
    pub(crate) fn input_of<'a>(&self, trace: &'a Trace<E>, place: usize) -> Option<&'a Batch<E>> {
        self.source(trace, place, 0)
    }

    /// W x of a layer of weights; `None` of other nodes.
    pub(crate) fn weighted(&self, place: usize, x: &Batch<E>) -> Option<Batch<E>> {
        let op = self.graph().nodes[place].op.without_bias()?;
        let form = self.form(place);
        let form = Form { parameters: &form.parameters[..1], ..form };
        let gradient = InputGradient::Unwanted;
        let name = &self.graph().nodes[place].name;
        let site = Site { name, form, inputs: vec![x], wanted: vec![true], rectifier: None, training: None, gradient };
        Some(op.forward(&mut Tape::off(), &site).value)
    }

    /// W^T y of a layer of weights; of other nodes that are linear maps, such as an average pooling or a flattening, their transposed map.
    pub(crate) fn transposed(&self, tape: &mut Tape<E>, place: usize, y: &Batch<E>) -> Option<Batch<E>> {
        let cotangent = Cotangent { value: y, slopes: None };
        self.graph().nodes[place].op.adjoint(tape, self.form(place), cotangent)
    }
}
