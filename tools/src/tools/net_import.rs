//! `net-import`: networks of other programs as network folders.

mod expect;
mod survey;

use crate::request::{Input, Output};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};
use clap::{Parser, ValueEnum};
use obverse::data::import::sha256_of;
use obverse::net::import::onnx::{Layout, Options};
use obverse::net::import::pretrained::{self, Architecture};
use obverse::net::import::{CONVENTIONS, ChannelOrder, Imported, Pixels, onnx};
use obverse::net::{Network, Node, Size, op};
use obverse::store;
use obverse::store::onnx::Model;
use obverse::store::weights::Weights;
use serde::Serialize;
use serde_json::json;

use self::expect::ExpectArguments;
use crate::folder::folder_at;
use crate::{CommonArguments, Metrics, Task};

/// Make a network folder from an ONNX file, or from a file of weights
///
/// An ONNX file contains its graph. Weights are safetensors or a state dictionary of PyTorch (.pth, .pt, .th), read as data: nothing
/// in them is executed. The architecture is recognised by the names and shapes of the tensors, or given with --arch; what training
/// leaves around them (state_dict, model, ema) or before their names (module., model., _orig_mod.) comes off. Nodes have the names of
/// PyTorch's modules or of the ONNX nodes; `net-tap NET --describe` prints them. What goes
/// into a softmax at the end is one more output, logits.
///
/// --expect holds the network against an input and an output of the original. Where an ONNX file cannot be imported, --report lists all
/// that stands in the way, and --until takes what lies before it.
///
/// The imported network takes RGB in 0..1. A convention says what it was trained on: none (0..1, for ONNX files), imagenet
/// (torchvision's mean and std; squeezenet, vgg16, alexnet, resnet), cifar10 (that dataset's mean and std; densenet-bc), inception
/// (-1..1; googlenet, inception-v3-fid), clip (OpenAI's mean and std), caffe (BGR in 0..255 minus 104, 117, 123). --range, --mean, --std and --channels each override
/// one part of it.
#[derive(Parser)]
#[command(
    version,
    after_help = "Architectures: squeezenet1.0, squeezenet1.1, googlenet, vgg16, alexnet (torchvision's; 3,224,224), \
densenet-bc (any depth and growth) or densenet-bc-100-12, resnet20, resnet32, resnet44, resnet56, resnet110 (for CIFAR; 3,32,32), \
inception-v3-fid (pytorch-fid's); torchvision's others by its names (resnet50, vit_b_16, …), timm's as timm.NAME \
(timm.vit_small_patch16_224, …). --list prints all.

Measures:
  left_off                   operations of an ONNX file that no output needs
  remarks                    what is not as in the file, such as quantised weights that became floats
  stripped                   what was taken off the names of weights, from the outside in
  largest_difference, relative_difference
                             with --expect: the largest difference to Y, and how large a part it is of Y's largest value
  blockers                   with --report: the kinds of operations that stand in the way, each with its first node, what was
                             expected and found, and how many there are
  input, nodes, parameters, outputs
                             the network's input, its numbers of nodes and parameters, its outputs

Examples:
  net-import googlenet-1378be20.pth -o googlenet
  net-import model.onnx --convention imagenet --input-size 3,224,224 -o net
  net-import model.onnx --expect x.npy y.npy -o net
  net-import model.onnx --report
  net-import model.onnx --until layer4 -o net
  net-import checkpoint.pth --prefix student.backbone. -o net
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
    /// What the names of the weights begin with, such as encoder.; the others are left out [default: module., model. and _orig_mod.,
    /// where an architecture is behind them]
    #[arg(long, value_name = "P")]
    prefix: Option<String>,
    /// Print the known architectures, one per line
    #[arg(long)]
    list: bool,
    /// List all that stands in the way of importing an ONNX file, and write nothing
    #[arg(long, conflicts_with_all = ["output", "expect"])]
    report: bool,
    #[command(flatten)]
    pixels: PixelArguments,
    /// Channels, height and width of the images [default: the architecture's; needed when an ONNX file leaves them open]
    #[arg(long, value_name = "C,H,W", value_delimiter = ',')]
    input_size: Option<Vec<usize>>,
    #[command(flatten)]
    onnx: OnnxArguments,
    /// Add a node NAME that holds the channels A..B of NODE, such as a block's own outputs; may be given more than once
    #[arg(long, value_name = "NAME=NODE:A..B", value_parser = slice)]
    slice: Vec<Slice>,
    /// The network folder to write
    #[arg(short, long, value_name = "NET", required_unless_present_any = ["list", "report"])]
    output: Option<Output>,
    #[command(flatten)]
    expect: ExpectArguments,
    #[command(flatten)]
    common: CommonArguments,
}

/// How an ONNX file is to be read.
#[derive(Clone, Debug, clap::Args)]
struct OnnxArguments {
    /// Import what lies before this node of an ONNX file, or before this value, which becomes the output
    #[arg(long, value_name = "NODE")]
    until: Option<String>,
    /// The first axis of an ONNX file's input is no batch: all of the input is one image
    #[arg(long)]
    unbatched: bool,
    /// The order of the axes of images in an ONNX file [default: the one that the file suggests]
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<LayoutArgument>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutArgument {
    Nchw,
    Nhwc,
}

impl OnnxArguments {
    fn options(self, size: Option<Size>) -> Options {
        let layout = self.layout.map(|layout| match layout {
            LayoutArgument::Nchw => Layout::Nchw,
            LayoutArgument::Nhwc => Layout::Nhwc,
        });
        Options { size, until: self.until, unbatched: self.unbatched, layout }
    }

    /// The first that is said, which means nothing to weights.
    fn said(&self) -> Option<&str> {
        let flags =
            [("--until", self.until.is_some()), ("--unbatched", self.unbatched), ("--layout", self.layout.is_some())];
        flags.into_iter().find(|(_, is_said)| *is_said).map(|(flag, _)| flag)
    }
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
    /// Whether anything is said of the pixels. The values that an ONNX file takes need be none.
    fn is_given(&self) -> bool {
        self.convention.is_some() || self.range.is_some() || self.mean.is_some() || self.std.is_some()
    }

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
        let op = op::Slice { axis: op::Axis::Channels, start: *start, end: *end, step: 1 };
        Ok(network.with_node(Node::new(name.clone(), op, node.clone()))?)
    })
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { file, arch, prefix, pixels, input_size, onnx, slice: slices, output, expect, common, .. } =
        arguments;
    let Some(file) = file else {
        let lines: String =
            pretrained::architectures().map(|architecture| architecture.name.to_string() + "\n").collect();
        let written = std::io::stdout().lock().write_all(lines.as_bytes());
        return Ok(written.map_err(store::Error::write(Path::new("-")))?);
    };
    let size = input_size.map(size).transpose()?;
    let task = Task::begin(&common, output.as_deref())?;
    let file = file.to_path_buf();
    let is_onnx = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
    let Some(output) = output else {
        ensure!(is_onnx, "--report: expected an ONNX file, found {}", file.display());
        return survey::run(task, &file, &onnx.options(size), common.json);
    };
    let output = output.to_path_buf();
    if is_onnx {
        ensure!(arch.is_none(), "--arch: {} brings its own graph; leave it out", file.display());
        ensure!(prefix.is_none(), "--prefix: {} brings its own graph; leave it out", file.display());
        let options = onnx.options(size);
        return import_onnx(task, &OnnxImport { file, pixels, options, slices, output, expect });
    }
    if let Some(flag) = onnx.said() {
        return Err(anyhow!("{flag}: expected an ONNX file, found {}", file.display()));
    }
    let architecture = arch.as_deref().map(architecture).transpose()?;
    import_weights(task, &WeightsImport { file, architecture, prefix, pixels, size, slices, output, expect })
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
    let (architecture, pixels, expect) =
        (Some(architecture(arch)?), PixelArguments::default(), ExpectArguments::none());
    let (prefix, size, slices) = (None, None, Vec::new());
    import_weights(task, &WeightsImport { file, architecture, prefix, pixels, size, slices, output, expect })
}

struct WeightsImport {
    file: PathBuf,
    architecture: Option<Architecture>,
    prefix: Option<String>,
    pixels: PixelArguments,
    size: Option<Size>,
    slices: Vec<Slice>,
    output: PathBuf,
    expect: ExpectArguments,
}

fn import_weights(mut task: Task, request: &WeightsImport) -> anyhow::Result<()> {
    let WeightsImport { file, pixels, size, output, expect, .. } = request;
    let weights = unwrapped(Weights::open(file)?, request)?;
    let architecture = request.architecture.map_or_else(|| pretrained::recognised(&weights), Ok)?;
    let pixels = pixels.pixels(architecture.convention)?;
    declare(&mut task, &pixels, *size)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let stripped = weights.stripped();
    if !stripped.is_empty() {
        task.note(&format!("{}: took off {}", file.display(), stripped.join(", ")));
    }
    let network = architecture.load(&weights, *size)?;
    let outputs = &network.graph().outputs;
    let usual =
        if outputs.contains_key("logits") { "logits" } else { outputs.keys().next().map_or("", String::as_str) };
    let mut metrics = expect.check(&network, None, usual)?;
    metrics.insert("stripped".into(), json!(stripped));
    let network = sliced(pixels.before(network)?, &request.slices)?;
    let origin = json!({"architecture": architecture.name});
    save(task, &network, file, output, (origin, metrics))
}

/// The weights under the names of an architecture.
fn unwrapped(weights: Weights, request: &WeightsImport) -> anyhow::Result<Weights> {
    let Some(prefix) = &request.prefix else { return Ok(pretrained::unwrapped(weights, request.architecture)) };
    let first: Vec<String> = weights.names().take(3).map(String::from).collect();
    let weights = weights.without(prefix);
    let is_there = weights.names().next().is_some();
    ensure!(is_there, "--prefix: expected names that begin with {prefix}, found {}, …", first.join(", "));
    Ok(pretrained::unwrapped(weights, request.architecture))
}

struct OnnxImport {
    file: PathBuf,
    pixels: PixelArguments,
    options: Options,
    slices: Vec<Slice>,
    output: PathBuf,
    expect: ExpectArguments,
}

fn import_onnx(mut task: Task, request: &OnnxImport) -> anyhow::Result<()> {
    let OnnxImport { file, options, output, expect, .. } = request;
    let model = Model::open(file)?;
    model.external.iter().try_for_each(|beside| task.input("file", beside))?;
    let pixels = request.pixels.pixels("none")?;
    declare(&mut task, &pixels, options.size)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let Imported { network, output: first, left_off, remarks } = onnx::load(&model, options)?;
    let mut metrics = expect.check(&network, options.layout, &first)?;
    remarks.iter().for_each(|remark| task.note(remark));
    metrics.insert("left_off".into(), json!(left_off));
    metrics.insert("remarks".into(), json!(remarks));
    let network = sliced(pixels.before(network)?, &request.slices)?;
    let mut origin = json!({"format": "onnx", "left_off": left_off});
    if request.pixels.is_given() {
        origin["pixels"] = true.into();
    }
    save(task, &network, file, output, (origin, metrics))
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
