//! A network run backwards with its own weights: from the output of a node, layer by layer, to an image.
//!
//! A layer y = r(W x + c) is reversed by x = r(scale W^T y + b), as in the generative model; r is the rectifier of the layer
//! below, and of pixels whose lowest value is 0. Where dropout lies between, it drops again in training. Scales and biases are
//! estimated on images (least squares, one scale per layer and one bias per channel, each layer from the layers above), or those of
//! the model: no bias, and the scale for which W x gives back y, 2 / |W_i|^2 below a rectifier and 1 / |W_i|^2 elsewhere.
//!
//! Source: reverse nets, sections 2 and 4; convolutions, which the notes leave open, by the pullback's transposed convolution.
//!
//! ```
//! use obverse::net::{Initialisation, Mode, Network, Size, architectures};
//! use obverse::reversible::reverse::Reverse;
//! use obverse::tensor::{Tape, shape, zeros};
//! let graph = architectures::classifier("connected", Size::new(1, 4, 4), 10, 0.5)?;
//! let network = Network::<f32>::initialised(graph, Initialisation::He, 0);
//! let reverse = Reverse::of(network.graph())?;
//! let features = network.graph().size(reverse.start()).channels;
//! let fits = reverse.model_fits(&network);
//! let images = reverse.images(&mut Tape::off(), &network, &zeros((2, 1, 1, features)), &fits, Mode::Inference)?;
//! assert_eq!(shape(&images), (2, 4, 4, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::{Error, Result};
use crate::net::op::{Add, Dropout, Flatten, GlobalAvgPool};
use crate::net::{self, Graph, Mode, Network, Op, Trace};
use crate::ops::activation::{Activation, activate};
use crate::ops::arithmetic::combine;
use crate::ops::dropout::dropout;
use crate::ops::normalise::normalise;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};

/// What one node is reversed by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reversed {
    /// The weights of the node at this place, transposed, then scale and bias.
    Layer { place: usize, below_rectifier: bool },
    /// The node's transposed map, times a factor.
    Spread { place: usize, factor: f64 },
    /// max(x, slope x).
    Rectify { slope: f64 },
    /// The node's dropout.
    Drop { place: usize, p: f64 },
}

/// The scale and bias of a layer.
#[derive(Clone, Debug)]
pub struct Fit<E: Element> {
    /// The factor of W^T y.
    pub scale: f64,
    /// (1, 1, 1, C): one for each channel of the layer's input.
    pub bias: Batch<E>,
}

/// The path from a node back to the input.
#[derive(Clone, Debug)]
pub struct Reverse {
    start: usize,
    steps: Vec<Reversed>,
}

impl Reverse {
    /// The path from the layer below the softmax, the rectifier that "logits" reads (with or without dropout); for a network without
    /// logits from its only output.
    ///
    /// # Errors
    /// Several outputs and no logits; a node on the path that cannot be reversed.
    pub fn of(graph: &Graph) -> Result<Self> {
        let start = match graph.output("logits") {
            Ok(logits) => below(graph, logits)?,
            Err(_) if graph.outputs.len() == 1 => {
                graph.outputs.keys().next().map_or(Ok(0), |output| graph.output(output))?
            }
            Err(error) => return Err(error.into()),
        };
        Self::from(graph, start)
    }

    /// The path from the node at `start`.
    ///
    /// # Errors
    /// A node on the path that cannot be reversed; it is named.
    pub fn from(graph: &Graph, start: usize) -> Result<Self> {
        let (mut steps, mut at) = (Vec::new(), Some(start));
        while let Some(place) = at {
            let &[source] = graph.sources(place) else { return Err(no_reverse(graph, place)) };
            // The rectifier or dropout of the representation itself has been passed.
            steps.extend(
                step(graph, place)?
                    .filter(|step| place != start || matches!(step, Reversed::Layer { .. } | Reversed::Spread { .. })),
            );
            at = source;
        }
        if pixels_are_rectified(graph) {
            steps.push(Reversed::Rectify { slope: 0.0 });
        }
        mark_rectified(&mut steps);
        Ok(Self { start, steps })
    }

    /// The place of the node it starts from.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The scales and biases of the generative model, one per layer on the path.
    pub fn model_fits<E: Element>(&self, network: &Network<E>) -> Vec<Fit<E>> {
        let fit = |step: &Reversed| match *step {
            Reversed::Layer { place, below_rectifier } => Some(model_fit(network, place, below_rectifier)),
            _ => None,
        };
        self.steps.iter().filter_map(fit).collect()
    }

    /// Images (N, H, W, C) of representations, as the node at the start computes them; `fits` holds one per layer on the path.
    ///
    /// # Errors
    /// Another number of fits.
    pub fn images<E: Element>(
        &self,
        tape: &mut Tape<E>,
        network: &Network<E>,
        representation: &Batch<E>,
        fits: &[Fit<E>],
        mode: Mode,
    ) -> Result<Batch<E>> {
        let mut fits = fits.iter();
        self.walk(tape, network, representation, mode, |_, _| {
            let what = "scales and biases, one a layer";
            fits.next().cloned().ok_or(Error::TooFew { what, needed: self.layers(), found: 0 })
        })
    }

    /// The images of a trace's own representations, with scales and biases estimated on these images; constants of
    /// the tape.
    ///
    /// # Errors
    /// A trace without the inputs of the layers on the path.
    pub fn fitted<E: Element>(
        &self,
        tape: &mut Tape<E>,
        network: &Network<E>,
        trace: &Trace<E>,
        mode: Mode,
    ) -> Result<(Batch<E>, Vec<Fit<E>>)> {
        let mut fits = Vec::with_capacity(self.layers());
        let images = self.walk(tape, network, network.value(trace, self.start)?, mode, |place, back| {
            let missing = || net::Error::NotComputed { node: network.graph().nodes[place].name.clone() };
            let fit = fit(network.input_of(trace, place).ok_or_else(missing)?, back);
            fits.push(fit.clone());
            Ok(fit)
        })?;
        Ok((images, fits))
    }

    /// The number of layers with weights on the path.
    fn layers(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Reversed::Layer { .. })).count()
    }

    /// Goes down the path; `fit` gives scale and bias of the layer at a place from its W^T y.
    fn walk<E: Element>(
        &self,
        tape: &mut Tape<E>,
        network: &Network<E>,
        representation: &Batch<E>,
        mode: Mode,
        mut fit: impl FnMut(usize, &Batch<E>) -> Result<Fit<E>>,
    ) -> Result<Batch<E>> {
        let graph = network.graph();
        let mut x = representation.clone();
        for step in &self.steps {
            x = match (*step, mode) {
                (Reversed::Layer { place, .. }, _) => {
                    let back = network.transposed(tape, place, &x).ok_or_else(|| no_reverse(graph, place))?;
                    let fit = fit(place, &back)?;
                    let (_, height, width, channels) = shape(&back);
                    let bias = batch(view(&fit.bias).repeat(height * width), (1, height, width, channels));
                    combine(tape, E::of(fit.scale), &back, E::one(), &bias)
                }
                (Reversed::Spread { place, factor }, _) => {
                    let back = network.transposed(tape, place, &x).ok_or_else(|| no_reverse(graph, place))?;
                    if factor == 1.0 { back } else { combine(tape, E::of(factor), &back, E::zero(), &back) }
                }
                (Reversed::Rectify { slope }, _) => activate(tape, &x, Activation::LeakyRelu { slope }),
                (Reversed::Drop { place, p }, Mode::Training(stream)) => {
                    dropout(tape, &x, p, stream.branch(&graph.nodes[place].name))
                }
                (Reversed::Drop { .. }, Mode::Inference) => x,
            };
        }
        Ok(match graph.input.normalisation() {
            None => x,
            // x std + mean, as a normalisation by the inverse numbers.
            Some((mean, std)) => {
                let inverse: Vec<f64> = std.iter().map(|std| std.recip()).collect();
                let shift: Vec<f64> = mean.iter().zip(&inverse).map(|(mean, inverse)| -mean * inverse).collect();
                normalise(tape, &x, &shift, &inverse)
            }
        })
    }
}

/// Whether pixels can be the model's x, which is not negative.
fn pixels_are_rectified(graph: &Graph) -> bool {
    graph.input.range[0] == 0.0 && graph.input.normalisation().is_none()
}

/// The node that another reads, through dropout.
fn below(graph: &Graph, place: usize) -> Result<usize> {
    match *graph.sources(place) {
        [Some(source)] if matches!(graph.nodes[source].op, Op::Dropout { .. }) => below(graph, source),
        [Some(source)] => Ok(source),
        _ => Err(no_reverse(graph, place)),
    }
}

/// How a node is reversed; `None` where it is ignored.
fn step(graph: &Graph, place: usize) -> Result<Option<Reversed>> {
    let op = &graph.nodes[place].op;
    Ok(Some(match op {
        Op::Conv2d { .. } | Op::ConvTranspose2d { .. } | Op::Linear { .. } => {
            Reversed::Layer { place, below_rectifier: false }
        }
        Op::Flatten(Flatten) | Op::Reshape { .. } => Reversed::Spread { place, factor: 1.0 },
        Op::AvgPool2d { .. } => {
            // A mean goes back to each of its pixels.
            let area = op.window().map_or(1, |window| window.kernel[0] * window.kernel[1]);
            Reversed::Spread { place, factor: area as f64 }
        }
        Op::GlobalAvgPool(GlobalAvgPool) => {
            let size = graph.input_size(place);
            Reversed::Spread { place, factor: (size.height * size.width) as f64 }
        }
        Op::Dropout(Dropout { p }) => Reversed::Drop { place, p: *p },
        _ => match op.rectifier() {
            Some(slope) => Reversed::Rectify { slope },
            None => return Err(no_reverse(graph, place)),
        },
    }))
}

fn no_reverse(graph: &Graph, place: usize) -> Error {
    let node = &graph.nodes[place];
    let operation = node.to_json()["op"].as_str().unwrap_or_default().to_string();
    let reason = match node.op {
        Op::MaxPool2d { .. } => "it does not keep the position of the largest value; use strides or average pooling",
        Op::BatchNorm { .. } => "in training it depends on the batch; fold it into its layer, or leave it out",
        Op::Concat(_) | Op::Add(Add) => "its inputs do not follow from their sum or sequence",
        _ => "expected convolutions, linear layers, rectifiers, dropout, average pooling and changes of shape",
    };
    Error::NoReverse { node: node.name.clone(), operation, reason }
}

/// Marks the layers that are followed by a rectifier before the next layer.
fn mark_rectified(steps: &mut [Reversed]) {
    let mut rectified = false;
    for step in steps.iter_mut().rev() {
        match step {
            Reversed::Rectify { .. } => rectified = true,
            Reversed::Layer { below_rectifier, .. } => *below_rectifier = std::mem::take(&mut rectified),
            _ => {}
        }
    }
}

/// The scale by which a layer's W x gives back y, and no bias.
fn model_fit<E: Element>(network: &Network<E>, place: usize, below_rectifier: bool) -> Fit<E> {
    let graph = network.graph();
    let specs = graph.parameters_at(place);
    let weight = specs.first().map_or(&[][..], |(which, _)| view(&network.parameters()[*which]));
    let outputs = graph.size(place).channels;
    let square: f64 = weight.iter().map(|w| w.wide() * w.wide()).sum::<f64>() / outputs as f64;
    let factor = if below_rectifier { 2.0 } else { 1.0 };
    let channels = graph.input_size(place).channels;
    Fit { scale: factor / square.max(f64::MIN_POSITIVE), bias: crate::tensor::zeros((1, 1, 1, channels)) }
}

/// The scale and biases with the least sum of squares |x - scale back - b|^2; sums in the order of rows.
fn fit<E: Element>(x: &Batch<E>, back: &Batch<E>) -> Fit<E> {
    let channels = shape(x).3.max(1);
    let rows = (view(x).len() / channels).max(1) as f64;
    let (mut of_x, mut of_back) = (vec![0.0; channels], vec![0.0; channels]);
    let (mut product, mut square) = (0.0, 0.0);
    for (x, back) in view(x).chunks_exact(channels).zip(view(back).chunks_exact(channels)) {
        for (channel, (x, back)) in x.iter().zip(back).enumerate() {
            let (x, back) = (x.wide(), back.wide());
            of_x[channel] += x;
            of_back[channel] += back;
            product += x * back;
            square += back * back;
        }
    }
    let pairs = || of_x.iter().zip(&of_back);
    let covariance = product - pairs().map(|(x, back)| x * back).sum::<f64>() / rows;
    let variance = square - of_back.iter().map(|back| back * back).sum::<f64>() / rows;
    // If W^T y is constant, only the mean can be estimated.
    let scale = if variance > f64::EPSILON * square { covariance / variance } else { 0.0 };
    let bias = pairs().map(|(x, back)| E::of((x - scale * back) / rows)).collect();
    Fit { scale, bias: batch(bias, (1, 1, 1, channels)) }
}
