//! Shows images as a grid, in a PNG file or in the terminal.

use std::io::{IsTerminal, Write, stdout};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::{CommonArguments, Metrics, Task};
use anyhow::{Context, ensure};
use clap::Parser;
use image::{DynamicImage, RgbImage};
use obverse::report::{Images, Layout, encode_png, grid, read_images};
use obverse::store::npy::Reader;
use obverse::store::sidecar::Artifact;
use obverse::store::{self, atomic, digest, is_standard_stream};

/// Images shown of each file unless --count says otherwise: four rows.
const COUNT: usize = 64;

/// Columns unless --columns says otherwise.
const COLUMNS: usize = 16;

/// Small images are enlarged to about this many pixels unless --scale says otherwise.
const COMFORTABLE: usize = 64;

/// Show images as a grid
///
/// Arrays are (N, C, H, W) or (N, H, W), u8 0..255 or floats 0..1 (clamped). Several files are shown one below the other:
/// all of the first, all of the second; with --interleave a row of the first above a row of the second, so that originals
/// stand above their recoveries. Without -o the grid is shown in the terminal.
#[derive(Parser)]
#[command(version)]
pub struct Arguments {
    /// The images: .npy, .npy.zst, or - for standard input
    #[arg(required = true, value_name = "IMAGES.npy")]
    images: Vec<PathBuf>,
    /// The picture, or - for standard output
    #[arg(short, long, value_name = "GRID.png")]
    output: Option<PathBuf>,
    /// Images in a row [default: 16]
    #[arg(long, value_name = "N")]
    columns: Option<NonZeroUsize>,
    /// Images shown of each file, from the first [default: 64]
    #[arg(long, value_name = "N")]
    count: Option<NonZeroUsize>,
    /// What to write left of the rows of each file
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    captions: Vec<String>,
    /// Whole numbers (N) to write below the images
    #[arg(long, value_name = "LABELS.npy")]
    labels: Option<PathBuf>,
    /// Pixels of the picture for a pixel of an image [default: enlarge to about 64 pixels]
    #[arg(long, value_name = "K")]
    scale: Option<NonZeroUsize>,
    /// Put a row of each file below a row of the file before
    #[arg(long)]
    interleave: bool,
    #[command(flatten)]
    common: CommonArguments,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (files, captions) = (arguments.images.len(), arguments.captions.len());
    ensure!(captions == 0 || captions == files, "--captions: expected one for each of {files} files, found {captions}");
    let mut readers = arguments.images.iter().map(|path| Reader::open(path)).collect::<Result<Vec<_>, _>>()?;
    let mut labels = arguments.labels.as_deref().map(open_labels).transpose()?;
    let mut task = Task::begin(&arguments.common, arguments.output.as_deref())?;
    readers.iter().chain(&labels).try_for_each(|reader| task.array(reader))?;
    let count = arguments.count.map_or(COUNT, NonZeroUsize::get);
    let columns = arguments.columns.map_or(COLUMNS, NonZeroUsize::get).min(count);
    task.parameter("count", count)?;
    task.parameter("columns", columns)?;
    task.parameter("captions", &arguments.captions)?;
    task.parameter("labels", labels.is_some())?;
    task.parameter("scale", arguments.scale)?;
    task.parameter("interleave", arguments.interleave)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let sheets = readers.iter_mut().map(|reader| read_images(reader, count)).collect::<Result<Vec<_>, _>>()?;
    let labels = labels.as_mut().map(|labels| labels.read_rows_as_integer(count)).transpose()?.unwrap_or_default();
    let picture = draw(&sheets, &labels, columns, &arguments)?;
    let shown: usize = sheets.iter().map(|sheet| sheet.tiles.len()).sum();
    let clamped: usize = sheets.iter().map(|sheet| sheet.clamped).sum();
    let metrics = Metrics::from_iter([("images".to_owned(), shown.into()), ("clamped".to_owned(), clamped.into())]);
    match arguments.output.as_deref() {
        Some(output) => task.finish(save(&picture, output)?, metrics),
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

fn draw(sheets: &[Images], labels: &[i64], columns: usize, arguments: &Arguments) -> anyhow::Result<RgbImage> {
    let longest = sheets.iter().map(|sheet| sheet.tiles.len()).max().unwrap_or(0);
    let columns = columns.min(longest);
    ensure!(columns > 0, "{}: expected images, found none", arguments.images[0].display());
    let largest = sheets.iter().flat_map(|sheet| &sheet.tiles).map(|tile| tile.width().max(tile.height())).max();
    let comfortable = (COMFORTABLE / largest.unwrap_or(1).max(1) as usize).max(1);
    let (mut tiles, mut captions, mut row_captions) = (Vec::new(), Vec::new(), Vec::new());
    for (row, file, images) in rows(sheets, columns, arguments.interleave) {
        row_captions.extend(arguments.captions.get(file).cloned());
        for index in 0..columns {
            // A short last row is filled up, so that the next file begins a row of its own.
            let blank = || RgbImage::from_pixel(1, 1, image::Rgb([255; 3]));
            tiles.push(images.get(index).cloned().unwrap_or_else(blank));
            let label = images.get(index).and_then(|_| labels.get(row * columns + index));
            captions.push(label.map(i64::to_string).unwrap_or_default());
        }
    }
    if labels.is_empty() {
        captions.clear();
    }
    let scale = arguments.scale.map_or(comfortable, NonZeroUsize::get);
    Ok(grid(&tiles, &Layout { columns, scale, row_captions, captions })?)
}

fn save(picture: &RgbImage, output: &Path) -> anyhow::Result<Artifact> {
    let png = encode_png(picture)?;
    if is_standard_stream(output) {
        stdout().write_all(&png).and_then(|()| stdout().flush()).map_err(store::Error::write(output))?;
    } else {
        atomic::write(output, &png)?;
    }
    let blake3 = digest::of_reader(&png[..]).context("the digest of the picture")?;
    let shape = Some(vec![picture.height() as usize, picture.width() as usize, 3]);
    Ok(Artifact { path: output.to_string_lossy().into_owned(), shape, dtype: None, blake3 })
}

fn show(picture: RgbImage) -> anyhow::Result<()> {
    // Elsewhere than on a terminal nobody answers what the terminal can do: coloured half blocks always work.
    let terminal = stdout().is_terminal();
    let config =
        viuer::Config { absolute_offset: false, use_kitty: terminal, use_iterm: terminal, ..viuer::Config::default() };
    match viuer::print(&DynamicImage::ImageRgb8(picture), &config) {
        Ok(_) => Ok(()),
        Err(viuer::ViuError::Io(error)) => Err(store::Error::write(Path::new("-"))(error).into()),
        Err(error) => Err(error).context("the terminal cannot show images; give -o"),
    }
}
