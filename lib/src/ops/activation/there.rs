//! Activation functions and their slopes for devices.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use obverse_engine::{Binary, Unary, Variable};

use super::Activation;

/// f(x).
pub(super) fn value(activation: Activation, x: Variable<'_>) -> Variable<'_> {
    match activation {
        Activation::LeakyRelu { slope } => x.above(0.0).select(x, x * slope),
        Activation::Clip { low, high } => x.clamp(low, high),
        Activation::HardSigmoid { alpha, beta } => x.affine(alpha, beta).clamp(0.0, 1.0),
        Activation::HardSwish => x * x.affine(1.0 / 6.0, 0.5).clamp(0.0, 1.0),
        Activation::Threshold { threshold, value } => x.above(threshold).select(x, x.affine(0.0, value)),
        Activation::Shrink { lambda, bias } => {
            let low = (-x).above(lambda).select(x + bias, x * 0.0);
            x.above(lambda).select(x + -bias, low)
        }
        Activation::Abs => x.abs(),
        Activation::Neg => -x,
        Activation::Sign => x.unary(Unary::Sign),
        Activation::Floor => x.unary(Unary::Floor),
        Activation::Ceil => x.unary(Unary::Ceil),
        Activation::Round => x.unary(Unary::Round),
        Activation::Elu { alpha } => x.above(0.0).select(x, below(x, alpha, 1.0)),
        Activation::Celu { alpha } => x.above(0.0).select(x, below(x, alpha, 1.0 / alpha)),
        Activation::Selu { alpha, gamma } => x.above(0.0).select(x, below(x, alpha, 1.0)) * gamma,
        Activation::Sigmoid => x.sigmoid(),
        Activation::LogSigmoid => -(-x).softplus(),
        Activation::Tanh => x.tanh(),
        Activation::Softplus { beta } => (x * beta).softplus() * (1.0 / beta),
        Activation::Softsign => x / (x.abs() + 1.0),
        Activation::Silu => x * x.sigmoid(),
        Activation::Mish => x * x.softplus().tanh(),
        Activation::Gelu => x * normal(x),
        Activation::GeluTanh => x * inner(x).tanh().affine(0.5, 0.5),
        Activation::Asinh => {
            let size = x.abs();
            let root = (size.squared() + 1.0).sqrt();
            // ln(s + sqrt(1 + s^2)) as ln(1 + t), which does not cancel where s is small.
            x.unary(Unary::Sign) * (size + size.squared() / (root + 1.0)).unary(Unary::Ln1p)
        }
        Activation::Sinh => x.unary(Unary::Sinh),
        Activation::Cosh => x.unary(Unary::Cosh),
        Activation::Acosh => (x + (x.squared() + -1.0).sqrt()).ln(),
        Activation::Atanh => (x.unary(Unary::Ln1p) - (-x).unary(Unary::Ln1p)) * 0.5,
        Activation::Sin => x.unary(Unary::Sin),
        Activation::Cos => x.unary(Unary::Cos),
        Activation::Tan => x.unary(Unary::Tan),
        Activation::Asin => x.unary(Unary::Asin),
        Activation::Acos => x.unary(Unary::Acos),
        Activation::Atan => x.unary(Unary::Atan),
        Activation::Exp => x.exp(),
        Activation::Log => x.ln(),
        Activation::Sqrt => x.sqrt(),
        Activation::Reciprocal => x.recip(),
        Activation::Power { exponent } => x.binary(Binary::Power, x.affine(0.0, exponent)),
        Activation::Erf => x.unary(Unary::Erf),
    }
}

/// f'(x); `None` where it is 0.
pub(super) fn slope(activation: Activation, x: Variable<'_>) -> Option<Variable<'_>> {
    let one = || x.affine(0.0, 1.0);
    Some(match activation {
        Activation::LeakyRelu { slope } => x.above(0.0).affine(1.0 - slope, slope),
        Activation::Clip { low, high } => x.above(low) * (-x).above(-high),
        Activation::HardSigmoid { alpha, beta } => {
            let y = x.affine(alpha, beta);
            y.above(0.0) * (-y).above(-1.0) * alpha
        }
        Activation::Threshold { threshold, .. } => x.above(threshold),
        Activation::Shrink { lambda, .. } => x.abs().above(lambda),
        Activation::Neg => x.affine(0.0, -1.0),
        Activation::Sign | Activation::Floor | Activation::Ceil | Activation::Round => return None,
        Activation::Abs => x.unary(Unary::Sign),
        Activation::Elu { alpha } => x.above(0.0).select(one(), bent(x, alpha, 1.0)),
        Activation::Celu { alpha } => x.above(0.0).select(one(), bent(x, 1.0, 1.0 / alpha)),
        Activation::Selu { alpha, gamma } => x.above(0.0).select(one(), bent(x, alpha, 1.0)) * gamma,
        Activation::Power { exponent: 0.0 } => return None,
        Activation::Power { exponent } => x.binary(Binary::Power, x.affine(0.0, exponent - 1.0)) * exponent,
        Activation::Gelu => normal(x) + x * (x.squared() * -0.5).exp() * (0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2),
        // What is smooth, and made of what is, is differentiated.
        _ => {
            let program = x.program();
            let y = value(activation, x);
            program.pull(y, one(), &[x]).remove(0)?
        }
    })
}

/// scale (e^(x rate) - 1) for x <= 0, and 0 above.
fn below(x: Variable<'_>, scale: f64, rate: f64) -> Variable<'_> {
    ((x.clamp(f64::NEG_INFINITY, 0.0) * rate).exp() + -1.0) * scale
}

/// scale e^(x rate) for x <= 0; above, where it is not read, `scale`.
fn bent(x: Variable<'_>, scale: f64, rate: f64) -> Variable<'_> {
    (x.clamp(f64::NEG_INFINITY, 0.0) * rate).exp() * scale
}

/// The normal distribution function.
fn normal(x: Variable<'_>) -> Variable<'_> {
    (x * FRAC_1_SQRT_2).unary(Unary::Erf).affine(0.5, 0.5)
}

/// sqrt(2 / pi) (x + 0.044715 x^3).
fn inner(x: Variable<'_>) -> Variable<'_> {
    x * x.squared().affine(0.044_715, 1.0) * (FRAC_2_SQRT_PI * FRAC_1_SQRT_2)
}
