//! Pictures of results: grids of images.

mod grid;
mod text;

use std::path::PathBuf;

pub use grid::{Images, Layout, encode_png, grid, read_images};

use crate::store;

/// Why a picture cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An array does not hold images.
    #[error(
        "{path}: expected images (N, C, H, W) with 1 or 3 channels, or (N, H, W), found shape {found:?}; reshape it"
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The shape of the array.
        found: Vec<usize>,
    },
    /// There is nothing to show.
    #[error("expected at least one image and one column, found {images} images in {columns} columns; give more")]
    Empty {
        /// Images given.
        images: usize,
        /// Columns asked for.
        columns: usize,
    },
    /// The picture would not fit in memory.
    #[error("expected a picture of at most {limit} pixels, found {width} x {height}; lower --count or --scale")]
    Large {
        /// The most that is drawn.
        limit: usize,
        /// Width it would have.
        width: usize,
        /// Height it would have.
        height: usize,
    },
    /// The PNG encoder failed.
    #[error("the picture cannot be encoded: {0}")]
    Encode(#[from] image::ImageError),
}

/// What every function of this module returns.
pub type Result<T> = std::result::Result<T, Error>;
