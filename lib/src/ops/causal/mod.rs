//! Causal convolution, y = sum over terms of W * f(x) + biases; x (N, H, W, C), y (N, H, W, O), W (O, kh, kw, C').
//!
//! A kernel that is shifted down sees its row and those above, as far to each side as it is wide; shifted right, pixels above and
//! to the left; unshifted, 1 x 1, its pixel (Salimans et al. 2017). f is a term's activation; concat_elu doubles the channels.
//!
//! Activations are laid into a plane with the padding's zeros between its rows. There the pixels under a row of the kernel are
//! neighbours, and the patches of all positions are a matrix whose rows overlap: no patch is copied, and no
//! activation is kept for the backward pass, which fills the plane again.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::InputGradient;
//! use obverse::ops::causal::{Feed, Shift, Term, causal};
//! let x = batch(vec![1.0f64, 2.0, 3.0], (1, 1, 3, 1));
//! let (weight, bias) = (batch(vec![1.0, 10.0], (1, 1, 2, 1)), batch(vec![0.0], (1, 1, 1, 1)));
//! // A kernel of 1 x 2 that sees its pixel and the one to the left.
//! let term = Term {
//!     inputs: &[&x],
//!     weight: &weight,
//!     shift: Shift::Right,
//!     feed: Feed::Plain,
//!     gradient: InputGradient::Unwanted,
//! };
//! assert_eq!(view(&causal(&mut Tape::off(), &[term], &[&bias])), [10.0, 21.0, 32.0]);
//! ```

mod dropout;
mod elu;
mod plane;
mod sum;
mod term;
mod there;

use crate::tensor::{Batch, Element, Tape, batch, filled_in_chunks, shape};
use plane::OwnedTerm;
use sum::{Scratch, Sum};

pub use dropout::Dropout;
pub(crate) use elu::{ConcatElu, elu};
pub use term::{Feed, Shift, Term};

/// The sum of the terms and of the biases, each (1, 1, 1, O) or (N, 1, 1, O). Kernels fit within their reach, 1 x 1 where unshifted.
pub fn causal<E: Element>(tape: &mut Tape<E>, terms: &[Term<E>], biases: &[&Batch<E>]) -> Batch<E> {
    let owned = Sum {
        terms: terms.iter().map(OwnedTerm::of).collect(),
        biases: biases.iter().map(|&bias| bias.clone()).collect(),
    };
    let Some(first) = owned.terms.first() else { return batch(Vec::new(), (0, 0, 0, 0)) };
    let ((images, height, width, _), outputs) = (shape(&first.inputs[0]), first.outputs());
    if let Some(y) = there::summed(tape, terms, biases, (images, height, width, outputs)) {
        return y;
    }
    let length = height * width * outputs;
    let y = filled_in_chunks(images * length, length, Scratch::default, |scratch, image, y| {
        owned.forward(image, scratch, y);
    });
    let y = batch(y, (images, height, width, outputs));
    owned.record(tape, &y);
    y
}

#[cfg(test)]
mod tests;
