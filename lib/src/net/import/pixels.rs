//! The pixels that a network was trained on, y = (low + (high - low) x - mean) / std for x in [0, 1], and their order.
//!
//! A network that is imported takes RGB in [0, 1]: range, mean and std become the normalisation of its input, and the first
//! convolutions of one trained on BGR have the channels of their filters turned round.

use crate::net::error::{Error, Result};
use crate::net::graph::{Graph, INPUT, InputSpec};
use crate::net::network::Network;
use crate::net::op::{Conv2d, Op};
use crate::tensor::{batch, shape, view};

/// The order of the channels of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first, as OpenCV and Caffe have it.
    Bgr,
}

/// What a network was trained on. Mean and std are in the network's own units and order of channels; a single number holds
/// for all of them, and none is 0 or 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// What black and white are before the mean is subtracted.
    pub range: [f64; 2],
    /// Subtracted from each channel.
    pub mean: Vec<f64>,
    /// Divides each channel.
    pub std: Vec<f64>,
    /// The order of the channels.
    pub order: ChannelOrder,
}

/// The names of the usual conventions.
pub const CONVENTIONS: [&str; 6] = ["none", "imagenet", "cifar10", "inception", "clip", "caffe"];

impl Pixels {
    /// The pixels of a convention: `none` 0..1; `imagenet` torchvision's; `cifar10` the mean and std of that dataset;
    /// `inception` -1..1; `clip` OpenAI's; `caffe` BGR in 0..255 less 104, 117, 123.
    pub fn of_convention(name: &str) -> Option<Self> {
        let rgb = |mean: &[f64], std: &[f64]| Self {
            range: [0.0, 1.0],
            mean: mean.to_vec(),
            std: std.to_vec(),
            order: ChannelOrder::Rgb,
        };
        Some(match name {
            "none" => rgb(&[], &[]),
            "imagenet" => rgb(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]),
            "cifar10" => rgb(&[0.4914, 0.4822, 0.4465], &[0.2023, 0.1994, 0.2010]),
            "inception" => rgb(&[0.5], &[0.5]),
            "clip" => rgb(&[0.48145466, 0.4578275, 0.40821073], &[0.26862954, 0.26130258, 0.27577711]),
            "caffe" => Self { range: [0.0, 255.0], order: ChannelOrder::Bgr, ..rgb(&[104.0, 117.0, 123.0], &[]) },
            _ => return None,
        })
    }

    /// The network, which takes such pixels, as one that takes RGB in [0, 1].
    ///
    /// # Errors
    /// Numbers that are not one or one a channel, an empty range, a std that is not positive; channels to turn round where
    /// something else than a convolution of one group reads them.
    pub fn before(&self, network: Network<f32>) -> Result<Network<f32>> {
        let [low, high] = self.range;
        if !(low < high && low.is_finite() && high.is_finite()) {
            return Err(broken(format!("range: expected a low and a higher number, found {low} and {high}")));
        }
        let graph = network.graph();
        let channels = graph.input.shape.channels;
        let mut mean: Vec<f64> = spread(&self.mean, channels, 0.0).map(|mean| (mean - low) / (high - low)).collect();
        let mut std: Vec<f64> = spread(&self.std, channels, 1.0).map(|std| std / (high - low)).collect();
        let mut parameters = network.parameters().to_vec();
        if self.order == ChannelOrder::Bgr {
            mean.reverse();
            std.reverse();
            for which in first_filters(graph)? {
                let filters = &parameters[which];
                let turned = view(filters).chunks(channels).flat_map(|tap| tap.iter().rev().copied()).collect();
                parameters[which] = batch(turned, shape(filters));
            }
        }
        let input = InputSpec { mean, std, ..graph.input.clone() };
        Ok(Network::assembled(Graph::new(input, graph.nodes.clone(), graph.outputs.clone())?, parameters))
    }
}

fn broken(reason: String) -> Error {
    Error::Node { node: INPUT.into(), reason }
}

/// A number for each channel where one stands for all, or none for `other`.
fn spread(values: &[f64], channels: usize, other: f64) -> impl Iterator<Item = f64> {
    match values {
        [] => vec![other; channels],
        [one] => vec![*one; channels],
        values => values.to_vec(),
    }
    .into_iter()
}

/// Which parameters are the filters of the convolutions that read the input; nothing else may read it.
fn first_filters(graph: &Graph) -> Result<Vec<usize>> {
    let reads_input = |place: usize| graph.sources(place).contains(&None);
    let other = (0..graph.nodes.len())
        .find(|&place| reads_input(place) && !matches!(graph.nodes[place].op, Op::Conv2d(Conv2d { groups: 1, .. })));
    if let Some(place) = other {
        return Err(broken(format!(
            "channels in BGR: expected only convolutions of one group to read the input, found node \"{}\"; turn the \
             images' channels round yourself, or the network's",
            graph.nodes[place].name
        )));
    }
    let parameters = graph.parameters();
    let is_filter = |which: &usize| reads_input(parameters[*which].0) && parameters[*which].1.name == "weight";
    Ok((0..parameters.len()).filter(is_filter).collect())
}
