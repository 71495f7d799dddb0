//! The Fréchet distance between sets of images: features of a random network stand for those of a trained one. Images of one kind
//! are near each other, and the distance grows with noise on one side.
//!
//! `cargo run --package obverse --example fid`

use std::error::Error;

use obverse::data::shapes;
use obverse::fidelity::Features;
use obverse::fidelity::frechet::frechet_of_features;
use obverse::net::op::{Conv2d, GlobalAvgPool, Relu};
use obverse::net::{Graph, Initialisation, InputSpec, Mode, Network, Node, Op, Pair, Sides, Size};
use obverse::ops::InputGradient;
use obverse::tensor::random::Stream;
use obverse::tensor::{Tape, batch, channels_last, view};

const SIDE: usize = 24;
const COUNT: usize = 600;
const FEATURES: usize = 32;

/// Two convolutions, and the mean of each channel.
fn network() -> obverse::net::Result<Network<f32>> {
    let convolution = |channels| {
        Op::Conv2d(Conv2d {
            channels,
            kernel: Pair::Both(5),
            stride: Pair::Both(2),
            padding: Sides::Pair(Pair::Both(2)),
            dilation: Pair::Both(1),
            groups: 1,
            bias: true,
        })
    };
    let nodes = vec![
        Node::new("conv1", convolution(16), "input"),
        Node::new("act1", Relu, "conv1"),
        Node::new("conv2", convolution(FEATURES), "act1"),
        Node::new("act2", Relu, "conv2"),
        Node::new("mean", GlobalAvgPool, "act2"),
    ];
    let input = InputSpec::plain(Size::new(3, SIDE, SIDE));
    let graph = Graph::new(input, nodes, [("features".into(), "mean".into())].into())?;
    Ok(Network::initialised(graph, Initialisation::He, 0))
}

/// The features of shapes number `first` to `first + COUNT`, with noise of this deviation on every pixel.
fn features(network: &Network<f32>, first: usize, noise: f32) -> obverse::net::Result<Vec<f64>> {
    let bytes = (first..first + COUNT).flat_map(|index| shapes::example(index, SIDE, 0).pixels);
    let values: Vec<f32> = bytes.map(|byte| f32::from(byte) / 255.0).collect();
    let draws: Vec<f32> = Stream::new(0, "noise", first as u64).normal(0..values.len());
    let noisy: Vec<f32> = values.iter().zip(draws).map(|(value, draw)| value + noise * draw).collect();
    let shape = (COUNT, SIDE, SIDE, 3);
    let x = batch(channels_last(&noisy, shape), shape);
    let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
    let features = network.value(&trace, network.graph().output("features")?)?;
    Ok(view(features).iter().copied().map(f64::from).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let network = network()?;
    let real = features(&network, 0, 0.0)?;
    for noise in [0.0, 0.05, 0.1, 0.2] {
        // Other shapes than those they are compared with.
        let other = features(&network, COUNT, noise)?;
        let distance = frechet_of_features(Features::new(&real, FEATURES), Features::new(&other, FEATURES))?;
        let (whole, means) = (distance.distance(), distance.means);
        println!("noise {noise:.2}: distance {whole:.4}, of which {means:.4} by the means");
    }
    Ok(())
}
