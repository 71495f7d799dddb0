//! Datasets from their own files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use obverse::data::import::{self, Format};
use obverse::data::output::Description;

use super::images::ImageArguments;
use super::parts::{stem, write};
use crate::request::{Declared, Output};
use crate::{CommonArguments, Task};

/// Import a dataset from its own files
///
/// SRC is a folder or an archive (tar, tar.gz, tar.zst, zip) with the files under their usual names, or one such file.
/// The format images: files in folders named after their classes, inside train and test if there are parts. Classes are numbered in
/// the order of their names, and images are taken in turn, one of each class. A single folder gives no labels.
#[derive(Args)]
#[command(after_help = "Examples:
  dataset import --format cifar cifar-10-python.tar.gz -o data/cifar10
  dataset import --format images img_align_celeba --crop 148 --resize 64 -o data/celeba")]
pub(super) struct ImportArguments {
    /// The folder, archive or file
    #[arg(value_name = "SRC", add = Declared)]
    source: PathBuf,
    /// The format of the files
    #[arg(long)]
    format: FormatName,
    /// The folder to make
    #[arg(short, long, value_name = "DIR")]
    output: Output,
    #[command(flatten)]
    images: ImageArguments,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// MNIST and its kin, gzipped or not
    Idx,
    /// CIFAR-10, binary or Python version
    Cifar,
    /// SVHN's cropped digits, .mat
    Svhn,
    /// STL-10, .bin
    Stl10,
    /// affNIST, .mat
    Affnist,
    /// PNG, JPEG, BMP, GIF, WebP, TIFF
    Images,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Idx => Self::Idx,
            FormatName::Cifar => Self::Cifar,
            FormatName::Svhn => Self::Svhn,
            FormatName::Stl10 => Self::Stl10,
            FormatName::Affnist => Self::Affnist,
            FormatName::Images => Self::Images,
        }
    }
}

pub(super) fn import(arguments: ImportArguments) -> anyhow::Result<()> {
    let ImportArguments { source, format, output, images, common } = arguments;
    let format = Format::from(format);
    let source = format.source(&source)?;
    let mut task = Task::begin(&common, Some(&output))?;
    match source.is_single() {
        true => source.files().iter().try_for_each(|file| task.input("source", file))?,
        false => task.input("source", source.path())?,
    }
    task.resolved("dataset", stem(source.path()))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let mut description = Description::new(&stem(source.path()));
    description.sources = import::digests(&source)?;
    let import = format.open(source, images.options())?;
    description.classes = import.classes;
    write(task, &output, description, images.limited(import.parts), common.quiet)
}
