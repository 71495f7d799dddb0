//! Figures as files: PNG or SVG, as the file's name says.

use crate::request::Output;
use std::path::Path;

use anyhow::{bail, ensure};
use clap::Args;
use obverse::report::{Figure, encode_png};
use obverse::store::staged::Staged;

use crate::CommonArguments;

/// What a figure is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Pixels.
    Png,
    /// Shapes.
    Svg,
}

impl Format {
    /// The format that a file's name says.
    ///
    /// # Errors
    /// A name that ends in neither .png nor .svg.
    pub fn of(output: &Path) -> anyhow::Result<Self> {
        let extension = output.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => bail!("-o {}: expected a name that ends in .png or .svg", output.display()),
        }
    }

    /// A figure as a file that is not in its place yet.
    ///
    /// # Errors
    /// A figure of no pixels, a file that cannot be written.
    pub fn stage(self, figure: &Figure, output: &Path) -> anyhow::Result<Staged> {
        let bytes = match self {
            Self::Svg => figure.svg()?.into_bytes(),
            Self::Png => encode_png(&figure.picture()?)?,
        };
        Ok(Staged::of_bytes(output, bytes)?)
    }
}

/// The arguments of a command that draws a figure.
#[derive(Args)]
pub struct PictureArguments {
    /// A name for each file or group [default: the files' names]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub captions: Vec<String>,
    /// What to write above
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub title: String,
    /// The picture: .png, or .svg
    #[arg(short, long, value_name = "PICTURE")]
    pub output: Output,
    /// What all tools take
    #[command(flatten)]
    pub common: CommonArguments,
}

impl PictureArguments {
    /// The captions, or the names of these paths.
    ///
    /// # Errors
    /// Another number of captions than of paths.
    pub fn names(&self, paths: &[&Path]) -> anyhow::Result<Vec<String>> {
        let (given, named) = (paths.len(), self.captions.len());
        ensure!(
            named == 0 || named == given,
            "--captions: expected one for each of {given} files or groups, found {named}"
        );
        let name = |path: &&Path| path.display().to_string();
        Ok(if named == 0 { paths.iter().map(name).collect() } else { self.captions.clone() })
    }
}
