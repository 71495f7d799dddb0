//! SRNet, a network that makes images of a surface larger by 4: x (5, H, W) to x' (5, 4 H, 4 W).
//!
//! conv 3 x 3 to 64 channels, ten residual blocks x + conv(relu(conv(x))), two transposed convolutions of stride 2, conv to 5
//! channels, added to the input enlarged bilinearly. Block b is the node `block{b}`. Sources: Sajjadi et al. 2018, table of the
//! super-resolution network; Weiss et al. 2019, whose channels are normal (3), depth and mask.
//!
//! ```
//! use obverse::net::{Size, srnet};
//! let graph = srnet::graph(Size::new(5, 8, 6))?;
//! assert_eq!(graph.size(graph.output(srnet::IMAGE)?), Size::new(5, 32, 24));
//! # Ok::<(), obverse::net::Error>(())
//! ```

use std::collections::BTreeMap;

use super::error::Result;
use super::graph::{Graph, INPUT, InputSpec, Node};
use super::op::{Add, Conv2d, ConvTranspose2d, Op, Pair, Relu, Sides, UpsampleBilinear};
use super::size::Size;

/// Residual blocks.
const BLOCKS: usize = 10;
/// Channels inside.
const WIDTH: usize = 64;
/// How much larger the result is along each axis.
pub const FACTOR: usize = 4;
/// The output's name.
pub const IMAGE: &str = "image";

/// SRNet for images of `input` size.
///
/// # Errors
/// Images too large.
pub fn graph(input: Size) -> Result<Graph> {
    let mut nodes = vec![Node::new("conv_in", convolution(WIDTH), INPUT), Node::new("act_in", Relu, "conv_in")];
    let mut last = "act_in".to_string();
    for block in 1..=BLOCKS {
        let at = |part: &str| format!("block{block}.{part}");
        nodes.push(Node::new(at("conv1"), convolution(WIDTH), last.clone()));
        nodes.push(Node::new(at("act"), Relu, at("conv1")));
        nodes.push(Node::new(at("conv2"), convolution(WIDTH), at("act")));
        let name = format!("block{block}");
        nodes.push(Node { name: name.clone(), op: Op::Add(Add), inputs: vec![last, at("conv2")] });
        last = name;
    }
    for number in 1..=2 {
        nodes.push(Node::new(format!("up{number}"), doubling(), last));
        nodes.push(Node::new(format!("act_up{number}"), Relu, format!("up{number}")));
        last = format!("act_up{number}");
    }
    nodes.push(Node::new("conv_out", convolution(input.channels), last));
    let size = Pair::Each([FACTOR * input.height, FACTOR * input.width]);
    nodes.push(Node::new("enlarged", UpsampleBilinear { size }, INPUT));
    nodes.push(Node { name: IMAGE.into(), op: Op::Add(Add), inputs: vec!["enlarged".into(), "conv_out".into()] });
    Graph::new(InputSpec::plain(input), nodes, BTreeMap::from([(IMAGE.to_string(), IMAGE.to_string())]))
}

fn convolution(channels: usize) -> Op {
    let (one, padding) = (Pair::Both(1), Sides::Pair(Pair::Both(1)));
    Op::Conv2d(Conv2d { channels, kernel: Pair::Both(3), stride: one, padding, dilation: one, groups: 1, bias: true })
}

/// A transposed convolution to twice the height and width.
fn doubling() -> Op {
    let one = Sides::Pair(Pair::Both(1));
    let (kernel, stride) = (Pair::Both(3), Pair::Both(2));
    Op::ConvTranspose2d(ConvTranspose2d {
        channels: WIDTH,
        kernel,
        stride,
        padding: one,
        output_padding: one,
        dilation: Pair::Both(1),
        groups: 1,
        bias: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_out_four_times_as_large_with_the_parameters_of_the_layers() {
        let graph = graph(Size::new(5, 12, 9)).unwrap();
        assert_eq!(graph.size(graph.output(IMAGE).unwrap()), Size::new(5, 48, 36));
        assert_eq!(graph.size(graph.place("block8").unwrap()), Size::new(64, 12, 9));
        let inside = 22 * (64 * 64 * 9 + 64);
        assert_eq!(graph.parameter_count(), (5 * 64 * 9 + 64) + inside + (64 * 5 * 9 + 5));
    }
}
