//! Images of a file, resized to the height and width that a network takes.

use anyhow::ensure;
use obverse::data::Shape;
use obverse::data::batches::ImageFile;
use obverse::data::resize::{Filter, resize};
use obverse::net::Size;
use obverse::store::npy::Scalar;
use obverse::tensor::{Batch, Element, batch, channels_first, channels_last, shape, view};
use rayon::prelude::*;

/// A file of images, resized as they are read if they have another height or width.
pub struct FittedImages {
    file: ImageFile,
    to: Size,
}

impl FittedImages {
    /// Takes a file whose images have the channels of `to`.
    pub fn open(file: ImageFile, to: Size) -> anyhow::Result<Self> {
        let found = file.shape().channels;
        ensure!(
            found == to.channels,
            "{}: expected images of {} channels, which the network takes, found {found}",
            file.reader().path().display(),
            to.channels
        );
        Ok(Self { file, to })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.file.count()
    }

    /// The images of these numbers, (N, H, W, C).
    pub fn batch<E: Element + Scalar>(&self, rows: &[usize]) -> anyhow::Result<Batch<E>> {
        let found = self.file.shape();
        let x = batch(self.file.batch::<E>(rows)?, (rows.len(), found.height, found.width, found.channels));
        let fits = (found.height, found.width) == (self.to.height, self.to.width);
        Ok(if fits { x } else { resized(&x, self.to) })
    }
}

/// Images at a network's height and width, by linear interpolation.
fn resized<E: Element + Scalar>(x: &Batch<E>, to: Size) -> Batch<E> {
    let (n, height, width, channels) = shape(x);
    let from = Shape { channels, height, width };
    let planes: Vec<f32> = channels_first(view(x), shape(x)).iter().map(|value| value.wide() as f32).collect();
    let resized: Vec<E> = planes
        .par_chunks_exact(from.len())
        .flat_map_iter(|image| resize(image, from, to.height, to.width, Filter::Triangle))
        .map(|value| E::of(f64::from(value)))
        .collect();
    let shape = (n, to.height, to.width, channels);
    batch(channels_last(&resized, shape), shape)
}
