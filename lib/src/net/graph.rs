//! A network's graph: named nodes in single-assignment form, their JSON, and the shapes that flow through them.
//!
//! `{"name": "conv1", "op": "conv2d", "input": "input", "channels": 32, "kernel": 3, "stride": 1, "padding": 1}`. The word
//! "input" names the network's own input. Shapes are (C, H, W) as in files; a vector of F features is (F, 1, 1).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{Error, Result};
use crate::ops::pad::Frame;
use crate::ops::window::{Padding, Window};

/// The name of a network's own input among its nodes.
pub const INPUT: &str = "input";

/// The most values that one node may hold for one image, 2^31: larger ones are taken for a broken file.
const LIMIT: u128 = 1 << 31;

/// The longest kernel, stride or padding, larger than any image: sums of them cannot overflow.
const LONGEST: usize = 1 << 20;

/// Channels, height and width of what a node computes for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<usize>", into = "Vec<usize>")]
pub struct Size {
    /// Channels, or features of a vector.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// Channels, height and width.
    pub fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// Values for one image.
    pub fn elements(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Values for one image, where their number may not fit in memory.
    fn wide_elements(self) -> u128 {
        (self.channels as u128).saturating_mul(self.height as u128).saturating_mul(self.width as u128)
    }

    /// Whether height and width are 1.
    pub fn is_vector(self) -> bool {
        self.height == 1 && self.width == 1
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_vector() {
            true => write!(f, "{}", self.channels),
            false => write!(f, "{}x{}x{}", self.channels, self.height, self.width),
        }
    }
}

impl TryFrom<Vec<usize>> for Size {
    type Error = String;

    fn try_from(axes: Vec<usize>) -> std::result::Result<Self, String> {
        match *axes.as_slice() {
            [features] => Ok(Self::new(features, 1, 1)),
            [channels, height, width] => Ok(Self::new(channels, height, width)),
            _ => Err(format!("expected [channels, height, width] or [features], found {axes:?}")),
        }
    }
}

impl From<Size> for Vec<usize> {
    fn from(size: Size) -> Self {
        if size.is_vector() { vec![size.channels] } else { vec![size.channels, size.height, size.width] }
    }
}

/// One number for both axes, or (height, width): equal where the numbers are, however they are written.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pair {
    /// The same along height and width.
    Both(usize),
    /// Along height, along width.
    Each([usize; 2]),
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.values() == other.values()
    }
}

impl Pair {
    fn values(self) -> [usize; 2] {
        match self {
            Self::Both(value) => [value; 2],
            Self::Each(values) => values,
        }
    }

    fn one() -> Self {
        Self::Both(1)
    }

    fn is_one(&self) -> bool {
        self.values() == [1, 1]
    }
}

/// Padding: one number for all sides, (height, width), or a number a side; equal where the numbers are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sides {
    /// The same along height and width, or each.
    Pair(Pair),
    /// A number a side.
    Each {
        /// Rows above.
        top: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the left.
        left: usize,
        /// Columns to the right.
        right: usize,
    },
}

impl PartialEq for Sides {
    fn eq(&self, other: &Self) -> bool {
        self.padding() == other.padding()
    }
}

impl Sides {
    fn none() -> Self {
        Self::Pair(Pair::Both(0))
    }

    fn is_none(&self) -> bool {
        self.padding() == Padding::default()
    }

    /// The rows and columns on each side.
    pub fn padding(self) -> Padding {
        match self {
            Self::Pair(pair) => {
                let [height, width] = pair.values();
                Padding { top: height, bottom: height, left: width, right: width }
            }
            Self::Each { top, bottom, left, right } => Padding { top, bottom, left, right },
        }
    }
}

fn default_true() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn leaky_slope() -> f64 {
    crate::ops::activation::LEAKY_SLOPE
}

fn epsilon() -> f64 {
    1e-5
}

fn momentum() -> f64 {
    0.1
}

/// What a node computes, with PyTorch's names, defaults and meanings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Convolution; weight (channels, C / groups, kh, kw), bias (channels).
    Conv2d {
        /// Output channels.
        channels: usize,
        /// Kernel height and width.
        kernel: Pair,
        /// Steps between positions.
        #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
        stride: Pair,
        /// Zeros around the input.
        #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
        padding: Sides,
        /// Steps between the kernel's pixels.
        #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
        dilation: Pair,
        /// Groups of channels.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        groups: usize,
        /// Whether there is a bias.
        #[serde(default = "default_true", skip_serializing_if = "is_true")]
        bias: bool,
    },
    /// Transposed convolution; weight (C, channels, kh, kw), bias (channels).
    ConvTranspose2d {
        /// Output channels.
        channels: usize,
        /// Kernel height and width.
        kernel: Pair,
        /// Steps between positions of the input in the output.
        #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
        stride: Pair,
        /// Rows and columns cut off the output.
        #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
        padding: Sides,
        /// Rows and columns added below and to the right.
        #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
        output_padding: Sides,
        /// Whether there is a bias.
        #[serde(default = "default_true", skip_serializing_if = "is_true")]
        bias: bool,
    },
    /// Linear map of a vector; weight (features, F), bias (features).
    Linear {
        /// Output features.
        features: usize,
        /// Whether there is a bias.
        #[serde(default = "default_true", skip_serializing_if = "is_true")]
        bias: bool,
    },
    /// max(x, slope x).
    LeakyRelu {
        /// The slope below zero.
        #[serde(default = "leaky_slope")]
        slope: f64,
    },
    /// max(x, 0).
    Relu,
    /// min(max(x, low), high).
    Clip {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
    },
    /// x, or e^x - 1 below zero.
    Elu,
    /// elu of x and of -x, side by side along the channels.
    ConcatElu,
    /// ln(x + sqrt(1 + x^2)).
    Asinh,
    /// (e^x - e^-x) / 2.
    Sinh,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// ln(1 + e^x).
    Softplus,
    /// The largest value of a window.
    MaxPool2d {
        /// Window height and width.
        kernel: Pair,
        /// Steps between windows; the kernel's size where it is not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Pair>,
        /// Padding, never the largest.
        #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
        padding: Sides,
        /// Whether a window may hang over the end.
        #[serde(default, skip_serializing_if = "is_false")]
        ceil_mode: bool,
    },
    /// The mean of a window.
    AvgPool2d {
        /// Window height and width.
        kernel: Pair,
        /// Steps between windows; the kernel's size where it is not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Pair>,
        /// Zeros around the input.
        #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
        padding: Sides,
        /// Whether a window may hang over the end.
        #[serde(default, skip_serializing_if = "is_false")]
        ceil_mode: bool,
        /// Whether padding counts in the mean.
        #[serde(default = "default_true", skip_serializing_if = "is_true")]
        count_include_pad: bool,
    },
    /// The mean of each channel.
    GlobalAvgPool,
    /// Batch normalisation a channel; weight, bias, running_mean, running_var (C).
    BatchNorm {
        /// Added to the variance.
        #[serde(default = "epsilon")]
        eps: f64,
        /// Share of a batch in the running statistics.
        #[serde(default = "momentum")]
        momentum: f64,
    },
    /// In training: zero with this probability, else divided by what is left.
    Dropout {
        /// Probability of zero.
        p: f64,
    },
    /// Each pixel repeated.
    UpsampleNearest {
        /// Times along both axes.
        factor: usize,
    },
    /// Bilinear interpolation with half-pixel centres.
    UpsampleBilinear {
        /// Height and width of the result.
        size: Pair,
    },
    /// Inputs side by side along the channels.
    Concat,
    /// The sum of the inputs.
    Add,
    /// Channels start..end.
    Slice {
        /// The first channel.
        start: usize,
        /// The channel after the last.
        end: usize,
    },
    /// Zeros around an image, and channels of zeros before and after its own.
    Pad {
        /// Rows and columns of zeros.
        #[serde(default = "Sides::none", skip_serializing_if = "Sides::is_none")]
        padding: Sides,
        /// Channels of zeros before and after.
        #[serde(default)]
        channels: [usize; 2],
    },
    /// An image as a vector, channels first.
    Flatten,
    /// An input of the network beside the first, such as a class: it reads no node.
    Input {
        /// Its channels, height and width, or its features.
        shape: Size,
    },
    /// A vector as an image, channels first.
    Reshape {
        /// The image's channels, height and width.
        shape: [usize; 3],
    },
}

/// A parameter (or running statistic) that a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Its name within the node: weight, bias, …
    pub name: &'static str,
    /// Its shape as in PyTorch's files.
    pub shape: Vec<usize>,
    /// Whether training changes it by its gradient; running statistics are not trained.
    pub trained: bool,
}

impl ParameterSpec {
    fn trained(name: &'static str, shape: Vec<usize>) -> Self {
        Self { name, shape, trained: true }
    }

    /// The number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Op {
    /// The window that a convolution or pooling slides.
    pub fn window(&self) -> Option<Window> {
        let unit = [1, 1];
        Some(match self {
            Self::Conv2d { kernel, stride, padding, dilation, .. } => Window {
                kernel: kernel.values(),
                stride: stride.values(),
                padding: padding.padding(),
                dilation: dilation.values(),
            },
            Self::ConvTranspose2d { kernel, stride, padding, .. } => {
                Window { kernel: kernel.values(), stride: stride.values(), padding: padding.padding(), dilation: unit }
            }
            Self::MaxPool2d { kernel, stride, padding, .. } | Self::AvgPool2d { kernel, stride, padding, .. } => {
                Window {
                    kernel: kernel.values(),
                    stride: stride.unwrap_or(*kernel).values(),
                    padding: padding.padding(),
                    dilation: unit,
                }
            }
            _ => return None,
        })
    }

    /// What a pad adds.
    pub(super) fn frame(&self) -> Option<Frame> {
        match self {
            Self::Pad { padding, channels } => Some(Frame { padding: padding.padding(), channels: *channels }),
            _ => None,
        }
    }

    /// Whether its name says it all. Of such operations serde refuses no superfluous settings.
    fn has_no_settings(&self) -> bool {
        serde_json::to_value(self).is_ok_and(|json| json.as_object().is_some_and(|fields| fields.len() == 1))
    }

    /// The slope of a rectifier.
    pub fn rectifier(&self) -> Option<f64> {
        match self {
            Self::LeakyRelu { slope } => Some(*slope),
            Self::Relu => Some(0.0),
            _ => None,
        }
    }

    /// The parameters that this operation holds for an input of `size`.
    pub fn parameters(&self, size: Size) -> Vec<ParameterSpec> {
        let mut parameters = match self {
            Self::Conv2d { channels, kernel, groups, .. } => {
                let [kh, kw] = kernel.values();
                vec![ParameterSpec::trained("weight", vec![*channels, size.channels / groups, kh, kw])]
            }
            Self::ConvTranspose2d { channels, kernel, .. } => {
                let [kh, kw] = kernel.values();
                vec![ParameterSpec::trained("weight", vec![size.channels, *channels, kh, kw])]
            }
            Self::Linear { features, .. } => {
                vec![ParameterSpec::trained("weight", vec![*features, size.channels])]
            }
            Self::BatchNorm { .. } => {
                let spec = |name, trained| ParameterSpec { name, shape: vec![size.channels], trained };
                return vec![
                    spec("weight", true),
                    spec("bias", true),
                    spec("running_mean", false),
                    spec("running_var", false),
                ];
            }
            _ => return Vec::new(),
        };
        match self {
            Self::Conv2d { bias: true, channels, .. } | Self::ConvTranspose2d { bias: true, channels, .. } => {
                parameters.push(ParameterSpec::trained("bias", vec![*channels]));
            }
            Self::Linear { bias: true, features } => {
                parameters.push(ParameterSpec::trained("bias", vec![*features]));
            }
            _ => {}
        }
        parameters
    }

    /// The size of the result, or what was expected of the inputs.
    fn output(&self, inputs: &[Size]) -> std::result::Result<Size, String> {
        match self {
            Self::Concat | Self::Add if inputs.is_empty() => return Err("at least one input".into()),
            Self::Concat => {
                let first = inputs[0];
                let fits = |size: &Size| (size.height, size.width) == (first.height, first.width);
                let channels = inputs.iter().map(|size| size.channels).sum();
                return match inputs.iter().all(fits) {
                    true => Ok(Size { channels, ..first }),
                    false => Err("inputs of one height and width".into()),
                };
            }
            Self::Add => {
                return match inputs.iter().all(|size| *size == inputs[0]) {
                    true => Ok(inputs[0]),
                    false => Err("inputs of one shape".into()),
                };
            }
            Self::Input { shape } => {
                return match inputs {
                    [] => Ok(*shape),
                    _ => Err("no input: it is one itself".into()),
                };
            }
            _ => {}
        }
        let [size] = inputs else { return Err("one input".into()) };
        self.output_of_one(*size)
    }

    fn output_of_one(&self, size: Size) -> std::result::Result<Size, String> {
        let fit = |output: Option<(usize, usize)>, channels| match output {
            Some((height, width)) if height > 0 && width > 0 => Ok(Size { channels, height, width }),
            _ => Err("an image that the kernel fits into".to_string()),
        };
        let window = self.window();
        if let Some(Window { kernel, stride, padding, dilation }) = window {
            let steps = [kernel, stride, dilation].concat();
            let sides = [padding.top, padding.bottom, padding.left, padding.right];
            if steps.contains(&0) || steps.iter().chain(&sides).any(|&length| length > LONGEST) {
                return Err(format!("a kernel, stride and dilation from 1 to {LONGEST}, padding up to {LONGEST}"));
            }
        }
        match (self, window) {
            (Self::Conv2d { channels, groups, .. }, Some(window)) => {
                if *groups == 0 || !size.channels.is_multiple_of(*groups) || !channels.is_multiple_of(*groups) {
                    return Err(format!("channels that {groups} groups divide"));
                }
                fit(window.output(size.height, size.width), *channels)
            }
            (Self::ConvTranspose2d { channels, output_padding, .. }, Some(window)) => {
                let added = output_padding.padding();
                if added.bottom >= window.stride[0] || added.right >= window.stride[1] {
                    return Err("an output padding smaller than the stride".into());
                }
                let length = |axis: usize, length: usize, cut: usize, added: usize| {
                    ((length.checked_sub(1)?) * window.stride[axis] + window.kernel[axis] + added).checked_sub(cut)
                };
                let Padding { top, bottom, left, right } = window.padding;
                let height = length(0, size.height, top + bottom, added.bottom);
                let width = length(1, size.width, left + right, added.right);
                fit(height.zip(width), *channels)
            }
            (Self::MaxPool2d { ceil_mode, .. } | Self::AvgPool2d { ceil_mode, .. }, Some(window)) => {
                let output = match ceil_mode {
                    true => window.output_ceil(size.height, size.width),
                    false => window.output(size.height, size.width),
                };
                let Padding { top, bottom, left, right } = window.padding;
                if top.max(bottom) * 2 > window.kernel[0] || left.max(right) * 2 > window.kernel[1] {
                    return Err("padding of at most half the kernel".into());
                }
                fit(output, size.channels)
            }
            (Self::Linear { features, .. }, _) => match size.is_vector() {
                true => Ok(Size::new(*features, 1, 1)),
                false => Err("a vector (put a flatten node before it)".into()),
            },
            (Self::ConcatElu, _) => Ok(Size { channels: 2 * size.channels, ..size }),
            (Self::GlobalAvgPool, _) => Ok(Size::new(size.channels, 1, 1)),
            (Self::UpsampleNearest { factor }, _) if *factor > 0 => Ok(Size {
                height: size.height.saturating_mul(*factor),
                width: size.width.saturating_mul(*factor),
                ..size
            }),
            (Self::UpsampleNearest { .. }, _) => Err("a factor of at least 1".into()),
            (Self::UpsampleBilinear { size: to }, _) => {
                let [height, width] = to.values();
                fit(Some((height, width)), size.channels)
            }
            (Self::Slice { start, end }, _) => match start < end && *end <= size.channels {
                true => Ok(Size { channels: end - start, ..size }),
                false => Err(format!("at least {end} channels, and a start before the end")),
            },
            (Self::Pad { padding, channels: [before, after] }, _) => {
                let Padding { top, bottom, left, right } = padding.padding();
                if [top, bottom, left, right, *before, *after].iter().any(|&length| length > LONGEST) {
                    return Err(format!("padding up to {LONGEST}"));
                }
                let channels = size.channels + before + after;
                Ok(Size::new(channels, size.height + top + bottom, size.width + left + right))
            }
            (Self::Flatten, _) => Ok(Size::new(size.elements(), 1, 1)),
            (Self::Reshape { shape: [channels, height, width] }, _) => {
                let to = Size::new(*channels, *height, *width);
                match to.wide_elements() == size.wide_elements() {
                    true => Ok(to),
                    false => Err(format!("{} values", to.wide_elements())),
                }
            }
            (Self::Dropout { p }, _) if !(0.0..1.0).contains(p) => Err("a probability in [0, 1)".into()),
            (Self::Clip { low, high }, _) if !(low < high && low.is_finite() && high.is_finite()) => {
                Err("finite bounds, the low one below the high one".into())
            }
            (Self::LeakyRelu { slope }, _) if !(0.0..1.0).contains(slope) => Err("a slope in [0, 1)".into()),
            _ => Ok(size),
        }
    }
}

/// A named operation and what it works on.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What a user writes to tap it.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The names of its inputs; "input" is the network's own.
    pub inputs: Vec<String>,
}

impl Node {
    /// A node of one input.
    pub fn new(name: impl Into<String>, op: Op, input: impl Into<String>) -> Self {
        Self { name: name.into(), op, inputs: vec![input.into()] }
    }

    /// The size of its result for inputs of these sizes.
    ///
    /// # Errors
    /// Inputs that do not fit; a result or parameters that would be too large.
    pub(super) fn size(&self, inputs: &[Size]) -> Result<Size> {
        let size = self.op.output(inputs).map_err(|expected| Error::Shape {
            node: self.name.clone(),
            expected,
            found: inputs.iter().map(Size::to_string).collect::<Vec<_>>().join(" and "),
        })?;
        let parameters = self.op.parameters(inputs.first().copied().unwrap_or(size));
        let wide =
            |spec: &ParameterSpec| spec.shape.iter().fold(1u128, |product, &axis| product.saturating_mul(axis as u128));
        check_size(&self.name, size)?;
        parameters.iter().try_for_each(|spec| check_elements(&self.name, wide(spec)))?;
        Ok(size)
    }

    /// The node as it stands in net.json.
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("name".into(), Value::from(self.name.as_str()));
        if let Ok(Value::Object(settings)) = serde_json::to_value(&self.op) {
            let mut settings = settings.into_iter();
            fields.extend(settings.next());
            match self.inputs.as_slice() {
                [] => None,
                [one] => fields.insert("input".into(), Value::from(one.as_str())),
                many => fields.insert("input".into(), Value::from(many)),
            };
            fields.extend(settings);
        }
        Value::Object(fields)
    }

    /// A node of net.json; the error names it.
    pub fn from_json(value: &Value) -> Result<Self> {
        let name = value.get("name").and_then(Value::as_str).unwrap_or("");
        let broken = |reason: &str| Error::Node { node: name.to_string(), reason: reason.to_string() };
        if name.is_empty() || name == INPUT {
            return Err(broken("expected a \"name\" other than \"input\" and the empty one"));
        }
        if name.starts_with('.') || name.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
            return Err(broken(
                "a name must not start with a dot nor hold slashes or control characters: files are named by it",
            ));
        }
        let Value::Object(fields) = value else { return Err(broken("expected an object")) };
        let mut settings = fields.clone();
        settings.remove("name");
        let inputs = match settings.remove("input") {
            None if settings.get("op").is_some_and(|op| op == INPUT) => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) if !many.is_empty() && many.iter().all(Value::is_string) => {
                many.iter().filter_map(Value::as_str).map(String::from).collect()
            }
            _ => return Err(broken("expected \"input\": a node's name, or a list of names")),
        };
        let names: Vec<String> = settings.keys().filter(|name| *name != "op").cloned().collect();
        let op: Op = serde_json::from_value(Value::Object(settings)).map_err(|error| broken(&error.to_string()))?;
        if op.has_no_settings() && !names.is_empty() {
            return Err(broken(&format!("unknown setting {}: this operation has none", names.join(", "))));
        }
        Ok(Self { name: name.to_string(), op, inputs })
    }
}

/// What a network takes: the size of its images, and the normalisation of pixels that a user hands over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Channels, height and width.
    pub shape: Size,
    /// The lowest and highest pixel.
    #[serde(default = "unit_range")]
    pub range: [f64; 2],
    /// Subtracted from each channel.
    #[serde(default)]
    pub mean: Vec<f64>,
    /// Divides each channel.
    #[serde(default)]
    pub std: Vec<f64>,
}

fn unit_range() -> [f64; 2] {
    [0.0, 1.0]
}

impl InputSpec {
    /// Images of pixels in [0, 1], as they are.
    pub fn plain(shape: Size) -> Self {
        Self { shape, range: unit_range(), mean: vec![0.0; shape.channels], std: vec![1.0; shape.channels] }
    }

    /// What is subtracted from each channel and what divides it, or `None` where that changes nothing. A mean or std that
    /// is empty is 0 or 1.
    pub fn normalisation(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        let filled = |values: &[f64], other| match values {
            [] => vec![other; self.shape.channels],
            values => values.to_vec(),
        };
        let (mean, std) = (filled(&self.mean, 0.0), filled(&self.std, 1.0));
        let identity = mean.iter().all(|&mean| mean == 0.0) && std.iter().all(|&std| std == 1.0);
        (!identity).then_some((mean, std))
    }

    /// Checks that the normalisation fits the images.
    fn check(&self) -> Result<()> {
        let channels = self.shape.channels;
        let broken = |reason: String| Err(Error::Node { node: INPUT.into(), reason });
        for (name, values) in [("mean", &self.mean), ("std", &self.std)] {
            if !values.is_empty() && values.len() != channels {
                return broken(format!(
                    "{name}: expected a number for each of {channels} channels, found {}",
                    values.len()
                ));
            }
        }
        if let Some(mean) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return broken(format!("mean: expected finite numbers, found {mean}"));
        }
        match self.std.iter().find(|std| !(**std > 0.0 && std.is_finite())) {
            Some(std) => broken(format!("std: expected positive numbers, found {std}")),
            None => Ok(()),
        }
    }
}

/// A network without its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// What it takes.
    pub input: InputSpec,
    /// Its nodes, each after its inputs.
    pub nodes: Vec<Node>,
    /// What it gives: a name for the user, a node.
    pub outputs: BTreeMap<String, String>,
    /// The size of each node's result.
    sizes: Vec<Size>,
    /// Where each node's inputs are: `None` is the network's own.
    sources: Vec<Vec<Option<usize>>>,
}

impl Graph {
    /// Orders the nodes, and checks names and shapes.
    ///
    /// # Errors
    /// A duplicate name, an unknown input, a cycle, a shape or normalisation that does not fit: each names the node.
    pub fn new(input: InputSpec, nodes: Vec<Node>, outputs: BTreeMap<String, String>) -> Result<Self> {
        input.check()?;
        let nodes = ordered(nodes)?;
        let places: HashMap<&str, usize> = nodes.iter().enumerate().map(|(i, node)| (node.name.as_str(), i)).collect();
        for target in outputs.values() {
            if !places.contains_key(target.as_str()) {
                return Err(no_such_node(target, &nodes));
            }
        }
        let sources: Vec<Vec<_>> = nodes
            .iter()
            .map(|node| node.inputs.iter().map(|name| places.get(name.as_str()).copied()).collect())
            .collect();
        let sizes = sizes(&input, &nodes, &sources)?;
        Ok(Self { input, nodes, outputs, sizes, sources })
    }

    /// The size of node `place`'s result.
    pub fn size(&self, place: usize) -> Size {
        self.sizes[place]
    }

    /// Where node `place`'s inputs are: `None` is the network's own.
    pub fn sources(&self, place: usize) -> &[Option<usize>] {
        &self.sources[place]
    }

    /// The size of node `place`'s first input; of an input, its own.
    pub fn input_size(&self, place: usize) -> Size {
        match self.sources[place].first() {
            None => self.sizes[place],
            Some(source) => source.map_or(self.input.shape, |source| self.sizes[source]),
        }
    }

    /// The place of a node.
    ///
    /// # Errors
    /// No node of that name: the error lists those there are, the nearest first.
    pub fn place(&self, name: &str) -> Result<usize> {
        let position = self.nodes.iter().position(|node| node.name == name);
        position.ok_or_else(|| no_such_node(name, &self.nodes))
    }

    /// The place of the node behind an output's name.
    ///
    /// # Errors
    /// No output of that name.
    pub fn output(&self, name: &str) -> Result<usize> {
        let node = self.outputs.get(name).ok_or_else(|| Error::NoSuchOutput {
            output: name.to_string(),
            known: self.outputs.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })?;
        self.place(node)
    }

    /// Every parameter, with the place of its node, in a fixed order.
    pub fn parameters(&self) -> Vec<(usize, ParameterSpec)> {
        let of_node = |place: usize| {
            self.nodes[place].op.parameters(self.input_size(place)).into_iter().map(move |spec| (place, spec))
        };
        (0..self.nodes.len()).flat_map(of_node).collect()
    }

    /// The parameters of the node at `place`: where each is in that order, and what it is.
    pub fn parameters_at(&self, place: usize) -> Vec<(usize, ParameterSpec)> {
        let all = self.parameters().into_iter().enumerate();
        all.filter(|(_, (owner, _))| *owner == place).map(|(at, (_, spec))| (at, spec)).collect()
    }

    /// The number of trained values, biases included.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().filter(|(_, spec)| spec.trained).map(|(_, spec)| spec.elements()).sum()
    }

    /// The name of a parameter: its node's, a dot, its own.
    pub fn parameter_name(&self, place: usize, spec: &ParameterSpec) -> String {
        format!("{}.{}", self.nodes[place].name, spec.name)
    }
}

/// The most names that an error lists.
const LISTED: usize = 12;

/// No node is called `name`: the names most like it.
fn no_such_node(name: &str, nodes: &[Node]) -> Error {
    let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    names.sort_by(|a, b| strsim::jaro_winkler(b, name).total_cmp(&strsim::jaro_winkler(a, name)));
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Error::NoSuchNode { node: name.to_string(), known: names.join(", ") + &more }
}

/// The nodes, each after its inputs; otherwise in the order given.
fn ordered(nodes: Vec<Node>) -> Result<Vec<Node>> {
    let mut names: HashMap<String, bool> = HashMap::from([(INPUT.to_string(), true)]);
    for node in &nodes {
        if names.insert(node.name.clone(), false).is_some() {
            return Err(Error::Duplicate { node: node.name.clone() });
        }
    }
    for node in &nodes {
        if let Some(input) = node.inputs.iter().find(|input| !names.contains_key(*input)) {
            return Err(Error::MissingInput { node: node.name.clone(), input: input.clone() });
        }
    }
    let mut result = Vec::with_capacity(nodes.len());
    let mut waiting = nodes;
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut still = Vec::new();
        for node in waiting {
            if node.inputs.iter().all(|input| names[input]) {
                names.insert(node.name.clone(), true);
                result.push(node);
            } else {
                still.push(node);
            }
        }
        if still.len() == before {
            return Err(Error::Cycle { node: still[0].name.clone() });
        }
        waiting = still;
    }
    Ok(result)
}

/// The size of each node's result.
fn sizes(input: &InputSpec, nodes: &[Node], sources: &[Vec<Option<usize>>]) -> Result<Vec<Size>> {
    check_size(INPUT, input.shape)?;
    let mut sizes: Vec<Size> = Vec::with_capacity(nodes.len());
    for (node, sources) in nodes.iter().zip(sources) {
        let inputs: Vec<Size> = sources.iter().map(|source| source.map_or(input.shape, |place| sizes[place])).collect();
        sizes.push(node.size(&inputs)?);
    }
    Ok(sizes)
}

/// Refuses a result that would hold no values, or more than a network can be meant to.
pub(super) fn check_size(node: &str, size: Size) -> Result<()> {
    check_elements(node, size.wide_elements())
}

/// Refuses what holds no values, or more than a network can be meant to.
fn check_elements(node: &str, elements: u128) -> Result<()> {
    match elements {
        0 => Err(Error::Node { node: node.to_string(), reason: "a size of 0: it would hold no values".into() }),
        1..=LIMIT => Ok(()),
        _ => Err(Error::TooLarge { node: node.to_string(), elements, limit: LIMIT }),
    }
}

/// A node as `net-tap --describe` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeSummary {
    /// Its name.
    pub name: String,
    /// Its operation's name in net.json.
    pub op: String,
    /// The names of its inputs.
    pub inputs: Vec<String>,
    /// The size of its result.
    pub size: Size,
    /// The number of its trained values.
    pub parameters: usize,
}

impl Graph {
    /// Every node in order, with its size and parameter count.
    pub fn summary(&self) -> Vec<NodeSummary> {
        let summary = |(place, node): (usize, &Node)| {
            let json = node.to_json();
            let specs = node.op.parameters(self.input_size(place));
            NodeSummary {
                name: node.name.clone(),
                op: json.get("op").and_then(Value::as_str).unwrap_or_default().to_string(),
                inputs: node.inputs.clone(),
                size: self.size(place),
                parameters: specs.iter().filter(|spec| spec.trained).map(ParameterSpec::elements).sum(),
            }
        };
        self.nodes.iter().enumerate().map(summary).collect()
    }

    /// The summary, the input, the outputs and the parameter count as one JSON object.
    pub fn description(&self) -> Value {
        serde_json::json!({
            "input": self.input, "outputs": self.outputs, "nodes": self.summary(), "parameters": self.parameter_count(),
        })
    }
}
