//! Lists that say the class of each image, as those of ImageNet's validation images do.
//!
//! A line is an image's name and its class, separated by tabs, commas or spaces (`val_annotations.txt` of Tiny ImageNet,
//! `LOC_val_solution.csv` of Kaggle, Caffe's `val.txt`), or the class alone, in the order of the images' names
//! (`imagenet_2012_validation_synset_labels.txt`). Whole numbers count the class folders of the training images, sorted, from 0.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::layout::part_of;
use crate::data::source::{base_name, stem};
use crate::data::{Error, Result, Source};

/// The name under which a list that the user names stands in a source.
pub const LIST: &str = "list of the validation images";

/// The usual names of lists of the classes of validation images.
const LISTS: [&str; 6] = [
    LIST,
    "val_annotations.txt",
    "LOC_val_solution.csv",
    "imagenet_2012_validation_synset_labels.txt",
    NUMBERED,
    NAMES,
];

/// The one that may as well be a list of names alone, as detection has.
const NAMES: &str = "val.txt";

/// The one whose numbers are those of the development kit, which a MATLAB file explains.
const NUMBERED: &str = "ILSVRC2012_validation_ground_truth.txt";

/// More bytes than any list has: CelebA's attributes have 27 million.
const LIMIT: u64 = 1 << 28;

/// True for the names of lists.
pub fn is_list(name: &str) -> bool {
    LISTS.contains(&base_name(name))
}

/// The list of a source's validation images, by the order of [`LISTS`]. One that lies in the folder of another part is of that part.
///
/// # Errors
/// The list of the development kit alone.
pub(super) fn find(source: &Source) -> Result<Option<String>> {
    let is_validation = |name: &str| {
        let folder = name.split('/').rev().skip(1).find_map(part_of);
        folder.is_none_or(|part| part == "validation")
    };
    let named = |list: &str| source.names().find(|name| base_name(name) == list && is_validation(name));
    let found = LISTS.iter().find_map(|list| named(list));
    match found.filter(|name| base_name(name) != NAMES || is_numbered(source, name)) {
        Some(name) if base_name(name) == NUMBERED => {
            let expected = "a list that names classes, such as LOC_val_solution.csv or \
                            imagenet_2012_validation_synset_labels.txt";
            let advice = "put one of these beside the images, or name one with `list`";
            Err(Error::malformed(&source.describe(name), expected, "the development kit's own numbers", advice))
        }
        found => Ok(found.map(str::to_string)),
    }
}

/// Whether each line of a list is a name and a number.
fn is_numbered(source: &Source, list: &str) -> bool {
    let is_number = |word: &String| word.parse::<usize>().is_ok();
    Lines::read(source, list).is_ok_and(|lines| lines.rows.iter().all(|row| row.get(1).is_some_and(is_number)))
}

/// The classes of the images `names`, in their order, by the list `list`. `folders` are the classes of the training images, sorted.
///
/// # Errors
/// A list that is not text, that lacks an image, or has another number of lines where lines have no names; a number without its class.
pub(super) fn classes(source: &Source, list: &str, names: &[&str], folders: &BTreeSet<&str>) -> Result<Vec<String>> {
    let lines = Lines::read(source, list)?;
    let file = source.describe(list);
    let alone = lines.rows.iter().all(|row| row.len() == 1);
    let found: Vec<String> = if alone {
        if lines.rows.len() != names.len() {
            let expected = format!("a class for each of the {} validation images", names.len());
            return Err(Error::malformed(
                &file,
                expected,
                format!("{} lines", lines.rows.len()),
                "take their own list",
            ));
        }
        lines.rows.iter().map(|row| row[0].clone()).collect()
    } else {
        let by_name = lines.by_name()?;
        let class = |name: &&str| {
            let row = by_name.get(stem(name)).ok_or_else(|| no_label(&file, "class", name))?;
            Ok((*row.first().ok_or_else(|| no_label(&file, "class", name))?).to_string())
        };
        names.iter().map(class).collect::<Result<_>>()?
    };
    let numbers: Option<Vec<usize>> = found.iter().map(|class| class.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|_| !found.iter().all(|class| folders.contains(class.as_str()))) else {
        return Ok(found);
    };
    let folders: Vec<&str> = folders.iter().copied().collect();
    let class = |number: usize| {
        let unknown = || {
            let expected = format!("numbers of the {} class folders of the training images, from 0", folders.len());
            Error::malformed(&file, expected, number, "import the training images with it, or take a list of names")
        };
        folders.get(number).map(ToString::to_string).ok_or_else(unknown)
    };
    numbers.into_iter().map(class).collect()
}

/// An error for an image that a list does not have.
pub(crate) fn no_label(list: &str, what: &str, image: &str) -> Error {
    let advice = "take the list that belongs to these images, or remove the image";
    Error::malformed(list, format!("the {what} of every image"), format!("none of {image}"), advice)
}

/// The words of a list, line by line, without empty lines.
pub(crate) struct Lines {
    file: String,
    /// The words of each line.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Lines {
    /// Reads a list. Words are separated by tabs, commas and spaces; a line of column names, as Kaggle's files have, is no row.
    ///
    /// # Errors
    /// A file that cannot be read, is not text, or is empty.
    pub(crate) fn read(source: &Source, name: &str) -> Result<Self> {
        let Self { file, mut rows } = Self::read_with_names(source, name)?;
        rows.retain(|row| !matches!(row[0].as_str(), "ImageId" | "image_id"));
        match rows.is_empty() {
            true => Err(Error::malformed(&file, "a line for each image", "none", "take the whole list")),
            false => Ok(Self { file, rows }),
        }
    }

    /// Reads a list with its line of column names.
    ///
    /// # Errors
    /// A file that cannot be read or is not text.
    pub(crate) fn read_with_names(source: &Source, name: &str) -> Result<Self> {
        let file = source.describe(name);
        let mut text = String::new();
        let stream = source.stream(name)?;
        stream.take(LIMIT).read_to_string(&mut text).map_err(|source| Error::read(&file, source))?;
        let words = |line: &str| -> Vec<String> {
            let words = line.split(['\t', ',', ' ', '\r']).filter(|word| !word.is_empty());
            words.map(str::to_string).collect()
        };
        let rows = text.lines().map(words).filter(|row| !row.is_empty()).collect();
        Ok(Self { file, rows })
    }

    /// The words after an image's name, by the name without folders and ending. A word alone, such as a number of images, is of none.
    ///
    /// # Errors
    /// Two lines of one name.
    pub(crate) fn by_name(&self) -> Result<BTreeMap<&str, Vec<&str>>> {
        let mut rows = BTreeMap::new();
        for row in &self.rows {
            let Some((name, rest)) = row.split_first().filter(|(_, rest)| !rest.is_empty()) else { continue };
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            if rows.insert(stem(name), rest).is_some() {
                return Err(Error::malformed(
                    &self.file,
                    "one line for each image",
                    format!("two of {name}"),
                    "keep one",
                ));
            }
        }
        Ok(rows)
    }
}
