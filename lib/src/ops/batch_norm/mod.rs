//! Batch normalisation, y = g (x - m) s + b with s = 1 / sqrt(v + eps), channel by channel; x (N, H, W, C), others (1, 1, 1, C).
//!
//! In training m and v are the mean and the (biased) variance of the batch, through which gradients flow; in inference they
//! are running statistics, constants (Ioffe and Szegedy 2015; defaults and running statistics are PyTorch's).
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::batch_norm::batch_norm_training;
//! let x = batch(vec![1.0f64, 3.0], (2, 1, 1, 1));
//! let (gain, bias) = (batch(vec![2.0], (1, 1, 1, 1)), batch(vec![5.0], (1, 1, 1, 1)));
//! // Mean 2, deviation 1.
//! let (y, _) = batch_norm_training(&mut Tape::off(), &x, &gain, &bias, 0.0);
//! assert_eq!(view(&y), [3.0, 7.0]);
//! ```

mod gradients;
mod rows;
mod statistics;
mod sums;

use super::activation::{before_rectifier, rectified, rectify};
use super::arithmetic::repeat;
use crate::tensor::device::{on_device, on_device_already, pulled_back};
use crate::tensor::{Batch, Element, Tape, batch, shape, view};
use gradients::{record, record_pullback, record_pullback_training};
use rows::{factors, normalised, scaled, scaled_where};
use sums::{Sums, project};

pub use statistics::{Moments, Statistics};

/// Inference: normalised by running statistics, and rectified where a slope below zero is given.
pub fn batch_norm<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    [gain, bias]: [&Batch<E>; 2],
    running: &Statistics,
    rectifier: Option<E>,
    epsilon: f64,
) -> Batch<E> {
    let there = on_device(tape, &[x, gain, bias], shape(x), |program, values| {
        let [mean, scale] = running.there(program, epsilon);
        let y = (values[0] - mean) * (scale * values[1]) + values[2];
        rectifier.map_or(y, |slope| y.above(0.0).select(y, y * slope.wide()))
    });
    if let Some(y) = there {
        return y;
    }
    let scales = running.scales::<E>(epsilon);
    if !tape.records() {
        return match rectifier {
            Some(slope) => normalised(x, gain, bias, &scales, move |y| rectify(y, slope)),
            None => normalised(x, gain, bias, &scales, |y| y),
        };
    }
    let y = normalised(x, gain, bias, &scales, |y| y);
    record(tape, x, gain, bias, &y, move |upstream, x, gain| {
        (scaled(upstream, &factors(gain, &scales)), Sums::of(upstream, x, &scales))
    });
    rectified(tape, y, rectifier)
}

/// Training: normalised by the batch's own statistics, which are returned.
pub fn batch_norm_training<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    bias: &Batch<E>,
    epsilon: f64,
) -> (Batch<E>, Moments<E>) {
    let there = on_device(tape, &[x, gain, bias], shape(x), |_, values| {
        statistics::normalised(values[0], epsilon) * values[1] + values[2]
    });
    if let Some(y) = there {
        return (y, Moments::of(x));
    }
    let statistics = Statistics::of(x);
    let scales = statistics.scales::<E>(epsilon);
    let y = normalised(x, gain, bias, &scales, |y| y);
    record(tape, x, gain, bias, &y, move |upstream, x, gain| {
        let sums = Sums::of(upstream, x, &scales);
        let gradient = project(upstream, x, gain, &scales, &sums);
        (gradient, sums)
    });
    (y, Moments::Here(statistics))
}

/// The cotangent of x for a cotangent of [`batch_norm`]: c g s, and where it rectified, 0 or the slope where its result `y`
/// (one image, or as many) is not above 0.
pub fn pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    rectifier: Option<(&Batch<E>, E)>,
    gain: &Batch<E>,
    running: &Statistics,
    epsilon: f64,
) -> Batch<E> {
    if on_device_already(&[cotangent, gain]) {
        let cotangent = before_rectifier(tape, cotangent, rectifier);
        let there = on_device(tape, &[&cotangent, gain], shape(&cotangent), |program, values| {
            let [_, scale] = running.there(program, epsilon);
            values[0] * (scale * values[1])
        });
        if let Some(result) = there {
            return result;
        }
    }
    let scales = running.scales::<E>(epsilon);
    if let Some((y, slope)) = rectifier.filter(|_| !tape.records()) {
        let values = scaled_where(view(cotangent), view(y), slope, &factors(view(gain), &scales));
        return batch(values, shape(cotangent));
    }
    let cotangent = before_rectifier(tape, cotangent, rectifier);
    let result = batch(scaled(view(&cotangent), &factors(view(gain), &scales)), shape(&cotangent));
    record_pullback(tape, &cotangent, gain, &result, scales);
    result
}

/// The cotangent of x for a cotangent c of [`batch_norm_training`]: `P(c) = g s (c - <c> - z <c z>)`, where z = (x - m) s
/// and `<.>` is the mean over the batch. P is its own transpose. Where `x` is one image, the batch was as many copies
/// of it as there are cotangents.
pub(crate) fn pullback_training<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    epsilon: f64,
) -> Batch<E> {
    let x = repeat(tape, x, shape(cotangent).0 / shape(x).0.max(1));
    let there = pulled_back(tape, cotangent, &[&x, gain], 0, |_, values| {
        statistics::normalised(values[0], epsilon) * values[1]
    });
    if let Some(result) = there {
        return result;
    }
    let scales = Statistics::of(&x).scales::<E>(epsilon);
    let sums = Sums::of(view(cotangent), &x, &scales);
    let result = batch(project(view(cotangent), &x, view(gain), &scales, &sums), shape(cotangent));
    record_pullback_training(tape, cotangent, &x, gain, &result, scales);
    result
}

#[cfg(test)]
mod tests;
