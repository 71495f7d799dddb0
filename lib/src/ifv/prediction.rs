//! The predicted objective: the left singular vector of A with the smallest singular value, signed so that w.f > 0.
//!
//! A = [(k + 1) I - k f f^T / |f|^2] J, n x P; with a critical space of orthonormal basis Q (n x m), Q times that vector of Q^T A. Left
//! singular vectors of A are those of the same with L in the place of J (see [`super::jacobian`]).
//!
//! Over all w of unit norm, |w^T A| is smallest where gradients are small for any w: in channels that hardly ever fire; among many
//! features there nearly always are some. Relative predictions scale each feature by its own gradient |J_i|: they minimise |w^T A| / |D w|, D the
//! diagonal matrix of the |J_i|. For k = 0 the scale of a feature does not matter. Features without a gradient are left out, and a small
//! gradient alone is not a solution. What several features share, such as the classes of a softmax, is only removed by a critical space.
//!
//! Source: inverse feature visualisation, section 2.1 and equations 2 to 4 (k lost in print); the relative ones are ours.
//!
//! ```
//! use obverse::ifv::{prediction::predict, subspace::Subspace};
//! use obverse::ifv::jacobian::Jacobian;
//! // f = (1, 2) where df/ds = ((3, 0), (0, 4)).
//! let jacobian = Jacobian { response: vec![1.0, 2.0], rows: vec![3.0, 0.0, 0.0, 4.0] };
//! let prediction = predict(&jacobian.reduced()?, 0, &Subspace::whole(2))?;
//! // The direction in which the response moves least, signed as the response.
//! assert!((prediction.objective[0] - 1.0).abs() < 1e-12 && prediction.objective[1].abs() < 1e-12);
//! # Ok::<(), obverse::ifv::Error>(())
//! ```

use faer::Mat;

use super::jacobian::Linearisation;
use super::subspace::Subspace;
use super::{Error, Result, dot, norm};

/// A predicted objective and how far to trust it.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// w, (n), of unit norm.
    pub objective: Vec<f64>,
    /// The singular values of Q^T A, descending, (m); for a relative prediction those of A over D, infinite for features without one.
    pub singular_values: Vec<f64>,
    /// Their left singular vectors as directions of features, n x m, orthonormal.
    pub vectors: Mat<f64>,
    /// What features are multiplied by to be such a direction, (n): 1, or the diagonal of D.
    pub scales: Vec<f64>,
    /// |w^T A|; for a relative prediction divided by |D w|.
    pub residual: f64,
}

impl Prediction {
    /// How far the smallest singular value is below the next, 1 - s_m / s_(m - 1): 1 for an exact optimum, 0 where two directions
    /// are equally good.
    pub fn gap(&self) -> f64 {
        match self.singular_values.as_slice() {
            [.., before, last] if *before > 0.0 => 1.0 - last / before,
            [_] => 1.0,
            _ => 0.0,
        }
    }

    /// How far the image is from an optimum of the prediction: the residual relative to its root mean square over all directions
    /// of the space. 0 is an optimum; 1 is as far as for an objective drawn at random.
    pub fn distance_from_optimum(&self) -> f64 {
        let finite: Vec<f64> = self.singular_values.iter().copied().filter(|value| value.is_finite()).collect();
        let mean = dot(&finite, &finite) / finite.len() as f64;
        self.residual / mean.sqrt()
    }

    /// The squared coefficients a_i^2 of a target in the singular vectors, from that of the smallest singular value on; of the
    /// target's projection to the critical space, scaled to unit norm. Their sum is 1, the first that of the prediction's part.
    pub fn shares(&self, target: &[f64]) -> Vec<f64> {
        let m = self.vectors.ncols();
        let scaled: Vec<f64> = target.iter().zip(&self.scales).map(|(w, scale)| w * scale).collect();
        let coefficient = |j: usize| scaled.iter().enumerate().map(|(i, w)| w * self.vectors[(i, j)]).sum::<f64>();
        let squares: Vec<f64> = (0..m).rev().map(|j| coefficient(j).powi(2)).collect();
        let sum: f64 = squares.iter().sum();
        squares.into_iter().map(|square| if sum > 0.0 { square / sum } else { 0.0 }).collect()
    }
}

/// Predicts the objective of an image; `power` is k.
///
/// # Errors
/// A space of another length, or of no dimension; a Jacobian of zero; a decomposition that does not converge.
pub fn predict(at: &Linearisation, power: u32, space: &Subspace) -> Result<Prediction> {
    let a = gradient_matrix(at, power);
    let (n, m) = (space.basis().nrows(), space.dimension());
    if n != at.features() {
        return Err(Error::Length { what: "a critical space", expected: at.features(), found: n });
    }
    if m == 0 {
        return Err(Error::TooFew { what: "dimensions of a critical space", needed: 1, found: 0 });
    }
    let (singular_values, directions) = decomposed(&(space.basis().transpose() * &a))?;
    let vectors = space.basis() * directions;
    let objective = signed(vectors.col(m - 1).iter().copied().collect(), &at.response);
    let pulled: Vec<f64> = (0..n).map(|j| (0..n).map(|i| objective[i] * a[(i, j)]).sum()).collect();
    Ok(Prediction { objective, singular_values, vectors, scales: vec![1.0; n], residual: norm(&pulled) })
}

/// Predicts the objective of an image, each feature scaled by its own gradient; `power` is k.
///
/// # Errors
/// A Jacobian of zero; a decomposition that does not converge.
pub fn predict_relative(at: &Linearisation, power: u32) -> Result<Prediction> {
    /// A gradient this small relative to the largest counts as zero.
    const LEAST: f64 = 1e-9;
    let n = at.features();
    let lengths: Vec<f64> = (0..n).map(|i| at.factor.row(i).norm_l2()).collect();
    let least = LEAST * lengths.iter().copied().fold(0.0, f64::max);
    let (live, idle): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| lengths[i] > least);
    if live.is_empty() {
        return Err(Error::NoGradient);
    }
    let gradients = gradient_matrix(at, power);
    let a = Mat::from_fn(live.len(), n, |i, j| gradients[(live[i], j)] / lengths[live[i]]);
    let (values, directions) = decomposed(&a)?;
    let mut vectors = Mat::zeros(n, n);
    for (column, &i) in idle.iter().enumerate() {
        vectors[(i, column)] = 1.0;
    }
    for (row, &i) in live.iter().enumerate() {
        for column in 0..live.len() {
            vectors[(i, idle.len() + column)] = directions[(row, column)];
        }
    }
    let mut objective = vec![0.0; n];
    for (row, &i) in live.iter().enumerate() {
        objective[i] = directions[(row, live.len() - 1)] / lengths[i];
    }
    let residual = values.last().copied().unwrap_or_default();
    let singular_values = idle.iter().map(|_| f64::INFINITY).chain(values).collect();
    Ok(Prediction { objective: signed(objective, &at.response), singular_values, vectors, scales: lengths, residual })
}

/// Singular values, descending, with the left singular vectors.
fn decomposed(a: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let svd = a.svd().map_err(|_| Error::Decomposition("a prediction"))?;
    if !svd.U().is_all_finite() {
        return Err(Error::Decomposition("a prediction"));
    }
    let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    if values.first().is_none_or(|&largest| largest == 0.0) {
        return Err(Error::NoGradient);
    }
    Ok((values, svd.U().to_owned()))
}

/// The vector with unit norm, on the response's side.
fn signed(vector: Vec<f64>, response: &[f64]) -> Vec<f64> {
    let sign = if dot(&vector, response) < 0.0 { -1.0 } else { 1.0 };
    let length = norm(&vector);
    vector.into_iter().map(|value| sign * value / length).collect()
}

/// [(k + 1) I - k f f^T / |f|^2] L, n x n.
pub(crate) fn gradient_matrix(at: &Linearisation, power: u32) -> Mat<f64> {
    let (n, k) = (at.features(), f64::from(power));
    let square = dot(&at.response, &at.response);
    let along: Vec<f64> =
        (0..n).map(|j| (0..n).map(|i| at.response[i] * at.factor[(i, j)]).sum::<f64>() / square).collect();
    Mat::from_fn(n, n, |i, j| (k + 1.0) * at.factor[(i, j)] - k * at.response[i] * along[j])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ifv::evaluation::angle;
    use crate::ifv::jacobian::{Jacobian, Response};
    use crate::net::op::{Conv2d, Softplus};
    use crate::net::{Graph, InputSpec, Network, Node, Op, Pair, Sides, Size};
    use crate::objective::aggregation::Aggregation;
    use crate::objective::parameterisation::{Colours, Pixels, Squashed};
    use crate::objective::significance::significance;
    use crate::ops::checks::{Case, assert_close};
    use crate::store::npy::Scalar;
    use crate::tensor::random::Stream;
    use crate::tensor::{Element, shape, view};

    /// Two convolutions, softplus between, no padding.
    fn oracle_network<E: Element + Scalar>(case: &Case) -> Network<E> {
        let [first, bias, second] = ["w1", "b1", "w2"].map(|name| case.array::<E>(name));
        let convolution = |channels: usize, bias: bool| {
            Op::Conv2d(Conv2d {
                channels,
                kernel: Pair::Both(3),
                stride: Pair::Both(1),
                padding: Sides::Pair(Pair::Both(0)),
                dilation: Pair::Both(1),
                groups: 1,
                bias,
            })
        };
        let nodes = vec![
            Node::new("conv1", convolution(shape(&first).0, true), "input"),
            Node::new("act1", Softplus::default(), "conv1"),
            Node::new("conv2", convolution(shape(&second).0, false), "act1"),
        ];
        let outputs = [("y".to_string(), "conv2".to_string())].into();
        let graph = Graph::new(InputSpec::plain(Size::new(3, 10, 10)), nodes, outputs).unwrap();
        Network::assembled(graph, vec![first, bias, second])
    }

    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("ifv");
        let network = oracle_network::<E>(&case);
        let squashed = Squashed::new::<E>(Pixels(Size::new(3, 10, 10)), Colours::Plain).unwrap();
        let response = Response::new(&network, &squashed, "conv2", Aggregation::USUAL, None).unwrap();
        let jacobian = response.jacobian(&case.array("s"), 5).unwrap();
        // A Jacobian's rounding, some hundred products deep.
        let rounding = if E::NAME == "f64" { 1e-12 } else { 1e-5 };
        assert_close(&jacobian.response, view(&case.array::<f64>("f")), rounding);
        assert_close(&jacobian.rows, view(&case.array::<f64>("J")), rounding);
        let whole = response.jacobian(&case.array("s"), 64).unwrap();
        assert!(jacobian.rows == whole.rows, "blocks change bits");
        let at = jacobian.reduced().unwrap();
        let power = case.description["kappa"].as_u64().unwrap() as u32;
        let tolerance = &case.description["tolerance"]["angle_to_predicted_degrees"][E::NAME.replace('f', "float")];
        let basis = case.array::<f64>("critical_basis");
        let (n, _, _, m) = shape(&basis);
        let critical = Subspace::new(Mat::from_fn(n, m, |i, j| view(&basis)[i * m + j])).unwrap();
        for (space, expected) in [(Subspace::whole(n), "predicted"), (critical, "predicted_critical")] {
            let found = predict(&at, power, &space).unwrap();
            let degrees = angle(&found.objective, view(&case.array::<f64>(expected)));
            assert!(degrees <= tolerance.as_f64().unwrap(), "{expected}: {degrees}");
        }
        let found = predict(&at, power, &Subspace::whole(n)).unwrap();
        assert_close(&found.singular_values, view(&case.array::<f64>("singular_values")), 10.0 * rounding);
        let degrees = angle(&found.objective, view(&case.array::<f64>("target")));
        assert!((degrees - case.description["angle_degrees"].as_f64().unwrap()).abs() <= tolerance.as_f64().unwrap());
    }

    #[test]
    fn agrees_with_the_oracle_in_f64() {
        check_oracle::<f64>();
    }

    #[test]
    fn agrees_with_the_oracle_in_f32() {
        check_oracle::<f32>();
    }

    fn linearisation(n: usize, columns: usize, seed: u64) -> Linearisation {
        let response: Vec<f64> = Stream::new(seed, "f", 0).uniform(0..n);
        Jacobian { response, rows: Stream::new(seed, "J", 0).normal::<f64>(0..n * columns) }.reduced().unwrap()
    }

    proptest! {
        /// The gradient of psi_w in s is cos^k w^T A: with L for J, significance's gradient times L.
        #[test]
        fn the_gradient_matrix_is_that_of_the_objective(n in 2usize..7, power in 0u32..4, seed in 0u64..100) {
            let at = linearisation(n, 20, seed);
            let target: Vec<f64> = Stream::new(seed, "w", 0).uniform(0..n);
            let length = norm(&target);
            let target: Vec<f64> = target.iter().map(|w| w / length).collect();
            let judged = significance(&target, &at.response, power);
            prop_assume!(judged.cosine > 0.2);
            let a = gradient_matrix(&at, power);
            for j in 0..n {
                let expected: f64 = (0..n).map(|i| judged.gradient[i] * at.factor[(i, j)]).sum();
                let found: f64 = judged.cosine.powi(power as i32) * (0..n).map(|i| target[i] * a[(i, j)]).sum::<f64>();
                prop_assert!((expected - found).abs() < 1e-10, "{expected} {found}");
            }
        }

        /// No direction of the space has a smaller gradient than the prediction, and shares of any target sum to one.
        #[test]
        fn the_prediction_is_the_least_of_its_space(n in 3usize..8, power in 0u32..4, seed in 0u64..100, out in 0usize..2) {
            let at = linearisation(n, 30, seed);
            let space = Subspace::of(Mat::from_fn(n, n - out, |i, j| f64::from(u8::from(i == j))));
            let found = predict(&at, power, &space).unwrap();
            prop_assert!((norm(&found.objective) - 1.0).abs() < 1e-12 && dot(&found.objective, &at.response) >= 0.0);
            prop_assert!((found.residual - found.singular_values[n - out - 1]).abs() < 1e-10);
            prop_assert!(found.objective[n - out..].iter().all(|value| value.abs() < 1e-12));
            let a = gradient_matrix(&at, power);
            let other: Vec<f64> = Stream::new(seed, "v", 0).normal(0..n - out);
            let length = norm(&other);
            let pulled: Vec<f64> = (0..n).map(|j| other.iter().enumerate().map(|(i, v)| v / length * a[(i, j)]).sum()).collect();
            prop_assert!(norm(&pulled) >= found.residual - 1e-12);
            let shares = found.shares(&found.objective);
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12 && shares[0] > 1.0 - 1e-12);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&found.distance_from_optimum()));
        }
    }

    #[test]
    fn a_stationary_image_gives_its_objective_back() {
        // J with w^T A = 0: rows of J perpendicular to what w asks.
        let (n, w) = (4, [0.5f64; 4]);
        let at = linearisation(n, 30, 3);
        let power = 2;
        let judged = significance(&w, &at.response, power);
        let length = norm(&judged.gradient);
        let along: Vec<f64> =
            (0..n).map(|j| (0..n).map(|i| judged.gradient[i] / length * at.factor[(i, j)]).sum()).collect();
        let factor = Mat::from_fn(n, n, |i, j| at.factor[(i, j)] - judged.gradient[i] / length * along[j]);
        let found =
            predict(&Linearisation { response: at.response.clone(), factor }, power, &Subspace::whole(n)).unwrap();
        assert!(angle(&found.objective, &w) < 1e-6 && found.gap() > 1.0 - 1e-9);
        assert!(found.distance_from_optimum() < 1e-9);
    }

    #[test]
    fn spaces_that_do_not_fit_are_refused() {
        let at = linearisation(4, 20, 0);
        assert!(predict(&at, 3, &Subspace::whole(5)).unwrap_err().to_string().contains("expected 4"));
        assert!(predict(&at, 3, &Subspace::of(Mat::zeros(4, 0))).unwrap_err().to_string().contains("at least 1"));
    }

    proptest! {
        /// Features in other units have the objective in theirs, those without a gradient change nothing: where k = 0.
        #[test]
        fn relative_predictions_know_no_units(n in 2usize..7, seed in 0u64..100) {
            let at = linearisation(n, 20, seed);
            let units: Vec<f64> = Stream::new(seed, "units", 0).uniform(0..n).into_iter().map(|u: f64| 10f64.powf(4.0 * u - 2.0)).collect();
            let unit = |i: usize| units.get(i).copied().unwrap_or(0.0);
            // One feature more, which has neither a response nor a gradient.
            let response = (0..=n).map(|i| if i < n { unit(i) * at.response[i] } else { 0.0 }).collect();
            let factor = Mat::from_fn(n + 1, n + 1, |i, j| if i < n && j < n { unit(i) * at.factor[(i, j)] } else { 0.0 });
            let (found, other) = (predict_relative(&at, 0).unwrap(), predict_relative(&Linearisation { response, factor }, 0).unwrap());
            let expected = signed((0..n).map(|i| found.objective[i] / unit(i)).collect(), &found.objective);
            let same = angle(&other.objective[..n], &expected);
            prop_assert!(same.min(180.0 - same) < 1e-4 && other.objective[n] == 0.0, "{same}");
            prop_assert!((found.residual - other.residual).abs() < 1e-9 && other.singular_values[0].is_infinite());
            let target: Vec<f64> = Stream::new(seed, "w", 0).uniform(0..n);
            let scaled: Vec<f64> = (0..=n).map(|i| if i < n { target[i] / unit(i) } else { 7.0 }).collect();
            for (a, b) in found.shares(&target).iter().zip(other.shares(&scaled)) {
                prop_assert!((a - b).abs() < 1e-7, "{a} {b}");
            }
            prop_assert!((found.distance_from_optimum() - other.distance_from_optimum()).abs() < 1e-7);
        }
    }

    #[test]
    fn features_that_do_not_fit_are_refused() {
        let case = Case::open("ifv");
        let network = oracle_network::<f64>(&case);
        let squashed = Squashed::new::<f64>(Pixels(Size::new(3, 10, 10)), Colours::Plain).unwrap();
        for features in [0, 1, 13] {
            let refused = Response::new(&network, &squashed, "conv2", Aggregation::Mean, Some(features)).err().unwrap();
            assert!(refused.to_string().contains("2 to 12"), "{refused}");
        }
        assert!(Response::new(&network, &squashed, "conv3", Aggregation::Mean, None).is_err());
    }
}
