//! Which part of a dataset each image belongs to, by the folders that name parts. What leaves a part open is refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::{Error, Result};

/// Names of top folders and the parts they become, in the order of the parts.
const PARTS: [(&str, &str); 10] = [
    ("train", "train"),
    ("training", "train"),
    ("test", "test"),
    ("testing", "test"),
    ("validation", "validation"),
    ("val", "validation"),
    ("valid", "validation"),
    ("validating", "validation"),
    ("unlabeled", "unlabeled"),
    ("unlabelled", "unlabeled"),
];

/// The most names that an error shows.
const SHOWN: usize = 5;

/// An image file, by the folders below the one that all share.
pub(super) struct Image<'a> {
    /// Its name in the source.
    pub(super) name: &'a str,
    /// The folders below that of its part, the class first.
    pub(super) folders: Vec<&'a str>,
}

/// The images by part, in the order of the parts.
pub(super) type Parts<'a> = Vec<(&'static str, Vec<Image<'a>>)>;

/// The part that a folder of this name holds.
pub(super) fn part_of(folder: &str) -> Option<&'static str> {
    PARTS.iter().find(|(name, _)| folder.eq_ignore_ascii_case(name)).map(|(_, part)| *part)
}

/// The images by part; where no folder names a part, all are of `train`.
///
/// # Errors
/// Folders or images beside those of the parts; two folders of one part; parts within classes.
pub(super) fn parts<'a>(file: &str, names: &[&'a str]) -> Result<Parts<'a>> {
    let paths: Vec<(Vec<&str>, &str)> = names.iter().map(|name| (name.split('/').collect(), *name)).collect();
    let common = common_folders(&paths);
    // The part that the first folder of an image names, if there is one below the common ones.
    let named = |path: &[&str]| (path.len() > common + 1).then(|| part_of(path[common])).flatten();
    let parted = paths.iter().any(|(path, _)| named(path).is_some());
    if parted {
        check_others(file, &paths, common)?;
        check_twins(file, &paths, common)?;
    } else {
        check_inner(file, &paths, common)?;
    }
    let mut parts: BTreeMap<usize, (&'static str, Vec<Image>)> = BTreeMap::new();
    for (path, name) in paths {
        let (part, from) = named(&path).map_or(("train", common), |part| (part, common + 1));
        let folders = path[from..path.len() - 1].to_vec();
        let place = PARTS.iter().position(|(_, known)| *known == part).unwrap_or_default();
        parts.entry(place).or_insert_with(|| (part, Vec::new())).1.push(Image { name, folders });
    }
    Ok(parts.into_values().collect())
}

/// The number of leading folders that all files share and that do not name a part.
fn common_folders(paths: &[(Vec<&str>, &str)]) -> usize {
    let Some((first, _)) = paths.first() else { return 0 };
    let shared = |depth: &usize| {
        let same = paths.iter().all(|(path, _)| path.len() > depth + 1 && path[*depth] == first[*depth]);
        same && part_of(first[*depth]).is_none()
    };
    (0..first.len()).take_while(shared).count()
}

/// Where some images lie in folders of parts, all must.
fn check_others(file: &str, paths: &[(Vec<&str>, &str)], common: usize) -> Result<()> {
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, _) in paths {
        if path.len() == common + 1 || part_of(path[common]).is_none() {
            *others.entry(path[common]).or_default() += 1;
        }
    }
    if others.is_empty() {
        return Ok(());
    }
    let shown = others.iter().map(|(name, count)| format!("{name} ({})", images(*count)));
    let advice = "take out what is of no part, or name its folder for one; \
                  where these are classes, put all of them into one folder named train";
    let expected = "images in folders of parts only (train, test, validation, unlabeled), since there are some";
    Err(Error::malformed(file, expected, format!("beside them {}", few(shown)), advice))
}

/// No two folders may name one part.
fn check_twins(file: &str, paths: &[(Vec<&str>, &str)], common: usize) -> Result<()> {
    let mut folders: BTreeMap<Option<&str>, BTreeSet<&str>> = BTreeMap::new();
    for (path, _) in paths {
        folders.entry(part_of(path[common])).or_default().insert(path[common]);
    }
    match folders.into_iter().find(|(_, folders)| folders.len() > 1) {
        Some((Some(part), folders)) => {
            let found = few(folders.into_iter().map(str::to_string));
            Err(Error::malformed(file, format!("one folder of the part {part}"), found, "keep one of them"))
        }
        _ => Ok(()),
    }
}

/// Parts within the folders of classes, or of others, are not guessed at.
fn check_inner(file: &str, paths: &[(Vec<&str>, &str)], common: usize) -> Result<()> {
    let inner = |path: &[&str]| path.get(common + 1..path.len() - 1)?.iter().find_map(|folder| part_of(folder));
    let found: BTreeSet<&str> = paths.iter().filter_map(|(path, _)| inner(path)).collect();
    if found.len() < 2 {
        return Ok(());
    }
    let one = paths.iter().find(|(path, _)| inner(path).is_some()).map_or("", |(_, name)| name);
    let advice = "move the parts to the top: train/CLASS, test/CLASS";
    Err(Error::malformed(file, "folders of parts at the top only", format!("some within others, as {one}"), advice))
}

/// "1 image", "2 images".
fn images(count: usize) -> String {
    if count == 1 { "1 image".to_string() } else { format!("{count} images") }
}

/// The first of some names, and how many more there are.
pub(super) fn few(names: impl ExactSizeIterator<Item = String>) -> String {
    let count = names.len();
    let shown: Vec<String> = names.take(SHOWN).collect();
    let rest = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
    shown.join(", ") + &rest
}
