//! The files of a folder of images by part and class.

use std::collections::{BTreeMap, BTreeSet};

use super::decode::is_image;
use super::layout::{Image, few, parts};
use super::lists;
use crate::data::{Error, Result, Source};

/// The folder of images that are in no class, such as those of Tiny ImageNet's test.
const NO_CLASS: &str = "images";

/// An image file and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name in the source.
    pub(crate) name: String,
    /// The place of its class.
    pub(crate) label: Option<i64>,
}

/// The files by part, each part in rounds over the classes.
pub(super) struct Tree {
    pub(super) parts: Vec<(&'static str, Vec<Entry>)>,
    pub(super) classes: Option<Vec<String>>,
}

/// The images of a part and the class of each; none where the part has no classes.
struct Classed<'a> {
    part: &'static str,
    images: Vec<Image<'a>>,
    classes: Option<Vec<String>>,
}

impl Tree {
    /// # Errors
    /// A layout that leaves open to which part or class an image belongs.
    pub(super) fn of(source: &Source) -> Result<Self> {
        let file = source.path().display().to_string();
        let names: Vec<&str> = source.names().filter(|name| is_image(name)).collect();
        let mut parts = parts(&file, &names)?;
        let list = lists::find(source)?;
        if let (Some(_), [(part, images)]) = (&list, parts.as_mut_slice())
            && is_unclassed(images)
        {
            // Nothing but the images that the list is of.
            *part = "validation";
        }
        let parts = classed(source, &file, parts, list.as_deref())?;
        check(&file, &parts)?;
        let known: BTreeSet<&str> =
            parts.iter().flat_map(|part| part.classes.iter().flatten()).map(|class| &**class).collect();
        // One class says nothing.
        let known: Vec<String> = known.iter().map(ToString::to_string).filter(|_| known.len() > 1).collect();
        let places: BTreeMap<&str, i64> = known.iter().zip(0..).map(|(class, place)| (class.as_str(), place)).collect();
        let entries = |Classed { part, images, classes }: Classed| {
            let label = |at: usize| places.get(classes.as_ref()?.get(at)?.as_str()).copied();
            let entry = |(at, image): (usize, &Image)| Entry { name: image.name.to_string(), label: label(at) };
            (part, in_rounds(images.iter().enumerate().map(entry).collect()))
        };
        let parts = parts.into_iter().map(entries).collect();
        Ok(Self { parts, classes: (!known.is_empty()).then_some(known) })
    }
}

/// The class of each image: the folder it lies in, or what the list of the validation images says.
fn classed<'a>(
    source: &Source,
    file: &str,
    parts: Vec<(&'static str, Vec<Image<'a>>)>,
    list: Option<&str>,
) -> Result<Vec<Classed<'a>>> {
    let training: BTreeSet<&str> = parts
        .iter()
        .filter(|(part, _)| *part == "train")
        .flat_map(|(_, images)| images.iter().filter_map(|image| image.folders.first().copied()))
        .collect();
    let says = |other: &str, part: &str| other != part && other != "unlabeled";
    let has_others = |part: &str| parts.iter().any(|(other, images)| says(other, part) && !is_unclassed(images));
    let unclassed: Vec<bool> = parts.iter().map(|(part, images)| is_unclassed(images) && has_others(part)).collect();
    let mut found = Vec::new();
    for ((part, images), unclassed) in parts.into_iter().zip(unclassed) {
        let is_listed = part == "validation" && is_unclassed(&images);
        let classes = match list.filter(|&list| is_listed || part == "validation" && list == lists::LIST) {
            Some(list) => {
                let names: Vec<&str> = images.iter().map(|image| image.name).collect();
                Some(lists::classes(source, list, &names, &training)?)
            }
            None if part == "unlabeled" => None,
            None if unclassed => {
                check_unclassed(file, part, &images)?;
                None
            }
            None => by_folder(file, part, &images)?,
        };
        found.push(Classed { part, images, classes });
    }
    Ok(found)
}

/// Whether a part's images lie directly in it, or all in the folder `images`.
fn is_unclassed(images: &[Image]) -> bool {
    images.iter().all(|image| image.folders.first().is_none_or(|&folder| folder == NO_CLASS))
}

/// Where other parts have classes, those of training and validation images must be known.
fn check_unclassed(file: &str, part: &str, images: &[Image]) -> Result<()> {
    let advice = match part {
        "train" => "put every image into the folder of its class, or none",
        "validation" => {
            "put the list of their classes there (val_annotations.txt, LOC_val_solution.csv), or name it with `list`"
        }
        _ => return Ok(()),
    };
    let found = images.first().map_or("none", |image| image.name);
    let expected = format!("the classes of the images of the part {part}, as other parts have");
    Err(Error::malformed(file, expected, format!("none of {found}"), advice))
}

/// The folders as classes, none where no image lies in one.
fn by_folder(file: &str, part: &str, images: &[Image]) -> Result<Option<Vec<String>>> {
    let classes: Vec<String> =
        images.iter().filter_map(|image| image.folders.first().map(ToString::to_string)).collect();
    match (classes.len(), images.iter().find(|image| image.folders.is_empty())) {
        (0, _) => Ok(None),
        (_, None) => Ok(Some(classes)),
        (_, Some(image)) => {
            let advice = "put every image into the folder of its class, or none";
            let expected = format!("class folders for all images of {part}");
            Err(Error::malformed(file, expected, format!("images without one, as {}", image.name), advice))
        }
    }
}

/// Classes that share nothing with those of the training images are no classes, but folders of another kind.
fn check(file: &str, parts: &[Classed]) -> Result<()> {
    let set = |part: &Classed| -> BTreeSet<String> { part.classes.iter().flatten().cloned().collect() };
    let Some(training) = parts.iter().find(|part| part.part == "train").map(set).filter(|set| !set.is_empty()) else {
        return Ok(());
    };
    for part in parts {
        let classes = set(part);
        if !classes.is_empty() && classes.is_disjoint(&training) {
            let name = part.part;
            let expected = format!("the classes of train for the part {name}, {}", few(training.into_iter()));
            let advice = "put images of no class directly into the part's folder";
            return Err(Error::malformed(file, expected, few(classes.into_iter()), advice));
        }
    }
    Ok(())
}

/// Sorts by (place within the class, class). The entries come sorted by name, so each class's order is that of names.
fn in_rounds(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen: BTreeMap<Option<i64>, usize> = BTreeMap::new();
    let keyed = entries.into_iter().map(|entry| {
        let round = seen.entry(entry.label).or_default();
        *round += 1;
        (*round, entry)
    });
    let mut keyed: Vec<(usize, Entry)> = keyed.collect();
    keyed.sort_by(|(a_round, a), (b_round, b)| (a_round, a.label, &a.name).cmp(&(b_round, b.label, &b.name)));
    keyed.into_iter().map(|(_, entry)| entry).collect()
}
