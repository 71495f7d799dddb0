//! `net-import`: networks of other programs as network folders.

use crate::request::{Input, Output};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};
use clap::{Parser, ValueEnum};
use obverse::data::import::sha256_of;
use obverse::net::import::pretrained::{self, Architecture};
use obverse::net::import::{CONVENTIONS, ChannelOrder, Imported, Pixels, onnx};
use obverse::net::{Network, Node, Size, op};
use obverse::store;
use obverse::store::onnx::Model;
use obverse::store::weights::Weights;
use serde::Serialize;
use serde_json::json;

use crate::folder::folder_at;
use crate::{CommonArguments, Metrics, Task};

/// Make a network folder from an ONNX file, or from a file of weights
///
/// An ONNX file contains its graph. Weights are safetensors or a state dictionary of PyTorch (.pth, .pt, .th), read as data: nothing
/// in them is executed. The architecture is recognised by the names and shapes of the tensors, or given with --arch. Nodes have the
/// names of PyTorch's modules or of the ONNX nodes; `net-tap NET --describe` prints them. A softmax at the end is left off.
///
/// The imported network takes RGB in 0..1. A convention says what it was trained on: none (0..1, for ONNX files), imagenet
/// (torchvision's mean and std; squeezenet, vgg16, alexnet, resnet), cifar10 (that dataset's mean and std; densenet-bc), inception
/// (-1..1; googlenet, inception-v3-fid), caffe (BGR in 0..255 minus 104, 117, 123). --range, --mean, --std and --channels each override
/// one part of it.
#[derive(Parser)]
#[command(
    version,
    after_help = "Architectures: squeezenet1.0, squeezenet1.1, googlenet, vgg16, alexnet (torchvision's; 3,224,224), \
densenet-bc (any depth and growth) or densenet-bc-100-12, resnet20, resnet32, resnet44, resnet56, resnet110 (for CIFAR; 3,32,32), \
inception-v3-fid (pytorch-fid's).

Measures:
  left_off                   nodes of an ONNX file that no output needs
  input, nodes, parameters, outputs
                             the network's input, its numbers of nodes and parameters, its outputs

Examples:
  net-import googlenet-1378be20.pth -o googlenet
  net-import model.onnx --convention imagenet --input-size 3,224,224 -o net
  net-import squeezenet.safetensors --arch squeezenet1.0 --convention caffe --input-size 3,227,227 -o squeezenet
  net-import densenet.pth --slice own=block3.layer.15:150..342 -o densenet
  net-import pt_inception-2015-12-05-6726825d.pth -o data/inception"
)]
pub struct Arguments {
    /// The file: .onnx, .safetensors, .pth
    #[arg(required_unless_present = "list")]
    file: Option<Input>,
    /// The architecture of the weights [default: recognised by their names and shapes]
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// Print the known architectures, one per line
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    pixels: PixelArguments,
    /// Channels, height and width of the images [default: the architecture's; needed when an ONNX file leaves them open]
    #[arg(long, value_name = "C,H,W", value_delimiter = ',')]
    input_size: Option<Vec<usize>>,
    /// Add a node NAME that holds the channels A..B of NODE, such as a block's own outputs; may be given more than once
    #[arg(long, value_name = "NAME=NODE:A..B", value_parser = slice)]
    slice: Vec<Slice>,
    /// The network folder to write
    #[arg(short, long, value_name = "NET", required_unless_present = "list")]
    output: Option<Output>,
    #[command(flatten)]
    common: CommonArguments,
}

/// What the network was trained on.
#[derive(Clone, Debug, Default, clap::Args)]
struct PixelArguments {
    /// The convention of the pixels it was trained on [default: the architecture's, or none]
    #[arg(long, value_name = "NAME", value_parser = CONVENTIONS)]
    convention: Option<String>,
    /// The values of black and white before the mean was subtracted
    #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',', allow_hyphen_values = true)]
    range: Option<Vec<f64>>,
    /// The mean that was subtracted from each channel, in the units of --range and the network's order of channels
    #[arg(long, value_name = "M,…", value_delimiter = ',', allow_hyphen_values = true)]
    mean: Option<Vec<f64>>,
    /// The standard deviation that each channel was divided by
    #[arg(long, value_name = "S,…", value_delimiter = ',')]
    std: Option<Vec<f64>>,
    /// The order of channels it was trained on
    #[arg(long, value_name = "ORDER")]
    channels: Option<Channels>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Channels {
    Rgb,
    Bgr,
}

impl PixelArguments {
    /// The convention, with the arguments that override it.
    fn pixels(&self, default: &str) -> anyhow::Result<Pixels> {
        let name = self.convention.as_deref().unwrap_or(default);
        let known = Pixels::of_convention(name);
        let known = known.ok_or_else(|| anyhow!("--convention: expected {}, found {name}", CONVENTIONS.join(", ")))?;
        let range = match self.range.as_deref() {
            None => known.range,
            Some(&[low, high]) => [low, high],
            Some(other) => return Err(anyhow!("--range: expected LOW,HIGH, found {} numbers", other.len())),
        };
        let order = match self.channels {
            None => known.order,
            Some(Channels::Rgb) => ChannelOrder::Rgb,
            Some(Channels::Bgr) => ChannelOrder::Bgr,
        };
        let or = |said: &Option<Vec<f64>>, known| said.clone().unwrap_or(known);
        Ok(Pixels { range, mean: or(&self.mean, known.mean), std: or(&self.std, known.std), order })
    }
}

/// A node that holds some channels of another.
#[derive(Clone, Debug, Serialize)]
struct Slice {
    name: String,
    node: String,
    start: usize,
    end: usize,
}

fn slice(text: &str) -> Result<Slice, String> {
    let parsed = || {
        let (name, rest) = text.split_once('=')?;
        let (node, range) = rest.rsplit_once(':')?;
        let (start, end) = range.split_once("..")?;
        Some(Slice { name: name.into(), node: node.into(), start: start.parse().ok()?, end: end.parse().ok()? })
    };
    parsed()
        .filter(|slice| !slice.name.is_empty())
        .ok_or_else(|| "expected NAME=NODE:A..B, such as own=block3:0..64".into())
}

/// The network with these nodes too.
fn sliced(network: Network<f32>, slices: &[Slice]) -> anyhow::Result<Network<f32>> {
    slices.iter().try_fold(network, |network, Slice { name, node, start, end }| {
        network.graph().place(node)?;
        let op = op::Slice { start: *start, end: *end };
        Ok(network.with_node(Node::new(name.clone(), op, node.clone()))?)
    })
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { file, arch, pixels, input_size, slice: slices, output, common, .. } = arguments;
    let (Some(file), Some(output)) = (file, output) else {
        let lines: String = pretrained::ARCHITECTURES.map(|architecture| architecture.name.to_string() + "\n").concat();
        let written = std::io::stdout().lock().write_all(lines.as_bytes());
        return Ok(written.map_err(store::Error::write(Path::new("-")))?);
    };
    let size = input_size.map(size).transpose()?;
    let task = Task::begin(&common, Some(&output))?;
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
        ensure!(arch.is_none(), "--arch: {} brings its own graph; leave it out", file.display());
        return import_onnx(task, &file, &pixels, (size, &slices), &output);
    }
    let architecture = arch.as_deref().map(architecture).transpose()?;
    let (file, output) = (file.to_path_buf(), output.to_path_buf());
    import_weights(task, &WeightsImport { file, architecture, pixels, size, slices, output })
}

fn size(axes: Vec<usize>) -> anyhow::Result<Size> {
    Size::try_from(axes).map_err(|error| anyhow!("--input-size: {error}"))
}

fn architecture(name: &str) -> anyhow::Result<Architecture> {
    let known = pretrained::of_name(name);
    known.ok_or_else(|| anyhow!("--arch: expected {}, found {name}", pretrained::names()))
}

/// Makes the network folder `output` from the weights of an architecture, with its own size and pixels.
///
/// # Errors
/// An architecture that is not known, weights that are not its.
pub(crate) fn import(task: Task, weights: &Path, arch: &str, output: &Path) -> anyhow::Result<()> {
    let (file, output) = (weights.to_owned(), output.to_owned());
    let (architecture, pixels) = (Some(architecture(arch)?), PixelArguments::default());
    import_weights(task, &WeightsImport { file, architecture, pixels, size: None, slices: Vec::new(), output })
}

struct WeightsImport {
    file: PathBuf,
    architecture: Option<Architecture>,
    pixels: PixelArguments,
    size: Option<Size>,
    slices: Vec<Slice>,
    output: PathBuf,
}

fn import_weights(mut task: Task, request: &WeightsImport) -> anyhow::Result<()> {
    let WeightsImport { file, pixels, size, output, .. } = request;
    let weights = Weights::open(file)?;
    let architecture = request.architecture.map_or_else(|| pretrained::recognised(&weights), Ok)?;
    let pixels = pixels.pixels(architecture.convention)?;
    declare(&mut task, &pixels, *size)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let network = sliced(pixels.before(architecture.load(&weights, *size)?)?, &request.slices)?;
    let origin = json!({"architecture": architecture.name});
    save(task, &network, file, output, (origin, Metrics::new()))
}

fn import_onnx(
    mut task: Task,
    file: &Path,
    pixels: &PixelArguments,
    (size, slices): (Option<Size>, &[Slice]),
    output: &Path,
) -> anyhow::Result<()> {
    let model = Model::open(file)?;
    model.external.iter().try_for_each(|beside| task.input("file", beside))?;
    let pixels = pixels.pixels("none")?;
    declare(&mut task, &pixels, size)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let Imported { network, left_off } = onnx::load(&model, size)?;
    let network = sliced(pixels.before(network)?, slices)?;
    let origin = json!({"format": "onnx", "left_off": left_off});
    save(task, &network, file, output, (origin, Metrics::from_iter([("left_off".to_string(), json!(left_off))])))
}

/// Declares the pixels and the size of the images.
fn declare(task: &mut Task, pixels: &Pixels, size: Option<Size>) -> anyhow::Result<()> {
    let order = match pixels.order {
        ChannelOrder::Rgb => "rgb",
        ChannelOrder::Bgr => "bgr",
    };
    task.resolved("range", pixels.range)?;
    task.resolved("mean", &pixels.mean)?;
    task.resolved("std", &pixels.std)?;
    task.resolved("channels", order)?;
    task.resolved("input_size", size)
}

/// Writes the network; `origin` goes into net.json beside the tool and the file's digest, the metrics beside the counts.
fn save(
    task: Task,
    network: &Network<f32>,
    file: &Path,
    output: &Path,
    (mut origin, mut metrics): (serde_json::Value, Metrics),
) -> anyhow::Result<()> {
    origin["tool"] = "net-import".into();
    origin["weights_sha256"] = sha256_of(file)?.into();
    let folder = folder_at(output)?;
    network.save(folder.path(), &origin)?;
    let graph = network.graph();
    let outputs: Vec<&String> = graph.outputs.keys().collect();
    metrics.insert("input".into(), json!(graph.input));
    metrics.insert("nodes".into(), graph.nodes.len().into());
    metrics.insert("parameters".into(), graph.parameter_count().into());
    metrics.insert("outputs".into(), json!(outputs));
    task.finish_folder(folder, metrics)
}
