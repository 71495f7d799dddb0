//! The arguments of a recovery, which training and inversion share.

use clap::{Args, ValueEnum};
use obverse::alignment::settings::{Settings, Start};

/// How a recovery works; the preset or the trained network says what is not given.
#[derive(Clone, Copy, Debug, Args)]
pub struct RecoveryArguments {
    /// Gradient steps on the input, T
    #[arg(long, value_name = "T")]
    steps: Option<usize>,
    /// Weight of each step
    #[arg(long, value_name = "T")]
    tau: Option<f64>,
    /// Where the recovery starts: zeros, uniform in [0, 1), standard normal, or uniform in [-1, 1)
    #[arg(long, value_enum)]
    start: Option<StartArgument>,
    /// Whether the recovery passes through a sigmoid
    #[arg(long, value_enum)]
    sigmoid: Option<Switch>,
    /// Weight of a regression's values against its latent (equation 3)
    #[arg(long, value_name = "A")]
    alpha: Option<f64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StartArgument {
    Zeros,
    Uniform,
    Gaussian,
    Symmetric,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl RecoveryArguments {
    /// `settings`, with the flags that were given.
    pub fn applied_to(self, settings: Settings) -> Settings {
        let start = self.start.map(|start| match start {
            StartArgument::Zeros => Start::Zeros,
            StartArgument::Uniform => Start::Uniform,
            StartArgument::Gaussian => Start::Gaussian,
            StartArgument::Symmetric => Start::Symmetric,
        });
        Settings {
            steps: self.steps.unwrap_or(settings.steps),
            tau: self.tau.unwrap_or(settings.tau),
            sigmoid: self.sigmoid.map_or(settings.sigmoid, |switch| matches!(switch, Switch::On)),
            start: start.unwrap_or(settings.start),
            alpha: self.alpha.unwrap_or(settings.alpha),
            ..settings
        }
    }
}
