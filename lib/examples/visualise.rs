//! Feature visualisation: the images that six channels of a network want, by gradient ascent, drawn side by side in a PNG. The
//! network is random, so what its channels want are colours and edges.
//!
//! `cargo run --package obverse --example visualise`

use std::error::Error;

use obverse::net::{Initialisation, Network, Size, architectures};
use obverse::objective::aggregation::Aggregation;
use obverse::objective::parameterisation::{Colours, Fourier, FrequencyScale, Parameterisation, Squashed};
use obverse::objective::resolved::{Comparison, Objective};
use obverse::objective::transform::Transforms;
use obverse::report::{Layout, View, encode_png, grid, read_images};
use obverse::store::npy::{Reader, write};
use obverse::tensor::{channels_first, shape, view};
use obverse::visualisation::ascent::{Ascent, Optimiser, Settings};

const SIDE: usize = 32;
const CHANNELS: usize = 6;

fn main() -> Result<(), Box<dyn Error>> {
    let size = Size::new(3, SIDE, SIDE);
    let graph = architectures::classifier("mnist", size, 10, 0.0)?;
    // Only the second convolution and what it needs is computed.
    let network = Network::<f32>::initialised(graph, Initialisation::He, 0).only(&["conv2"])?;

    // An image for each channel: its mean over the image is raised.
    let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
    let wanted = (0..CHANNELS).map(|channel| {
        let expression = format!("channel:conv2:{channel}").parse()?;
        Ok(Objective::new(&expression, network.graph(), 1, comparison)?)
    });
    let objective = Objective::joined(wanted.collect::<Result<Vec<_>, Box<dyn Error>>>()?);

    // What is optimised is the spectrum of the image, so that low frequencies come first; the image must hold where it is moved.
    let parameterisation =
        Squashed::new::<f32>(Fourier::<f32>::new(size, FrequencyScale::Inverse), Colours::Decorrelated)?;
    let (jitter, plain): (Transforms, Transforms) = ("pad:2,jitter:4".parse()?, Transforms::default());
    let ascent = Ascent {
        network: &network,
        parameterisation: &parameterisation,
        transforms: &jitter.between(size, size)?,
        plain: &plain.between(size, size)?,
        objective: &objective,
        settings: Settings {
            steps: 128,
            optimiser: Optimiser::Adam { learning_rate: 0.05 },
            redirected: 0,
            polish: 0,
            tolerance: 1e-9,
        },
        seed: 0,
    };
    let mut state = ascent.start((0..CHANNELS).collect());
    let before = ascent.evaluate_plain(&state.s, &state.rows)?.values;
    for _ in 0..ascent.settings.steps {
        ascent.step(&mut state)?;
    }
    let after = ascent.evaluate_plain(&state.s, &state.rows)?.values;
    for (channel, (before, after)) in before.iter().zip(&after).enumerate() {
        println!("channel {channel}: {before:.3} -> {after:.3}");
    }

    let folder = std::env::temp_dir().join("obverse-visualise");
    std::fs::create_dir_all(&folder)?;
    let (array, picture) = (folder.join("images.npy"), folder.join("images.png"));
    let point = parameterisation.at(&state.s);
    let images = channels_first(view(point.images()), shape(point.images()));
    write(&array, &[CHANNELS, 3, SIDE, SIDE], &images)?;
    let tiles = read_images(&mut Reader::open(&array)?, CHANNELS, &View::default())?.tiles;
    let layout = Layout { columns: CHANNELS, scale: 4, row_captions: Vec::new(), captions: Vec::new() };
    std::fs::write(&picture, encode_png(&grid(&tiles, &layout)?)?)?;
    println!("{}", picture.display());
    Ok(())
}
