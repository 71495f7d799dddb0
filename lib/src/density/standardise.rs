//! Scales and biases that give a layer's outputs on a batch mean 0 and deviation 1 (Salimans & Kingma 2016, section 3).

use crate::tensor::{Batch, Element, batch, shape, view};

/// Outputs whose deviation is a smaller share of their size than this count as constant.
const CONSTANT: f64 = 1e-3;

/// g and b that give a convolution's outputs `y` mean 0 and standard deviation `scale`, channel by channel.
pub(super) fn standard<E: Element>(y: &Batch<E>, scale: f64) -> [Batch<E>; 2] {
    let channels = shape(y).3;
    let count = (view(y).len() / channels.max(1)).max(1) as f64;
    let (mut sums, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
    for row in view(y).chunks_exact(channels) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value.wide());
    }
    for row in view(y).chunks_exact(channels) {
        let deviations = row.iter().zip(&sums).map(|(value, sum)| value.wide() - sum / count);
        squares.iter_mut().zip(deviations).for_each(|(square, deviation)| *square += deviation * deviation);
    }
    let gain = |sum: f64, square: f64| {
        let (mean, variance) = (sum / count, square / count);
        // An output that is constant over the batch, as where a level is a single pixel, has no scale: standardised, its
        // rounding errors would grow layer by layer. The small number is that of the authors' code.
        let constant = variance.sqrt() <= CONSTANT * (variance + mean * mean).sqrt();
        if constant { scale } else { scale / (variance + 1e-10).sqrt() }
    };
    let g: Vec<f64> = sums.iter().zip(&squares).map(|(&sum, &square)| gain(sum, square)).collect();
    let b = g.iter().zip(&sums).map(|(g, sum)| E::of(-g * sum / count)).collect();
    let vector = |values: Vec<E>| batch(values, (1, 1, 1, channels));
    [vector(g.iter().map(|&g| E::of(g)).collect()), vector(b)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_become_standard_and_constant_ones_zero() {
        let y: Batch<f32> = batch(vec![1.0, 3.0, 5.0, 3.0, 1.0, 3.000_000_2, 5.0, 3.0], (4, 1, 1, 2));
        let [g, b] = standard(&y, 0.1);
        for row in view(&y).chunks(2) {
            assert!((row[0] * view(&g)[0] + view(&b)[0]).abs() - 0.1 < 1e-6);
            assert!((row[1] * view(&g)[1] + view(&b)[1]).abs() < 1e-6);
        }
        assert_eq!(view(&g)[1], 0.1);
    }
}
