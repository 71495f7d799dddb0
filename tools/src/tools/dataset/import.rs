//! Datasets from their own files.

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use obverse::data::folder::LIST;
use obverse::data::import::{self, Format, Import};
use obverse::data::output::Description;

use super::images::ImageArguments;
use super::parts::{say_left_out, show, stem, write};
use crate::request::{ChangesNothing, Declared, Input, Output};
use crate::{CommonArguments, Task};

/// Import a dataset from its own files
///
/// SRC is a folder or an archive (tar, tar.gz, tar.zst, zip) with the files under their usual names, or one such file. Links in a folder are
/// followed; hidden files and folders are skipped. What else is there and not read is counted by kind, and said.
///
/// The format images: files in folders named after their classes, inside train, test, validation (val, valid) and unlabeled if there are
/// parts. Then all images must lie in parts. Classes are numbered in the order of their names, and images are taken in turn, one of each
/// class. A single folder gives no labels, nor does a part whose images lie directly in it. Classes of validation images may stand in
/// a list: val_annotations.txt (Tiny ImageNet), LOC_val_solution.csv, imagenet_2012_validation_synset_labels.txt, val.txt, or --list.
///
/// The format celeba: images, list_eval_partition.txt (train, validation, test) and, if it is there, list_attr_celeba.txt, which becomes
/// PART-attributes.npy (u8, N x 40, 0 or 1). Both lists may lie beside SRC.
#[derive(Args)]
#[command(after_help = "Examples:
  dataset import --format cifar cifar-10-python.tar.gz -o data/cifar10
  dataset import --format images photos.zip --dry-run
  dataset import --format celeba img_align_celeba --crop 148 --resize 64 -o data/celeba
  dataset import --format idx gzip.zip --split letters -o data/emnist-letters")]
pub(super) struct ImportArguments {
    /// The folder, archive or file
    #[arg(value_name = "SRC", add = Declared)]
    source: PathBuf,
    /// The format of the files
    #[arg(long)]
    format: FormatName,
    /// The folder to make
    #[arg(short, long, value_name = "DIR", required_unless_present = "dry_run")]
    output: Option<Output>,
    /// The split to take, where there are several: files with -NAME- in their names
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// The classes of the validation images, one per line: name and class, or the class alone, in the order of names; format images only
    #[arg(long, value_name = "FILE")]
    list: Option<Input>,
    /// Print parts, classes, counts and what is left out, and write nothing
    #[arg(long, add = ChangesNothing)]
    dry_run: bool,
    #[command(flatten)]
    images: ImageArguments,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// MNIST and its kin (EMNIST, QMNIST, KMNIST), gzipped or not
    Idx,
    /// CIFAR-10, binary or Python version
    Cifar,
    /// CIFAR-100, binary or Python version
    Cifar100,
    /// SVHN's cropped digits, .mat
    Svhn,
    /// STL-10, .bin
    Stl10,
    /// affNIST, .mat
    Affnist,
    /// PNG, JPEG, BMP, GIF, WebP, TIFF, PPM, PGM, PBM, PAM, TGA, QOI
    Images,
    /// CelebA's images and lists
    Celeba,
    /// Arrays of u8 in an .npz file: arr_0, x_train, train_images
    Npz,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Idx => Self::Idx,
            FormatName::Cifar => Self::Cifar,
            FormatName::Cifar100 => Self::Cifar100,
            FormatName::Svhn => Self::Svhn,
            FormatName::Stl10 => Self::Stl10,
            FormatName::Affnist => Self::Affnist,
            FormatName::Images => Self::Images,
            FormatName::Celeba => Self::Celeba,
            FormatName::Npz => Self::Npz,
        }
    }
}

pub(super) fn import(arguments: ImportArguments) -> anyhow::Result<()> {
    let ImportArguments { source, format, output, split, list, dry_run, images, common } = arguments;
    let format = Format::from(format);
    ensure!(list.is_none() || format == Format::Images, "--list: expected --format images, found another");
    let mut source = format.source_of_split(&source, split.as_deref())?;
    let mut description = Description::new(&stem(source.path()));
    let Some(output) = output.filter(|_| !dry_run) else {
        list.iter().for_each(|list| source.take_in(LIST, list));
        let import = format.open(source, images.options())?;
        let parts = images.limited(import.parts);
        return show(&Import { parts, ..import }.plan(description)?, common.json);
    };
    let mut task = Task::begin(&common, Some(&output))?;
    match source.is_single() {
        true => source.files().iter().try_for_each(|file| task.input("source", file))?,
        false => {
            task.input("source", source.path())?;
            source.beside().iter().try_for_each(|file| task.input("source", file))?;
        }
    }
    task.resolved("dataset", stem(source.path()))?;
    if task.is_fresh()? {
        return Ok(());
    }
    list.iter().for_each(|list| source.take_in(LIST, list));
    description.sources = import::digests(&source)?;
    let import = format.open(source, images.options())?;
    description.classes = import.classes;
    description.left_out = import.left_out;
    say_left_out(&task, &description);
    write(task, &output, description, images.limited(import.parts), common.quiet)
}
