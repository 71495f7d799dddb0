//! Figures as files: PNG or SVG, according to the file's name.

use crate::request::Output;
use std::path::Path;

use anyhow::{bail, ensure};
use clap::Args;
use obverse::report::{Figure, encode_png};
use obverse::store::staged::Staged;

use crate::CommonArguments;

/// The format of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Pixels.
    Png,
    /// Shapes.
    Svg,
}

impl Format {
    /// The format that a file's name asks for.
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

    /// A figure as a staged file, not in its place yet.
    ///
    /// # Errors
    /// A figure without pixels, a file that cannot be written.
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
    /// The title
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub title: String,
    /// The picture: .png, or .svg
    #[arg(short, long, value_name = "PICTURE")]
    pub output: Output,
    /// `--threads`, `--json`, …
    #[command(flatten)]
    pub common: CommonArguments,
}

impl PictureArguments {
    /// The captions, or else the names of these paths.
    ///
    /// # Errors
    /// A number of captions that is not the number of paths.
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
