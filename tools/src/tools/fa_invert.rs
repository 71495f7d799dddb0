//! `fa-invert`: latents to images.

mod reverse;

use crate::request::{Input, Output};
use std::path::Path;

use crate::alignment::RecoveryArguments;
use crate::{Classes, Precision, RowsArguments, SeedArgument, Task};
use anyhow::{Context, ensure};
use clap::Parser;
use dfdx::prelude::NoneTape;
use obverse::alignment::adversarial::Refiner;
use obverse::alignment::latents;
use obverse::alignment::local::Chain;
use obverse::alignment::settings::{Settings, trained_settings};
use obverse::alignment::step::{Heads, Wanted};
use obverse::alignment::training::{image_size, one_hot};
use obverse::baselines::autoencoder::decode;
use obverse::data::Shape;
use obverse::data::batches::ImageFile;
use obverse::net::{self, Graph, Network, Size};
use obverse::store::npy::{Reader, Scalar, Writer, require_finite};
use obverse::tensor::random::Stream;
use obverse::tensor::{Batch, Element, batch, channels_first, view};
use obverse::train::evaluation::SquaredError;
use serde_json::Value;

/// Recover images from their latents alone, by gradient steps on a neutral input.
///
/// r <- r - tau d/dr 1/2 |z - E(r)|^2, from r0, T times. T, tau, r0 and the sigmoid are those the network was trained with,
/// unless asked otherwise. --reverse runs any network of layers and rectifiers backwards by its transposed weights instead
/// (notes on "Why are deep nets reversible"). Networks of net-fit are run forward: the decoder of an autoencoder, the generator of a GAN. A
/// row's bytes depend on its latent and the network alone (and on --seed and its place in the file where something is drawn).
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  mse, mse_clipped, mae      with --compare: squared error per pixel, with its standard error and interval over images; the same of
                             recoveries clipped to 0..1; absolute error per pixel
  within_D                   with --within D: the share of recoveries as near to their latents as D

Examples:
  fa-invert encoder latents.npy -o recovered.npy
  fa-invert encoder latents.npy --steps 10 --tau 0.2 --compare test-images.npy --json -o recovered.npy
  fa-invert --reverse shadowed hidden.npy --estimate train-images.npy -o reversed.npy
  fa-invert model --sample 100 --class 0,1,2,3,4,5,6,7,8,9 --generator -o samples.npy
  fa-invert model latents.npy --interpolate 3,14 --points 8 --path spherical -o way.npy"
)]
pub struct Arguments {
    /// A network folder, as fa-fit or net-fit writes it
    network: Input,
    /// Latents: .npy, (N, Z), as fa-encode writes them, or with --reverse what a node computes, as net-tap writes it; - for
    /// standard input
    #[arg(required_unless_present = "sample", conflicts_with = "sample")]
    latents: Option<Input>,
    /// Where the images go: .npy, (N, C, H, W); - for standard output
    #[arg(short, long, value_name = "R.npy")]
    output: Output,
    /// Draw N latents from the standard normal prior instead of reading them
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Rows of the latents to go between: each to the next, or, of four, over the square with --square
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', requires = "latents")]
    interpolate: Vec<usize>,
    /// Images on the way between two rows, ends included
    #[arg(long, default_value_t = 8, value_name = "P", value_parser = clap::value_parser!(u32).range(2..=4096))]
    points: u32,
    /// How the way runs
    #[arg(long, value_enum, default_value_t)]
    path: PathArgument,
    /// The square between four rows: top left, top right, bottom left, bottom right; P x P images, row by row
    #[arg(long, requires = "interpolate")]
    square: bool,
    /// Classes to aim at, taken in turn
    #[arg(long, value_name = "K,…", value_delimiter = ',', conflicts_with = "labels")]
    class: Vec<usize>,
    /// How high the class's entry is: above 1 emphasises it (section 3.4)
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    strength: f64,
    /// Classes to aim at, one a latent; with --interpolate they change along the way
    #[arg(long, value_name = "L.npy", requires = "latents")]
    labels: Option<Input>,
    /// Values to aim at beside the latents, (N, F), of a network of --mode regression
    #[arg(long, value_name = "F.npy", requires = "latents", conflicts_with = "interpolate")]
    values: Option<Input>,
    /// Refine the recoveries by the generator in the network's folder
    #[arg(long)]
    generator: bool,
    /// Invert layer by layer (Algorithm 3), as networks of --mode local are anyway
    #[arg(long)]
    local: bool,
    /// Run the network backwards by its own weights, transposed, from what a node computes
    #[arg(long, requires = "latents", conflicts_with_all = REFUSED_BY_REVERSE)]
    reverse: bool,
    /// The node that --reverse starts from [default: the one below the softmax, or the only output]
    #[arg(long, value_name = "NODE", requires = "reverse")]
    layer: Option<String>,
    /// Images on which --reverse estimates scales and biases, the first 1,024 [default: the model's scales, no biases]
    #[arg(long, value_name = "IMAGES.npy", requires = "reverse")]
    estimate: Option<Input>,
    /// The images that were encoded: reports the mean squared error a pixel
    #[arg(long, value_name = "IMAGES.npy", conflicts_with_all = ["sample", "interpolate"])]
    compare: Option<Input>,
    /// With --compare, also the share of images whose mean absolute error is below this
    #[arg(long, value_name = "E", requires = "compare")]
    within: Option<f64>,
    #[command(flatten)]
    recovery: RecoveryArguments,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    rows: RowsArguments,
}

/// What a reverse has no use for.
const REFUSED_BY_REVERSE: [&str; 13] = [
    "sample",
    "interpolate",
    "class",
    "labels",
    "values",
    "generator",
    "local",
    "within",
    "steps",
    "tau",
    "start",
    "sigmoid",
    "alpha",
];

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum PathArgument {
    #[default]
    Linear,
    Spherical,
}

/// Every file that an inversion reads.
struct Data {
    latents: Option<Reader>,
    classes: Option<Classes>,
    values: Option<Reader>,
    originals: Option<ImageFile>,
}

impl Data {
    fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let latents = arguments.latents.as_deref().map(Reader::open).transpose()?;
        let count = latents.as_ref().map_or(0, Reader::rows);
        if let Some(latents) = &latents {
            latents.require_rank(2, "latents (N, Z)")?;
        }
        let classes = Classes::open(arguments.labels.as_deref(), &arguments.class, count)?;
        let values = arguments.values.as_deref().map(Reader::open).transpose()?;
        if let Some(values) = &values {
            values.require_rank(2, "values (N, F)")?;
            require_as_many(values, count)?;
        }
        let originals = arguments.compare.as_deref().map(ImageFile::open).transpose()?;
        if let Some(originals) = &originals {
            require_as_many(originals.reader(), count)?;
        }
        Ok(Self { latents, classes, values, originals })
    }
}

fn require_as_many(reader: &Reader, count: usize) -> anyhow::Result<()> {
    let path = reader.path().display();
    ensure!(reader.rows() == count, "{path}: expected {count} rows, one a latent, found {}", reader.rows());
    Ok(())
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.reverse {
        return reverse::run(&arguments);
    }
    ensure!(
        !arguments.square || arguments.interpolate.len() == 4,
        "--square: expected four rows in --interpolate, found {}",
        arguments.interpolate.len()
    );
    ensure!(
        arguments.interpolate.is_empty() || arguments.interpolate.len() > 1,
        "--interpolate: expected two rows or more, found one"
    );
    let settings = arguments.recovery.applied_to(trained_settings(&arguments.network)?).check()?;
    let data = Data::open(&arguments)?;
    let mut task = Task::begin(&arguments.rows.common, Some(&arguments.output))?;
    task.resolved("recovery", settings.recovery())?;
    task.resolved("start", settings.start)?;
    task.resolved("alpha", settings.alpha)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.rows.precision {
        Precision::F32 => invert_all::<f32>(&arguments, settings, &data, task),
        Precision::F64 => invert_all::<f64>(&arguments, settings, &data, task),
    }
}

/// Where latents come from, row by row.
enum Latents<'a, E> {
    File(&'a Reader),
    Prior { stream: Stream, count: usize },
    Way(Vec<Vec<E>>),
}

impl<'a, E: Element + Scalar> Latents<'a, E> {
    fn new(arguments: &Arguments, data: &'a Data) -> anyhow::Result<Self> {
        let Some(reader) = &data.latents else {
            let stream = Stream::new(arguments.seed.seed, "prior", 0);
            return Ok(Self::Prior { stream, count: arguments.sample.unwrap_or(0) });
        };
        if arguments.interpolate.is_empty() {
            return Ok(Self::File(reader));
        }
        let ends =
            arguments.interpolate.iter().map(|&row| end(reader, row)).collect::<anyhow::Result<Vec<Vec<E>>>>()?;
        Ok(Self::Way(way(arguments, arguments.path.path(), &ends)))
    }

    fn count(&self) -> usize {
        match self {
            Self::File(reader) => reader.rows(),
            Self::Prior { count, .. } => *count,
            Self::Way(rows) => rows.len(),
        }
    }

    /// The latents from row `first` on, of this many features.
    fn rows(&self, first: usize, count: usize, features: usize) -> anyhow::Result<Batch<E>> {
        let values = match self {
            Self::File(reader) => {
                reader.require_row_shape(&[features], "latents, as many features as the network's")?;
                let values = reader.read_row_range_as_float_at(first, count)?;
                require_finite(reader.path(), &values, first, features)?;
                values
            }
            Self::Prior { stream, .. } => stream.normal(first * features..(first + count) * features),
            Self::Way(rows) => rows[first..first + count].concat(),
        };
        Ok(batch(values, (count, 1, 1, features)))
    }
}

/// The way between some rows: each to the next, or over the square between four.
fn way<E: Element>(arguments: &Arguments, path: latents::Path, ends: &[Vec<E>]) -> Vec<Vec<E>> {
    let points = arguments.points as usize;
    match (ends, arguments.square) {
        ([a, b, c, d], true) => path.square([a, b, c, d], points),
        _ => ends.windows(2).flat_map(|pair| path.walk(&pair[0], &pair[1], points)).collect(),
    }
}

/// The classes that recoveries aim at, row by row.
enum ClassTargets<'a> {
    Chosen {
        classes: &'a Classes,
        count: usize,
    },
    /// Shares of the classes on the way between rows of different ones.
    Way(Vec<Vec<f64>>),
}

impl<'a> ClassTargets<'a> {
    /// None where no classes are asked for.
    fn new(arguments: &Arguments, data: &'a Data, count: Option<usize>) -> anyhow::Result<Option<Self>> {
        let Some(classes) = &data.classes else { return Ok(None) };
        let count = count.context("--class and --labels: expected a network with a class head, found none")?;
        if !matches!(classes, Classes::File(_)) || arguments.interpolate.is_empty() {
            return Ok(Some(Self::Chosen { classes, count }));
        }
        let ends = classes.of(&arguments.interpolate, count)?;
        let ends: Vec<Vec<f64>> = ends.iter().map(|&end| view(&one_hot(&[end], count, 1.0)).to_vec()).collect();
        Ok(Some(Self::Way(way(arguments, latents::Path::Linear, &ends))))
    }

    /// One-hot classes, or shares of them, (N, 1, 1, K), `strength` high.
    fn of<E: Element>(&self, rows: &[usize], strength: f64) -> anyhow::Result<Batch<E>> {
        match self {
            Self::Chosen { classes, count } => Ok(one_hot(&classes.of(rows, *count)?, *count, strength)),
            Self::Way(shares) => {
                let values: Vec<E> =
                    rows.iter().flat_map(|&row| &shares[row]).map(|share| E::of(share * strength)).collect();
                let count = values.len() / rows.len();
                Ok(batch(values, (rows.len(), 1, 1, count)))
            }
        }
    }
}

/// One latent, an end of a way.
fn end<E: Element + Scalar>(reader: &Reader, row: usize) -> anyhow::Result<Vec<E>> {
    let path = reader.path().display();
    ensure!(row < reader.rows(), "--interpolate: expected rows of {path} below {}, found {row}", reader.rows());
    let values = reader.read_row_range_as_float_at(row, 1)?;
    require_finite(reader.path(), &values, row, reader.row_len())?;
    Ok(values)
}

impl PathArgument {
    fn path(self) -> latents::Path {
        match self {
            Self::Linear => latents::Path::Linear,
            Self::Spherical => latents::Path::Spherical,
        }
    }
}

/// How images follow from latents.
enum Inverter<E: Element> {
    Alignment { encoder: Network<E>, heads: Heads },
    Local(Chain<E>),
    Decoder(Network<E>),
}

impl<E: Element + Scalar> Inverter<E> {
    fn load(arguments: &Arguments) -> anyhow::Result<Self> {
        let folder = &arguments.network;
        if folder.join("decoder").is_dir() {
            return Ok(Self::Decoder(Network::load(&folder.join("decoder"))?));
        }
        let network = Network::<E>::load(folder)?;
        if network.graph().output("image").is_ok() {
            return Ok(Self::Decoder(network));
        }
        let local = net::origin(folder)?.get("mode").and_then(Value::as_str) == Some("local");
        if local || arguments.local {
            return Ok(Self::Local(Chain::of(&network)?));
        }
        let heads = Heads::of(network.graph())?;
        // Outputs that nothing is aimed at are not computed.
        let wanted = [Some(heads.latent), heads.log_var, heads.class, heads.value].into_iter().flatten();
        let names: Vec<String> = wanted.map(|place| network.graph().nodes[place].name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(Self::Alignment { encoder: network.only(&names)?, heads })
    }

    /// Features of a latent.
    fn features(&self) -> usize {
        match self {
            Self::Alignment { encoder, heads } => encoder.graph().size(heads.latent).channels,
            Self::Local(chain) => last_size(chain.graph()).channels,
            Self::Decoder(network) => network.graph().input.shape.channels,
        }
    }

    /// The network that is run.
    fn graph(&self) -> &Graph {
        match self {
            Self::Alignment { encoder, .. } => encoder.graph(),
            Self::Local(chain) => chain.graph(),
            Self::Decoder(network) => network.graph(),
        }
    }

    /// The size of the images.
    fn image(&self) -> anyhow::Result<Size> {
        Ok(match self {
            Self::Alignment { encoder, .. } => encoder.graph().input.shape,
            Self::Local(chain) => chain.graph().input.shape,
            Self::Decoder(network) => network.graph().size(network.graph().output("image")?),
        })
    }

    /// The number of classes that a recovery can aim at.
    fn classes(&self) -> Option<usize> {
        match self {
            Self::Alignment { encoder, heads } => heads.class.map(|place| encoder.graph().size(place).channels),
            _ => None,
        }
    }

    /// The images of latents, the first of which is number `first`.
    fn invert(
        &self,
        settings: &Settings,
        wanted: &Wanted<E>,
        stream: &Stream,
        first: usize,
    ) -> anyhow::Result<Batch<E>> {
        let count = obverse::tensor::shape(wanted.z).0;
        Ok(match self {
            Self::Alignment { encoder, heads } => {
                let start = settings.start.draw(stream, first, count, image_size(encoder.graph()));
                let aims = heads.aims(wanted, &settings.weights());
                settings.recovery().recover(&mut NoneTape, encoder, &aims, &start)?
            }
            Self::Local(chain) => chain.recover(&settings.recovery(), wanted.z, settings.start, stream, first)?,
            Self::Decoder(network) => decode(network, wanted.z)?,
        })
    }
}

/// The size of a chain's last result.
fn last_size(graph: &Graph) -> Size {
    graph.nodes.len().checked_sub(1).map_or(graph.input.shape, |last| graph.size(last))
}

/// The generator in a network's folder.
fn refiner<E: Element + Scalar>(folder: &Path) -> anyhow::Result<Refiner<E>> {
    let path = folder.join("generator");
    ensure!(
        path.is_dir(),
        "{}: expected a generator, as fa-fit --mode vfa-gan writes it, found none; leave out --generator",
        path.display()
    );
    Ok(Refiner::new(Network::load(&path)?)?)
}

fn invert_all<E: Element + Scalar>(
    arguments: &Arguments,
    settings: Settings,
    data: &Data,
    task: Task,
) -> anyhow::Result<()> {
    let inverter = Inverter::<E>::load(arguments)?;
    let refiner = arguments.generator.then(|| refiner::<E>(&arguments.network)).transpose()?;
    if let Some(classes) = refiner.as_ref().and_then(Refiner::classes) {
        ensure!(
            data.classes.is_some(),
            "--generator: expected --class or --labels, since this generator reads one of {classes} classes"
        );
    }
    let classes = ClassTargets::new(arguments, data, inverter.classes())?;
    let latents = Latents::<E>::new(arguments, data)?;
    let (features, image) = (inverter.features(), inverter.image()?);
    let Size { channels, height, width } = image;
    data.originals.as_ref().map_or(Ok(()), |originals| require_recoverable(originals, image))?;
    arguments.rows.charge(&arguments.network, inverter.graph(), latents.count(), image.elements())?;
    let stream = Stream::new(arguments.seed.seed, "recovery", 0);
    let mut writer = Writer::create(&arguments.output, E::DTYPE, &[channels, height, width])?;
    let (mut error, mut within) = (SquaredError::default(), 0);
    arguments.rows.for_each_batch(latents.count(), image.elements(), |rows| {
        let (first, count) = (rows[0], rows.len());
        let z = latents.rows(first, count, features)?;
        let values = data.values.as_ref().map(|values| values_of(values, first, count)).transpose()?;
        let labels = classes.as_ref().map(|classes| classes.of(rows, arguments.strength)).transpose()?;
        let wanted = Wanted { z: &z, labels: labels.as_ref(), values: values.as_ref() };
        let mut r = inverter.invert(&settings, &wanted, &stream, first)?;
        if let Some(refiner) = &refiner {
            // The generator has learned on one-hot classes, whatever the strength at the encoder.
            let plain = classes.as_ref().map(|classes| classes.of(rows, 1.0)).transpose()?;
            r = refiner.refine(&r, plain.as_ref())?;
        }
        if let Some(originals) = &data.originals {
            let x = originals.batch::<E>(rows)?;
            error.add(&x, view(&r), image.elements());
            within += arguments.within.map_or(0, |limit| near(&x, view(&r), image.elements(), limit));
        }
        Ok(writer.write_rows(&channels_first(view(&r), (count, height, width, channels)))?)
    })?;
    let mut metrics = error.metrics();
    if let Some(limit) = arguments.within {
        metrics.insert(format!("within_{limit}"), (within as f64 / latents.count().max(1) as f64).into());
    }
    task.finish_array(writer, metrics)
}

/// Checks that originals have the size of what is recovered.
fn require_recoverable(originals: &ImageFile, image: Size) -> anyhow::Result<()> {
    let Shape { channels, height, width } = originals.shape();
    ensure!(
        (channels, height, width) == (image.channels, image.height, image.width),
        "{}: expected images of {image}, which the network recovers, found {channels}x{height}x{width}",
        originals.reader().path().display()
    );
    Ok(())
}

/// Rows of values, (N, 1, 1, F).
fn values_of<E: Element + Scalar>(values: &Reader, first: usize, count: usize) -> anyhow::Result<Batch<E>> {
    let features = values.row_len();
    let rows = values.read_row_range_as_float_at(first, count)?;
    require_finite(values.path(), &rows, first, features)?;
    Ok(batch(rows, (count, 1, 1, features)))
}

/// How many images' mean absolute error is below `limit`.
fn near<E: Element>(x: &[E], r: &[E], length: usize, limit: f64) -> usize {
    let far = |x: &[E], r: &[E]| x.iter().zip(r).map(|(&x, &r)| (x - r).wide().abs()).sum::<f64>() / length as f64;
    x.chunks(length).zip(r.chunks(length)).filter(|(x, r)| far(x, r) < limit).count()
}
