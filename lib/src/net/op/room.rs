//! What a room of an operation has: what the operation is ([`Operation`]), how the processor computes it ([`Compute`]), examples of it, and
//! what is handed between it and a network.

use super::Op;
use crate::net::size::Size;
use crate::ops::InputGradient;
use crate::ops::weight::{Turned, Weight};
use crate::ops::window::Window;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape};

/// A parameter (or running statistic) that a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Its name within the node: weight, bias, …
    pub name: &'static str,
    /// Its shape as in PyTorch's files.
    pub shape: Vec<usize>,
    /// Whether training changes it by its gradient; running statistics are not trained.
    pub trained: bool,
    /// How it starts.
    pub start: Start,
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As the network's initialisation has it.
    Drawn,
    /// Uniform in ±1 / sqrt(fan in), the fan in being that of the node's weight.
    Bias,
    /// All ones.
    Ones,
    /// All zeros.
    Zeros,
    /// All 1/4, as slopes of rectifiers start (He et al. 2015).
    Quarters,
}

impl ParameterSpec {
    /// Those of a layer of weights: a weight of this shape, and a bias of this length where there is one.
    pub(super) fn of_layer(weight: Vec<usize>, bias: Option<usize>) -> Vec<Self> {
        let bias = bias.map(|length| Self { name: "bias", shape: vec![length], trained: true, start: Start::Bias });
        let weight = Self { name: "weight", shape: weight, trained: true, start: Start::Drawn };
        std::iter::once(weight).chain(bias).collect()
    }

    /// Vectors of as many trained values as the one input has channels.
    pub(super) fn of_channels(inputs: &[Size], vectors: &[(&'static str, Start)]) -> Vec<Self> {
        let shape = vec![inputs.first().map_or(0, |size| size.channels)];
        vectors.iter().map(|&(name, start)| Self { name, shape: shape.clone(), trained: true, start }).collect()
    }

    /// The number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What an operation is, apart from how an engine computes it.
pub(crate) trait Operation {
    /// The size of the result, or what was expected of the inputs.
    fn output(&self, inputs: &[Size]) -> Result<Size, String>;

    /// The parameters that it holds for inputs of these sizes.
    fn parameters(&self, _inputs: &[Size]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// The window that it slides over its input.
    fn window(&self) -> Option<Window> {
        None
    }

    /// The slope below zero of a rectifier, max(x, slope x); `None` of anything else.
    fn rectifier(&self) -> Option<f64> {
        None
    }

    /// Whether it computes the rectifier after it in the same pass.
    fn takes_rectifier(&self) -> bool {
        false
    }

    /// Whether it computes what the operation before it does, and reads that one's input instead.
    fn takes_before(&self, _before: &Op) -> bool {
        false
    }

    /// A layer of weights without its bias.
    fn without_bias(&self) -> Option<Op> {
        None
    }
}

/// Where an operation stands in a network: all that its result depends on.
pub(crate) struct Site<'a, E: Element> {
    /// The node's name.
    pub name: &'a str,
    /// Its parameters and sizes.
    pub form: Form<'a, E>,
    /// The values of its inputs, (N, H, W, C) each.
    pub inputs: Vec<&'a Batch<E>>,
    /// Which inputs depend on the network's own: the cotangents of others are not read.
    pub wanted: Vec<bool>,
    /// The slope of the rectifier that is computed with it.
    pub rectifier: Option<E>,
    /// In training the stream that all nodes draw from, each by its name.
    pub training: Option<Stream>,
    /// Whether the gradient of its input is wanted.
    pub gradient: InputGradient,
}

impl<'a, E: Element> Site<'a, E> {
    /// The stream that it draws from, in training.
    pub(super) fn stream(&self) -> Option<Stream> {
        self.training.map(|stream| stream.branch(self.name))
    }

    /// The value of its first input.
    pub(super) fn x(&self) -> &'a Batch<E> {
        self.inputs[0]
    }
}

/// An operation's parameters and sizes.
#[derive(Clone, Copy)]
pub(crate) struct Form<'a, E: Element> {
    /// Its parameters, in memory shapes.
    pub parameters: &'a [Batch<E>],
    /// What products read of its weight, where that does not change.
    pub turned: Option<&'a Turned<E>>,
    /// The sizes of its inputs.
    pub sizes: &'a [Size],
    /// The size of its result.
    pub size: Size,
    /// Whether it computes what the operation before it does ([`Operation::takes_before`]).
    pub takes_before: bool,
}

impl<'a, E: Element> Form<'a, E> {
    /// The weight, its first parameter. Only where the tape does not record does nothing change it before it is used again.
    pub(super) fn weight(&self, tape: &Tape<E>) -> Weight<'a, E> {
        let weight = &self.parameters[0];
        match self.turned.filter(|_| !tape.records()) {
            Some(turned) => Weight::constant(weight, turned),
            None => weight.into(),
        }
    }

    /// The size of its first input.
    pub(super) fn from(&self) -> Size {
        self.sizes.first().copied().unwrap_or(self.size)
    }
}

/// A cotangent of what a node computed. The rectifier computed with it, if any, is given by its result and its slope: the cotangent is
/// that of the rectifier's result.
#[derive(Clone, Copy)]
pub(crate) struct Cotangent<'a, E: Element> {
    /// The cotangent, (N, H, W, C). There may be many for one image of the site.
    pub value: &'a Batch<E>,
    /// What the rectifier gave, and its slope.
    pub slopes: Option<(&'a Batch<E>, E)>,
}

/// What an operation computed.
pub(crate) struct Computed<E: Element> {
    /// The result, (N, H, W, C).
    pub value: Batch<E>,
    /// Running statistics after a batch in training: which of its parameters, and the new value.
    pub running: Vec<(usize, Batch<E>)>,
}

impl<E: Element> From<Batch<E>> for Computed<E> {
    fn from(value: Batch<E>) -> Self {
        Self { value, running: Vec::new() }
    }
}

/// y = scale (x - mean) + shift of each channel.
pub(crate) struct Affine {
    /// One number per channel.
    pub mean: Vec<f64>,
    /// One number per channel.
    pub scale: Vec<f64>,
    /// One number per channel.
    pub shift: Vec<f64>,
}

/// How dfdx's tape on the processor computes an operation.
pub(crate) trait Compute: Operation {
    /// What it computes, with the rectifier of the site.
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E>;

    /// The cotangents of its inputs, in their order; what is linear in its one input need not say it.
    fn pullback<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>, cotangent: Cotangent<E>) -> Vec<Batch<E>> {
        self.adjoint(tape, site.form, cotangent).into_iter().collect()
    }

    /// The transposed map of what is linear in its one input up to a bias.
    fn adjoint<E: Element>(&self, _tape: &mut Tape<E>, _form: Form<E>, _cotangent: Cotangent<E>) -> Option<Batch<E>> {
        None
    }

    /// Scale and shift of each channel, if it is nothing else at inference.
    fn affine<E: Element>(&self, _parameters: &[Batch<E>]) -> Option<Affine> {
        None
    }

    /// Itself with a scale and a shift of each channel folded in, and its parameters.
    fn absorb<E: Element>(&self, _parameters: &[Batch<E>], _by: &Affine) -> Option<(Op, Vec<Batch<E>>)> {
        None
    }
}

/// Small sites of an operation, for the tests that all must pass: its settings, and the sizes of its inputs. Every setting that changes
/// what is computed should be in one of them.
#[cfg(test)]
pub(crate) trait Examples: Sized {
    /// At least one.
    fn examples() -> Vec<(Self, Vec<Size>)>;

    /// A normal value as one at which it is smooth.
    fn domain(value: f64) -> f64 {
        value
    }
}
