//! Images as a grid.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, ensure};
use image::RgbImage;
use image::imageops::FilterType;
use obverse::report::{Images, Layout, View, grid, read_differences, read_images, with_scale};
use obverse::store::budget;
use obverse::store::npy::Reader;
use serde_json::Value;

use super::output::deliver;
use super::scale::Scale;
use super::{Arguments, open_labels, parse_range};
use crate::arguments::parse_places;
use crate::request::Input;
use crate::{Metrics, Task};

/// Images shown per file by default: four rows.
const COUNT: usize = 64;

/// Columns by default.
const COLUMNS: usize = 16;

/// Small images are enlarged to about this many pixels by default.
const COMFORTABLE: usize = 64;

/// How images are laid out.
#[derive(clap::Args)]
#[command(next_help_heading = "Grids")]
pub(super) struct GridArguments {
    /// Images per row [default: 16]
    #[arg(long, value_name = "N", conflicts_with = "plot")]
    pub(super) columns: Option<NonZeroUsize>,
    /// Show the first N images of each file [default: 64]
    #[arg(long, value_name = "N", conflicts_with = "plot")]
    pub(super) count: Option<NonZeroUsize>,
    /// Whole numbers (N) to write below the images
    #[arg(long, value_name = "LABELS.npy", conflicts_with = "plot")]
    pub(super) labels: Option<Input>,
    /// Write these names instead of the numbers: names in the order of the numbers, or a dataset.json
    #[arg(long, value_name = "A,B,…", requires = "labels")]
    pub(super) class_names: Option<String>,
    /// Enlarge images K times, or shrink them with 1/K [default: enlarge to about 64 pixels]
    #[arg(long, value_name = "K", conflicts_with = "plot")]
    pub(super) scale: Option<Scale>,
    /// The channels to show, counted from 0, END excluded: three are colours, one is grey; of any other number, each is an image of
    /// its own [default: all, 1 or 3]
    #[arg(long, value_name = "FIRST..END", value_parser = parse_places, conflicts_with_all = ["plot", "difference"])]
    pub(super) channels: Option<Range<usize>>,
    /// The values of floats that are drawn black and white [default: 0,1]
    #[arg(long, value_name = "A,B", value_parser = parse_range, conflicts_with_all = ["plot", "difference"], allow_hyphen_values = true)]
    pub(super) range: Option<[f64; 2]>,
    /// Alternate the rows of the files
    #[arg(long, conflicts_with = "plot")]
    pub(super) interleave: bool,
    /// Put the files side by side, one column each
    #[arg(long, conflicts_with_all = ["plot", "interleave", "columns", "labels"])]
    pub(super) beside: bool,
    /// Add a picture of the second file's images minus the first's
    #[arg(long, conflicts_with = "plot")]
    pub(super) difference: bool,
    /// The difference drawn in full colour [default: the largest]
    #[arg(long, value_name = "D", requires = "difference", value_parser = parse_positive)]
    pub(super) difference_range: Option<f64>,
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

fn parse_positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

pub(super) fn run_grid(arguments: &Arguments, mut readers: Vec<Reader>, mut task: Task) -> anyhow::Result<()> {
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

/// Names of classes: given one by one, or taken from a dataset.
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

/// Rows of images in the order they are shown, each with its file's number.
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
            // A short last row is filled up, so that the next file begins on a new row.
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

/// The tile where there is no image.
fn blank() -> RgbImage {
    RgbImage::from_pixel(1, 1, image::Rgb([255; 3]))
}

/// A smaller image, antialiased.
fn reduce(tile: &RgbImage, factor: NonZeroUsize) -> RgbImage {
    let side = |side: u32| (side as usize / factor).max(1) as u32;
    image::imageops::resize(tile, side(tile.width()), side(tile.height()), FilterType::Triangle)
}
