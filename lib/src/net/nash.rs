//! The networks of "Inverting supervised representations with autoregressive neural density models" (appendix A; equation 3), for
//! images of any size.
//!
//! | classifier | layers (dropout after each of conv1, conv2, fc3) |
//! |---|---|
//! | nash-mnist | conv1: convolution 32 of 5 x 5, ReLU, max-pooling by 2; conv2: the same again; fc3: dense 256, ReLU; logits |
//! | nash-colour | the same with 64 and 128 filters |
//! | nash-pooled | nash-mnist with conv2's largest value of each channel (global max pooling) before fc3 |
//! | nash-connected | conv1 and conv2 dense of 2048 features with ReLU instead |
//!
//! The nodes conv1, conv2, fc3 and logits are what the paper's layers of those names are: after ReLU and pooling. An up-sampling
//! decoder goes from any of them to images (Dosovitskiy & Brox 2016b): dense layers or a convolution, then convolutions of 64, 64, 32
//! on maps enlarged to half and the whole size, and one that gives the pixels. No sigmoid: a squared error drives one into saturation where
//! most pixels are black, and leaves it there. The paper gives neither the rate of dropout nor the decoder's sizes.

use super::chain::{Chain, Head, convolution};
use super::error::Result;
use super::graph::Graph;
use super::op::{Conv2d, Dropout, Flatten, Linear, MaxPool2d, Op, Pair, Relu, Reshape, Sides, UpsampleBilinear};
use super::size::Size;

/// The names of these classifiers.
pub const NAMES: [&str; 4] = ["nash-mnist", "nash-colour", "nash-pooled", "nash-connected"];

/// Features of fc3.
const DENSE: usize = 256;
/// Features of each dense layer that stands for a convolution.
const CONNECTED: usize = 2048;

/// The classifier of this name with dense layers `heads` on top; a share `dropout` is dropped in training.
pub(super) fn classifier(name: &str, input: Size, heads: &[Head], dropout: f64) -> Result<Graph> {
    let mut chain = Chain::new();
    let drop = |chain: &mut Chain, layer: &str| {
        if dropout > 0.0 {
            chain.push(format!("drop_{layer}"), Dropout { p: dropout });
        }
    };
    if name == "nash-connected" {
        chain.push("flatten", Flatten);
        for layer in ["conv1", "conv2"] {
            dense(&mut chain, layer, CONNECTED);
            drop(&mut chain, layer);
        }
    } else {
        let widths = if name == "nash-colour" { [64, 128] } else { [32, 32] };
        for (layer, channels) in ["conv1", "conv2"].into_iter().zip(widths) {
            chain.push(format!("filter_{layer}"), unpadded(channels));
            chain.push(format!("relu_{layer}"), Relu);
            chain.push(layer, pool([2, 2]));
            drop(&mut chain, layer);
        }
        if name == "nash-pooled" {
            chain.push("pooled", pool([last_side(input.height), last_side(input.width)]));
        }
        chain.push("flatten", Flatten);
    }
    dense(&mut chain, "fc3", DENSE);
    drop(&mut chain, "fc3");
    chain.with_heads(input, heads)
}

/// A dense layer whose node `name` is after its ReLU.
fn dense(chain: &mut Chain, name: &str, features: usize) {
    chain.push(format!("dense_{name}"), Linear::new(features, true));
    chain.push(name, Relu);
}

/// What two convolutions of 5 x 5 with pooling leave of a side; at least 1, which the graph's checks then refuse where it is less.
fn last_side(side: usize) -> usize {
    let layer = |side: usize| side.saturating_sub(4) / 2;
    layer(layer(side)).max(1)
}

/// The up-sampling decoder from what a layer computes, (F, 1, 1) or maps, to images; its output is "image".
pub(super) fn decoder(image: Size, from: Size) -> Result<Graph> {
    let half = [image.height.div_ceil(2), image.width.div_ceil(2)];
    let quarter = half.map(|side| side.div_ceil(2));
    let mut chain = Chain::new();
    if (from.height, from.width) == (1, 1) {
        dense(&mut chain, "dense1", 1024);
        dense(&mut chain, "dense2", 64 * quarter[0] * quarter[1]);
        chain.push("maps", Reshape { shape: [64, quarter[0], quarter[1]] });
    } else {
        layer(&mut chain, "first", 64);
    }
    for (name, channels, size) in [("half", 64, half), ("whole", 64, [image.height, image.width])] {
        chain.push(format!("enlarged_{name}"), UpsampleBilinear { size: Pair::Each(size) });
        layer(&mut chain, name, channels);
    }
    layer(&mut chain, "last", 32);
    chain.push("image", convolution(image.channels, 3, 1));
    chain.graph(from, &["image"])
}

/// A convolution of 3 x 3 whose node `name` is after its ReLU.
fn layer(chain: &mut Chain, name: &str, channels: usize) {
    chain.push(format!("filter_{name}"), convolution(channels, 3, 1));
    chain.push(name, Relu);
}

fn unpadded(channels: usize) -> Op {
    Op::Conv2d(Conv2d {
        channels,
        kernel: Pair::Both(5),
        stride: Pair::Both(1),
        padding: none(),
        dilation: Pair::Both(1),
        groups: 1,
        bias: true,
    })
}

fn pool(kernel: [usize; 2]) -> Op {
    Op::MaxPool2d(MaxPool2d {
        kernel: Pair::Each(kernel),
        stride: None,
        padding: none(),
        dilation: Pair::Both(1),
        ceil_mode: false,
    })
}

fn none() -> Sides {
    Sides::Pair(Pair::Both(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(name: &str, input: Size) -> Vec<Size> {
        let graph = classifier(name, input, &[("logits", 10)], 0.5).unwrap();
        ["conv1", "conv2", "fc3", "logits"].map(|node| graph.size(graph.place(node).unwrap())).into()
    }

    #[test]
    fn layers_have_the_papers_sizes() {
        let [fc3, logits] = [256, 10].map(|features| Size::new(features, 1, 1));
        let maps = |channels, side| Size::new(channels, side, side);
        assert_eq!(sizes("nash-mnist", Size::new(1, 28, 28)), [maps(32, 12), maps(32, 4), fc3, logits]);
        assert_eq!(sizes("nash-colour", Size::new(3, 32, 32)), [maps(64, 14), maps(128, 5), fc3, logits]);
        assert_eq!(sizes("nash-mnist", Size::new(1, 40, 40)), [maps(32, 18), maps(32, 7), fc3, logits]);
        assert_eq!(sizes("nash-pooled", Size::new(1, 40, 40)), [maps(32, 18), maps(32, 7), fc3, logits]);
        let wide = Size::new(2048, 1, 1);
        assert_eq!(sizes("nash-connected", Size::new(1, 40, 40)), [wide, wide, fc3, logits]);
    }

    /// Worked out by hand: with pooling fc3 sees 32 values, without it 32 * 49.
    #[test]
    fn parameters_are_as_many_as_the_layers_say() {
        let count = |name| classifier(name, Size::new(1, 40, 40), &[("logits", 10)], 0.5).unwrap().parameter_count();
        let convolutions = (25 * 32 + 32) + (800 * 32 + 32);
        assert_eq!(count("nash-mnist"), convolutions + (1568 * 256 + 256) + 2570);
        assert_eq!(count("nash-pooled"), convolutions + (32 * 256 + 256) + 2570);
        assert_eq!(count("nash-connected"), (1600 * 2048 + 2048) + (2048 * 2048 + 2048) + (2048 * 256 + 256) + 2570);
        assert!(classifier("nash-mnist", Size::new(1, 12, 12), &[("logits", 10)], 0.5).is_err());
    }

    #[test]
    fn decoders_give_images_from_vectors_and_maps() {
        for image in [Size::new(1, 28, 28), Size::new(3, 33, 40)] {
            for from in [Size::new(256, 1, 1), Size::new(32, 12, 12), Size::new(128, 5, 5)] {
                let graph = decoder(image, from).unwrap();
                assert_eq!(graph.size(graph.output("image").unwrap()), image);
            }
        }
    }
}
