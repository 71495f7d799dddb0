//! The networks of "Generative model regularisation for feature visualisation" (sections 3.2 and 3.4), for any size of images.
//!
//! | network | layers |
//! |---|---|
//! | classifier | convolutions 4, 8, 16 of 5 x 5, 32, 64 of 3 x 3, each with ReLU, max-pooling by 2 after the first four; dense 60 with ReLU, dense K |
//! | encoder | convolutions 8, 16, 32, 64, 128 of 3 x 3, each with ReLU, average pooling by 2 after the first four; dense Z |
//! | decoder | dense to the encoder's last maps (1152 features of 48 x 48 images), convolutions 64, 32, 16, 8 of 3 x 3 with ReLU, each on maps enlarged twice (nearest); convolution to the image, sigmoid |
//!
//! Decoder and classifier in a row are the 13 layers that section 3.5 counts.

use super::chain::{Chain, Head, convolution};
use super::error::Result;
use super::graph::Graph;
use super::op::{
    AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Op, Pair, Relu, Reshape, Sides, Sigmoid, UpsampleNearest,
};
use super::size::Size;

/// The name of these architectures.
pub const NAME: &str = "clarke";

/// Times that each network halves its maps.
const HALVINGS: usize = 4;

/// The classifier, with dense layers `heads` on top.
pub(super) fn classifier(input: Size, heads: &[Head]) -> Result<Graph> {
    let mut chain = Chain::new();
    for (number, (channels, kernel)) in (1..).zip([(4, 5), (8, 5), (16, 5), (32, 3), (64, 3)]) {
        layer(&mut chain, number, channels, kernel);
        if number <= HALVINGS {
            let pool = Op::MaxPool2d(MaxPool2d {
                kernel: Pair::Both(2),
                stride: None,
                padding: none(),
                dilation: Pair::Both(1),
                ceil_mode: false,
            });
            chain.push(format!("pool{number}"), pool);
        }
    }
    chain.push("flatten", Flatten);
    chain.push("fc1", Linear::new(60, true));
    chain.push("act_fc1", Relu);
    chain.with_heads(input, heads)
}

/// The encoder, with dense layers `heads` on top.
pub(super) fn encoder(input: Size, heads: &[Head]) -> Result<Graph> {
    let mut chain = Chain::new();
    for (number, channels) in (1..).zip([8, 16, 32, 64, 128]) {
        layer(&mut chain, number, channels, 3);
        if number <= HALVINGS {
            let pool = Op::AvgPool2d(AvgPool2d {
                kernel: Pair::Both(2),
                stride: None,
                padding: none(),
                ceil_mode: false,
                count_include_pad: true,
            });
            chain.push(format!("pool{number}"), pool);
        }
    }
    chain.push("flatten", Flatten);
    chain.with_heads(input, heads)
}

/// The decoder from `latent` features; its output is "image". Images whose sides 16 does not divide are cut from the middle of
/// larger ones.
pub(super) fn decoder(image: Size, latent: usize) -> Result<Graph> {
    let smallest = |side: usize| side.div_ceil(1 << HALVINGS);
    let (height, width) = (smallest(image.height), smallest(image.width));
    let mut chain = Chain::new();
    chain.push("fc1", Linear::new(128 * height * width, true));
    chain.push("act_fc1", Relu);
    chain.push("unflatten", Reshape { shape: [128, height, width] });
    for (number, channels) in (1..).zip([64, 32, 16, 8]) {
        chain.push(format!("up{number}"), UpsampleNearest { factor: 2 });
        layer(&mut chain, number, channels, 3);
    }
    chain.push("conv5", last(image, (height << HALVINGS, width << HALVINGS)));
    chain.push("image", Sigmoid);
    chain.graph(Size::new(latent, 1, 1), &["image"])
}

fn layer(chain: &mut Chain, number: usize, channels: usize, kernel: usize) {
    chain.push(format!("conv{number}"), convolution(channels, kernel, 1));
    chain.push(format!("act{number}"), Relu);
}

/// The convolution to an image from maps of size `from`: its kernel is as much longer than 3 as they are larger.
fn last(image: Size, from: (usize, usize)) -> Op {
    let kernel = [3 + from.0 - image.height, 3 + from.1 - image.width];
    Op::Conv2d(Conv2d {
        channels: image.channels,
        kernel: Pair::Each(kernel),
        stride: Pair::Both(1),
        padding: Sides::Pair(Pair::Both(1)),
        dilation: Pair::Both(1),
        groups: 1,
        bias: true,
    })
}

fn none() -> Sides {
    Sides::Pair(Pair::Both(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_of_48_pixels_pass_1152_features_and_decoders_give_the_images_size() {
        let image = Size::new(3, 48, 48);
        let graph = encoder(image, &[("z", 6)]).unwrap();
        assert_eq!(graph.size(graph.place("flatten").unwrap()), Size::new(1152, 1, 1));
        for image in [image, Size::new(1, 28, 28), Size::new(2, 33, 50)] {
            let graph = decoder(image, 6).unwrap();
            assert_eq!(graph.size(graph.output("image").unwrap()), image);
            assert!(classifier(image, &[("logits", 60)]).is_ok());
        }
    }

    /// Written out by hand from the table above for 48 x 48 RGB and 60 classes.
    #[test]
    fn parameters_are_as_many_as_the_table_says() {
        let image = Size::new(3, 48, 48);
        let convolutions = (75 * 4 + 4) + (100 * 8 + 8) + (200 * 16 + 16) + (144 * 32 + 32) + (288 * 64 + 64);
        let dense = (576 * 60 + 60) + (60 * 60 + 60);
        assert_eq!(classifier(image, &[("logits", 60)]).unwrap().parameter_count(), convolutions + dense);
    }
}
