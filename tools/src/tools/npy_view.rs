//! `npy-view`: images as a grid, curves and points as a plot, in a file or in the terminal.

mod grid;
mod output;
mod plot;
mod scale;

use std::path::Path;

use anyhow::{bail, ensure};
use clap::Parser;
use obverse::store::is_standard_stream;
use obverse::store::npy::Reader;

use crate::picture::Format;
use crate::request::{Input, Output};
use crate::{CommonArguments, Task};
use grid::{GridArguments, run_grid};
use plot::{PlotArguments, run_plot};

/// Show images as a grid, curves and points as a plot
///
/// Images are (N, C, H, W) or (N, H, W), u8 in 0..255 or floats in 0..1 (clamped). Several files are shown one below the other.
/// --interleave alternates their rows, so that originals stand above their recoveries; --beside gives each file a column.
/// --difference adds a picture of where the second of two files is lighter (red) or darker (blue) than the first.
///
/// With --plot, arrays (N) or (N, 1) are curves over their index, or over --against; arrays (N, 2) are points of a scatter plot; arrays
/// of any shape become histograms. Several files share one plot; -o x.svg writes vector graphics. Without -o the picture is shown in
/// the terminal (kitty, iTerm, sixel, or coloured half blocks).
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  images, points             how many are shown
  clamped                    values outside the range of a pixel
  difference_range           with --difference: the largest difference, drawn in the strongest colour

Examples:
  npy-view test-images.npy recovered.npy --interleave -o recovered.png
  npy-view test-images.npy recovered.npy --difference --beside --count 8 -o difference.png
  npy-view test-images.npy --labels test-labels.npy --class-names dataset.json -o classes.png
  npy-view conv2.npy --channels 0..8 --range 0,2 --columns 8 -o maps.png
  npy-view loss.npy test-loss.npy --plot line --title loss -o loss.png
  npy-view plane.npy --plot scatter --colour-by test-labels.npy -o plane.svg
  npy-view loss.npy --plot histogram --bins 10 -o histogram.png"
)]
pub struct Arguments {
    /// The images, curves or points: .npy, .npy.zst, or - for standard input
    #[arg(required = true, value_name = "X.npy")]
    arrays: Vec<Input>,
    /// The picture: .png, for a plot also .svg, or - for standard output
    #[arg(short, long, value_name = "PICTURE")]
    output: Option<Output>,
    /// Captions left of each file's rows, with --beside below its images, or in the legend of a plot [default in plots: the files'
    /// names]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    captions: Vec<String>,
    // First, because the others stand under their own headings.
    #[command(flatten)]
    common: CommonArguments,
    #[command(flatten)]
    grid: GridArguments,
    #[command(flatten)]
    plot: PlotArguments,
}

fn parse_range(text: &str) -> Result<[f64; 2], String> {
    let ends = text.split_once(',').and_then(|(low, high)| Some([low.parse().ok()?, high.parse().ok()?]));
    ends.ok_or_else(|| "expected A,B, such as 0,1.5".to_owned())
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (files, captions) = (arguments.arrays.len(), arguments.captions.len());
    ensure!(!arguments.grid.difference || files == 2, "--difference: expected two files, found {files}");
    let sheets = files + usize::from(arguments.grid.difference);
    ensure!(
        captions == 0 || captions == sheets,
        "--captions: expected one for each of {sheets} {}, found {captions}",
        if arguments.grid.difference { "files, the difference included" } else { "files" }
    );
    let format = arguments.output.as_deref().map_or(Ok(Format::Png), format_of)?;
    if let (Format::Svg, None, Some(output)) = (format, arguments.plot.plot, &arguments.output) {
        bail!("-o {}: expected a name that ends in .png; only plots can be .svg", output.display());
    }
    let readers = arguments.arrays.iter().map(|path| Reader::open(path)).collect::<Result<Vec<_>, _>>()?;
    let task = Task::begin(&arguments.common, arguments.output.as_deref())?;
    match arguments.plot.plot {
        None => run_grid(&arguments, readers, task),
        Some(kind) => run_plot(&arguments, (kind, format), readers, task),
    }
}

/// The format of an output: PNG if its name does not say.
fn format_of(output: &Path) -> anyhow::Result<Format> {
    let named = !is_standard_stream(output) && (output.is_file() || !output.exists());
    if named { Format::of(output) } else { Ok(Format::Png) }
}

fn open_labels(path: &Path) -> anyhow::Result<Reader> {
    let labels = Reader::open(path)?;
    if labels.row_shape() != [1] {
        labels.require_rank(1, "labels (N) or (N, 1)")?;
    }
    Ok(labels)
}
