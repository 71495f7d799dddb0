//! Batch normalisation, y = g (x - m) s + b with s = 1 / sqrt(v + eps), a channel at a time; x (N, H, W, C), others (1, 1, 1, C).
//!
//! In training m and v are the mean and the (biased) variance of the batch, through which gradients flow; in inference they
//! are running statistics, constants (Ioffe and Szegedy 2015; defaults and running statistics are PyTorch's).
//!
//! ```
//! use dfdx::prelude::NoneTape;
//! use obverse::tensor::{batch, view};
//! use obverse::ops::batch_norm::batch_norm_training;
//! let x = batch(vec![1.0f64, 3.0], (2, 1, 1, 1));
//! let (gain, bias) = (batch(vec![2.0], (1, 1, 1, 1)), batch(vec![5.0], (1, 1, 1, 1)));
//! // Mean 2, deviation 1.
//! let (y, _) = batch_norm_training(&mut NoneTape, &x, &gain, &bias, 0.0);
//! assert_eq!(view(&y), [3.0, 7.0]);
//! ```

use dfdx::prelude::{Cpu, Gradients, Tape};
use rayon::prelude::*;

use super::activation::{before_rectifier, rectified, rectify, slope_at};
use super::arithmetic::repeat;
use crate::tensor::{Batch, Element, GRAIN, batch, filled_in_chunks, shape, view};

/// Rows whose sums are taken together: fixed, so that threads do not change a bit.
const ROWS: usize = 1024;

/// The mean and the biased variance of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    mean: Vec<f64>,
    variance: Vec<f64>,
    /// Values a channel that they were taken from.
    count: usize,
}

impl Statistics {
    /// The statistics of a batch.
    pub fn of<E: Element>(x: &Batch<E>) -> Self {
        let (channels, values) = (shape(x).3, view(x));
        let count = values.len() / channels.max(1);
        let mean = means(channels, count, |i, _| [values[i].wide()]).map(|[mean]| mean);
        let mean: Vec<f64> = mean.collect();
        let variance = means(channels, count, |i, channel| [(values[i].wide() - mean[channel]).powi(2)]);
        let variance = variance.map(|[variance]| variance).collect();
        Self { mean, variance, count }
    }

    /// Running statistics, from their parameters.
    pub fn running<E: Element>(mean: &Batch<E>, variance: &Batch<E>) -> Self {
        let wide = |values: &Batch<E>| view(values).iter().map(|value| value.wide()).collect();
        Self { mean: wide(mean), variance: wide(variance), count: 0 }
    }

    /// Running statistics, mean and variance, after a batch of these: its share is `momentum`, its variance the unbiased
    /// one.
    pub fn update<E: Element>(&self, running: (&Batch<E>, &Batch<E>), momentum: f64) -> (Batch<E>, Batch<E>) {
        let unbiased = self.count as f64 / self.count.saturating_sub(1).max(1) as f64;
        let mix = |running: &Batch<E>, values: &[f64], factor: f64| {
            let pairs = view(running).iter().zip(values);
            let mixed = pairs.map(|(old, new)| E::of((1.0 - momentum) * old.wide() + momentum * factor * new));
            batch(mixed.collect(), shape(running))
        };
        (mix(running.0, &self.mean, 1.0), mix(running.1, &self.variance, unbiased))
    }

    /// For each channel the mean m and the factor s.
    pub(crate) fn scales<E: Element>(&self, epsilon: f64) -> Vec<(E, E)> {
        let pairs = self.mean.iter().zip(&self.variance);
        pairs.map(|(&mean, variance)| (E::of(mean), E::of(1.0 / (variance + epsilon).sqrt()))).collect()
    }
}

/// Inference: normalised by running statistics, and rectified where a slope below zero is given.
pub fn batch_norm<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    x: &Batch<E>,
    [gain, bias]: [&Batch<E>; 2],
    running: &Statistics,
    rectifier: Option<E>,
    epsilon: f64,
) -> Batch<E> {
    let scales = running.scales::<E>(epsilon);
    if !T::OWNS_TAPE {
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
    tape: &mut impl Tape<E, Cpu>,
    x: &Batch<E>,
    gain: &Batch<E>,
    bias: &Batch<E>,
    epsilon: f64,
) -> (Batch<E>, Statistics) {
    let statistics = Statistics::of(x);
    let scales = statistics.scales::<E>(epsilon);
    let y = normalised(x, gain, bias, &scales, |y| y);
    record(tape, x, gain, bias, &y, move |upstream, x, gain| {
        let sums = Sums::of(upstream, x, &scales);
        let gradient = project(upstream, x, gain, &scales, &sums);
        (gradient, sums)
    });
    (y, statistics)
}

/// The cotangent of x for a cotangent of [`batch_norm`]: c g s, and where it rectified, 0 or the slope where its result `y`
/// (one image, or as many) is not above 0.
pub fn pullback<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    cotangent: &Batch<E>,
    rectifier: Option<(&Batch<E>, E)>,
    gain: &Batch<E>,
    running: &Statistics,
    epsilon: f64,
) -> Batch<E> {
    let scales = running.scales::<E>(epsilon);
    if let Some((y, slope)) = rectifier.filter(|_| !T::OWNS_TAPE) {
        let values = scaled_where(view(cotangent), view(y), slope, &factors(view(gain), &scales));
        return batch(values, shape(cotangent));
    }
    let cotangent = before_rectifier(tape, cotangent, rectifier);
    let result = batch(scaled(view(&cotangent), &factors(view(gain), &scales)), shape(&cotangent));
    record_pullback(tape, &cotangent, gain, &result, scales);
    result
}

/// The cotangent of x for a cotangent c of [`batch_norm_training`]: `P(c) = g s (c - <c> - z <c z>)`, where z = (x - m) s
/// and `<.>` is the mean over the batch. P is its own transpose. Where `x` is one image, the batch was of as many copies
/// of it as there are cotangents.
pub fn pullback_training<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    epsilon: f64,
) -> Batch<E> {
    let x = repeat(tape, x, shape(cotangent).0 / shape(x).0.max(1));
    let scales = Statistics::of(&x).scales::<E>(epsilon);
    let sums = Sums::of(view(cotangent), &x, &scales);
    let result = batch(project(view(cotangent), &x, view(gain), &scales, &sums), shape(cotangent));
    record_pullback_training(tape, cotangent, &x, gain, &result, scales);
    result
}

/// f(index, channel) for each element of a batch.
fn each<E: Element>(x: &Batch<E>, f: impl Fn(usize, usize) -> E + Sync) -> Vec<E> {
    let channels = shape(x).3;
    let mut result = vec![E::zero(); view(x).len()];
    result.par_chunks_mut(channels).enumerate().with_min_len(GRAIN.div_ceil(channels)).for_each(|(row, result)| {
        result.iter_mut().enumerate().for_each(|(channel, result)| *result = f(row * channels + channel, channel));
    });
    result
}

/// The means over a batch of K quantities of each channel; f is given the index of an element and its channel.
fn means<const K: usize>(
    channels: usize,
    rows: usize,
    f: impl Fn(usize, usize) -> [f64; K] + Sync,
) -> impl Iterator<Item = [f64; K]> {
    let block = |block: usize| {
        let mut sums = vec![[0.0; K]; channels];
        for row in block * ROWS..rows.min((block + 1) * ROWS) {
            for (channel, sums) in sums.iter_mut().enumerate() {
                let values = f(row * channels + channel, channel);
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        sums
    };
    let blocks: Vec<Vec<[f64; K]>> = (0..rows.div_ceil(ROWS)).into_par_iter().map(block).collect();
    (0..channels).map(move |channel| {
        std::array::from_fn(|k| blocks.iter().map(|block| block[channel][k]).sum::<f64>() / rows.max(1) as f64)
    })
}

/// g s of each channel.
fn factors<E: Element>(gain: &[E], scales: &[(E, E)]) -> Vec<E> {
    gain.iter().zip(scales).map(|(&gain, &(_, scale))| gain * scale).collect()
}

/// f x for each pixel's channels.
fn scaled<E: Element>(x: &[E], factors: &[E]) -> Vec<E> {
    in_rows(x, factors.len(), |y, x| {
        y.iter_mut().zip(x).zip(factors).for_each(|((y, &x), &factor)| *y = factor * x);
    })
}

/// f x for each pixel's channels, times the slope of a rectifier that gave y, which is as long as x or repeats.
fn scaled_where<E: Element>(x: &[E], y: &[E], slope: E, factors: &[E]) -> Vec<E> {
    let channels = factors.len();
    in_rows_numbered(x, channels, |row, result, x| {
        // A copy of its own, which no write to the result can change: then the loop is vectors' work.
        #[allow(clippy::redundant_locals)]
        let slope = slope;
        let first = row * channels % y.len();
        let known = x.iter().zip(&y[first..first + channels]).zip(factors);
        for (result, ((&x, &y), &factor)) in result.iter_mut().zip(known) {
            *result = factor * (x * slope_at(y, slope));
        }
    })
}

/// f(g s (x - m) + b).
fn normalised<E: Element>(
    x: &Batch<E>,
    gain: &Batch<E>,
    bias: &Batch<E>,
    scales: &[(E, E)],
    f: impl Fn(E) -> E + Copy + Sync + Send,
) -> Batch<E> {
    let factors = factors(view(gain), scales);
    let means: Vec<E> = scales.iter().map(|&(mean, _)| mean).collect();
    let y = in_rows(view(x), means.len(), |y, x| {
        // A copy of its own, as in `scaled_where`.
        #[allow(clippy::redundant_locals)]
        let f = f;
        let channels = means.iter().zip(&factors).zip(view(bias));
        for ((y, &x), ((&mean, &factor), &bias)) in y.iter_mut().zip(x).zip(channels) {
            *y = f(factor * (x - mean) + bias);
        }
    });
    batch(y, shape(x))
}

/// What `fill` makes of each pixel's channels of x.
fn in_rows<E: Element>(x: &[E], channels: usize, fill: impl Fn(&mut [E], &[E]) + Sync + Send) -> Vec<E> {
    in_rows_numbered(x, channels, |_, y, x| fill(y, x))
}

/// As [`in_rows`], told the pixel's number.
fn in_rows_numbered<E: Element>(
    x: &[E],
    channels: usize,
    fill: impl Fn(usize, &mut [E], &[E]) + Sync + Send,
) -> Vec<E> {
    let rows = GRAIN.div_ceil(channels.max(1));
    let nothing = || ();
    filled_in_chunks(x.len(), rows * channels, nothing, |(), number, y| {
        let pairs = y.chunks_exact_mut(channels).zip(x[number * rows * channels..].chunks_exact(channels));
        pairs.enumerate().for_each(|(row, (y, x))| fill(number * rows + row, y, x));
    })
}

/// For each channel <c> and <c z>, and how many values they are means of.
struct Sums {
    means: Vec<[f64; 2]>,
    count: usize,
}

impl Sums {
    fn of<E: Element>(cotangent: &[E], x: &Batch<E>, scales: &[(E, E)]) -> Self {
        let channels = shape(x).3;
        let count = cotangent.len() / channels.max(1);
        let values = view(x);
        let pair = |i: usize, channel: usize| {
            let (mean, factor) = scales[channel];
            [cotangent[i].wide(), (cotangent[i] * (values[i] - mean) * factor).wide()]
        };
        Self { means: means(channels, count, pair).collect(), count }
    }

    /// The sum over the batch of c or of c z.
    fn total(&self, channel: usize, which: usize) -> f64 {
        self.means[channel][which] * self.count as f64
    }
}

/// g s (c - <c> - z <c z>).
fn project<E: Element>(cotangent: &[E], x: &Batch<E>, gain: &[E], scales: &[(E, E)], sums: &Sums) -> Vec<E> {
    let (values, sums): (_, Vec<[E; 2]>) = (view(x), sums.means.iter().map(|means| means.map(E::of)).collect());
    each(x, |i, channel| {
        let ((mean, factor), [plain, along]) = (scales[channel], sums[channel]);
        gain[channel] * factor * (cotangent[i] - plain - (values[i] - mean) * factor * along)
    })
}

/// Adds a value a channel to a gradient.
fn add_channels<E: Element>(target: &mut [E], value: impl Fn(usize) -> f64) {
    target.iter_mut().enumerate().for_each(|(channel, target)| *target += E::of(value(channel)));
}

/// Records how x, g and b receive their gradients from y's; `back` gives that of x and the sums for the others.
fn record<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    x: &Batch<E>,
    gain: &Batch<E>,
    bias: &Batch<E>,
    y: &Batch<E>,
    back: impl FnOnce(&[E], &Batch<E>, &[E]) -> (Vec<E>, Sums) + 'static,
) {
    if !T::OWNS_TAPE {
        return;
    }
    let (x, gain, bias, y) = (x.clone(), gain.clone(), bias.ghost(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&y)?);
        let (gradient, sums) = back(&upstream, &x, view(&gain));
        super::accumulate(gradients.get_or_alloc_mut(&x)?, &gradient);
        add_channels(gradients.get_or_alloc_mut(&gain)?, |channel| sums.total(channel, 1));
        add_channels(gradients.get_or_alloc_mut(&bias)?, |channel| sums.total(channel, 0));
        Ok(())
    });
}

/// Records how c and g receive their gradients from those of c g s.
fn record_pullback<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    cotangent: &Batch<E>,
    gain: &Batch<E>,
    result: &Batch<E>,
    scales: Vec<(E, E)>,
) {
    if !T::OWNS_TAPE {
        return;
    }
    let (cotangent, gain, result) = (cotangent.clone(), gain.clone(), result.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
        let channels = scales.len();
        let values = view(&cotangent);
        let product = |i: usize, channel: usize| [(upstream[i] * values[i] * scales[channel].1).wide()];
        let rows = upstream.len() / channels.max(1);
        let products: Vec<_> = means(channels, rows, product).collect();
        add_channels(gradients.get_or_alloc_mut(&gain)?, |channel| products[channel][0] * rows as f64);
        let gradient = scaled(&upstream, &factors(view(&gain), &scales));
        super::accumulate(gradients.get_or_alloc_mut(&cotangent)?, &gradient);
        Ok(())
    });
}

/// Records how c, x and g receive their gradients from those of P(c).
fn record_pullback_training<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    result: &Batch<E>,
    scales: Vec<(E, E)>,
) {
    if !T::OWNS_TAPE {
        return;
    }
    let (cotangent, x, gain, result) = (cotangent.clone(), x.clone(), gain.clone(), result.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
        let of_upstream = Sums::of(&upstream, &x, &scales);
        let gradient = project(&upstream, &x, view(&gain), &scales, &of_upstream);
        super::accumulate(gradients.get_or_alloc_mut(&cotangent)?, &gradient);
        let second = Second::of(&upstream, of_upstream, view(&cotangent), &x, scales);
        super::accumulate(
            gradients.get_or_alloc_mut(&x)?,
            &second.x_gradient(&upstream, view(&cotangent), &x, view(&gain)),
        );
        second.add_gain_gradient(gradients, &gain)
    });
}

/// What the derivative of <u P(c)> in x and g needs.
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
    fn add_gain_gradient(
        &self,
        gradients: &mut Gradients<E, Cpu>,
        gain: &Batch<E>,
    ) -> Result<(), dfdx::prelude::CpuError> {
        let count = self.of_upstream.count as f64;
        add_channels(gradients.get_or_alloc_mut(gain)?, |channel| {
            let product = self.of_upstream.means[channel][1] * self.of_cotangent.means[channel][1];
            self.scales[channel].1.wide() * (self.covariances[channel] - product) * count
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{NoneTape, OwnedTape};

    use super::*;
    use crate::ops::checks::{assert_close, check_adjoint, check_case, check_gradients, normal, repeated};
    use crate::store::npy::Scalar;

    const EPSILON: f64 = 1e-5;

    fn agrees_with_the_oracle<E: Element + Scalar>() {
        check_case::<E>("batch_norm", &["x", "weight", "bias"], |tape, x| {
            batch_norm_training(tape, &x[0], &x[1], &x[2], EPSILON).0
        });
    }

    #[test]
    fn oracle_values_and_gradients() {
        agrees_with_the_oracle::<f32>();
        agrees_with_the_oracle::<f64>();
    }

    /// x, gain and bias.
    fn inputs() -> [Batch<f64>; 3] {
        [normal("x", (3, 2, 3, 2)), normal("gain", (1, 1, 1, 2)), normal("bias", (1, 1, 1, 2))]
    }

    fn running() -> Statistics {
        Statistics { mean: vec![0.3, -0.2], variance: vec![0.5, 2.0], count: 0 }
    }

    #[test]
    fn gradients_are_differences() {
        for rectifier in [None, Some(0.1)] {
            check_gradients(&inputs(), |tape, x| {
                batch_norm(tape, &x[0], [&x[1], &x[2]], &running(), rectifier, EPSILON)
            });
        }
        check_gradients(&inputs(), |tape, x| batch_norm_training(tape, &x[0], &x[1], &x[2], EPSILON).0);
    }

    #[test]
    fn the_directions_are_transposed() {
        let [x, gain, bias] = &inputs();
        check_adjoint(
            x,
            |x| batch_norm(&mut NoneTape, x, [gain, bias], &running(), None, EPSILON),
            |cotangent| pullback(&mut NoneTape, cotangent, None, gain, &running(), EPSILON),
        );
        check_adjoint(
            x,
            |x| batch_norm_training(&mut NoneTape, x, gain, bias, EPSILON).0,
            |cotangent| pullback_training(&mut NoneTape, cotangent, x, gain, EPSILON),
        );
    }

    #[test]
    fn gradients_through_the_pullbacks_are_differences() {
        let [x, gain, _] = inputs();
        let cotangent = normal("a cotangent", shape(&x));
        check_gradients(&[cotangent.clone(), gain.clone()], |tape, inputs| {
            pullback(tape, &inputs[0], None, &inputs[1], &running(), EPSILON)
        });
        let y = normal("y", (1, 2, 3, 2));
        check_gradients(&[cotangent.clone(), gain.clone()], |tape, inputs| {
            pullback(tape, &inputs[0], Some((&y, 0.1)), &inputs[1], &running(), EPSILON)
        });
        check_gradients(&[cotangent.clone(), x, gain.clone()], |tape, inputs| {
            pullback_training(tape, &inputs[0], &inputs[1], &inputs[2], EPSILON)
        });
        // One image for three cotangents.
        check_gradients(&[cotangent, normal("x", (1, 2, 3, 2)), gain], |tape, inputs| {
            pullback_training(tape, &inputs[0], &inputs[1], &inputs[2], EPSILON)
        });
    }

    #[test]
    fn a_rectifier_within_is_one_after() {
        let [x, gain, bias] = &inputs();
        for slope in [0.0, 0.1] {
            let mut tape = OwnedTape::default();
            let y = batch_norm(&mut tape, x, [gain, bias], &running(), Some(slope), EPSILON);
            let within = batch_norm(&mut NoneTape, x, [gain, bias], &running(), Some(slope), EPSILON);
            assert_eq!(view(&y), view(&within));
            for y in [y, normal("one image", (1, 2, 3, 2))] {
                let cotangent = normal("a cotangent", shape(x));
                let apart = pullback(&mut tape, &cotangent, Some((&y, slope)), gain, &running(), EPSILON);
                let within = pullback(&mut NoneTape, &cotangent, Some((&y, slope)), gain, &running(), EPSILON);
                assert_eq!(view(&apart), view(&within));
            }
        }
    }

    #[test]
    fn one_image_stands_for_a_batch_of_copies() {
        let [_, gain, _] = inputs();
        let (x, cotangent) = (normal("x", (1, 2, 3, 2)), normal("a cotangent", (3, 2, 3, 2)));
        let pull = |x: &Batch<f64>| pullback_training(&mut NoneTape, &cotangent, x, &gain, EPSILON);
        assert_eq!(view(&pull(&x)), view(&pull(&repeated(&x, 3))));
    }

    #[test]
    fn running_statistics_mix_in_the_unbiased_variance() {
        let x: Batch<f64> = batch(vec![1.0, 3.0, 5.0], (3, 1, 1, 1));
        let old = (batch(vec![1.0], (1, 1, 1, 1)), batch(vec![2.0], (1, 1, 1, 1)));
        // Mean 3, unbiased variance 4.
        let (mean, variance) = Statistics::of(&x).update((&old.0, &old.1), 0.1);
        assert_close(&[view(&mean)[0], view(&variance)[0]], &[1.2, 2.2], 1e-15);
    }

    #[test]
    fn many_rows_have_the_statistics_of_the_definition() {
        let x: Batch<f64> = normal("x", (50, 10, 10, 3));
        let statistics = Statistics::of(&x);
        for channel in 0..3 {
            let values: Vec<f64> = view(&x).iter().skip(channel).step_by(3).copied().collect();
            let mean = values.iter().sum::<f64>() / 5000.0;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 5000.0;
            assert_close(&[statistics.mean[channel], statistics.variance[channel]], &[mean, variance], 1e-12);
        }
    }
}
