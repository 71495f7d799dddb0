//! `net-tap`: the values of a node of a network.

mod spectrum;

use crate::request::{Input, Output};
use std::io::Write;
use std::path::Path;

use crate::complete::nodes;
use crate::{Classes, Metrics, Precision, RowsArguments, SeedArgument, Task, require_images};
use clap::Parser;
use clap_complete::engine::ArgValueCompleter;
use obverse::alignment::orthogonality::orthogonality;
use obverse::baselines::classifier::largest;
use obverse::data::Shape;
use obverse::data::batches::ImageFile;
use obverse::data::pixels::Outside;
use obverse::net::{self, Graph, Network, Size};
use obverse::store;
use obverse::store::npy::{Reader, Scalar, Writer};
use obverse::store::sidecar::metric;
use obverse::tensor::{Element, batch, channels_first, shape, view};

/// Write the values of a network's node for each image, or describe the network.
///
/// The output of a convolution or pooling is (N, C, H, W), of other layers (N, F). --spectrum writes singular values instead,
/// (rows, 3): a layer's number, a singular value divided by the root mean square of the weights and by the square root of their longer
/// side, and the value that Marchenko and Pastur's law of random matrices predicts. The sidecar says how far apart they are. With
/// images it also says how W^T W x correlates with x and how many features of each layer are active.
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  accuracy, confusion        with --labels: the share of images classified correctly; how often each class was taken for each
  layers                     with --spectrum, one object per layer: how its singular values differ from the law of random matrices,
                             and with images, how large and how sparse its activations are

Examples:
  net-tap encoder --describe
  net-tap encoder test-images.npy --layer act2 -o act2.npy
  net-tap classifier test-images.npy --spectrum -o spectrum.npy
  net-tap judge samples.npy --layer logits --class 0,1,2,3,4,5,6,7,8,9 --json -o judged.npy"
)]
pub struct Arguments {
    /// A network folder (with --describe also a net.json)
    network: Input,
    /// Images: .npy, (N, C, H, W), u8 or floats in 0..1; or vectors (N, F) if the network takes those; - for standard input
    #[arg(required_unless_present_any = ["describe", "spectrum"])]
    images: Option<Input>,
    /// The node to tap, by its name in net.json
    #[arg(long, value_name = "NODE", required_unless_present_any = ["describe", "spectrum"], add = ArgValueCompleter::new(nodes))]
    layer: Option<String>,
    /// Print the nodes with their shapes and parameter counts; with --json as one object
    #[arg(long)]
    describe: bool,
    /// With --describe, also print how far each layer's weights are from orthogonal: |W^T W - I| / sqrt n of the smaller Gram matrix,
    /// n x n
    #[arg(long, requires = "describe")]
    orthogonality: bool,
    /// Compare each layer's weights, and its activations if images are given, with random matrices
    #[arg(long, conflicts_with_all = ["describe", "layer", "labels", "class"])]
    spectrum: bool,
    /// Where the values go; - for standard output
    #[arg(short, long, value_name = "H.npy", required_unless_present = "describe")]
    output: Option<Output>,
    /// Take the node's largest value as the class, and report how often it is this one, with the confusion matrix (one row per true
    /// class)
    #[arg(long, value_name = "LABELS.npy", conflicts_with = "describe")]
    labels: Option<Input>,
    /// The same with classes taken in turn, as for fa-invert
    #[arg(long, value_name = "K,…", value_delimiter = ',', conflicts_with_all = ["describe", "labels"])]
    class: Vec<usize>,
    #[command(flatten)]
    pixels: crate::PixelArguments,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    rows: RowsArguments,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let graph = Graph::load(&arguments.network)?;
    if let (true, Some(output)) = (arguments.spectrum, &arguments.output) {
        return spectrum::run(&arguments, &graph, output);
    }
    let (false, Some(images), Some(layer), Some(output)) =
        (arguments.describe, &arguments.images, &arguments.layer, &arguments.output)
    else {
        return describe(&arguments, &graph);
    };
    graph.place(layer)?;
    let images = open(images, &graph, &arguments)?;
    require_images(&images, &graph)?;
    let classes = Classes::open(arguments.labels.as_deref(), &arguments.class, images.count())?;
    let mut task = Task::begin(&arguments.rows.common, Some(output))?;
    arguments.rows.on_device(&mut task)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.rows.precision {
        Precision::F32 => tap::<f32>(&arguments, &images, classes.as_ref(), (layer, output), task),
        Precision::F64 => tap::<f64>(&arguments, &images, classes.as_ref(), (layer, output), task),
    }
}

/// Images, or vectors and tokens where the network takes those; of a network out of an ONNX file, of whose pixels nothing was said, any
/// values in the layout of the file.
fn open(path: &Path, graph: &Graph, arguments: &Arguments) -> anyhow::Result<ImageFile> {
    let Size { channels, height, width } = graph.input.shape;
    let mut options = arguments.pixels.options();
    let origin = net::origin(&arguments.network)?;
    let is_any = origin["format"] == "onnx" && origin["pixels"] != true && graph.input.normalisation().is_none();
    if is_any && options.range.is_none() && options.outside == Outside::Refused {
        options.outside = Outside::Unchecked;
    }
    Ok(ImageFile::of_network(Reader::open(path)?, Shape { channels, height, width }, options)?)
}

fn tap<E: Element + Scalar>(
    arguments: &Arguments,
    images: &ImageFile,
    classes: Option<&Classes>,
    (layer, output): (&str, &Path),
    task: Task,
) -> anyhow::Result<()> {
    let network = Network::<E>::load(&arguments.network)?.folded(&[layer])?;
    let node = network.graph().place(layer)?;
    let (size, input) = (network.graph().size(node), network.graph().input.shape);
    let mut writer = Writer::create(output, E::DTYPE, &Vec::from(size))?;
    let mut confusion = Confusion::new(size.elements());
    arguments.rows.charge(&arguments.network, network.graph(), images.count(), input.elements())?;
    arguments.rows.for_each_batch(images.count(), input.elements(), |rows| {
        let x = batch(images.batch::<E>(rows)?, (rows.len(), input.height, input.width, input.channels));
        let value: Vec<E> =
            network.evaluate(&x, &[node])?.iter().flat_map(|y| channels_first(view(y), shape(y))).collect();
        if let Some(classes) = classes {
            confusion.add(&value, &classes.of(rows, size.elements())?);
        }
        Ok(writer.write_rows(&value)?)
    })?;
    task.finish_array(writer, confusion.metrics())
}

/// How often each class was taken for each.
struct Confusion {
    classes: usize,
    counts: Vec<usize>,
}

impl Confusion {
    fn new(classes: usize) -> Self {
        Self { classes, counts: Vec::new() }
    }

    /// Counts rows of values by their largest, the first of equals.
    fn add<E: Element>(&mut self, values: &[E], classes: &[i64]) {
        self.counts.resize(self.classes * self.classes, 0);
        for (row, &class) in values.chunks_exact(self.classes).zip(classes) {
            self.counts[class as usize * self.classes + largest(row)] += 1;
        }
    }

    /// Empty if nothing was counted.
    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::new();
        let total: usize = self.counts.iter().sum();
        if total > 0 {
            let right: usize = (0..self.classes).map(|class| self.counts[class * (self.classes + 1)]).sum();
            metrics.insert("accuracy".into(), metric(right as f64 / total as f64));
            let rows: Vec<&[usize]> = self.counts.chunks(self.classes).collect();
            metrics.insert("confusion".into(), rows.into());
        }
        metrics
    }
}

/// The networks that may lie in another one's folder, and whether they are needed to make images from latents.
const BESIDE: [(&str, bool); 3] = [("generator", true), ("decoder", true), ("discriminator", false)];

/// Prints one line per node, or one JSON object; then the networks that lie in this one's folder.
fn describe(arguments: &Arguments, graph: &Graph) -> anyhow::Result<()> {
    let path: &Path = &arguments.network;
    let (mut object, mut text) = (graph.description(), table(graph));
    let mut total = graph.parameter_count();
    for (name, needed) in BESIDE {
        let beside = path.join(name);
        if !beside.is_dir() {
            continue;
        }
        let other = Graph::load(&beside)?;
        total += if needed { other.parameter_count() } else { 0 };
        text += &format!("\n{name}\n{}", table(&other));
        object[name] = other.description();
    }
    object["total_parameters"] = total.into();
    if total != graph.parameter_count() {
        text += &format!("\nparameters of all networks that make images from latents: {total}\n");
    }
    if arguments.orthogonality {
        let layers = orthogonality(&Network::<f64>::load(path)?);
        text += "\ndistance from orthogonal\n";
        for layer in &layers {
            text += &format!("{}  {:.4}\n", layer.node, layer.relative);
        }
        object["orthogonality"] = serde_json::to_value(&layers)?;
    }
    let text = if arguments.rows.common.json { serde_json::to_string(&object)? + "\n" } else { text };
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
