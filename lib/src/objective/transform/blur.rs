//! A Gaussian blur, rows then columns; borders are repeated.
//!
//! y_i = sum_k w_k x_clamp(i + k), |k| <= 3 deviations, w_k proportional to e^(-k^2 / (2 deviation^2)) and summing to 1.

use crate::tensor::Element;

/// Deviations after which the kernel ends.
const REACH: f64 = 3.0;

/// The kernel of one deviation.
#[derive(Clone, Debug)]
pub(super) struct Blur {
    height: usize,
    width: usize,
    /// w_k from k = -radius on.
    weights: Vec<f64>,
}

/// One line of pixels among others: how many, and how far apart.
#[derive(Clone, Copy)]
struct Axis {
    length: usize,
    stride: usize,
}

impl Blur {
    pub fn new((height, width): (usize, usize), deviation: f64) -> Self {
        let radius = (REACH * deviation).ceil() as isize;
        let value = |k: isize| if k == 0 { 1.0 } else { (-0.5 * (k as f64 / deviation).powi(2)).exp() };
        let values: Vec<f64> = (-radius..=radius).map(value).collect();
        let sum: f64 = values.iter().sum();
        Self { height, width, weights: values.into_iter().map(|value| value / sum).collect() }
    }

    /// The axes along which one image is blurred: along rows, then along columns.
    fn axes(&self, channels: usize) -> [Axis; 2] {
        let across = Axis { length: self.width, stride: channels };
        [across, Axis { length: self.height, stride: self.width * channels }]
    }

    pub fn forward<E: Element>(&self, x: &[E], y: &mut [E], channels: usize) {
        let [across, down] = self.axes(channels);
        let mut between = vec![E::zero(); x.len()];
        self.pass(across, |to, from, weight| add(&mut between[to], &x[from], weight), x.len());
        self.pass(down, |to, from, weight| add(&mut y[to], &between[from], weight), x.len());
    }

    /// The transpose, added to `x`.
    pub fn scatter<E: Element>(&self, y: &[E], x: &mut [E], channels: usize) {
        let [across, down] = self.axes(channels);
        let mut between = vec![E::zero(); y.len()];
        self.pass(down, |to, from, weight| add(&mut between[from], &y[to], weight), y.len());
        self.pass(across, |to, from, weight| add(&mut x[from], &between[to], weight), y.len());
    }

    /// Calls `run` in order with each range of the result, a range that it reads, and the weight.
    fn pass<E: Element>(
        &self,
        Axis { length, stride }: Axis,
        mut run: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>, E),
        values: usize,
    ) {
        let radius = self.weights.len() / 2;
        for line in (0..values).step_by(length * stride) {
            for i in 0..length {
                for (k, &weight) in self.weights.iter().enumerate() {
                    let source = (i + k).saturating_sub(radius).min(length - 1);
                    let (to, from) = (line + i * stride, line + source * stride);
                    run(to..to + stride, from..from + stride, E::of(weight));
                }
            }
        }
    }
}

fn add<E: Element>(sums: &mut [E], values: &[E], weight: E) {
    sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::assert_close;

    fn forward(size: (usize, usize), deviation: f64, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        Blur::new(size, deviation).forward(x, &mut y, 1);
        y
    }

    #[test]
    fn a_point_becomes_the_gaussian_and_a_constant_stays() {
        let mut point = vec![0.0; 15 * 15];
        point[7 * 15 + 7] = 1.0;
        let y = forward((15, 15), 1.5, &point);
        assert_close(&[y.iter().sum::<f64>()], &[1.0], 1e-14);
        // Three right and one down of the centre: e^-(9 + 1) / (2 * 2.25).
        assert_close(&[y[8 * 15 + 10] / y[7 * 15 + 7]], &[(-10.0f64 / 4.5).exp()], 1e-14);
        assert_close(&forward((4, 3), 2.0, &[0.7; 12]), &[0.7; 12], 1e-15);
    }

    #[test]
    fn no_deviation_changes_nothing() {
        let x = [1.0, -2.0, 3.0, 4.0, 5.0, 6.0];
        assert_close(&forward((2, 3), 0.0, &x), &x, 0.0);
    }
}
