//! `shadow-measure spectra`: singular values of layers against those of random matrices.

use std::path::Path;

use anyhow::ensure;
use obverse::report::{Chart, Series};
use obverse::store::npy::{Reader, require_finite};

use super::SpectraArguments;
use crate::picture::Format;
use crate::{Metrics, Task};

pub(super) fn run(arguments: &SpectraArguments) -> anyhow::Result<()> {
    let SpectraArguments { files, picture } = arguments;
    let format = Format::of(&picture.output)?;
    let paths: Vec<&Path> = files.iter().map(|file| &**file).collect();
    let names = picture.names(&paths)?;
    let readers = files.iter().map(|file| Reader::open(file)).collect::<Result<Vec<_>, _>>()?;
    let mut task = Task::begin(&picture.common, Some(&picture.output))?;
    task.resolved("captions", &names)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let mut series = Vec::new();
    for (name, reader) in names.iter().zip(&readers) {
        for (number, points) in layers(reader)?.into_iter().enumerate() {
            series.push(Series::new(format!("{name}, layer {}", number + 1), points, series.len()));
        }
    }
    let largest = series.iter().flat_map(|series| &series.points).map(|point| point[0]).fold(1.0, f64::max);
    series.push(Series::new("law", vec![[0.0; 2], [largest; 2]], series.len()));
    let names = ["expected of random matrices", "scaled singular value"].map(str::to_owned);
    let figure = Chart { series, names, title: picture.title.clone(), ..Chart::default() }.figure()?;
    task.finish_with(|| format.stage(&figure, &picture.output), Metrics::new())
}

/// Expected and found values of each layer.
fn layers(reader: &Reader) -> anyhow::Result<Vec<Vec<[f64; 2]>>> {
    reader.require_row_shape(&[3], "a spectrum (rows, 3), as net-tap --spectrum writes it")?;
    let path = reader.path();
    ensure!(reader.rows() > 0, "{}: expected singular values, found none", path.display());
    let values: Vec<f64> = reader.read_row_range_as_float_at(0, reader.rows())?;
    require_finite(path, &values, 0, 3)?;
    let rows: Vec<&[f64]> = values.chunks_exact(3).collect();
    let layers = rows.chunk_by(|a, b| a[0] == b[0]);
    Ok(layers.map(|layer| layer.iter().map(|row| [row[2], row[1]]).collect()).collect())
}
