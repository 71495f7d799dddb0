//! A folder or archive of image files, `[train|test|validation|unlabeled/]<class>/<name>.png`; classes are the folder
//! names, sorted by their bytes. Without class folders, or with a single one, the images have no labels.
//!
//! Images come in rounds, the first of each class, then the second of each, so that any first N are a fair sample. The classes of
//! validation images may stand in a list instead, as those of ImageNet do: see [`is_list`].
//!
//! ```
//! use obverse::data::{Source, folder::{Options, open, wanted}};
//! let folder = tempfile::tempdir()?;
//! for class in ["dog", "cat"] {
//!     std::fs::create_dir(folder.path().join(class))?;
//!     image::RgbImage::new(4, 4).save(folder.path().join(class).join("1.png"))?;
//! }
//! let (parts, classes) = open(Source::open(folder.path(), wanted)?, Options::default())?;
//! assert_eq!(classes, Some(vec!["cat".to_string(), "dog".to_string()]));
//! assert_eq!(parts[0].images.shape.len(), 3 * 4 * 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod layout;
mod lists;
mod tree;

use std::sync::Arc;

use rayon::prelude::*;

use super::images::Examples;
use super::{Error, Example, Part, Result, Shape, Source};
use decode::Decoder;
use tree::Tree;

pub use decode::{Options, decode, is_image};
pub use lists::{LIST, is_list};
pub(crate) use lists::{Lines, no_label};
pub(crate) use tree::Entry;

/// Images that are decoded in parallel at a time.
const BLOCK: usize = 256;

/// True for the names of image files, and of lists of their classes.
pub fn wanted(name: &str) -> bool {
    is_image(name) || is_list(name)
}

/// The parts of a folder of images and the names of its classes, none where it has no classes.
///
/// # Errors
/// No images; a layout that leaves open which part or class an image belongs to, such as a folder beside those of the parts, or class
/// folders for some images only; a first image that cannot be decoded; options out of range. In the stream: images that cannot be
/// decoded, or that differ in size without a resize or crop.
pub fn open(source: Source, options: Options) -> Result<(Vec<Part>, Option<Vec<String>>)> {
    let Tree { parts, classes } = Tree::of(&source)?;
    Ok((open_parts(source, options, parts)?, classes))
}

/// The parts of these files, in this order.
///
/// # Errors
/// Those of [`open`], except those of the layout.
pub(crate) fn open_parts(
    source: Source,
    options: Options,
    parts: Vec<(&'static str, Vec<Entry>)>,
) -> Result<Vec<Part>> {
    options.check()?;
    let Some(first) = parts.iter().find_map(|(_, entries)| entries.first()) else {
        let file = source.path().display().to_string();
        return Err(Error::malformed(&file, "image files", "none", "name a folder or archive of images"));
    };
    let (shape, _) = Decoder { source: &source, options, shape: None }.decode(&first.name)?;
    let source = Arc::new(source);
    let parts = parts.into_iter().map(|(part, entries)| {
        Part::new(part, shape, Some(entries.len()), examples(source.clone(), options, shape, entries))
    });
    Ok(parts.collect())
}

fn examples(source: Arc<Source>, options: Options, shape: Shape, entries: Vec<Entry>) -> Examples {
    let mut entries = entries.into_iter();
    let blocks = std::iter::from_fn(move || {
        let block: Vec<Entry> = entries.by_ref().take(BLOCK).collect();
        let decoder = Decoder { source: &source, options, shape: Some(shape) };
        let decode = |entry: Entry| {
            let (_, pixels) = decoder.decode(&entry.name)?;
            Ok(Example { pixels, label: entry.label })
        };
        (!block.is_empty()).then(|| block.into_par_iter().map(decode).collect::<Vec<_>>())
    });
    Box::new(blocks.flatten())
}

#[cfg(test)]
mod tests;
