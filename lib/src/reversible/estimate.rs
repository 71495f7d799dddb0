//! Estimates of h from x = relu(alpha W h) * drop: 2 / (alpha rho m) W^T x, and relu of that + b, b = -eps |h| / sqrt k.
//!
//! Each feature of x is active for half of the Gaussian rows, and E W_ji relu(alpha W_j h) = alpha h_i / 2, so the first has the
//! mean h. The rectifier takes the noise away where h is zero: exactly, where no error is above eps |h| / sqrt k (Lemma 3.3).
//! Source: reverse nets, section 3; the notes print b = -eps |h| / k.
//!
//! ```
//! use obverse::reversible::estimate::{bias, rectified};
//! use obverse::tensor::{batch, view};
//! assert_eq!(bias(0.5, 2.0, 4), -0.5);
//! // Noise below the bias is taken away.
//! let estimate = rectified(&batch(vec![1.5f64, 0.25], (1, 1, 1, 2)), &[-0.5]);
//! assert_eq!(view(&estimate), [1.0, 0.0]);
//! ```

use rayon::prelude::*;

use super::bounds;
use super::model::{Layer, Sizes};
use crate::ops::linear::adjoint;
use crate::tensor::{Batch, Element, Tape, batch, image_len, shape, view};

/// b = -eps |h| / sqrt k, for a hidden variable of norm |h|.
pub fn bias(epsilon: f64, norm: f64, k: usize) -> f64 {
    -epsilon * norm / (k as f64).sqrt()
}

/// relu(estimate + b), (N, 1, 1, n), one bias per row.
pub fn rectified<E: Element>(estimate: &Batch<E>, biases: &[f64]) -> Batch<E> {
    let n = image_len(estimate).max(1);
    let rows = view(estimate).chunks_exact(n).zip(biases);
    let values = rows.flat_map(|(row, &bias)| row.iter().map(move |&value| (value + E::of(bias)).max(E::zero())));
    batch(values.collect(), shape(estimate))
}

impl<E: Element> Layer<E> {
    /// 2 / (alpha rho m) W^T x, (N, 1, 1, n), for x (N, 1, 1, m).
    pub(crate) fn linear_estimate(&self, x: &Batch<E>) -> Batch<E> {
        let factor = E::of(2.0 / (self.alpha * self.kept * self.visible() as f64));
        let scaled = batch(view(x).iter().map(|&x| factor * x).collect(), shape(x));
        adjoint(&mut Tape::off(), &scaled, None, &self.weight)
    }

    /// |h| of each row, from |x|: the squares of x have the mean alpha^2 rho |h|^2 / 2.
    pub fn norms(&self, x: &Batch<E>) -> Vec<f64> {
        let factor = (2.0 / (self.kept * self.visible() as f64)).sqrt() / self.alpha;
        let rows = view(x).par_chunks_exact(self.visible());
        rows.map(|row| factor * row.iter().map(|x| x.wide() * x.wide()).sum::<f64>().sqrt()).collect()
    }

    /// h from x alone, (N, 1, 1, n): the bias has the eps of [`bounds::threshold`], and |h| is estimated too.
    pub fn estimate(&self, x: &Batch<E>) -> Batch<E> {
        // eps / sqrt k does not depend on k.
        let sizes = Sizes { n: self.hidden(), m: self.visible(), k: 1, kept: self.kept };
        let epsilon = bounds::threshold(sizes);
        let biases: Vec<f64> = self.norms(x).iter().map(|&norm| bias(epsilon, norm, 1)).collect();
        rectified(&self.linear_estimate(x), &biases)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::checks::{Case, assert_close};
    use crate::reversible::model::sparse;
    use crate::store::npy::Scalar;
    use crate::tensor::random::Stream;

    fn largest_error(estimate: &[f64], h: &[f64]) -> f64 {
        estimate.iter().zip(h).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    fn relative(estimate: &[f64], h: &[f64]) -> f64 {
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        norm(&mut estimate.iter().zip(h).map(|(a, b)| a - b)) / norm(&mut h.iter().copied())
    }

    fn wide<E: Element>(x: &Batch<E>) -> Vec<f64> {
        view(x).iter().map(|value| value.wide()).collect()
    }

    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("reverse_net");
        let number = |name: &str| case.description[name].as_f64().unwrap();
        // The case was made in f64 of weights that were rounded to f32 afterwards, so f64 is no closer.
        let tolerance = case.tolerance::<f32>();
        let [weight, h] = ["W", "h"].map(|name| case.array::<E>(name));
        let drop: Batch<E> = {
            let drop = case.pixels("drop");
            let values = drop.iter().map(|&kept| E::of(f64::from(kept))).collect();
            batch(values, (shape(&h).0, 1, 1, shape(&weight).0))
        };
        let layer = Layer { weight, alpha: number("alpha"), kept: number("p") };
        let x = layer.generate(&h, &drop);
        assert_close(view(&x), view(&case.array::<f64>("x")), tolerance);
        let linear = layer.linear_estimate(&x);
        assert_close(view(&linear), view(&case.array::<f64>("linear")), tolerance);
        let n = layer.hidden();
        let (estimates, hidden) = (wide(&linear), wide(&h));
        let rows = || estimates.chunks(n).zip(hidden.chunks(n));
        let errors: Vec<f64> = rows().map(|(estimate, h)| largest_error(estimate, h)).collect();
        let largest = errors.iter().copied().fold(0.0, f64::max);
        assert!((largest - number("max_abs_error")).abs() <= tolerance, "{largest}");
        let biases: Vec<f64> = errors.iter().map(|error| -error).collect();
        let rectified = wide(&rectified(&linear, &biases));
        let mean = rectified.chunks(n).zip(hidden.chunks(n)).map(|(estimate, h)| relative(estimate, h)).sum::<f64>()
            / errors.len() as f64;
        assert!((mean - number("relative_l2_error")).abs() <= tolerance, "{mean}");
    }

    #[test]
    fn agrees_with_the_oracle_in_f64() {
        check_oracle::<f64>();
    }

    #[test]
    fn agrees_with_the_oracle_in_f32() {
        check_oracle::<f32>();
    }

    #[test]
    fn norms_come_from_x_alone() {
        let sizes = Sizes { n: 100, m: 4000, k: 10, kept: 0.5 };
        let layer = Layer::<f64>::random(&Stream::new(1, "W", 0), sizes);
        let h = sparse(&Stream::new(1, "h", 0), 20, sizes);
        let x = layer.generate(&h, &layer.drop(&Stream::new(1, "drop", 0), 20));
        for (norm, h) in layer.norms(&x).iter().zip(view(&h).chunks(100)) {
            let expected = h.iter().map(|h| h * h).sum::<f64>().sqrt();
            // The relative deviation of |x|: sqrt(5 / (4 rho m)) / ... is below 3%.
            assert!((norm / expected - 1.0).abs() < 0.15, "{norm} {expected}");
        }
    }

    proptest! {
        /// Lemma 3.3: with no error above eps |h| / sqrt k zeros stay zeros, and elsewhere the rectifier moves by b at most.
        #[test]
        fn the_rectifier_keeps_zeros_and_moves_others_by_the_bias(seed in 0u64..1000, k in 1usize..8, kept in 0.2f64..1.0) {
            let sizes = Sizes { n: 40, m: 300, k, kept };
            let layer = Layer::<f64>::random(&Stream::new(seed, "W", 0), sizes);
            let h = sparse(&Stream::new(seed, "h", 0), 3, sizes);
            let x = layer.generate(&h, &layer.drop(&Stream::new(seed, "drop", 0), 3));
            let linear = layer.linear_estimate(&x);
            let rows = view(&linear).chunks(40).zip(view(&h).chunks(40));
            let biases: Vec<f64> = rows.map(|(estimate, h)| -largest_error(estimate, h)).collect();
            let found = rectified(&linear, &biases);
            for (place, ((&found, &linear), &h)) in view(&found).iter().zip(view(&linear)).zip(view(&h)).enumerate() {
                let b = biases[place / 40];
                if h == 0.0 {
                    prop_assert_eq!(found, 0.0);
                } else {
                    prop_assert!((found - linear.max(0.0)).abs() <= -b * (1.0 + 1e-12));
                    prop_assert!((found - h).abs() <= -2.0 * b * (1.0 + 1e-12));
                }
            }
        }

        /// relu(alpha W h) and both estimates are homogeneous: a scaled h is recovered with the same factor.
        #[test]
        fn a_scaled_hidden_variable_is_recovered_scaled(seed in 0u64..1000, scale in 0.1f64..10.0) {
            let sizes = Sizes { n: 20, m: 200, k: 3, kept: 0.7 };
            let layer = Layer::<f64>::random(&Stream::new(seed, "W", 0), sizes);
            let h = sparse(&Stream::new(seed, "h", 0), 2, sizes);
            let larger = batch(view(&h).iter().map(|h| scale * h).collect(), shape(&h));
            let drop = layer.drop(&Stream::new(seed, "drop", 0), 2);
            let [one, other] = [&h, &larger].map(|h| layer.estimate(&layer.generate(h, &drop)));
            for (one, other) in view(&one).iter().zip(view(&other)) {
                prop_assert!((scale * one - other).abs() < 1e-9 * scale.max(1.0));
            }
        }
    }

    #[test]
    fn several_layers_are_recovered_from_the_last_one_alone() {
        let first = Sizes { n: 30, m: 1500, k: 3, kept: 0.1 };
        let second = Sizes { n: 1500, m: 9000, k: 75, kept: 1.0 };
        let stream = Stream::new(3, "W", 0);
        let layers = vec![Layer::random(&stream.branch("0"), first), Layer::<f32>::random(&stream.branch("1"), second)];
        let model = crate::reversible::model::Model::new(layers).unwrap();
        let h = sparse(&Stream::new(3, "h", 0), 4, first);
        let generated = model.generate(&h, &Stream::new(3, "drop", 0));
        let recovered = model.recover(&generated[1]);
        for (estimate, h) in wide(&recovered).chunks(30).zip(wide(&h).chunks(30)) {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let cosine = dot(estimate, h) / (dot(estimate, estimate) * dot(h, h)).sqrt();
            // 0.83 was the least of 24 draws of other numbers; vectors of unrelated supports have 0.3.
            assert!(cosine > 0.7 && relative(estimate, h) < 1.0, "{cosine}");
        }
    }
}
