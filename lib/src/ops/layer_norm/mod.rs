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

use obverse_engine::Variable;

use super::accumulate;
use crate::tensor::device::{on_device, pulled_back};
use crate::tensor::{Batch, Element, Tape, batch, count, shape, view};
use rows::{back, back_twice, forward};

/// What rows are normalised by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// Their deviation, after their mean is subtracted; this is added to the variance.
    Deviation(f64),
    /// The root of their mean square, to which this is added.
    RootMeanSquare(f64),
}

impl Norm {
    /// g (x - m) s, for devices.
    fn scaled<'p>(self, x: Variable<'p>, gain: Variable<'p>) -> Variable<'p> {
        let (centred, epsilon) = match self {
            Self::Deviation(epsilon) => (x - x.mean(&[3]), epsilon),
            Self::RootMeanSquare(epsilon) => (x, epsilon),
        };
        let scale = (centred.squared().mean(&[3]) + epsilon).sqrt().recip();
        centred * scale * gain.reshape(&[1, 1, 1, x.shape()[3]])
    }
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
    let fits = count(gain) == shape(x).3 && bias.is_none_or(|bias| count(bias) == shape(x).3);
    assert!(fits, "layer_norm: expected a gain and a bias for each of {} channels", shape(x).3);
    let inputs: Vec<&Batch<E>> = [x, gain].into_iter().chain(bias).collect();
    let there = on_device(tape, &inputs, shape(x), |_, values| {
        let y = norm.scaled(values[0], values[1]);
        values.get(2).map_or(y, |bias| y + bias.reshape(&[1, 1, 1, y.shape()[3]]))
    });
    if let Some(y) = there {
        return y;
    }
    let y = batch(forward(view(x), view(gain), bias.map(view), norm), shape(x));
    if tape.records() {
        let (x, gain, bias, y) = (x.clone(), gain.clone(), bias.map(|bias| bias.ghost()), y.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.take(&y);
            let (of_x, [of_gain, of_bias]) = back(&upstream, view(&x), view(&gain), norm);
            accumulate(gradients.of(&x), &of_x);
            accumulate(gradients.of(&gain), &of_gain);
            if let Some(bias) = bias {
                accumulate(gradients.of(&bias), &of_bias);
            }
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
    if let Some(result) = pulled_back(tape, cotangent, &[x, gain], 0, |_, values| norm.scaled(values[0], values[1])) {
        return result;
    }
    let (values, _) = back(view(cotangent), view(x), view(gain), norm);
    let result = batch(values, shape(cotangent));
    if tape.records() {
        let (cotangent, x, gain, kept) = (cotangent.clone(), x.clone(), gain.clone(), result.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.take(&kept);
            let [of_cotangent, of_x, of_gain] = back_twice(&upstream, view(&cotangent), view(&x), view(&gain), norm);
            accumulate(gradients.of(&cotangent), &of_cotangent);
            let target = gradients.of(&x);
            of_x.chunks(view(&x).len().max(1)).for_each(|part| accumulate(target, part));
            accumulate(gradients.of(&gain), &of_gain);
        });
    }
    result
}
