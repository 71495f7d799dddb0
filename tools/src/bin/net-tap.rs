//! `net-tap`: what a node of a network computes.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Parser;
use dfdx::prelude::NoneTape;
use obverse::data::batches::ImageFile;
use obverse::net::{Graph, Mode, Network};
use obverse::ops::InputGradient;
use obverse::store;
use obverse::store::npy::{Scalar, Writer};
use obverse::tensor::{Element, batch, channels_first, shape, view};
use obverse_tools::{
    BatchArgument, CommonArguments, Metrics, Precision, ShardArgument, Task, for_each_batch, require_images,
};

/// Write what a node of a network computes for each image, or describe the network.
///
/// A convolution's or pooling's output is (N, C, H, W), a vector (N, F).
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  net-tap encoder --describe
  net-tap encoder test-images.npy --layer act2 -o act2.npy"
)]
struct Arguments {
    /// A network folder (with --describe also a net.json)
    network: PathBuf,
    /// Images: .npy, (N, C, H, W), u8 or floats in 0..1; - for standard input
    #[arg(required_unless_present = "describe")]
    images: Option<PathBuf>,
    /// The node to tap, by its name in net.json
    #[arg(long, value_name = "NODE", required_unless_present = "describe")]
    layer: Option<String>,
    /// Print the nodes with their shapes and parameter counts; with --json as one object
    #[arg(long)]
    describe: bool,
    /// Where the values go; - for standard output
    #[arg(short, long, value_name = "H.npy", required_unless_present = "describe")]
    output: Option<PathBuf>,
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
    let graph = Graph::load(&arguments.network)?;
    let (false, Some(images), Some(layer), Some(output)) =
        (arguments.describe, &arguments.images, &arguments.layer, &arguments.output)
    else {
        return describe(&graph, arguments.common.json);
    };
    graph.place(layer)?;
    let images = ImageFile::open(images)?;
    require_images(&images, &graph)?;
    let mut task = Task::begin(&arguments.common, Some(output))?;
    task.input(&arguments.network)?;
    task.array(images.reader())?;
    task.parameter("layer", layer)?;
    task.parameter("shard", arguments.shard.shard.to_string())?;
    task.parameter("precision", arguments.precision)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.precision {
        Precision::F32 => tap::<f32>(&arguments, &images, layer, output, task),
        Precision::F64 => tap::<f64>(&arguments, &images, layer, output, task),
    }
}

fn tap<E: Element + Scalar>(
    arguments: &Arguments,
    images: &ImageFile,
    layer: &str,
    output: &Path,
    task: Task,
) -> anyhow::Result<()> {
    let network = Network::<E>::load(&arguments.network)?.only(&[layer])?;
    let node = network.graph().place(layer)?;
    let (size, input) = (network.graph().size(node), network.graph().input.shape);
    let mut writer = Writer::create(output, E::DTYPE, &Vec::from(size))?;
    let rows = arguments.shard.shard.rows(images.count());
    for_each_batch(rows, arguments.batch.or(64), arguments.common.quiet, |rows| {
        let x = batch(images.batch::<E>(rows)?, (rows.len(), input.height, input.width, input.channels));
        let trace = network.forward(&mut NoneTape, &x, Mode::Inference, InputGradient::Unwanted);
        if let Some(value) = trace.value(node) {
            writer.write_rows(&channels_first(view(value), shape(value)))?;
        }
        Ok(())
    })?;
    task.finish(writer.finish()?, Metrics::new())
}

/// Prints a line a node, or one JSON object.
fn describe(graph: &Graph, json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string(&graph.description())? + "\n" } else { table(graph) };
    let mut output = std::io::stdout().lock();
    Ok(output.write_all(text.as_bytes()).map_err(store::Error::write(Path::new("-")))?)
}

fn table(graph: &Graph) -> String {
    let rows = graph.summary();
    let name = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max("input".len());
    let op = rows.iter().map(|row| row.op.len()).max().unwrap_or(0);
    let line = |a: &str, b: &str, c: &str, d: &str| format!("{a:name$}  {b:op$}  {c:>12}  {d:>12}\n");
    let mut text = line("input", "", &graph.input.shape.to_string(), "");
    for row in &rows {
        text += &line(&row.name, &row.op, &row.size.to_string(), &row.parameters.to_string());
    }
    text + &line("parameters", "", "", &graph.parameter_count().to_string())
}

obverse_tools::main!(Arguments, run);
