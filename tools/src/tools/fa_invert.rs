//! `fa-invert`: latents to images.

mod data;
mod invert;
mod inverter;
mod latents;
mod reverse;
mod targets;

use anyhow::ensure;
use clap::Parser;
use obverse::alignment::settings::trained_settings;

use crate::alignment::RecoveryArguments;
use crate::request::{Input, Output};
use crate::{Precision, RowsArguments, SeedArgument, Task};
use data::Data;
use invert::invert_all;
use latents::PathArgument;

/// Recover images from their latents alone, by gradient steps on a neutral input.
///
/// r <- r - tau d/dr 1/2 |z - E(r)|^2, from r0, T times. T, tau, r0 and the sigmoid are those the network was trained with,
/// unless given. --reverse instead runs a network of linear layers and rectifiers backwards through its transposed weights ("Why are
/// deep nets reversible"). The networks of net-fit run forward: the decoder of an autoencoder, the generator of a GAN. A row's bytes
/// depend only on its latent and the network, and where something is drawn, on --seed and the row's number.
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  mse, mse_clipped, mae      with --compare: squared error per pixel, with its standard error and interval over images; the same of
                             recoveries clipped to 0..1; absolute error per pixel
  within_D                   with --within D: the share of images whose mean absolute error is below D

Examples:
  fa-invert encoder latents.npy -o recovered.npy
  fa-invert encoder latents.npy --steps 10 --tau 0.2 --compare test-images.npy --json -o recovered.npy
  fa-invert --reverse shadowed hidden.npy --estimate train-images.npy -o reversed.npy
  fa-invert model --sample 100 --class 0,1,2,3,4,5,6,7,8,9 --generator -o samples.npy
  fa-invert model latents.npy --interpolate 3,14 --points 8 --path spherical -o way.npy"
)]
pub struct Arguments {
    /// A network folder, as fa-fit or net-fit writes it
    network: Input,
    /// Latents: .npy, (N, Z), as fa-encode writes them; with --reverse a node's output, as net-tap writes it; - for standard input
    #[arg(required_unless_present = "sample", conflicts_with = "sample")]
    latents: Option<Input>,
    /// Where the images go: .npy, (N, C, H, W); - for standard output
    #[arg(short, long, value_name = "R.npy")]
    output: Output,
    /// Draw N latents from the standard normal prior instead of reading them
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Rows of the latents to interpolate between: each to the next, or with --square over the square between four
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', requires = "latents")]
    interpolate: Vec<usize>,
    /// Images between two rows, both ends included
    #[arg(long, default_value_t = 8, value_name = "P", value_parser = clap::value_parser!(u32).range(2..=4096))]
    points: u32,
    /// How to interpolate
    #[arg(long, value_enum, default_value_t)]
    path: PathArgument,
    /// Fill the square between four rows: top left, top right, bottom left, bottom right; P x P images, row by row
    #[arg(long, requires = "interpolate")]
    square: bool,
    /// Classes to aim at, taken in turn
    #[arg(long, value_name = "K,…", value_delimiter = ',', conflicts_with = "labels")]
    class: Vec<usize>,
    /// The value of the class's entry: above 1 emphasises the class (section 3.4)
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    strength: f64,
    /// Classes to aim at, one per latent; with --interpolate they change along the way
    #[arg(long, value_name = "L.npy", requires = "latents")]
    labels: Option<Input>,
    /// Values to aim at as well, (N, F), for a network of --mode regression
    #[arg(long, value_name = "F.npy", requires = "latents", conflicts_with = "interpolate")]
    values: Option<Input>,
    /// Refine the recoveries with the generator in the network's folder
    #[arg(long)]
    generator: bool,
    /// Invert layer by layer (Algorithm 3); networks of --mode local always are
    #[arg(long)]
    local: bool,
    /// Run the network backwards through its transposed weights, from a node's output
    #[arg(long, requires = "latents", conflicts_with_all = REFUSED_BY_REVERSE)]
    reverse: bool,
    /// The node to start --reverse from [default: the one below the softmax, or the only output]
    #[arg(long, value_name = "NODE", requires = "reverse")]
    layer: Option<String>,
    /// Estimate the scales and biases of --reverse on the first 1,024 of these images [default: the model's scales, no biases]
    #[arg(long, value_name = "IMAGES.npy", requires = "reverse")]
    estimate: Option<Input>,
    /// The images that were encoded: report the mean squared error per pixel
    #[arg(long, value_name = "IMAGES.npy", conflicts_with_all = ["sample", "interpolate"])]
    compare: Option<Input>,
    /// With --compare, also the share of images whose mean absolute error is below this
    #[arg(long, value_name = "D", requires = "compare")]
    within: Option<f64>,
    #[command(flatten)]
    recovery: RecoveryArguments,
    #[command(flatten)]
    pixels: crate::PixelArguments,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    rows: RowsArguments,
}

/// The arguments that --reverse does not take.
const REFUSED_BY_REVERSE: [&str; 13] = [
    "sample",
    "interpolate",
    "class",
    "labels",
    "values",
    "generator",
    "local",
    "within",
    "steps",
    "tau",
    "start",
    "sigmoid",
    "alpha",
];

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.reverse {
        return reverse::run(&arguments);
    }
    ensure!(
        !arguments.square || arguments.interpolate.len() == 4,
        "--square: expected four rows in --interpolate, found {}",
        arguments.interpolate.len()
    );
    ensure!(
        arguments.interpolate.is_empty() || arguments.interpolate.len() > 1,
        "--interpolate: expected two rows or more, found one"
    );
    let settings = arguments.recovery.applied_to(trained_settings(&arguments.network)?).check()?;
    let data = Data::open(&arguments)?;
    let mut task = Task::begin(&arguments.rows.common, Some(&arguments.output))?;
    arguments.rows.on_device(&mut task)?;
    task.resolved("recovery", settings.recovery())?;
    task.resolved("start", settings.start)?;
    task.resolved("alpha", settings.alpha)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.rows.precision {
        Precision::F32 => invert_all::<f32>(&arguments, settings, &data, task),
        Precision::F64 => invert_all::<f64>(&arguments, settings, &data, task),
    }
}
