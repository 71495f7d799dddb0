//! GoogLeNet as torchvision has it, with batch normalisation and without its auxiliary classifiers.
//!
//! Its second branch's 5 x 5 is a 3 x 3, as in the weights that everyone uses. A module `inception4c` is a node, the four
//! branches side by side. torchvision's `transform_input` is the convention of pixels -1..1. Source: Szegedy et al. 2014.
//!
//! ```
//! use obverse::net::import::googlenet::googlenet;
//! use obverse::net::{InputSpec, Size};
//! let graph = googlenet(1000, InputSpec::plain(Size::new(3, 224, 224)))?;
//! assert_eq!(graph.size(graph.place("inception4c")?), Size::new(512, 14, 14));
//! # Ok::<(), obverse::net::Error>(())
//! ```

use super::builder::{Builder, axis, batch_norm, linear, max_pool_to_the_end, plain_convolution};
use crate::net::error::Result;
use crate::net::graph::{Graph, INPUT, InputSpec};
use crate::net::op::{Concat, GlobalAvgPool, Op, Relu};
use crate::store::weights::Weights;

const EPSILON: f64 = 1e-3;

/// The widths of a module: of the 1 x 1, of the 3 x 3 and what it is reduced to before, of the second 3 x 3 likewise, and of
/// what follows the pool.
struct Widths {
    one: usize,
    three: [usize; 2],
    five: [usize; 2],
    pooled: usize,
}

const fn widths(one: usize, three: [usize; 2], five: [usize; 2], pooled: usize) -> Widths {
    Widths { one, three, five, pooled }
}

pub(super) fn graph(_: &str, weights: &Weights, input: InputSpec) -> Result<Graph> {
    googlenet(axis(weights, "fc.weight", 0)?, input)
}

/// GoogLeNet for this many classes.
///
/// # Errors
/// Images too small.
pub fn googlenet(classes: usize, input: InputSpec) -> Result<Graph> {
    let mut build = Builder::default();
    let x = basic(&mut build, "conv1", plain_convolution(64, 7, 2, 3), INPUT);
    let x = build.push("maxpool1", max_pool_to_the_end(3, 2, 0), &[&x]);
    let x = basic(&mut build, "conv2", plain_convolution(64, 1, 1, 0), &x);
    let x = basic(&mut build, "conv3", plain_convolution(192, 3, 1, 1), &x);
    let x = build.push("maxpool2", max_pool_to_the_end(3, 2, 0), &[&x]);
    let x = module(&mut build, "inception3a", &x, widths(64, [96, 128], [16, 32], 32));
    let x = module(&mut build, "inception3b", &x, widths(128, [128, 192], [32, 96], 64));
    let x = build.push("maxpool3", max_pool_to_the_end(3, 2, 0), &[&x]);
    let x = module(&mut build, "inception4a", &x, widths(192, [96, 208], [16, 48], 64));
    let x = module(&mut build, "inception4b", &x, widths(160, [112, 224], [24, 64], 64));
    let x = module(&mut build, "inception4c", &x, widths(128, [128, 256], [24, 64], 64));
    let x = module(&mut build, "inception4d", &x, widths(112, [144, 288], [32, 64], 64));
    let x = module(&mut build, "inception4e", &x, widths(256, [160, 320], [32, 128], 128));
    let x = build.push("maxpool4", max_pool_to_the_end(2, 2, 0), &[&x]);
    let x = module(&mut build, "inception5a", &x, widths(256, [160, 320], [32, 128], 128));
    let x = module(&mut build, "inception5b", &x, widths(384, [192, 384], [48, 128], 128));
    let pooled = build.push("avgpool", GlobalAvgPool, &[&x]);
    let logits = build.push("fc", linear(classes), &[&pooled]);
    build.output("pooled", &pooled);
    build.output("logits", &logits);
    build.graph(input)
}

/// torchvision's BasicConv2d: convolution, batch normalisation, rectifier.
fn basic(build: &mut Builder, name: &str, op: Op, input: &str) -> String {
    let x = build.push(format!("{name}.conv"), op, &[input]);
    let x = build.push(format!("{name}.bn"), batch_norm(EPSILON), &[&x]);
    build.push(name, Relu, &[&x])
}

fn module(build: &mut Builder, name: &str, x: &str, widths: Widths) -> String {
    let Widths { one, three, five, pooled } = widths;
    let at = |branch: &str| format!("{name}.{branch}");
    let one = basic(build, &at("branch1"), plain_convolution(one, 1, 1, 0), x);
    let mut reduced = |branch: &str, [reduced, channels]: [usize; 2]| {
        let narrow = basic(build, &at(&format!("{branch}.0")), plain_convolution(reduced, 1, 1, 0), x);
        basic(build, &at(&format!("{branch}.1")), plain_convolution(channels, 3, 1, 1), &narrow)
    };
    let three = reduced("branch2", three);
    let five = reduced("branch3", five);
    let pool = build.push(at("branch4.0"), max_pool_to_the_end(3, 1, 1), &[x]);
    let pool = basic(build, &at("branch4.1"), plain_convolution(pooled, 1, 1, 0), &pool);
    build.push(name, Concat::default(), &[&one, &three, &five, &pool])
}
