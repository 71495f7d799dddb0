//! CIFAR-10. Binary version: records of 1 label byte and 3 x 32 x 32 bytes, `data_batch_1.bin` … `test_batch.bin`.
//! Python version: a pickled dictionary, `data` a numpy array (N, 3072), `labels` a list. Source: A. Krizhevsky's page.
//!
//! ```
//! use obverse::data::{Source, cifar};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("test_batch.bin");
//! // A frog, all black.
//! std::fs::write(&path, [vec![6], vec![0; 3072]].concat())?;
//! let mut part = cifar::open(Source::open(&path, cifar::wanted)?)?.remove(0);
//! let label = part.images.examples.next().unwrap()?.label;
//! assert_eq!(label.map(|label| cifar::CLASSES[label as usize]), Some("frog"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::io::Read;

use super::images::{Examples, Records, read_up_to};
use super::source::base_name;
use super::{Error, Example, Part, Result, Shape, Source};
use crate::store::pickle::{Item, Pickle, Value};

/// The shape of every image.
pub const SHAPE: Shape = Shape { channels: 3, height: 32, width: 32 };

/// The classes in the order of their labels.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The images of each batch.
const BATCH: usize = 10_000;

/// A pickle must be held in memory. The real ones have 31 MB.
const PICKLE_LIMIT: usize = 1 << 28;

/// True for the names that [`open`] looks for.
pub fn wanted(name: &str) -> bool {
    let name = base_name(name);
    name.starts_with("data_batch_") || name.starts_with("test_batch")
}

/// The parts `train` (five batches) and `test`, from the binary version if it exists, otherwise the Python one. A
/// source that is a single file gives that batch alone.
///
/// # Errors
/// Missing batches, or files that break the format.
pub fn open(source: Source) -> Result<Vec<Part>> {
    if source.is_single() {
        let name = source.find(|_| true).unwrap_or_default();
        let part = if name.starts_with("test") { "test" } else { "train" };
        return Ok(vec![Part::new(part, SHAPE, None, batches(source, vec![name]))]);
    }
    let binary = source.find(|name| name.ends_with(".bin")).is_some();
    let suffix = if binary { ".bin" } else { "" };
    let train = (1..=5).map(|batch| find(&source, &format!("data_batch_{batch}{suffix}"))).collect::<Result<_>>()?;
    let test = vec![find(&source, &format!("test_batch{suffix}"))?];
    let source = std::sync::Arc::new(source);
    Ok(vec![
        Part::new("train", SHAPE, Some(5 * BATCH), batches(source.clone(), train)),
        Part::new("test", SHAPE, Some(BATCH), batches(source, test)),
    ])
}

fn find(source: &Source, wanted: &str) -> Result<String> {
    source.find(|name| name == wanted).ok_or_else(|| {
        let file = source.path().display().to_string();
        let advice = "name the folder or archive that holds all six batches, or one batch's file";
        Error::malformed(&file, wanted, "no such file", advice)
    })
}

/// The examples of the batches in their order; each file is opened when it is reached.
fn batches(source: impl AsRef<Source> + Send + 'static, names: Vec<String>) -> Examples {
    Box::new(names.into_iter().flat_map(move |name| {
        batch(source.as_ref(), &name).unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
    }))
}

fn batch(source: &Source, name: &str) -> Result<Examples> {
    let file = source.describe(name);
    let mut stream = source.stream(name)?;
    if name.ends_with(".bin") {
        return Ok(Box::new(binary(file, stream)));
    }
    Ok(Box::new(read_pickle(&file, &mut stream, "labels", CLASSES.len())?.into_iter().map(Ok)))
}

/// The examples of a pickled batch, whose labels lie under the key `labels` and are below `classes`.
pub(super) fn read_pickle(file: &str, stream: &mut impl Read, labels: &str, classes: usize) -> Result<Vec<Example>> {
    pickled(file, &read_up_to(file, stream, PICKLE_LIMIT)?, labels, classes)
}

fn binary(file: String, stream: impl Read) -> impl Iterator<Item = Result<Example>> {
    Records::new(&file.clone(), stream, 1 + SHAPE.len()).map(move |record| {
        let mut record = record?;
        let pixels = record.split_off(1);
        let label = label(&file, i64::from(record.first().copied().unwrap_or_default()), CLASSES.len())?;
        Ok(Example { pixels, label: Some(label) })
    })
}

pub(super) fn label(file: &str, label: i64, classes: usize) -> Result<i64> {
    match usize::try_from(label).is_ok_and(|label| label < classes) {
        true => Ok(label),
        false => Err(Error::damaged(file, format!("labels 0 to {}", classes - 1), label)),
    }
}

fn pickled(file: &str, bytes: &[u8], key: &str, classes: usize) -> Result<Vec<Example>> {
    let pickle = Pickle::parse(bytes).map_err(|error| {
        let found = format!("{} at byte {}", error.found, error.position);
        Error::malformed(
            file,
            format!("{} (a pickled CIFAR batch)", error.expected),
            found,
            "check `format` and the file",
        )
    })?;
    let missing = |key: &str| Error::malformed(file, "a CIFAR batch", format!("no usable {key:?}"), "check the file");
    let data = pickle.root().entry("data").and_then(array).ok_or_else(|| missing("data"))?;
    let labels = pickle.root().entry(key).and_then(|item| item.elements()).ok_or_else(|| missing(key))?;
    if data.len() != labels.len() * SHAPE.len() {
        return Err(Error::damaged(file, format!("{} images", labels.len()), format!("{} bytes", data.len())));
    }
    let example = |(pixels, item): (&[u8], &Item)| {
        let value = item.integer().ok_or_else(|| missing(key))?;
        Ok(Example { pixels: pixels.to_vec(), label: Some(label(file, value, classes)?) })
    };
    data.chunks_exact(SHAPE.len()).zip(&labels).map(example).collect()
}

/// The bytes of a numpy array of u8 in C order. Its state is (version, shape, dtype, Fortran order, bytes).
fn array(item: Item<'_>) -> Option<Cow<'_, [u8]>> {
    let state = item.callable().filter(|name| name.ends_with(".multiarray._reconstruct")).and(item.state())?;
    let [_, _, dtype, fortran, bytes] = state.elements()?.try_into().ok()?;
    let is_u8 = dtype.arguments().first()?.text()? == "u1";
    (is_u8 && fortran.value() == &Value::Boolean(false)).then(|| bytes.bytes()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::mirror::mirror;
    use crate::store::npy;

    /// Reads a sample and compares it with the lossless images from `first` on.
    fn agrees_with_lossless(name: &str, first: usize, count: usize) {
        let (sample, truth) = (mirror(name), mirror("cifar10"));
        let images = npy::read::<u8>(&truth.join("train-first-4000-lossless-images.npy")).unwrap();
        let labels = npy::read::<i64>(&truth.join("train-first-4000-lossless-labels.npy")).unwrap();
        let parts = open(Source::open(&sample, wanted).unwrap()).unwrap();
        let examples: Vec<Example> =
            parts.into_iter().flat_map(|part| part.images.examples).map(Result::unwrap).collect();
        assert_eq!(examples.len(), count);
        for (index, example) in examples.iter().enumerate() {
            let row = images.index_axis(ndarray::Axis(0), first + index);
            assert!(row.iter().eq(&example.pixels), "image {index}");
            assert_eq!(example.label, Some(labels[[first + index]]));
        }
    }

    #[test]
    #[ignore = "it takes OBVERSE_MIRROR"]
    fn the_binary_version_is_read_to_the_byte() {
        agrees_with_lossless("formats/data_batch_1.bin", 0, 600);
    }

    #[test]
    #[ignore = "it takes OBVERSE_MIRROR"]
    fn the_python_version_is_read_to_the_byte() {
        agrees_with_lossless("formats/data_batch_1", 600, 300);
    }

    #[test]
    fn a_folder_without_all_batches_is_refused_by_the_missing_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data_batch_1.bin"), [0; 3073]).unwrap();
        let error = open(Source::open(folder.path(), wanted).unwrap()).err().unwrap().to_string();
        assert!(error.contains("data_batch_2.bin"), "{error}");
    }

    #[test]
    fn a_record_cut_short_or_a_wrong_label_is_an_error() {
        let read = |bytes: &[u8]| binary("x".into(), bytes).collect::<Result<Vec<_>>>();
        assert_eq!(read(&[3; 3073]).unwrap()[0].label, Some(3));
        assert!(read(&[3; 3072]).unwrap_err().to_string().contains("whole records of 3073 bytes"));
        assert!(read(&[10; 3073]).unwrap_err().to_string().contains("labels 0 to 9"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_python_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = pickled("x", &bytes, "labels", 10);
        }
    }
}
