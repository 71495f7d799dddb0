//! SqueezeNet, VGG-16 and AlexNet as torchvision has them: features in a row, then a classifier.
//!
//! Sources: Iandola et al. 2016 (and its release 1.1); Simonyan & Zisserman 2014, configuration D; Krizhevsky 2014.

use super::builder::{Builder, axis, convolution, linear, max_pool, max_pool_to_the_end, mean_pool};
use super::unfit;
use crate::net::error::Result;
use crate::net::graph::{Graph, INPUT, InputSpec};
use crate::net::op::{Concat, Flatten, GlobalAvgPool};
use crate::store::weights::Weights;

/// A part of SqueezeNet's features.
enum Part {
    /// A convolution of so many channels and this kernel, stride 2, and its rectifier.
    First(usize, usize),
    Pool,
    /// A fire module that squeezes to so many channels, and expands to so many twice.
    Fire(usize, usize),
}

pub(super) fn squeezenet_1_0(_: &str, weights: &Weights, input: InputSpec) -> Result<Graph> {
    use Part::{Fire, First, Pool};
    let parts = [
        First(96, 7),
        Pool,
        Fire(16, 64),
        Fire(16, 64),
        Fire(32, 128),
        Pool,
        Fire(32, 128),
        Fire(48, 192),
        Fire(48, 192),
        Fire(64, 256),
        Pool,
        Fire(64, 256),
    ];
    squeezenet(&parts, weights, input)
}

pub(super) fn squeezenet_1_1(_: &str, weights: &Weights, input: InputSpec) -> Result<Graph> {
    use Part::{Fire, First, Pool};
    let parts = [
        First(64, 3),
        Pool,
        Fire(16, 64),
        Fire(16, 64),
        Pool,
        Fire(32, 128),
        Fire(32, 128),
        Pool,
        Fire(48, 192),
        Fire(48, 192),
        Fire(64, 256),
        Fire(64, 256),
    ];
    squeezenet(&parts, weights, input)
}

fn squeezenet(parts: &[Part], weights: &Weights, input: InputSpec) -> Result<Graph> {
    let classes = axis(weights, "classifier.1.weight", 0)?;
    let mut build = Builder::default();
    let (mut x, mut index) = (INPUT.to_string(), 0);
    for part in parts {
        let name = format!("features.{index}");
        x = match *part {
            Part::First(channels, kernel) => {
                index += 1;
                build.rectified([&name, &format!("features.{index}")], convolution(channels, kernel, 2, 0), &x)
            }
            Part::Pool => build.push(name, max_pool_to_the_end(3, 2, 0), &[&x]),
            Part::Fire(squeeze, expand) => fire(&mut build, &name, &x, [squeeze, expand]),
        };
        index += 1;
    }
    let x = build.rectified(["classifier.1", "classifier.2"], convolution(classes, 1, 1, 0), &x);
    let x = build.push("classifier.3", GlobalAvgPool, &[&x]);
    build.output("logits", &x);
    build.graph(input)
}

fn fire(build: &mut Builder, name: &str, x: &str, [squeeze, expand]: [usize; 2]) -> String {
    let mut layer = |part: &str, op, input: &str| {
        let name = format!("{name}.{part}");
        build.rectified([&name, &format!("{name}_activation")], op, input)
    };
    let squeezed = layer("squeeze", convolution(squeeze, 1, 1, 0), x);
    let narrow = layer("expand1x1", convolution(expand, 1, 1, 0), &squeezed);
    let wide = layer("expand3x3", convolution(expand, 3, 1, 1), &squeezed);
    build.push(name, Concat::default(), &[&narrow, &wide])
}

pub(super) fn vgg16(_: &str, weights: &Weights, input: InputSpec) -> Result<Graph> {
    let mut build = Builder::default();
    let (mut x, mut index) = (INPUT.to_string(), 0);
    for (channels, count) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)] {
        for _ in 0..count {
            let names = [format!("features.{index}"), format!("features.{}", index + 1)];
            x = build.rectified([&names[0], &names[1]], convolution(channels, 3, 1, 1), &x);
            index += 2;
        }
        x = build.push(format!("features.{index}"), max_pool(2, 2), &[&x]);
        index += 1;
    }
    let x = adaptive_mean(&mut build, weights, &input, &x, 7)?;
    let x = build.push("flatten", Flatten, &[&x]);
    let x = build.rectified(["classifier.0", "classifier.1"], linear(axis(weights, "classifier.0.weight", 0)?), &x);
    let x = build.rectified(["classifier.3", "classifier.4"], linear(axis(weights, "classifier.3.weight", 0)?), &x);
    classified(build, weights, input, &x)
}

pub(super) fn alexnet(_: &str, weights: &Weights, input: InputSpec) -> Result<Graph> {
    let mut build = Builder::default();
    let x = build.rectified(["features.0", "features.1"], convolution(64, 11, 4, 2), INPUT);
    let x = build.push("features.2", max_pool(3, 2), &[&x]);
    let x = build.rectified(["features.3", "features.4"], convolution(192, 5, 1, 2), &x);
    let x = build.push("features.5", max_pool(3, 2), &[&x]);
    let x = build.rectified(["features.6", "features.7"], convolution(384, 3, 1, 1), &x);
    let x = build.rectified(["features.8", "features.9"], convolution(256, 3, 1, 1), &x);
    let x = build.rectified(["features.10", "features.11"], convolution(256, 3, 1, 1), &x);
    let x = build.push("features.12", max_pool(3, 2), &[&x]);
    let x = adaptive_mean(&mut build, weights, &input, &x, 6)?;
    let x = build.push("flatten", Flatten, &[&x]);
    let x = build.rectified(["classifier.1", "classifier.2"], linear(axis(weights, "classifier.1.weight", 0)?), &x);
    let x = build.rectified(["classifier.4", "classifier.5"], linear(axis(weights, "classifier.4.weight", 0)?), &x);
    classified(build, weights, input, &x)
}

fn classified(mut build: Builder, weights: &Weights, input: InputSpec, x: &str) -> Result<Graph> {
    let logits = build.push("classifier.6", linear(axis(weights, "classifier.6.weight", 0)?), &[x]);
    build.output("logits", &logits);
    build.graph(input)
}

/// torchvision's pool to `side` x `side`, where it is a pool of windows of one size; nothing where x has that size.
fn adaptive_mean(build: &mut Builder, weights: &Weights, input: &InputSpec, x: &str, side: usize) -> Result<String> {
    let size = build.size(input, x)?;
    if (size.height, size.width) == (side, side) {
        return Ok(x.to_string());
    }
    if size.height % side != 0 || size.width % side != 0 {
        let expected = format!("images whose features are a multiple of {side}x{side}, as those of 224x224 are");
        return Err(unfit(weights.path(), expected, format!("images of {}, features of {size}", input.shape)));
    }
    let kernel = [size.height / side, size.width / side];
    Ok(build.push("avgpool", mean_pool(kernel, kernel), &[x]))
}
