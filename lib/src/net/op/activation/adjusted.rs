//! Activations that have settings.

use serde::{Deserialize, Serialize};

use super::ElementWise;
use crate::net::op::Operation;
use crate::net::op::settings::single;
use crate::net::size::Size;
use crate::ops::activation::{Activation, LEAKY_SLOPE, is_rectifier};

/// x, or slope x below zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakyRelu {
    /// The slope below zero.
    #[serde(default = "leaky_slope")]
    pub slope: f64,
}

fn leaky_slope() -> f64 {
    LEAKY_SLOPE
}

/// min(max(x, low), high); either bound may be infinite, and is not written then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// The lowest value.
    #[serde(default = "lowest", skip_serializing_if = "is_infinite")]
    pub low: f64,
    /// The highest value.
    #[serde(default = "highest", skip_serializing_if = "is_infinite")]
    pub high: f64,
}

fn lowest() -> f64 {
    f64::NEG_INFINITY
}

fn highest() -> f64 {
    f64::INFINITY
}

fn is_infinite(value: &f64) -> bool {
    value.is_infinite()
}

fn one() -> f64 {
    1.0
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

/// x, or alpha (e^x - 1) below zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elu {
    /// Less the limit below.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub alpha: f64,
}

impl Default for Elu {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

/// x, or alpha (e^(x / alpha) - 1) below zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Celu {
    /// Less the limit below; positive.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub alpha: f64,
}

/// gamma x, or gamma alpha (e^x - 1) below zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selu {
    /// Less the limit below, but for gamma.
    pub alpha: f64,
    /// The slope above zero.
    pub gamma: f64,
}

impl Default for Selu {
    /// The numbers with which normal values keep their mean and variance (Klambauer et al. 2017).
    fn default() -> Self {
        Self { alpha: 1.673_263_242_354_377_2, gamma: 1.050_700_987_355_480_5 }
    }
}

/// max(0, min(1, alpha x + beta)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HardSigmoid {
    /// The slope.
    pub alpha: f64,
    /// The value at 0.
    pub beta: f64,
}

impl Default for HardSigmoid {
    fn default() -> Self {
        Self { alpha: 1.0 / 6.0, beta: 0.5 }
    }
}

/// ln(1 + e^(beta x)) / beta.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softplus {
    /// How sharply it bends at 0; positive.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub beta: f64,
}

impl Default for Softplus {
    fn default() -> Self {
        Self { beta: 1.0 }
    }
}

/// x^exponent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// The exponent.
    pub exponent: f64,
}

/// x above the threshold, else the value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The largest x that is replaced.
    pub threshold: f64,
    /// What replaces it.
    pub value: f64,
}

/// x - bias above lambda, x + bias below -lambda, 0 between: PyTorch's soft shrinkage where both are equal, its hard one for a bias of 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shrink {
    /// The largest |x| that becomes 0; at least 0.
    pub lambda: f64,
    /// What the others move towards 0 by.
    pub bias: f64,
}

/// Rooms of these settings: what they must fulfil, the words for it, examples, and for tests the values at which each is smooth.
macro_rules! rooms {
    ($($Name:ident { $($field:ident),* }, $fits:expr, $words:literal, $examples:expr
        $(, rectifier $slope:expr)? $(, domain $domain:expr)?;)*) => {
        $(
            impl Operation for $Name {
                fn output(&self, inputs: &[Size]) -> Result<Size, String> {
                    let fits: fn(&Self) -> bool = $fits;
                    match fits(self) {
                        true => single(inputs),
                        false => Err($words.into()),
                    }
                }

                $(fn rectifier(&self) -> Option<f64> {
                    let slope: fn(&Self) -> Option<f64> = $slope;
                    slope(self)
                })?
            }

            impl ElementWise for $Name {
                fn activation(&self) -> Activation {
                    let Self { $($field),* } = *self;
                    Activation::$Name { $($field),* }
                }
            }

            #[cfg(test)]
            impl crate::net::op::Examples for $Name {
                fn examples() -> Vec<(Self, Vec<Size>)> {
                    $examples.into_iter().map(|settings| (settings, vec![Size::new(3, 2, 2)])).collect()
                }

                $(fn domain(value: f64) -> f64 {
                    let domain: fn(f64) -> f64 = $domain;
                    domain(value)
                })?
            }
        )*
    };
}

rooms! {
    LeakyRelu { slope }, |op| op.slope.is_finite(), "a finite slope",
        [0.25, -0.5, 1.0, 2.5].map(|slope| Self { slope }),
        rectifier |op| is_rectifier(op.slope).then_some(op.slope);
    Clip { low, high }, |op| op.low <= op.high && op.low < f64::INFINITY && op.high > f64::NEG_INFINITY,
        "a low bound that is not above the high one",
        [(-0.5, 0.75), (f64::NEG_INFINITY, 0.25), (-0.25, f64::INFINITY), (0.5, 0.5)].map(|(low, high)| Self { low, high });
    Elu { alpha }, |op| op.alpha.is_finite(), "a finite alpha", [1.0, 0.5].map(|alpha| Self { alpha });
    Celu { alpha }, |op| op.alpha > 0.0 && op.alpha.is_finite(), "a positive alpha", [1.0, 0.5].map(|alpha| Self { alpha });
    Selu { alpha, gamma }, |op| op.alpha.is_finite() && op.gamma.is_finite(), "a finite alpha and gamma",
        [Self::default(), Self { alpha: 0.5, gamma: 2.0 }];
    HardSigmoid { alpha, beta }, |op| op.alpha.is_finite() && op.beta.is_finite(), "a finite alpha and beta",
        [Self::default(), Self { alpha: 0.7, beta: 0.25 }];
    Softplus { beta }, |op| op.beta > 0.0 && op.beta.is_finite(), "a positive beta", [1.0, 2.5].map(|beta| Self { beta });
    Power { exponent }, |op| op.exponent.is_finite(), "a finite exponent",
        [2.0, 3.0, 0.5, -0.5, -1.0, 1.7, 0.0, 1.0].map(|exponent| Self { exponent }), domain |value| value.abs() + 0.5;
    Threshold { threshold, value }, |op| op.threshold.is_finite() && op.value.is_finite(), "a finite threshold and value",
        [Self { threshold: 0.25, value: -1.5 }];
    Shrink { lambda, bias }, |op| op.lambda >= 0.0 && op.lambda.is_finite() && op.bias.is_finite(),
        "a lambda of at least 0 and a finite bias", [Self { lambda: 0.5, bias: 0.25 }];
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::net::Op;

    #[test]
    fn settings_that_are_not_given_are_pytorchs_and_infinite_bounds_are_not_written() {
        let read = |json| serde_json::from_value::<Op>(json).map(|op| serde_json::to_value(op).unwrap());
        for bare in ["elu", "celu", "softplus", "clip"] {
            assert_eq!(read(json!({ "op": bare })).unwrap(), json!({ "op": bare }));
        }
        assert_eq!(read(json!({"op": "clip", "low": 0})).unwrap(), json!({"op": "clip", "low": 0.0}));
        assert_eq!(read(json!({"op": "clip", "high": 6.0})).unwrap(), json!({"op": "clip", "high": 6.0}));
        assert_eq!(
            read(json!({"op": "hard_sigmoid"})).unwrap(),
            json!({"op": "hard_sigmoid", "alpha": 1.0 / 6.0, "beta": 0.5})
        );
        let error = read(json!({"op": "elu", "alfa": 2.0})).unwrap_err().to_string();
        assert!(error.contains("alfa") && error.contains("alpha"), "{error}");
    }
}
