//! A run through the layers, for their outputs or to initialise them.

use crate::density::Condition;
use crate::density::architecture::Architecture;
use crate::density::parameters::{Conv, Gated, Layers, Stream};
use crate::density::standardise::standard;
use crate::ops::arithmetic::combine;
use crate::ops::causal::{Dropout, Feed, Term, causal};
use crate::ops::conv_transpose::conv_transpose2d;
use crate::ops::convolution::{Convolution, convolve};
use crate::ops::dropout::dropout;
use crate::ops::gated::gate;
use crate::ops::shift::shift;
use crate::ops::upsample::bilinear;
use crate::ops::weight_norm::{Outputs, weight_norm};
use crate::ops::window::{Padding, Window};
use crate::ops::{InputGradient, linear};
use crate::tensor::{Batch, Element, Tape, batch, random, shape, view};

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

/// Maps at the size of a level; a constant is not recorded.
pub(super) fn resized<E: Element>(
    tape: &mut Tape<E>,
    maps: &Batch<E>,
    size: (usize, usize),
    gradient: InputGradient,
) -> Batch<E> {
    match gradient {
        InputGradient::Wanted => bilinear(tape, maps, size),
        InputGradient::Unwanted => bilinear(&mut crate::tensor::Tape::off(), maps, size),
    }
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::density) enum Role {
    /// To compute outputs.
    Computing,
    /// To set the scales and biases so that each layer's outputs on this batch have mean 0 and deviation 1 (Salimans & Kingma 2016, section 3).
    Initialising,
}

/// The condition as blocks take it: a vector, or maps at each level's size.
pub(super) struct Projected<E: Element> {
    pub(super) levels: Vec<Batch<E>>,
    pub(super) gradient: InputGradient,
}

/// A run through the layers.
pub(in crate::density) struct Pass<'a, E: Element> {
    pub(super) tape: &'a mut Tape<E>,
    pub(super) layers: &'a Layers,
    pub(super) architecture: &'a Architecture,
    pub parameters: Vec<Batch<E>>,
    pub(super) condition: Option<Projected<E>>,
    pub(super) mode: Mode,
    pub(super) role: Role,
}

/// A convolution in a sum: its parameters, its inputs and their activation.
type Summand<'a, E> = (Conv, &'a [&'a Batch<E>], Feed);

impl<E: Element> Pass<'_, E> {
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
        let mut parts: Vec<Summand<E>> = vec![(gated.conv_in, &first, Feed::ConcatElu)];
        parts.extend(gated.skip.map(|skip| (skip, beside, Feed::ConcatElu)));
        let c = self.sum(&parts, InputGradient::Wanted);
        let c = self.closed(gated, level, &c);
        gate(self.tape, x, &c)
    }

    /// The block's second convolution with the condition's biases: the inputs of its gate.
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
    fn sum(&mut self, summands: &[Summand<E>], gradient: InputGradient) -> Batch<E> {
        for &(conv, inputs, feed) in summands {
            self.prepare(conv, 1.0, |pass, weight| pass.alone(weight, conv, inputs, feed));
        }
        let weights: Vec<Batch<E>> = summands.iter().map(|summand| self.weight(summand.0)).collect();
        let terms: Vec<Term<E>> = summands
            .iter()
            .zip(&weights)
            .map(|(&(conv, inputs, feed), weight)| Term { inputs, weight, shift: conv.shift, feed, gradient })
            .collect();
        let biases: Vec<&Batch<E>> = summands.iter().map(|summand| &self.parameters[summand.0.v + 2]).collect();
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
        let convolution = Convolution { window: grown(conv), groups: 1 };
        let size = (2 * height, 2 * width);
        let run = |tape: &mut Tape<E>, weight: &Batch<E>, bias: Option<&Batch<E>>| {
            conv_transpose2d(tape, x, weight, bias, None, convolution, size, InputGradient::Wanted)
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

    /// Initialises a convolution from its outputs, if this pass is for that.
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
        let [g, b] = standard(&run(self, &weight), scale);
        self.parameters[conv.v + 1] = g;
        self.parameters[conv.v + 2] = b;
    }
}

/// The window whose adjoint a growing layer is: cropped to the left where the kernel reaches to both sides.
pub(in crate::density) fn grown(conv: Conv) -> Window {
    let (_, left) = conv.shift.reach(conv.kernel);
    let left = if left + 1 == conv.kernel[1] { 0 } else { left };
    let padding = Padding { top: 0, bottom: 0, left, right: 0 };
    Window { kernel: conv.kernel, stride: [2, 2], padding, dilation: [1, 1] }
}

/// Every layer on the way down takes one output of the way up, so the list is not empty.
fn pop<E: Element>(list: &mut Vec<Batch<E>>) -> Batch<E> {
    list.pop().unwrap_or_else(|| batch(Vec::new(), (0, 0, 0, 0)))
}

/// The list starts with the first layer's.
fn last<E: Element>(list: &[Batch<E>]) -> &Batch<E> {
    &list[list.len() - 1]
}
