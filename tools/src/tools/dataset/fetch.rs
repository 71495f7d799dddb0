//! Datasets from the network or a mirror.

use std::path::{Path, PathBuf};

use clap::Args;
use obverse::data::fetch::{Fetched, Request};
use obverse::data::import::Format;
use obverse::data::manifest::Manifest;
use obverse::data::output::Description;
use obverse::data::{Error, Source};
use obverse::net::inception;

use super::images::ImageArguments;
use super::parts::{say_left_out, write};
use crate::request::Output;
use crate::tools::net_import;
use crate::{CommonArguments, Failure, Progress, Task};

/// The folder that files are taken from first.
const MIRROR: &str = "OBVERSE_MIRROR";

/// Fetch a dataset by name and import it
///
/// Names: mnist, fashion-mnist, kmnist, qmnist, emnist (with --split), cifar10, cifar10-jpeg (a lossy copy, which counts as a dataset of its
/// own), cifar100, svhn, stl10, affnist, celeba (your own copy, with its list of parts); inception, the network of fid-score, which becomes a network folder. If the environment variable OBVERSE_MIRROR
/// names a folder, files are taken from there first. Downloads are kept in DIR.download, continue where they stopped, and must have
/// the sha256 of the dataset's manifest.
#[derive(Args)]
#[command(after_help = "Examples:
  dataset fetch cifar10
  OBVERSE_MIRROR=/media/datasets dataset fetch celeba --resize 64 -o celeba-64")]
pub(super) struct FetchArguments {
    /// The dataset
    name: String,
    /// The folder to make [default: data/NAME, or data/NAME-SPLIT]
    #[arg(short, long, value_name = "DIR")]
    output: Option<Output>,
    /// The split to take (emnist: byclass, bymerge, balanced, letters, digits, mnist)
    #[arg(long, value_name = "SPLIT")]
    split: Option<String>,
    /// Fetch the optional files too (svhn: the 531,131 extra images)
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    images: ImageArguments,
    #[command(flatten)]
    common: CommonArguments,
}

pub(super) fn fetch(arguments: FetchArguments) -> anyhow::Result<()> {
    let FetchArguments { name, output, split, all, images, common } = arguments;
    let manifest = Manifest::named(&name)?;
    manifest.check_split(split.as_deref())?;
    let name = split.iter().fold(name, |name, split| format!("{name}-{split}"));
    let output = output.unwrap_or_else(|| Path::new("data").join(&name).into());
    let downloads = downloads_folder(&output);
    let mirror = std::env::var_os(MIRROR).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    // Digests that an earlier fetch recorded must still hold.
    let recorded = Description::read(&output).map(|description| description.sources).unwrap_or_default();
    let request =
        Request { manifest: &manifest, downloads: &downloads, mirror: mirror.as_deref(), all, recorded: &recorded };
    let fetched = download(&request, common.quiet)?;
    let mut task = Task::begin(&common, Some(&output))?;
    if let (Format::Weights, [weights]) = (manifest.format, fetched.as_slice()) {
        task.input("name", &weights.path)?;
        return net_import::import(task, &weights.path, inception::NAME, &output);
    }
    fetched.iter().try_for_each(|file| task.input("name", &file.path))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let paths: Vec<PathBuf> = fetched.iter().map(|file| file.path.clone()).collect();
    let wants = |name: &str| manifest.format.wants_of_split(name, split.as_deref());
    let source = Source::gather(&downloads, &paths, wants)?;
    let Manifest { format, classes, licence, citation, .. } = manifest;
    let mut description = Description { licence, citation: Some(citation), ..Description::new(&name) };
    description.sources = fetched.into_iter().map(|file| file.source).collect();
    let import = format.open(source, images.options())?;
    description.classes = import.classes.or(classes);
    description.left_out = import.left_out;
    say_left_out(&task, &description);
    write(task, &output, description, images.limited(import.parts), common.quiet)
}

/// `DIR.download`, beside the dataset, which is replaced as a whole.
fn downloads_folder(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".download");
    name.into()
}

fn download(request: &Request, quiet: bool) -> anyhow::Result<Vec<Fetched>> {
    let mut shown: Option<(String, Progress)> = None;
    let fetched = request.fetch(&mut |file, done, size| {
        if shown.as_ref().is_none_or(|(name, _)| name != file) {
            shown =
                Some((file.to_owned(), Progress::new(size.unwrap_or_default(), &format!("bytes of {file}"), quiet)));
        }
        if let Some((_, progress)) = &mut shown {
            progress.set(done);
        }
    });
    // The network failed, not the input.
    fetched.map_err(|error| match error {
        Error::Fetch { .. } => Failure(error.to_string()).into(),
        error => error.into(),
    })
}
