//! A classifier's last layer alone, fitted to features x (N, F): the least mean softmax cross entropy of W x + b plus d / 2 (|W|^2 +
//! |b|^2), by L-BFGS from where the layer stands.
//!
//! With d above 0 the problem is strictly convex, so the result is that of any start. Parameters are W (K, F), then b (K).

use crate::ops::product::{Matrix, Write, product};
use crate::train::lbfgs::{Lbfgs, LbfgsSettings, Limits};

/// Features and their classes, each below `classes`.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// (N, F).
    pub features: &'a [f64],
    /// (N), at least one.
    pub labels: &'a [usize],
    /// K.
    pub classes: usize,
}

/// A fitted layer.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// W (K, F), then b (K).
    pub parameters: Vec<f64>,
    /// What was minimised.
    pub loss: f64,
    /// The norm of its gradient.
    pub gradient_norm: f64,
    /// Iterations of L-BFGS.
    pub iterations: u64,
}

/// Fits the layer from parameters `start`; `decay` is d.
pub fn fit(examples: Examples, start: Vec<f64>, decay: f64, limits: &Limits) -> Fitted {
    let mut evaluate = |parameters: &[f64]| Ok::<_, std::convert::Infallible>(loss(examples, parameters, decay));
    let Ok(mut lbfgs) = Lbfgs::start(start, &mut evaluate);
    let Ok(_) = lbfgs.run(&LbfgsSettings::default(), limits, &mut evaluate);
    let (state, gradient_norm) = (lbfgs.state(), lbfgs.gradient_norm());
    Fitted { parameters: state.x.clone(), loss: state.value, gradient_norm, iterations: state.iterations }
}

/// The loss and its gradient.
fn loss(Examples { features, labels, classes }: Examples, parameters: &[f64], decay: f64) -> (f64, Vec<f64>) {
    let (count, length) = (labels.len(), features.len() / labels.len());
    let (weight, bias) = parameters.split_at(classes * length);
    let x = Matrix::new(features, count, length);
    let mut scores = vec![0.0; count * classes];
    product(&mut scores, x, Matrix::new(weight, classes, length).transposed(), Write::Replace);
    let mut sum = 0.0;
    for (row, &label) in scores.chunks_exact_mut(classes).zip(labels) {
        row.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = row.iter().map(|score| (score - largest).exp()).sum();
        sum += largest + total.ln() - row[label];
        row.iter_mut().for_each(|score| *score = (*score - largest).exp() / total / count as f64);
        row[label] -= 1.0 / count as f64;
    }
    let mut gradient = vec![0.0; parameters.len()];
    let (of_weight, of_bias) = gradient.split_at_mut(weight.len());
    product(of_weight, Matrix::new(&scores, count, classes).transposed(), x, Write::Replace);
    for row in scores.chunks_exact(classes) {
        of_bias.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    gradient.iter_mut().zip(parameters).for_each(|(gradient, parameter)| *gradient += decay * parameter);
    let square: f64 = parameters.iter().map(|parameter| parameter * parameter).sum();
    (sum / count as f64 + 0.5 * decay * square, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    const COUNT: usize = 60;
    const LENGTH: usize = 4;
    const CLASSES: usize = 3;

    fn features() -> Vec<f64> {
        Stream::new(0, "features", 0).normal(0..COUNT * LENGTH)
    }

    #[test]
    fn the_gradient_is_the_differences() {
        let (features, labels) = (features(), (0..COUNT).map(|row| row % CLASSES).collect::<Vec<_>>());
        let examples = Examples { features: &features, labels: &labels, classes: CLASSES };
        let at: Vec<f64> = Stream::new(0, "parameters", 0).normal(0..CLASSES * (LENGTH + 1));
        let (_, gradient) = loss(examples, &at, 0.1);
        for place in 0..at.len() {
            let shifted = |step: f64| {
                let mut at = at.clone();
                at[place] += step;
                loss(examples, &at, 0.1).0
            };
            let difference = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
            assert!((difference - gradient[place]).abs() < 1e-8, "{place}: {difference} {}", gradient[place]);
        }
    }

    #[test]
    fn the_optimum_is_the_same_from_any_start_and_rows_sum_to_zero() {
        // The softmax does not see a common shift, so the decay takes it away; a class without examples has a row like the others'.
        let (features, labels) = (features(), (0..COUNT).map(|row| row % (CLASSES - 1)).collect::<Vec<_>>());
        let examples = Examples { features: &features, labels: &labels, classes: CLASSES };
        let limits = Limits { iterations: 500, gradient_norm: 1e-10, ..Limits::default() };
        let run = |seed| {
            let start = Stream::new(seed, "start", 0).normal(0..CLASSES * (LENGTH + 1));
            fit(examples, start, 1e-2, &limits)
        };
        let (one, other) = (run(1), run(2));
        assert!(one.gradient_norm < 1e-8, "{}", one.gradient_norm);
        assert!(one.parameters.iter().zip(&other.parameters).all(|(a, b)| (a - b).abs() < 1e-6));
        for column in 0..LENGTH {
            let sum: f64 = (0..CLASSES).map(|class| one.parameters[class * LENGTH + column]).sum();
            assert!(sum.abs() < 1e-6, "{sum}");
        }
    }
}
