//! Feature alignment: an encoder is trained so that one gradient step on an empty image recovers what was encoded. There is no
//! decoder. Prints how far recoveries of new images are from the images, before and after the training.
//!
//! `cargo run --package obverse --example invert`

use std::error::Error;

use obverse::alignment::recovery::{Aim, Recovery};
use obverse::alignment::step::{AimWeights, Examples, Heads, Objective, step};
use obverse::data::shapes;
use obverse::net::op::{Flatten, LeakyRelu, Linear};
use obverse::net::{Graph, Initialisation, InputSpec, Mode, Network, Node, Size};
use obverse::ops::InputGradient;
use obverse::tensor::{Batch, Tape, batch, channels_last, view, zeros};
use obverse::train::adam::{Adam, AdamSettings};

const SIDE: usize = 16;
const BATCH: usize = 32;
const UPDATES: usize = 300;
/// Images from here on are for the test.
const TEST: usize = UPDATES * BATCH;

/// Coloured shapes, numbers `first` to `first + count`, as (N, H, W, C) in 0..1.
fn images(first: usize, count: usize) -> Batch<f32> {
    let bytes = (first..first + count).flat_map(|index| shapes::example(index, SIDE, 0).pixels);
    let values: Vec<f32> = bytes.map(|byte| f32::from(byte) / 255.0).collect();
    let shape = (count, SIDE, SIDE, 3);
    batch(channels_last(&values, shape), shape)
}

fn main() -> Result<(), Box<dyn Error>> {
    // 768 numbers an image -> 96 latents.
    let nodes = vec![
        Node::new("flat", Flatten, "input"),
        Node::new("fc", Linear::new(512, true), "flat"),
        Node::new("act", LeakyRelu { slope: 0.01 }, "fc"),
        Node::new("z", Linear::new(96, true), "act"),
    ];
    let graph = Graph::new(InputSpec::plain(Size::new(3, SIDE, SIDE)), nodes, [("z".into(), "z".into())].into())?;
    let mut encoder = Network::<f32>::initialised(graph, Initialisation::Orthogonal, 0);

    let recovery = Recovery { steps: 1, tau: 1.0, sigmoid: false };
    let empty: Batch<f32> = zeros((1, SIDE, SIDE, 3));
    let (heads, new) = (Heads::of(encoder.graph())?, images(TEST, 64));
    // |x - r|^2 per pixel of images that the training does not see, from their latents alone.
    let error = |encoder: &Network<f32>| -> obverse::net::Result<f32> {
        let trace = encoder.forward(&mut Tape::off(), &new, Mode::Inference, InputGradient::Unwanted);
        let z = encoder.value(&trace, heads.latent)?.clone();
        let recovered = recovery.recover(&mut Tape::off(), encoder, &[Aim::at(heads.latent, &z)], &empty)?;
        let pairs = view(&recovered).iter().zip(view(&new));
        Ok(pairs.map(|(r, x)| (x - r).powi(2)).sum::<f32>() / view(&new).len() as f32)
    };
    println!("squared error per pixel before the training: {:.4}", error(&encoder)?);

    let mut adam = Adam::new(encoder.parameters());
    let weights = AimWeights { deviated: false, alpha: 1.0 };
    let objective = Objective { recovery, weights, factor: 0.5 };
    for update in 0..UPDATES {
        let x = images(update * BATCH, BATCH);
        let done = step(&encoder, &heads, &objective, &Examples { x: &x, labels: None, r: &empty }, None)?;
        adam.step(&mut encoder, &done.gradients, &AdamSettings::with_rate(1e-3), |_| None);
        if (update + 1) % 100 == 0 {
            println!("update {}: {:.4}", update + 1, done.squared_error / view(&x).len() as f64);
        }
    }
    println!("squared error per pixel after the training:  {:.4}", error(&encoder)?);
    Ok(())
}
