//! The arguments of a recovery, which training and inversion share.

use clap::{Args, ValueEnum};
use obverse::align::training::{Settings, Start};

/// How images follow from latents; what is not given is the preset's, or the trained network's.
#[derive(Clone, Copy, Debug, Args)]
pub struct RecoveryArguments {
    /// Gradient steps on the input, T
    #[arg(long, value_name = "T")]
    steps: Option<usize>,
    /// Weight of each step
    #[arg(long, value_name = "T")]
    tau: Option<f64>,
    /// Where the recovery starts
    #[arg(long, value_enum)]
    start: Option<StartArgument>,
    /// Whether the recovery passes through a sigmoid
    #[arg(long, value_enum)]
    sigmoid: Option<Switch>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StartArgument {
    Zeros,
    Uniform,
    Gaussian,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl RecoveryArguments {
    /// `settings`, with what was asked otherwise.
    pub fn applied_to(self, settings: Settings) -> Settings {
        let start = self.start.map(|start| match start {
            StartArgument::Zeros => Start::Zeros,
            StartArgument::Uniform => Start::Uniform,
            StartArgument::Gaussian => Start::Gaussian,
        });
        Settings {
            steps: self.steps.unwrap_or(settings.steps),
            tau: self.tau.unwrap_or(settings.tau),
            sigmoid: self.sigmoid.map_or(settings.sigmoid, |switch| matches!(switch, Switch::On)),
            start: start.unwrap_or(settings.start),
            ..settings
        }
    }
}
