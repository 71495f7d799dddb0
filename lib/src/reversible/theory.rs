//! How the errors of recovery grow with n, m, k and rho, measured on random layers and compared with the theorems.
//!
//! Each repetition draws new W, hidden variables and dropout; errors are means over its hidden variables. Exponents p of error = c
//! value^p are fitted for each repetition. Source: reverse nets, Theorems 3.1 and 3.2, Lemma 3.3.
//!
//! ```
//! use obverse::reversible::model::Sizes;
//! use obverse::reversible::theory::{Effort, Quantity, Variable, curves};
//! let effort = Effort { seed: 0, repetitions: 3, count: 4 };
//! let curves = curves(Variable::M, &[500.0, 2000.0], Sizes { n: 20, m: 2000, k: 3, kept: 1.0 }, effort)?;
//! let curve = curves.iter().find(|curve| curve.quantity == Quantity::Linear);
//! // Theorem 3.1: the error falls as 1 / sqrt m.
//! assert!(curve.is_some_and(|curve| curve.stated == -0.5 && (curve.exponent.mean + 0.5).abs() < 0.25));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use faer::{Mat, Side};
use serde::Serialize;

use super::model::{Layer, Model, Sizes, sparse};
use super::{Error, Result, bounds};
use crate::ops::linear::adjoint;
use crate::statistics::{Interval, exponent};
use crate::tensor::Tape;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, view};

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variable {
    /// Features of h.
    N,
    /// Features of x.
    M,
    /// Features of h that are not zero.
    K,
    /// The share of x that is kept.
    Rho,
}

impl Variable {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::N, Self::M, Self::K, Self::Rho];

    /// n, m, k or rho.
    pub fn name(self) -> &'static str {
        match self {
            Self::N => "n",
            Self::M => "m",
            Self::K => "k",
            Self::Rho => "rho",
        }
    }

    /// The sizes with this one changed.
    pub fn set(self, sizes: Sizes, value: f64) -> Sizes {
        match self {
            Self::N => Sizes { n: value as usize, ..sizes },
            Self::M => Sizes { m: value as usize, ..sizes },
            Self::K => Sizes { k: value as usize, ..sizes },
            Self::Rho => Sizes { kept: value, ..sizes },
        }
    }
}

/// An error of recovery, relative to |h|.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// |h - W^T W h / m| / |h| (Theorem 3.1).
    Linear,
    /// |I - W^T W / m|, the same for the worst h.
    Spectral,
    /// The largest |h - W^T x| in units of |h| / sqrt k (Lemma 3.3).
    Largest,
    /// |h - relu(W^T x + b)| / |h| (Theorem 3.2), b estimated from x.
    Rectified,
}

impl Quantity {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Linear, Self::Spectral, Self::Largest, Self::Rectified];

    /// A few words for a legend.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "3.1, fixed h",
            Self::Spectral => "3.1, any h",
            Self::Largest => "3.3, largest",
            Self::Rectified => "3.2, relu",
        }
    }

    /// The order that the notes state, or for any h the edge of the spectrum.
    pub fn bound(self, sizes: Sizes) -> f64 {
        match self {
            Self::Linear => bounds::linear(sizes.n, sizes.m),
            Self::Spectral => bounds::spectral(sizes.n, sizes.m),
            Self::Largest | Self::Rectified => bounds::rectified(sizes),
        }
    }

    /// The exponent that the notes state; `None` where the quantity does not depend on the variable.
    pub fn stated(self, variable: Variable) -> Option<f64> {
        match (self, variable) {
            (Self::Linear | Self::Spectral, Variable::N) => Some(0.5),
            (Self::Linear | Self::Spectral, Variable::M) => Some(-0.5),
            (Self::Linear | Self::Spectral, Variable::K | Variable::Rho) => None,
            (Self::Largest | Self::Rectified, Variable::N) => Some(0.0),
            (Self::Largest | Self::Rectified, Variable::K) => Some(0.5),
            (Self::Largest | Self::Rectified, Variable::M | Variable::Rho) => Some(-0.5),
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Effort {
    /// Keys every draw.
    pub seed: u64,
    /// Independent repetitions, at least two.
    pub repetitions: u64,
    /// Hidden variables per repetition.
    pub count: usize,
}

/// A quantity over a variable.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// What was varied.
    pub variable: Variable,
    /// What was measured.
    pub quantity: Quantity,
    /// Its values.
    pub values: Vec<f64>,
    /// The error at each value.
    pub errors: Vec<Interval>,
    /// The bound at each value.
    pub bounds: Vec<f64>,
    /// The fitted exponent.
    pub exponent: Interval,
    /// The stated one.
    pub stated: f64,
}

/// The curves of every quantity that depends on the variable, with the other sizes as given.
///
/// # Errors
/// Sizes that make no layer, fewer than two repetitions or values, no hidden variables.
pub fn curves(variable: Variable, values: &[f64], sizes: Sizes, effort: Effort) -> Result<Vec<Curve>> {
    if values.len() < 2 {
        let what = "values of a variable";
        return Err(Error::TooFew { what, needed: 2, found: values.len() });
    }
    let known: Vec<Quantity> = Quantity::ALL.into_iter().filter(|q| q.stated(variable).is_some()).collect();
    let all = values.iter().map(|&value| variable.set(sizes, value).check()).collect::<Result<Vec<_>>>()?;
    // One row per repetition, one error per value and quantity.
    let rows = (0..effort.repetitions).map(|repetition| {
        all.iter().map(|&sizes| measure(sizes, &known, effort, repetition)).collect::<Result<Vec<_>>>()
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let curve = |(which, &quantity): (usize, &Quantity)| {
        let errors: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|errors| errors[which]).collect()).collect();
        let at = |place: usize| -> Result<Interval> {
            Ok(Interval::of(&errors.iter().map(|row| row[place]).collect::<Vec<_>>())?)
        };
        Ok(Curve {
            variable,
            quantity,
            values: values.to_vec(),
            errors: (0..values.len()).map(at).collect::<Result<_>>()?,
            bounds: all.iter().map(|&sizes| quantity.bound(sizes)).collect(),
            exponent: exponent(values, &errors)?,
            stated: quantity.stated(variable).unwrap_or(0.0),
        })
    };
    known.iter().enumerate().map(curve).collect()
}

/// The errors of one repetition.
fn measure(sizes: Sizes, quantities: &[Quantity], effort: Effort, repetition: u64) -> Result<Vec<f64>> {
    if effort.count == 0 {
        return Err(Error::TooFew { what: "hidden variables", needed: 1, found: 0 });
    }
    let stream = Stream::new(effort.seed, &format!("{sizes:?}"), repetition);
    let layer = Layer::<f64>::random(&stream.branch("W"), sizes);
    let h = sparse(&stream.branch("h"), effort.count, sizes);
    let x = layer.generate(&h, &layer.drop(&stream.branch("drop"), effort.count));
    let error = |&quantity: &Quantity| {
        Ok(match quantity {
            Quantity::Linear => {
                let back = adjoint(&mut Tape::off(), &layer.linear(&h), None, &layer.weight);
                mean(&h, &back, |h, back| distance(h, back, 1.0 / sizes.m as f64) / norm(h))
            }
            Quantity::Spectral => spectral_error(&layer)?,
            Quantity::Largest => mean(&h, &layer.linear_estimate(&x), |h, estimate| {
                let errors = h.iter().zip(estimate).map(|(h, estimate)| (h - estimate).abs());
                errors.fold(0.0, f64::max) * (sizes.k as f64).sqrt() / norm(h)
            }),
            Quantity::Rectified => mean(&h, &layer.estimate(&x), relative),
        })
    };
    quantities.iter().map(error).collect()
}

/// The spectral norm of I - W^T W / m.
///
/// # Errors
/// A decomposition that does not converge.
pub(crate) fn spectral_error(layer: &Layer<f64>) -> Result<f64> {
    let (n, m) = (layer.hidden(), layer.visible());
    let identity: Batch<f64> = {
        let values = (0..n * n).map(|place| f64::from(u8::from(place % (n + 1) == 0))).collect();
        crate::tensor::batch(values, (n, 1, 1, n))
    };
    let gram = adjoint(&mut Tape::off(), &layer.linear(&identity), None, &layer.weight);
    let gram = view(&gram);
    let values = Mat::from_fn(n, n, |i, j| gram[i * n + j])
        .self_adjoint_eigenvalues(Side::Lower)
        .map_err(|_| Error::Decomposition("I - W^T W / m".into()))?;
    Ok(values.iter().map(|value| (1.0 - value / m as f64).abs()).fold(0.0, f64::max))
}

/// The relative errors of h recovered from the first layer and from the last of a model of layers of these sizes.
///
/// # Errors
/// Sizes that make no layers or do not follow each other.
pub fn several_layers(sizes: &[Sizes], effort: Effort, repetition: u64) -> Result<[f64; 2]> {
    let stream = Stream::new(effort.seed, &format!("{sizes:?}"), repetition);
    let layer = |(number, sizes): (usize, &Sizes)| {
        Ok(Layer::<f64>::random(&stream.branch(&format!("W {number}")), sizes.check()?))
    };
    let model = Model::new(sizes.iter().enumerate().map(layer).collect::<Result<_>>()?)?;
    let h = sparse(&stream.branch("h"), effort.count, sizes[0]);
    let generated = model.generate(&h, &stream.branch("drop"));
    let near = mean(&h, &model.layers()[0].estimate(&generated[0]), relative);
    Ok([near, mean(&h, &model.recover(&generated[generated.len() - 1]), relative)])
}

/// The mean of `error` over rows.
fn mean(h: &Batch<f64>, estimate: &Batch<f64>, error: impl Fn(&[f64], &[f64]) -> f64) -> f64 {
    let n = crate::tensor::image_len(h);
    let rows = view(h).chunks_exact(n).zip(view(estimate).chunks_exact(n));
    rows.map(|(h, estimate)| error(h, estimate)).sum::<f64>() / crate::tensor::shape(h).0 as f64
}

fn relative(h: &[f64], estimate: &[f64]) -> f64 {
    distance(h, estimate, 1.0) / norm(h)
}

/// |h - factor estimate|.
fn distance(h: &[f64], estimate: &[f64], factor: f64) -> f64 {
    h.iter().zip(estimate).map(|(h, estimate)| (h - factor * estimate).powi(2)).sum::<f64>().sqrt()
}

fn norm(h: &[f64]) -> f64 {
    h.iter().map(|h| h * h).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { n: 60, m: 1500, k: 4, kept: 0.5 };
    const EFFORT: Effort = Effort { seed: 0, repetitions: 6, count: 8 };

    fn curve(variable: Variable, values: &[f64], quantity: Quantity) -> Curve {
        let curves = curves(variable, values, SIZES, EFFORT).unwrap();
        curves.into_iter().find(|curve| curve.quantity == quantity).unwrap()
    }

    /// For a fixed h the mean square of the error is (n + 1) / m; for any h the error is at the edge of the spectrum.
    #[test]
    fn theorem_3_1_holds_for_a_fixed_h_and_the_edge_of_the_spectrum_for_any() {
        let fixed = curve(Variable::N, &[30.0, 60.0, 120.0], Quantity::Linear);
        let worst = curve(Variable::N, &[30.0, 60.0, 120.0], Quantity::Spectral);
        for (place, n) in [30.0f64, 60.0, 120.0].into_iter().enumerate() {
            let expected = ((n + 1.0) / 1500.0).sqrt();
            assert!((fixed.errors[place].mean / expected - 1.0).abs() < 0.1, "{fixed:?}");
            assert!((worst.errors[place].mean / worst.bounds[place] - 1.0).abs() < 0.15, "{worst:?}");
        }
        assert!((fixed.exponent.mean - 0.5).abs() < 0.05 && fixed.exponent.half < 0.1, "{fixed:?}");
    }

    #[test]
    fn lemma_3_3_and_theorem_3_2_have_the_stated_exponents() {
        for (variable, values) in [(Variable::M, [1000.0, 3000.0, 9000.0]), (Variable::Rho, [0.25, 0.5, 1.0])] {
            let found = curve(variable, &values, Quantity::Largest);
            assert!((found.exponent.mean + 0.5).abs() < 0.1, "{found:?}");
            let found = curve(variable, &values, Quantity::Rectified);
            assert!((found.exponent.mean + 0.5).abs() < 0.15, "{found:?}");
        }
        let found = curve(Variable::K, &[2.0, 4.0, 8.0], Quantity::Largest);
        assert!((found.exponent.mean - 0.5).abs() < 0.12, "{found:?}");
        assert!(found.errors.iter().all(|error| error.mean < bounds::threshold(Sizes { k: 8, ..SIZES })));
    }

    #[test]
    fn the_same_seed_measures_the_same_on_any_number_of_threads() {
        let values = [2.0, 4.0];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let one = pool.install(|| curves(Variable::K, &values, SIZES, EFFORT).unwrap());
        assert_eq!(one, curves(Variable::K, &values, SIZES, EFFORT).unwrap());
        assert_ne!(one, curves(Variable::K, &values, SIZES, Effort { seed: 1, ..EFFORT }).unwrap());
    }

    #[test]
    fn two_layers_lose_more_than_one_and_wrong_sizes_are_refused() {
        let second = Sizes { n: 1500, m: 4500, k: 75, kept: 0.4 };
        let sizes = [Sizes { kept: 0.1, ..SIZES }, second];
        let [near, far] = several_layers(&sizes, EFFORT, 0).unwrap();
        assert!(near < far && far < 1.0, "{near} {far}");
        assert!(several_layers(&[SIZES, SIZES], EFFORT, 0).is_err());
        assert!(curves(Variable::K, &[2.0, 61.0], SIZES, EFFORT).is_err());
        assert!(curves(Variable::K, &[2.0], SIZES, EFFORT).is_err());
        assert!(curves(Variable::K, &[2.0, 3.0], SIZES, Effort { repetitions: 1, ..EFFORT }).is_err());
        assert!(curves(Variable::K, &[2.0, 3.0], SIZES, Effort { count: 0, ..EFFORT }).is_err());
    }
}
