//! Differentiable operations on dfdx's tape, one idea per file, and the one matrix product under them.
//!
//! Every operation takes the tape, then its tensors, channels last; [`Tape::off()`](crate::tensor::Tape::off()) runs the same
//! code without recording. An operation that a network can hold has a `pullback`, its transposed derivative, made of tape
//! operations too, so that gradients can be differentiated.
//!
//! ```
//! // d(2 a - b) for a cotangent of ones.
//! use obverse::ops::arithmetic::combine;
//! use obverse::tensor::{Tape, backward, batch, gradient};
//! let (a, b) = (batch(vec![1.0f64, 2.0], (1, 1, 1, 2)), batch(vec![3.0, 4.0], (1, 1, 1, 2)));
//! let mut tape = Tape::recording();
//! let y = combine(&mut tape, 2.0, &a, -1.0, &b);
//! let mut gradients = backward(tape, &y, vec![1.0, 1.0]);
//! assert_eq!(gradient(&mut gradients, &a), [2.0, 2.0]);
//! assert_eq!(gradient(&mut gradients, &b), [-1.0, -1.0]);
//! ```

pub mod activation;
pub mod adversarial;
pub mod along;
pub mod arithmetic;
pub mod batch_norm;
pub mod broadcast;
pub mod categorical;
pub mod causal;
#[cfg(test)]
pub(crate) mod checks;
pub mod concat;
pub mod conv_transpose;
pub mod convolution;
pub mod dropout;
pub mod einsum;
pub mod enlarged;
pub mod gated;
pub mod gaussian;
pub mod group_norm;
pub(crate) mod lanes;
pub mod layer_norm;
pub mod linear;
pub mod local_response;
pub mod logistic_mixture;
pub(crate) mod loops;
pub mod loss;
pub mod normalise;
pub mod pad;
pub mod pairwise;
pub mod pooling;
pub(crate) mod product;
pub mod rearrange;
pub mod reduce;
pub mod reshape;
pub mod resize;
pub mod shift;
pub mod softmax;
pub mod upsample;
pub mod weight;
pub mod weight_norm;
pub mod window;

pub(crate) use product::gram_distance;

use std::marker::PhantomData;

use rayon::prelude::*;

use crate::tensor::{Batch, Element, GRAIN, Tape};

/// Whether the gradient of an operation's input is needed; that of the images a network is trained on is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputGradient {
    /// The input's gradient is computed.
    Wanted,
    /// The input is a constant.
    Unwanted,
}

/// Work on slices that [`vectorised`] runs; its `run` is `#[inline(always)]`, so that it is compiled for each width of vectors.
pub(crate) trait Kernel<A> {
    /// The result.
    type Output;

    /// Does the work.
    fn run(arguments: A) -> Self::Output;
}

/// Runs a kernel with the widest vectors that this processor has. Nothing is fused, so the result is the same for any width.
#[inline]
pub(crate) fn vectorised<K: Kernel<A>, A>(arguments: A) -> K::Output {
    struct Call<K, A>(A, PhantomData<K>);

    impl<K: Kernel<A>, A> pulp::NullaryFnOnce for Call<K, A> {
        type Output = K::Output;

        #[inline(always)]
        fn call(self) -> K::Output {
            K::run(self.0)
        }
    }

    pulp::Arch::new().dispatch(Call::<K, A>(arguments, PhantomData))
}

/// target += values, element by element.
pub(crate) fn accumulate<E: Element>(target: &mut [E], values: &[E]) {
    target.par_chunks_mut(GRAIN).zip(values.par_chunks(GRAIN)).for_each(|(target, values)| {
        target.iter_mut().zip(values).for_each(|(target, &value)| *target += value);
    });
}

/// Records an operation that is linear in `input`: its gradient is the output's, mapped by the `transpose`.
pub(crate) fn record_transpose<E: Element>(
    tape: &mut Tape<E>,
    input: &Batch<E>,
    output: &Batch<E>,
    transpose: impl FnOnce(&[E]) -> Vec<E> + 'static,
) {
    record_added(tape, input, output, |upstream, gradient| accumulate(gradient, &transpose(upstream)));
}

/// As [`record_transpose`], where `add` adds the transpose of the output's gradient to the input's.
pub(crate) fn record_added<E: Element>(
    tape: &mut Tape<E>,
    input: &Batch<E>,
    output: &Batch<E>,
    add: impl FnOnce(&[E], &mut [E]) + 'static,
) {
    if !tape.records() {
        return;
    }
    let (input, output) = (input.ghost(), output.ghost());
    tape.add_backward_op(move |gradients| {
        // Taken, not put back: nothing earlier on the tape reads it, so its memory is freed here.
        let upstream = gradients.take(&output);
        add(&upstream, gradients.of(&input));
    });
}
