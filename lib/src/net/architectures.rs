//! The networks of feature alignment, Tables 7 to 12, by the name of the dataset they were made for.
//!
//! | name | widths | hidden layer |
//! |---|---|---|
//! | mnist | 32, 64 | 4096 |
//! | cifar10 | 32, 64, 128 | 2048 |
//! | celeba, stl10 | 32, 64, 128, 256 | 4096 |
//!
//! An encoder and a discriminator hold a pair of 3 x 3 convolutions a width, with stride 1 and 2, and the hidden linear
//! layer, which takes whatever size the images leave; a decoder is the way back by transposed convolutions. A generator
//! refines an image at its own size.

use super::chain::{Chain, convolution, leaky, normalisation};
use super::clarke;
use super::connected;
use super::error::{Error, Result};
use super::graph::{Graph, INPUT, Node};
use super::nash;
use super::op::{Asinh, Concat, ConvTranspose2d, Flatten, Input, Linear, Op, Pair, Reshape, Sides, Sigmoid};
use super::size::Size;

pub use super::chain::Head;

/// The names of feature alignment's architectures.
pub const NAMES: [&str; 4] = ["mnist", "cifar10", "celeba", "stl10"];

/// The name of the classifier and autoencoder of "Generative model regularisation for feature visualisation".
pub const CLARKE: &str = clarke::NAME;

/// The name of the fully connected classifier that is trained on its shadows.
pub const CONNECTED: &str = connected::NAME;

/// The names of the classifiers of "Inverting supervised representations".
pub const NASH: [&str; 4] = nash::NAMES;

/// The name of the network of the toy example.
pub const TOY: &str = "toy";

/// The name of a generator's second input, the one-hot class.
pub const LABELS: &str = "labels";

/// Channels inside a generator.
const GENERATOR_WIDTH: usize = 128;

/// What tells one named architecture from another.
struct Plan {
    widths: &'static [usize],
    hidden: usize,
    /// Side of the generator's kernels.
    kernel: usize,
    /// Whether the decoder has a linear layer of `hidden` features before that of the image (Table 12 prints none).
    two_linear: bool,
}

fn plan(name: &str) -> Result<Plan> {
    Ok(match name {
        "mnist" => Plan { widths: &[32, 64], hidden: 4096, kernel: 3, two_linear: true },
        "cifar10" => Plan { widths: &[32, 64, 128], hidden: 2048, kernel: 3, two_linear: true },
        "celeba" => Plan { widths: &[32, 64, 128, 256], hidden: 4096, kernel: 3, two_linear: true },
        "stl10" => Plan { widths: &[32, 64, 128, 256], hidden: 4096, kernel: 7, two_linear: false },
        _ => {
            return Err(Error::NoSuchArchitecture {
                name: name.to_string(),
                known: [&NAMES[..], &[CLARKE, CONNECTED], &NASH].concat().join(", "),
            });
        }
    })
}

/// An encoder (Tables 7, 8 and 9) for images of `input` size, with the given heads.
///
/// ```
/// use obverse::net::{Size, architectures::encoder};
/// let graph = encoder("mnist", Size::new(1, 28, 28), &[("z", 128)])?;
/// assert_eq!(graph.parameter_count(), 13_438_560);
/// # Ok::<(), obverse::net::Error>(())
/// ```
///
/// # Errors
/// An unknown name; images that the strides shrink to nothing.
pub fn encoder(name: &str, input: Size, heads: &[Head]) -> Result<Graph> {
    if name == clarke::NAME {
        return clarke::encoder(input, heads);
    }
    encoder_of(name, input, heads, &leaky())
}

/// The encoder of local feature alignment (section 3.5): asinh after each layer, so that each can be undone.
///
/// # Errors
/// As [`encoder`].
pub fn local_encoder(name: &str, input: Size, heads: &[Head]) -> Result<Graph> {
    encoder_of(name, input, heads, &Op::Asinh(Asinh))
}

/// A classifier with an output "logits" of `classes` features: an encoder with that head, or the classifier of its paper, which
/// drops a share `dropout` in training where its paper has dropout.
///
/// # Errors
/// As [`encoder`].
pub fn classifier(name: &str, input: Size, classes: usize, dropout: f64) -> Result<Graph> {
    let heads = [("logits", classes)];
    match name {
        clarke::NAME => clarke::classifier(input, &heads),
        connected::NAME => connected::classifier(input, &heads, dropout),
        _ if nash::NAMES.contains(&name) => nash::classifier(name, input, &heads, dropout),
        _ => encoder(name, input, &heads),
    }
}

/// The network of equation 3 of Nash et al. (2019): from what a layer computes, of size `from`, to an output "image".
///
/// # Errors
/// Sizes beyond what a graph takes.
pub fn inverter(image: Size, from: Size) -> Result<Graph> {
    nash::decoder(image, from)
}

fn encoder_of(name: &str, input: Size, heads: &[Head], activation: &Op) -> Result<Graph> {
    let chain = trunk(&plan(name)?, activation, false);
    chain.with_heads(input, heads)
}

/// The network of the toy example (section 3.2): two hidden layers of 1024 features, LeakyReLU after each.
///
/// # Errors
/// A head without features.
pub fn perceptron(input: Size, heads: &[Head]) -> Result<Graph> {
    let mut chain = Chain::new();
    chain.push("flatten", Flatten);
    for number in 1..=2 {
        chain.push(format!("fc{number}"), Linear::new(1024, true));
        chain.push(format!("act{number}"), leaky());
    }
    chain.with_heads(input, heads)
}

/// A discriminator (Table 10) for images of `input` size; its output "score" is one number.
///
/// `batch_norm` is that of Table 10, after each convolution of stride 2; the published code has none.
///
/// # Errors
/// As [`encoder`].
pub fn discriminator(name: &str, input: Size, batch_norm: bool) -> Result<Graph> {
    let mut chain = trunk(&plan(name)?, &leaky(), batch_norm);
    chain.push("score", Linear::new(1, true));
    chain.graph(input, &["score"])
}

/// Pairs of convolutions and the hidden linear layer.
fn trunk(plan: &Plan, activation: &Op, batch_norm: bool) -> Chain {
    let mut chain = Chain::new();
    let strides = plan.widths.iter().flat_map(|&width| [(width, 1), (width, 2)]);
    for (number, (channels, stride)) in (1..).zip(strides) {
        chain.push(format!("conv{number}"), convolution(channels, 3, stride));
        chain.push(format!("act{number}"), activation.clone());
        if batch_norm && stride == 2 {
            chain.push(format!("norm{number}"), normalisation());
        }
    }
    chain.push("flatten", Flatten);
    chain.push("fc1", Linear::new(plan.hidden, true));
    chain.push("act_fc1", activation.clone());
    chain
}

/// A generator (Table 11) that refines images of `image` size; its output is "image". With `classes` it reads a second
/// input, "labels", one-hot, as one more channel.
///
/// Kernels are 3 x 3, or 7 x 7 for STL-10, with the padding that keeps the size.
///
/// # Errors
/// An unknown name.
pub fn generator(name: &str, image: Size, classes: Option<usize>) -> Result<Graph> {
    let kernel = plan(name)?.kernel;
    let mut chain = Chain::new();
    if let Some(classes) = classes {
        let mut labels = Node::new(LABELS, Input { shape: Size::new(classes, 1, 1) }, INPUT);
        labels.inputs.clear();
        chain.nodes.push(labels);
        chain.last = LABELS.to_string();
        chain.push("label_fc", Linear::new(image.height * image.width, true));
        chain.push("label_plane", Reshape { shape: [1, image.height, image.width] });
        let mut joined = Node::new("with_label", Concat::default(), INPUT);
        joined.inputs.push(chain.last.clone());
        chain.nodes.push(joined);
        chain.last = "with_label".to_string();
    }
    for number in 1..=2 {
        chain.push(format!("conv{number}"), convolution(GENERATOR_WIDTH, kernel, 1));
        chain.push(format!("act{number}"), leaky());
        chain.push(format!("norm{number}"), normalisation());
    }
    chain.push("conv3", convolution(image.channels, kernel, 1));
    chain.push("image", Sigmoid);
    chain.graph(image, &["image"])
}

/// A decoder (Table 12, or of the paper of its encoder) from `latent` features to images of `image` size; its output is "image".
///
/// # Errors
/// An unknown name.
pub fn decoder(name: &str, image: Size, latent: usize) -> Result<Graph> {
    if name == clarke::NAME {
        return clarke::decoder(image, latent);
    }
    decoder_of(name, image, latent, None)
}

/// The decoder of a GAN: [`decoder`] with batch normalisation after each hidden layer. Without it, which Table 12 does not print,
/// all draws become one image (Radford et al. 2016, section 3, and our measurement).
///
/// # Errors
/// An unknown name.
pub fn sampler(name: &str, image: Size, latent: usize) -> Result<Graph> {
    decoder_of(name, image, latent, Some(&normalisation()))
}

fn decoder_of(name: &str, image: Size, latent: usize, normalisation: Option<&Op>) -> Result<Graph> {
    let plan = plan(name)?;
    // The sizes that the encoder's strides leave, largest first: the transposed convolutions undo them.
    let halved = |side: usize| side.div_ceil(2);
    let sides = std::iter::successors(Some((image.height, image.width)), |&(h, w)| Some((halved(h), halved(w))));
    let sides: Vec<_> = sides.take(plan.widths.len() + 1).collect();
    let (smallest, deepest) = (sides[plan.widths.len()], plan.widths[plan.widths.len() - 1]);
    let flat = deepest * smallest.0 * smallest.1;
    let mut chain = Chain::new();
    let normalise = |chain: &mut Chain, name: String| {
        if let Some(normalisation) = normalisation {
            chain.push(name, normalisation.clone());
        }
    };
    let hidden = if plan.two_linear { plan.hidden } else { flat };
    chain.push("fc1", Linear::new(hidden, true));
    chain.push("act_fc1", leaky());
    normalise(&mut chain, "norm_fc1".into());
    if plan.two_linear {
        chain.push("fc2", Linear::new(flat, true));
        normalise(&mut chain, "norm_fc2".into());
    }
    chain.push("unflatten", Reshape { shape: [deepest, smallest.0, smallest.1] });
    let mut number = 0;
    for (stage, &width) in plan.widths.iter().enumerate().rev() {
        number += 1;
        chain.push(format!("conv{number}"), doubling(width, sides[stage + 1], sides[stage]));
        chain.push(format!("act{number}"), leaky());
        normalise(&mut chain, format!("norm{number}"));
        if stage > 0 {
            number += 1;
            let same = Sides::Pair(Pair::Both(0));
            chain.push(format!("conv{number}"), transposed(plan.widths[stage - 1], 1, same));
            chain.push(format!("act{number}"), leaky());
            normalise(&mut chain, format!("norm{number}"));
        }
    }
    chain.push("conv_out", convolution(image.channels, 3, 1));
    chain.push("image", Sigmoid);
    chain.graph(Size::new(latent, 1, 1), &["image"])
}

/// A transposed convolution of stride 2 from one size to (about) twice that.
fn doubling(channels: usize, from: (usize, usize), to: (usize, usize)) -> Op {
    // (side - 1) * 2 - 2 * padding + kernel = 2 * side - 1, and what is added to it.
    let (bottom, right) = (to.0 + 1 - 2 * from.0, to.1 + 1 - 2 * from.1);
    let added = match bottom == right {
        true => Sides::Pair(Pair::Both(bottom)),
        false => Sides::Pair(Pair::Each([bottom, right])),
    };
    transposed(channels, 2, added)
}

fn transposed(channels: usize, stride: usize, output_padding: Sides) -> Op {
    Op::ConvTranspose2d(ConvTranspose2d {
        channels,
        kernel: Pair::Both(3),
        stride: Pair::Both(stride),
        padding: Sides::Pair(Pair::Both(1)),
        output_padding,
        dilation: Pair::Both(1),
        groups: 1,
        bias: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, image, latent and number of classes of the paper's four datasets.
    const DATASETS: [(&str, Size, usize, Option<usize>); 4] = [
        ("mnist", Size { channels: 1, height: 28, width: 28 }, 128, Some(10)),
        ("cifar10", Size { channels: 3, height: 32, width: 32 }, 128, Some(10)),
        ("celeba", Size { channels: 3, height: 64, width: 64 }, 128, Some(10)),
        ("stl10", Size { channels: 3, height: 64, width: 64 }, 512, None),
    ];

    fn variational(name: &str, image: Size, latent: usize, class: Option<usize>) -> usize {
        let mut heads = vec![("mu", latent), ("log_var", latent)];
        heads.extend(class.map(|classes| ("class", classes)));
        encoder(name, image, &heads).unwrap().parameter_count()
    }

    /// The counts of the paper's Tables 3 to 6, in millions there.
    #[test]
    fn parameter_counts_are_those_of_the_tables() {
        let encoders = [14_003_946, 5_028_394, 19_043_370, 22_148_896];
        let with_generator = [14_164_251, 5_195_949, 19_244_717, 22_990_115];
        let decoders = [13_441_505, 4_747_427, 18_481_699, 3_273_251];
        let vaes = [27_404_481, 9_755_331, 37_484_099, 25_422_147];
        for (which, (name, image, latent, classes)) in DATASETS.into_iter().enumerate() {
            let encoder = variational(name, image, latent, classes);
            assert_eq!(encoder, encoders[which], "{name}");
            let generator = generator(name, image, classes).unwrap();
            assert_eq!(encoder + generator.parameter_count(), with_generator[which], "{name}");
            let decoder = decoder(name, image, latent).unwrap();
            assert_eq!(decoder.parameter_count(), decoders[which], "{name}");
            assert_eq!(variational(name, image, latent, None) + decoder.parameter_count(), vaes[which], "{name}");
        }
        assert_eq!(variational("celeba", DATASETS[2].1, 128, None), 19_002_400);
    }

    #[test]
    fn decoders_and_generators_give_images_of_the_size_asked_for() {
        for (name, ..) in DATASETS {
            for image in [Size::new(3, 48, 48), Size::new(1, 31, 50), Size::new(2, 64, 33)] {
                for graph in [decoder(name, image, 7).unwrap(), generator(name, image, Some(3)).unwrap()] {
                    assert_eq!(graph.size(graph.output("image").unwrap()), image, "{name}");
                }
                let discriminator = discriminator(name, image, true).unwrap();
                assert_eq!(discriminator.size(discriminator.output("score").unwrap()), Size::new(1, 1, 1));
            }
        }
    }

    #[test]
    fn an_unknown_name_lists_those_there_are() {
        let error = encoder("mnist2", Size::new(1, 28, 28), &[("z", 2)]).unwrap_err().to_string();
        assert!(error.contains("mnist2") && error.contains("celeba"), "{error}");
    }
}
