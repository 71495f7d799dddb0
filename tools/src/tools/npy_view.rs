//! Shows images as a grid, curves and points as a plot, in a PNG file or in the terminal.

use crate::request::{Input, Output};
use std::fmt;
use std::io::{IsTerminal, stdout};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};
use obverse::report::{
    Chart, Images, Layout, Mark, Series, View, classes, encode_png, grid, read_curve, read_differences, read_images,
    read_points, with_scale,
};
use obverse::store;
use obverse::store::npy::{Reader, require_finite};
use obverse::store::staged::Staged;
use obverse::store::{budget, is_standard_stream};
use serde_json::Value;

use crate::arguments::parse_places;
use crate::picture::Format;
use crate::{CommonArguments, Metrics, Task};

/// Images shown of each file unless --count says otherwise: four rows.
const COUNT: usize = 64;

/// Columns unless --columns says otherwise.
const COLUMNS: usize = 16;

/// Small images are enlarged to about this many pixels unless --scale says otherwise.
const COMFORTABLE: usize = 64;

/// Width and height of a plot unless --size says otherwise.
const SIZE: (usize, usize) = (640, 480);

/// Parts of a histogram unless --bins says otherwise.
const BINS: usize = 50;

/// Show images as a grid, curves and points as a plot
///
/// Images are (N, C, H, W) or (N, H, W), u8 0..255 or floats 0..1 (clamped). Several files are shown one below the other:
/// all of the first, all of the second; with --interleave a row of the first above a row of the second, so that originals
/// stand above their recoveries; with --beside a column each. --difference adds where the second of two files is lighter (red) or
/// darker (blue) than the first.
///
/// With --plot, arrays (N) or (N, 1) are curves over their index, or over --against; arrays (N, 2) are points of a scatter
/// plot; arrays of any shape have a histogram. Several files share a frame; -o x.svg writes shapes instead of pixels. Without -o the
/// picture is shown in the terminal (kitty, iTerm, sixel, or coloured half blocks).
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  images, points             how many are shown
  clamped                    values outside what a pixel can show
  difference_range           with --difference: the largest difference, which has the strongest colour

Examples:
  npy-view test-images.npy recovered.npy --interleave -o recovered.png
  npy-view test-images.npy recovered.npy --difference --beside --count 8 -o difference.png
  npy-view test-images.npy --labels test-labels.npy --class-names dataset.json -o classes.png
  npy-view conv2.npy --channels 0..8 --range 0,2 --columns 8 -o maps.png
  npy-view loss.npy test-loss.npy --plot line --title loss -o loss.png
  npy-view plane.npy --plot scatter --color-by test-labels.npy -o plane.svg
  npy-view loss.npy --plot histogram --bins 10 -o histogram.png"
)]
pub struct Arguments {
    /// The images, curves or points: .npy, .npy.zst, or - for standard input
    #[arg(required = true, value_name = "X.npy")]
    arrays: Vec<Input>,
    /// The picture: .png, of a plot .svg too, or - for standard output
    #[arg(short, long, value_name = "PICTURE")]
    output: Option<Output>,
    /// What to write left of the rows of each file, with --beside below its images, or in the legend of a plot [default there:
    /// the files' names]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    captions: Vec<String>,
    // Before the others, which stand under headings of their own.
    #[command(flatten)]
    common: CommonArguments,
    #[command(flatten)]
    grid: GridArguments,
    #[command(flatten)]
    plot: PlotArguments,
}

/// How images are laid out.
#[derive(clap::Args)]
#[command(next_help_heading = "Grids")]
struct GridArguments {
    /// Images in a row [default: 16]
    #[arg(long, value_name = "N", conflicts_with = "plot")]
    columns: Option<NonZeroUsize>,
    /// Images shown of each file, from the first [default: 64]
    #[arg(long, value_name = "N", conflicts_with = "plot")]
    count: Option<NonZeroUsize>,
    /// Whole numbers (N) to write below the images
    #[arg(long, value_name = "LABELS.npy", conflicts_with = "plot")]
    labels: Option<Input>,
    /// What to write instead of the numbers: names in their order, or a dataset.json
    #[arg(long, value_name = "A,B,…", requires = "labels")]
    class_names: Option<String>,
    /// Pixels of the picture for a pixel of an image: K, or 1/K to make it smaller [default: enlarge to about 64 pixels]
    #[arg(long, value_name = "K", conflicts_with = "plot")]
    scale: Option<Scale>,
    /// The channels to show, counted from 0, without the last: three are colours, one is grey, of other numbers each is an image of
    /// its own [default: all, 1 or 3]
    #[arg(long, value_name = "FIRST..END", value_parser = parse_places, conflicts_with_all = ["plot", "difference"])]
    channels: Option<Range<usize>>,
    /// The values of floats that are black and white [default: 0,1]
    #[arg(long, value_name = "A,B", value_parser = parse_range, conflicts_with_all = ["plot", "difference"], allow_hyphen_values = true)]
    range: Option<[f64; 2]>,
    /// Put a row of each file below a row of the file before
    #[arg(long, conflicts_with = "plot")]
    interleave: bool,
    /// Put the files side by side, a column each
    #[arg(long, conflicts_with_all = ["plot", "interleave", "columns", "labels"])]
    beside: bool,
    /// Add the second file's images less the first's
    #[arg(long, conflicts_with = "plot")]
    difference: bool,
    /// The difference with the full colour [default: the largest there is]
    #[arg(long, value_name = "D", requires = "difference", value_parser = parse_positive)]
    difference_range: Option<f64>,
}

impl GridArguments {
    fn view(&self) -> anyhow::Result<View> {
        let View { range: usual, .. } = View::default();
        let range = self.range.unwrap_or(usual);
        ensure!(range[0] < range[1], "--range: expected A below B, found {},{}", range[0], range[1]);
        let each = self.channels.as_ref().is_some_and(|channels| !View::is_one_image(channels.len()));
        ensure!(!(each && self.labels.is_some()), "--labels: expected --channels of 1 or 3, an image for each label");
        Ok(View { channels: self.channels.clone(), range })
    }
}

/// How much larger or smaller than itself an image is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    /// So many pixels for one, in each direction.
    Enlarged(NonZeroUsize),
    /// One pixel for so many.
    Reduced(NonZeroUsize),
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scale = match text.strip_prefix("1/") {
            Some(factor) => factor.parse().map(Self::Reduced),
            None => text.parse().map(Self::Enlarged),
        };
        scale.map_err(|_| "expected K or 1/K, whole numbers from 1".to_owned())
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enlarged(factor) => write!(formatter, "{factor}"),
            Self::Reduced(factor) => write!(formatter, "1/{factor}"),
        }
    }
}

/// How numbers are plotted.
#[derive(clap::Args)]
#[command(next_help_heading = "Plots")]
struct PlotArguments {
    /// Plot numbers instead of showing images
    #[arg(long, value_enum)]
    plot: Option<Plot>,
    /// Parts of a histogram's range [default: 50]
    #[arg(long, value_name = "N", requires = "plot")]
    bins: Option<NonZeroUsize>,
    /// The abscissae (N) of all curves [default: 0, 1, 2 …]
    #[arg(long, value_name = "X0.npy", requires = "plot")]
    against: Option<Input>,
    /// Whole numbers (N): the classes of a scatter plot's points, each in its colour
    #[arg(long, value_name = "LABELS.npy", requires = "plot", conflicts_with = "captions")]
    color_by: Option<Input>,
    /// What to write above
    #[arg(long, value_name = "TEXT", requires = "plot")]
    title: Option<String>,
    /// Ends of the horizontal axis [default: the data's]
    #[arg(long, value_name = "A,B", requires = "plot", value_parser = parse_range, allow_hyphen_values = true)]
    x_range: Option<[f64; 2]>,
    /// Ends of the vertical axis [default: the data's]
    #[arg(long, value_name = "A,B", requires = "plot", value_parser = parse_range, allow_hyphen_values = true)]
    y_range: Option<[f64; 2]>,
    /// Pixels of the picture [default: 640x480]
    #[arg(long, value_name = "WxH", requires = "plot", value_parser = parse_size)]
    size: Option<(usize, usize)>,
}

/// What a plot draws.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Plot {
    /// A line from each value to the next
    Line,
    /// A dot for each value or point
    Scatter,
    /// How many values fall into equal parts of their range
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

fn parse_positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

fn parse_range(text: &str) -> Result<[f64; 2], String> {
    let ends = text.split_once(',').and_then(|(low, high)| Some([low.parse().ok()?, high.parse().ok()?]));
    ends.ok_or_else(|| "expected A,B, such as 0,1.5".to_owned())
}

fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.ok_or_else(|| "expected WxH, such as 640x480".to_owned())
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (files, captions) = (arguments.arrays.len(), arguments.captions.len());
    ensure!(!arguments.grid.difference || files == 2, "--difference: expected two files, found {files}");
    let sheets = files + usize::from(arguments.grid.difference);
    ensure!(
        captions == 0 || captions == sheets,
        "--captions: expected one for each of {sheets} {}, found {captions}",
        if arguments.grid.difference { "files, the difference among them" } else { "files" }
    );
    let format = arguments.output.as_deref().map_or(Ok(Format::Png), format_of)?;
    if let (Format::Svg, None, Some(output)) = (format, arguments.plot.plot, &arguments.output) {
        bail!("-o {}: expected a name that ends in .png; only plots are drawn as .svg", output.display());
    }
    let readers = arguments.arrays.iter().map(|path| Reader::open(path)).collect::<Result<Vec<_>, _>>()?;
    let task = Task::begin(&arguments.common, arguments.output.as_deref())?;
    match arguments.plot.plot {
        None => run_grid(&arguments, readers, task),
        Some(kind) => run_plot(&arguments, (kind, format), readers, task),
    }
}

/// The format that an output is written in: where it has no name that would say, PNG.
fn format_of(output: &Path) -> anyhow::Result<Format> {
    let named = !is_standard_stream(output) && (output.is_file() || !output.exists());
    if named { Format::of(output) } else { Ok(Format::Png) }
}

fn run_grid(arguments: &Arguments, mut readers: Vec<Reader>, mut task: Task) -> anyhow::Result<()> {
    let options = &arguments.grid;
    let mut labels = options.labels.as_deref().map(open_labels).transpose()?;
    let count = options.count.map_or(COUNT, NonZeroUsize::get);
    let columns = options.columns.map_or(COLUMNS, NonZeroUsize::get).min(count);
    let view = options.view()?;
    let names = options.class_names.as_deref().map(class_names).transpose()?;
    task.resolved("class_names", &names)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let differences = match (options.difference, readers.as_slice()) {
        (true, [first, second]) => Some(read_differences([first, second], count, options.difference_range)?),
        _ => None,
    };
    let mut sheets =
        readers.iter_mut().map(|reader| read_images(reader, count, &view)).collect::<Result<Vec<_>, _>>()?;
    sheets.extend(differences.iter().map(|differences| Images { tiles: differences.tiles.clone(), clamped: 0 }));
    let labels = labels.as_mut().map(|labels| labels.read_rows_as_integer(count)).transpose()?.unwrap_or_default();
    let labels = name_all(&labels, names.as_deref())?;
    let mut picture = draw(&sheets, &labels, columns, arguments)?;
    if let Some(differences) = &differences {
        picture = with_scale(&picture, differences.largest);
    }
    let shown: usize = sheets.iter().map(|sheet| sheet.tiles.len()).sum();
    let clamped: usize = sheets.iter().map(|sheet| sheet.clamped).sum();
    let mut metrics = Metrics::from_iter([("images".to_owned(), shown.into()), ("clamped".to_owned(), clamped.into())]);
    if let Some(differences) = &differences {
        metrics.insert("difference_range".to_owned(), differences.largest.into());
    }
    deliver(picture, arguments.output.as_deref(), task, metrics)
}

/// Names of classes: given one by one, or those of a dataset.
fn class_names(text: &str) -> anyhow::Result<Vec<String>> {
    let path = Path::new(text);
    if path.extension().is_none_or(|extension| extension != "json") {
        return Ok(text.split(',').map(str::to_owned).collect());
    }
    let json = budget::read_text(path)?;
    let json: Value = serde_json::from_str(&json).with_context(|| path.display().to_string())?;
    let names = json.get("classes").and_then(|classes| serde_json::from_value(classes.clone()).ok());
    names.with_context(|| format!("{}: expected \"classes\", an array of names; give a dataset.json", path.display()))
}

/// The label below each image: its number, or the name of that number.
fn name_all(labels: &[i64], names: Option<&[String]>) -> anyhow::Result<Vec<String>> {
    let Some(names) = names else {
        return Ok(labels.iter().map(i64::to_string).collect());
    };
    let name = |label: &i64| usize::try_from(*label).ok().and_then(|label| names.get(label)).cloned();
    let unnamed =
        |label: &i64| format!("--class-names: expected a name for label {label}, found {} names", names.len());
    labels.iter().map(|label| name(label).with_context(|| unnamed(label))).collect()
}

fn run_plot(
    arguments: &Arguments,
    (kind, format): (Plot, Format),
    mut readers: Vec<Reader>,
    mut task: Task,
) -> anyhow::Result<()> {
    let options = &arguments.plot;
    let mut against = options.against.as_deref().map(Reader::open).transpose()?;
    let mut labels = options.color_by.as_deref().map(open_labels).transpose()?;
    let is_one_scatter = kind == Plot::Scatter && readers.len() == 1;
    ensure!(labels.is_none() || is_one_scatter, "--color-by: expected --plot scatter of one file");
    ensure!(
        against.is_none() || kind != Plot::Histogram,
        "--against: a histogram has the values themselves as abscissae"
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

/// How often the values of each file fall into the parts of the range, or of that of all.
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

/// What the legend calls each file; one file needs no name.
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

/// The points of a scatter plot, or a curve over its index or over the abscissae.
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
    ensure!(found == expected, "{path}: expected {expected} {what}, found {found}; give a file of as many");
    Ok(())
}

/// Saves the picture or shows it.
fn deliver(picture: RgbImage, output: Option<&Path>, task: Task, metrics: Metrics) -> anyhow::Result<()> {
    match output {
        Some(output) => task.finish_with(|| stage(&picture, output), metrics),
        None => {
            show(picture)?;
            task.finish_measurement(&metrics)
        }
    }
}

fn open_labels(path: &Path) -> anyhow::Result<Reader> {
    let labels = Reader::open(path)?;
    labels.require_rank(1, "labels (N)")?;
    Ok(labels)
}

/// Rows of images in the order they are shown, a file's number with each.
fn rows(sheets: &[Images], columns: usize, interleave: bool) -> Vec<(usize, usize, &[RgbImage])> {
    let rows_of =
        |file: usize| sheets[file].tiles.chunks(columns).enumerate().map(move |(row, tiles)| (row, file, tiles));
    let mut rows: Vec<_> = (0..sheets.len()).flat_map(rows_of).collect();
    if interleave {
        // Stable: within a row the files keep their order.
        rows.sort_by_key(|&(row, _, _)| row);
    }
    rows
}

fn draw(sheets: &[Images], labels: &[String], columns: usize, arguments: &Arguments) -> anyhow::Result<RgbImage> {
    let longest = sheets.iter().map(|sheet| sheet.tiles.len()).max().unwrap_or(0);
    let columns = columns.min(longest);
    ensure!(columns > 0, "{}: expected images, found none", arguments.arrays[0].display());
    let largest = sheets.iter().flat_map(|sheet| &sheet.tiles).map(|tile| tile.width().max(tile.height())).max();
    let comfortable = (COMFORTABLE / largest.unwrap_or(1).max(1) as usize).max(1);
    let (mut layout, tiles) = match arguments.grid.beside {
        true => beside(sheets, longest, &arguments.captions),
        false => below(sheets, labels, columns, arguments),
    };
    match arguments.grid.scale {
        None => layout.scale = comfortable,
        Some(Scale::Enlarged(factor)) => layout.scale = factor.get(),
        Some(Scale::Reduced(factor)) => {
            let reduced: Vec<_> = tiles.iter().map(|tile| reduce(tile, factor)).collect();
            return Ok(grid(&reduced, &layout)?);
        }
    }
    Ok(grid(&tiles, &layout)?)
}

/// The files one below the other, or a row of each in turn.
fn below(sheets: &[Images], labels: &[String], columns: usize, arguments: &Arguments) -> (Layout, Vec<RgbImage>) {
    let (mut tiles, mut captions, mut row_captions) = (Vec::new(), Vec::new(), Vec::new());
    for (row, file, images) in rows(sheets, columns, arguments.grid.interleave) {
        row_captions.extend(arguments.captions.get(file).cloned());
        for index in 0..columns {
            // A short last row is filled up, so that the next file begins a row of its own.
            tiles.push(images.get(index).cloned().unwrap_or_else(blank));
            let label = images.get(index).and_then(|_| labels.get(row * columns + index));
            captions.push(label.cloned().unwrap_or_default());
        }
    }
    if labels.is_empty() {
        captions.clear();
    }
    (Layout { columns, scale: 1, row_captions, captions }, tiles)
}

/// The files side by side.
fn beside(sheets: &[Images], rows: usize, captions: &[String]) -> (Layout, Vec<RgbImage>) {
    let row = |row: usize| sheets.iter().map(move |sheet| sheet.tiles.get(row).cloned().unwrap_or_else(blank));
    let tiles = (0..rows).flat_map(row).collect();
    let captions = (0..rows).flat_map(|_| captions.iter().cloned()).collect();
    (Layout { columns: sheets.len(), scale: 1, row_captions: Vec::new(), captions }, tiles)
}

/// Where there is no image.
fn blank() -> RgbImage {
    RgbImage::from_pixel(1, 1, image::Rgb([255; 3]))
}

/// A smaller image, antialiased.
fn reduce(tile: &RgbImage, factor: NonZeroUsize) -> RgbImage {
    let side = |side: u32| (side as usize / factor).max(1) as u32;
    image::imageops::resize(tile, side(tile.width()), side(tile.height()), FilterType::Triangle)
}

fn stage(picture: &RgbImage, output: &Path) -> anyhow::Result<Staged> {
    let shape = vec![picture.height() as usize, picture.width() as usize, 3];
    Ok(Staged::of_bytes(output, encode_png(picture)?)?.of_shape(shape))
}

fn show(picture: RgbImage) -> anyhow::Result<()> {
    // A terminal is asked what it can do only where it is one and may be coloured: elsewhere half blocks do.
    let ask = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let config = viuer::Config {
        absolute_offset: false,
        use_kitty: ask,
        use_iterm: ask,
        use_sixel: ask,
        ..viuer::Config::default()
    };
    match viuer::print(&DynamicImage::ImageRgb8(picture), &config) {
        Ok(_) => Ok(()),
        Err(viuer::ViuError::Io(error)) => Err(store::Error::write(Path::new("-"))(error).into()),
        Err(error) => Err(error).context("the terminal cannot show images; give -o"),
    }
}
