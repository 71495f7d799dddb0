//! Networks for CIFAR's images: ResNets whose shortcuts have no weights, and DenseNet-BC.
//!
//! Sources: He et al. 2016, section 4.2, option A (every other pixel, zeros for the channels that are new), with the names of
//! akamaster's pytorch_resnet_cifar10; Huang et al. 2017, with the names of andreasveit's densenet-pytorch.

use super::builder::{Builder, axis, batch_norm, linear, mean_pool, plain_convolution};
use super::unfit;
use crate::net::error::Result;
use crate::net::graph::{Graph, INPUT, InputSpec};
use crate::net::op::{Add, Concat, GlobalAvgPool, Op, Pad, Pair, Relu, Sides};
use crate::store::weights::Weights;

const EPSILON: f64 = 1e-5;

/// resnetN of depth N = 6 n + 2: three stages of n blocks of two convolutions.
pub(super) fn resnet(name: &str, weights: &Weights, input: InputSpec) -> Result<Graph> {
    let depth = name.trim_start_matches("resnet").parse().unwrap_or(0usize);
    let blocks = depth.saturating_sub(2) / 6;
    let mut build = Builder::default();
    let x = normalised(&mut build, ["conv1", "bn1"], plain_convolution(16, 3, 1, 1), INPUT);
    let mut x = build.push("relu", Relu, &[&x]);
    for (stage, channels) in [(1, 16), (2, 32), (3, 64)] {
        for block in 0..blocks {
            let shrinks = stage > 1 && block == 0;
            x = residual(&mut build, &format!("layer{stage}.{block}"), &x, channels, shrinks.then_some(2));
        }
    }
    headed(build, weights, input, "linear", &x)
}

/// A block, whose first convolution has a stride where it `shrinks` the image; it then has twice the channels.
fn residual(build: &mut Builder, name: &str, x: &str, channels: usize, shrinks: Option<usize>) -> String {
    let at = |part: &str| format!("{name}.{part}");
    let first = plain_convolution(channels, 3, shrinks.unwrap_or(1), 1);
    let y = normalised(build, [&at("conv1"), &at("bn1")], first, x);
    let y = build.push(at("relu"), Relu, &[&y]);
    let y = normalised(build, [&at("conv2"), &at("bn2")], plain_convolution(channels, 3, 1, 1), &y);
    let shortcut = match shrinks {
        None => x.to_string(),
        Some(stride) => {
            let every_other = build.push(at("shortcut.stride"), mean_pool([1, 1], [stride; 2]), &[x]);
            let padding = Sides::Pair(Pair::Both(0));
            build.push(at("shortcut"), Pad::zeros(padding, [channels / 4; 2]), &[&every_other])
        }
    };
    let sum = build.push(at("add"), Add, &[&y, &shortcut]);
    build.push(name, Relu, &[&sum])
}

/// DenseNet-BC of the depth and growth of the weights, or of its name, `densenet-bc-DEPTH-GROWTH`.
pub(super) fn densenet(name: &str, weights: &Weights, input: InputSpec) -> Result<Graph> {
    let growth = axis(weights, "block1.layer.0.conv2.weight", 0)?;
    let layers = (0..).take_while(|layer| weights.get(&format!("block1.layer.{layer}.conv2.weight")).is_some()).count();
    let shape = format!("densenet-bc-{}-{growth}", 6 * layers + 4);
    if name != "densenet-bc" && name != shape {
        return Err(unfit(weights.path(), format!("the tensors of {name}"), format!("those of {shape}")));
    }
    let mut build = Builder::default();
    let channels = |convolution: &str| axis(weights, &format!("{convolution}.weight"), 0);
    let mut x = build.push("conv1", plain_convolution(channels("conv1")?, 3, 1, 1), &[INPUT]);
    for block in 1..=3 {
        for layer in 0..layers {
            x = bottleneck(&mut build, &format!("block{block}.layer.{layer}"), &x, growth);
        }
        if block < 3 {
            let name = format!("trans{block}");
            x = transition(&mut build, &name, &x, channels(&format!("{name}.conv1"))?);
        }
    }
    let x = build.push("bn1", batch_norm(EPSILON), &[&x]);
    let x = build.push("relu", Relu, &[&x]);
    headed(build, weights, input, "fc", &x)
}

/// `growth` more channels beside those of x.
fn bottleneck(build: &mut Builder, name: &str, x: &str, growth: usize) -> String {
    let at = |part: &str| format!("{name}.{part}");
    let y = build.push(at("bn1"), batch_norm(EPSILON), &[x]);
    let y = build.push(at("relu1"), Relu, &[&y]);
    let y = normalised(build, [&at("conv1"), &at("bn2")], plain_convolution(4 * growth, 1, 1, 0), &y);
    let y = build.push(at("relu2"), Relu, &[&y]);
    let y = build.push(at("conv2"), plain_convolution(growth, 3, 1, 1), &[&y]);
    build.push(name, Concat::default(), &[x, &y])
}

fn transition(build: &mut Builder, name: &str, x: &str, channels: usize) -> String {
    let at = |part: &str| format!("{name}.{part}");
    let y = build.push(at("bn1"), batch_norm(EPSILON), &[x]);
    let y = build.push(at("relu"), Relu, &[&y]);
    let y = build.push(at("conv1"), plain_convolution(channels, 1, 1, 0), &[&y]);
    build.push(name, mean_pool([2, 2], [2, 2]), &[&y])
}

fn normalised(build: &mut Builder, [convolution, norm]: [&str; 2], op: Op, input: &str) -> String {
    let x = build.push(convolution, op, &[input]);
    build.push(norm, batch_norm(EPSILON), &[&x])
}

/// The mean over places, and the classes.
fn headed(mut build: Builder, weights: &Weights, input: InputSpec, last: &str, x: &str) -> Result<Graph> {
    let classes = axis(weights, &format!("{last}.weight"), 0)?;
    let pooled = build.push("avgpool", GlobalAvgPool, &[x]);
    let logits = build.push(last, linear(classes), &[&pooled]);
    build.output("pooled", &pooled);
    build.output("logits", &logits);
    build.graph(input)
}
