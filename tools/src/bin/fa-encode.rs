//! `fa-encode`: images to latents.

use std::path::PathBuf;

use clap::Parser;
use obverse::align::training::{LATENT, encode, image_size};
use obverse::data::batches::ImageFile;
use obverse::net::{Graph, Network};
use obverse::store::npy::{Scalar, Writer};
use obverse::tensor::{Element, batch, view};
use obverse_tools::{
    BatchArgument, CommonArguments, Metrics, Precision, ShardArgument, Task, for_each_batch, require_images,
};

/// Encode images: one latent a row.
///
/// A row's bytes depend on its image and the network alone, not on --batch, --shard or --threads.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  fa-encode encoder test-images.npy -o latents.npy
  fa-encode encoder - -o - < test-images.npy | fa-invert encoder - -o recovered.npy"
)]
struct Arguments {
    /// A network folder, as fa-fit writes it
    network: PathBuf,
    /// Images: .npy, (N, C, H, W), u8 or floats in 0..1; - for standard input
    images: PathBuf,
    /// Where the latents go: .npy, (N, Z); - for standard output
    #[arg(short, long, value_name = "Z.npy")]
    output: PathBuf,
    /// The numbers to compute with, and to write
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    #[command(flatten)]
    batch: BatchArgument,
    #[command(flatten)]
    shard: ShardArgument,
    #[command(flatten)]
    common: CommonArguments,
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let images = ImageFile::open(&arguments.images)?;
    require_images(&images, &Graph::load(&arguments.network)?)?;
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    task.input(&arguments.network)?;
    task.array(images.reader())?;
    task.parameter("shard", arguments.shard.shard.to_string())?;
    task.parameter("precision", arguments.precision)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.precision {
        Precision::F32 => encode_all::<f32>(&arguments, &images, task),
        Precision::F64 => encode_all::<f64>(&arguments, &images, task),
    }
}

fn encode_all<E: Element + Scalar>(arguments: &Arguments, images: &ImageFile, task: Task) -> anyhow::Result<()> {
    let encoder = Network::<E>::load(&arguments.network)?.only(&[LATENT])?;
    let node = encoder.graph().output(LATENT)?;
    let (h, w, c) = image_size(encoder.graph());
    let mut writer = Writer::create(&arguments.output, E::DTYPE, &[encoder.graph().size(node).channels])?;
    let rows = arguments.shard.shard.rows(images.count());
    for_each_batch(rows, arguments.batch.or(128), arguments.common.quiet, |rows| {
        let x = batch(images.batch::<E>(rows)?, (rows.len(), h, w, c));
        Ok(writer.write_rows(view(&encode(&encoder, node, &x)))?)
    })?;
    task.finish(writer.finish()?, Metrics::new())
}

obverse_tools::main!(Arguments, run);
