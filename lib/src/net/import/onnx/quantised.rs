//! Quantised networks, dequantised: weights are read as the floats that they stand for, and what the images make is not rounded.

use ndarray::ArrayD;

use super::translation::Translation;
use super::value::{Computed, Side, Site, Value};
use crate::net::error::Result;
use crate::net::op::{Maximum, Minimum, Mul, Op, Sub};
use crate::store::onnx::{Constant, ElementType};

impl<'m> Translation<'m> {
    /// Rounding to whole numbers and back is left out; what their type does not hold is cut off, since that may stand for a rectifier.
    pub(super) fn unquantised(&mut self, site: &Site<'m>) -> Result<Vec<Value>> {
        let remark = "quantised: its weights are read as floats, and what the images make is cut off but not rounded";
        if !self.remarks.iter().any(|other| other == remark) {
            self.remarks.push(remark.into());
        }
        let x = self.computed(site, 0)?;
        let is_output = |name: &String| self.model.outputs.contains(name);
        let operation = site.node.operation.trim_start_matches("com.microsoft.");
        if operation != "DequantizeLinear" && site.node.outputs.iter().any(is_output) {
            return Err(site.refused("values that are dequantised again", "an output of whole numbers"));
        }
        if operation == "QuantizeLinear" {
            return self.cut_off(site, x).map(|value| vec![Value::Computed(value)]);
        }
        let is_input = site.input(0) == self.model.inputs.first().map(|input| input.name.as_str());
        if operation == "DequantizeLinear" && (self.is_constant(site, 0)? || is_input) {
            return self.dequantised(site, x).map(|value| vec![Value::Computed(value)]);
        }
        let x = Value::Computed(x);
        if operation != "DynamicQuantizeLinear" {
            return Ok(vec![x]);
        }
        // A scale of 1 and a zero at 0: the operations that read them see the values themselves.
        let scale = Constant::Floats(ndarray::arr0(1.0).into_dyn());
        Ok(vec![x, Value::Constant(scale), Value::Constant(Constant::Integers(ndarray::arr0(0).into_dyn()))])
    }

    /// x between the floats that stand for the least and the largest whole number of the type: of one scale, or of one along an axis.
    fn cut_off(&mut self, site: &Site<'m>, x: Computed) -> Result<Computed> {
        let element = site.node.integer("output_dtype").and_then(ElementType::of).unwrap_or(ElementType::U8);
        let Some((low, high)) = element.range() else { return Ok(x) };
        let scale = self.floats_of(site, 1)?;
        let zero = if self.value(site, 2)?.is_some() { self.floats_of(site, 2)? } else { ArrayD::zeros(vec![]) };
        let bound = |bound: i64| zero.mapv(|zero| bound as f32 - zero);
        let bounds = [bound(low), bound(high)].map(|bound| {
            let whole = bound.broadcast(scale.raw_dim()).map(|bound| bound.to_owned());
            whole.map(|bound| bound * &scale)
        });
        let [Some(low), Some(high)] = bounds else {
            return Err(site.refused("a zero for each scale", format!("{:?} and {:?}", zero.shape(), scale.shape())));
        };
        if scale.len() == 1 {
            let [low, high] = [low, high].map(|bound| f64::from(bound.iter().sum::<f32>()));
            return self.clip(&site.name, &x, Some(low), Some(high));
        }
        let axis = site.axis(site.integer("axis", 1), x.rank())?;
        let mut value = x;
        for (word, op, bound) in [("low", Op::from(Maximum), low), ("high", Minimum.into(), high)] {
            if bound.ndim() != 1 {
                return Err(site.refused("one scale, or one along an axis", format!("{:?}", bound.shape())));
            }
            let bound = along(site, bound, axis, value.rank())?;
            let wish = if word == "high" { site.name.clone() } else { format!("{}.{word}", site.name) };
            let side = Side::Constant(bound, format!("{}.{word}.by", site.name));
            value = self.paired(site, &wish, op, [Side::Computed(value), side])?;
        }
        Ok(value)
    }

    /// (x - zero) scale of images that are whole numbers: of one zero and scale, or of one along an axis.
    fn dequantised(&mut self, site: &Site<'m>, x: Computed) -> Result<Computed> {
        let axis = site.axis(site.integer("axis", 1), x.rank())?;
        let mut value = x;
        for (which, word, op) in [(2, "less_zero", Op::from(Sub)), (1, "scale", Mul.into())] {
            if self.value(site, which)?.is_none() {
                continue;
            }
            let mut numbers = self.floats_of(site, which)?;
            if numbers.ndim() == 1 {
                numbers = along(site, numbers, axis, value.rank())?;
            }
            let wish = if which == 1 { site.name.clone() } else { format!("{}.{word}", site.name) };
            let side = Side::Constant(numbers, format!("{}.{word}.by", site.name));
            value = self.paired(site, &wish, op, [Side::Computed(value), side])?;
        }
        Ok(value)
    }

    /// MatMulInteger and ConvInteger of weights less their zero.
    pub(super) fn of_integers(&mut self, site: &Site<'m>) -> Result<Value> {
        let weight = self.floats_of(site, 1)?;
        let zero = if self.value(site, 3)?.is_some() { self.floats_of(site, 3)? } else { ArrayD::zeros(vec![]) };
        let weight =
            less(site, &weight, &zero, if site.node.operation == "ConvInteger" { 0 } else { weight.ndim() - 1 })?;
        let x = self.computed(site, 0)?;
        match site.node.operation.as_str() {
            "ConvInteger" => self.convolved(site, &x, weight, None).map(Value::Computed),
            _ => {
                let axis = x.rank() - 1;
                self.linear(site, &site.name, &x, axis, weight.reversed_axes(), None).map(Value::Computed)
            }
        }
    }

    fn floats_of(&self, site: &Site, which: usize) -> Result<ArrayD<f32>> {
        match self.constant(site, which)? {
            Some(constant) => Ok(constant.to_floats()),
            None => Err(site.refused(format!("a constant as input {}", which + 1), "none")),
        }
    }
}

/// Numbers along one of so many axes.
fn along(site: &Site, numbers: ArrayD<f32>, axis: usize, rank: usize) -> Result<ArrayD<f32>> {
    let mut shape = vec![1; rank];
    shape[axis] = numbers.len();
    numbers.into_shape_with_order(shape).map_err(|error| site.refused("numbers along an axis", error))
}

/// A weight less its zero, of which there is one, or one along an axis.
fn less(site: &Site, weight: &ArrayD<f32>, zero: &ArrayD<f32>, axis: usize) -> Result<ArrayD<f32>> {
    let zero = match zero.len() {
        1 => ArrayD::from_elem(vec![], zero.iter().sum()),
        _ => along(site, zero.clone(), axis, weight.ndim())?,
    };
    let zero = zero.broadcast(weight.raw_dim());
    let zero = zero.ok_or_else(|| site.refused("a zero for each output", format!("{:?}", weight.shape())))?;
    Ok(weight - &zero)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::{Options, load};
    use super::*;
    use crate::net::op::Clip;
    use crate::store::onnx::{Attribute, Input, Model, Node};

    fn node(operation: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) -> Node {
        let attribute = |&(name, value): &(&str, i64)| (name.to_string(), Attribute::Integer(value));
        Node {
            name: String::new(),
            operation: operation.into(),
            inputs: inputs.iter().map(ToString::to_string).collect(),
            outputs: vec![output.into()],
            attributes: attributes.iter().map(attribute).collect(),
        }
    }

    /// onnxruntime leaves a rectifier out where the least number of a type stands for 0.
    #[test]
    fn what_the_type_does_not_hold_is_cut_off() {
        let scale = Constant::Floats(ndarray::arr0(0.5_f32).into_dyn());
        let zero = Constant::Integers(ndarray::arr0(-128_i64).into_dyn());
        let model = Model {
            path: "m.onnx".into(),
            nodes: vec![
                node("QuantizeLinear", &["x", "scale", "zero"], "q", &[("output_dtype", 3)]),
                node("DequantizeLinear", &["q", "scale", "zero"], "y", &[]),
            ],
            tensors: BTreeMap::from([("scale".into(), scale), ("zero".into(), zero)]),
            inputs: vec![Input { name: "x".into(), shape: vec![None, Some(3), Some(8), Some(8)], element: None }],
            outputs: vec!["y".into()],
            external: BTreeSet::new(),
            opset: 17,
        };
        let imported = load(&model, &Options::default()).unwrap();
        let [clip] = imported.network.graph().nodes.as_slice() else { panic!("{:?}", imported.network.graph().nodes) };
        assert_eq!(clip.op, Clip { low: 0.0, high: 127.5 }.into());
        assert_eq!(imported.remarks.len(), 1);
    }
}
