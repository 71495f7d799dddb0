//! Local response normalisation, y = x q^-beta with q = k + (alpha / size) (sum of x^2 over channels nearby), place by place; x (N, H, W, C).
//!
//! The channels nearby are `size` ones, from floor((size - 1) / 2) before to ceil((size - 1) / 2) after, those outside counted as zeros:
//! ONNX's LRN, and PyTorch's for an odd size. Source: Krizhevsky, Sutskever and Hinton 2012, section 3.3.
//!
//! ```
//! use obverse::ops::local_response::{LocalResponse, local_response_norm};
//! use obverse::tensor::{Tape, batch, view};
//! let x = batch(vec![1.0f64, 2.0], (1, 1, 1, 2));
//! let norm = LocalResponse { size: 3, alpha: 3.0, beta: 1.0, k: 0.0 };
//! assert_eq!(view(&local_response_norm(&mut Tape::off(), &x, norm)), [0.2, 0.4]);
//! ```

use obverse_engine::{Binary, Variable};

use super::accumulate;
use super::lanes::fill;
use crate::tensor::device::{on_device, pulled_back};
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, filled_in_chunks, shape, view};

/// The settings of local response normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponse {
    /// Channels that are summed over.
    pub size: usize,
    /// Times the mean of squares.
    pub alpha: f64,
    /// The exponent.
    pub beta: f64,
    /// Added to it.
    pub k: f64,
}

/// Local response normalisation.
pub fn local_response_norm<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, norm: LocalResponse) -> Batch<E> {
    if let Some(y) = on_device(tape, &[x], shape(x), |_, x| norm.there(x[0])) {
        return y;
    }
    let y = batch(norm.rows(shape(x).3, [view(x)], |[x], y, row| row.forward(x, y)), shape(x));
    if tape.records() {
        let (x, kept) = (x.clone(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.take(&kept);
            let of_x = norm.rows(shape(&x).3, [&upstream, view(&x)], |[c, x], result, row| row.back(c, x, result));
            accumulate(gradients.of(&x), &of_x);
        });
    }
    y
}

/// The cotangent of x for a cotangent c of [`local_response_norm`]: c q^-beta - 2 (alpha / size) beta x S(c x q^(-beta - 1)), where S sums
/// over the channels that have one nearby. Where `x` is one image, it stands for all of them.
pub fn pullback<E: Element>(tape: &mut Tape<E>, cotangent: &Batch<E>, x: &Batch<E>, norm: LocalResponse) -> Batch<E> {
    if let Some(result) = pulled_back(tape, cotangent, &[x], 0, |_, x| norm.there(x[0])) {
        return result;
    }
    let channels = shape(x).3;
    let values = norm.rows(channels, [view(cotangent), view(x)], |[c, x], result, row| row.back(c, x, result));
    let result = batch(values, shape(cotangent));
    if tape.records() {
        let (cotangent, x, kept) = (cotangent.clone(), x.clone(), result.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.take(&kept);
            let all = [&upstream[..], view(&cotangent), view(&x)];
            let of_x = norm.rows(channels, all, |[u, c, x], result, row| row.back_twice(u, c, x, result));
            let target = gradients.of(&x);
            of_x.chunks(view(&x).len().max(1)).for_each(|part| accumulate(target, part));
            let of_c = norm.rows(channels, [&upstream, view(&x)], |[u, x], result, row| row.along(u, x, result));
            accumulate(gradients.of(&cotangent), &of_c);
        });
    }
    result
}

impl LocalResponse {
    /// x q^-beta, for devices.
    fn there(self, x: Variable<'_>) -> Variable<'_> {
        let channels = x.shape()[3];
        let padded = x.squared().place_in(3, (self.size - 1) / 2, 1, channels + self.size - 1);
        let sum =
            (1..self.size).fold(padded.slice(3, 0, 1, channels), |sum, at| sum + padded.slice(3, at, 1, channels));
        let q = sum.affine(self.alpha / self.size as f64, self.k);
        x * q.binary(Binary::Power, q.affine(0.0, -self.beta))
    }

    /// `fill` applied to the channels at each place of several arrays; the last may be one image that stands for all.
    fn rows<E: Element, const S: usize>(
        self,
        channels: usize,
        arrays: [&[E]; S],
        fill: impl Fn([&[E]; S], &mut [E], &mut Row<E>) + Sync + Send,
    ) -> Vec<E> {
        let rows = GRAIN.div_ceil(channels);
        filled_in_chunks(
            arrays[0].len(),
            rows * channels,
            || Row::new(self, channels),
            |row, chunk, result| {
                for (number, result) in result.chunks_exact_mut(channels).enumerate() {
                    let first = (chunk * rows + number) * channels;
                    let arrays = arrays.map(|array| &array[first % array.len()..][..channels]);
                    row.set(arrays[S - 1]);
                    fill(arrays, result, row);
                }
            },
        )
    }
}

/// What is known of the channels x at a place, and room for sums.
struct Row<E> {
    norm: LocalResponse,
    /// q.
    squares: Vec<E>,
    /// q^-beta.
    powers: Vec<E>,
    terms: Vec<E>,
    sums: Vec<E>,
    more: Vec<E>,
}

impl<E: Element> Row<E> {
    fn new(norm: LocalResponse, channels: usize) -> Self {
        let zeros = || vec![E::zero(); channels];
        Self { norm, squares: zeros(), powers: zeros(), terms: zeros(), sums: zeros(), more: zeros() }
    }

    /// alpha / size.
    fn share(&self) -> f64 {
        self.norm.alpha / self.norm.size as f64
    }

    /// 2 (alpha / size) beta.
    fn factor(&self) -> E {
        E::of(2.0 * self.share() * self.norm.beta)
    }

    fn set(&mut self, x: &[E]) {
        let (share, k, beta) = (E::of(self.share()), E::of(self.norm.k), E::of(-self.norm.beta));
        fill(&mut self.terms, [x], |[x]| x * x);
        nearby(&self.terms, self.norm.size, &mut self.sums);
        fill(&mut self.squares, [&self.sums], |[sum]| k + share * sum);
        match self.norm.beta {
            // The exponent of every network known, by operations that are turned into vectors.
            0.75 => fill(&mut self.powers, [&self.squares], |[q]| E::one() / (q.sqrt() * q.sqrt().sqrt())),
            _ => fill(&mut self.powers, [&self.squares], |[q]| q.powf(beta)),
        }
    }

    /// x q^-beta.
    fn forward(&self, x: &[E], y: &mut [E]) {
        fill(y, [x, &self.powers], |[x, power]| x * power);
    }

    /// The pullback of c.
    fn back(&mut self, c: &[E], x: &[E], result: &mut [E]) {
        let factor = self.factor();
        fill(&mut self.terms, [c, x, &self.powers, &self.squares], |[c, x, power, q]| c * x * power / q);
        nearby_transposed(&self.terms, self.norm.size, &mut self.sums);
        fill(result, [c, x, &self.powers, &self.sums], |[c, x, power, sum]| c * power - factor * x * sum);
    }

    /// The derivative of y along u, the transpose of the pullback: u q^-beta - 2 (alpha / size) beta x q^(-beta - 1) T(u x), where T sums
    /// over the channels nearby.
    fn along(&mut self, u: &[E], x: &[E], result: &mut [E]) {
        let factor = self.factor();
        fill(&mut self.terms, [u, x], |[u, x]| u * x);
        nearby(&self.terms, self.norm.size, &mut self.sums);
        let all = [u, x, &self.powers, &self.squares, &self.sums];
        fill(result, all, |[u, x, power, q, sum]| u * power - factor * x * sum * power / q);
    }

    /// The derivative in x of the sum of u times the pullback of c. With p = T(u x) and e = q^(-beta - 1) it is
    /// -2 (alpha / size) beta (x S(c e (u - 2 (alpha / size) (beta + 1) p x / q)) + u S(c x e) + p c e).
    fn back_twice(&mut self, u: &[E], c: &[E], x: &[E], result: &mut [E]) {
        let (factor, size) = (self.factor(), self.norm.size);
        let bend = E::of(2.0 * self.share() * (self.norm.beta + 1.0));
        fill(&mut self.terms, [c, x, &self.powers, &self.squares], |[c, x, power, q]| c * x * power / q);
        nearby_transposed(&self.terms, size, &mut self.sums);
        fill(&mut self.more, [u, &self.sums], |[u, sum]| u * sum);
        fill(&mut self.terms, [u, x], |[u, x]| u * x);
        nearby(&self.terms, size, &mut self.sums);
        let all = [c, &self.more, &self.powers, &self.squares, &self.sums];
        fill(result, all, |[c, more, power, q, p]| more + p * c * power / q);
        let all = [u, c, x, &self.powers, &self.squares, &self.sums];
        fill(&mut self.terms, all, |[u, c, x, power, q, p]| c * power / q * (u - bend * p * x / q));
        nearby_transposed(&self.terms, size, &mut self.sums);
        let pairs = result.iter_mut().zip(x).zip(&self.sums);
        pairs.for_each(|((result, &x), &sum)| *result = -factor * (*result + x * sum));
    }
}

/// For each channel the sum over the channels nearby.
fn nearby<E: Element>(values: &[E], size: usize, sums: &mut [E]) {
    banded(values, (size - 1) / 2, size / 2, sums);
}

/// For each channel the sum over the channels that it is nearby.
fn nearby_transposed<E: Element>(values: &[E], size: usize, sums: &mut [E]) {
    banded(values, size / 2, (size - 1) / 2, sums);
}

/// For each place the sum of the values from so many before it to so many after it.
fn banded<E: Element>(values: &[E], before: usize, after: usize, sums: &mut [E]) {
    sums.fill(E::zero());
    for shift in (1..=before.min(values.len())).rev() {
        sums[shift..].iter_mut().zip(values).for_each(|(sum, &value)| *sum += value);
    }
    for shift in 0..=after.min(values.len()) {
        sums.iter_mut().zip(&values[shift..]).for_each(|(sum, &value)| *sum += value);
    }
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{assert_close, check_directions, normal, repeated};

    fn norm(size: usize, beta: f64) -> LocalResponse {
        LocalResponse { size, alpha: 0.5, beta, k: 2.0 }
    }

    /// For size 3 PyTorch's; for size 4, where PyTorch has one more channel before instead of after, PyTorch's of the channels in the
    /// opposite order.
    #[test]
    fn values_are_those_of_the_formula() {
        let x: Batch<f64> = batch(vec![1.0, 2.0, -3.0, 0.5, 4.0], (1, 1, 1, 5));
        let three =
            [0.45790643500456496, 0.6659067581404804, -1.021030359493885, 0.12712727395038406, 1.251438725503138];
        let four =
            [0.3710876911618321, 0.7375703529127824, -0.8179463284437598, 0.14612331961663053, 1.4059833974313267];
        for (size, expected) in [(3, three), (4, four)] {
            assert_close(view(&local_response_norm(&mut Tape::off(), &x, norm(size, 0.75))), &expected, 1e-15);
        }
    }

    #[test]
    fn the_exponent_that_is_computed_by_roots_is_that_of_the_power() {
        let x: Batch<f64> = normal("x", (1, 2, 2, 7));
        let [roots, power] = [0.75, 0.75 + 1e-15].map(|beta| local_response_norm(&mut Tape::off(), &x, norm(5, beta)));
        assert_close(view(&roots), view(&power), 1e-14);
    }

    #[test]
    fn the_directions_are_transposed_and_have_gradients() {
        // Windows of fewer channels than there are, and of more.
        for (size, beta) in [(3, 0.75), (2, 0.5), (5, 1.5), (9, 0.75)] {
            let norm = norm(size, beta);
            check_directions(
                &normal("x", (2, 1, 2, 4)),
                |tape, x| local_response_norm(tape, x, norm),
                |tape, cotangent, x| pullback(tape, cotangent, x, norm),
            );
        }
    }

    #[test]
    fn one_image_stands_for_a_batch_of_copies() {
        let (x, cotangent) = (normal("x", (1, 3, 2, 4)), normal("a cotangent", (5, 3, 2, 4)));
        let pull = |x: &Batch<f64>| pullback(&mut Tape::off(), &cotangent, x, norm(3, 0.75));
        assert_eq!(view(&pull(&x)), view(&pull(&repeated(&x, 5))));
    }
}
