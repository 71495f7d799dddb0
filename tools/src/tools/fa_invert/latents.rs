//! Latents: read from a file, drawn from the prior, or interpolated.

use anyhow::ensure;
use obverse::alignment::latents;
use obverse::store::npy::{Reader, Scalar, require_finite};
use obverse::tensor::random::Stream;
use obverse::tensor::{Batch, Element, batch};

use super::Arguments;
use super::data::Data;

/// Where latents come from.
pub(super) enum Latents<'a, E> {
    File(&'a Reader),
    Prior { stream: Stream, count: usize },
    Way(Vec<Vec<E>>),
}

impl<'a, E: Element + Scalar> Latents<'a, E> {
    pub(super) fn new(arguments: &Arguments, data: &'a Data) -> anyhow::Result<Self> {
        let Some(reader) = &data.latents else {
            let stream = Stream::new(arguments.seed.seed, "prior", 0);
            return Ok(Self::Prior { stream, count: arguments.sample.unwrap_or(0) });
        };
        if arguments.interpolate.is_empty() {
            return Ok(Self::File(reader));
        }
        let ends =
            arguments.interpolate.iter().map(|&row| end(reader, row)).collect::<anyhow::Result<Vec<Vec<E>>>>()?;
        Ok(Self::Way(way(arguments, arguments.path.path(), &ends)))
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::File(reader) => reader.rows(),
            Self::Prior { count, .. } => *count,
            Self::Way(rows) => rows.len(),
        }
    }

    /// The latents from row `first` on, of this many features.
    pub(super) fn rows(&self, first: usize, count: usize, features: usize) -> anyhow::Result<Batch<E>> {
        let values = match self {
            Self::File(reader) => {
                reader.require_row_shape(&[features], "latents, as many features as the network's")?;
                let values = reader.read_row_range_as_float_at(first, count)?;
                require_finite(reader.path(), &values, first, features)?;
                values
            }
            Self::Prior { stream, .. } => stream.normal(first * features..(first + count) * features),
            Self::Way(rows) => rows[first..first + count].concat(),
        };
        Ok(batch(values, (count, 1, 1, features)))
    }
}

/// The points between some rows: from each to the next, or over the square between four.
pub(super) fn way<E: Element>(arguments: &Arguments, path: latents::Path, ends: &[Vec<E>]) -> Vec<Vec<E>> {
    let points = arguments.points as usize;
    match (ends, arguments.square) {
        ([a, b, c, d], true) => path.square([a, b, c, d], points),
        _ => ends.windows(2).flat_map(|pair| path.walk(&pair[0], &pair[1], points)).collect(),
    }
}

/// One latent, an end of an interpolation.
fn end<E: Element + Scalar>(reader: &Reader, row: usize) -> anyhow::Result<Vec<E>> {
    let path = reader.path().display();
    ensure!(row < reader.rows(), "--interpolate: expected rows of {path} below {}, found {row}", reader.rows());
    let values = reader.read_row_range_as_float_at(row, 1)?;
    require_finite(reader.path(), &values, row, reader.row_len())?;
    Ok(values)
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(super) enum PathArgument {
    #[default]
    Linear,
    Spherical,
}

impl PathArgument {
    fn path(self) -> latents::Path {
        match self {
            Self::Linear => latents::Path::Linear,
            Self::Spherical => latents::Path::Spherical,
        }
    }
}
