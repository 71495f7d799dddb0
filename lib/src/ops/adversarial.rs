//! The losses of a generator and a discriminator, and their cotangents, from scores (N, 1, 1, 1).
//!
//! Least squares: (1 - D)^2 for real images, or fakes that should pass as real; (-1 - D)^2 for fakes (feature alignment, equations 7 and 8; Mao et
//! al. 2017). Wasserstein: -D and D.
//!
//! ```
//! use obverse::ops::adversarial::{Role, Rule};
//! use obverse::tensor::{batch, view};
//! // A score of 0 for a real image: (1 - 0)^2, and its slope.
//! let (loss, slope) = Rule::LeastSquares.judge(&batch(vec![0.0f64], (1, 1, 1, 1)), Role::Real, 1.0);
//! assert_eq!((loss, view(&slope)), (1.0, &[-2.0][..]));
//! ```

use serde::{Deserialize, Serialize};

use crate::tensor::{Batch, Element, batch, shape, view};

/// The loss of scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Squared distance from 1 for real images and -1 for fakes (Mao et al. 2017).
    #[default]
    LeastSquares,
    /// The score itself (Arjovsky et al. 2017).
    Wasserstein,
}

/// Whose score is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A real image, by the discriminator.
    Real,
    /// A fake, by the discriminator.
    Fake,
    /// A fake, by the generator.
    Wanted,
}

impl Rule {
    /// factor * sum of the losses of scores (N, 1, 1, 1), and its cotangent.
    pub fn judge<E: Element>(self, scores: &Batch<E>, role: Role, factor: f64) -> (f64, Batch<E>) {
        let one = |score: f64| match (self, role) {
            (Self::LeastSquares, Role::Real | Role::Wanted) => ((1.0 - score).powi(2), -2.0 * (1.0 - score)),
            (Self::LeastSquares, Role::Fake) => ((-1.0 - score).powi(2), 2.0 * (1.0 + score)),
            (Self::Wasserstein, Role::Real | Role::Wanted) => (-score, -1.0),
            (Self::Wasserstein, Role::Fake) => (score, 1.0),
        };
        let judged: Vec<(f64, f64)> = view(scores).iter().map(|score| one(score.wide())).collect();
        let loss = judged.iter().map(|(loss, _)| factor * loss).sum();
        let cotangent = judged.iter().map(|(_, slope)| E::of(factor * slope)).collect();
        (loss, batch(cotangent, shape(scores)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::{Case, assert_close};
    use crate::store::npy::Scalar;

    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("gan_losses");
        let tolerance = case.tolerance::<E>();
        let (real, fake) = (case.array::<E>("d_real"), case.array::<E>("d_fake"));
        let mean = 1.0 / shape(&real).0 as f64;
        let check = |loss: f64, name: &str| {
            assert_close(&[loss], view(&case.array::<f64>(name)), tolerance);
        };
        let check_slope = |slope: &Batch<E>, name: &str| {
            assert_close(view(slope), view(&case.array::<f64>(name)), tolerance);
        };
        let (real_loss, real_slope) = Rule::LeastSquares.judge(&real, Role::Real, mean);
        let (fake_loss, fake_slope) = Rule::LeastSquares.judge(&fake, Role::Fake, mean);
        check(real_loss + fake_loss, "L_D");
        check_slope(&real_slope, "L_D.grad_real");
        check_slope(&fake_slope, "L_D.grad_fake");
        check_slope(&Rule::LeastSquares.judge(&fake, Role::Wanted, mean).1, "L_G.grad_fake");
        let critic = |scores, role| Rule::Wasserstein.judge(scores, role, mean).0;
        check(critic(&fake, Role::Fake) + critic(&real, Role::Real), "critic");
        check(critic(&fake, Role::Wanted), "critic_generator");
    }

    #[test]
    fn agrees_with_the_oracle_in_f64() {
        check_oracle::<f64>();
    }

    #[test]
    fn agrees_with_the_oracle_in_f32() {
        check_oracle::<f32>();
    }
}
