//! What a node computes: its settings with PyTorch's names, defaults and meanings, its parameters, the size of its result.

use serde::{Deserialize, Serialize};

use super::size::Size;
use crate::ops::pad::Frame;
use crate::ops::window::{Padding, Window};

/// The longest kernel, stride or padding, larger than any image: sums of them cannot overflow.
const LONGEST: usize = 1 << 20;

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
    pub(super) fn values(self) -> [usize; 2] {
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
    pub(super) fn has_no_settings(&self) -> bool {
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
    pub(super) fn output(&self, inputs: &[Size]) -> std::result::Result<Size, String> {
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
