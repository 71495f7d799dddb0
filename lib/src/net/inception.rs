//! Inception-v3 as the Fréchet inception distance defines it: the network of 2015 as pytorch-fid runs it.
//!
//! It differs from torchvision's in three places: average pools do not count the padding, the last block's pool takes the
//! largest value, and the weights are those of the TensorFlow graph of 2015-12-05. Nodes bear PyTorch's module names
//! (`Mixed_5b.branch1x1`), each a convolution `….conv` with batch normalisation folded in, and a rectifier. Images are 299 x 299
//! in 0..1, and come to -1..1. The outputs are the means over places after the first and second max pool (64 and 192
//! features), after `Mixed_6e` (768), and at the end (2048); and, where the weights have them, the logits of its 1,008 classes
//! without their bias, as the Inception Score takes them.
//!
//! Source: Szegedy et al. 2016; Heusel et al. 2017; pytorch-fid.

use super::error::Result;
use super::graph::{Graph, INPUT, InputSpec, Node};
use super::import::builder::Builder;
use super::network::Network;
use super::op::{AvgPool2d, Concat, Conv2d, GlobalAvgPool, Linear, MaxPool2d, Op, Pair, ParameterSpec, Relu, Sides};
use super::size::Size;
use crate::store::weights::Weights;

/// The name of the architecture.
pub const NAME: &str = "inception-v3-fid";

/// Rows and columns of the images it takes.
pub const SIDE: usize = 299;

/// The numbers of features that can be tapped; the output of each is named `features_N`.
pub const FEATURES: [usize; 4] = [64, 192, 768, 2048];

/// The output of logits without bias, and torch-fidelity's name for it.
pub const LOGITS: &str = "logits_unbiased";

/// The node whose first [`SPATIAL_CHANNELS`] channels at every place are the features of sFID: `mixed_6/conv` of TensorFlow's graph.
pub const SPATIAL: &str = "Mixed_6d.branch1x1";

/// The channels that sFID takes, which makes 2,023 features of 17 x 17 places.
pub const SPATIAL_CHANNELS: usize = 7;

/// The parameter that the logits are made with.
const CLASSES: &str = "fc.weight";

/// The name of the output of so many features.
pub fn output(features: usize) -> String {
    format!("features_{features}")
}

/// The network up to the last of its outputs that has at most `features` features.
///
/// ```
/// use obverse::net::{Size, inception};
/// let graph = inception::graph(2048)?;
/// assert_eq!(graph.size(graph.output("features_768")?), Size::new(768, 1, 1));
/// assert_eq!(graph.parameter_count(), 21_785_568 - 34_432 / 2);
/// # Ok::<(), obverse::net::Error>(())
/// ```
///
/// # Errors
/// None: the sizes fit.
pub fn graph(features: usize) -> Result<Graph> {
    built(features, None)
}

/// The same graph, with logits of so many classes on 2048 features.
fn built(features: usize, classes: Option<usize>) -> Result<Graph> {
    let mut build = Builder::default();
    let x = build.convolution("Conv2d_1a_3x3", INPUT, 32, [3, 3], 2, [0, 0]);
    let x = build.convolution("Conv2d_2a_3x3", &x, 32, [3, 3], 1, [0, 0]);
    let x = build.convolution("Conv2d_2b_3x3", &x, 64, [3, 3], 1, [1, 1]);
    let x = build.largest("pool1", &x, 2, 0);
    build.tap(64, &x);
    if features >= 192 {
        let x = build.convolution("Conv2d_3b_1x1", &x, 80, [1, 1], 1, [0, 0]);
        let x = build.convolution("Conv2d_4a_3x3", &x, 192, [3, 3], 1, [0, 0]);
        let x = build.largest("pool2", &x, 2, 0);
        build.tap(192, &x);
        if features >= 768 {
            let mut x = x;
            for (name, pooled) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
                x = build.block_a(name, &x, pooled);
            }
            x = build.block_b("Mixed_6a", &x);
            for (name, width) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
                x = build.block_c(name, &x, width);
            }
            build.tap(768, &x);
            if features >= 2048 {
                x = build.block_d("Mixed_7a", &x);
                x = build.block_e("Mixed_7b", &x, false);
                x = build.block_e("Mixed_7c", &x, true);
                build.tap(2048, &x);
                if let Some(classes) = classes {
                    let logits = build.push(LOGITS, Linear::new(classes, false), &[&output(2048)]);
                    build.outputs.insert(logits.clone(), logits);
                }
            }
        }
    }
    let half = vec![0.5; 3];
    let input = InputSpec { mean: half.clone(), std: half, ..InputSpec::plain(Size::new(3, SIDE, SIDE)) };
    Graph::new(input, build.nodes, build.outputs)
}

/// What batch normalisation adds to the variance.
const EPSILON: f64 = 1e-3;

/// The network with the weights of a file, by pytorch-fid's names, as far as the file goes; batch normalisation, where it is
/// not folded in yet, is folded into the convolutions.
///
/// # Errors
/// A weight that is missing or of another shape.
pub fn load(weights: &Weights) -> Result<Network<f32>> {
    let reaches = |module: &str| weights.names().any(|name| name.starts_with(module));
    let reached = [("Mixed_7c.", 2048), ("Mixed_6e.", 768), ("Conv2d_4a_3x3.", 192)];
    let features = reached.into_iter().find(|(module, _)| reaches(module)).map_or(64, |(_, features)| features);
    let classes = weights.get(CLASSES).and_then(|weight| weight.shape.first().copied());
    Network::of_parameters(built(features, classes)?, |node, spec| parameter(weights, node, spec))
}

fn parameter(weights: &Weights, node: &Node, spec: &ParameterSpec) -> Result<Vec<f32>> {
    if node.name == LOGITS {
        return Ok(weights.require(CLASSES, &spec.shape)?.values.clone());
    }
    let module = node.name.strip_suffix(".conv").unwrap_or(&node.name);
    let value = || weights.require(&format!("{}.{}", node.name, spec.name), &spec.shape);
    if weights.get(&format!("{module}.bn.running_var")).is_none() {
        return Ok(value()?.values.clone());
    }
    let channels = spec.shape[0];
    let norm = |name: &str| weights.require(&format!("{module}.bn.{name}"), &[channels]);
    let (weight, bias, mean, variance) = (norm("weight")?, norm("bias")?, norm("running_mean")?, norm("running_var")?);
    let scale =
        |channel: usize| f64::from(weight.values[channel]) / (f64::from(variance.values[channel]) + EPSILON).sqrt();
    if spec.name == "bias" {
        let shifted =
            |channel: usize| f64::from(bias.values[channel]) - f64::from(mean.values[channel]) * scale(channel);
        return Ok((0..channels).map(|channel| shifted(channel) as f32).collect());
    }
    let length = spec.elements() / channels;
    let filters = value()?.values.chunks_exact(length).enumerate();
    Ok(filters
        .flat_map(|(channel, filter)| filter.iter().map(move |&v| (f64::from(v) * scale(channel)) as f32))
        .collect())
}

impl Builder {
    fn convolution(
        &mut self,
        name: &str,
        input: &str,
        channels: usize,
        kernel: [usize; 2],
        stride: usize,
        padding: [usize; 2],
    ) -> String {
        let op = Op::Conv2d(Conv2d {
            channels,
            kernel: Pair::Each(kernel),
            stride: Pair::Both(stride),
            padding: Sides::Pair(Pair::Each(padding)),
            dilation: Pair::Both(1),
            groups: 1,
            bias: true,
        });
        let convolution = self.push(format!("{name}.conv"), op, &[input]);
        self.push(name.to_string(), Relu, &[&convolution])
    }

    /// A 1 x 1 convolution.
    fn point(&mut self, name: &str, input: &str, channels: usize) -> String {
        self.convolution(name, input, channels, [1, 1], 1, [0, 0])
    }

    fn largest(&mut self, name: &str, input: &str, stride: usize, padding: usize) -> String {
        let (kernel, stride, padding) = (Pair::Both(3), Some(Pair::Both(stride)), Sides::Pair(Pair::Both(padding)));
        self.push(
            name.to_string(),
            MaxPool2d { kernel, stride, padding, dilation: Pair::Both(1), ceil_mode: false },
            &[input],
        )
    }

    /// The mean over 3 x 3 places, of those that lie within the image.
    fn mean(&mut self, name: &str, input: &str) -> String {
        let (kernel, stride, padding) = (Pair::Both(3), Some(Pair::Both(1)), Sides::Pair(Pair::Both(1)));
        let op = Op::AvgPool2d(AvgPool2d { kernel, stride, padding, ceil_mode: false, count_include_pad: false });
        self.push(name.to_string(), op, &[input])
    }

    fn tap(&mut self, features: usize, input: &str) {
        let name = self.push(output(features), GlobalAvgPool, &[input]);
        self.outputs.insert(name.clone(), name);
    }

    fn block_a(&mut self, name: &str, x: &str, pooled: usize) -> String {
        let at = |branch: &str| format!("{name}.{branch}");
        let one = self.point(&at("branch1x1"), x, 64);
        let five = self.point(&at("branch5x5_1"), x, 48);
        let five = self.convolution(&at("branch5x5_2"), &five, 64, [5, 5], 1, [2, 2]);
        let three = self.point(&at("branch3x3dbl_1"), x, 64);
        let three = self.convolution(&at("branch3x3dbl_2"), &three, 96, [3, 3], 1, [1, 1]);
        let three = self.convolution(&at("branch3x3dbl_3"), &three, 96, [3, 3], 1, [1, 1]);
        let pool = self.mean(&at("pool"), x);
        let pool = self.point(&at("branch_pool"), &pool, pooled);
        self.push(name.to_string(), Concat::default(), &[&one, &five, &three, &pool])
    }

    fn block_b(&mut self, name: &str, x: &str) -> String {
        let at = |branch: &str| format!("{name}.{branch}");
        let three = self.convolution(&at("branch3x3"), x, 384, [3, 3], 2, [0, 0]);
        let double = self.point(&at("branch3x3dbl_1"), x, 64);
        let double = self.convolution(&at("branch3x3dbl_2"), &double, 96, [3, 3], 1, [1, 1]);
        let double = self.convolution(&at("branch3x3dbl_3"), &double, 96, [3, 3], 2, [0, 0]);
        let pool = self.largest(&at("pool"), x, 2, 0);
        self.push(name.to_string(), Concat::default(), &[&three, &double, &pool])
    }

    fn block_c(&mut self, name: &str, x: &str, width: usize) -> String {
        const ACROSS: ([usize; 2], [usize; 2]) = ([1, 7], [0, 3]);
        const DOWN: ([usize; 2], [usize; 2]) = ([7, 1], [3, 0]);
        let at = |branch: &str| format!("{name}.{branch}");
        let one = self.point(&at("branch1x1"), x, 192);
        let mut seven = self.point(&at("branch7x7_1"), x, width);
        for (branch, channels, (kernel, padding)) in [("branch7x7_2", width, ACROSS), ("branch7x7_3", 192, DOWN)] {
            seven = self.convolution(&at(branch), &seven, channels, kernel, 1, padding);
        }
        let mut double = self.point(&at("branch7x7dbl_1"), x, width);
        for (branch, channels, (kernel, padding)) in [
            ("branch7x7dbl_2", width, DOWN),
            ("branch7x7dbl_3", width, ACROSS),
            ("branch7x7dbl_4", width, DOWN),
            ("branch7x7dbl_5", 192, ACROSS),
        ] {
            double = self.convolution(&at(branch), &double, channels, kernel, 1, padding);
        }
        let pool = self.mean(&at("pool"), x);
        let pool = self.point(&at("branch_pool"), &pool, 192);
        self.push(name.to_string(), Concat::default(), &[&one, &seven, &double, &pool])
    }

    fn block_d(&mut self, name: &str, x: &str) -> String {
        let at = |branch: &str| format!("{name}.{branch}");
        let three = self.point(&at("branch3x3_1"), x, 192);
        let three = self.convolution(&at("branch3x3_2"), &three, 320, [3, 3], 2, [0, 0]);
        let seven = self.point(&at("branch7x7x3_1"), x, 192);
        let seven = self.convolution(&at("branch7x7x3_2"), &seven, 192, [1, 7], 1, [0, 3]);
        let seven = self.convolution(&at("branch7x7x3_3"), &seven, 192, [7, 1], 1, [3, 0]);
        let seven = self.convolution(&at("branch7x7x3_4"), &seven, 192, [3, 3], 2, [0, 0]);
        let pool = self.largest(&at("pool"), x, 2, 0);
        self.push(name.to_string(), Concat::default(), &[&three, &seven, &pool])
    }

    fn block_e(&mut self, name: &str, x: &str, last: bool) -> String {
        let at = |branch: &str| format!("{name}.{branch}");
        let one = self.point(&at("branch1x1"), x, 320);
        let three = self.point(&at("branch3x3_1"), x, 384);
        let across = self.convolution(&at("branch3x3_2a"), &three, 384, [1, 3], 1, [0, 1]);
        let down = self.convolution(&at("branch3x3_2b"), &three, 384, [3, 1], 1, [1, 0]);
        let double = self.point(&at("branch3x3dbl_1"), x, 448);
        let double = self.convolution(&at("branch3x3dbl_2"), &double, 384, [3, 3], 1, [1, 1]);
        let double_across = self.convolution(&at("branch3x3dbl_3a"), &double, 384, [1, 3], 1, [0, 1]);
        let double_down = self.convolution(&at("branch3x3dbl_3b"), &double, 384, [3, 1], 1, [1, 0]);
        let pool = match last {
            true => self.largest(&at("pool"), x, 1, 1),
            false => self.mean(&at("pool"), x),
        };
        let pool = self.point(&at("branch_pool"), &pool, 192);
        self.push(name.to_string(), Concat::default(), &[&one, &across, &down, &double_across, &double_down, &pool])
    }
}
