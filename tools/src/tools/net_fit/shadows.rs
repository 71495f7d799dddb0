//! The arguments of a training on shadows.

use clap::Args;
use obverse::reversible::training::Settings;

/// Whether and how to train on shadows.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Shadows")]
pub(super) struct ShadowArguments {
    /// Train a classifier on shadows too: the images that its reverse makes from the layer below the softmax (SHADOW)
    #[arg(long)]
    shadow: bool,
    /// Weight of a shadow in the loss; an image has weight 1
    #[arg(long, value_name = "W", default_value_t = 1.0, requires = "shadow")]
    shadow_weight: f64,
    /// Train this many epochs without shadows first
    #[arg(long, value_name = "N", default_value_t = 0, requires = "shadow")]
    shadow_start: u64,
    /// Let gradients pass through the shadows to the weights that made them
    #[arg(long, requires = "shadow")]
    shadow_attached: bool,
}

impl ShadowArguments {
    /// The settings; `None` without shadows.
    pub(super) fn settings(self) -> Option<Settings> {
        let Self { shadow, shadow_weight: weight, shadow_start: start, shadow_attached: attached } = self;
        shadow.then_some(Settings { weight, start, attached })
    }
}
