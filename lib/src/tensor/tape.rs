//! The tape that operations are recorded on, and the way back along it.
//!
//! ```
//! use obverse::ops::arithmetic::combine;
//! use obverse::tensor::{Tape, batch, view};
//! let (a, b) = (batch(vec![1.0f64, 2.0], (1, 1, 1, 2)), batch(vec![3.0, 4.0], (1, 1, 1, 2)));
//! // Nothing is recorded where no gradient is wanted.
//! assert_eq!(view(&combine(&mut Tape::off(), 2.0, &a, -1.0, &b)), [-1.0, 0.0]);
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use dfdx::prelude::{Backward, Cpu, OwnedTape, PutTape, Rank0, Tape as _, Tensor, TensorFromVec};
use obverse_engine::Array;

use super::{Batch, Element, Ghost, device, processor, shape};

/// The gradients that a way back has computed so far, in the processor's memory and on a device; those of a tensor may lie in both.
#[derive(Debug)]
pub struct Gradients<E: Element> {
    here: HashMap<u64, Vec<E>>,
    there: HashMap<u64, Array>,
}

impl<E: Element> Default for Gradients<E> {
    fn default() -> Self {
        Self { here: HashMap::new(), there: HashMap::new() }
    }
}

/// What has gradients: a batch, or its name.
pub(crate) trait Named {
    /// The name.
    fn name(&self) -> Ghost;
}

impl<E: Element> Named for Batch<E> {
    fn name(&self) -> Ghost {
        self.ghost()
    }
}

impl Named for Ghost {
    fn name(&self) -> Ghost {
        *self
    }
}

impl<E: Element> Gradients<E> {
    /// The gradient of a tensor, to be added to: zeros where nothing has reached it.
    pub(crate) fn of(&mut self, x: &impl Named) -> &mut Vec<E> {
        let name = x.name();
        let gradient = self.here.entry(name.id).or_default();
        if gradient.is_empty() {
            *gradient = vec![E::zero(); name.len()];
        }
        if let Some(there) = self.there.remove(&name.id) {
            gradient.iter_mut().zip(device::fetched::<E>(&there)).for_each(|(sum, more)| *sum += more);
        }
        gradient
    }

    /// The gradient of a tensor, taken out: what nothing reads any more.
    pub(crate) fn take(&mut self, x: &impl Named) -> Vec<E> {
        std::mem::take(self.of(x))
    }

    /// Puts in the gradient of a tensor: what was taken, with more added to it.
    pub(crate) fn put(&mut self, x: &impl Named, gradient: Vec<E>) {
        self.here.insert(x.name().id, gradient);
    }

    /// Takes the gradient out as an array on the device of `like`, of the tensor's shape; `None` where nothing has reached it.
    pub(super) fn take_there(&mut self, x: Ghost, like: &Array) -> Option<Array> {
        let (n, h, w, c) = x.shape;
        let there = self.there.remove(&x.id).map(|array| array.reshape(&[n, h, w, c]));
        let here = self.here.remove(&x.id).filter(|values| !values.is_empty());
        let here = here.map(|values| device::sent(&values, x.shape, like.engine()));
        match (there, here) {
            (Some(there), Some(here)) => Some(there.plus(&here)),
            (there, here) => there.or(here),
        }
    }

    /// Adds to the gradient on a device.
    pub(super) fn add_there(&mut self, x: Ghost, more: Array) {
        let sum = match self.there.remove(&x.id) {
            Some(sum) => sum.plus(&more.reshape(sum.shape())),
            None => more,
        };
        self.there.insert(x.id, sum);
    }
}

/// What operations are recorded on: dfdx's tape, or nothing.
///
/// One type for both, told apart when the program runs: with dfdx's two types every operation would be compiled twice.
#[derive(Debug, Default)]
pub struct Tape<E: Element>(Option<Recording<E>>);

/// dfdx's tape has the operations in their order; what it calls them with is not read, since its gradients lie in the processor's memory only.
#[derive(Debug, Default)]
struct Recording<E: Element> {
    tape: OwnedTape<E, Cpu>,
    gradients: Rc<RefCell<Gradients<E>>>,
}

impl<E: Element> Tape<E> {
    /// A tape with nothing on it.
    pub fn recording() -> Self {
        Self(Some(Recording { tape: OwnedTape::default(), gradients: Rc::default() }))
    }

    /// No tape: operations compute, and nothing is recorded.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether operations are recorded.
    pub fn records(&self) -> bool {
        self.0.is_some()
    }

    /// Records how gradients pass an operation; nothing where nothing is recorded.
    pub(crate) fn add_backward_op(&mut self, operation: impl FnOnce(&mut Gradients<E>) + 'static) {
        if let Some(Recording { tape, gradients }) = &mut self.0 {
            let gradients = gradients.clone();
            tape.add_backward_op(move |_| {
                operation(&mut gradients.borrow_mut());
                Ok(())
            });
        }
    }
}

/// Runs the tape backward from `root`, whose gradient is `cotangent` (as many values as `root` has).
///
/// The gradients are those of sum(root * cotangent). Take each with [`gradient`].
pub fn backward<E: Element>(tape: Tape<E>, root: &Batch<E>, cotangent: Vec<E>) -> Gradients<E> {
    run_back(tape, root, move |gradients, root| gradients.put(&root, cotangent))
}

/// As [`backward`], for a cotangent that lies where the root does.
pub fn backward_from<E: Element>(tape: Tape<E>, root: &Batch<E>, cotangent: &Batch<E>) -> Gradients<E> {
    match cotangent.on_device().cloned() {
        Some(array) => run_back(tape, root, move |gradients, root| gradients.add_there(root, array)),
        None => backward(tape, root, super::view(cotangent).to_vec()),
    }
}

fn run_back<E: Element>(
    mut tape: Tape<E>,
    root: &Batch<E>,
    begin: impl FnOnce(&mut Gradients<E>, Ghost) + 'static,
) -> Gradients<E> {
    // dfdx starts from a scalar: a scalar operation after all others, whose backward hands the cotangent to the root.
    let start: Tensor<Rank0, E, Cpu> = processor().tensor_from_vec(vec![E::zero()], ());
    let root = root.ghost();
    tape.add_backward_op(move |gradients| begin(gradients, root));
    let Recording { tape, gradients } = tape.0.unwrap_or_default();
    start.put_tape(tape).backward();
    gradients.take()
}

/// Takes the gradient of `x` out of `gradients`, zeros where no gradient reached it.
pub fn gradient<E: Element>(gradients: &mut Gradients<E>, x: &Batch<E>) -> Vec<E> {
    gradients.take(x)
}

/// As [`gradient`], left where `x` lies.
pub fn gradient_there<E: Element>(gradients: &mut Gradients<E>, x: &Batch<E>) -> Batch<E> {
    match x.on_device() {
        Some(like) => match gradients.take_there(x.ghost(), like) {
            Some(array) => Batch::from_device(array, shape(x)),
            None => Batch::from_device(like.affine(0.0, 0.0), shape(x)),
        },
        None => super::batch(gradient(gradients, x), shape(x)),
    }
}
