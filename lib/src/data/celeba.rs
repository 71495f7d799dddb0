//! CelebA: images by number, `list_eval_partition.txt` with the part of each (0 train, 1 validation, 2 test), and, where it is there,
//! `list_attr_celeba.txt` with 40 attributes of each, 1 or -1; or both as Kaggle's `.csv`. Source: Liu et al. 2015, the dataset's page.
//!
//! ```
//! use obverse::data::{celeba, folder::Options, import::Format};
//! let folder = tempfile::tempdir()?;
//! for name in ["000001.jpg", "000002.jpg"] {
//!     image::RgbImage::new(4, 4).save(folder.path().join(name))?;
//! }
//! std::fs::write(folder.path().join("list_eval_partition.txt"), "000001.jpg 0\n000002.jpg 2\n")?;
//! let (parts, _) = celeba::open(Format::Celeba.source(folder.path())?, Options::default())?;
//! assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["train", "test"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::folder::{Entry, Lines, Options, is_image, no_label, open_parts};
use super::source::{base_name, stem};
use super::{Attributes, Error, LeftOut, Part, Result, Source};

/// The parts by their numbers.
const PARTS: [&str; 3] = ["train", "validation", "test"];

/// The names of the file of parts.
const PARTITION: [&str; 2] = ["list_eval_partition.txt", "list_eval_partition.csv"];

/// The names of the file of attributes.
const ATTRIBUTES: [&str; 2] = ["list_attr_celeba.txt", "list_attr_celeba.csv"];

/// The folders beside the images' one that the lists lie in, on the dataset's own pages.
const FOLDERS: [&str; 3] = ["", "Eval", "Anno"];

/// True for the names that [`open`] looks for.
pub fn wanted(name: &str) -> bool {
    is_image(name) || is_partition(name) || ATTRIBUTES.contains(&base_name(name))
}

/// True for the file of parts, by which a folder of images is known as CelebA's.
pub fn is_partition(name: &str) -> bool {
    PARTITION.contains(&base_name(name))
}

/// Adds the lists that lie beside the folder or archive of images, or where the dataset's pages put them.
pub(crate) fn take_in_lists(source: &mut Source) {
    let Ok(whole) = fs::canonicalize(source.path()) else { return };
    let around: Vec<&Path> = whole.ancestors().skip(1).take(2).collect();
    for names in [PARTITION, ATTRIBUTES] {
        if source.find(|name| names.contains(&name)).is_some() {
            continue;
        }
        let places = around.iter().flat_map(|folder| FOLDERS.map(|below| folder.join(below)));
        let paths = places.flat_map(|folder| names.map(|name| (name, folder.join(name))));
        if let Some((name, path)) = paths.into_iter().find(|(_, path)| path.is_file()) {
            source.take_in(name, &path);
        }
    }
}

/// The parts `train`, `validation` and `test`, as many as have images, each in the order of the images' names, with the attributes where
/// they are known. What is left out counts the names in the file of parts whose images are not there.
///
/// # Errors
/// No file of parts; an image that it or the file of attributes lacks; two images of one name; and those of [`super::folder::open`].
pub fn open(mut source: Source, options: Options) -> Result<(Vec<Part>, LeftOut)> {
    let partition = source.find(is_partition).ok_or_else(|| no_partition(&source))?;
    let lines = Lines::read(&source, &partition)?;
    let (file, numbers) = (source.describe(&partition), lines.by_name()?);
    let mut names: Vec<String> = source.names().filter(|name| is_image(name)).map(str::to_string).collect();
    names.sort_by(|a, b| base_name(a).cmp(base_name(b)));
    check_twins(&source, &names)?;
    let mut parts = PARTS.map(|part| (part, Vec::new()));
    for name in &names {
        let number =
            numbers.get(stem(name)).and_then(|row| row.first()).ok_or_else(|| no_label(&file, "part", name))?;
        let part = number.parse().ok().and_then(|number: usize| parts.get_mut(number));
        let wrong =
            || Error::malformed(&file, "parts 0, 1 and 2", format!("{number} of {name}"), "take the whole list");
        part.ok_or_else(wrong)?.1.push(Entry { name: name.clone(), label: None });
    }
    let there: BTreeSet<&str> = names.iter().map(|name| stem(name)).collect();
    let missing = numbers.keys().filter(|name| !there.contains(*name)).count();
    source.leave_out(&format!("without an image of those in {}", base_name(&partition)), missing);
    let parts = parts.into_iter().filter(|(_, entries)| !entries.is_empty()).collect::<Vec<_>>();
    let attributes = attributes(&source, &parts)?;
    let left_out = source.left_out().clone();
    let opened = open_parts(source, options, parts)?.into_iter().zip(attributes);
    Ok((opened.map(|(part, attributes)| Part { attributes, ..part }).collect(), left_out))
}

fn no_partition(source: &Source) -> Error {
    let expected = "list_eval_partition.txt (or .csv), which says the part of each image";
    let advice = "put CelebA's own beside the images; without parts they are of the format images";
    Error::malformed(&source.path().display().to_string(), expected, "none in it and none beside it", advice)
}

/// Images in several versions, such as aligned and in the wild, have the same names.
fn check_twins(source: &Source, names: &[String]) -> Result<()> {
    match names.windows(2).find(|pair| stem(&pair[0]) == stem(&pair[1])) {
        None => Ok(()),
        Some(pair) => {
            let file = source.path().display().to_string();
            let found = format!("{} and {}", pair[0], pair[1]);
            Err(Error::malformed(&file, "one image of each name", found, "name the folder of one version"))
        }
    }
}

/// The attributes of each part's images, where there is a file of them.
fn attributes(source: &Source, parts: &[(&'static str, Vec<Entry>)]) -> Result<Vec<Option<Attributes>>> {
    let Some(list) = source.find(|name| ATTRIBUTES.contains(&name)) else { return Ok(vec![None; parts.len()]) };
    let lines = Lines::read(source, &list)?;
    let file = source.describe(&list);
    let names = attribute_names(source, &list)?;
    let rows: BTreeMap<&str, Vec<&str>> = lines.by_name()?;
    let row = |entry: &Entry| -> Result<Vec<u8>> {
        let row = rows.get(stem(&entry.name)).ok_or_else(|| no_label(&file, "attributes", &entry.name))?;
        let known = row.iter().map(|value| match *value {
            "1" => Ok(1),
            "-1" | "0" => Ok(0),
            other => Err(format!("{other:?}")),
        });
        let known = known.collect::<std::result::Result<Vec<u8>, String>>();
        let found = known.and_then(|row| if row.len() == names.len() { Ok(row) } else { Err(row.len().to_string()) });
        let expected = format!("{} attributes, 1 or -1, of {}", names.len(), entry.name);
        found.map_err(|found| Error::malformed(&file, expected, found, "take the whole list"))
    };
    let of = |(_, entries): &(&str, Vec<Entry>)| {
        let rows = entries.iter().map(row).collect::<Result<Vec<_>>>()?.concat();
        Ok(Some(Attributes { names: names.clone(), rows }))
    };
    parts.iter().map(of).collect()
}

/// The names of the attributes: the second line of the text, after the number of images, or the first line of the table.
fn attribute_names(source: &Source, list: &str) -> Result<Vec<String>> {
    let lines = Lines::read_with_names(source, list)?;
    let named = lines.rows.into_iter().find(|row| row.len() > 1).unwrap_or_default();
    Ok(named.into_iter().filter(|name| name != "image_id").collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::Format;

    /// A folder of images with these names below it, the number of each its pixels' value.
    fn images(root: &Path, names: &[&str]) {
        for (value, name) in names.iter().enumerate() {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::from_pixel(2, 2, image::Rgb([value as u8; 3])).save(path).unwrap();
        }
    }

    /// A part's name, the first pixel of each of its images, its attributes.
    type Found = (String, Vec<u8>, Option<Attributes>);

    fn found(path: &Path) -> Result<Vec<Found>> {
        let (parts, _) = open(Format::Celeba.source(path)?, Options::default())?;
        let read = |part: Part| {
            let pixels = part.images.examples.map(|example| Ok(example?.pixels[0])).collect::<Result<_>>()?;
            Ok((part.name, pixels, part.attributes))
        };
        parts.into_iter().map(read).collect()
    }

    #[test]
    fn parts_and_attributes_are_those_of_the_lists_wherever_they_lie() {
        let text = "5\nBald Smiling\n1.png -1  1\n2.png  1 -1\n3.png 1 1\n4.png -1 -1\n5.png 1 -1\n";
        let table = "image_id,Bald,Smiling\n1.png,-1,1\n2.png,1,-1\n3.png,1,1\n4.png,-1,-1\n5.png,1,-1\n";
        for (partition, attributes, table) in [
            ("list_eval_partition.txt", "list_attr_celeba.txt", false),
            ("Eval/list_eval_partition.txt", "Anno/list_attr_celeba.txt", false),
            ("list_eval_partition.csv", "list_attr_celeba.csv", true),
        ]
        .map(|(partition, attributes, is_table)| (partition, attributes, is_table.then_some(table)))
        {
            let folder = tempfile::tempdir().unwrap();
            let names = ["1", "2", "3", "4", "5"].map(|name| format!("Img/img_align_celeba/{name}.png"));
            images(folder.path(), &names.each_ref().map(String::as_str));
            // Windows' ends of lines, as CelebA's own files have them.
            let parts = "1.png 0\r\n2.png 2\r\n3.png 0\r\n4.png 1\r\n5.png 0\r\n";
            let parts = match table {
                Some(_) => format!("image_id,partition\n{}", parts.replace(' ', ",")),
                None => parts.to_string(),
            };
            for (name, text) in [(partition, parts.as_str()), (attributes, table.unwrap_or(text))] {
                fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
                fs::write(folder.path().join(name), text).unwrap();
            }
            let names = vec!["Bald".to_string(), "Smiling".to_string()];
            let part = |part: &str, pixels: &[u8], rows: &[u8]| {
                (part.to_string(), pixels.to_vec(), Some(Attributes { names: names.clone(), rows: rows.to_vec() }))
            };
            let expected = [
                part("train", &[0, 2, 4], &[0, 1, 1, 1, 1, 0]),
                part("validation", &[3], &[0, 0]),
                part("test", &[1], &[1, 0]),
            ];
            assert_eq!(found(folder.path()).unwrap(), expected, "{partition}");
            assert_eq!(found(&folder.path().join("Img")).unwrap(), expected, "{partition} beside the images");
        }
    }

    #[test]
    fn what_is_fetched_into_one_folder_is_one_dataset() {
        let folder = tempfile::tempdir().unwrap();
        images(folder.path(), &["img_align_celeba/1.png", "img_align_celeba/2.png"]);
        fs::write(folder.path().join("list_eval_partition.txt"), "1.png 2\n2.png 0\n3.png 0\n").unwrap();
        let files = ["img_align_celeba.tar", "list_eval_partition.txt"].map(|name| folder.path().join(name));
        let mut tar = tar::Builder::new(fs::File::create(&files[0]).unwrap());
        tar.append_dir_all("img_align_celeba", folder.path().join("img_align_celeba")).unwrap();
        tar.finish().unwrap();
        let source = Source::gather(folder.path(), &files, wanted).unwrap();
        let (parts, left_out) = open(source, Options::default()).unwrap();
        assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["train", "test"]);
        assert_eq!(left_out.to_string(), "1 without an image of those in list_eval_partition.txt");
        // Its list makes a folder of images CelebA's, whatever it is called.
        let source = Format::Images.source(folder.path()).unwrap();
        assert_eq!(Format::Images.open(source, Options::default()).unwrap().parts.len(), 2);
    }

    #[test]
    fn what_the_lists_leave_open_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = || found(folder.path()).unwrap_err().to_string();
        images(folder.path(), &["img/1.png", "img/2.png"]);
        assert!(error().contains("list_eval_partition.txt") && error().contains("none beside it"), "{}", error());
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        for (text, word) in [
            ("1.png 0\n", "img/2.png"),
            ("1.png 0\n2.png 3\n", "3 of img/2.png"),
            ("1.png 0\n1.png 1\n", "two of 1.png"),
        ] {
            write("list_eval_partition.txt", text);
            assert!(error().contains("list_eval_partition.txt") && error().contains(word), "{}", error());
        }
        write("list_eval_partition.txt", "1.png 0\n2.png 1\n3.png 2\n");
        write("list_attr_celeba.txt", "2\nBald Smiling\n1.png 1 1\n2.png 1\n");
        assert!(error().contains("2 attributes, 1 or -1, of img/2.png, found 1"), "{}", error());
        write("list_attr_celeba.txt", "2\nBald Smiling\n1.png 1 1\n");
        assert!(error().contains("the attributes of every image, found none of img/2.png"), "{}", error());
        images(folder.path(), &["wild/1.jpg"]);
        assert!(error().contains("wild/1.jpg and img/1.png"), "{}", error());
    }
}
