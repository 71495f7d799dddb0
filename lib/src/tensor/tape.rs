//! The tape that operations are recorded on, and the way back along it.
//!
//! ```
//! use obverse::ops::arithmetic::combine;
//! use obverse::tensor::{Tape, batch, view};
//! let (a, b) = (batch(vec![1.0f64, 2.0], (1, 1, 1, 2)), batch(vec![3.0, 4.0], (1, 1, 1, 2)));
//! // Nothing is recorded where no gradient is wanted.
//! assert_eq!(view(&combine(&mut Tape::off(), 2.0, &a, -1.0, &b)), [-1.0, 0.0]);
//! ```

use dfdx::prelude::{Backward, Cpu, CpuError, Gradients, OwnedTape, PutTape, Rank0, Tape as _, Tensor, TensorFromVec};

use super::{Batch, Element, device, view};

/// What operations are recorded on: dfdx's tape, or nothing.
///
/// One type for both, told apart when the program runs: with dfdx's two types every operation would be compiled twice.
#[derive(Debug, Default)]
pub struct Tape<E: Element>(Option<OwnedTape<E, Cpu>>);

impl<E: Element> Tape<E> {
    /// A tape with nothing on it.
    pub fn recording() -> Self {
        Self(Some(OwnedTape::default()))
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
    pub fn add_backward_op(
        &mut self,
        operation: impl FnOnce(&mut Gradients<E, Cpu>) -> Result<(), CpuError> + 'static,
    ) {
        if let Some(tape) = &mut self.0 {
            tape.add_backward_op(operation);
        }
    }
}

/// Runs the tape backward from `root`, whose gradient is `cotangent` (as many values as `root` has).
///
/// The gradients are those of sum(root * cotangent). Take each with [`gradient`].
pub fn backward<E: Element>(mut tape: Tape<E>, root: &Batch<E>, cotangent: Vec<E>) -> Gradients<E, Cpu> {
    // dfdx starts from a scalar: a scalar operation after all others, whose backward hands the cotangent to the root.
    let start: Tensor<Rank0, E, Cpu> = device().tensor_from_vec(vec![E::zero()], ());
    let root = root.ghost();
    tape.add_backward_op(move |gradients| {
        **gradients.get_or_alloc_mut(&root)? = cotangent;
        Ok(())
    });
    start.put_tape(tape.0.unwrap_or_default()).backward()
}

/// Takes the gradient of `x` out of `gradients`, zeros where no gradient reached it.
pub fn gradient<E: Element>(gradients: &mut Gradients<E, Cpu>, x: &Batch<E>) -> Vec<E> {
    match gradients.get_or_alloc_mut(x) {
        Ok(found) => std::mem::take(&mut **found),
        // With dfdx's fast allocation an allocation that fails aborts; this arm is never reached.
        Err(_) => vec![E::zero(); view(x).len()],
    }
}
