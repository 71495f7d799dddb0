//! How a tool reads arrays of images that no tool made: `--range`, `--clip`, `--nhwc`, `--nchw`.

use std::path::Path;

use obverse::data::batches::ImageFile;
use obverse::data::pixels::{ImageOptions, Outside};
use obverse::store::npy::Layout;

use crate::training::pair;

/// Where the channels of images are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct LayoutArguments {
    /// Channels are the last axis of the images: (N, H, W, C)
    #[arg(long, conflicts_with = "nchw")]
    nhwc: bool,
    /// Channels are the second axis of the images, even if their shape looks otherwise
    #[arg(long)]
    nchw: bool,
}

impl LayoutArguments {
    /// As the library takes it.
    pub fn options(self) -> ImageOptions {
        let layout = match self {
            Self { nhwc: true, .. } => Some(Layout::Nhwc),
            Self { nchw: true, .. } => Some(Layout::Nchw),
            _ => None,
        };
        ImageOptions { layout, ..ImageOptions::default() }
    }
}

/// Range and layout of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, clap::Args)]
pub struct PixelArguments {
    /// The values of black and white in images of floats whose sidecar does not say them [default: 0,1]; u8 is always 0,255
    #[arg(long, value_name = "LOW,HIGH", value_parser = pair, allow_hyphen_values = true)]
    range: Option<[f64; 2]>,
    /// Cut values outside that range instead of refusing them
    #[arg(long)]
    clip: bool,
    /// `--nhwc` and `--nchw`.
    #[command(flatten)]
    layout: LayoutArguments,
}

impl PixelArguments {
    /// As the library takes them.
    pub fn options(self) -> ImageOptions {
        let outside = if self.clip { Outside::Clipped } else { Outside::Refused };
        ImageOptions { range: self.range, outside, ..self.layout.options() }
    }

    /// As the library takes them where images are scored: noise around the range is kept, and rounded later.
    pub fn scored(self) -> ImageOptions {
        let outside = if self.clip { Outside::Clipped } else { Outside::Kept };
        ImageOptions { outside, ..self.options() }
    }

    /// The words that say it on a command line.
    pub fn words(self) -> Vec<String> {
        let range = self.range.into_iter().flat_map(|[low, high]| ["--range".to_owned(), format!("{low},{high}")]);
        let Self { clip, layout: LayoutArguments { nhwc, nchw }, .. } = self;
        let flags = [(clip, "--clip"), (nhwc, "--nhwc"), (nchw, "--nchw")];
        range.chain(flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag.to_owned())).collect()
    }

    /// Opens images that are read in this way.
    ///
    /// # Errors
    /// Those of [`ImageFile::open_as`].
    pub fn open(self, path: &Path) -> obverse::data::Result<ImageFile> {
        ImageFile::open_as(path, self.options())
    }
}
