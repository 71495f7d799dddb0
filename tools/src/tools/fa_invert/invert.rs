//! Latents to images, batch by batch.

use anyhow::ensure;
use obverse::alignment::adversarial::Refiner;
use obverse::alignment::settings::Settings;
use obverse::alignment::step::Wanted;
use obverse::net::Size;
use obverse::store::npy::{Reader, Scalar, Writer, require_finite};
use obverse::tensor::random::Stream;
use obverse::tensor::{Batch, Element, batch, channels_first, view};
use obverse::train::evaluation::SquaredError;

use super::Arguments;
use super::data::{Data, require_recoverable};
use super::inverter::{Inverter, refiner};
use super::latents::Latents;
use super::targets::ClassTargets;
use crate::Task;

pub(super) fn invert_all<E: Element + Scalar>(
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
    let mut writer = Writer::create(&arguments.output, E::DTYPE, &[channels, height, width])?.of_images([0.0, 1.0]);
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
