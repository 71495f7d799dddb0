//! What is done with each image of an imported dataset.

use clap::{Args, ValueEnum};
use obverse::data::Part;
use obverse::data::folder::Options;
use obverse::data::resize::Filter;

/// What happens to each image, in this order.
#[derive(Args)]
pub(super) struct ImageArguments {
    /// Make grey (1) or coloured (3) images; image files only [default: as the first image]
    #[arg(long, value_name = "C")]
    channels: Option<usize>,
    /// Crop the square of this side from the middle; image files only
    #[arg(long, value_name = "PIXELS")]
    crop: Option<usize>,
    /// Resize to a square of this side, antialiased
    #[arg(long, value_name = "PIXELS")]
    resize: Option<usize>,
    /// The filter to resize with
    #[arg(long, default_value = "lanczos", requires = "resize")]
    filter: FilterName,
    /// Keep at most the first N images of each part
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FilterName {
    Lanczos,
    Bicubic,
    Triangle,
}

impl From<FilterName> for Filter {
    fn from(name: FilterName) -> Self {
        match name {
            FilterName::Lanczos => Self::Lanczos,
            FilterName::Bicubic => Self::Bicubic,
            FilterName::Triangle => Self::Triangle,
        }
    }
}

impl ImageArguments {
    pub(super) fn options(&self) -> Options {
        let resize = self.resize.map(|size| (size, self.filter.into()));
        Options { crop: self.crop, resize, channels: self.channels }
    }

    pub(super) fn limited(&self, parts: Vec<Part>) -> Vec<Part> {
        parts.into_iter().map(|part| part.limit(self.limit.unwrap_or(usize::MAX))).collect()
    }
}
