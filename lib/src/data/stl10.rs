//! STL-10: `train_X.bin`, `test_X.bin`, `unlabeled_X.bin` of u8, images of 3 x 96 x 96 with each plane column-major;
//! `train_y.bin`, `test_y.bin` with labels 1 to 10. Source: Coates, Ng, Lee 2011, the dataset's page.
//!
//! ```
//! use obverse::data::stl10::{CLASSES, SHAPE, wanted};
//! assert!(wanted("stl10_binary/unlabeled_X.bin") && !wanted("fold_indices.txt"));
//! assert_eq!((CLASSES[3], SHAPE.len()), ("cat", 3 * 96 * 96));
//! ```

use super::images::{Examples, Records, from_columns, labelled, read_up_to};
use super::source::base_name;
use super::{Error, Example, Part, Result, Shape, Source};

/// The shape of every image.
pub const SHAPE: Shape = Shape { channels: 3, height: 96, width: 96 };

/// The classes in the order of their labels, from 0.
pub const CLASSES: [&str; 10] = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"];

/// More labels than any part has: the largest has 100,000 images.
const LABEL_LIMIT: usize = 1 << 24;

/// True for the names that [`open`] looks for.
pub fn wanted(name: &str) -> bool {
    matches!(base_name(name), "train_X.bin" | "train_y.bin" | "test_X.bin" | "test_y.bin" | "unlabeled_X.bin")
}

/// Those of the parts `train`, `test` and `unlabeled` that exist. Labels begin at 0.
///
/// # Errors
/// No such files, or files that break the format.
pub fn open(source: Source) -> Result<Vec<Part>> {
    if source.is_single() {
        let name = source.find(|_| true).unwrap_or_default();
        let part = ["test", "unlabeled"].into_iter().find(|part| name.starts_with(part)).unwrap_or("train");
        return Ok(vec![open_part(&source, &name, part)?]);
    }
    let mut parts = Vec::new();
    for part in ["train", "test", "unlabeled"] {
        if let Some(name) = source.find(|name| name == format!("{part}_X.bin")) {
            parts.push(open_part(&source, &name, part)?);
        }
    }
    source.require_parts(parts, "train_X.bin", "no such file")
}

fn open_part(source: &Source, name: &str, part: &str) -> Result<Part> {
    let file = source.describe(name);
    let images = Records::new(&file, source.stream(name)?, SHAPE.len());
    let images = images.map(|columns| Ok(from_columns(SHAPE, &columns?)));
    let labels = labels_name(base_name(name));
    let labels = source.find(|other| other == labels && other != base_name(name));
    let examples: Examples = match (labels, part) {
        (Some(name), "train" | "test") => {
            let file = source.describe(&name);
            let bytes = read_up_to(&file, &mut source.stream(&name)?, LABEL_LIMIT)?;
            let labels = bytes.into_iter().map(|label| class(&file, label)).collect::<Result<Vec<_>>>()?;
            Box::new(labelled(images, file, labels))
        }
        _ => Box::new(images.map(|pixels| Ok(Example { pixels: pixels?, label: None }))),
    };
    Ok(Part::new(part, SHAPE, None, examples))
}

/// The usual name of the labels of a file of images.
pub(crate) fn labels_name(images: &str) -> String {
    images.replace("_X", "_y")
}

fn class(file: &str, label: u8) -> Result<i64> {
    match label {
        1..=10 => Ok(i64::from(label) - 1),
        _ => Err(Error::damaged(file, "labels 1 to 10", label)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::Format;
    use crate::data::mirror::mirror;
    use crate::store::npy;

    #[test]
    #[ignore = "it takes OBVERSE_MIRROR"]
    fn the_sample_is_cifar_enlarged_three_times() {
        let (folder, truth) = (mirror("formats"), mirror("cifar10"));
        let images = npy::read::<u8>(&truth.join("train-first-4000-lossless-images.npy")).unwrap();
        let source = Format::Stl10.source(&folder.join("stl10_sample_X.bin")).unwrap();
        let part = open(source).unwrap().remove(0);
        let examples: Vec<_> = part.images.examples.map(Result::unwrap).collect();
        assert_eq!(examples.len(), 40);
        for (index, example) in examples.iter().enumerate() {
            assert!((0..10).contains(&example.label.unwrap()));
            for (place, &value) in example.pixels.iter().enumerate() {
                let (channel, y, x) = (place / 9216, place / 96 % 96, place % 96);
                assert_eq!(value, images[[index, channel, y / 3, x / 3]], "image {index} at {channel}, {y}, {x}");
            }
        }
    }

    #[test]
    fn more_labels_than_images_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train_X.bin"), vec![0; SHAPE.len()]).unwrap();
        std::fs::write(folder.path().join("train_y.bin"), [1, 2]).unwrap();
        let part = open(Source::open(folder.path(), wanted).unwrap()).unwrap().remove(0);
        let error = part.images.examples.last().unwrap().unwrap_err().to_string();
        assert!(error.contains("train_y.bin") && error.contains("an image for every label"), "{error}");
    }
}
