//! The network: two streams of gated residual blocks over three levels and back, joined by skips; (N, H, W, C) -> (N, H', W', P).
//!
//! `u` sees the rows above, `ul` also what is to the left and, at each block, `u` (Salimans et al. 2017, section 2). H' and W' are H
//! and W rounded up to multiples of 4; beyond the image all inputs are zero, the channel of ones that marks it too.
//!
//! ```
//! use dfdx::prelude::NoneTape;
//! use obverse::density::{Architecture, Likelihood, Mode, PixelCnn};
//! use obverse::tensor::shape;
//! let architecture = Architecture {
//!     channels: 1,
//!     height: 4,
//!     width: 4,
//!     filters: 4,
//!     blocks: 1,
//!     likelihood: Likelihood::Softmax,
//!     condition: None,
//! };
//! let model = PixelCnn::<f32>::random(architecture, 0)?;
//! let outputs = model.forward(&mut NoneTape, &model.scaled(&[0; 16]), None, Mode::Inference);
//! assert_eq!(shape(&outputs), (1, 4, 4, 256));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use dfdx::prelude::{Cpu, Tape};

use super::architecture::{Architecture, Condition};
use super::likelihood::negative_log_likelihood;
use super::parameters::{Conv, Gated, Layers, Spec, Stream};
use crate::ops::InputGradient;
use crate::ops::arithmetic::combine;
use crate::ops::causal::{Dropout, Feed, Term, causal};
use crate::ops::conv_transpose::conv_transpose2d;
use crate::ops::convolution::{Convolution, convolve};
use crate::ops::dropout::dropout;
use crate::ops::gated::gate;
use crate::ops::linear;
use crate::ops::shift::shift;
use crate::ops::upsample::bilinear;
use crate::ops::weight_norm::{Outputs, weight_norm};
use crate::ops::window::{Padding, Window};
use crate::tensor::random;
use crate::tensor::{Batch, Element, batch, shape, view};

/// A model: its sizes and its parameters.
#[derive(Clone, Debug)]
pub struct PixelCnn<E: Element> {
    architecture: Architecture,
    pub(super) layers: Layers,
    parameters: Vec<Batch<E>>,
}

/// Whether activations are dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// None are.
    Inference,
    /// A share of each block's, and of the projected condition.
    Training {
        /// The share of a block's activations.
        dropout: f64,
        /// The share of the condition's projections.
        condition_dropout: f64,
        /// The draws of this update.
        stream: random::Stream,
    },
}

impl<E: Element> PixelCnn<E> {
    /// A model of these parameters, in the order of [`PixelCnn::specs`] and in memory shapes.
    pub(super) fn assembled(architecture: Architecture, layers: Layers, parameters: Vec<Batch<E>>) -> Self {
        Self { architecture, layers, parameters }
    }

    /// The sizes.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Names and file shapes of the parameters.
    pub fn specs(&self) -> &[Spec] {
        &self.layers.specs
    }

    /// The parameters, in memory order: (O, kh, kw, I) for (O, I, kh, kw).
    pub fn parameters(&self) -> &[Batch<E>] {
        &self.parameters
    }

    /// The parameters, to be changed.
    pub fn parameters_mut(&mut self) -> &mut Vec<Batch<E>> {
        &mut self.parameters
    }

    /// Where among the parameters the blocks' projections of the condition are, which are linear in it.
    pub(super) fn projections(&self) -> Vec<usize> {
        let blocks =
            [&self.layers.u, &self.layers.ul].into_iter().flat_map(|stream| stream.up.iter().chain(&stream.down));
        blocks.filter_map(|block| block.context).collect()
    }

    /// The number of values of all parameters.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(|parameter| view(parameter).len()).sum()
    }

    /// The parameters of each pixel's distribution, (N, H', W', P), of images x (N, H, W, C) in [-1, 1] and what they are
    /// conditional on; its gradient is recorded where it is `Wanted`.
    pub fn forward(
        &self,
        tape: &mut impl Tape<E, Cpu>,
        x: &Batch<E>,
        condition: Option<(&Batch<E>, InputGradient)>,
        mode: Mode,
    ) -> Batch<E> {
        self.pass(tape, condition, mode, Role::Computing).run(x)
    }

    /// The negative log-likelihood of each image, (N, 1, 1, 1), in nats; `pixels` are (N, H, W, C).
    pub fn negative_log_likelihood(
        &self,
        tape: &mut impl Tape<E, Cpu>,
        pixels: &[u8],
        condition: Option<&Batch<E>>,
        mode: Mode,
    ) -> Batch<E> {
        let condition = condition.map(|condition| (condition, InputGradient::Unwanted));
        let outputs = self.forward(tape, &self.scaled(pixels), condition, mode);
        negative_log_likelihood(tape, &self.architecture, &outputs, pixels)
    }

    /// 8-bit images (N, H, W, C) as the network sees them, in [-1, 1].
    pub fn scaled(&self, pixels: &[u8]) -> Batch<E> {
        let Architecture { channels, height, width, .. } = self.architecture;
        let values: Vec<E> = pixels.iter().map(|&value| E::of(f64::from(value) / 127.5 - 1.0)).collect();
        batch(values, (pixels.len() / (channels * height * width).max(1), height, width, channels))
    }

    pub(super) fn pass<'a, T: Tape<E, Cpu>>(
        &'a self,
        tape: &'a mut T,
        condition: Option<(&Batch<E>, InputGradient)>,
        mode: Mode,
        role: Role,
    ) -> Pass<'a, E, T> {
        let condition = condition.map(|(values, gradient)| {
            let maps = matches!(self.architecture.condition, Some(Condition::Maps(..)));
            let levels = if maps {
                self.architecture.levels().map(|size| resized(tape, values, size, gradient)).to_vec()
            } else {
                vec![values.clone()]
            };
            Projected { levels, gradient }
        });
        let (layers, parameters) = (&self.layers, self.parameters.clone());
        Pass { tape, layers, architecture: &self.architecture, parameters, condition, mode, role }
    }
}

/// Maps at the size of a level; a constant is not recorded.
fn resized<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    maps: &Batch<E>,
    size: (usize, usize),
    gradient: InputGradient,
) -> Batch<E> {
    match gradient {
        InputGradient::Wanted => bilinear(tape, maps, size),
        InputGradient::Unwanted => bilinear(&mut dfdx::prelude::NoneTape, maps, size),
    }
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Outputs.
    Computing,
    /// Scales and biases that make what each layer computes of this batch standard (Salimans & Kingma 2016, section 3).
    Initialising,
}

/// The condition as blocks take it: a vector, or maps at each level's size.
struct Projected<E: Element> {
    levels: Vec<Batch<E>>,
    gradient: InputGradient,
}

/// A run through the layers.
pub(super) struct Pass<'a, E: Element, T> {
    tape: &'a mut T,
    layers: &'a Layers,
    architecture: &'a Architecture,
    pub parameters: Vec<Batch<E>>,
    condition: Option<Projected<E>>,
    mode: Mode,
    role: Role,
}

/// A convolution and what it sees.
type Part<'a, E> = (Conv, &'a [&'a Batch<E>], Feed);

impl<E: Element, T: Tape<E, Cpu>> Pass<'_, E, T> {
    /// From images in [-1, 1] to the parameters of their pixels' distributions.
    pub fn run(&mut self, x: &Batch<E>) -> Batch<E> {
        let (mut us, mut uls) = self.up(&self.marked(x));
        let (mut u, mut ul) = (pop(&mut us), pop(&mut uls));
        let (layers, blocks) = (self.layers, self.architecture.blocks);
        let mut block = 0;
        for level in 0..3 {
            for _ in 0..blocks + usize::from(level > 0) {
                u = self.gated(layers.u.down[block], 2 - level, &u, &[&pop(&mut us)]);
                ul = self.gated(layers.ul.down[block], 2 - level, &ul, &[&u, &pop(&mut uls)]);
                block += 1;
            }
            if level < 2 {
                u = self.grow(layers.u.grow[level], &u);
                ul = self.grow(layers.ul.grow[level], &ul);
            }
        }
        self.sum(&[(layers.out, &[&ul], Feed::Elu)], InputGradient::Wanted)
    }

    /// What every layer on the way up computes, of both streams.
    fn up(&mut self, x: &Batch<E>) -> (Vec<Batch<E>>, Vec<Batch<E>>) {
        let layers = self.layers;
        let first = |pass: &mut Self, conv: Conv, down, right| {
            let y = pass.sum(&[(conv, &[x], Feed::Plain)], InputGradient::Unwanted);
            shift(pass.tape, &y, down, right)
        };
        let mut us = vec![first(self, layers.first_u, 1, 0)];
        let (row, column) = (first(self, layers.first_ul_row, 1, 0), first(self, layers.first_ul_col, 0, 1));
        let mut uls = vec![combine(self.tape, E::one(), &row, E::one(), &column)];
        for level in 0..3 {
            for block in level * self.architecture.blocks..(level + 1) * self.architecture.blocks {
                let u = self.gated(layers.u.up[block], level, last(&us), &[]);
                let ul = self.gated(layers.ul.up[block], level, last(&uls), &[&u]);
                us.push(u);
                uls.push(ul);
            }
            if level < 2 {
                let shrink = |stream: &Stream| stream.shrink[level];
                let (u, ul) = (self.shrink(shrink(&layers.u), last(&us)), self.shrink(shrink(&layers.ul), last(&uls)));
                us.push(u);
                uls.push(ul);
            }
        }
        (us, uls)
    }

    /// The images with a channel of ones, within sides that are multiples of 4; zeros beyond.
    fn marked(&self, x: &Batch<E>) -> Batch<E> {
        let ((images, height, width, channels), (tall, wide)) = (shape(x), self.architecture.levels()[0]);
        let mut values = vec![E::zero(); images * tall * wide * (channels + 1)];
        for (row, x) in view(x).chunks_exact(width * channels).enumerate() {
            let place = (row / height * tall + row % height) * wide * (channels + 1);
            let marked = values[place..].chunks_exact_mut(channels + 1);
            for (marked, x) in marked.zip(x.chunks_exact(channels)) {
                marked[..channels].copy_from_slice(x);
                marked[channels] = E::one();
            }
        }
        batch(values, (images, tall, wide, channels + 1))
    }

    /// c1 = conv_in(x) + skip(beside), c2 = conv_out(c1) + condition, y = x + a sigmoid(b).
    fn gated(&mut self, gated: Gated, level: usize, x: &Batch<E>, beside: &[&Batch<E>]) -> Batch<E> {
        let first = [x];
        let mut parts: Vec<Part<E>> = vec![(gated.conv_in, &first, Feed::ConcatElu)];
        parts.extend(gated.skip.map(|skip| (skip, beside, Feed::ConcatElu)));
        let c = self.sum(&parts, InputGradient::Wanted);
        let c = self.closed(gated, level, &c);
        gate(self.tape, x, &c)
    }

    /// The block's second convolution with the condition's biases: what its gate opens.
    fn closed(&mut self, gated: Gated, level: usize, c: &Batch<E>) -> Batch<E> {
        let (inputs, conv, feed) = ([c], gated.conv_out, self.dropped(gated));
        self.prepare(conv, 0.1, |pass, weight| pass.alone(weight, conv, &inputs, feed));
        let (weight, bias) = (self.weight(conv), self.parameters[conv.v + 2].clone());
        let own = Term { inputs: &inputs, weight: &weight, shift: conv.shift, feed, gradient: InputGradient::Wanted };
        let Some((condition, place)) = self.condition.as_ref().zip(gated.context) else {
            return causal(self.tape, &[own], &[&bias]);
        };
        let projection = self.parameters[place].clone();
        if self.architecture.condition.is_some_and(|condition| matches!(condition, Condition::Vector(_))) {
            let projected = linear::adjoint(self.tape, &condition.levels[0], None, &projection);
            let projected = self.dropped_condition(gated, projected);
            return causal(self.tape, &[own], &[&bias, &projected]);
        }
        let (maps, gradient) = ([&condition.levels[level]], condition.gradient);
        let shift = crate::ops::causal::Shift::None;
        let maps = Term { inputs: &maps, weight: &projection, shift, feed: Feed::Plain, gradient };
        causal(self.tape, &[own, maps], &[&bias])
    }

    /// What a block's second convolution sees.
    fn dropped(&self, gated: Gated) -> Feed {
        let Mode::Training { dropout, stream, .. } = self.mode else { return Feed::ConcatElu };
        let stream = stream.branch(&format!("block {}", gated.number));
        Dropout::new(dropout, stream).map_or(Feed::ConcatElu, Feed::DroppedConcatElu)
    }

    fn dropped_condition(&mut self, gated: Gated, projected: Batch<E>) -> Batch<E> {
        match self.mode {
            Mode::Training { condition_dropout, stream, .. } if condition_dropout > 0.0 => {
                let stream = stream.branch(&format!("condition {}", gated.number));
                dropout(self.tape, &projected, condition_dropout, stream)
            }
            _ => projected,
        }
    }

    /// The sum of convolutions, biases included.
    fn sum(&mut self, parts: &[Part<E>], gradient: InputGradient) -> Batch<E> {
        for &(conv, inputs, feed) in parts {
            self.prepare(conv, 1.0, |pass, weight| pass.alone(weight, conv, inputs, feed));
        }
        let weights: Vec<Batch<E>> = parts.iter().map(|part| self.weight(part.0)).collect();
        let terms: Vec<Term<E>> = parts
            .iter()
            .zip(&weights)
            .map(|(&(conv, inputs, feed), weight)| Term { inputs, weight, shift: conv.shift, feed, gradient })
            .collect();
        let biases: Vec<&Batch<E>> = parts.iter().map(|part| &self.parameters[part.0.v + 2]).collect();
        causal(self.tape, &terms, &biases)
    }

    /// A convolution without bias.
    fn alone(&mut self, weight: &Batch<E>, conv: Conv, inputs: &[&Batch<E>], feed: Feed) -> Batch<E> {
        let term = Term { inputs, weight, shift: conv.shift, feed, gradient: InputGradient::Unwanted };
        causal(self.tape, &[term], &[])
    }

    /// Half the size: stride 2.
    fn shrink(&mut self, conv: Conv, x: &Batch<E>) -> Batch<E> {
        let ([kh, kw], (top, left)) = (conv.kernel, conv.shift.reach(conv.kernel));
        let padding = Padding { top, bottom: 0, left, right: if left + 1 == kw { 0 } else { left } };
        let window = Window { kernel: [kh, kw], stride: [2, 2], padding, dilation: [1, 1] };
        let convolution = Convolution { window, groups: 1 };
        self.prepare(conv, 1.0, |pass, weight| {
            convolve(pass.tape, x, weight, None, None, convolution, InputGradient::Unwanted)
        });
        let (weight, bias) = (self.weight(conv), self.parameters[conv.v + 2].clone());
        convolve(self.tape, x, &weight, Some(&bias), None, convolution, InputGradient::Wanted)
    }

    /// Twice the size: transposed, stride 2, cropped to the causal half.
    fn grow(&mut self, conv: Conv, x: &Batch<E>) -> Batch<E> {
        let (_, height, width, _) = shape(x);
        let window = grown(conv);
        let size = (2 * height, 2 * width);
        let run = |tape: &mut T, weight: &Batch<E>, bias: Option<&Batch<E>>| {
            conv_transpose2d(tape, x, weight, bias, None, window, size, InputGradient::Wanted)
        };
        if self.role == Role::Initialising {
            self.standardise(conv, 1.0, Outputs::Last, |pass, weight| run(pass.tape, weight, None));
        }
        let weight = self.normalised(conv, Outputs::Last);
        run(self.tape, &weight, Some(&self.parameters[conv.v + 2]))
    }

    fn weight(&mut self, conv: Conv) -> Batch<E> {
        self.normalised(conv, Outputs::First)
    }

    fn normalised(&mut self, conv: Conv, outputs: Outputs) -> Batch<E> {
        weight_norm(self.tape, &self.parameters[conv.v], &self.parameters[conv.v + 1], outputs)
    }

    /// Initialises a convolution by what it computes, where this pass is for that.
    fn prepare(&mut self, conv: Conv, scale: f64, run: impl FnOnce(&mut Self, &Batch<E>) -> Batch<E>) {
        if self.role == Role::Initialising {
            self.standardise(conv, scale, Outputs::First, run);
        }
    }

    /// Sets g and b so that the convolution's outputs have mean 0 and standard deviation `scale` over this batch.
    fn standardise(
        &mut self,
        conv: Conv,
        scale: f64,
        outputs: Outputs,
        run: impl FnOnce(&mut Self, &Batch<E>) -> Batch<E>,
    ) {
        let count = view(&self.parameters[conv.v + 1]).len();
        self.parameters[conv.v + 1] = batch(vec![E::one(); count], (1, 1, 1, count));
        let weight = self.normalised(conv, outputs);
        let [g, b] = super::standardise::standard(&run(self, &weight), scale);
        self.parameters[conv.v + 1] = g;
        self.parameters[conv.v + 2] = b;
    }
}

/// The window whose adjoint a growing layer is: cropped to the left where the kernel reaches to both sides.
pub(super) fn grown(conv: Conv) -> Window {
    let (_, left) = conv.shift.reach(conv.kernel);
    let left = if left + 1 == conv.kernel[1] { 0 } else { left };
    let padding = Padding { top: 0, bottom: 0, left, right: 0 };
    Window { kernel: conv.kernel, stride: [2, 2], padding, dilation: [1, 1] }
}

/// Every layer on the way down takes back one of those on the way up: the list does not end before.
fn pop<E: Element>(list: &mut Vec<Batch<E>>) -> Batch<E> {
    list.pop().unwrap_or_else(|| batch(Vec::new(), (0, 0, 0, 0)))
}

/// The list starts with the first layer's.
fn last<E: Element>(list: &[Batch<E>]) -> &Batch<E> {
    &list[list.len() - 1]
}
