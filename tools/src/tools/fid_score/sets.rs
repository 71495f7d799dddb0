//! Opens the sets that are compared: statistics, features, or images, which go through the network unless their features are kept.

use std::path::Path;

use anyhow::ensure;
use obverse::data::pictures::Pictures;
use obverse::data::samples::holds_images;
use obverse::fidelity::statistics::Statistics;
use obverse::store::npy::Reader;

use super::cache::{CacheArguments, Kept};
use crate::features::{FeatureArguments, Left, Rows, Side, Tap, Wanted};
use crate::{CommonArguments, Shard, Task};

/// How sets are opened.
pub(super) struct Opening<'a> {
    pub(super) features: &'a FeatureArguments,
    pub(super) cache: &'a CacheArguments,
    pub(super) common: &'a CommonArguments,
}

impl Opening<'_> {
    /// Opens statistics (`.npz`), features (an array of two axes), or images, of which all of `wanted` is read; the first is compared.
    ///
    /// # Errors
    /// A path that cannot be read or is none of these; an empty set.
    pub(super) fn side(&self, path: &Path, wanted: &[Wanted]) -> anyhow::Result<Side> {
        if path.extension().is_some_and(|extension| extension == "npz") && !holds_images(path)? {
            return Ok(Side::Statistics(Statistics::load(path)?));
        }
        if let Some(mut reader) = features(path)? {
            return Side::of_array(&mut reader);
        }
        let (read, left) = self.images(path, wanted)?;
        let mut read: Vec<_> = read.into_iter().zip(wanted).map(|((tap, rows), wanted)| (wanted, tap, rows)).collect();
        let (_, tap, rows) = read.remove(0);
        let (mut spatial, mut logits) = (None, None);
        for (wanted, _, rows) in read {
            match wanted {
                Wanted::Spatial => spatial = Some(rows),
                Wanted::Compared | Wanted::Logits(_) => logits = Some(rows),
            }
        }
        Ok(Side::Features { rows, spatial, logits, origin: Some(tap.origin), left })
    }

    /// What is wanted of images, in this order, each with what it is.
    ///
    /// # Errors
    /// Images or a network that cannot be read; an empty set.
    pub(super) fn images(&self, path: &Path, wanted: &[Wanted]) -> anyhow::Result<(Vec<(Tap, Rows)>, Left)> {
        let pictures = Pictures::open_as(path, self.features.pixels.scored())?;
        ensure!(pictures.count() > 0, "{}: expected images, found none", path.display());
        let opened = self.features.open(wanted)?;
        let taps = opened.taps.clone();
        let shelf = self.cache.shelf(path, self.features, self.common);
        let (mut read, mut missing, mut left) = (Vec::new(), Vec::new(), Left::default());
        for (place, tap) in taps.iter().enumerate() {
            match shelf.as_ref().map_or(Ok(Kept::Nowhere), |shelf| shelf.kept(tap))? {
                Kept::There(rows, of_these) => {
                    left = of_these;
                    read.push(rows);
                }
                kept => {
                    let entry = if let Kept::Missing(entry) = kept { Some(entry) } else { None };
                    missing.push((place, entry));
                    read.push(Rows::new(tap.dimension));
                }
            }
        }
        if !missing.is_empty() {
            let map = opened.map(&missing.iter().map(|(place, _)| &taps[*place]).collect::<Vec<_>>())?;
            let quiet = self.common.quiet;
            left = self.features.pass(&map, &pictures, path, Shard::default(), quiet, &mut |features| {
                for ((place, entry), rows) in missing.iter_mut().zip(features) {
                    read[*place].extend(rows);
                    if let Some(shelf) = &shelf {
                        shelf.write(entry, rows);
                    }
                }
                Ok(())
            })?;
            for (_, entry) in missing {
                if let (Some(shelf), Some(entry)) = (&shelf, entry) {
                    shelf.keep(*entry, left)?;
                }
            }
        }
        Ok((taps.into_iter().zip(read).collect(), left))
    }
}

/// Says that a set's features were there, if they were.
pub(super) fn note_kept(task: &Task, set: &Path, left: Left) {
    if left.kept {
        task.note(&format!("{}: its features were kept by an earlier run", set.display()));
    }
}

/// The array at `path`, if it holds rows of numbers.
///
/// # Errors
/// An array that cannot be read.
pub(super) fn features(path: &Path) -> anyhow::Result<Option<Reader>> {
    let name = path.to_string_lossy();
    if !name.ends_with(".npy") && !name.ends_with(".npy.zst") {
        return Ok(None);
    }
    let reader = Reader::open(path)?;
    Ok((reader.shape().len() == 2).then_some(reader))
}
