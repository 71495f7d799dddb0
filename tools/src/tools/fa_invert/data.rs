//! The files that an inversion reads.

use anyhow::ensure;
use obverse::data::Shape;
use obverse::data::batches::ImageFile;
use obverse::net::Size;
use obverse::store::npy::Reader;

use super::Arguments;
use crate::Classes;

/// Every file that an inversion reads.
pub(super) struct Data {
    pub(super) latents: Option<Reader>,
    pub(super) classes: Option<Classes>,
    pub(super) values: Option<Reader>,
    pub(super) originals: Option<ImageFile>,
}

impl Data {
    pub(super) fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let latents = arguments.latents.as_deref().map(Reader::open).transpose()?;
        let count = latents.as_ref().map_or(0, Reader::rows);
        if let Some(latents) = &latents {
            latents.require_rank(2, "latents (N, Z)")?;
        }
        let classes = Classes::open(arguments.labels.as_deref(), &arguments.class, count)?;
        let values = arguments.values.as_deref().map(Reader::open).transpose()?;
        if let Some(values) = &values {
            values.require_rank(2, "values (N, F)")?;
            require_as_many(values, count)?;
        }
        let originals = arguments.compare.as_deref().map(|path| arguments.pixels.open(path)).transpose()?;
        if let Some(originals) = &originals {
            require_as_many(originals.reader(), count)?;
        }
        Ok(Self { latents, classes, values, originals })
    }
}

pub(super) fn require_as_many(reader: &Reader, count: usize) -> anyhow::Result<()> {
    let path = reader.path().display();
    ensure!(reader.rows() == count, "{path}: expected {count} rows, one per latent, found {}", reader.rows());
    Ok(())
}

/// Checks that originals have the size of the recoveries.
pub(super) fn require_recoverable(originals: &ImageFile, image: Size) -> anyhow::Result<()> {
    let Shape { channels, height, width } = originals.shape();
    ensure!(
        (channels, height, width) == (image.channels, image.height, image.width),
        "{}: expected images of {image}, which the network recovers, found {channels}x{height}x{width}",
        originals.reader().path().display()
    );
    Ok(())
}
