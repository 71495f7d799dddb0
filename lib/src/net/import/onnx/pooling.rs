//! Pools, and resizing.

use super::layers::{of_rank, padding, pair, written};
use super::translation::Translation;
use super::value::{Computed, Side, Site};
use crate::net::error::Result;
use crate::net::op::{
    Abs, AvgPool2d, Axis, Coordinates, GlobalAvgPool, Interpolation, LocalResponseNorm, MaxPool2d, Mul, Pad, PadMode,
    Pair, Power, Reduce, Reduction, Resize, Rounding, Sides,
};
use crate::ops::window::Padding;

impl Translation<'_> {
    pub(super) fn pool(&mut self, site: &Site) -> Result<Computed> {
        let value = self.computed(site, 0)?;
        if value.rank() == 5 {
            return self.pool_along_depth(site, &value);
        }
        let x = self.as_image(site, &value)?;
        let kernel = pair(site, "kernel_shape")?;
        let (stride, dilation) = (pair(site, "strides")?, pair(site, "dilations")?);
        let padding = padding(site, &x, kernel, stride, dilation)?;
        let ceil_mode = site.integer("ceil_mode", 0) != 0;
        let Padding { top, bottom, left, right } = padding.padding();
        let is_wide =
            [(top, 0), (bottom, 0), (left, 1), (right, 1)].iter().any(|&(side, axis)| 2 * side > kernel[axis]);
        if is_wide && !ceil_mode {
            let pooled = self.pool_of_padded(site, &x, (kernel, stride, dilation), padding)?;
            return Ok(of_rank(pooled, value.rank()));
        }
        let (kernel, stride) = (written(kernel), Some(written(stride)));
        let pooled = match site.node.operation.as_str() {
            "MaxPool" => {
                let dilation = written(dilation);
                self.push(&site.name, MaxPool2d { kernel, stride, padding, ceil_mode, dilation }, &[&x])?
            }
            _ if dilation != [1, 1] => return Err(site.refused("dilations of 1", format!("{dilation:?}"))),
            "AveragePool" => {
                let count_include_pad = site.integer("count_include_pad", 0) != 0;
                self.push(&site.name, AvgPool2d { kernel, stride, padding, ceil_mode, count_include_pad }, &[&x])?
            }
            _ => {
                // LpPool: the p-th root of the sum of p-th powers.
                let p = site.node.integer("p").map_or(2.0, |p| p as f64);
                let powers = self.powers(site, &x, p)?;
                let op = AvgPool2d { kernel, stride, padding, ceil_mode, count_include_pad: true };
                let mean = self.push(&format!("{}.mean", site.name), op, &[&powers])?;
                let mean = Computed::image(mean.0, mean.1);
                let count = kernel.values().iter().product::<usize>() as f32;
                let sum = self.times(site, &mean, count)?;
                let root = self.push_like(&site.name, Power { exponent: 1.0 / p }, &[&sum])?;
                (root.node, root.size)
            }
        };
        Ok(of_rank(Computed::image(pooled.0, pooled.1), value.rank()))
    }

    /// A pool whose windows may lie outside of the image for the larger part: of an image with that much around it.
    fn pool_of_padded(
        &mut self,
        site: &Site,
        x: &Computed,
        (kernel, stride, dilation): ([usize; 2], [usize; 2], [usize; 2]),
        padding: Sides,
    ) -> Result<Computed> {
        let is_max = site.node.operation == "MaxPool";
        let value = if is_max { f64::from(f32::MIN) } else { 0.0 };
        let pad = Pad { padding, channels: [0, 0], mode: PadMode::Zeros, value };
        let (node, size) = self.push(&format!("{}.padded", site.name), pad, &[x])?;
        let padded = Computed::image(node, size);
        let (none, window) = (Sides::Pair(Pair::Both(0)), written(kernel));
        let stride_of = Some(written(stride));
        if is_max {
            let op = MaxPool2d {
                kernel: window,
                stride: stride_of,
                padding: none,
                ceil_mode: false,
                dilation: written(dilation),
            };
            let (node, size) = self.push(&site.name, op, &[&padded])?;
            return Ok(Computed::image(node, size));
        }
        let counts_padding = site.integer("count_include_pad", 0) != 0;
        if site.node.operation != "AveragePool" || dilation != [1, 1] {
            return Err(site.refused("padding of at most half the kernel", format!("kernel {kernel:?}")));
        }
        let op =
            AvgPool2d { kernel: window, stride: stride_of, padding: none, ceil_mode: false, count_include_pad: true };
        let wish = if counts_padding { site.name.clone() } else { format!("{}.mean", site.name) };
        let (node, size) = self.push(&wish, op, &[&padded])?;
        let mean = Computed::image(node, size);
        if counts_padding {
            return Ok(mean);
        }
        // The mean of those within the image.
        let Padding { top, left, .. } = padding.padding();
        let within = |place: usize, axis: usize, before: usize, length: usize| {
            let (first, last) = (place * stride[axis], place * stride[axis] + kernel[axis]);
            last.min(before + length).saturating_sub(first.max(before)).max(1)
        };
        let factor = |place: ndarray::Ix3| {
            let count = within(place[1], 0, top, x.size.height) * within(place[2], 1, left, x.size.width);
            (kernel[0] * kernel[1]) as f32 / count as f32
        };
        let shape = [1, size.height, size.width];
        let factors = ndarray::Array3::from_shape_fn(shape, |(a, b, c)| factor(ndarray::Dim([a, b, c]))).into_dyn();
        let factors = Side::Constant(factors, format!("{}.factors", site.name));
        self.paired(site, &site.name, Mul.into(), [Side::Computed(mean), factors])
    }

    /// An average along the first of three axes alone, as PyTorch writes a normalisation across neighbouring channels.
    fn pool_along_depth(&mut self, site: &Site, value: &Computed) -> Result<Computed> {
        let said = |name: &str, default: i64, count: usize| {
            site.node.integers(name).map_or_else(|| vec![default; count], <[i64]>::to_vec)
        };
        let (kernel, stride, pads) = (said("kernel_shape", 1, 3), said("strides", 1, 3), said("pads", 0, 6));
        let (&[depth, 1, 1], [1, 1, 1], [0, 0, 0, 0, 0, 0]) = (kernel.as_slice(), stride.as_slice(), pads.as_slice())
        else {
            return Err(
                site.refused("a pool of images, or along one axis", format!("kernel {kernel:?}, pads {pads:?}"))
            );
        };
        if site.node.operation != "AveragePool" || site.integer("ceil_mode", 0) != 0 {
            return Err(site.refused("an average of whole windows along one axis", &site.node.operation));
        }
        let places = self.places(site, value, &[2])?;
        let groups = [places.clone(), Vec::new(), value.arrangement.others(&places)];
        let image = self.placed(value, groups, &site.name)?;
        let kernel = Pair::Each([usize::try_from(depth).unwrap_or(0), 1]);
        let op = AvgPool2d {
            kernel,
            stride: Some(Pair::Both(1)),
            padding: Sides::Pair(Pair::Both(0)),
            ceil_mode: false,
            count_include_pad: true,
        };
        let (node, size) = self.push(&site.name, op, &[&image])?;
        let arrangement = image.arrangement.with_length(2, size.height, 0);
        Ok(Computed { node, size, arrangement })
    }

    /// |x|^p.
    fn powers(&mut self, site: &Site, x: &Computed, p: f64) -> Result<Computed> {
        let x = match p % 2.0 == 0.0 {
            true => x.clone(),
            false => self.push_like(&format!("{}.abs", site.name), Abs, &[x])?,
        };
        match p == 1.0 {
            true => Ok(x),
            false => self.push_like(&format!("{}.powers", site.name), Power { exponent: p }, &[&x]),
        }
    }

    /// A pool of whole rows and columns.
    pub(super) fn global_pool(&mut self, site: &Site) -> Result<Computed> {
        let value = self.computed(site, 0)?;
        let x = self.as_image(site, &value)?;
        let places = vec![Axis::Height, Axis::Width];
        let (node, size) = match site.node.operation.as_str() {
            "GlobalAveragePool" => self.push(&site.name, GlobalAvgPool, &[&x])?,
            "GlobalMaxPool" => self.push(&site.name, Reduce { kind: Reduction::Max, axes: places }, &[&x])?,
            _ => {
                let p = site.node.integer("p").map_or(2.0, |p| p as f64);
                let powers = self.powers(site, &x, p)?;
                let op = Reduce { kind: Reduction::Sum, axes: places };
                let (node, size) = self.push(&format!("{}.sum", site.name), op, &[&powers])?;
                self.push(&site.name, Power { exponent: 1.0 / p }, &[&Computed::image(node, size)])?
            }
        };
        Ok(of_rank(Computed::image(node, size), value.rank()))
    }

    /// Response normalisation across neighbouring channels.
    pub(super) fn local_response(&mut self, site: &Site) -> Result<Computed> {
        let x = self.image(site, 0)?;
        let size = usize::try_from(site.integer("size", 0)).unwrap_or(0);
        let (alpha, beta) = (site.float("alpha", 1e-4), site.float("beta", 0.75));
        self.push_like(&site.name, LocalResponseNorm { size, alpha, beta, k: site.float("bias", 1.0) }, &[&x])
    }

    /// Resize, and Upsample of older files.
    pub(super) fn resized(&mut self, site: &Site) -> Result<Computed> {
        let value = self.computed(site, 0)?;
        let x = self.as_image(site, &value)?;
        let is_old = site.node.operation == "Upsample" || site.node.inputs.len() == 2;
        let coordinates = match site.node.text("coordinate_transformation_mode").unwrap_or(if is_old {
            "asymmetric"
        } else {
            "half_pixel"
        }) {
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            other => return Err(site.refused("coordinates of the whole image", other)),
        };
        let mode = match site.node.text("mode").unwrap_or("nearest") {
            "nearest" => Interpolation::Nearest,
            "linear" | "bilinear" => Interpolation::Linear,
            "cubic" => Interpolation::Cubic,
            other => return Err(site.refused("mode nearest, linear or cubic", other)),
        };
        let rounding =
            match site.node.text("nearest_mode").unwrap_or(if is_old { "floor" } else { "round_prefer_floor" }) {
                "round_prefer_floor" => Rounding::RoundPreferFloor,
                "round_prefer_ceil" => Rounding::RoundPreferCeil,
                "ceil" => Rounding::Ceil,
                _ => Rounding::Floor,
            };
        let rank = value.rank();
        let (scales, sizes) = match site.node.operation.as_str() {
            "Upsample" => (self.scales(site, 1)?, None),
            _ if site.node.inputs.len() == 2 => (self.scales(site, 1)?, None),
            _ => (self.scales(site, 2)?, self.settings(site, "sizes", 3)?),
        };
        let axes = match site.node.integers("axes") {
            Some(axes) => site.axes(axes, rank)?,
            None => (0..rank).collect(),
        };
        let shape = value.shape(self.batch);
        // Each axis: its factor where that is said, and its new length.
        let mut all: Vec<(Option<f64>, usize)> = shape.iter().map(|&length| (None, length)).collect();
        let fits = |count: usize| match count == axes.len() {
            true => Ok(()),
            false => Err(site.refused(format!("a factor or size for each of {} axes", axes.len()), count)),
        };
        if let Some(scales) = scales {
            fits(scales.len())?;
            for (&axis, scale) in axes.iter().zip(scales) {
                let length = shape[axis] as f64 * scale;
                if coordinates == Coordinates::AlignCorners && scale < 1.0 && length.fract() > 1e-3 {
                    let found =
                        format!("{} by {scale}, which onnxruntime and ONNX's definition read differently", shape[axis]);
                    return Err(site.refused("a factor to a whole number of places", found));
                }
                all[axis] = (Some(scale), length.floor() as usize);
            }
        } else if let Some(sizes) = sizes {
            fits(sizes.len())?;
            let ratio = |(&axis, &size): (&usize, &i64)| size as f64 / shape[axis] as f64;
            let ratios = axes.iter().zip(&sizes).map(ratio);
            let kept = match site.node.text("keep_aspect_ratio_policy").unwrap_or("stretch") {
                "not_larger" => Some(ratios.fold(f64::INFINITY, f64::min)),
                "not_smaller" => Some(ratios.fold(0.0, f64::max)),
                _ => None,
            };
            for (&axis, &size) in axes.iter().zip(&sizes) {
                all[axis] = match kept {
                    Some(ratio) => (Some(ratio), (ratio * shape[axis] as f64 + 0.5).floor() as usize),
                    None => (None, usize::try_from(size).unwrap_or(0)),
                };
            }
        }
        if (0..2).any(|axis| all[axis].1 != shape[axis]) {
            return Err(site.refused("as many images and channels as before", format!("{all:?}")));
        }
        let (height, width) = if rank == 4 { (all[2], all[3]) } else { ((None, 1), all[2]) };
        let factor =
            |(scale, _): (Option<f64>, usize), to: usize, from: usize| scale.unwrap_or(to as f64 / from as f64);
        let is_said = height.0.is_some() || width.0.is_some();
        let scales = is_said.then(|| [factor(height, height.1, x.size.height), factor(width, width.1, x.size.width)]);
        let op = Resize {
            size: written([height.1, width.1]),
            mode,
            coordinates,
            rounding,
            cubic: site.float("cubic_coeff_a", -0.75),
            scales,
            antialias: site.integer("antialias", 0) != 0,
            exclude_outside: site.integer("exclude_outside", 0) != 0,
        };
        let (node, size) = self.push(&site.name, op, &[&x])?;
        Ok(of_rank(Computed::image(node, size), rank))
    }

    fn scales(&self, site: &Site, which: usize) -> Result<Option<Vec<f64>>> {
        if let Some(scales) = site.node.floats("scales") {
            return Ok(Some(scales.iter().map(|&scale| f64::from(scale)).collect()));
        }
        let scales = self.floats(site, which)?.filter(|scales| !scales.is_empty());
        Ok(scales.map(|scales| scales.iter().map(|&scale| f64::from(scale)).collect()))
    }
}
