//! A density model: a small PixelCNN++ is fitted to grey shapes of 8 x 8 pixels, and bits per dimension say what an image that it
//! has not seen costs. Eight bits are what a model costs that knows nothing.
//!
//! `cargo run --package obverse --example density`

use std::error::Error;
use std::path::Path;

use obverse::data::batches::{ImageFile, epoch_order};
use obverse::data::shapes;
use obverse::density::training::{Examples, Settings, Training, log_likelihoods};
use obverse::density::{Architecture, Likelihood, PixelCnn};
use obverse::information::bound::{Estimate, bits_per_dimension};
use obverse::store::npy::write;
use obverse::train::checkpoint::Position;
use obverse::train::run::Trainee;
use obverse::train::schedule::{Pace, Schedule};

const SIDE: usize = 8;
const TRAIN: usize = 480;
const TEST: usize = 120;
const BATCH: usize = 16;
const EPOCHS: u64 = 5;

/// The first channel of white shapes: each fifth class is one.
fn images(path: &Path, first: usize, count: usize) -> Result<Examples, Box<dyn Error>> {
    let pixels =
        (first..first + count).flat_map(|index| shapes::example(5 * index, SIDE, 0).pixels[..SIDE * SIDE].to_vec());
    write(path, &[count, SIDE, SIDE], &pixels.collect::<Vec<u8>>())?;
    Ok(Examples::new(ImageFile::open(path)?, None)?)
}

/// Bits per dimension of the test images, with an interval of 95%.
fn print_cost(name: &str, model: &PixelCnn<f32>, test: &Examples) -> Result<(), Box<dyn Error>> {
    let nats = log_likelihoods(model, test, 0..TEST, |_| ())?;
    let bits = Estimate::of(&nats, 1000, 0)?.scaled(bits_per_dimension(SIDE * SIDE));
    println!("{name}: {:.3} bits per dimension, {:.3} to {:.3}", bits.mean, bits.interval[0], bits.interval[1]);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let train = images(&folder.path().join("train.npy"), 0, TRAIN)?;
    let test = images(&folder.path().join("test.npy"), TRAIN, TEST)?;
    let architecture = Architecture {
        channels: 1,
        height: SIDE,
        width: SIDE,
        filters: 8,
        blocks: 1,
        likelihood: Likelihood::LogisticMixture(4),
        condition: None,
    };
    let updates = EPOCHS * TRAIN.div_ceil(BATCH) as u64;
    let pace = Pace { learning_rate: 5e-3, schedule: Schedule::Constant, betas: [0.95, 0.9995], updates };
    let settings = Settings { pace, dropout: 0.0, condition_dropout: 0.0, polyak: 0.99, patience: 0, validated: 0 };
    let mut training = Training::<f32>::new(architecture, settings, 0, &train, None)?;
    print_cost("before", &training.model(), &test)?;
    let mut position = Position::default();
    for epoch in 0..EPOCHS {
        position.epoch = epoch;
        for rows in epoch_order(0, epoch, TRAIN).chunks(BATCH) {
            training.update(&position, rows)?;
            position.update += 1;
        }
        print_cost(&format!("epoch {}", epoch + 1), &training.model(), &test)?;
    }
    Ok(())
}
