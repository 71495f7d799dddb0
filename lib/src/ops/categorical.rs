//! Negative log-likelihood of 8-bit pixels under a softmax over their 256 values, in nats per image; (N, H, W, 256) -> (N, 1, 1, 1).
//!
//! `nll = sum over pixels of ln sum_k e^l[k] - l[x]` (van den Oord et al. 2016). Logits may reach beyond the images, at the bottom
//! and to the right: what lies there does not count.
//!
//! ```
//! use obverse::ops::categorical::{VALUES, categorical};
//! use obverse::tensor::{Tape, view, zeros};
//! let nats = categorical::<f64>(&mut Tape::off(), &zeros((1, 1, 2, VALUES)), &[0, 255], (1, 2));
//! assert!((view(&nats)[0] - 2.0 * 256f64.ln()).abs() < 1e-12);
//! ```

use rayon::prelude::*;

use super::{Kernel, accumulate, vectorised};
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};

/// Values of a pixel.
pub const VALUES: usize = 256;

/// The number of partial sums of a row, so that the sum is vectorised.
const WAYS: usize = 16;

/// The negative log-likelihood of each image of one channel: `pixels` are (N, h, w), `size` is (h, w), h <= H, w <= W.
pub fn categorical<E: Element>(tape: &mut Tape<E>, logits: &Batch<E>, pixels: &[u8], size: (usize, usize)) -> Batch<E> {
    let (images, height, width, values) = shape(logits);
    debug_assert_eq!((values, pixels.len()), (VALUES, images * size.0 * size.1));
    let there = on_device(tape, &[logits], (images, 1, 1, 1), |program, logits| {
        let logits = logits[0].slice(1, 0, 1, size.0).slice(2, 0, 1, size.1);
        let logits = logits.reshape(&[images, size.0 * size.1, VALUES]);
        let mut truth = vec![0.0; pixels.len() * VALUES];
        pixels.iter().enumerate().for_each(|(pixel, &value)| truth[pixel * VALUES + usize::from(value)] = 1.0);
        let truth = program.constant(&truth, &[images, size.0 * size.1, VALUES]);
        let below = logits - logits.largest(2).fixed();
        (below.exp().sum(&[2]).ln() - (below * truth).sum(&[2])).sum(&[1])
    });
    if let Some(nll) = there {
        return nll;
    }
    let normalisers: Vec<E> = view(logits)
        .par_chunks((height * width * VALUES).max(1))
        .flat_map_iter(|image| rows(image, (height, width), size).map(vectorised::<LogSum, _>))
        .collect();
    let area = (size.0 * size.1).max(1);
    let nll = |image: usize| -> f64 {
        let logits = &view(logits)[image * height * width * VALUES..][..height * width * VALUES];
        let known = pixels[image * area..][..area].iter().zip(&normalisers[image * area..]);
        rows(logits, (height, width), size).zip(known).map(|(row, (&x, z))| z.wide() - row[usize::from(x)].wide()).sum()
    };
    let result = batch((0..images).map(|image| E::of(nll(image))).collect(), (images, 1, 1, 1));
    record(tape, logits, &result, pixels, size, normalisers);
    result
}

/// The logits of the pixels that count.
fn rows<E>(image: &[E], (_, width): (usize, usize), size: (usize, usize)) -> impl Iterator<Item = &[E]> {
    image.chunks_exact(width * VALUES).take(size.0).flat_map(move |line| line.chunks_exact(VALUES).take(size.1))
}

/// ln sum e^l of a row, without overflow.
struct LogSum;

impl<E: Element> Kernel<&[E]> for LogSum {
    type Output = E;

    #[inline(always)]
    fn run(row: &[E]) -> E {
        let mut largest = [E::neg_infinity(); WAYS];
        for part in row.chunks_exact(WAYS) {
            for (largest, &value) in largest.iter_mut().zip(part) {
                *largest = if value > *largest { value } else { *largest };
            }
        }
        let largest = largest.iter().fold(E::neg_infinity(), |a, &b| a.max(b));
        let mut sums = [E::zero(); WAYS];
        for part in row.chunks_exact(WAYS) {
            sums.iter_mut().zip(part).for_each(|(sum, &value)| *sum += (value - largest).exponential());
        }
        largest + sums.iter().fold(E::zero(), |a, &b| a + b).ln()
    }
}

/// factor e^(l - normaliser) of each logit of a row.
struct Shares;

impl<E: Element> Kernel<(&[E], E, E, &mut [E])> for Shares {
    type Output = ();

    #[inline(always)]
    fn run((row, normaliser, factor, result): (&[E], E, E, &mut [E])) {
        for (result, &logit) in result.iter_mut().zip(row) {
            *result = factor * (logit - normaliser).exponential();
        }
    }
}

/// The value that a uniform number draws from the softmax of these logits, divided by the temperature.
pub fn draw(logits: &[f64], uniform: f64, temperature: f64) -> usize {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, &value| largest.max(value));
    let masses: Vec<f64> = logits.iter().map(|value| ((value - largest) / temperature).exp()).collect();
    let mut left = uniform * masses.iter().sum::<f64>();
    for (value, mass) in masses.iter().enumerate() {
        left -= mass;
        if left < 0.0 {
            return value;
        }
    }
    // Rounding can leave a rest beyond the last value: then it is the one drawn.
    masses.len().saturating_sub(1)
}

fn record<E: Element>(
    tape: &mut Tape<E>,
    logits: &Batch<E>,
    nll: &Batch<E>,
    pixels: &[u8],
    size: (usize, usize),
    normalisers: Vec<E>,
) {
    if !tape.records() {
        return;
    }
    let (logits, nll, pixels) = (logits.clone(), nll.ghost(), pixels.to_vec());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&nll);
        let (_, height, width, _) = shape(&logits);
        let (image, area) = ((height * width * VALUES).max(1), (size.0 * size.1).max(1));
        let mut result = vec![E::zero(); view(&logits).len()];
        let images = result.par_chunks_mut(image).zip(view(&logits).par_chunks(image));
        let known = pixels.par_chunks(area).zip(normalisers.par_chunks(area)).zip(&upstream);
        images.zip(known).for_each(|((result, logits), ((pixels, normalisers), &upstream))| {
            for (pixel, (&x, &normaliser)) in pixels.iter().zip(normalisers).enumerate() {
                let place = (pixel / size.1 * width + pixel % size.1) * VALUES;
                let row = &mut result[place..place + VALUES];
                vectorised::<Shares, _>((&logits[place..place + VALUES], normaliser, upstream, &mut *row));
                row[usize::from(x)] -= upstream;
            }
        });
        accumulate(gradients.of(&logits), &result);
    });
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::ops::checks::{Case, assert_close, check_gradients, normal};
    use crate::store::npy::Scalar;
    use crate::tensor::{Tape, backward, gradient};

    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("logistic_mixture");
        let logits = case.array::<E>("softmax.logits");
        let (_, height, width, _) = shape(&logits);
        let pixels = case.pixels("softmax.x");
        let mut tape = Tape::recording();
        let nll = categorical(&mut tape, &logits, &pixels, (height, width));
        assert_close(view(&nll), view(&case.array::<f64>("softmax.nll")), case.tolerance::<E>());
        let mut gradients = backward(tape, &nll, vec![E::one(); view(&nll).len()]);
        let expected = case.array::<f64>("softmax.grad");
        assert_close(&gradient(&mut gradients, &logits), view(&expected), case.tolerance::<E>());
    }

    #[test]
    fn oracle_values_and_gradients() {
        check_oracle::<f32>();
        check_oracle::<f64>();
    }

    #[test]
    fn gradients_are_differences_and_what_lies_outside_has_none() {
        let pixels = [0, 255, 3, 9, 100, 200];
        check_gradients(&[normal("logits", (1, 3, 4, 256))], |tape, x| categorical(tape, &x[0], &pixels, (2, 3)));
    }

    #[test]
    fn draws_have_the_shares_of_their_masses_and_a_low_temperature_takes_the_largest() {
        let logits = [0.0, 2f64.ln(), 5f64.ln()];
        let uniforms = (0..8000).map(|i| (f64::from(i) + 0.5) / 8000.0);
        let mut counts = [0; 3];
        uniforms.for_each(|uniform| counts[draw(&logits, uniform, 1.0)] += 1);
        assert_eq!(counts, [1000, 2000, 5000]);
        assert!([0.01, 0.5, 0.99].iter().all(|&uniform| draw(&logits, uniform, 1e-3) == 2));
    }

    #[test]
    fn equal_logits_give_eight_bits_a_pixel() {
        let logits: Batch<f32> = batch(vec![300.0; 2 * 4 * 256], (2, 2, 2, 256));
        let nll = categorical(&mut Tape::off(), &logits, &[7; 8], (2, 2));
        assert!(view(&nll).iter().all(|nll| (nll - 4.0 * 256f32.ln()).abs() < 1e-3), "{:?}", view(&nll));
    }
}
