//! Weighted sums, alpha a + beta b, of batches of one shape; a batch of one image stands for all images of the other.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::arithmetic::combine;
//! let (a, b) = (batch(vec![1.0f64, 2.0, 3.0, 4.0], (2, 1, 1, 2)), batch(vec![10.0, 20.0], (1, 1, 1, 2)));
//! assert_eq!(view(&combine(&mut Tape::off(), 2.0, &a, -1.0, &b)), [-8.0, -16.0, -4.0, -12.0]);
//! ```

use rayon::prelude::*;

use super::activation::map_pairs;
use super::{accumulate, record_transpose};
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, image_len, shape, view};

/// alpha a + beta b.
pub fn combine<E: Element>(tape: &mut Tape<E>, alpha: E, a: &Batch<E>, beta: E, b: &Batch<E>) -> Batch<E> {
    let fits = image_len(a) == image_len(b) && (shape(a).0 == shape(b).0 || shape(a).0 == 1 || shape(b).0 == 1);
    assert!(fits, "combine: expected images alike, or one for all, found {:?} and {:?}", shape(a), shape(b));
    let larger = if shape(a).0 >= shape(b).0 { a } else { b };
    let (factors, (_, h, w, c)) = ([alpha.wide(), beta.wide()], shape(larger));
    let images = [shape(a).0, shape(b).0];
    let there = on_device(tape, &[a, b], shape(larger), |_, terms| {
        let [a, b] = [0, 1].map(|term| terms[term].reshape(&[images[term], h, w, c]) * factors[term]);
        a + b
    });
    if let Some(sum) = there {
        return sum;
    }
    let (a_values, b_values) = (view(a), view(b));
    let sum = match a_values.len() == b_values.len() {
        true => map_pairs(a_values, b_values, |a, b| alpha * a + beta * b),
        false => {
            let at = |values: &[E], i: usize| values[i % values.len()];
            let sums = (0..view(larger).len()).into_par_iter().with_min_len(GRAIN);
            sums.map(|i| alpha * at(a_values, i) + beta * at(b_values, i)).collect()
        }
    };
    let sum = batch(sum, shape(larger));
    record(tape, alpha, a, beta, b, &sum);
    sum
}

/// The whole batch `times` times, one after the other.
pub(crate) fn repeat<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, times: usize) -> Batch<E> {
    if times == 1 {
        return x.clone();
    }
    let (n, h, w, c) = shape(x);
    let there =
        on_device(tape, &[x], (n * times, h, w, c), |_, x| x[0].reshape(&[1, n, h, w, c]).expand(&[times, n, h, w, c]));
    if let Some(y) = there {
        return y;
    }
    let y = batch(view(x).repeat(times), (n * times, h, w, c));
    let length = view(x).len();
    record_transpose(tape, x, &y, move |upstream| {
        let mut sum = vec![E::zero(); length];
        upstream.chunks(length.max(1)).for_each(|part| accumulate(&mut sum, part));
        sum
    });
    y
}

fn record<E: Element>(tape: &mut Tape<E>, alpha: E, a: &Batch<E>, beta: E, b: &Batch<E>, sum: &Batch<E>) {
    if !tape.records() {
        return;
    }
    let lengths = [image_len(a) * shape(a).0, image_len(b) * shape(b).0];
    let (a, b, sum) = (a.ghost(), b.ghost(), sum.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&sum);
        for (term, factor, length) in [(&a, alpha, lengths[0]), (&b, beta, lengths[1])] {
            let target = gradients.of(term);
            for part in upstream.chunks(length.max(1)) {
                let pairs = target.par_iter_mut().zip(part).with_min_len(GRAIN);
                pairs.for_each(|(target, &upstream)| *target += factor * upstream);
            }
        }
    });
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::ops::checks::{check_gradients, normal};
    use crate::tensor::{Tape, backward, gradient};

    #[test]
    fn one_image_stands_for_all_and_collects_their_gradients() {
        let a: Batch<f64> = batch(vec![1.0, 2.0, 3.0, 4.0], (2, 1, 1, 2));
        let b: Batch<f64> = batch(vec![10.0, 20.0], (1, 1, 1, 2));
        let mut tape = Tape::recording();
        let sum = combine(&mut tape, 2.0, &a, -1.0, &b);
        assert_eq!(view(&sum), [-8.0, -16.0, -4.0, -12.0]);
        let mut gradients = backward(tape, &sum, vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!(gradient(&mut gradients, &a), [2.0, 4.0, 6.0, 8.0]);
        assert_eq!(gradient(&mut gradients, &b), [-4.0, -6.0]);
    }

    #[test]
    fn gradients_are_differences_whichever_is_one_image_or_the_same_tensor() {
        for (a, b) in [(3, 3), (3, 1), (1, 3), (1, 1)] {
            let inputs = [normal("a", (a, 2, 1, 3)), normal("b", (b, 2, 1, 3))];
            check_gradients(&inputs, |tape, inputs| combine(tape, 2.0, &inputs[0], -3.0, &inputs[1]));
        }
        check_gradients(&[normal("a", (3, 2, 1, 3))], |tape, inputs| combine(tape, 2.0, &inputs[0], -3.0, &inputs[0]));
    }
}
