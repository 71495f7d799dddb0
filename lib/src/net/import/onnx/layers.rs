//! Layers of weights: convolutions, transposed convolutions, linear layers, batch normalisation.

use ndarray::{ArrayD, Axis as ArrayAxis};

use super::translation::Translation;
use super::value::{Computed, Side, Site};
use crate::net::error::Result;
use crate::net::op::{BatchNorm, Conv2d, ConvTranspose2d, Linear, Pair, Sides};

impl<'m> Translation<'m> {
    pub(super) fn convolution(&mut self, site: &Site) -> Result<Computed> {
        let weight = self.weights(site, 1)?;
        let bias = self.floats(site, 2)?.map(values);
        let value = self.computed(site, 0)?;
        self.convolved(site, &value, weight, bias)
    }

    /// A convolution of a value with a weight (O, I, kh, kw) or (O, I, k).
    pub(super) fn convolved(
        &mut self,
        site: &Site,
        value: &Computed,
        weight: ArrayD<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Computed> {
        let x = self.as_image(site, value)?;
        let weight = of_two_axes(site, weight, value.rank())?;
        let kernel = [weight.shape()[2], weight.shape()[3]];
        let (stride, dilation) = (pair(site, "strides")?, pair(site, "dilations")?);
        let groups = usize::try_from(site.integer("group", 1)).unwrap_or(0);
        if weight.shape()[1].checked_mul(groups) != Some(x.size.channels) {
            let expected = format!("a weight for {} channels in {groups} groups", x.size.channels);
            return Err(site.refused(expected, format!("shape {:?}", weight.shape())));
        }
        let op = Conv2d {
            channels: weight.shape()[0],
            kernel: written(kernel),
            stride: written(stride),
            padding: padding(site, &x, kernel, stride, dilation)?,
            dilation: written(dilation),
            groups,
            bias: bias.is_some(),
        };
        let parameters = [Some(("weight", values(&weight))), bias.map(|bias| ("bias", bias))];
        let (node, size) = self.push(&site.name, op, &[&x])?;
        self.keep(&node, parameters.into_iter().flatten());
        Ok(of_rank(Computed::image(node, size), value.rank()))
    }

    pub(super) fn transposed_convolution(&mut self, site: &Site) -> Result<Computed> {
        let value = self.computed(site, 0)?;
        let x = self.as_image(site, &value)?;
        let weight = of_two_axes(site, self.weights(site, 1)?, value.rank())?;
        let bias = self.floats(site, 2)?.map(values);
        let kernel = [weight.shape()[2], weight.shape()[3]];
        let (stride, dilation) = (pair(site, "strides")?, pair(site, "dilations")?);
        let groups = usize::try_from(site.integer("group", 1)).unwrap_or(0);
        let mut added = numbers(site, "output_padding", 0)?;
        let full = |axis: usize, size: usize| (size - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1;
        let lengths = [x.size.height, x.size.width];
        let mut pads = [[0; 2]; 2];
        let auto = site.node.text("auto_pad").unwrap_or("NOTSET");
        let wanted = match site.node.integers("output_shape") {
            Some([.., height, width]) if value.rank() == 4 => Some([*height as usize, *width as usize]),
            Some([.., width]) if value.rank() == 3 => Some([1, *width as usize]),
            Some(other) => return Err(site.refused("an output shape of two axes", format!("{other:?}"))),
            None if auto.starts_with("SAME") => Some([lengths[0] * stride[0], lengths[1] * stride[1]]),
            None => None,
        };
        for axis in 0..2 {
            pads[axis] = match wanted {
                Some(wanted) => {
                    let full = full(axis, lengths[axis]) + added[axis];
                    // Places beyond the last are those that no kernel reaches.
                    added[axis] += wanted[axis].saturating_sub(full);
                    let total = full.saturating_sub(wanted[axis]);
                    // ONNX gives the odd place to the end, but where SAME_UPPER is asked for.
                    if auto == "SAME_UPPER" { [total / 2, total - total / 2] } else { [total - total / 2, total / 2] }
                }
                None => said_padding(site, value.rank())?[axis],
            };
        }
        let op = ConvTranspose2d {
            channels: weight.shape()[1] * groups,
            kernel: written(kernel),
            stride: written(stride),
            padding: sides(pads),
            output_padding: sides([[0, added[0]], [0, added[1]]]),
            dilation: written(dilation),
            groups,
            bias: bias.is_some(),
        };
        let parameters = [Some(("weight", values(&weight))), bias.map(|bias| ("bias", bias))];
        let (node, size) = self.push(&site.name, op, &[&x])?;
        self.keep(&node, parameters.into_iter().flatten());
        Ok(of_rank(Computed::image(node, size), value.rank()))
    }

    /// y = alpha A B + beta C.
    pub(super) fn gemm(&mut self, site: &Site) -> Result<Computed> {
        let [alpha, beta] = ["alpha", "beta"].map(|name| site.node.float(name).unwrap_or(1.0));
        let turned = ["transA", "transB"].map(|name| site.integer(name, 0) != 0);
        if !self.is_constant(site, 0)?
            && !turned[0]
            && self.is_constant(site, 1)?
            && self.is_absent_or_constant(site, 2)?
        {
            let weight = self.weights(site, 1)?;
            let weight = if turned[1] { weight } else { weight.reversed_axes() };
            let bias = self.floats(site, 2)?.cloned();
            let features = weight.shape()[0];
            let x = self.computed(site, 0)?;
            let is_row = |bias: &ArrayD<f32>| bias.len() == 1 || bias.shape().last() == Some(&bias.len());
            if bias.as_ref().is_none_or(|bias| is_row(bias) && [1, features].contains(&bias.len())) {
                let bias = bias.map(|bias| match bias.len() {
                    1 => vec![beta * bias.iter().sum::<f32>(); features],
                    _ => bias.iter().map(|value| beta * value).collect(),
                });
                return self.linear(site, &site.name, &x, 1, weight.mapv(|value| alpha * value), bias);
            }
        }
        let sides = [self.turned(site, 0, turned[0])?, self.turned(site, 1, turned[1])?];
        let mut product = self.multiplied(site, &format!("{}.product", site.name), sides)?;
        if alpha != 1.0 {
            product = self.times(site, &product, alpha)?;
        }
        match self.value(site, 2)?.is_some() {
            false => Ok(product),
            true => {
                let added = match self.side(site, 2)? {
                    Side::Constant(array, name) => Side::Constant(array.mapv(|value| beta * value), name),
                    Side::Computed(value) if beta != 1.0 => Side::Computed(self.times(site, &value, beta)?),
                    side => side,
                };
                self.paired(site, &site.name, crate::net::op::Add.into(), [Side::Computed(product), added])
            }
        }
    }

    fn is_absent_or_constant(&self, site: &Site, which: usize) -> Result<bool> {
        Ok(self.value(site, which)?.is_none() || self.is_constant(site, which)?)
    }

    /// Matrices, with their rows and columns, the last two axes, exchanged where that is asked for.
    fn turned(&self, site: &Site, which: usize, is_turned: bool) -> Result<Side> {
        let side = self.side(site, which)?;
        let rank = side.rank();
        if !is_turned || rank < 2 {
            return Ok(side);
        }
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        Ok(match side {
            Side::Computed(value) => Side::Computed(value.with(value.arrangement.transposed(&order))),
            Side::Constant(array, name) => Side::Constant(array.permuted_axes(order), name),
        })
    }

    /// alpha A B of matrices that may be transposed.
    pub(super) fn fused_product(&mut self, site: &Site) -> Result<Computed> {
        for name in ["transBatchA", "transBatchB"] {
            site.require(name, 0)?;
        }
        let [a, b] = ["transA", "transB"].map(|name| site.integer(name, 0) != 0);
        let sides = [self.turned(site, 0, a)?, self.turned(site, 1, b)?];
        let product = self.multiplied(site, &site.name, sides)?;
        match site.node.float("alpha") {
            Some(alpha) if alpha != 1.0 => self.times(site, &product, alpha),
            _ => Ok(product),
        }
    }

    /// A value times a number.
    pub(super) fn times(&mut self, site: &Site, value: &Computed, factor: f32) -> Result<Computed> {
        let factor = Side::Constant(ndarray::arr0(factor).into_dyn(), format!("{}.factor", site.name));
        let wish = format!("{}.scale", site.name);
        self.paired(site, &wish, crate::net::op::Mul.into(), [Side::Computed(value.clone()), factor])
    }

    /// A B: of a constant matrix a linear layer along one axis, else a sum of products.
    pub(super) fn product(&mut self, site: &Site) -> Result<Computed> {
        let sides = [self.side(site, 0)?, self.side(site, 1)?];
        self.multiplied(site, &site.name, sides)
    }

    fn multiplied(&mut self, site: &Site, wish: &str, sides: [Side; 2]) -> Result<Computed> {
        match sides {
            [Side::Computed(x), Side::Constant(weight, _)] if weight.ndim() == 2 && x.rank() >= 2 => {
                let axis = x.rank() - 1;
                self.linear(site, wish, &x, axis, weight.reversed_axes(), None)
            }
            [Side::Constant(weight, _), Side::Computed(x)]
                if weight.ndim() == 2 && x.rank() >= 2 && !x.arrangement.is_batch(x.rank() - 2) =>
            {
                let axis = x.rank() - 2;
                self.linear(site, wish, &x, axis, weight, None)
            }
            sides => self.matrix_product(site, wish, sides),
        }
    }

    /// A linear map of one axis by the weight (features, F).
    pub(super) fn linear(
        &mut self,
        site: &Site,
        wish: &str,
        x: &Computed,
        axis: usize,
        weight: ArrayD<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Computed> {
        let [features, inputs] = [weight.shape()[0], weight.shape()[1]];
        let length = x.shape(self.batch)[axis];
        if length != inputs {
            return Err(site.refused(format!("an axis of {inputs} features"), length));
        }
        let x = self.with_channels(site, x, &[axis])?;
        let op = Linear { features, bias: bias.is_some(), every_place: !x.size.is_vector() };
        let (node, size) = self.push(wish, op, &[&x])?;
        let parameters = [Some(("weight", values(&weight))), bias.map(|bias| ("bias", bias))];
        self.keep(&node, parameters.into_iter().flatten());
        let last = x.arrangement.memory().len();
        Ok(Computed { node, size, arrangement: x.arrangement.with_length(axis, features, last) })
    }

    pub(super) fn batch_norm(&mut self, site: &Site) -> Result<Computed> {
        site.require("training_mode", 0)?;
        let x = self.computed(site, 0)?;
        let x = if x.rank() == 4 { self.as_image(site, &x)? } else { self.with_channels(site, &x, &[1])? };
        let eps = site.float("epsilon", 1e-5);
        let mut parameters = Vec::new();
        for (which, name) in [(1, "weight"), (2, "bias"), (3, "running_mean"), (4, "running_var")] {
            parameters.push((name, values(&self.weights(site, which)?)));
        }
        let y = self.push_like(&site.name, BatchNorm { eps, momentum: 0.1 }, &[&x])?;
        self.keep(&y.node, parameters);
        Ok(y)
    }
}

/// An image under the axes (N, C, L) where it was such a row before.
pub(super) fn of_rank(image: Computed, rank: usize) -> Computed {
    match rank {
        3 => image.with(image.arrangement.squeezed(&[2])),
        _ => image,
    }
}

/// A kernel of one axis as one of a single row.
fn of_two_axes(site: &Site, weight: ArrayD<f32>, rank: usize) -> Result<ArrayD<f32>> {
    match weight.ndim() {
        3 if rank == 3 => Ok(weight.insert_axis(ArrayAxis(2))),
        4 if rank == 4 => Ok(weight),
        _ => Err(site.refused(format!("a weight of {rank} axes"), format!("shape {:?}", weight.shape()))),
    }
}

pub(super) fn values(array: &ArrayD<f32>) -> Vec<f32> {
    array.iter().copied().collect()
}

pub(super) fn written([height, width]: [usize; 2]) -> Pair {
    if height == width { Pair::Both(height) } else { Pair::Each([height, width]) }
}

/// A setting of one number an axis, 1 where it is left out.
pub(super) fn pair(site: &Site, name: &str) -> Result<[usize; 2]> {
    numbers(site, name, 1)
}

fn numbers(site: &Site, name: &str, default: usize) -> Result<[usize; 2]> {
    let Some(values) = site.node.integers(name) else { return Ok([default; 2]) };
    match values.iter().map(|&value| usize::try_from(value).ok()).collect::<Option<Vec<_>>>().as_deref() {
        Some(&[height, width]) => Ok([height, width]),
        Some(&[width]) => Ok([if name == "output_padding" { 0 } else { 1 }, width]),
        _ => Err(site.refused(format!("{name} of one or two axes"), format!("{values:?}"))),
    }
}

/// The padding before and after each axis that is said.
fn said_padding(site: &Site, rank: usize) -> Result<[[usize; 2]; 2]> {
    let pads = site.node.integers("pads").unwrap_or(&[]);
    let lengths = pads.iter().map(|&pad| usize::try_from(pad).ok()).collect::<Option<Vec<_>>>();
    match lengths.as_deref() {
        Some([]) => Ok([[0; 2]; 2]),
        Some(&[left, right]) if rank == 3 => Ok([[0; 2], [left, right]]),
        Some(&[top, left, bottom, right]) if rank == 4 => Ok([[top, bottom], [left, right]]),
        _ => Err(site.refused("pads of the sides", format!("{pads:?}"))),
    }
}

/// The padding that is said, or that keeps ceil(size / stride) rows and columns.
pub(super) fn padding(
    site: &Site,
    x: &Computed,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> Result<Sides> {
    let total = |axis: usize, size: usize| {
        let steps = size.div_ceil(stride[axis].max(1)).saturating_sub(1).saturating_mul(stride[axis]);
        let reach = kernel[axis].saturating_sub(1).saturating_mul(dilation[axis]).saturating_add(1);
        steps.saturating_add(reach).saturating_sub(size)
    };
    let totals = [total(0, x.size.height), total(1, x.size.width)];
    Ok(sides(match site.node.text("auto_pad").unwrap_or("NOTSET") {
        "SAME_UPPER" => totals.map(|total| [total / 2, total - total / 2]),
        "SAME_LOWER" => totals.map(|total| [total - total / 2, total / 2]),
        "VALID" => [[0; 2]; 2],
        "NOTSET" => {
            let is_row = site.node.integers("pads").is_some_and(|pads| pads.len() == 2);
            said_padding(site, if is_row { 3 } else { 4 })?
        }
        other => return Err(site.refused("auto_pad NOTSET, VALID, SAME_UPPER or SAME_LOWER", other)),
    }))
}

pub(super) fn sides([[top, bottom], [left, right]]: [[usize; 2]; 2]) -> Sides {
    match (top == bottom, left == right) {
        (true, true) => Sides::Pair(written([top, left])),
        _ => Sides::Each { top, bottom, left, right },
    }
}
