//! Numbers as curves, points or histograms.

use std::num::NonZeroUsize;

use anyhow::ensure;
use clap::ValueEnum;
use obverse::report::{Chart, Mark, Series, classes, read_curve, read_points};
use obverse::store::npy::{Reader, require_finite};

use super::output::deliver;
use super::{Arguments, open_labels, parse_range};
use crate::picture::Format;
use crate::request::Input;
use crate::{Metrics, Task};

/// Width and height of a plot by default.
const SIZE: (usize, usize) = (640, 480);

/// Bins of a histogram by default.
const BINS: usize = 50;

/// How numbers are plotted.
#[derive(clap::Args)]
#[command(next_help_heading = "Plots")]
pub(super) struct PlotArguments {
    /// Plot numbers instead of showing images
    #[arg(long, value_enum)]
    pub(super) plot: Option<Plot>,
    /// Bins of a histogram [default: 50]
    #[arg(long, value_name = "N", requires = "plot")]
    pub(super) bins: Option<NonZeroUsize>,
    /// The x coordinates (N) of all curves [default: 0, 1, 2 …]
    #[arg(long, value_name = "X0.npy", requires = "plot")]
    pub(super) against: Option<Input>,
    /// Whole numbers (N): the classes of a scatter plot's points, one colour per class
    #[arg(long, value_name = "LABELS.npy", alias = "color-by", requires = "plot", conflicts_with = "captions")]
    pub(super) colour_by: Option<Input>,
    /// The title
    #[arg(long, value_name = "TEXT", requires = "plot")]
    pub(super) title: Option<String>,
    /// Ends of the horizontal axis [default: the data's]
    #[arg(long, value_name = "A,B", requires = "plot", value_parser = parse_range, allow_hyphen_values = true)]
    pub(super) x_range: Option<[f64; 2]>,
    /// Ends of the vertical axis [default: the data's]
    #[arg(long, value_name = "A,B", requires = "plot", value_parser = parse_range, allow_hyphen_values = true)]
    pub(super) y_range: Option<[f64; 2]>,
    /// Width and height of the picture in pixels [default: 640x480]
    #[arg(long, value_name = "WxH", requires = "plot", value_parser = parse_size)]
    pub(super) size: Option<(usize, usize)>,
}

/// What a plot draws.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(super) enum Plot {
    /// A line through the values
    Line,
    /// A dot for each value or point
    Scatter,
    /// How many values fall into each of some bins of equal width
    Histogram,
}

impl Plot {
    fn mark(self) -> Mark {
        match self {
            Self::Line | Self::Histogram => Mark::Line,
            Self::Scatter => Mark::Dot,
        }
    }
}

fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.ok_or_else(|| "expected WxH, such as 640x480".to_owned())
}

pub(super) fn run_plot(
    arguments: &Arguments,
    (kind, format): (Plot, Format),
    mut readers: Vec<Reader>,
    mut task: Task,
) -> anyhow::Result<()> {
    let options = &arguments.plot;
    let mut against = options.against.as_deref().map(Reader::open).transpose()?;
    let mut labels = options.colour_by.as_deref().map(open_labels).transpose()?;
    let is_one_scatter = kind == Plot::Scatter && readers.len() == 1;
    ensure!(labels.is_none() || is_one_scatter, "--colour-by: expected --plot scatter and one file");
    ensure!(
        against.is_none() || kind != Plot::Histogram,
        "--against: a histogram has the values themselves on its x axis; leave it out"
    );
    ensure!(options.bins.is_none() || kind == Plot::Histogram, "--bins: expected --plot histogram");
    let names = legend(arguments);
    let bins = options.bins.map_or(BINS, NonZeroUsize::get);
    let (title, size) = (options.title.clone().unwrap_or_default(), options.size.unwrap_or(SIZE));
    task.resolved("legend", &names)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let abscissae = against.as_mut().map(read_curve).transpose()?;
    let series = match (kind, &mut labels) {
        (Plot::Histogram, _) => histograms(&readers, &names, bins, options.x_range)?,
        (_, None) => {
            let points = readers.iter_mut().map(|reader| read_series(reader, kind.mark(), abscissae.as_deref()));
            let series = names.into_iter().zip(points).enumerate();
            let series = series.map(|(colour, (name, points))| Ok(Series::new(name, points?, colour)));
            series.collect::<anyhow::Result<Vec<_>>>()?
        }
        (_, Some(labels)) => coloured(&read_series(&mut readers[0], kind.mark(), abscissae.as_deref())?, labels)?,
    };
    let shown: usize = series.iter().map(|series| series.points.len()).sum();
    let ranges = [options.x_range, options.y_range];
    let figure = Chart { series, mark: kind.mark(), title, ranges, size, ..Chart::default() }.figure()?;
    let metrics = Metrics::from_iter([("points".to_owned(), shown.into())]);
    match (format, &arguments.output) {
        (Format::Svg, Some(output)) => task.finish_with(|| format.stage(&figure, output), metrics),
        _ => deliver(figure.picture()?, arguments.output.as_deref(), task, metrics),
    }
}

/// The histogram of each file over the given range, or over the range of all values.
fn histograms(
    readers: &[Reader],
    names: &[String],
    bins: usize,
    range: Option<[f64; 2]>,
) -> anyhow::Result<Vec<Series>> {
    let read = |reader: &Reader| -> anyhow::Result<Vec<f64>> {
        let (rows, columns) = (reader.rows(), reader.row_len());
        ensure!(rows * columns > 0, "{}: expected at least one value, found none", reader.path().display());
        let values: Vec<f64> = reader.read_row_range_as_float_at(0, rows)?;
        require_finite(reader.path(), &values, 0, columns)?;
        Ok(values)
    };
    let files = readers.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let all = || files.iter().flatten().copied();
    let [low, high] = range.unwrap_or([all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max)]);
    let [low, high] = if low < high { [low, high] } else { [low - 0.5, low + 0.5] };
    let counted = files.iter().zip(names).enumerate();
    Ok(counted.map(|(colour, (values, name))| Series::counted(name, values, bins, [low, high], colour)).collect())
}

/// The name of each file in the legend; a single file needs none.
fn legend(arguments: &Arguments) -> Vec<String> {
    let stem = |path: &Input| {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        name.trim_end_matches(".zst").trim_end_matches(".npy").to_owned()
    };
    match arguments.arrays.as_slice() {
        _ if !arguments.captions.is_empty() => arguments.captions.clone(),
        [_] => vec![String::new()],
        several => several.iter().map(stem).collect(),
    }
}

/// The points of a scatter plot, or a curve over its index or over the given x coordinates.
fn read_series(reader: &mut Reader, mark: Mark, abscissae: Option<&[f64]>) -> anyhow::Result<Vec<[f64; 2]>> {
    if mark == Mark::Dot && abscissae.is_none() && reader.row_len() != 1 {
        return Ok(read_points(reader)?);
    }
    let values = read_curve(reader)?;
    match abscissae {
        None => Ok(values.iter().enumerate().map(|(index, &value)| [index as f64, value]).collect()),
        Some(abscissae) => {
            require_count(reader, abscissae.len(), "values, one for each of --against")?;
            Ok(abscissae.iter().zip(values).map(|(&abscissa, value)| [abscissa, value]).collect())
        }
    }
}

fn coloured(points: &[[f64; 2]], labels: &mut Reader) -> anyhow::Result<Vec<Series>> {
    require_count(labels, points.len(), "labels, one for each point")?;
    Ok(classes(points, &labels.read_rows_as_integer(points.len())?))
}

fn require_count(reader: &Reader, expected: usize, what: &str) -> anyhow::Result<()> {
    let (path, found) = (reader.path().display(), reader.rows());
    ensure!(found == expected, "{path}: expected {expected} {what}, found {found}; give a file with as many");
    Ok(())
}
