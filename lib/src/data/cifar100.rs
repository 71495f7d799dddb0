//! CIFAR-100. Binary version: records of a coarse label, a fine label and 3 x 32 x 32 bytes, `train.bin` and `test.bin`. Python version: a
//! pickled dictionary, `train` and `test`. The fine labels are kept. Source: A. Krizhevsky's page.
//!
//! ```
//! use obverse::data::{Source, cifar100};
//! let folder = tempfile::tempdir()?;
//! // An apple among fruit and vegetables, all black.
//! std::fs::write(folder.path().join("test.bin"), [vec![4, 0], vec![0; 3072]].concat())?;
//! let mut part = cifar100::open(Source::open(folder.path(), cifar100::wanted)?)?.remove(0);
//! let label = part.images.examples.next().unwrap()?.label;
//! assert_eq!((part.name.as_str(), label.map(|label| cifar100::CLASSES[label as usize])), ("test", Some("apple")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::Read;

use super::cifar::{SHAPE, label, read_pickle};
use super::images::{Examples, Records};
use super::source::base_name;
use super::{Example, Part, Result, Source};

/// The labels before the pixels of a record.
const LABELS: usize = 2;

/// The classes in the order of their fine labels.
#[rustfmt::skip]
pub const CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

/// The parts, each by the name of its file.
const PARTS: [&str; 2] = ["train", "test"];

/// True for the names that [`open`] looks for.
pub fn wanted(name: &str) -> bool {
    PARTS.contains(&base_name(name).trim_end_matches(".bin"))
}

/// The parts `train` and `test`, as many as are there, from the binary version if it exists, otherwise the Python one.
///
/// # Errors
/// No such files, or files that break the format.
pub fn open(source: Source) -> Result<Vec<Part>> {
    if source.is_single() {
        let name = source.find(|_| true).unwrap_or_default();
        let part = if name.starts_with("test") { "test" } else { "train" };
        return Ok(vec![open_part(&source, part, &name)?]);
    }
    let mut parts = Vec::new();
    for part in PARTS {
        let found = source.find(|name| name == format!("{part}.bin")).or_else(|| source.find(|name| name == part));
        if let Some(name) = found {
            parts.push(open_part(&source, part, &name)?);
        }
    }
    source.require_parts(parts, "train.bin or test.bin, or train or test", "neither")
}

fn open_part(source: &Source, part: &str, name: &str) -> Result<Part> {
    let (file, mut stream) = (source.describe(name), source.stream(name)?);
    let examples: Examples = match name.ends_with(".bin") {
        true => Box::new(examples(file, stream)),
        false => Box::new(read_pickle(&file, &mut stream, "fine_labels", CLASSES.len())?.into_iter().map(Ok)),
    };
    Ok(Part::new(part, SHAPE, None, examples))
}

fn examples(file: String, stream: impl Read) -> impl Iterator<Item = Result<Example>> {
    Records::new(&file.clone(), stream, LABELS + SHAPE.len()).map(move |record| {
        let mut record = record?;
        let pixels = record.split_off(LABELS);
        let fine = i64::from(record.last().copied().unwrap_or_default());
        Ok(Example { pixels, label: Some(label(&file, fine, CLASSES.len())?) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file of these bytes gives: the labels, or the error that ends it.
    fn labels(name: &str, bytes: &[u8]) -> std::result::Result<Vec<Option<i64>>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let part = open(Source::open(folder.path(), wanted).unwrap()).map_err(|error| error.to_string())?.remove(0);
        assert_eq!(part.name, name.trim_end_matches(".bin"));
        part.images.examples.map(|example| Ok(example.map_err(|error| error.to_string())?.label)).collect()
    }

    fn record(fine: u8) -> Vec<u8> {
        [vec![7, fine], vec![fine; SHAPE.len()]].concat()
    }

    #[test]
    fn the_fine_label_is_kept() {
        assert_eq!(labels("train.bin", &[record(0), record(99)].concat()), Ok(vec![Some(0), Some(99)]));
        // As Python 2 wrote it: an array of one image, its coarse label 19 and its fine label 42.
        let before = b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR\
                       (K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR\x89T\x00\x0c\x00\x00";
        let pickle = [&before[..], &[50; 3072], b"tbU\rcoarse_labels]K\x13aU\x0bfine_labels]K\x2aau."].concat();
        assert_eq!(labels("test", &pickle), Ok(vec![Some(42)]));
    }

    #[test]
    fn labels_beyond_the_classes_and_records_cut_short_are_errors_that_name_the_file() {
        for bytes in [record(100), record(1)[..SHAPE.len()].to_vec()] {
            let error = labels("train.bin", &bytes).unwrap_err();
            assert!(error.contains("train.bin: expected"), "{error}");
        }
        assert_eq!((CLASSES[0], CLASSES[90], CLASSES[99]), ("apple", "train", "worm"));
    }
}
