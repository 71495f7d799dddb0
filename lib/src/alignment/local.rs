//! Local feature alignment (section 3.5): each layer learns to recover its own input from its own output.
//!
//! Training (Algorithm 2), layer by layer: z = layer(x), r from r0 by T steps on 1/2 |z - layer(r)|^2, C_l = |x - r|^2 trains
//! only that layer, and asinh(z), detached, is the next layer's x: gradients and activations are kept for one layer only.
//! Inversion (Algorithm 3), last layer first: r from r0 by the same steps, sinh of r is the target of the layer before.
//!
//! ```
//! use obverse::alignment::local::Chain;
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::tensor::{shape, zeros};
//! let graph = architectures::local_encoder("mnist", Size::new(1, 4, 4), &[("z", 3)])?;
//! let chain = Chain::of(&Network::<f32>::initialised(graph, Initialisation::Uniform, 0))?;
//! // Four convolutions, two linear layers.
//! assert_eq!(chain.layers().len(), 6);
//! assert_eq!(shape(&chain.encode(&zeros((2, 4, 4, 1)))?), (2, 1, 1, 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use super::recovery::{Aim, Recovery};
use super::settings::{Settings, Start};
use super::step::{Examples, Heads, Objective, Step, step};
use super::training::{Dataset, image_size};
use crate::net::op::{Asinh, Flatten};
use crate::net::{self, Graph, InputSpec, Mode, Network, Node, Op};
use crate::ops::InputGradient;
use crate::ops::activation::{Activation, activate};
use crate::store::npy::Scalar;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};
use crate::train::Result;
use crate::train::adam::Adam;
use crate::train::checkpoint::{self, Position};
use crate::train::course::Course;
use crate::train::evaluation::SquaredError;
use crate::train::run::{Losses, Trainee};

/// A network split into layers that are trained separately.
#[derive(Clone, Debug)]
pub struct Chain<E: Element> {
    graph: Graph,
    layers: Vec<Layer<E>>,
}

/// A convolution or linear layer (and the flattening before it), with or without the asinh after it.
#[derive(Clone, Debug)]
pub struct Layer<E: Element> {
    network: Network<E>,
    heads: Heads,
    activated: bool,
}

impl<E: Element> Layer<E> {
    /// The layer as a network of its own; its output is "z", before the activation.
    pub fn network(&self) -> &Network<E> {
        &self.network
    }

    /// The layer's network, mutable.
    pub fn network_mut(&mut self) -> &mut Network<E> {
        &mut self.network
    }

    /// z = layer(x), its recovery, C_l and its gradients.
    ///
    /// # Errors
    /// None in a layer that [`Chain::of`] has made.
    pub fn step(&self, objective: &Objective, x: &Batch<E>, r: &Batch<E>) -> net::Result<Step<E>> {
        step(&self.network, &self.heads, objective, &Examples { x, labels: None, r }, None)
    }

    /// What the next layer sees of z.
    pub fn activate(&self, z: &Batch<E>) -> Batch<E> {
        match self.activated {
            true => activate(&mut Tape::off(), z, Activation::Asinh),
            false => z.clone(),
        }
    }

    /// x recovered from the layer's activated output, starting from `r`.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn recover(&self, recovery: &Recovery, output: &Batch<E>, r: &Batch<E>) -> net::Result<Batch<E>> {
        let z = match self.activated {
            true => activate(&mut Tape::off(), output, Activation::Sinh),
            false => output.clone(),
        };
        recovery.recover(&mut Tape::off(), &self.network, &[Aim::at(self.heads.latent, &z)], r)
    }

    /// Height, width and channels of the layer's input.
    fn input(&self) -> (usize, usize, usize) {
        image_size(self.network.graph())
    }
}

impl<E: Element> Chain<E> {
    /// Cuts a network into its layers.
    ///
    /// # Errors
    /// A node that is not a convolution, a linear layer, flatten or asinh, or that does not read the one before: named.
    pub fn of(network: &Network<E>) -> net::Result<Self> {
        let graph = network.graph();
        let mut layers: Vec<Layer<E>> = Vec::new();
        let (mut waiting, mut first_parameter) = (Vec::new(), 0);
        for (place, node) in graph.nodes.iter().enumerate() {
            let refused = |reason: &str| Err(net::Error::Node { node: node.name.clone(), reason: reason.to_string() });
            if graph.sources(place) != [place.checked_sub(1)] {
                return refused(
                    "local alignment takes layers one after the other; this one does not read the one before",
                );
            }
            match (&node.op, layers.last_mut()) {
                (Op::Flatten(Flatten), _) => waiting.push(place),
                (Op::Asinh(Asinh), Some(layer)) if waiting.is_empty() && !layer.activated => layer.activated = true,
                (Op::Conv2d { .. } | Op::Linear { .. }, _) => {
                    waiting.push(place);
                    let count = node.op.parameters(graph.input_sizes(place)).len();
                    let parameters = network.parameters()[first_parameter..first_parameter + count].to_vec();
                    first_parameter += count;
                    layers.push(layer(graph, &std::mem::take(&mut waiting), parameters)?);
                }
                _ => {
                    return refused(
                        "local alignment takes convolutions, linear layers, flatten, and asinh after a layer",
                    );
                }
            }
        }
        Ok(Self { graph: graph.clone(), layers })
    }

    /// The graph of the whole network.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Layer<E>] {
        &self.layers
    }

    /// The layers, mutable.
    pub fn layers_mut(&mut self) -> &mut [Layer<E>] {
        &mut self.layers
    }

    /// The whole network, with the layers' parameters.
    pub fn network(&self) -> Network<E> {
        let parameters = self.layers.iter().flat_map(|layer| layer.network.parameters().iter().cloned()).collect();
        Network::assembled(self.graph.clone(), parameters)
    }

    /// The output of the last layer, (N, 1, 1, Z), holding one layer's activations at a time.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn encode(&self, x: &Batch<E>) -> net::Result<Batch<E>> {
        let mut x = x.clone();
        for layer in &self.layers {
            let trace = layer.network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
            x = layer.activate(layer.network.value(&trace, layer.heads.latent)?);
        }
        Ok(x)
    }

    /// Images recovered from the last layer's output (Algorithm 3); `start` draws the r0 of each layer for the images from
    /// number `first` on.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn recover(
        &self,
        recovery: &Recovery,
        z: &Batch<E>,
        start: Start,
        stream: &Stream,
        first: usize,
    ) -> net::Result<Batch<E>> {
        let mut output = z.clone();
        for (number, layer) in self.layers.iter().enumerate().rev() {
            let stream = stream.branch(&format!("layer {number}"));
            let r = start.draw(&stream, first, shape(z).0, layer.input());
            output = layer.recover(recovery, &output, &r)?;
        }
        Ok(output)
    }
}

/// The layer of neighbouring nodes, the last of which holds the parameters.
fn layer<E: Element>(graph: &Graph, places: &[usize], parameters: Vec<Batch<E>>) -> net::Result<Layer<E>> {
    let input = match places.first().copied().filter(|&first| first > 0) {
        None => graph.input.clone(),
        Some(first) => InputSpec::plain(graph.input_size(first)),
    };
    let mut last = net::INPUT.to_string();
    let mut nodes = Vec::new();
    for &place in places {
        let name = graph.nodes[place].name.clone();
        nodes.push(Node::new(name.clone(), graph.nodes[place].op.clone(), last));
        last = name;
    }
    let graph = Graph::new(input, nodes, [("z".to_string(), last)].into())?;
    let network = Network::assembled(graph, parameters);
    let heads = Heads::of(network.graph())?;
    Ok(Layer { network, heads, activated: false })
}

/// A chain in training.
pub struct LocalAlignment<'a, E: Element> {
    chain: Chain<E>,
    adams: Vec<Adam<E>>,
    settings: Settings,
    course: Course,
    examples: Dataset<'a>,
    test: Option<Dataset<'a>>,
}

impl<'a, E: Element + Scalar> LocalAlignment<'a, E> {
    /// A chain to be trained on `examples` and evaluated on `test`.
    pub fn new(
        chain: Chain<E>,
        settings: Settings,
        course: Course,
        examples: Dataset<'a>,
        test: Option<Dataset<'a>>,
    ) -> Self {
        let adams = chain.layers.iter().map(|layer| Adam::new(layer.network.parameters())).collect();
        Self { chain, adams, settings, course, examples, test }
    }

    /// The chain.
    pub fn chain(&self) -> &Chain<E> {
        &self.chain
    }
}

/// The error of `images` recovered layer by layer from their latents alone.
///
/// # Errors
/// Images that cannot be read.
pub(crate) fn local_recovery_error<E: Element + Scalar>(
    chain: &Chain<E>,
    settings: &Settings,
    data: &Dataset,
    seed: u64,
) -> Result<SquaredError> {
    let stream = Stream::new(seed, "recovery", 0);
    SquaredError::of(data.images, |x, rows| {
        Ok(chain.recover(&settings.recovery(), &chain.encode(x)?, settings.start, &stream, rows[0])?)
    })
}

impl<E: Element + Scalar> Trainee for LocalAlignment<'_, E> {
    fn update(&mut self, position: &Position, rows: &[usize]) -> Result<Losses> {
        let (h, w, c) = image_size(&self.chain.graph);
        let mut x = batch(self.examples.images.batch::<E>(rows)?, (rows.len(), h, w, c));
        let adam = self.course.adam(position);
        let objective = self.settings.objective(rows.len());
        let stream = self.course.stream("start", position.update);
        let mut total = 0.0;
        for (number, (layer, moments)) in self.chain.layers.iter_mut().zip(&mut self.adams).enumerate() {
            let stream = stream.branch(&format!("layer {number}"));
            let r = self.settings.start.draw(&stream, 0, rows.len(), layer.input());
            let step = layer.step(&objective, &x, &r)?;
            let values = (view(&x).len() / rows.len()) as f64;
            x = layer.activate(&step.latents);
            moments.step(&mut layer.network, &step.gradients, &adam, |name| self.settings.limit(name));
            total += step.squared_error / values;
        }
        // The mean over layers of each one's mean squared error.
        Ok(vec![("layer_mse", total / self.chain.layers.len() as f64)])
    }

    fn evaluate(&mut self, _: u64) -> Result<Map<String, Value>> {
        let Some(test) = &self.test else { return Ok(Map::new()) };
        Ok(local_recovery_error(&self.chain, &self.settings, test, self.course.seed)?.test_metrics())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let layers = self.chain.layers.iter().zip(&self.adams).enumerate();
        layers.into_iter().try_for_each(|(number, (layer, adam))| {
            checkpoint::save(folder, &format!("layer{number}"), &layer.network, adam)
        })
    }

    fn restore(&mut self, folder: &Path) -> Result<()> {
        for (number, (layer, adam)) in self.chain.layers.iter_mut().zip(&mut self.adams).enumerate() {
            *adam = checkpoint::restore(folder, &format!("layer{number}"), &mut layer.network)?;
        }
        Ok(())
    }
}
