//! `net-tap --spectrum`: whether a network's layers are like random matrices.

use std::path::Path;

use obverse::data::batches::ImageFile;
use obverse::net::{Graph, Mode, Network};
use obverse::ops::InputGradient;
use obverse::reversible::random_like::{Activities, spectra};
use obverse::store::npy::{Scalar, stage};
use obverse::tensor::{Element, Tape, batch};
use serde_json::Value;

use super::{Arguments, open};
use crate::{Metrics, Precision, Task, require_images};

/// Writes the spectra of a network's layers, and measures their activations if there are images.
///
/// # Errors
/// Files that cannot be read, images of another size, an output that cannot be written.
pub(super) fn run(arguments: &Arguments, graph: &Graph, output: &Path) -> anyhow::Result<()> {
    let images = arguments.images.as_deref().map(|path| open(path, graph, arguments)).transpose()?;
    images.as_ref().map_or(Ok(()), |images| require_images(images, graph))?;
    let mut task = Task::begin(&arguments.rows.common, Some(output))?;
    arguments.rows.on_device(&mut task)?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.rows.precision {
        Precision::F32 => measure::<f32>(arguments, images.as_ref(), output, task),
        Precision::F64 => measure::<f64>(arguments, images.as_ref(), output, task),
    }
}

fn measure<E: Element + Scalar>(
    arguments: &Arguments,
    images: Option<&ImageFile>,
    output: &Path,
    task: Task,
) -> anyhow::Result<()> {
    let network = Network::<E>::load(&arguments.network)?;
    let spectra = spectra(&network)?;
    let rows: Vec<f64> = spectra
        .iter()
        .enumerate()
        .flat_map(|(number, layer)| {
            let values = layer.values.iter().zip(&layer.expected);
            values.flat_map(move |(&value, &expected)| [number as f64, value, expected])
        })
        .collect();
    let mut layers = spectra.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    if let Some(images) = images {
        let activities = activities(arguments, &network, images)?;
        for (layer, activity) in layers.iter_mut().zip(activities) {
            if let (Value::Object(layer), Value::Object(more)) = (layer, activity) {
                layer.extend(more);
            }
        }
    }
    let metrics = Metrics::from_iter([("layers".to_string(), Value::Array(layers))]);
    task.finish_with(|| Ok(stage(output, &[rows.len() / 3, 3], &rows)?), metrics)
}

/// The activations of each layer.
fn activities<E: Element + Scalar>(
    arguments: &Arguments,
    network: &Network<E>,
    images: &ImageFile,
) -> anyhow::Result<Vec<Value>> {
    let input = network.graph().input.shape;
    arguments.rows.charge(&arguments.network, network.graph(), images.count(), input.elements())?;
    let mut activities = Activities::new(network, arguments.seed.seed);
    arguments.rows.for_each_batch(images.count(), input.elements(), |rows| {
        let x = batch(images.batch::<E>(rows)?, (rows.len(), input.height, input.width, input.channels));
        let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
        activities.add(network, &trace);
        Ok(())
    })?;
    Ok(activities.of(network).iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
}
