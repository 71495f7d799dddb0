//! Pieces of a diagonal Gaussian on the tape: e^(factor x), which makes deviations and variances of log-variances, and
//! products of batches; all element by element, (N, H, W, C).
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::gaussian::exponential;
//! // The deviation of a variance of 9.
//! let deviation = exponential(&mut Tape::off(), &batch(vec![9f64.ln()], (1, 1, 1, 1)), 0.5);
//! assert!((view(&deviation)[0] - 3.0).abs() < 1e-12);
//! ```

use rayon::prelude::*;

use super::accumulate;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, shape, view};

/// e^(factor x): the deviation of a log-variance with factor 1/2, its variance with 1.
pub fn exponential<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, factor: f64) -> Batch<E> {
    if let Some(y) = on_device(tape, &[x], shape(x), |_, x| (x[0] * factor).exp()) {
        return y;
    }
    let factor = E::of(factor);
    let y = view(x).par_iter().with_min_len(GRAIN).map(|&x| (factor * x).exp()).collect();
    let y = batch(y, shape(x));
    if tape.records() {
        let (x, output) = (x.ghost(), y.clone());
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.take(&output);
            let slopes = upstream.iter().zip(view(&output)).map(|(&upstream, &y)| factor * y * upstream);
            accumulate(gradients.of(&x), &slopes.collect::<Vec<_>>());
        });
    }
    y
}

/// a b; a batch of one image stands for all images of the other.
pub fn multiply<E: Element>(tape: &mut Tape<E>, a: &Batch<E>, b: &Batch<E>) -> Batch<E> {
    let larger = if shape(a).0 >= shape(b).0 { a } else { b };
    let (images, (_, h, w, c)) = ([shape(a).0, shape(b).0], shape(larger));
    let there = on_device(tape, &[a, b], shape(larger), |_, terms| {
        let [a, b] = [0, 1].map(|term| terms[term].reshape(&[images[term], h, w, c]));
        a * b
    });
    if let Some(y) = there {
        return y;
    }
    let y = batch(products(view(larger).len(), view(a), view(b)), shape(larger));
    if tape.records() {
        let (a, b, output) = (a.clone(), b.clone(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.take(&output);
            for (term, other) in [(&a, &b), (&b, &a)] {
                let slopes = products(upstream.len(), &upstream, view(other));
                let target = gradients.of(term);
                slopes.chunks(view(term).len().max(1)).for_each(|part| accumulate(target, part));
            }
        });
    }
    y
}

/// a[i] b[i], where the shorter repeats.
fn products<E: Element>(length: usize, a: &[E], b: &[E]) -> Vec<E> {
    (0..length).into_par_iter().with_min_len(GRAIN).map(|i| a[i % a.len()] * b[i % b.len()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::{check_gradients, normal};

    #[test]
    fn gradients_are_differences_also_with_one_row_for_all() {
        check_gradients(&[normal("x", (2, 1, 2, 3))], |tape, x| exponential(tape, &x[0], 0.5));
        for rows in [[3, 3], [3, 1], [1, 3]] {
            let pair = [normal("a", (rows[0], 1, 1, 4)), normal("b", (rows[1], 1, 1, 4))];
            check_gradients(&pair, |tape, x| multiply(tape, &x[0], &x[1]));
        }
        // Both factors are one tensor: its gradient collects both parts.
        check_gradients(&[normal("a", (3, 1, 1, 4))], |tape, x| multiply(tape, &x[0], &x[0]));
    }
}
