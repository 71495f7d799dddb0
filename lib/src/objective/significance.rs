//! How well a response f resembles a target w of unit norm: psi_w(f) = (w.f) max(0.1, cos(w, f))^k.
//!
//! Source: inverse feature visualisation, section 2 (k lost in print), and Lucid, whose floor of 0.1 keeps ascent from cos < 0
//! going the right way for odd k. Where cos > 0.1: dpsi/df = cos^k ((k + 1) w - k (w.f / |f|^2) f).

/// Lucid's floor of the cosine.
pub(crate) const FLOOR: f64 = 0.1;

/// psi_w(f), its gradient, and the cosine.
#[derive(Clone, Debug, PartialEq)]
pub struct Significance {
    /// psi_w(f).
    pub value: f64,
    /// dpsi / df.
    pub gradient: Vec<f64>,
    /// cos(w, f), 0 where either is 0.
    pub cosine: f64,
}

/// Compares a response with a target of the same number of features; `power` is k.
///
/// ```
/// use obverse::objective::significance::significance;
/// let judged = significance(&[1.0, 0.0], &[3.0, 4.0], 2);
/// assert!((judged.value - 3.0 * 0.36).abs() < 1e-12 && (judged.cosine - 0.6).abs() < 1e-12);
/// ```
pub fn significance(target: &[f64], response: &[f64], power: u32) -> Significance {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let (projection, square) = (dot(target, response), dot(response, response));
    let norms = (square * dot(target, target)).sqrt();
    let cosine = if norms > 0.0 { projection / norms } else { 0.0 };
    let factor = cosine.max(FLOOR).powi(power as i32);
    let (along, back) =
        if cosine > FLOOR { (f64::from(power) + 1.0, f64::from(power) * projection / square) } else { (1.0, 0.0) };
    let gradient = target.iter().zip(response).map(|(w, f)| factor * (along * w - back * f)).collect();
    Significance { value: projection * factor, gradient, cosine }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_gradient_is_the_differences(w in prop::collection::vec(-1.0f64..1.0, 5), f in prop::collection::vec(-1.0f64..1.0, 5), power in 0u32..4) {
            let norm = w.iter().map(|w| w * w).sum::<f64>().sqrt();
            prop_assume!(norm > 0.1);
            let w: Vec<f64> = w.iter().map(|w| w / norm).collect();
            let judged = significance(&w, &f, power);
            prop_assume!((judged.cosine - FLOOR).abs() > 1e-3);
            for i in 0..5 {
                let at = |step: f64| {
                    let mut f = f.clone();
                    f[i] += step;
                    significance(&w, &f, power).value
                };
                let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                prop_assert!((difference - judged.gradient[i]).abs() < 1e-6, "{difference} {}", judged.gradient[i]);
            }
        }
    }

    #[test]
    fn a_response_of_zero_is_judged_too() {
        let judged = significance(&[1.0, 0.0], &[0.0, 0.0], 3);
        assert_eq!((judged.value, judged.cosine), (0.0, 0.0));
        assert!((judged.gradient[0] - 1e-3).abs() < 1e-15);
    }
}
