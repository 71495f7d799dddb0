//! Synthetic datasets: shapes, a sine, surfaces.

use clap::{Args, Subcommand};
use obverse::data::output::Description;
use obverse::data::{shapes, sine, surfaces};

use super::parts::write;
use crate::folder::folder_at;
use crate::request::Output;
use crate::{CommonArguments, Metrics, SeedArgument, Task, check_interrupted, interrupted};

/// Draw a synthetic dataset
#[derive(Args)]
#[command(after_help = "Examples:
  dataset synth shapes -o data/shapes
  dataset synth surfaces --count 500 --size 32 -o data/surfaces
  dataset synth shapes --count 600 --size 32 --seed 1 -o small")]
pub(super) struct SynthArguments {
    #[command(subcommand)]
    kind: Synthetic,
}

#[derive(Subcommand)]
enum Synthetic {
    Shapes(ShapesArguments),
    Sine(SineArguments),
    Surfaces(SurfacesArguments),
}

/// Render surfaces of random volumes, small and four times as large: normals, depth and mask
///
/// DIR/train-images.npy (N, 5, S, S) and DIR/train-targets.npy (N, 5, 4 S, 4 S), floats: normal x, y, z, depth in 0..1, mask 0 or 1; all
/// are 0 where there is no surface. The test part has a tenth as many images.
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
    /// Height and width of the images
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

/// Draws the dataset that is asked for.
pub(super) fn draw(arguments: SynthArguments) -> anyhow::Result<()> {
    match arguments.kind {
        Synthetic::Shapes(arguments) => draw_shapes(arguments),
        Synthetic::Sine(arguments) => draw_sine(arguments),
        Synthetic::Surfaces(arguments) => draw_surfaces(&arguments),
    }
}

fn draw_shapes(arguments: ShapesArguments) -> anyhow::Result<()> {
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
