//! A classifier's last layer fitted to features x (N, F): it minimises the mean softmax cross entropy of W x + b plus d / 2 (|W|^2 +
//! |b|^2), by L-BFGS from its current parameters.
//!
//! With d above 0 the problem is strictly convex, so the result does not depend on the start. Parameters are W (K, F), then b (K).
//!
//! ```
//! use obverse::baselines::head::{Examples, fit};
//! use obverse::tensor::batch;
//! use obverse::train::lbfgs::Limits;
//! let features = batch(vec![-1.0, 1.0], (2, 1, 1, 1));
//! let examples = Examples { features: &features, labels: &[0, 1], classes: 2 };
//! let fitted = fit(examples, vec![0.0; 4], 0.1, &Limits::default())?;
//! // W points from the first class to the second; by symmetry b is zero.
//! let [to_first, to_second, ..] = fitted.parameters[..] else { unreachable!() };
//! assert!(to_second > 0.1 && (to_first + to_second).abs() < 1e-6 && fitted.loss < 2f64.ln());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::ops::loss::{self, cross_entropy};
use crate::ops::{InputGradient, linear};
use crate::tensor::{Batch, Tape, backward, batch, gradient, shape, view};
use crate::train::lbfgs::{Lbfgs, LbfgsSettings, Limits};

/// Features and their classes, each below `classes`.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// (N, 1, 1, F).
    pub features: &'a Batch<f64>,
    /// (N), each below `classes`.
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
///
/// # Errors
/// Labels that are not one per row of features, or not below `classes`.
pub fn fit(examples: Examples, start: Vec<f64>, decay: f64, limits: &Limits) -> Result<Fitted, loss::Error> {
    let mut evaluate = |parameters: &[f64]| value(examples, parameters, decay);
    let mut lbfgs = Lbfgs::start(start, &mut evaluate)?;
    lbfgs.run(&LbfgsSettings::default(), limits, &mut evaluate)?;
    let (state, gradient_norm) = (lbfgs.state(), lbfgs.gradient_norm());
    Ok(Fitted { parameters: state.x.clone(), loss: state.value, gradient_norm, iterations: state.iterations })
}

/// What is minimised, and its gradient.
fn value(examples: Examples, parameters: &[f64], decay: f64) -> Result<(f64, Vec<f64>), loss::Error> {
    let Examples { features, labels, classes } = examples;
    let length = shape(features).3;
    let (weight, bias) = parameters.split_at(classes * length);
    let (weight, bias) = (batch(weight.to_vec(), (classes, 1, 1, length)), batch(bias.to_vec(), (1, 1, 1, classes)));
    let mut tape = Tape::recording();
    let scores = linear::linear(&mut tape, features, &weight, Some(&bias), None, InputGradient::Unwanted);
    let loss = cross_entropy(&mut tape, &scores, labels)?;
    let mut gradients = backward(tape, &loss, vec![1.0]);
    let gradient = [gradient(&mut gradients, &weight), gradient(&mut gradients, &bias)].concat();
    let decayed = gradient.iter().zip(parameters).map(|(gradient, parameter)| gradient + decay * parameter);
    let square: f64 = parameters.iter().map(|parameter| parameter * parameter).sum();
    Ok((view(&loss)[0] + 0.5 * decay * square, decayed.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    const COUNT: usize = 60;
    const LENGTH: usize = 4;
    const CLASSES: usize = 3;

    fn features() -> Batch<f64> {
        batch(Stream::new(0, "features", 0).normal(0..COUNT * LENGTH), (COUNT, 1, 1, LENGTH))
    }

    #[test]
    fn the_gradient_is_the_differences() {
        let (features, labels) = (features(), (0..COUNT).map(|row| row % CLASSES).collect::<Vec<_>>());
        let examples = Examples { features: &features, labels: &labels, classes: CLASSES };
        let at: Vec<f64> = Stream::new(0, "parameters", 0).normal(0..CLASSES * (LENGTH + 1));
        let (_, gradient) = value(examples, &at, 0.1).unwrap();
        for place in 0..at.len() {
            let shifted = |step: f64| {
                let mut at = at.clone();
                at[place] += step;
                value(examples, &at, 0.1).unwrap().0
            };
            let difference = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
            assert!((difference - gradient[place]).abs() < 1e-8, "{place}: {difference} {}", gradient[place]);
        }
    }

    #[test]
    fn the_optimum_is_the_same_from_any_start_and_rows_sum_to_zero() {
        // The softmax ignores a common shift, so the decay removes it; a class without examples gets a row like the others.
        let (features, labels) = (features(), (0..COUNT).map(|row| row % (CLASSES - 1)).collect::<Vec<_>>());
        let examples = Examples { features: &features, labels: &labels, classes: CLASSES };
        let limits = Limits { iterations: 500, gradient_norm: 1e-10, ..Limits::default() };
        let run = |seed| {
            let start = Stream::new(seed, "start", 0).normal(0..CLASSES * (LENGTH + 1));
            fit(examples, start, 1e-2, &limits).unwrap()
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
