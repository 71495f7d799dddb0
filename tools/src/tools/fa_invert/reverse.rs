//! `fa-invert --reverse`: a node's output, run backwards to images.

use anyhow::Context;
use obverse::data::batches::ImageFile;
use obverse::net::{Mode, Network, Size};
use obverse::ops::InputGradient;
use obverse::reversible::reverse::{Fit, Reverse};
use obverse::store::npy::{Reader, Scalar, Writer, require_finite};
use obverse::tensor::{Element, Tape, batch, channels_first, channels_last, view};
use obverse::train::evaluation::SquaredError;

use super::Arguments;
use super::data::{require_as_many, require_recoverable};
use crate::{Precision, Task, require_images};

/// The most images that scales and biases are estimated on.
const ESTIMATED: usize = 1024;

/// The files that a reverse reads.
struct Data {
    representations: Reader,
    estimate: Option<ImageFile>,
    originals: Option<ImageFile>,
}

impl Data {
    fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let path = arguments.latents.as_deref().context("--reverse: expected what a node computes")?;
        let representations = Reader::open(path)?;
        let estimate = arguments.estimate.as_deref().map(|path| arguments.pixels.open(path)).transpose()?;
        let originals = arguments.compare.as_deref().map(|path| arguments.pixels.open(path)).transpose()?;
        if let Some(originals) = &originals {
            require_as_many(originals.reader(), representations.rows())?;
        }
        Ok(Self { representations, estimate, originals })
    }
}

/// Runs the network backwards.
///
/// # Errors
/// A network with a node that has no reverse; files that do not fit it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let data = Data::open(arguments)?;
    let mut task = Task::begin(&arguments.rows.common, Some(&arguments.output))?;
    arguments.rows.on_device(&mut task)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.rows.precision {
        Precision::F32 => reverse_all::<f32>(arguments, &data, task),
        Precision::F64 => reverse_all::<f64>(arguments, &data, task),
    }
}

/// The network, batch normalisation folded, and the way from the node asked for.
fn load<E: Element + Scalar>(arguments: &Arguments) -> anyhow::Result<(Network<E>, Reverse)> {
    let network = Network::<E>::load(&arguments.network)?;
    let start = match &arguments.layer {
        Some(layer) => layer.clone(),
        None => {
            let folded = network.clone().folded(&[])?;
            folded.graph().nodes[Reverse::of(folded.graph())?.start()].name.clone()
        }
    };
    let network = network.folded(&[&start])?;
    let reverse = Reverse::from(network.graph(), network.graph().place(&start)?)?;
    Ok((network, reverse))
}

/// Scales and biases: the model's, or those of the first images of a file.
fn fits<E: Element + Scalar>(
    network: &Network<E>,
    reverse: &Reverse,
    images: Option<&ImageFile>,
) -> anyhow::Result<Vec<Fit<E>>> {
    let Some(images) = images else { return Ok(reverse.model_fits(network)) };
    require_images(images, network.graph())?;
    let Size { channels, height, width } = network.graph().input.shape;
    let rows: Vec<usize> = (0..images.count().min(ESTIMATED)).collect();
    let x = batch(images.batch::<E>(&rows)?, (rows.len(), height, width, channels));
    let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
    Ok(reverse.fitted(&mut Tape::off(), network, &trace, Mode::Inference)?.1)
}

fn reverse_all<E: Element + Scalar>(arguments: &Arguments, data: &Data, task: Task) -> anyhow::Result<()> {
    let (network, reverse) = load::<E>(arguments)?;
    let (from, image) = (network.graph().size(reverse.start()), network.graph().input.shape);
    data.representations.require_row_shape(&Vec::from(from), "what the node computes, as net-tap --layer writes it")?;
    data.originals.as_ref().map_or(Ok(()), |originals| require_recoverable(originals, image))?;
    let fits = fits(&network, &reverse, data.estimate.as_ref())?;
    let count = data.representations.rows();
    arguments.rows.charge(&arguments.network, network.graph(), count, image.elements())?;
    let mut writer = Writer::create(&arguments.output, E::DTYPE, &[image.channels, image.height, image.width])?
        .of_images([0.0, 1.0]);
    let mut error = SquaredError::default();
    arguments.rows.for_each_batch(count, image.elements(), |rows| {
        let (first, count) = (rows[0], rows.len());
        let values: Vec<E> = data.representations.read_row_range_as_float_at(first, count)?;
        require_finite(data.representations.path(), &values, first, from.elements())?;
        let shape = (count, from.height, from.width, from.channels);
        let representation = batch(channels_last(&values, shape), shape);
        let r = reverse.images(&mut Tape::off(), &network, &representation, &fits, Mode::Inference)?;
        if let Some(originals) = &data.originals {
            error.add(&originals.batch::<E>(rows)?, view(&r), image.elements());
        }
        Ok(writer.write_rows(&channels_first(view(&r), (count, image.height, image.width, image.channels)))?)
    })?;
    task.finish_array(writer, error.metrics())
}
