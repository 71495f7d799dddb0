//! Datasets: fetched, imported from their own formats, drawn, warped, described. All become the same folder.

use crate::request::{Declared, Input, Output};
use std::fs;
use std::path::{Path, PathBuf};

use super::net_import;
use crate::{CommonArguments, Failure, Metrics, Progress, SeedArgument, Task, check_interrupted, interrupted};
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use obverse::data::affine::{self, Ranges};
use obverse::data::fetch::{Fetched, Request};
use obverse::data::folder::Options;
use obverse::data::import::{self, Format};
use obverse::data::manifest::Manifest;
use obverse::data::output::{self, Description, SourceFile};
use obverse::data::resize::Filter;
use obverse::data::{Error, Images, Part, Source, shapes, sine, surfaces};
use obverse::net::inception;
use obverse::store::atomic::AtomicFolder;
use obverse::store::digest;

/// The folder that is asked before the network.
const MIRROR: &str = "OBVERSE_MIRROR";

/// Fetch, import, draw, warp and describe datasets
///
/// Every dataset becomes a folder of the same form: for each of its parts (train, test, validation, unlabeled, …) a file
/// PART-images.npy (u8, N x channels x height x width) and, where it has labels, PART-labels.npy (i64, N), with
/// dataset.json, which says what they are and where they came from. The folder appears complete or not at all.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Measures:
  train, test, validation, … how many images each part holds

Examples:
  dataset synth shapes --count 24000 --size 48 -o data/shapes
  dataset info data/shapes
  dataset fetch mnist && dataset affine data/mnist -o data/mnist-affine";

#[derive(Subcommand)]
enum Command {
    Fetch(FetchArguments),
    Import(ImportArguments),
    Synth(SynthArguments),
    Affine(AffineArguments),
    Info(InfoArguments),
}

/// Fetch a dataset by name and import it
///
/// Names: mnist, fashion-mnist, cifar10, cifar10-jpeg (a lossy copy, a dataset of its own), svhn, stl10, affnist, celeba
/// (your own copy); inception, the network of fid-score, becomes a network folder. A folder named by the environment variable OBVERSE_MIRROR is asked first. Downloads are kept in
/// DIR.download, are continued where they were broken off, and must have the sha256 of the dataset's manifest.
#[derive(Args)]
#[command(after_help = "Examples:
  dataset fetch cifar10
  OBVERSE_MIRROR=/media/datasets dataset fetch celeba --resize 64 -o celeba-64")]
struct FetchArguments {
    /// The dataset
    name: String,
    /// The folder to make [default: data/NAME]
    #[arg(short, long, value_name = "DIR")]
    output: Option<Output>,
    /// Fetch the optional files too (svhn: the 531,131 extra images)
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    images: ImageArguments,
    #[command(flatten)]
    common: CommonArguments,
}

/// Import a dataset from its own files
///
/// SRC is a folder or an archive (tar, tar.gz, tar.zst, zip) with the files under their usual names, or one such file.
/// Images: files in folders named for their classes, below train and test where there are parts; classes are numbered in
/// the order of their names, and images are taken in rounds, one of each class. A single folder gives no labels.
#[derive(Args)]
#[command(after_help = "Examples:
  dataset import --format cifar cifar-10-python.tar.gz -o data/cifar10
  dataset import --format images img_align_celeba --crop 148 --resize 64 -o data/celeba")]
struct ImportArguments {
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

/// What is done with each image, in this order.
#[derive(Args)]
struct ImageArguments {
    /// Make grey (1) or coloured (3) images, format images only [default: as the first image]
    #[arg(long, value_name = "C")]
    channels: Option<usize>,
    /// Cut out the square of this side in the middle, format images only
    #[arg(long, value_name = "PIXELS")]
    crop: Option<usize>,
    /// Resize to a square of this side, antialiased
    #[arg(long, value_name = "PIXELS")]
    resize: Option<usize>,
    /// The filter to resize with
    #[arg(long, default_value = "lanczos", requires = "resize")]
    filter: FilterName,
    /// Keep at most the first N images of each part
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FilterName {
    Lanczos,
    Bicubic,
    Triangle,
}

impl From<FilterName> for Filter {
    fn from(name: FilterName) -> Self {
        match name {
            FilterName::Lanczos => Self::Lanczos,
            FilterName::Bicubic => Self::Bicubic,
            FilterName::Triangle => Self::Triangle,
        }
    }
}

/// Draw a synthetic dataset
#[derive(Args)]
#[command(after_help = "Examples:
  dataset synth shapes -o data/shapes
  dataset synth surfaces --count 500 --size 32 -o data/surfaces
  dataset synth shapes --count 600 --size 32 --seed 1 -o small")]
struct SynthArguments {
    #[command(subcommand)]
    kind: Synthetic,
}

#[derive(Subcommand)]
enum Synthetic {
    Shapes(ShapesArguments),
    Sine(SineArguments),
    Surfaces(SurfacesArguments),
}

/// Render surfaces in random volumes: normals, depth and mask, small and four times as large
///
/// DIR/train-images.npy (N, 5, S, S) and DIR/train-targets.npy (N, 5, 4 S, 4 S), floats: normal x, y, z, depth in 0..1, mask 0 or 1; all
/// are 0 where there is no surface. The test part is a tenth more.
#[derive(Args)]
struct SurfacesArguments {
    /// The number of surfaces to train on
    #[arg(long, value_name = "N", default_value_t = 2000)]
    count: usize,
    /// Height and width of the small images
    #[arg(long, value_name = "S", default_value_t = 24, value_parser = clap::value_parser!(u16).range(2..=512))]
    size: u16,
    /// The folder to make
    #[arg(short, long, value_name = "DIR")]
    output: Output,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

/// Draw points of y = sin(3 pi x), the toy example of feature alignment
///
/// DIR/train-images.npy (N, 1, 1, 1) is uniform in [-1, 1), DIR/train-targets.npy (N, 1) its sine; the test part is 1,000
/// points evenly spaced over [-1, 1].
#[derive(Args)]
struct SineArguments {
    /// The number of points to train on
    #[arg(long, value_name = "N", default_value_t = 25_600)]
    count: usize,
    /// The folder to make
    #[arg(short, long, value_name = "DIR")]
    output: Output,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

/// Draw geometric shapes in colour on black, in 60 classes
///
/// Line, square, circle, triangle; each single, double, filled; each white, blue, green, red, rainbow: class = 15 shape +
/// 5 style + colour. Size, rotation and place are random. Image i has class i mod 60 and depends on the seed, the size and
/// i alone. Parts train, test and validation, 8:1:1.
#[derive(Args)]
#[command(after_help = "Examples:
  dataset synth shapes -o data/shapes
  dataset synth shapes --count 600 --size 32 --seed 1 -o small")]
struct ShapesArguments {
    /// The number of images
    #[arg(long, value_name = "N", default_value_t = 24_000)]
    count: usize,
    /// Their side in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 48)]
    size: usize,
    /// The folder to make
    #[arg(short, long, value_name = "DIR")]
    output: Output,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

/// Warp a dataset by random affine transformations, as affNIST was made from MNIST
///
/// Rotation, shear and the scales of both axes are uniform in their ranges; the translation is uniform over all places
/// that keep the whole digit on the canvas. An image's variants depend on the seed and its index alone.
#[derive(Args)]
#[command(after_help = "Examples:
  dataset affine data/mnist -o data/mnist-affine
  dataset affine data/mnist --copies 32 --rotation 45 --canvas 48 -o data/mnist-turned")]
struct AffineArguments {
    /// The dataset to warp
    #[arg(value_name = "DIR")]
    input: Input,
    /// The folder to make
    #[arg(short, long, value_name = "DIR")]
    output: Output,
    /// The largest rotation to either side, in degrees
    #[arg(long, value_name = "DEGREES", default_value_t = Ranges::default().rotation)]
    rotation: f64,
    /// The largest shear to either side, in pixels across per pixel down
    #[arg(long, value_name = "S", default_value_t = Ranges::default().shear)]
    shear: f64,
    /// The smallest and the largest scale
    #[arg(long, value_names = ["LOW", "HIGH"], num_args = 2, default_values_t = [Ranges::default().scale.0, Ranges::default().scale.1])]
    scale: Vec<f64>,
    /// The side of the new images in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = Ranges::default().canvas)]
    canvas: usize,
    /// Variants of each image, one after the other
    #[arg(long, value_name = "K", default_value_t = 1)]
    copies: usize,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

/// Describe a dataset, checking its files against its description
#[derive(Args)]
#[command(after_help = "Examples:
  dataset info data/mnist
  dataset info data/mnist --json")]
struct InfoArguments {
    /// The dataset
    #[arg(value_name = "DIR")]
    input: Input,
    /// Print the description as JSON
    #[arg(long, add = crate::request::ChangesNothing)]
    json: bool,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Fetch(arguments) => fetch(arguments),
        Command::Import(arguments) => import(arguments),
        Command::Synth(SynthArguments { kind: Synthetic::Shapes(arguments) }) => draw(arguments),
        Command::Synth(SynthArguments { kind: Synthetic::Sine(arguments) }) => draw_sine(arguments),
        Command::Synth(SynthArguments { kind: Synthetic::Surfaces(arguments) }) => draw_surfaces(&arguments),
        Command::Affine(arguments) => warp(arguments),
        Command::Info(arguments) => info(&arguments),
    }
}

fn fetch(arguments: FetchArguments) -> anyhow::Result<()> {
    let FetchArguments { name, output, all, images, common } = arguments;
    let manifest = Manifest::named(&name)?;
    let output = output.unwrap_or_else(|| Path::new("data").join(&name).into());
    let downloads = downloads_folder(&output);
    let mirror = std::env::var_os(MIRROR).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    // What an earlier fetch recorded holds from then on; without one there is nothing to hold against.
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
    let source = Source::gather(&downloads, &paths, |name| manifest.format.wants(name))?;
    let Manifest { name, format, classes, licence, citation, .. } = manifest;
    let mut description = Description { licence, citation: Some(citation), ..Description::new(&name) };
    description.sources = fetched.into_iter().map(|file| file.source).collect();
    let import = format.open(source, images.options())?;
    description.classes = import.classes.or(classes);
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
    // The input was good, the network was not.
    fetched.map_err(|error| match error {
        Error::Fetch { .. } => Failure(error.to_string()).into(),
        error => error.into(),
    })
}

fn import(arguments: ImportArguments) -> anyhow::Result<()> {
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

/// A dataset's name from its folder's or archive's: up to the first dot.
fn stem(path: &Path) -> String {
    let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

impl ImageArguments {
    fn options(&self) -> Options {
        let resize = self.resize.map(|size| (size, self.filter.into()));
        Options { crop: self.crop, resize, channels: self.channels }
    }

    fn limited(&self, parts: Vec<Part>) -> Vec<Part> {
        parts.into_iter().map(|part| part.limit(self.limit.unwrap_or(usize::MAX))).collect()
    }
}

fn draw(arguments: ShapesArguments) -> anyhow::Result<()> {
    let ShapesArguments { count, size, output, seed: SeedArgument { seed }, common } = arguments;
    let parts = shapes::parts(count, size, seed)?;
    let mut task = Task::begin(&common, Some(&output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let description = Description { classes: Some(shapes::class_names()), ..Description::new("shapes") };
    write(task, &output, description, parts, common.quiet)
}

fn draw_sine(arguments: SineArguments) -> anyhow::Result<()> {
    let SineArguments { count, output, seed: SeedArgument { seed }, common } = arguments;
    anyhow::ensure!(count > 0, "--count: expected at least 1, found 0");
    let mut task = Task::begin(&common, Some(&output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let folder = folder_at(&output)?;
    sine::write_sine(folder.path(), count, seed)?;
    task.finish_folder(folder, Metrics::from_iter([("train".to_string(), count.into())]))
}

fn draw_surfaces(arguments: &SurfacesArguments) -> anyhow::Result<()> {
    let SurfacesArguments { count, size, output, seed: SeedArgument { seed }, common } = arguments;
    anyhow::ensure!(*count > 0, "--count: expected at least 1, found 0");
    let mut task = Task::begin(common, Some(output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let folder = folder_at(output)?;
    interrupted();
    surfaces::write_surfaces(folder.path(), *count, usize::from(*size), *seed, &|| !interrupted())?;
    check_interrupted()?;
    task.finish_folder(folder, Metrics::from_iter([("train".to_string(), (*count).into())]))
}

fn warp(arguments: AffineArguments) -> anyhow::Result<()> {
    let AffineArguments { input, output, rotation, shear, scale, canvas, copies, seed: SeedArgument { seed }, common } =
        arguments;
    let &[low, high] = scale.as_slice() else { anyhow::bail!("--scale takes two numbers, the smaller first") };
    let ranges = Ranges { rotation, shear, scale: (low, high), canvas };
    let original = Description::read(&input)?;
    let mut task = Task::begin(&common, Some(&output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let variants = |part: &output::PartDescription| {
        let images = affine::variants(part.stream(&input)?, &part.name, &ranges, copies, seed)?;
        Ok(Part { name: part.name.clone(), images })
    };
    let parts = original.parts.iter().map(variants).collect::<Result<Vec<_>, Error>>()?;
    let digest = format!("blake3:{}", digest::of_path(&input)?);
    let source = SourceFile { file: stem(&input), digest, address: None, verification: None };
    let name = format!("{}-affine", original.name);
    let description = Description { name, parts: Vec::new(), sources: vec![source], ..original };
    write(task, &output, description, parts, common.quiet)
}

/// A folder under construction, and the folders above it.
pub(crate) fn folder_at(output: &Path) -> anyhow::Result<AtomicFolder> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), fs::create_dir_all).map_err(obverse::store::Error::write(output))?;
    Ok(AtomicFolder::create(output)?)
}

/// Writes the parts into the folder and ends the task; the metrics are the number of images of each part.
fn write(task: Task, output: &Path, description: Description, parts: Vec<Part>, quiet: bool) -> anyhow::Result<()> {
    let folder = folder_at(output)?;
    let total: Option<usize> = parts.iter().map(|part| part.images.count).sum();
    let mut progress = total.map(|total| Progress::new(total as u64, "images", quiet));
    interrupted();
    let parts = parts.into_iter().map(until_interrupted).collect();
    let written = output::write(folder.path(), description, parts, &mut |_, _| {
        if let Some(progress) = &mut progress {
            progress.advance(1);
        }
    });
    drop(progress);
    check_interrupted()?;
    let written = written?;
    let counts: Metrics = written.parts.iter().map(|part| (part.name.clone(), part.count.into())).collect();
    task.finish_folder(folder, counts)
}

/// A part that ends where the run is to stop.
fn until_interrupted(Part { name, images }: Part) -> Part {
    let examples = Box::new(images.examples.take_while(|_| !interrupted()));
    Part { name, images: Images { examples, ..images } }
}

fn info(arguments: &InfoArguments) -> anyhow::Result<()> {
    let description = Description::read(&arguments.input)?;
    let text = if arguments.json { serde_json::to_string_pretty(&description)? } else { description.to_string() };
    let mut stdout = std::io::stdout().lock();
    std::io::Write::write_all(&mut stdout, format!("{}\n", text.trim_end()).as_bytes()).context("standard output")
}
