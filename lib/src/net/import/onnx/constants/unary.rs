//! Operations on each number of a constant by itself. Floats are computed in 64 bits.

use statrs::function::erf::erf;

use super::{Folded, Folding, refused};
use crate::store::onnx::Constant;

impl Folding<'_> {
    pub(super) fn unary(&self) -> Folded<Constant> {
        let operation = self.node.operation.as_str();
        if operation == "Clip" {
            return self.clip();
        }
        match self.first() {
            Ok(Constant::Floats(array)) => {
                if let Some(truth) = self.truth() {
                    return Ok(Constant::Integers(array.mapv(|value| i64::from(truth(value)))));
                }
                let f =
                    float(operation).map(|f| Box::new(f) as Box<dyn Fn(f64) -> f64>).or_else(|| self.with_setting());
                let f = f.ok_or_else(|| unknown(operation))?;
                Ok(Constant::Floats(array.mapv(|value| f(f64::from(value)) as f32)))
            }
            Ok(Constant::Integers(array)) => {
                let f = whole(operation).ok_or_else(|| unknown(operation))?;
                Ok(Constant::Integers(array.mapv(f)))
            }
            Err(_) => Err(unknown(operation)),
        }
    }

    /// A question about floats.
    fn truth(&self) -> Option<Box<dyn Fn(f32) -> bool>> {
        Some(match self.node.operation.as_str() {
            "IsNaN" => Box::new(f32::is_nan),
            "IsInf" => {
                let (high, low) = (self.integer("detect_positive", 1) != 0, self.integer("detect_negative", 1) != 0);
                Box::new(move |x| (high && x == f32::INFINITY) || (low && x == f32::NEG_INFINITY))
            }
            _ => return None,
        })
    }

    /// A function of floats that has a setting.
    fn with_setting(&self) -> Option<Box<dyn Fn(f64) -> f64>> {
        let setting = |name: &str, default: f32| f64::from(self.node.float(name).unwrap_or(default));
        Some(match self.node.operation.as_str() {
            "LeakyRelu" => {
                let slope = setting("alpha", 0.01);
                Box::new(move |x| if x < 0.0 { slope * x } else { x })
            }
            "Elu" => {
                let alpha = setting("alpha", 1.0);
                Box::new(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
            }
            "Selu" => {
                let (alpha, gamma) = (setting("alpha", 1.673_263_2), setting("gamma", 1.050_701));
                Box::new(move |x| gamma * if x < 0.0 { alpha * x.exp_m1() } else { x })
            }
            "HardSigmoid" => {
                let (alpha, beta) = (setting("alpha", 0.2), setting("beta", 0.5));
                Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
            }
            "Gelu" | "com.microsoft.Gelu" => match self.node.text("approximate") {
                Some("tanh") => Box::new(|x| {
                    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                    0.5 * x * (1.0 + inner.tanh())
                }),
                _ => Box::new(|x| 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))),
            },
            _ => return None,
        })
    }

    /// Values between two bounds, each of which may be left out.
    fn clip(&self) -> Folded<Constant> {
        Ok(match self.first()? {
            Constant::Floats(array) => {
                let bound = |which, name: &str| -> Folded<Option<f32>> {
                    let given = self.get(which).map(|_| self.floats(which)).transpose()?;
                    Ok(given.and_then(|bound| bound.first().copied()).or(self.node.float(name)))
                };
                let low = bound(1, "min")?.unwrap_or(f32::NEG_INFINITY);
                let high = bound(2, "max")?.unwrap_or(f32::INFINITY);
                // The high bound is the last: it holds where they cross.
                let within = |value: f32| if value < low { low } else { value };
                Constant::Floats(array.mapv(|value| if within(value) > high { high } else { within(value) }))
            }
            Constant::Integers(array) => {
                let bound = |which| -> Folded<Option<i64>> {
                    let given = self.get(which).map(|_| self.integers(which)).transpose()?;
                    Ok(given.and_then(|bound| bound.first().copied()))
                };
                let (low, high) = (bound(1)?.unwrap_or(i64::MIN), bound(2)?.unwrap_or(i64::MAX));
                Constant::Integers(array.mapv(|value| value.max(low).min(high)))
            }
        })
    }
}

fn unknown(operation: &str) -> (String, String) {
    refused("an operation that is known on constants", operation)
}

fn whole(operation: &str) -> Option<fn(i64) -> i64> {
    Some(match operation {
        "Neg" => i64::wrapping_neg,
        "Abs" => i64::wrapping_abs,
        "Sign" => i64::signum,
        "Relu" => |value| value.max(0),
        "Not" => |value| i64::from(value == 0),
        _ => return None,
    })
}

fn float(operation: &str) -> Option<fn(f64) -> f64> {
    Some(match operation {
        "Neg" => |x| -x,
        "Abs" => f64::abs,
        "Sign" => |x| if x == 0.0 { 0.0 } else { x.signum() },
        "Sqrt" => f64::sqrt,
        "Exp" => f64::exp,
        "Log" => f64::ln,
        "Erf" => erf,
        "Tanh" => f64::tanh,
        "Sigmoid" => sigmoid,
        "Relu" => |x| if x < 0.0 { 0.0 } else { x },
        "Reciprocal" => f64::recip,
        "Floor" => f64::floor,
        "Ceil" => f64::ceil,
        "Round" => f64::round_ties_even,
        "Sin" => f64::sin,
        "Cos" => f64::cos,
        "Tan" => f64::tan,
        "Asin" => f64::asin,
        "Acos" => f64::acos,
        "Atan" => f64::atan,
        "Sinh" => f64::sinh,
        "Cosh" => f64::cosh,
        "Asinh" => f64::asinh,
        "Acosh" => f64::acosh,
        "Atanh" => f64::atanh,
        "Softplus" => softplus,
        "Softsign" => |x| x / (1.0 + x.abs()),
        "HardSwish" => |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        "Mish" => |x| x * softplus(x).tanh(),
        _ => return None,
    })
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// ln(1 + e^x), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
