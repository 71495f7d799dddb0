//! A picture on its way to a file or the terminal.

use std::io::{IsTerminal, stdout};
use std::path::Path;

use anyhow::Context;
use image::{DynamicImage, RgbImage};
use obverse::report::encode_png;
use obverse::store;
use obverse::store::staged::Staged;

use crate::{Metrics, Task};

/// Saves the picture or shows it.
pub(super) fn deliver(picture: RgbImage, output: Option<&Path>, task: Task, metrics: Metrics) -> anyhow::Result<()> {
    match output {
        Some(output) => task.finish_with(|| stage(&picture, output), metrics),
        None => {
            show(picture)?;
            task.finish_measurement(&metrics)
        }
    }
}

fn stage(picture: &RgbImage, output: &Path) -> anyhow::Result<Staged> {
    let shape = vec![picture.height() as usize, picture.width() as usize, 3];
    Ok(Staged::of_bytes(output, encode_png(picture)?)?.of_shape(shape))
}

fn show(picture: RgbImage) -> anyhow::Result<()> {
    // A terminal is asked what it can do only if it is one and may be coloured. Elsewhere half blocks are used.
    let ask = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let config = viuer::Config {
        absolute_offset: false,
        use_kitty: ask,
        use_iterm: ask,
        use_sixel: ask,
        ..viuer::Config::default()
    };
    match viuer::print(&DynamicImage::ImageRgb8(picture), &config) {
        Ok(_) => Ok(()),
        Err(viuer::ViuError::Io(error)) => Err(store::Error::write(Path::new("-"))(error).into()),
        Err(error) => Err(error).context("the terminal cannot show images; give -o"),
    }
}
