//! Operations with a node of their own: convolutions, linear layers, pools, normalisation, activations, sums.

use ndarray::ArrayD;

use super::Translation;
use super::shapes::places;
use super::site::{Computed, Known, Site, Value};
use crate::net::error::Result;
use crate::net::op::{
    Add, Asinh, AvgPool2d, BatchNorm, Clip, Conv2d, Elu, GlobalAvgPool, LeakyRelu, Linear, MaxPool2d, Op, Pair, Relu,
    Sides, Sigmoid, Sinh, Softplus, Tanh,
};

/// The operations that are known, for whoever meets another.
const KNOWN: &str = "Conv, Gemm, MatMul, BatchNormalization, Relu, LeakyRelu, Clip, Sigmoid, Tanh, Softplus, Elu, Asinh, \
                     Sinh, MaxPool, AveragePool, GlobalAveragePool, ReduceMean, Concat, Add, Sub, Mul, Div, Flatten, \
                     Reshape, Squeeze, Unsqueeze, Transpose, Slice, Gather, Pad, Shape, Cast, Constant, Dropout, Identity, \
                     Softmax at the end";

impl<'m> Translation<'m> {
    /// What an operation makes of values that depend on the images.
    pub(super) fn translated(&mut self, site: &Site<'m>) -> Result<Value> {
        match site.node.operation.as_str() {
            "Conv" => self.convolution(site),
            "Gemm" => self.gemm(site),
            "MatMul" => self.product(site),
            "BatchNormalization" => self.batch_norm(site),
            "Relu" => self.push_element_wise(site, Relu),
            "LeakyRelu" => {
                let slope = f64::from(site.node.float("alpha").unwrap_or(0.01));
                self.push_element_wise(site, LeakyRelu { slope })
            }
            "Elu" => self.elu(site),
            "Clip" => self.clip(site),
            "Sigmoid" => self.push_element_wise(site, Sigmoid),
            "Tanh" => self.push_element_wise(site, Tanh),
            "Softplus" => self.push_element_wise(site, Softplus),
            "Asinh" => self.push_element_wise(site, Asinh),
            "Sinh" => self.push_element_wise(site, Sinh),
            "MaxPool" | "AveragePool" => self.pool(site),
            "GlobalAveragePool" => {
                let x = self.image(site, 0)?;
                self.push_image(site, GlobalAvgPool, &[&x])
            }
            "ReduceMean" => self.mean(site),
            "Concat" => self.joined(site),
            "Add" | "Sub" | "Mul" | "Div" => self.arithmetic(site),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.renamed(site),
            "Transpose" => self.transposed(site),
            "Slice" => self.sliced(site),
            "Gather" => self.gathered(site),
            "Pad" => self.padded(site),
            "Shape" => self.shape(site),
            "Cast" => self.cast(site),
            "Dropout" | "Identity" => self.computed(site, 0).map(Value::Computed),
            "Softmax" | "LogSoftmax" => self.softmax(site),
            _ => Err(site.refused(format!("one of {KNOWN}"), "another operation")),
        }
    }

    fn convolution(&mut self, site: &Site) -> Result<Value> {
        let x = self.image(site, 0)?;
        let weight = self.weights(site, 1, 4)?;
        let kernel = [weight.shape()[2], weight.shape()[3]];
        let bias = self.floats(site, 2)?.map(values);
        let (stride, dilation) = (pair(site, "strides")?, pair(site, "dilations")?);
        let op = Op::Conv2d(Conv2d {
            channels: weight.shape()[0],
            kernel: written(kernel),
            stride: written(stride),
            padding: padding(site, &x, kernel, stride, dilation)?,
            dilation: written(dilation),
            groups: usize::try_from(site.integer("group", 1)).unwrap_or(0),
            bias: bias.is_some(),
        });
        let parameters = [Some(("weight", values(&weight))), bias.map(|bias| ("bias", bias))];
        let value = self.push_image(site, op, &[&x])?;
        self.keep(&value, parameters.into_iter().flatten());
        Ok(value)
    }

    /// y = alpha x W + beta b.
    fn gemm(&mut self, site: &Site) -> Result<Value> {
        site.require("transA", 0)?;
        let weight = self.weights(site, 1, 2)?;
        let weight = if site.integer("transB", 0) == 0 { weight.reversed_axes() } else { weight };
        let alpha = site.node.float("alpha").unwrap_or(1.0);
        let beta = site.node.float("beta").unwrap_or(1.0);
        let features = weight.shape()[0];
        let bias = match self.floats(site, 2)? {
            None => None,
            Some(bias) => {
                let bias = per_channel(bias, features, 1).ok_or_else(|| {
                    site.refused(format!("a bias of {features} values"), format!("shape {:?}", bias.shape()))
                })?;
                Some(bias.into_iter().map(|value| beta * value).collect())
            }
        };
        self.linear(site, weight.mapv(|value| alpha * value), bias)
    }

    /// x W, the bias following as an addition.
    fn product(&mut self, site: &Site) -> Result<Value> {
        let weight = self.weights(site, 1, 2)?;
        self.linear(site, weight.reversed_axes(), None)
    }

    /// A linear layer of the weight (features, F).
    fn linear(&mut self, site: &Site, weight: ArrayD<f32>, bias: Option<Vec<f32>>) -> Result<Value> {
        let x = self.vector(site, 0)?;
        let [features, inputs] = [weight.shape()[0], weight.shape()[1]];
        if x.size.channels != inputs {
            return Err(site.refused(format!("a vector of {inputs} features"), x.size));
        }
        let name = self.free(&site.name);
        let size = self.push(name.clone(), Linear { features, bias: bias.is_some() }, &[&x])?;
        let value = Value::Computed(Computed { node: name, size, axes: vec![features] });
        let parameters = [Some(("weight", values(&weight))), bias.map(|bias| ("bias", bias))];
        self.keep(&value, parameters.into_iter().flatten());
        Ok(value)
    }

    /// Keeps the parameters of a node that was pushed.
    fn keep<'n>(&mut self, value: &Value, parameters: impl IntoIterator<Item = (&'n str, Vec<f32>)>) {
        if let Value::Computed(Computed { node, .. }) = value {
            let named = parameters.into_iter().map(|(name, values)| (format!("{node}.{name}"), values));
            self.parameters.extend(named);
        }
    }

    fn batch_norm(&mut self, site: &Site) -> Result<Value> {
        site.require("training_mode", 0)?;
        let x = self.either(site, 0)?;
        let mut parameters = Vec::new();
        for (which, name) in [(1, "weight"), (2, "bias"), (3, "running_mean"), (4, "running_var")] {
            parameters.push((name, values(&self.weights(site, which, 1)?)));
        }
        let eps = f64::from(site.node.float("epsilon").unwrap_or(1e-5));
        self.normalised(site, &x, eps, parameters)
    }

    fn normalised(&mut self, site: &Site, x: &Computed, eps: f64, parameters: Vec<(&str, Vec<f32>)>) -> Result<Value> {
        let name = self.free(&site.name);
        let size = self.push(name.clone(), BatchNorm { eps, momentum: 0.1 }, &[x])?;
        let value = Value::Computed(Computed { node: name, size, axes: x.axes.clone() });
        self.keep(&value, parameters);
        Ok(value)
    }

    fn elu(&mut self, site: &Site) -> Result<Value> {
        match site.node.float("alpha").unwrap_or(1.0) {
            1.0 => self.push_element_wise(site, Elu),
            alpha => Err(site.refused("alpha 1", alpha)),
        }
    }

    /// A rectifier where only the low bound is there, 0; ReLU6 and its like where both are.
    fn clip(&mut self, site: &Site) -> Result<Value> {
        let bound = |name: &str, which| -> Result<Option<f32>> {
            let given = self.floats(site, which)?.and_then(|value| value.first().copied());
            Ok(given.or(site.node.float(name)).filter(|bound| bound.abs() < f32::MAX))
        };
        match (bound("min", 1)?, bound("max", 2)?) {
            (Some(0.0), None) => self.push_element_wise(site, Relu),
            (Some(low), Some(high)) => {
                self.push_element_wise(site, Clip { low: f64::from(low), high: f64::from(high) })
            }
            (low, high) => Err(site.refused("two bounds, or 0 as the low one", format!("{low:?} and {high:?}"))),
        }
    }

    fn pool(&mut self, site: &Site) -> Result<Value> {
        let x = self.image(site, 0)?;
        let kernel = pair(site, "kernel_shape")?;
        let stride = pair(site, "strides")?;
        if pair(site, "dilations")? != [1, 1] {
            return Err(site.refused("dilations of 1", "others"));
        }
        let padding = padding(site, &x, kernel, stride, [1, 1])?;
        let (kernel, stride, ceil_mode) = (written(kernel), Some(written(stride)), site.integer("ceil_mode", 0) != 0);
        let op = match site.node.operation.as_str() {
            "MaxPool" => Op::MaxPool2d(MaxPool2d { kernel, stride, padding, ceil_mode }),
            _ => {
                let count_include_pad = site.integer("count_include_pad", 0) != 0;
                Op::AvgPool2d(AvgPool2d { kernel, stride, padding, ceil_mode, count_include_pad })
            }
        };
        self.push_image(site, op, &[&x])
    }

    /// The mean over rows and columns.
    fn mean(&mut self, site: &Site) -> Result<Value> {
        let x = self.image(site, 0)?;
        let axes = self.settings(site, "axes", 1)?.unwrap_or_default();
        let mut over = places(&axes, 4).unwrap_or_default();
        over.sort_unstable();
        if over != [2, 3] {
            return Err(site.refused("a mean over axes 2 and 3", format!("{axes:?}")));
        }
        match self.push_image(site, GlobalAvgPool, &[&x])? {
            Value::Computed(mean) if site.integer("keepdims", 1) == 0 => Ok(mean.with_axes(vec![mean.size.channels])),
            mean => Ok(mean),
        }
    }

    /// A sum of two values, or a number a channel that is added, subtracted, multiplied or divided by.
    fn arithmetic(&mut self, site: &Site) -> Result<Value> {
        let operation = site.node.operation.as_str();
        let is_constant = |which| -> Result<bool> { Ok(matches!(self.value(site, which)?, Some(Known::Constant(_)))) };
        match (is_constant(0)?, is_constant(1)?) {
            (false, false) if operation == "Add" => {
                let axes = [self.computed(site, 0)?.axes, self.computed(site, 1)?.axes];
                if axes[0] != axes[1] {
                    // By ONNX's rule (N, C, 1, 1) + (N, C) is (N, C, N, C), though both have as many values.
                    let [a, b] = axes.map(|axes| {
                        format!("(N, {})", axes.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
                    });
                    return Err(site.refused("a sum of two values of one shape", format!("{a} and {b}")));
                }
                let (a, b) = (self.either(site, 0)?, self.either(site, 1)?);
                let name = self.free(&site.name);
                let size = self.push(name.clone(), Add, &[&a, &b])?;
                Ok(Value::Computed(Computed { node: name, size, axes: a.axes }))
            }
            (false, true) => self.affine(site, 0, 1),
            (true, false) if operation != "Div" => self.affine(site, 1, 0),
            _ => {
                Err(site.refused("a sum of two values, or a constant as the second", format!("{operation} of others")))
            }
        }
    }

    /// scale x + shift, of which the constant is one: a bias where a linear layer has none yet, else normalisation by 0 and 1.
    fn affine(&mut self, site: &Site, variable: usize, constant: usize) -> Result<Value> {
        let x = self.either(site, variable)?;
        let channels = x.axes[0];
        // Four numbers a channel, of a constant that may be one number.
        self.charge(4 * channels as u128, size_of::<f32>())?;
        let Some(numbers) = self.floats(site, constant)? else { return Err(site.refused("a constant", "none")) };
        let numbers = per_channel(numbers, channels, x.axes.len()).ok_or_else(|| {
            let found = format!("shape {:?}", numbers.shape());
            site.refused(format!("a constant, or one for each of {channels} channels"), found)
        })?;
        let is_reversed = constant == 0;
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        let negative = |numbers: &[f32]| numbers.iter().map(|number| -number).collect::<Vec<_>>();
        let (scale, shift) = match site.node.operation.as_str() {
            "Add" => (ones, numbers),
            "Sub" if is_reversed => (negative(&ones), numbers),
            "Sub" => (ones, negative(&numbers)),
            "Mul" => (numbers, zeros),
            _ => (numbers.iter().map(|number| 1.0 / number).collect(), zeros),
        };
        if site.node.operation == "Add" && self.takes_bias(&x) {
            self.add_bias(&x, shift);
            return Ok(Value::Computed(x));
        }
        let (mean, variance) = (vec![0.0; channels], vec![1.0; channels]);
        let parameters = vec![("weight", scale), ("bias", shift), ("running_mean", mean), ("running_var", variance)];
        self.normalised(site, &x, 0.0, parameters)
    }

    /// Whether x is a linear layer or convolution without bias that nothing else reads, under whatever name: an identity, a dropout or a
    /// change of shape makes no node, only another name.
    fn takes_bias(&self, x: &Computed) -> bool {
        let is_open =
            |op: &Op| matches!(op, Op::Linear(Linear { bias: false, .. }) | Op::Conv2d(Conv2d { bias: false, .. }));
        if !self.nodes.last().is_some_and(|node| node.name == x.node && is_open(&node.op)) {
            return false;
        }
        let names = self.values.iter().filter(|(_, value)| matches!(value, Value::Computed(of) if of.node == x.node));
        let reads: Vec<usize> = names.map(|(name, _)| self.readers.get(name).copied().unwrap_or(0)).collect();
        // Each name but the first was made by a read of another.
        reads.iter().sum::<usize>() == reads.len()
    }

    /// Gives the node that was pushed last, x, its bias.
    fn add_bias(&mut self, x: &Computed, values: Vec<f32>) {
        if let Some(node) = self.nodes.last_mut()
            && let Op::Linear(Linear { bias, .. }) | Op::Conv2d(Conv2d { bias, .. }) = &mut node.op
        {
            *bias = true;
            self.parameters.insert(format!("{}.bias", x.node), values);
        }
    }

    /// A cast between floats: all numbers are of one type here.
    fn cast(&self, site: &Site) -> Result<Value> {
        match site.integer("to", 1) {
            1 | 10 | 11 | 16 => self.computed(site, 0).map(Value::Computed),
            other => Err(site.refused("a cast to floats", format!("type {other}"))),
        }
    }

    /// Left off, where only the user reads it: objectives and losses are of what goes in.
    fn softmax(&mut self, site: &Site<'m>) -> Result<Value> {
        let output = site.node.outputs[0].as_str();
        let read_here = self.model.nodes.iter().any(|node| node.inputs.iter().any(|input| input == output));
        if read_here {
            return Err(site.refused("a softmax at the end, which is left off", "one that other operations read"));
        }
        self.left_off.push(format!("{} {}", site.node.operation, site.name));
        self.softened.insert(output);
        self.computed(site, 0).map(Value::Computed)
    }
}

fn values(array: &ArrayD<f32>) -> Vec<f32> {
    array.iter().copied().collect()
}

fn written([height, width]: [usize; 2]) -> Pair {
    if height == width { Pair::Both(height) } else { Pair::Each([height, width]) }
}

/// A setting of two numbers, 1 where it is left out.
fn pair(site: &Site, name: &str) -> Result<[usize; 2]> {
    let Some(values) = site.node.integers(name) else { return Ok([1, 1]) };
    match values.iter().map(|&value| usize::try_from(value).ok()).collect::<Option<Vec<_>>>().as_deref() {
        Some(&[height, width]) => Ok([height, width]),
        _ => Err(site.refused(format!("{name} of two axes"), format!("{values:?}"))),
    }
}

/// The padding that is said, or that keeps ceil(size / stride) rows and columns.
fn padding(site: &Site, x: &Computed, kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> Result<Sides> {
    let pads = site.node.integers("pads").unwrap_or(&[0; 4]);
    let lengths = pads.iter().map(|&pad| usize::try_from(pad).ok()).collect::<Option<Vec<_>>>();
    let total = |axis: usize, size: usize| {
        let steps = size.div_ceil(stride[axis].max(1)).saturating_sub(1).saturating_mul(stride[axis]);
        let reach = kernel[axis].saturating_sub(1).saturating_mul(dilation[axis]).saturating_add(1);
        steps.saturating_add(reach).saturating_sub(size)
    };
    let (rows, columns) = (total(0, x.size.height), total(1, x.size.width));
    let half = |length: usize| (length / 2, length - length / 2);
    let ((top, bottom), (left, right)) = match site.node.text("auto_pad").unwrap_or("NOTSET") {
        "SAME_UPPER" => (half(rows), half(columns)),
        "SAME_LOWER" => {
            let ((less, more), (few, many)) = (half(rows), half(columns));
            ((more, less), (many, few))
        }
        "VALID" => ((0, 0), (0, 0)),
        "NOTSET" => match lengths.as_deref() {
            Some(&[top, left, bottom, right]) => ((top, bottom), (left, right)),
            _ => return Err(site.refused("pads of four sides", format!("{pads:?}"))),
        },
        other => return Err(site.refused("auto_pad NOTSET, VALID, SAME_UPPER or SAME_LOWER", other)),
    };
    Ok(match (top == bottom, left == right) {
        (true, true) => Sides::Pair(written([top, left])),
        _ => Sides::Each { top, bottom, left, right },
    })
}

/// A number for each channel, of a constant that is one number or that broadcasts along the other of `rank` axes, or of
/// those and the batch.
fn per_channel(constant: &ArrayD<f32>, channels: usize, rank: usize) -> Option<Vec<f32>> {
    if constant.len() == 1 {
        return constant.first().map(|&value| vec![value; channels]);
    }
    let shape = constant.shape();
    let channel_axis = shape.len().checked_sub(rank)?;
    let others = shape.iter().enumerate().filter(|(axis, _)| *axis != channel_axis);
    let fits = channel_axis <= 1
        && shape.get(channel_axis) == Some(&channels)
        && others.into_iter().all(|(_, &length)| length == 1);
    fits.then(|| values(constant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_stand_for_channels_where_they_broadcast_so() {
        let of = |shape: &[usize], rank| {
            let count = shape.iter().product::<usize>();
            let values = (0..count).map(|value| value as f32).collect();
            per_channel(&ArrayD::from_shape_vec(shape, values).unwrap(), 3, rank)
        };
        assert_eq!(of(&[3], 1), Some(vec![0.0, 1.0, 2.0]));
        assert_eq!(of(&[1, 3], 1), Some(vec![0.0, 1.0, 2.0]));
        assert_eq!(of(&[1, 3, 1, 1], 3), Some(vec![0.0, 1.0, 2.0]));
        assert_eq!(of(&[3, 1, 1], 3), Some(vec![0.0, 1.0, 2.0]));
        assert_eq!(of(&[], 3), Some(vec![0.0; 3]));
        assert_eq!(of(&[3], 3), None);
        assert_eq!(of(&[2, 3], 1), None);
    }
}
