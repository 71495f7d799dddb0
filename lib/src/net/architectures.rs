//! The encoders of feature alignment, Tables 7, 8 and 9: pairs of 3 x 3 convolutions with stride 1 and 2, two linear layers.
//!
//! | name | widths | first linear layer |
//! |---|---|---|
//! | mnist (Table 7) | 32, 64 | 4096 |
//! | cifar10 (Table 8) | 32, 64, 128 | 2048 |
//! | celeba, stl10 (Table 9) | 32, 64, 128, 256 | 4096 |
//!
//! The first linear layer takes whatever size the images leave.

use std::collections::BTreeMap;

use super::error::{Error, Result};
use super::graph::{Graph, INPUT, InputSpec, Node, Op, Pair, Sides, Size};
use crate::ops::activation::LEAKY_SLOPE;

/// The names of the encoders.
pub const ENCODERS: [&str; 4] = ["mnist", "cifar10", "celeba", "stl10"];

/// An output of an encoder: a linear layer of this name and number of features on top of the last hidden one.
pub type Head<'a> = (&'a str, usize);

/// An encoder by name, for images of `input` size, with the given heads.
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
    let (widths, hidden): (&[usize], usize) = match name {
        "mnist" => (&[32, 64], 4096),
        "cifar10" => (&[32, 64, 128], 2048),
        "celeba" | "stl10" => (&[32, 64, 128, 256], 4096),
        _ => return Err(Error::NoSuchArchitecture { name: name.to_string(), known: ENCODERS.join(", ") }),
    };
    let mut nodes: Vec<Node> = Vec::new();
    let mut last = INPUT.to_string();
    let mut push = |name: String, op: Op, last: &mut String| {
        nodes.push(Node::new(name.clone(), op, last.clone()));
        *last = name;
    };
    let strides = widths.iter().flat_map(|&width| [(width, 1), (width, 2)]);
    for (number, (channels, stride)) in (1..).zip(strides) {
        push(format!("conv{number}"), convolution(channels, stride), &mut last);
        push(format!("act{number}"), Op::LeakyRelu { slope: LEAKY_SLOPE }, &mut last);
    }
    push("flatten".into(), Op::Flatten, &mut last);
    push("fc1".into(), Op::Linear { features: hidden, bias: true }, &mut last);
    push("act_fc1".into(), Op::LeakyRelu { slope: LEAKY_SLOPE }, &mut last);
    for &(head, features) in heads {
        push(head.to_string(), Op::Linear { features, bias: true }, &mut last.clone());
    }
    let outputs: BTreeMap<_, _> = heads.iter().map(|&(head, _)| (head.to_string(), head.to_string())).collect();
    Graph::new(InputSpec::plain(input), nodes, outputs)
}

fn convolution(channels: usize, stride: usize) -> Op {
    Op::Conv2d {
        channels,
        kernel: Pair::Both(3),
        stride: Pair::Both(stride),
        padding: Sides::Pair(Pair::Both(1)),
        dilation: Pair::Both(1),
        groups: 1,
        bias: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counts of the paper's Tables 3 to 6, in millions there; `heads` are mu, log_var and, but for STL-10, a class.
    #[test]
    fn parameter_counts_are_those_of_the_tables() {
        let count = |name, channels, side, latent, class: Option<usize>| {
            let mut heads = vec![("mu", latent), ("log_var", latent)];
            heads.extend(class.map(|classes| ("class", classes)));
            encoder(name, Size::new(channels, side, side), &heads).unwrap().parameter_count()
        };
        assert_eq!(count("mnist", 1, 28, 128, Some(10)), 14_003_946);
        assert_eq!(count("cifar10", 3, 32, 128, Some(10)), 5_028_394);
        assert_eq!(count("celeba", 3, 64, 128, Some(10)), 19_043_370);
        assert_eq!(count("celeba", 3, 64, 128, None), 19_002_400);
        assert_eq!(count("stl10", 3, 64, 512, None), 22_148_896);
    }

    #[test]
    fn an_unknown_name_lists_those_there_are() {
        let error = encoder("mnist2", Size::new(1, 28, 28), &[("z", 2)]).unwrap_err().to_string();
        assert!(error.contains("mnist2") && error.contains("celeba"), "{error}");
    }
}
