//! Objectives of uniform sparseness, scores of objectives, and the figures of scores.

use anyhow::ensure;
use obverse::data::batches::ImageFile;
use obverse::ifv::evaluation::{outliers, projected_angle};
use obverse::ifv::sampling;
use obverse::report::{Series, points_with_margins, read_points, stacked_bars};
use obverse::similarity::Metric;
use obverse::store::npy::{Dtype, Reader, Writer, require_finite, stage};
use obverse::store::sidecar::metric;
use serde_json::json;

use super::predict::{median, summary};
use super::source::{space, vectors};
use super::{FigureArguments, FigureKind, SampleArguments, ScoreArguments};
use crate::picture::{Format, PictureArguments};
use crate::{Metrics, Task, check_interrupted};

pub(super) fn sample(arguments: &SampleArguments) -> anyhow::Result<()> {
    let SampleArguments { features, count, canonical, .. } = *arguments;
    ensure!(count + canonical > 0, "--count: expected at least one objective, found none");
    ensure!(
        canonical <= features,
        "--canonical: expected at most {features}, as many as there are features, found {canonical}"
    );
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let (n, seed) = (features as usize, arguments.seed.seed);
    let mut writer = Writer::create(&arguments.output, Dtype::F64, &[n])?;
    let mut sum = 0.0;
    for row in 0..count as usize {
        let objective = sampling::objective(seed, row, n);
        sum += sampling::sparseness(&objective);
        writer.write_rows(&objective)?;
    }
    for channel in sampling::canonical(seed, canonical as usize, n) {
        let one: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i == channel))).collect();
        writer.write_rows(&one)?;
    }
    let mean = sum / f64::from(count.max(1));
    task.finish_array(writer, Metrics::from_iter([("mean_sparseness".to_string(), metric(mean))]))
}

pub(super) fn score(arguments: &ScoreArguments) -> anyhow::Result<()> {
    let objectives = Reader::open(&arguments.objectives)?;
    let [before, after] = [&arguments.images, &arguments.again].map(|path| ImageFile::open(path));
    let (before, after) = (before?, after?);
    let count = objectives.rows();
    for images in [&before, &after] {
        let (path, found) = (images.reader().path().display(), images.count());
        ensure!(found == count, "{path}: expected {count} images, one per objective, found {found}");
    }
    after.reader().require_row_shape(before.reader().row_shape(), "images as those before")?;
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let n = objectives.row_len();
    let space = space(arguments.critical_space.as_deref(), n)?;
    let (found, wanted) = (vectors(&arguments.objectives, count, n)?, vectors(&arguments.targets, count, n)?);
    let size = before.shape();
    let metric_of = Metric::Ssim { channels: size.channels, height: size.height, width: size.width };
    let mut columns = <[Vec<f64>; 2]>::default();
    for (row, (found, wanted)) in found.chunks_exact(n).zip(wanted.chunks_exact(n)).enumerate() {
        check_interrupted()?;
        let [a, b] = [&before, &after].map(|images| planes(images, row));
        columns[0].push(projected_angle(&space, wanted, found));
        columns[1].push(1.0 - metric_of.distance(&a?, &b?));
    }
    let out = outliers(&columns[1], arguments.least);
    let stable: Vec<f64> = (0..count).filter(|row| !out.contains(row)).map(|row| columns[0][row]).collect();
    let rows: Vec<f64> = columns[0].iter().zip(&columns[1]).flat_map(|(&angle, &ssim)| [angle, ssim]).collect();
    let metrics = Metrics::from_iter([
        ("angle".to_string(), summary(&columns[0])),
        ("ssim".to_string(), summary(&columns[1])),
        ("outliers".to_string(), json!(out)),
        ("median_angle_without_outliers".to_string(), median(&stable)),
    ]);
    task.finish_with(|| Ok(stage(&arguments.output, &[count, 2], &rows)?), metrics)
}

pub(super) fn figure(arguments: &FigureArguments) -> anyhow::Result<()> {
    let FigureArguments { kind, files, picture } = arguments;
    let PictureArguments { title, output, common, .. } = picture;
    let names = picture.names(&files.iter().map(|file| &**file).collect::<Vec<_>>())?;
    let format = Format::of(output)?;
    let mut readers = files.iter().map(|file| Reader::open(file)).collect::<Result<Vec<_>, _>>()?;
    let mut task = Task::begin(common, Some(output))?;
    task.resolved("captions", &names)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let names = names.into_iter();
    let drawn = match kind {
        FigureKind::Points => {
            let points = readers.iter_mut().map(read_points).collect::<Result<Vec<_>, _>>()?;
            let series =
                names.zip(points).enumerate().map(|(colour, (name, points))| Series::new(name, points, colour));
            points_with_margins(&series.collect::<Vec<_>>(), title)?
        }
        FigureKind::Bars => {
            let bars = names.zip(&readers).map(|(name, reader)| Ok((name, mean_row(reader)?)));
            stacked_bars(&bars.collect::<anyhow::Result<Vec<_>>>()?, title)?
        }
    };
    task.finish_with(|| format.stage(&drawn, output), Metrics::new())
}

/// The mean of the rows of an array (N, m).
pub(super) fn mean_row(reader: &Reader) -> anyhow::Result<Vec<f64>> {
    reader.require_rank(2, "shares (N, m)")?;
    let (rows, columns) = (reader.rows(), reader.row_len());
    ensure!(rows > 0, "{}: expected at least one row, found none", reader.path().display());
    let values: Vec<f64> = reader.read_row_range_as_float_at(0, rows)?;
    require_finite(reader.path(), &values, 0, columns)?;
    Ok((0..columns).map(|j| values.iter().skip(j).step_by(columns).sum::<f64>() / rows as f64).collect())
}

/// An image channels first.
pub(super) fn planes(images: &ImageFile, row: usize) -> anyhow::Result<Vec<f64>> {
    let size = images.shape();
    let values = images.batch::<f64>(&[row])?;
    Ok(obverse::tensor::channels_first(&values, (1, size.height, size.width, size.channels)))
}
