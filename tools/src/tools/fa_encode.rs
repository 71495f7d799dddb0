//! `fa-encode`: images to latents.

use crate::request::{Input, Output};

use crate::{Metrics, Precision, RowsArguments, SeedArgument, Task, require_images};
use anyhow::{Context, ensure};
use clap::Parser;
use obverse::alignment::step::Heads;
use obverse::alignment::training::encode;
use obverse::baselines::gan::Search;
use obverse::data::Shape;
use obverse::data::batches::ImageFile;
use obverse::net::{Graph, Mode, Network, Size};
use obverse::ops::InputGradient;
use obverse::store::npy::{Scalar, Writer};
use obverse::tensor::random::Stream;
use obverse::tensor::{Batch, Element, Tape, batch, view};

/// Encode images: one latent per row.
///
/// A variational encoder gives the mean of the latent, unless --sample or --log-var is given. A GAN has no encoder: a search finds
/// the latent whose image is nearest. A row's bytes depend only on its image and the network, and where something is drawn, on
/// --seed and the row's number; not on --batch, --shard or --threads.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  fa-encode encoder test-images.npy -o latents.npy
  fa-encode encoder - -o - < test-images.npy | fa-invert encoder - -o recovered.npy
  fa-encode gan test-images.npy --search 500 -o latents.npy"
)]
pub struct Arguments {
    /// A network folder, as fa-fit and net-fit write it
    network: Input,
    /// Images: .npy, (N, C, H, W), u8 or floats in 0..1; - for standard input
    images: Input,
    /// Where the latents go: .npy, (N, Z); - for standard output
    #[arg(short, long, value_name = "Z.npy")]
    output: Output,
    /// Draw z = mu + eps sigma instead of taking the mean
    #[arg(long, conflicts_with = "log_var")]
    sample: bool,
    /// Write the log-variances
    #[arg(long)]
    log_var: bool,
    /// Search a GAN's latents with this many updates
    #[arg(long, value_name = "STEPS")]
    search: Option<usize>,
    /// Learning rate of the search
    #[arg(long, default_value_t = 0.05, value_name = "R", requires = "search")]
    search_rate: f64,
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
    let images = arguments.pixels.open(&arguments.images)?;
    let graph = Graph::load(&arguments.network)?;
    match arguments.search {
        None => require_images(&images, &graph)?,
        Some(_) => require_decoded(&images, &graph)?,
    }
    let mut task = Task::begin(&arguments.rows.common, Some(&arguments.output))?;
    arguments.rows.on_device(&mut task)?;
    if task.is_fresh()? {
        return Ok(());
    }
    arguments.rows.charge(&arguments.network, &graph, images.count(), images.shape().len())?;
    match arguments.rows.precision {
        Precision::F32 => encode_all::<f32>(&arguments, &images, task),
        Precision::F64 => encode_all::<f64>(&arguments, &images, task),
    }
}

/// Checks that a generator makes images of this size.
fn require_decoded(images: &ImageFile, graph: &Graph) -> anyhow::Result<()> {
    let made = graph.output("image").map(|place| graph.size(place));
    let made = made.context("--search: expected a network that makes images of latents, as net-fit gan writes it")?;
    let Shape { channels, height, width } = images.shape();
    ensure!(
        made == Size::new(channels, height, width),
        "{}: expected images of {made}, which the network makes, found {channels}x{height}x{width}",
        images.reader().path().display()
    );
    Ok(())
}

/// How a batch of images becomes rows.
enum Encoder<E: Element> {
    Node { network: Network<E>, place: usize },
    Drawn { network: Network<E>, mean: usize, log_var: usize, stream: Stream },
    Searched { network: Network<E>, search: Search, stream: Stream },
}

impl<E: Element + Scalar> Encoder<E> {
    fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let network = Network::<E>::load(&arguments.network)?;
        let seed = arguments.seed.seed;
        if let Some(steps) = arguments.search {
            let search = Search { steps, rate: arguments.search_rate };
            return Ok(Self::Searched { network, search, stream: Stream::new(seed, "search", 0) });
        }
        let heads = Heads::of(network.graph())?;
        let log_var =
            heads.log_var.context("--sample and --log-var: expected a variational encoder, found a plain one");
        if arguments.sample {
            let log_var = log_var?;
            let names = [heads.latent, log_var].map(|place| network.graph().nodes[place].name.clone());
            let network = network.only(&[&names[0], &names[1]])?;
            return Ok(Self::Drawn { network, mean: heads.latent, log_var, stream: Stream::new(seed, "sample", 0) });
        }
        let place = if arguments.log_var { log_var? } else { heads.latent };
        let name = network.graph().nodes[place].name.clone();
        Ok(Self::Node { network: network.only(&[&name])?, place })
    }

    /// Features of a row.
    fn features(&self) -> usize {
        match self {
            Self::Node { network, place } | Self::Drawn { network, mean: place, .. } => {
                network.graph().size(*place).channels
            }
            Self::Searched { network, .. } => network.graph().input.shape.channels,
        }
    }

    /// Rows for the images from number `first` on.
    fn encode(&self, x: &Batch<E>, first: usize, count: usize) -> anyhow::Result<Batch<E>> {
        let features = self.features();
        let range = first * features..(first + count) * features;
        let shape = (count, 1, 1, features);
        Ok(match self {
            Self::Node { network, place } => encode(network, *place, x)?,
            Self::Drawn { network, mean, log_var, stream } => {
                let trace = network.forward(&mut Tape::off(), x, Mode::Inference, InputGradient::Unwanted);
                let (mu, log_var) = (network.value(&trace, *mean)?, network.value(&trace, *log_var)?);
                let noise = stream.normal::<E>(range);
                let drawn = view(mu).iter().zip(view(log_var)).zip(noise);
                batch(drawn.map(|((&mu, &log_var), noise)| mu + noise * (E::of(0.5) * log_var).exp()).collect(), shape)
            }
            Self::Searched { network, search, stream } => {
                search.run(network, x, &batch(stream.normal(range), shape))?
            }
        })
    }
}

fn encode_all<E: Element + Scalar>(arguments: &Arguments, images: &ImageFile, task: Task) -> anyhow::Result<()> {
    let encoder = Encoder::<E>::new(arguments)?;
    let Shape { channels, height, width } = images.shape();
    let mut writer = Writer::create(&arguments.output, E::DTYPE, &[encoder.features()])?;
    arguments.rows.for_each_batch(images.count(), images.shape().len(), |rows| {
        let x = batch(images.batch::<E>(rows)?, (rows.len(), height, width, channels));
        Ok(writer.write_rows(view(&encoder.encode(&x, rows[0], rows.len())?))?)
    })?;
    task.finish_array(writer, Metrics::new())
}
