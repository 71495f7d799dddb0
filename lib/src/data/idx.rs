//! idx, the format of MNIST and its kin: two zero bytes, the type (8 for u8), the rank, the dimensions as big-endian
//! u32, then the values in C order, gzipped or not. Images (N, H, W), labels (N). Source: Y. LeCun's MNIST page.
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

use super::images::{Examples, read_exactly, read_up_to};
use super::source::base_name;
use super::{Error, Example, Part, Result, Shape, Source};

/// The type byte of u8, the only type MNIST and its kin use.
const TYPE_U8: u8 = 8;

/// Rows of an idx file of u8, one at a time.
pub struct Reader<R> {
    file: String,
    stream: R,
    count: usize,
    row: Vec<usize>,
    read: usize,
    failed: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header of `stream`; `file` is its name in messages.
    ///
    /// # Errors
    /// A header that is not that of an idx file of u8, or whose rows exceed 64 MiB.
    pub fn new(file: &str, mut stream: R) -> Result<Self> {
        let magic = read_exactly(file, &mut stream, 4, "idx header")?;
        if magic[..3] != [0, 0, TYPE_U8] || magic[3] == 0 {
            let found = format!("{magic:02x?}");
            return Err(Error::malformed(file, "an idx file of u8 (00 00 08 …)", found, "check `format` and the file"));
        }
        let bytes = read_exactly(file, &mut stream, 4 * magic[3] as usize, "idx header")?;
        let dimensions: Vec<usize> = bytes.chunks_exact(4).map(big_endian).collect();
        let (count, row) = (dimensions[0], dimensions[1..].to_vec());
        // The row's size is checked against the limit here, the count against the stream as it is read.
        Shape::checked(file, 1, 1, row.iter().try_fold(1, |a: usize, &b| a.checked_mul(b)).unwrap_or(0))?;
        Ok(Self { file: file.to_string(), stream, count, row, read: 0, failed: false })
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
        let length = self.row.iter().product();
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
/// `t10k-images-idx3-ubyte`, and `labels` with `idx1` in their place.
///
/// # Errors
/// No such files, or files that break the format.
pub fn open(source: Source) -> Result<Vec<Part>> {
    if source.is_single() {
        let name = source.find(|_| true).unwrap_or_default();
        let part = if is_part(&name, "test") { "test" } else { "train" };
        return Ok(vec![open_part(&source, part, &name)?]);
    }
    let mut parts = Vec::new();
    for part in ["train", "test"] {
        if let Some(name) = source.find(|name| is_images(name) && is_part(name, part)) {
            parts.push(open_part(&source, part, &name)?);
        }
    }
    if parts.is_empty() {
        let file = source.path().display().to_string();
        let expected = "train-images-idx3-ubyte or t10k-images-idx3-ubyte (.gz)";
        return Err(Error::malformed(&file, expected, "neither", "name the folder or archive that holds them"));
    }
    Ok(parts)
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

/// The usual name of the labels of a file of images.
pub(crate) fn labels_name(images: &str) -> String {
    images.replace("images", "labels").replace("idx3", "idx1")
}

fn open_part(source: &Source, part: &str, name: &str) -> Result<Part> {
    let file = source.describe(name);
    let images = Reader::new(&file, source.stream(name)?)?;
    let &[height, width] = images.row() else {
        let found = format!("{} dimensions", images.row().len() + 1);
        return Err(Error::malformed(&file, "images of 3 dimensions", found, "name the file of images"));
    };
    let shape = Shape::checked(&file, 1, height, width)?;
    let count = images.rows();
    let labels = labels_name(base_name(name).trim_end_matches(".gz"));
    let examples: Examples = match source.find(|other| other.trim_end_matches(".gz") == labels) {
        Some(labels) => labelled(images, &source.describe(&labels), source.stream(&labels)?)?,
        None => Box::new(images.map(|pixels| Ok(Example { pixels: pixels?, label: None }))),
    };
    Ok(Part::new(part, shape, Some(count), examples))
}

fn labelled<R: Read + Send + 'static>(
    images: Reader<R>,
    file: &str,
    stream: impl Read + Send + 'static,
) -> Result<Examples> {
    let labels = Reader::new(file, stream)?;
    if !labels.row().is_empty() || labels.rows() != images.rows() {
        let found = format!("{} rows of {} dimensions", labels.rows(), labels.row().len());
        return Err(Error::damaged(file, format!("{} labels", images.rows()), found));
    }
    Ok(Box::new(
        images.zip(labels).map(|(pixels, label)| {
            Ok(Example { pixels: pixels?, label: label?.first().map(|&label| i64::from(label)) })
        }),
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
