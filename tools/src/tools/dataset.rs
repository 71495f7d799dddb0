//! Datasets: fetched, imported from their own formats, drawn, warped, described. All become the same folder.

mod affine;
mod fetch;
mod images;
mod import;
mod parts;
mod synth;

use clap::{Args, Parser, Subcommand};
use obverse::data::output::Description;

use crate::request::Input;
use affine::AffineArguments;
use fetch::FetchArguments;
use import::ImportArguments;
use synth::SynthArguments;

/// Fetch, import, draw, warp and describe datasets
///
/// Every dataset becomes a folder of the same form. Each of its parts (train, test, validation, unlabeled, …) has a file
/// PART-images.npy (u8, N x channels x height x width) and, if it has labels, PART-labels.npy (i64, N). CelebA also has
/// PART-attributes.npy (u8, N x 40). dataset.json says what they are and where they came from. The folder appears complete or not at all.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Measures:
  train, test, validation, … how many images each part has

Examples:
  dataset synth shapes --count 24000 --size 48 -o data/shapes
  dataset info data/shapes
  dataset fetch mnist && dataset affine data/mnist -o data/mnist-affine";

#[derive(Subcommand)]
enum Command {
    Fetch(FetchArguments),
    Import(ImportArguments),
    Synth(SynthArguments),
    Affine(AffineArguments),
    Info(InfoArguments),
}

/// Describe a dataset, checking its files against its description
#[derive(Args)]
#[command(after_help = "Examples:
  dataset info data/mnist
  dataset info data/mnist --json")]
struct InfoArguments {
    /// The dataset
    #[arg(value_name = "DIR")]
    input: Input,
    /// Print the description as JSON
    #[arg(long, add = crate::request::ChangesNothing)]
    json: bool,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Fetch(arguments) => fetch::fetch(arguments),
        Command::Import(arguments) => import::import(arguments),
        Command::Synth(arguments) => synth::draw(arguments),
        Command::Affine(arguments) => affine::warp(arguments),
        Command::Info(arguments) => info(&arguments),
    }
}

fn info(arguments: &InfoArguments) -> anyhow::Result<()> {
    parts::show(&Description::read(&arguments.input)?, arguments.json)
}
