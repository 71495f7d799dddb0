//! `shadow-measure`: compares the theory of reverse nets with measurements.

mod spectra;
mod theory;

use crate::request::{Input, Output};

use clap::{Args, Parser, Subcommand};

use crate::picture::PictureArguments;
use crate::{CommonArguments, SeedArgument};

/// Compare the theory of reverse nets with measurements, and draw the spectra of layers.
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  exponents                  theory, one object per variable and quantity: variable, quantity, exponent, exponent_interval, and the
                             exponent that the theorems state
  error_of_one_layer, error_of_two_layers
                             theory: relative errors of recovery through one layer and through two, with their intervals

Examples:
  shadow-measure theory -o theory
  shadow-measure spectra before.npy after.npy --captions before,after -o spectra.svg"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Recover sparse hidden variables of random layers while n, m, k and rho vary, and compare with Theorems 3.1 and 3.2 and Lemma 3.3
    ///
    /// For each variable V the folder has V.npy with one row per value: the value, then for each quantity its error, half its interval
    /// of 95% and the bound. V.png and V.svg draw the same on logarithmic axes. exponents.txt compares fitted and stated exponents.
    Theory(Box<TheoryArguments>),
    /// Draw scaled singular values, as net-tap --spectrum writes them, against those that the law of random matrices predicts
    Spectra(SpectraArguments),
}

#[derive(Args)]
struct TheoryArguments {
    /// Features of h, when they are not varied
    #[arg(short, long, value_name = "N", default_value_t = 200)]
    n: usize,
    /// Features of x
    #[arg(short, long, value_name = "M", default_value_t = 8000)]
    m: usize,
    /// Features of h that are not zero
    #[arg(short, long, value_name = "K", default_value_t = 8)]
    k: usize,
    /// Share of x that dropout keeps
    #[arg(long, value_name = "R", default_value_t = 0.5)]
    rho: f64,
    /// Values of n
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [50.0, 100.0, 200.0, 400.0, 800.0])]
    vary_n: Vec<f64>,
    /// Values of m
    #[arg(long, value_name = "M,…", value_delimiter = ',', default_values_t = [2000.0, 4000.0, 8000.0, 16000.0, 32000.0])]
    vary_m: Vec<f64>,
    /// Values of k
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_values_t = [2.0, 4.0, 8.0, 16.0, 32.0])]
    vary_k: Vec<f64>,
    /// Values of rho
    #[arg(long, value_name = "R,…", value_delimiter = ',', default_values_t = [0.1, 0.2, 0.4, 0.8])]
    vary_rho: Vec<f64>,
    /// Independent repetitions with new random draws
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=10_000))]
    repetitions: u64,
    /// Hidden variables per repetition
    #[arg(long, value_name = "N", default_value_t = 16)]
    count: usize,
    /// The folder to write
    #[arg(short, long, value_name = "FOLDER")]
    output: Output,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Args)]
struct SpectraArguments {
    /// Spectra, (rows, 3)
    #[arg(required = true, value_name = "SPECTRUM.npy")]
    files: Vec<Input>,
    #[command(flatten)]
    picture: PictureArguments,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Theory(arguments) => theory::run(&arguments),
        Command::Spectra(arguments) => spectra::run(&arguments),
    }
}
