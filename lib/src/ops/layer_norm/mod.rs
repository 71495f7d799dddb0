//! Layer normalisation, y = g (x - m) s + b with s = 1 / sqrt(v + eps), place by place; x (N, H, W, C), g and b (1, 1, 1, C).
//!
//! m and v are the mean and the (biased) variance of the channels at one place (Ba, Kiros and Hinton 2016). RMS normalisation is the same
//! without mean and bias: m = 0, v the mean of squares (Zhang and Sennrich 2019).
//!
//! ```
//! use obverse::ops::layer_norm::{layer_norm, rms_norm};
//! use obverse::tensor::{Tape, batch, view};
//! let x = batch(vec![1.0f64, 3.0], (1, 1, 1, 2));
//! let (gain, bias) = (batch(vec![2.0, 2.0], (1, 1, 1, 2)), batch(vec![5.0, 5.0], (1, 1, 1, 2)));
//! // Mean 2, deviation 1.
//! assert_eq!(view(&layer_norm(&mut Tape::off(), &x, &gain, &bias, 0.0)), [3.0, 7.0]);
//! // Mean square 4.
//! let (x, gain) = (batch(vec![4.0, 0.0, 0.0, 0.0], (1, 1, 1, 4)), batch(vec![1.0; 4], (1, 1, 1, 4)));
//! assert_eq!(view(&rms_norm(&mut Tape::off(), &x, &gain, 0.0)), [2.0, 0.0, 0.0, 0.0]);
//! ```

mod rows;
#[cfg(test)]
mod tests;

use super::accumulate;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};
use rows::{back, back_twice, forward};

/// What rows are normalised by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// Their deviation, after their mean is subtracted; this is added to the variance.
    Deviation(f64),
    /// The root of their mean square, to which this is added.
    RootMeanSquare(f64),
}

/// Layer normalisation.
pub fn layer_norm<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    bias: &Batch<E>,
    epsilon: f64,
) -> Batch<E> {
    normalised(tape, x, gain, Some(bias), Norm::Deviation(epsilon))
}

/// RMS normalisation.
pub fn rms_norm<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, gain: &Batch<E>, epsilon: f64) -> Batch<E> {
    normalised(tape, x, gain, None, Norm::RootMeanSquare(epsilon))
}

fn normalised<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    bias: Option<&Batch<E>>,
    norm: Norm,
) -> Batch<E> {
    let fits = view(gain).len() == shape(x).3 && bias.is_none_or(|bias| view(bias).len() == shape(x).3);
    assert!(fits, "layer_norm: expected a gain and a bias for each of {} channels", shape(x).3);
    let y = batch(forward(view(x), view(gain), bias.map(view), norm), shape(x));
    if tape.records() {
        let (x, gain, bias, y) = (x.clone(), gain.clone(), bias.map(|bias| bias.ghost()), y.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&y)?);
            let (of_x, [of_gain, of_bias]) = back(&upstream, view(&x), view(&gain), norm);
            accumulate(gradients.get_or_alloc_mut(&x)?, &of_x);
            accumulate(gradients.get_or_alloc_mut(&gain)?, &of_gain);
            if let Some(bias) = bias {
                accumulate(gradients.get_or_alloc_mut(&bias)?, &of_bias);
            }
            Ok(())
        });
    }
    y
}

/// The cotangent of x for a cotangent c of [`layer_norm`] or [`rms_norm`]: `P(g c)` with `P(w) = s (w - <w> - z <w z>)`, where
/// z = (x - m) s and `<.>` is the mean over a place's channels; where no mean is subtracted, without `<w>`. P is its own transpose. Where
/// `x` is one image, it stands for all of them.
pub fn pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    norm: Norm,
) -> Batch<E> {
    let (values, _) = back(view(cotangent), view(x), view(gain), norm);
    let result = batch(values, shape(cotangent));
    if tape.records() {
        let (cotangent, x, gain, kept) = (cotangent.clone(), x.clone(), gain.clone(), result.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&kept)?);
            let [of_cotangent, of_x, of_gain] = back_twice(&upstream, view(&cotangent), view(&x), view(&gain), norm);
            accumulate(gradients.get_or_alloc_mut(&cotangent)?, &of_cotangent);
            let target = gradients.get_or_alloc_mut(&x)?;
            of_x.chunks(view(&x).len().max(1)).for_each(|part| accumulate(target, part));
            accumulate(gradients.get_or_alloc_mut(&gain)?, &of_gain);
            Ok(())
        });
    }
    result
}
