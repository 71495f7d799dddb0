//! The normalisation of a network's input, y = (x - mean) / std, channel by channel; x and y (N, H, W, C).
//!
//! mean and std are constants of the data a network was trained on; the pullback of a cotangent is cotangent / std.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::normalise::normalise;
//! let x = batch(vec![0.5f64, 1.0], (1, 1, 1, 2));
//! assert_eq!(view(&normalise(&mut Tape::off(), &x, &[0.25, 0.5], &[0.5, 0.25])), [0.5, 2.0]);
//! ```

use rayon::prelude::*;

use super::record_transpose;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, shape, view};

/// (x - mean) / std; a mean and a positive std for each channel.
pub fn normalise<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, mean: &[f64], std: &[f64]) -> Batch<E> {
    let channels = mean.len();
    let there = on_device(tape, &[x], shape(x), |program, x| {
        let [mean, std] = [mean, std].map(|values| program.constant(values, &[1, 1, 1, channels]));
        (x[0] - mean) / std
    });
    if let Some(y) = there {
        return y;
    }
    let mean: Vec<E> = mean.iter().map(|&mean| E::of(mean)).collect();
    let std: Vec<E> = std.iter().map(|&std| E::of(std)).collect();
    let y = each_pixel(view(x), std.len(), |x, channel| (x - mean[channel]) / std[channel]);
    let y = batch(y, shape(x));
    record_transpose(tape, x, &y, move |upstream| divided(upstream, &std));
    y
}

/// The cotangent of x for a cotangent of [`normalise`].
pub fn pullback<E: Element>(tape: &mut Tape<E>, cotangent: &Batch<E>, std: &[f64]) -> Batch<E> {
    let there = on_device(tape, &[cotangent], shape(cotangent), |program, cotangent| {
        cotangent[0] / program.constant(std, &[1, 1, 1, std.len()])
    });
    if let Some(result) = there {
        return result;
    }
    let std: Vec<E> = std.iter().map(|&std| E::of(std)).collect();
    let result = batch(divided(view(cotangent), &std), shape(cotangent));
    record_transpose(tape, cotangent, &result, move |upstream| divided(upstream, &std));
    result
}

/// Each channel divided by its std.
fn divided<E: Element>(values: &[E], std: &[E]) -> Vec<E> {
    each_pixel(values, std.len(), |value, channel| value / std[channel])
}

/// f(value, channel) for each value.
fn each_pixel<E: Element>(values: &[E], channels: usize, f: impl Fn(E, usize) -> E + Sync) -> Vec<E> {
    let mut result = values.to_vec();
    result.par_chunks_mut(channels).with_min_len(GRAIN.div_ceil(channels)).for_each(|pixel| {
        pixel.iter_mut().enumerate().for_each(|(channel, value)| *value = f(*value, channel));
    });
    result
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{check_directions, normal};

    #[test]
    fn each_channel_has_its_own_mean_and_deviation() {
        let x: Batch<f32> = batch(vec![1.0, 2.0, 3.0, 4.0], (1, 2, 1, 2));
        assert_eq!(view(&normalise(&mut Tape::off(), &x, &[1.0, 0.0], &[0.5, 2.0])), [0.0, 1.0, 4.0, 2.0]);
    }

    #[test]
    fn the_directions_are_transposed() {
        let (mean, std) = ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]);
        check_directions(
            &normal("x", (2, 2, 3, 3)),
            |tape, x| normalise(tape, x, &mean, &std),
            |tape, cotangent, _| pullback(tape, cotangent, &std),
        );
    }
}
