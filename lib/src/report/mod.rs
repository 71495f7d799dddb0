//! Pictures of results: grids of images, plots of curves and points.
//!
//! ```
//! use obverse::report::encode_png;
//! assert!(encode_png(&image::RgbImage::new(8, 8))?.starts_with(b"\x89PNG"));
//! # Ok::<(), obverse::report::Error>(())
//! ```

mod chart;
mod difference;
mod figure;
mod grid;
mod metric;
mod page;
mod scale;
mod series;
mod text;

use std::ops::Range;
use std::path::PathBuf;

pub use chart::{Chart, Mark};
pub use difference::{Differences, read_differences, with_scale};
pub use figure::{Figure, points_with_margins, stacked_bars};
pub use grid::{Images, Layout, View, encode_png, grid, read_images};
pub use metric::{metric_of_epochs, metric_of_output};
pub use page::{Claims, Run};
pub use scale::Scale;
pub use series::{Series, classes, read_curve, read_points};

use crate::store;

/// Why a picture cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{0}")]
    Store(#[from] store::Error),
    /// An array does not hold images.
    #[error(
        "{path}: expected images (N, C, H, W) with 1 or 3 channels, or (N, H, W), found shape {found:?}; choose channels or reshape it"
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The shape of the array.
        found: Vec<usize>,
    },
    /// An array without the channels to be shown.
    #[error("{path}: expected maps (N, C, H, W) with channels {wanted:?}, found shape {found:?}; choose others")]
    Channels {
        /// The file.
        path: PathBuf,
        /// The channels.
        wanted: Range<usize>,
        /// The shape of the array.
        found: Vec<usize>,
    },
    /// Two arrays that are compared hold images of other shapes or numbers.
    #[error("{second}: expected images as in {first}, {expected:?}, found {found:?}; give two files of the same")]
    Unequal {
        /// A file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// The shape of the first array.
        expected: Vec<usize>,
        /// The shape of the second.
        found: Vec<usize>,
    },
    /// There is nothing to show.
    #[error("expected at least one image and one column, found {images} images in {columns} columns; give more")]
    Empty {
        /// Images given.
        images: usize,
        /// Columns requested.
        columns: usize,
    },
    /// The picture would not fit in memory.
    #[error("expected a picture of at most {limit} pixels, found {width} x {height}; lower `count`, `scale` or `size`")]
    Large {
        /// The most that is drawn.
        limit: usize,
        /// Width it would have.
        width: usize,
        /// Height it would have.
        height: usize,
    },
    /// An array holds more values than are drawn.
    #[error("{path}: expected at most {limit} rows to plot, found {found}; draw a part of them")]
    Long {
        /// The file.
        path: PathBuf,
        /// The most that is drawn.
        limit: usize,
        /// Rows of the array.
        found: usize,
    },
    /// An output has no such metric.
    #[error("{path}{line}: expected a number \"{metric}\", found {found}; choose one of these")]
    Metric {
        /// The sidecar, or the metrics of a training.
        path: PathBuf,
        /// Where in it.
        line: String,
        /// The metric.
        metric: String,
        /// Those that are there.
        found: String,
    },
    /// There is nothing to plot.
    #[error("expected at least one point, found none; give more")]
    NoPoints,
    /// An axis cannot span this.
    #[error(
        "{axis} axis: expected two finite numbers, the first well below the second, found {low},{high}; give others"
    )]
    Range {
        /// `x` or `y`.
        axis: &'static str,
        /// Where it would begin.
        low: f64,
        /// Where it would end.
        high: f64,
    },
    /// A logarithm of a number that is not positive.
    #[error("{axis} axis: a logarithmic one takes positive numbers, found {found}; draw a linear one")]
    Logarithm {
        /// `x` or `y`.
        axis: &'static str,
        /// The number.
        found: f64,
    },
    /// Title, numbers and legend leave no room for the points.
    #[error("expected a picture with room for the points beside the legend, found {width} x {height}; raise `size`")]
    Crowded {
        /// Width of the picture.
        width: usize,
        /// Height of the picture.
        height: usize,
    },
    /// The plotting library failed.
    #[error("the figure cannot be drawn: {0}")]
    Drawing(String),
    /// The PNG encoder failed.
    #[error("the picture cannot be encoded: {0}")]
    Encode(#[from] image::ImageError),
}

/// What every function of this module returns.
pub type Result<T> = std::result::Result<T, Error>;
