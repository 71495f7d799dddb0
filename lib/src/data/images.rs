//! The common form of all readers: a stream of images, u8 0..255, channels first (C, H, W), each with its i64 label.

use std::fmt;
use std::io::Read;

use super::resize::Filter;
use super::{Error, Result};

/// The most bytes one decoded image may have: 64 MiB, 4096 x 5461 in colour. Larger claims count as damage.
pub(crate) const IMAGE_LIMIT: usize = 1 << 26;

/// The shape of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Colour channels: 1 or 3 in every dataset of the suite.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

impl Shape {
    /// The number of values of one image.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// True where an image has no pixels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape, where it is not empty and an image of it stays below 64 MiB.
    pub(crate) fn checked(file: &str, channels: usize, height: usize, width: usize) -> Result<Self> {
        let length = channels.checked_mul(height).and_then(|area| area.checked_mul(width));
        if length.is_none_or(|length| length == 0 || length > IMAGE_LIMIT) {
            let found = format!("{channels} x {height} x {width}");
            return Err(Error::damaged(file, "images of 1 byte to 64 MiB", found));
        }
        Ok(Self { channels, height, width })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} x {} x {}", self.channels, self.height, self.width)
    }
}

/// One image, `pixels` of length [`Shape::len`], and its class where the dataset has classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Values 0..255, channels first.
    pub pixels: Vec<u8>,
    /// The class, from 0.
    pub label: Option<i64>,
}

/// The stream behind [`Images`].
pub type Examples = Box<dyn Iterator<Item = Result<Example>> + Send>;

/// A stream of images of one shape. What reads it stops at the first error.
pub struct Images {
    /// The shape of each.
    pub shape: Shape,
    /// The expected number, if it is known before reading; only used to show progress.
    pub count: Option<usize>,
    /// The images, in the order of their file.
    pub examples: Examples,
}

impl Images {
    /// At most the first `limit` images.
    pub fn limit(self, limit: usize) -> Self {
        let count = self.count.map(|count| count.min(limit));
        Self { shape: self.shape, count, examples: Box::new(self.examples.take(limit)) }
    }
}

/// One part of a dataset: `train`, `test`, `validation` or `unlabeled`.
pub struct Part {
    /// The part's name, which begins its files' names.
    pub name: String,
    /// Its images.
    pub images: Images,
    /// What is said of each image beside its class.
    pub attributes: Option<Attributes>,
}

/// What is said of every image of a part, such as CelebA's 40 attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// What they are called, A of them.
    pub names: Vec<String>,
    /// (N, A): 1 where an image has the attribute, else 0.
    pub rows: Vec<u8>,
}

impl Part {
    /// At most the first `limit` images.
    pub fn limit(self, limit: usize) -> Self {
        Self { images: self.images.limit(limit), ..self }
    }

    /// Every image at `size` x `size`.
    ///
    /// # Errors
    /// A size outside 1..=4096.
    pub fn resized(self, size: usize, filter: Filter) -> Result<Self> {
        Ok(Self { images: self.images.resized(size, filter)?, ..self })
    }

    /// A part from its name and images.
    pub(crate) fn new(name: &str, shape: Shape, count: Option<usize>, examples: Examples) -> Self {
        Self { name: name.to_string(), images: Images { shape, count, examples }, attributes: None }
    }
}

/// Up to `length` bytes; fewer where the stream ends. Memory grows with the bytes read, not with `length`.
pub(crate) fn read_up_to(file: &str, stream: &mut impl Read, length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes).map_err(|source| Error::read(file, source))?;
    Ok(bytes)
}

/// Exactly `length` bytes, or an error that says what they were for.
pub(crate) fn read_exactly(file: &str, stream: &mut impl Read, length: usize, purpose: &str) -> Result<Vec<u8>> {
    let bytes = read_up_to(file, stream, length)?;
    if bytes.len() < length {
        return Err(Error::damaged(file, format!("{length} bytes of {purpose}"), format!("{} bytes", bytes.len())));
    }
    Ok(bytes)
}

/// A stream cut into records of one length; a last one cut short is an error.
pub(crate) struct Records<R> {
    file: String,
    stream: R,
    length: usize,
    read: usize,
    failed: bool,
}

impl<R: Read> Records<R> {
    pub(crate) fn new(file: &str, stream: R, length: usize) -> Self {
        Self { file: file.to_string(), stream, length, read: 0, failed: false }
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = read_up_to(&self.file, &mut self.stream, self.length);
        let found = record.as_ref().map_or(0, Vec::len);
        self.failed = found < self.length;
        self.read += 1;
        match record {
            Ok(_) if found == 0 => None,
            Ok(_) if found < self.length => {
                let expected = format!("whole records of {} bytes", self.length);
                Some(Err(Error::damaged(&self.file, expected, format!("{found} bytes in record {}", self.read))))
            }
            other => Some(other),
        }
    }
}

/// Images with labels held in memory, one each: too few or too many labels are an error that names their file.
pub(crate) fn labelled(
    mut images: impl Iterator<Item = Result<Vec<u8>>>,
    file: String,
    labels: Vec<i64>,
) -> impl Iterator<Item = Result<Example>> {
    let count = labels.len();
    let mut labels = labels.into_iter();
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let example = match (images.next(), labels.next()) {
            (None, None) => None,
            (Some(Err(error)), _) => Some(Err(error)),
            (Some(Ok(pixels)), Some(label)) => Some(Ok(Example { pixels, label: Some(label) })),
            (Some(Ok(_)), None) => {
                Some(Err(Error::damaged(&file, "a label for every image", format!("{count} labels"))))
            }
            (None, Some(_)) => Some(Err(Error::damaged(&file, "an image for every label", format!("{count} labels")))),
        };
        done = !matches!(example, Some(Ok(_)));
        example
    })
}

/// Converts column-major planes (C, W, H), as MATLAB stores an image, to rows (C, H, W).
pub(crate) fn from_columns(shape: Shape, columns: &[u8]) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(columns.len());
    for plane in columns.chunks_exact(shape.height * shape.width) {
        for row in 0..shape.height {
            pixels.extend(plane.iter().skip(row).step_by(shape.height));
        }
    }
    pixels
}
