//! idx, the format of MNIST and its kin: two zero bytes, the type (8 for u8, 12 for i32), the rank, the dimensions as big-endian
//! u32, then the values in C order, gzipped or not. Images (N, H, W) of u8, labels (N). Source: Y. LeCun's MNIST page.
//!
//! EMNIST's images are transposed (see [`super::emnist`]); QMNIST's labels are i32, (N, 8), the class first (Yadav & Bottou 2019).
//!
//! ```
//! use obverse::data::idx::Reader;
//! // Type u8, rank 3: one image of 2 x 3.
//! let file = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], &[1, 2, 3, 4, 5, 6]].concat();
//! let mut reader = Reader::new("images", file.as_slice())?;
//! assert_eq!((reader.rows(), reader.row()), (1, &[2, 3][..]));
//! assert_eq!(reader.next().unwrap()?, [1, 2, 3, 4, 5, 6]);
//! # Ok::<(), obverse::data::Error>(())
//! ```

use std::io::Read;

use super::emnist::{Split, transposed};
use super::images::{Examples, read_exactly, read_up_to};
use super::source::base_name;
use super::{Error, Example, Part, Result, Shape, Source};

/// The types that MNIST and its kin use, by their byte, and the bytes of an element: u8, and i32 for QMNIST's labels.
const TYPES: [(u8, usize); 2] = [(8, 1), (12, 4)];

/// Rows of an idx file, one at a time, as their bytes.
pub struct Reader<R> {
    file: String,
    stream: R,
    count: usize,
    row: Vec<usize>,
    /// Bytes of an element.
    size: usize,
    read: usize,
    failed: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header of `stream`; `file` is its name in messages.
    ///
    /// # Errors
    /// A header that is not that of an idx file of u8 or i32, or whose rows exceed 64 MiB.
    pub fn new(file: &str, mut stream: R) -> Result<Self> {
        let magic = read_exactly(file, &mut stream, 4, "idx header")?;
        let kind = TYPES.iter().find(|(kind, _)| magic[..3] == [0, 0, *kind]).filter(|_| magic[3] > 0);
        let Some(&(_, size)) = kind else {
            let (expected, found) = ("an idx file of u8 or i32 (00 00 08 … or 00 00 0c …)", format!("{magic:02x?}"));
            return Err(Error::malformed(file, expected, found, "check `format` and the file"));
        };
        let bytes = read_exactly(file, &mut stream, 4 * magic[3] as usize, "idx header")?;
        let dimensions: Vec<usize> = bytes.chunks_exact(4).map(big_endian).collect();
        let (count, row) = (dimensions[0], dimensions[1..].to_vec());
        // The row's size is checked against the limit here, the count against the stream as it is read.
        Shape::checked(file, 1, 1, row.iter().try_fold(size, |a: usize, &b| a.checked_mul(b)).unwrap_or(0))?;
        Ok(Self { file: file.to_string(), stream, count, row, size, read: 0, failed: false })
    }

    /// The number of rows that the header claims.
    pub fn rows(&self) -> usize {
        self.count
    }

    /// The dimensions of one row: [H, W] for images, empty for labels.
    pub fn row(&self) -> &[usize] {
        &self.row
    }

    fn next_row(&mut self) -> Result<Option<Vec<u8>>> {
        if self.read == self.count {
            let rest = read_up_to(&self.file, &mut self.stream, 1)?;
            let expected = format!("the {} rows of its header", self.count);
            return if rest.is_empty() { Ok(None) } else { Err(Error::damaged(&self.file, expected, "more bytes")) };
        }
        let length = self.row.iter().product::<usize>() * self.size;
        let bytes = read_up_to(&self.file, &mut self.stream, length)?;
        if bytes.len() < length {
            let expected = format!("the {} rows of its header", self.count);
            return Err(Error::damaged(&self.file, expected, format!("{} rows", self.read)));
        }
        self.read += 1;
        Ok(Some(bytes))
    }
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |value, &byte| value << 8 | byte as usize)
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.next_row().transpose();
        self.failed = matches!(row, None | Some(Err(_)));
        row
    }
}

/// The parts `train` and `test` of the idx files under their usual names: `train-images-idx3-ubyte`,
/// `t10k-images-idx3-ubyte`, and `labels` with `idx1` in their place. Names may have something before them, as EMNIST's have.
///
/// # Errors
/// No such files, several of one part, or files that break the format.
pub fn open(source: Source) -> Result<Vec<Part>> {
    if source.is_single() {
        let name = source.find(|name| !name.contains("labels")).or_else(|| source.find(|_| true)).unwrap_or_default();
        let part = if is_part(&name, "test") { "test" } else { "train" };
        return Ok(vec![open_part(&source, part, &name)?]);
    }
    let mut parts = Vec::new();
    for part in ["train", "test"] {
        let wanted = |name: &&str| is_images(base_name(name)) && is_part(base_name(name), part);
        let names: Vec<&str> = source.names().filter(wanted).collect();
        if let Some(other) = names.iter().find(|other| unpacked(other) != unpacked(names[0])) {
            let file = source.path().display().to_string();
            let found = format!("{} and {other}", names[0]);
            let advice =
                "choose with `split` (EMNIST's: byclass, bymerge, balanced, letters, digits, mnist), or name a file";
            return Err(Error::malformed(&file, format!("one file of images of the part {part}"), found, advice));
        }
        if let Some(name) = names.first() {
            parts.push(open_part(&source, part, name)?);
        }
    }
    if parts.is_empty() {
        let file = source.path().display().to_string();
        let expected = "train-images-idx3-ubyte or t10k-images-idx3-ubyte (.gz)";
        return Err(Error::malformed(&file, expected, "neither", "name the folder or archive that holds them"));
    }
    Ok(parts)
}

/// The name of a file without its folders and without `.gz`.
fn unpacked(name: &str) -> &str {
    base_name(name).trim_end_matches(".gz")
}

/// True for the names that [`open`] looks for.
pub fn wanted(name: &str) -> bool {
    base_name(name).contains("idx")
}

fn is_images(name: &str) -> bool {
    name.contains("images") && name.contains("idx")
}

fn is_part(name: &str, part: &str) -> bool {
    match part {
        "train" => name.contains("train"),
        _ => name.contains("t10k") || name.contains("test"),
    }
}

/// The usual names of the labels of a file of images.
pub(crate) fn labels_names(images: &str) -> [String; 2] {
    let labels = images.replace("images", "labels");
    [labels.replace("idx3", "idx1"), labels.replace("idx3-ubyte", "idx2-int")]
}

fn open_part(source: &Source, part: &str, name: &str) -> Result<Part> {
    let file = source.describe(name);
    let images = Reader::new(&file, source.stream(name)?)?;
    let (&[height, width], 1) = (images.row(), images.size) else {
        let found = format!("{} dimensions, {} bytes an element", images.row().len() + 1, images.size);
        return Err(Error::malformed(&file, "images of 3 dimensions, of u8", found, "name the file of images"));
    };
    let shape = Shape::checked(&file, 1, height, width)?;
    let count = images.rows();
    let labels = labels_names(unpacked(name));
    let examples: Examples = match source.find(|other| labels.iter().any(|labels| labels == unpacked(other))) {
        Some(labels) => labelled(images, &source.describe(&labels), source.stream(&labels)?)?,
        None => Box::new(images.map(|pixels| Ok(Example { pixels: pixels?, label: None }))),
    };
    Ok(match Split::of(name) {
        None => Part::new(part, shape, Some(count), examples),
        Some(split) => {
            let upright = Shape { height: width, width: height, ..shape };
            Part::new(part, upright, Some(count), as_emnist(file, shape, split, examples))
        }
    })
}

/// Images that are transposed in their file, and labels that may begin at 1.
fn as_emnist(file: String, shape: Shape, split: Split, examples: Examples) -> Examples {
    let first = split.first_label();
    Box::new(examples.map(move |example| {
        let Example { pixels, label } = example?;
        if let Some(label) = label.filter(|&label| label < first) {
            return Err(Error::damaged(&file, format!("labels from {first} beside it"), label));
        }
        Ok(Example { pixels: transposed(shape, &pixels), label: label.map(|label| label - first) })
    }))
}

fn labelled<R: Read + Send + 'static>(
    images: Reader<R>,
    file: &str,
    stream: impl Read + Send + 'static,
) -> Result<Examples> {
    let labels = Reader::new(file, stream)?;
    // The class alone, or the class and where the digit comes from.
    if labels.row().len() > 1 || labels.rows() != images.rows() {
        let found = format!("{} rows of {} dimensions", labels.rows(), labels.row().len());
        return Err(Error::damaged(file, format!("{} labels", images.rows()), found));
    }
    let size = labels.size;
    let label = move |row: &[u8]| {
        // i32, big endian; a byte has no sign.
        let bytes = row.get(..size).unwrap_or_default();
        let bits = bytes.iter().fold(0u32, |value, &byte| value << 8 | u32::from(byte));
        if size == 1 { i64::from(bits) } else { i64::from(bits as i32) }
    };
    Ok(Box::new(
        images.zip(labels).map(move |(pixels, row)| Ok(Example { pixels: pixels?, label: Some(label(&row?)) })),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::import::Format;
    use crate::data::mirror::mirror;

    const TWO_BY_THREE: [u8; 16] = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];

    #[test]
    fn a_row_is_the_bytes_after_the_header() {
        let bytes = [&TWO_BY_THREE[..], &[1, 2, 3, 4, 5, 6]].concat();
        let rows: Vec<_> = Reader::new("x", bytes.as_slice()).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows, [[1, 2, 3, 4, 5, 6]]);
    }

    #[test]
    fn a_header_that_claims_more_or_less_than_the_file_is_an_error() {
        for rest in [5, 7] {
            let bytes = [&TWO_BY_THREE[..], &vec![0; rest]].concat();
            let error = Reader::new("x", bytes.as_slice()).unwrap().find_map(Result::err).unwrap();
            assert!(error.to_string().starts_with("x: expected the 1 rows"), "{error}");
        }
        let huge = [0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(Reader::new("x", huge.as_slice()).is_err());
    }

    #[test]
    fn labels_of_qmnist_are_the_first_of_their_row() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        let images = [&TWO_BY_THREE[..4], &[0, 0, 0, 2], &TWO_BY_THREE[8..], &[7; 12]].concat();
        write("qmnist-test-images-idx3-ubyte", &images);
        let labels = [&[0, 0, 12, 2, 0, 0, 0, 2, 0, 0, 0, 2][..], &[0, 0, 0, 7, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0, 9]];
        write("qmnist-test-labels-idx2-int", &labels.concat());
        for path in [folder.path(), &folder.path().join("qmnist-test-images-idx3-ubyte")] {
            let part = open(Format::Idx.source(path).unwrap()).unwrap().remove(0);
            assert_eq!(part.name, "test");
            let labels: Vec<_> = part.images.examples.map(|example| example.unwrap().label.unwrap()).collect();
            assert_eq!(labels, [7, 2]);
        }
        // A file and the same packed are one.
        write("qmnist-test-images-idx3-ubyte.gz", &images);
        assert_eq!(open(Format::Idx.source(folder.path()).unwrap()).unwrap().len(), 1);
    }

    #[test]
    #[ignore = "it takes OBVERSE_MIRROR"]
    fn the_real_mnist_has_its_counts_and_labels() {
        let folder = mirror("mnist");
        let parts = open(Source::open(&folder, wanted).unwrap()).unwrap();
        let counts = parts.into_iter().map(|part| {
            assert_eq!(part.images.shape, Shape { channels: 1, height: 28, width: 28 });
            let mut labels = [0; 10];
            part.images.examples.for_each(|example| labels[example.unwrap().label.unwrap() as usize] += 1);
            (part.name, labels)
        });
        // The counts of each digit that the literature gives for MNIST.
        let train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949];
        let test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009];
        assert_eq!(counts.collect::<Vec<_>>(), [("train".to_string(), train), ("test".to_string(), test)]);
    }

    #[test]
    #[ignore = "it takes OBVERSE_MIRROR"]
    fn one_file_of_images_finds_its_labels_beside_it() {
        let folder = mirror("mnist");
        let parts = open(Format::Idx.source(&folder.join("t10k-images-idx3-ubyte.gz")).unwrap()).unwrap();
        let mut parts = parts.into_iter();
        let mut part = parts.next().unwrap();
        assert_eq!((part.name.as_str(), parts.count()), ("test", 0));
        assert_eq!(part.images.examples.next().unwrap().unwrap().label, Some(7));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), real in any::<bool>()) {
            let bytes = if real { [&TWO_BY_THREE[..], &bytes].concat() } else { bytes };
            if let Ok(reader) = Reader::new("x", bytes.as_slice()) {
                prop_assert!(reader.take_while(Result::is_ok).flatten().map(|row| row.len()).sum::<usize>() <= bytes.len());
            }
        }
    }
}
