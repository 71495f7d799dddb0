//! Losses; each is a number, (1, 1, 1, 1), whose terms are summed in f64 in an order that does not depend on threads.
//!
//! Cross entropy: the mean over examples of `ln sum_k e^x[k] - x[label]`. Binary cross entropy of logits l and values x in 0..1:
//! `factor sum (ln(1 + e^l) - x l)`. Squared error: `factor sum (a - b)^2`. Divergence
//! of a diagonal Gaussian from the standard one: `sum_n w[n] kl[n]`, `kl = -1/2 sum (1 + log_var - mu^2 - e^log_var)`
//! (feature alignment, equation 6).
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::loss::{cross_entropy, squared_error};
//! let logits = batch(vec![0.0f64, 0.0], (1, 1, 1, 2));
//! assert!((view(&cross_entropy(&mut Tape::off(), &logits, &[1])?)[0] - 2f64.ln()).abs() < 1e-12);
//! let x = batch(vec![3.0, 4.0], (1, 1, 1, 2));
//! assert_eq!(view(&squared_error(&mut Tape::off(), &logits, &x, 0.5)), [12.5]);
//! # Ok::<(), obverse::ops::loss::Error>(())
//! ```

use obverse_engine::Variable;
use rayon::prelude::*;

use super::accumulate;
use super::activation::{sigmoid, softplus};
use super::arithmetic::combine;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Shape, Tape, batch, image_len, shape, view};

/// Labels that do not belong to the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There are more or fewer labels than rows of logits.
    #[error("cross entropy: expected {expected} labels, one for each row of logits, found {found}")]
    Count {
        /// Rows of logits.
        expected: usize,
        /// Labels given.
        found: usize,
    },
    /// A label is not one of the classes.
    #[error("cross entropy: expected labels below {classes}, the number of classes, found {label} in row {row}")]
    Label {
        /// Where it stands, from 0.
        row: usize,
        /// The label.
        label: usize,
        /// Logits in a row.
        classes: usize,
    },
}

/// The mean softmax cross entropy of logits (N, H, W, K) and N H W labels, each below K.
///
/// # Errors
/// `Count` for another number of labels; `Label` for one that is not below K.
pub fn cross_entropy<E: Element>(tape: &mut Tape<E>, logits: &Batch<E>, labels: &[usize]) -> Result<Batch<E>, Error> {
    let classes = check_labels(shape(logits), labels)?;
    let there = on_device(tape, &[logits], (1, 1, 1, 1), |program, logits| {
        let logits = logits[0].reshape(&[labels.len(), classes]);
        let mut truth = vec![0.0; labels.len() * classes];
        labels.iter().enumerate().for_each(|(row, label)| truth[row * classes + label] = 1.0);
        let truth = program.constant(&truth, &[labels.len(), classes]);
        let below = logits - logits.largest(1).fixed();
        let losses = below.exp().sum(&[1]).ln() - (below * truth).sum(&[1]);
        losses.sum(&[0]) * (1.0 / labels.len().max(1) as f64)
    });
    if let Some(loss) = there {
        return Ok(loss);
    }
    let rows: Vec<&[E]> = view(logits).chunks_exact(classes).collect();
    let total = sum(labels.len(), |row| log_sum(rows[row]) - rows[row][labels[row]].wide());
    let loss = scalar(total / labels.len().max(1) as f64);
    let labels = labels.to_vec();
    record(tape, &loss, [logits], move |upstream, [logits]| {
        let share = upstream / labels.len().max(1) as f64;
        let mut gradient = vec![E::zero(); view(logits).len()];
        let rows = gradient.par_chunks_mut(classes).zip(view(logits).par_chunks(classes)).zip(&labels);
        rows.with_min_len(GRAIN.div_ceil(classes)).for_each(|((gradient, row), &label)| {
            let normaliser = log_sum(row);
            let softmax = row.iter().map(|&x| share * (x.wide() - normaliser).exp());
            gradient.iter_mut().zip(softmax).for_each(|(gradient, value)| *gradient = E::of(value));
            gradient[label] -= E::of(share);
        });
        [gradient]
    });
    Ok(loss)
}

/// The number of classes, at least 1, if there is one label per row of logits of this shape, each below the number of classes.
fn check_labels((n, h, w, classes): Shape, labels: &[usize]) -> Result<usize, Error> {
    let (expected, found) = (n * h * w, labels.len());
    if found != expected {
        return Err(Error::Count { expected, found });
    }
    match labels.iter().position(|&label| label >= classes) {
        Some(row) => Err(Error::Label { row, label: labels[row], classes }),
        None => Ok(classes.max(1)),
    }
}

/// factor sum (a - b)^2 over all elements; a batch of one image stands for all images of the other.
pub fn squared_error<E: Element>(tape: &mut Tape<E>, a: &Batch<E>, b: &Batch<E>, factor: f64) -> Batch<E> {
    let difference = combine(tape, E::one(), a, -E::one(), b);
    let whole = |x: Variable<'_>| x.shape().iter().product::<usize>();
    let there =
        on_device(tape, &[&difference], (1, 1, 1, 1), |_, x| x[0].reshape(&[whole(x[0])]).squared().sum(&[0]) * factor);
    if let Some(loss) = there {
        return loss;
    }
    let values = view(&difference);
    let loss = scalar(factor * sum(values.len(), |i| values[i].wide() * values[i].wide()));
    record(tape, &loss, [&difference], move |upstream, [difference]| {
        let slope = E::of(2.0 * factor * upstream);
        [view(difference).par_iter().with_min_len(GRAIN).map(|&difference| slope * difference).collect()]
    });
    loss
}

/// factor sum (ln(1 + e^l) - x l) over all elements: the cross entropy of sigmoid(l) where x, in 0..1, is the truth. Its slope
/// sigmoid(l) - x does not vanish where the sigmoid saturates at the wrong end, as that of a squared error does.
pub(crate) fn binary_cross_entropy<E: Element>(
    tape: &mut Tape<E>,
    logits: &Batch<E>,
    x: &Batch<E>,
    factor: f64,
) -> Batch<E> {
    assert_eq!(shape(logits), shape(x), "binary cross entropy: expected a truth for each logit");
    let there = on_device(tape, &[logits, x], (1, 1, 1, 1), |_, values| {
        (values[0].softplus() - values[1] * values[0]).sum(&[0, 1, 2, 3]) * factor
    });
    if let Some(loss) = there {
        return loss;
    }
    let term = |i: usize| {
        let (logit, x) = (view(logits)[i].wide(), view(x)[i].wide());
        softplus(logit) - x * logit
    };
    let loss = scalar(factor * sum(view(logits).len(), term));
    record(tape, &loss, [logits, x], move |upstream, [logits, x]| {
        let slope = E::of(factor * upstream);
        let pairs = || view(logits).par_iter().zip(view(x)).with_min_len(GRAIN);
        [
            pairs().map(|(&logit, &x)| slope * (sigmoid(logit) - x)).collect(),
            pairs().map(|(&logit, _)| -slope * logit).collect(),
        ]
    });
    loss
}

/// `sum_n weights[n] KL(N(mu[n], e^log_var[n]) || N(0, 1))`; mu and log_var (N, 1, 1, Z), a weight for each example.
pub(crate) fn gaussian_divergence<E: Element>(
    tape: &mut Tape<E>,
    mu: &Batch<E>,
    log_var: &Batch<E>,
    weights: &[f64],
) -> Batch<E> {
    let features = image_len(mu);
    assert_eq!(shape(mu), shape(log_var), "gaussian divergence: expected a log-variance for each mean");
    assert_eq!(weights.len(), shape(mu).0, "gaussian divergence: expected a weight for each example");
    let there = on_device(tape, &[mu, log_var], (1, 1, 1, 1), |program, values| {
        let weights = program.constant(weights, &[weights.len(), 1, 1, 1]);
        let terms = values[1].affine(1.0, 1.0) - values[0].squared() - values[1].exp();
        (terms * weights).sum(&[0, 1, 2, 3]) * -0.5
    });
    if let Some(loss) = there {
        return loss;
    }
    let term = |i: usize| {
        let (mu, log_var) = (view(mu)[i].wide(), view(log_var)[i].wide());
        -0.5 * weights[i / features] * (1.0 + log_var - mu * mu - log_var.exp())
    };
    let loss = scalar(sum(view(mu).len(), term));
    let weights = weights.to_vec();
    record(tape, &loss, [mu, log_var], move |upstream, [mu, log_var]| {
        let weight = |i: usize| upstream * weights[i / features];
        let map = |values: &Batch<E>, slope: fn(f64) -> f64| {
            let values = view(values).par_iter().enumerate().with_min_len(GRAIN);
            values.map(|(i, value)| E::of(weight(i) * slope(value.wide()))).collect()
        };
        [map(mu, |mu| mu), map(log_var, |log_var| 0.5 * log_var.exp_m1())]
    });
    loss
}

fn scalar<E: Element>(value: f64) -> Batch<E> {
    batch(vec![E::of(value)], (1, 1, 1, 1))
}

/// ln sum e^x, without overflow.
pub(super) fn log_sum<E: Element>(row: &[E]) -> f64 {
    let largest = row.iter().fold(f64::NEG_INFINITY, |largest, x| largest.max(x.wide()));
    largest + row.iter().map(|x| (x.wide() - largest).exp()).sum::<f64>().ln()
}

/// The sum of f(0), f(1) …: blocks of a fixed length, then the blocks in order.
fn sum(count: usize, f: impl Fn(usize) -> f64 + Sync) -> f64 {
    let block = |block: usize| (block * GRAIN..count.min((block + 1) * GRAIN)).map(&f).sum();
    let blocks: Vec<f64> = (0..count.div_ceil(GRAIN)).into_par_iter().map(block).collect();
    blocks.iter().sum()
}

/// Records the gradients of a loss's inputs, which `back` computes from that of the loss.
fn record<E: Element, const K: usize>(
    tape: &mut Tape<E>,
    loss: &Batch<E>,
    inputs: [&Batch<E>; K],
    back: impl FnOnce(f64, [&Batch<E>; K]) -> [Vec<E>; K] + 'static,
) {
    if !tape.records() {
        return;
    }
    let (inputs, loss) = (inputs.map(Clone::clone), loss.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&loss);
        let upstream = upstream.first().map_or(0.0, |upstream| upstream.wide());
        let results = back(upstream, inputs.each_ref());
        for (input, gradient) in inputs.iter().zip(&results) {
            accumulate(gradients.of(input), gradient);
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{Case, assert_close, check_case, check_gradients, normal};
    use crate::store::npy::Scalar;

    fn agrees_with_the_oracle<E: Element + Scalar>() {
        check_case::<E>("cross_entropy", &["x"], |tape, x| cross_entropy(tape, &x[0], &[1, 0, 3]).unwrap());
        let case = Case::open("vfa_step");
        let (mu, log_var) = (case.array::<E>("mu"), case.array::<E>("log_var"));
        let kl = case.array::<f64>("kl");
        for (n, &expected) in view(&kl).iter().enumerate() {
            let mut weights = vec![0.0; view(&kl).len()];
            weights[n] = 1.0;
            let actual = gaussian_divergence(&mut Tape::off(), &mu, &log_var, &weights);
            assert_close(view(&actual), &[expected], case.tolerance::<E>());
        }
    }

    #[test]
    fn oracle_values_and_gradients() {
        agrees_with_the_oracle::<f32>();
        agrees_with_the_oracle::<f64>();
    }

    /// C of the case is the mean over examples of squared error and weighted divergence.
    #[test]
    fn oracle_cost_of_a_variational_step() {
        let case = Case::open("vfa_step");
        let [x, r_hat, mu, log_var] = ["x", "r_hat", "mu", "log_var"].map(|name| case.array::<f64>(name));
        let beta = case.array::<f64>("beta");
        let n = view(&beta).len() as f64;
        let weights: Vec<f64> = view(&beta).iter().map(|beta| beta / n).collect();
        let error = squared_error(&mut Tape::off(), &x, &r_hat, 1.0 / n);
        let divergence = gaussian_divergence(&mut Tape::off(), &mu, &log_var, &weights);
        assert_close(&[view(&error)[0] + view(&divergence)[0]], view(&case.array::<f64>("C")), 1e-9);
    }

    #[test]
    fn gradients_are_differences() {
        check_gradients(&[normal("x", (2, 1, 2, 3))], |tape, x| cross_entropy(tape, &x[0], &[1, 0, 2, 2]).unwrap());
        let pair = [normal("a", (3, 2, 1, 2)), normal("b", (3, 2, 1, 2))];
        check_gradients(&pair, |tape, x| squared_error(tape, &x[0], &x[1], 0.5));
        let one = [normal("a", (3, 2, 1, 2)), normal("b", (1, 2, 1, 2))];
        check_gradients(&one, |tape, x| squared_error(tape, &x[0], &x[1], 0.5));
        check_gradients(&pair, |tape, x| binary_cross_entropy(tape, &x[0], &x[1], 0.5));
        check_gradients(&[normal("mu", (2, 1, 1, 3)), normal("log_var", (2, 1, 1, 3))], |tape, x| {
            gaussian_divergence(tape, &x[0], &x[1], &[0.3, 0.7])
        });
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let x: Batch<f32> = batch(vec![1e4, 0.0], (1, 1, 1, 2));
        assert_eq!(view(&cross_entropy(&mut Tape::off(), &x, &[0]).unwrap()), [0.0]);
        assert_eq!(view(&cross_entropy(&mut Tape::off(), &x, &[1]).unwrap()), [1e4]);
    }

    /// Against its definition -x ln y - (1 - x) ln(1 - y), y = sigmoid(l), where that can be computed, and where it cannot.
    #[test]
    fn the_binary_cross_entropy_is_its_definition() {
        let value = |logits: Vec<f64>, x: Vec<f64>| {
            let shape = (1, 1, 1, x.len());
            view(&binary_cross_entropy(&mut Tape::off(), &batch(logits, shape), &batch(x, shape), 1.0))[0]
        };
        let term = |logit: f64, x: f64| -x * sigmoid(logit).ln() - (1.0 - x) * sigmoid(-logit).ln();
        let expected = term(0.3, 0.2) + term(-2.0, 1.0) + term(4.0, 0.5);
        assert_close(&[value(vec![0.3, -2.0, 4.0], vec![0.2, 1.0, 0.5])], &[expected], 1e-14);
        assert_eq!(value(vec![1e4, -1e4], vec![0.0, 1.0]), 2e4);
    }

    #[test]
    fn labels_that_do_not_belong_to_the_logits_are_refused() {
        let x: Batch<f32> = normal("x", (3, 1, 1, 4));
        let refused = |labels: &[usize]| cross_entropy(&mut Tape::off(), &x, labels).unwrap_err();
        assert_eq!(refused(&[3, 0, 4]), Error::Label { row: 2, label: 4, classes: 4 });
        assert_eq!(refused(&[usize::MAX, 9, 0]), Error::Label { row: 0, label: usize::MAX, classes: 4 });
        assert_eq!(refused(&[0, 1]), Error::Count { expected: 3, found: 2 });
        assert_eq!(refused(&[0; 4]), Error::Count { expected: 3, found: 4 });
        let message = refused(&[3, 0, 4]).to_string();
        assert!(["row 2", "found 4", "below 4"].iter().all(|words| message.contains(words)), "{message}");
        let none: Batch<f32> = batch(Vec::new(), (0, 1, 1, 4));
        assert_eq!(view(&cross_entropy(&mut Tape::off(), &none, &[]).unwrap()), [0.0]);
    }

    #[test]
    fn the_bits_of_a_sum_do_not_depend_on_threads() {
        let (a, b) = (normal::<f32>("a", (3, 100, 100, 3)), normal("b", (3, 100, 100, 3)));
        let value = || view(&squared_error(&mut Tape::off(), &a, &b, 1.0)).to_vec();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool").install(value);
        assert_eq!(value(), one);
    }
}
