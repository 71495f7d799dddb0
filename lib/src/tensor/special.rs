//! The error function in f32, of operations that a compiler turns into vectors.

use super::Element;

/// |x| below which erf x is x times a polynomial in x^2.
const NEAR: f32 = 1.0;

/// The polynomial, by iterated least squares: its relative error is at most 2e-9.
#[allow(clippy::approx_constant, reason = "the best polynomial's first coefficient is a little less than 2 / sqrt(pi)")]
const SERIES: [f32; 7] =
    [1.128_379_1, -0.376_126_26, 0.112_835_854, -0.026_853_81, 5.188_324_5e-3, -8.010_162e-4, 7.853_742e-5];

/// erfc x e^(x^2) from there on, as a polynomial without a constant term in 1 / (1 + SCALE x): its relative error is at most 3e-7.
const TAIL: [f32; 6] = [0.270_880_13, 0.269_328_8, 0.252_378, 0.120_700_44, 0.229_152_78, -0.143_789_86];
const SCALE: f32 = 0.48;

/// erf |x| and erfc |x|.
#[inline(always)]
fn parts(x: f32) -> (f32, f32) {
    let size = x.abs();
    let square = size * size;
    let share = 1.0 / (1.0 + SCALE * size);
    let tail = (-square).exponential() * (polynomial(&TAIL, share) * share);
    let near = size * polynomial(&SERIES, square);
    if size < NEAR { (near, 1.0 - near) } else { (1.0 - tail, tail) }
}

/// The value of a polynomial, given from its constant on.
#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
    coefficients.iter().rev().fold(0.0, |value, &coefficient| value * x + coefficient)
}

/// erf x, within 2e-7 of its size.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    parts(x).0.copysign(x)
}

/// 1 - erf x, within 1.2e-7, or 2.4e-7 below 0, up to 1; then its relative error grows from 6e-7 to 2e-6 at 4, as that of e^(-x^2) does, and it is 0 where
/// less than 2e-38 is left.
#[inline(always)]
pub(super) fn erfc(x: f32) -> f32 {
    let (inner, outer) = parts(x);
    if x < 0.0 { 1.0 + inner } else { outer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_functions_are_those_of_double_precision() {
        for step in (-12_000..12_000).step_by(if cfg!(miri) { 997 } else { 1 }) {
            let x = step as f32 * 1e-3;
            let (wide, found) = (f64::from(x), [x.error_function(), x.complementary_error_function()].map(f64::from));
            let (erf, erfc) = (wide.error_function(), wide.complementary_error_function());
            assert!((found[0] - erf).abs() <= 2e-7 * erf.abs(), "erf {x}: {}, expected {erf}", found[0]);
            let tolerance = if x < 1.0 { 1.2e-7 * erfc.max(1.0) } else { (5e-7 + 1.2e-7 * wide * wide) * erfc + 2e-38 };
            assert!((found[1] - erfc).abs() <= tolerance, "erfc {x}: {}, expected {erfc}", found[1]);
        }
    }

    #[test]
    fn the_error_functions_at_the_ends_are_their_limits() {
        let ends = [f32::NEG_INFINITY, f32::MIN, -0.0, 0.0, f32::MAX, f32::INFINITY];
        assert_eq!(ends.map(Element::error_function), [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(ends.map(Element::complementary_error_function), [2.0, 2.0, 1.0, 1.0, 0.0, 0.0]);
        assert!(f32::NAN.error_function().is_nan() && f32::NAN.complementary_error_function().is_nan());
    }
}
