//! Functions of each value alone.

use ndarray::arr0;

use super::translation::Translation;
use super::value::{Computed, Side, Site};
use crate::net::error::Result;
use crate::net::op::*;

impl Translation<'_> {
    /// A function of each value alone.
    pub(super) fn each(&mut self, site: &Site, op: impl Into<Op>) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        self.push_like(&site.name, op, &[&x])
    }

    /// SELU, of ONNX's defaults the floats next to the paper's numbers.
    pub(super) fn selu(&mut self, site: &Site) -> Result<Computed> {
        let alpha = site.float("alpha", f64::from(1.673_263_2_f32));
        self.each(site, Selu { alpha, gamma: site.float("gamma", f64::from(1.050_701_f32)) })
    }

    /// GELU, by erf or by tanh.
    pub(super) fn gelu(&mut self, site: &Site) -> Result<Computed> {
        match site.node.text("approximate").unwrap_or("none") {
            "tanh" => self.each(site, GeluTanh),
            _ => self.each(site, Gelu),
        }
    }

    /// GELU by tanh, of a value and what is added to it.
    pub(super) fn fast_gelu(&mut self, site: &Site) -> Result<Computed> {
        self.gelu_of_sum(site, GeluTanh.into())
    }

    /// GELU by erf, of a value and what is added to it.
    pub(super) fn bias_gelu(&mut self, site: &Site) -> Result<Computed> {
        self.gelu_of_sum(site, Gelu.into())
    }

    /// onnxruntime's convolution, a sum with another value, and an activation.
    pub(super) fn fused_convolution(&mut self, site: &Site) -> Result<Computed> {
        let mut y = self.convolution(site)?;
        if site.input(3).is_some() {
            let sides = [Side::Computed(y), self.side(site, 3)?];
            y = self.paired(site, &format!("{}.sum", site.name), Add.into(), sides)?;
        }
        let numbers = site.node.floats("activation_params").unwrap_or_default();
        self.activated(site, y, site.node.text("activation"), numbers)
    }

    /// onnxruntime's Gemm and an activation.
    pub(super) fn fused_gemm(&mut self, site: &Site) -> Result<Computed> {
        let y = self.gemm(site)?;
        let number = |name: &str| site.node.float(name);
        let numbers: Vec<f32> = [number("activation_alpha"), number("activation_beta")].into_iter().flatten().collect();
        self.activated(site, y, site.node.text("activation"), &numbers)
    }

    fn activated(&mut self, site: &Site, y: Computed, name: Option<&str>, numbers: &[f32]) -> Result<Computed> {
        let number = |place: usize, default: f64| numbers.get(place).map_or(default, |&number| f64::from(number));
        let op: Op = match name {
            None => return Ok(y),
            Some("Relu") => Relu.into(),
            Some("Sigmoid") => Sigmoid.into(),
            Some("Tanh") => Tanh.into(),
            Some("LeakyRelu") => LeakyRelu { slope: number(0, 0.01) }.into(),
            Some("HardSigmoid") => HardSigmoid { alpha: number(0, 0.2), beta: number(1, 0.5) }.into(),
            Some("Clip") => {
                return self.clip(&format!("{}.clip", site.name), &y, Some(number(0, 0.0)), Some(number(1, 6.0)));
            }
            Some(other) => return Err(site.refused("a known activation", other)),
        };
        self.push_like(&format!("{}.activation", site.name), op, &[&y])
    }

    fn gelu_of_sum(&mut self, site: &Site, op: Op) -> Result<Computed> {
        let mut x = self.computed(site, 0)?;
        if site.input(1).is_some() {
            let sides = [Side::Computed(x), self.side(site, 1)?];
            x = self.paired(site, &format!("{}.bias", site.name), Add.into(), sides)?;
        }
        self.push_like(&site.name, op, &[&x])
    }

    /// x sigmoid(alpha x).
    pub(super) fn swish(&mut self, site: &Site, alpha: f64) -> Result<Computed> {
        let alpha = site.float("alpha", alpha);
        if alpha == 1.0 {
            return self.each(site, Silu);
        }
        let x = self.computed(site, 0)?;
        let scaled = self.times(site, &x, alpha as f32)?;
        let swish = self.push_like(&format!("{}.silu", site.name), Silu, &[&scaled])?;
        let factor = Side::Constant(arr0(1.0 / alpha as f32).into_dyn(), format!("{}.factor", site.name));
        self.paired(site, &site.name, Mul.into(), [Side::Computed(swish), factor])
    }

    /// A rectifier where only the low bound is there, 0; ReLU6 and its like where both are.
    pub(super) fn clipped(&mut self, site: &Site) -> Result<Computed> {
        let bound = |name: &str, which| -> Result<Option<f64>> {
            let given = self.number(site, which)?;
            let given = given.or(site.node.float(name).map(f64::from));
            Ok(given.filter(|bound| bound.abs() < f64::from(f32::MAX)))
        };
        let (low, high) = (bound("min", 1)?, bound("max", 2)?);
        let x = self.computed(site, 0)?;
        self.clip(&site.name, &x, low, high)
    }

    /// min(max(x, low), high), of the bounds that are there.
    pub(super) fn clip(&mut self, wish: &str, x: &Computed, low: Option<f64>, high: Option<f64>) -> Result<Computed> {
        match (low, high) {
            (None, None) => Ok(x.clone()),
            (Some(0.0), None) => self.push_like(wish, Relu, &[x]),
            (low, high) => {
                let high = high.unwrap_or(f64::INFINITY);
                // ONNX: the high bound wins.
                self.push_like(wish, Clip { low: low.unwrap_or(f64::NEG_INFINITY).min(high), high }, &[x])
            }
        }
    }

    /// A slope below zero for all, for each channel, or for each value.
    pub(super) fn parametric(&mut self, site: &Site) -> Result<Computed> {
        let x = self.computed(site, 0)?;
        let slopes = self.side(site, 1)?;
        if let Side::Constant(slopes, _) = &slopes {
            let is_shared = slopes.len() == 1;
            let mut long = slopes.shape().iter().enumerate().filter(|(_, length)| **length != 1);
            let axis = long.next().map(|(axis, _)| axis + x.rank() - slopes.ndim().min(x.rank()));
            let places = axis.and_then(|axis| x.arrangement.places(&[axis])).unwrap_or_default();
            let is_per_channel = slopes.len() == x.size.channels && long.next().is_none() && x.are_channels(&places);
            if is_shared || is_per_channel {
                let y = self.push_like(&site.name, Prelu { shared: is_shared }, &[&x])?;
                self.keep(&y.node, [("weight", slopes.iter().copied().collect())]);
                return Ok(y);
            }
        }
        let above = self.push_like(&format!("{}.above", site.name), Relu, &[&x])?;
        let below = self.clip(&format!("{}.below", site.name), &x, None, Some(0.0))?;
        let wish = format!("{}.slope", site.name);
        let sloped = self.paired(site, &wish, Mul.into(), [Side::Computed(below), slopes])?;
        self.paired(site, &site.name, Add.into(), [Side::Computed(above), Side::Computed(sloped)])
    }

    /// Pow: of a constant exponent a function of each value.
    pub(super) fn power(&mut self, site: &Site) -> Result<Computed> {
        let sides = [self.side(site, 0)?, self.side(site, 1)?];
        if let [Side::Computed(x), Side::Constant(exponent, _)] = &sides
            && exponent.len() == 1
            && exponent.ndim() <= x.rank()
        {
            let exponent = f64::from(exponent.iter().sum::<f32>());
            let op: Op = if exponent == 0.5 { Sqrt.into() } else { Power { exponent }.into() };
            return match exponent == 1.0 {
                true => Ok(x.clone()),
                false => self.push_like(&site.name, op, &[x]),
            };
        }
        self.paired(site, &site.name, Pow.into(), sides)
    }
}
