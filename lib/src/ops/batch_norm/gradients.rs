//! The gradients of batch normalisation and of its pullbacks.

use super::rows::{each, factors, scaled};
use super::sums::{Sums, means, project};
use crate::ops::accumulate;
use crate::tensor::{Batch, Element, Gradients, Tape, view};

/// Adds one value per channel to a gradient.
fn add_channels<E: Element>(target: &mut [E], value: impl Fn(usize) -> f64) {
    target.iter_mut().enumerate().for_each(|(channel, target)| *target += E::of(value(channel)));
}

/// Records the gradients of x, g and b for that of y; `back` gives that of x and the sums for the others.
pub(super) fn record<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    bias: &Batch<E>,
    y: &Batch<E>,
    back: impl FnOnce(&[E], &Batch<E>, &[E]) -> (Vec<E>, Sums) + 'static,
) {
    if !tape.records() {
        return;
    }
    let (x, gain, bias, y) = (x.clone(), gain.clone(), bias.ghost(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&y);
        let (gradient, sums) = back(&upstream, &x, view(&gain));
        accumulate(gradients.of(&x), &gradient);
        add_channels(gradients.of(&gain), |channel| sums.total(channel, 1));
        add_channels(gradients.of(&bias), |channel| sums.total(channel, 0));
    });
}

/// Records the gradients of c and g for that of c g s.
pub(super) fn record_pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    gain: &Batch<E>,
    result: &Batch<E>,
    scales: Vec<(E, E)>,
) {
    if !tape.records() {
        return;
    }
    let (cotangent, gain, result) = (cotangent.clone(), gain.clone(), result.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&result);
        let channels = scales.len();
        let values = view(&cotangent);
        let product = |i: usize, channel: usize| [(upstream[i] * values[i] * scales[channel].1).wide()];
        let rows = upstream.len() / channels.max(1);
        let products: Vec<_> = means(channels, rows, product).collect();
        add_channels(gradients.of(&gain), |channel| products[channel][0] * rows as f64);
        let gradient = scaled(&upstream, &factors(view(&gain), &scales));
        accumulate(gradients.of(&cotangent), &gradient);
    });
}

/// Records the gradients of c, x and g for that of P(c).
pub(super) fn record_pullback_training<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    result: &Batch<E>,
    scales: Vec<(E, E)>,
) {
    if !tape.records() {
        return;
    }
    let (cotangent, x, gain, result) = (cotangent.clone(), x.clone(), gain.clone(), result.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&result);
        let of_upstream = Sums::of(&upstream, &x, &scales);
        let gradient = project(&upstream, &x, view(&gain), &scales, &of_upstream);
        accumulate(gradients.of(&cotangent), &gradient);
        let second = Second::of(&upstream, of_upstream, view(&cotangent), &x, scales);
        accumulate(gradients.of(&x), &second.x_gradient(&upstream, view(&cotangent), &x, view(&gain)));
        second.add_gain_gradient(gradients, &gain);
    });
}

/// The terms of the derivative of <u P(c)> in x and g.
///
/// With A = <u c> - <u><c>, B = <u z> and D = <c z>, <u P(c)> is g s (A - B D). Its derivative in x, times the batch's
/// size, is -g s^2 (z (A - 3 B D) + D (u - <u>) + B (c - <c>)), since ds/dx = -s^2 z / size and, in the same unit,
/// dB/dx = s (u - <u> - z B), dD/dx = s (c - <c> - z D).
struct Second<E> {
    of_upstream: Sums,
    of_cotangent: Sums,
    /// A of each channel.
    covariances: Vec<f64>,
    scales: Vec<(E, E)>,
}

impl<E: Element> Second<E> {
    fn of(upstream: &[E], of_upstream: Sums, cotangent: &[E], x: &Batch<E>, scales: Vec<(E, E)>) -> Self {
        let of_cotangent = Sums::of(cotangent, x, &scales);
        let products = means(scales.len(), of_upstream.count, |i, _| [upstream[i].wide() * cotangent[i].wide()]);
        let pairs = products.zip(of_upstream.means.iter().zip(&of_cotangent.means));
        let covariances = pairs.map(|([product], (u, c))| product - u[0] * c[0]).collect();
        Self { of_upstream, of_cotangent, covariances, scales }
    }

    /// The derivative in x.
    fn x_gradient(&self, upstream: &[E], cotangent: &[E], x: &Batch<E>, gain: &[E]) -> Vec<E> {
        let values = view(x);
        each(x, |i, channel| {
            let (mean, factor) = self.scales[channel];
            let [mean_u, b] = self.of_upstream.means[channel];
            let [mean_c, d] = self.of_cotangent.means[channel];
            let bend = E::of(self.covariances[channel] - 3.0 * b * d);
            let sum = (values[i] - mean) * factor * bend
                + E::of(d) * (upstream[i] - E::of(mean_u))
                + E::of(b) * (cotangent[i] - E::of(mean_c));
            -gain[channel] * factor * factor * sum
        })
    }

    /// The derivative in g: s (A - B D) times the batch's size.
    fn add_gain_gradient(&self, gradients: &mut Gradients<E>, gain: &Batch<E>) {
        let count = self.of_upstream.count as f64;
        add_channels(gradients.of(gain), |channel| {
            let product = self.of_upstream.means[channel][1] * self.of_cotangent.means[channel][1];
            self.scales[channel].1.wide() * (self.covariances[channel] - product) * count
        });
    }
}
