//! Datasets warped by random affine transformations.

use clap::Args;
use obverse::data::affine::{self, Ranges};
use obverse::data::output::{self, Description, SourceFile};
use obverse::data::{Error, Part};
use obverse::store::digest;

use super::parts::{stem, write};
use crate::request::{Input, Output};
use crate::{CommonArguments, SeedArgument, Task};

/// Warp a dataset with random affine transformations, as affNIST was made from MNIST
///
/// Rotation, shear and the scales of both axes are uniform in their ranges. The translation is uniform over all places that keep the
/// whole digit on the canvas. An image's variants depend only on the seed and its index.
#[derive(Args)]
#[command(after_help = "Examples:
  dataset affine data/mnist -o data/mnist-affine
  dataset affine data/mnist --copies 32 --rotation 45 --canvas 48 -o data/mnist-turned")]
pub(super) struct AffineArguments {
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
    /// Variants per image, one after the other
    #[arg(long, value_name = "K", default_value_t = 1)]
    copies: usize,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

pub(super) fn warp(arguments: AffineArguments) -> anyhow::Result<()> {
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
        Ok(Part { name: part.name.clone(), images, attributes: None })
    };
    let parts = original.parts.iter().map(variants).collect::<Result<Vec<_>, Error>>()?;
    let digest = format!("blake3:{}", digest::of_path(&input)?);
    let source = SourceFile { file: stem(&input), digest, address: None, verification: None };
    let name = format!("{}-affine", original.name);
    let description = Description { name, parts: Vec::new(), sources: vec![source], ..original };
    write(task, &output, description, parts, common.quiet)
}
