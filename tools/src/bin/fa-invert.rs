//! `fa-invert`: latents to images, by the encoder alone.

use std::path::PathBuf;

use clap::Parser;
use dfdx::prelude::NoneTape;
use obverse::align::training::{LATENT, Settings, SquaredError, image_size, trained_settings};
use obverse::data::batches::ImageFile;
use obverse::net::Network;
use obverse::store::npy::{Reader, Scalar, Writer, require_finite};
use obverse::tensor::random::Stream;
use obverse::tensor::{Element, batch, channels_first, view};
use obverse_tools::alignment::RecoveryArguments;
use obverse_tools::{
    BatchArgument, CommonArguments, Precision, SeedArgument, ShardArgument, Task, for_each_batch, require_images,
};

/// Recover images from their latents alone, by gradient steps on a neutral input.
///
/// r <- r - tau d/dr 1/2 |z - E(r)|^2, from r0, T times. T, tau, r0 and the sigmoid are those the network was trained with,
/// unless asked otherwise. A row's bytes depend on its latent and the network alone (and on --seed and its place in the file
/// where r0 is random).
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  fa-invert encoder latents.npy -o recovered.npy
  fa-invert encoder latents.npy --steps 10 --tau 0.2 --compare test-images.npy --json -o recovered.npy"
)]
struct Arguments {
    /// A network folder, as fa-fit writes it
    network: PathBuf,
    /// Latents: .npy, (N, Z), as fa-encode writes them; - for standard input
    latents: PathBuf,
    /// Where the images go: .npy, (N, C, H, W); - for standard output
    #[arg(short, long, value_name = "R.npy")]
    output: PathBuf,
    /// The images that were encoded: reports the mean squared error a pixel
    #[arg(long, value_name = "IMAGES.npy")]
    compare: Option<PathBuf>,
    #[command(flatten)]
    recovery: RecoveryArguments,
    /// The numbers to compute with, and to write
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    batch: BatchArgument,
    #[command(flatten)]
    shard: ShardArgument,
    #[command(flatten)]
    common: CommonArguments,
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let latents = Reader::open(&arguments.latents)?;
    latents.require_rank(2, "latents (N, Z)")?;
    let settings = arguments.recovery.applied_to(trained_settings(&arguments.network)?).check()?;
    let originals = arguments.compare.as_deref().map(ImageFile::open).transpose()?;
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    task.input(&arguments.network)?;
    task.array(&latents)?;
    if let Some(originals) = &originals {
        task.array(originals.reader())?;
    }
    task.seed(arguments.seed.seed);
    task.parameter("recovery", settings.recovery())?;
    task.parameter("start", settings.start)?;
    task.parameter("shard", arguments.shard.shard.to_string())?;
    task.parameter("precision", arguments.precision)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.precision {
        Precision::F32 => invert_all::<f32>(&arguments, &settings, &latents, originals.as_ref(), task),
        Precision::F64 => invert_all::<f64>(&arguments, &settings, &latents, originals.as_ref(), task),
    }
}

fn invert_all<E: Element + Scalar>(
    arguments: &Arguments,
    settings: &Settings,
    latents: &Reader,
    originals: Option<&ImageFile>,
    task: Task,
) -> anyhow::Result<()> {
    let encoder = Network::<E>::load(&arguments.network)?.only(&[LATENT])?;
    let node = encoder.graph().output(LATENT)?;
    let features = encoder.graph().size(node).channels;
    latents.require_row_shape(&[features], "latents, as many features as the network's")?;
    if let Some(originals) = originals {
        require_images(originals, encoder.graph())?;
        require_as_many(originals, latents)?;
    }
    let size = image_size(encoder.graph());
    let (h, w, c) = size;
    let stream = Stream::new(arguments.seed.seed, "recovery", 0);
    let mut writer = Writer::create(&arguments.output, E::DTYPE, &[c, h, w])?;
    let mut error = SquaredError::default();
    let rows = arguments.shard.shard.rows(latents.rows());
    for_each_batch(rows, arguments.batch.or(128), arguments.common.quiet, |rows| {
        let (first, count) = (rows[0], rows.len());
        let z: Vec<E> = latents.read_row_range_as_float_at(first, count)?;
        require_finite(latents.path(), &z, first, features)?;
        let start = settings.start.draw(&stream, first, count, size);
        let r = settings.recovery().recover(&mut NoneTape, &encoder, node, &batch(z, (count, 1, 1, features)), &start);
        if let Some(originals) = originals {
            error.add(&originals.batch::<E>(rows)?, view(&r));
        }
        Ok(writer.write_rows(&channels_first(view(&r), (count, h, w, c)))?)
    })?;
    task.finish(writer.finish()?, error.metrics())
}

fn require_as_many(originals: &ImageFile, latents: &Reader) -> anyhow::Result<()> {
    if originals.count() != latents.rows() {
        let path = originals.reader().path().display();
        anyhow::bail!("{path}: expected {} images, one a latent, found {}", latents.rows(), originals.count());
    }
    Ok(())
}

obverse_tools::main!(Arguments, run);
