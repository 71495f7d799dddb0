//! Arrays of images in an `.npz` file: samples as ADM and EDM write them (`arr_0`, with classes in `arr_1`), datasets as Keras and MedMNIST
//! write them (`x_train`, `y_train`; `train_images`, `train_labels`). Images are u8, channels last or first, or grey without that axis.
//!
//! ```
//! use obverse::data::samples::{Samples, holds_images};
//! use std::io::Write;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("samples.npz");
//! let array = folder.path().join("a.npy");
//! // An image of one row of two pixels, red and blue.
//! obverse::store::npy::write(&array, &[1, 1, 2, 3], &[255u8, 0, 0, 0, 0, 255])?;
//! let mut zip = zip::ZipWriter::new(std::fs::File::create(&path)?);
//! zip.start_file("arr_0.npy", zip::write::SimpleFileOptions::default())?;
//! zip.write_all(&std::fs::read(&array)?)?;
//! zip.finish()?;
//! assert!(holds_images(&path)?);
//! let samples = Samples::open(&path)?.remove(0);
//! assert_eq!((samples.count(), samples.pixels(0)?), (1, vec![255, 0, 0, 0, 0, 255]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use super::{Error, Example, Part, Result, Shape, Source};
use crate::store::npy::{Dtype, Reader};
use crate::store::npz;

/// The words for parts in the names of arrays, and the parts.
const PARTS: [(&str, &str); 5] = [
    ("train", "train"),
    ("test", "test"),
    ("validation", "validation"),
    ("valid", "validation"),
    ("val", "validation"),
];

/// The names of an array of a part's images and of its labels, with `#` for the part.
const NAMES: [(&str, &str); 4] = [("x_#", "y_#"), ("X_#", "y_#"), ("#_images", "#_labels"), ("images_#", "labels_#")];

/// The names of an array of images without parts, and of its labels.
const WHOLE: [(&str, &str); 6] =
    [("arr_0", "arr_1"), ("images", "labels"), ("samples", "labels"), ("x", "y"), ("X", "y"), ("data", "labels")];

/// The mean of features: a file that has it is one of statistics, whatever else it holds.
const STATISTICS: &str = "mu";

/// An array of images in an `.npz` file. Memory does not grow with their number.
#[derive(Debug)]
pub struct Samples {
    part: &'static str,
    reader: Reader,
    shape: Shape,
    /// Whether the channels are the last axis.
    interleaved: bool,
    labels: Option<Vec<i64>>,
    /// The names of the arrays.
    arrays: Vec<String>,
}

/// Whether a file holds images, and not statistics of features.
///
/// # Errors
/// A file that is no zip of arrays.
pub fn holds_images(path: &Path) -> Result<bool> {
    let names = npz::names(path)?;
    Ok(!names.iter().any(|name| name == STATISTICS) && !pairs(&names).is_empty())
}

/// The part, the images and the labels, for the images that are there. Where there are parts, an array without one is none.
fn pairs(names: &[String]) -> Vec<(&'static str, String, String)> {
    let mut found: Vec<(&'static str, String, String)> = Vec::new();
    for (word, part) in PARTS {
        let filled = NAMES.map(|(images, labels)| (images.replace('#', word), labels.replace('#', word)));
        if let Some((images, labels)) = filled.into_iter().find(|(images, _)| names.contains(images)) {
            found.push((part, images, labels));
        }
    }
    if found.is_empty() {
        let whole = WHOLE.iter().find(|(images, _)| names.iter().any(|name| name == images));
        found.extend(whole.map(|(images, labels)| ("train", images.to_string(), labels.to_string())));
    }
    found
}

impl Samples {
    /// The arrays of images of a file, by part.
    ///
    /// # Errors
    /// A file that is no zip of arrays, has none under a known name, or whose images are not u8 of 1 or 3 channels; labels that are not
    /// whole numbers, one for each image.
    pub fn open(path: &Path) -> Result<Vec<Self>> {
        let (file, names) = (path.display().to_string(), npz::names(path)?);
        let pairs = pairs(&names);
        if pairs.is_empty() {
            let expected = "an array of images: arr_0, images, samples, x_train, train_images";
            return Err(Error::malformed(&file, expected, names.join(", "), "name the array so"));
        }
        let open = |(part, images, labels): (&'static str, String, String)| {
            let reader = Reader::of_member(path, &images)?;
            let place = format!("{file}: {images}");
            let (shape, interleaved) = layout(&place, reader.row_shape())?;
            if reader.dtype() != Dtype::U8 {
                let advice = "save them as 8-bit images: round, clip to 0..255 and use astype('uint8')";
                return Err(Error::malformed(&place, "u8 0..255", reader.dtype(), advice));
            }
            let labels = if names.contains(&labels) { Some(labels) } else { None };
            let of = |name: &String| read_labels(path, name, reader.rows());
            let classes = labels.as_ref().map(of).transpose()?;
            let arrays = [images].into_iter().chain(labels).collect();
            Ok(Self { part, reader, shape, interleaved, labels: classes, arrays })
        };
        pairs.into_iter().map(open).collect()
    }

    /// The number of images.
    pub fn count(&self) -> usize {
        self.reader.rows()
    }

    /// The shape of each.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The name of the array of images.
    pub fn array(&self) -> &str {
        self.arrays.first().map_or("", String::as_str)
    }

    /// An image's values 0..255, channels first.
    ///
    /// # Errors
    /// A row that is not there, a file that fails.
    pub fn pixels(&self, row: usize) -> Result<Vec<u8>> {
        let pixels = self.reader.read_row_range_at::<u8>(row, 1)?;
        if pixels.len() != self.shape.len() {
            let file = self.reader.path().display().to_string();
            return Err(Error::damaged(&file, format!("rows below {}", self.count()), format!("row {row}")));
        }
        if !self.interleaved {
            return Ok(pixels);
        }
        let plane = |channel: usize| pixels.iter().skip(channel).step_by(self.shape.channels).copied();
        Ok((0..self.shape.channels).flat_map(plane).collect())
    }

    /// The part as a stream.
    fn into_part(self) -> Part {
        let (part, shape, count) = (self.part, self.shape, self.count());
        let example = move |row: usize| {
            let label = self.labels.as_ref().and_then(|labels| labels.get(row).copied());
            Ok(Example { pixels: self.pixels(row)?, label })
        };
        Part::new(part, shape, Some(count), Box::new((0..count).map(example)))
    }
}

/// The shape of an image, and whether its channels come last. Images of 3 rows and 3 columns and the like have them last, as NumPy's users
/// do.
fn layout(file: &str, row: &[usize]) -> Result<(Shape, bool)> {
    match *row {
        [height, width] => Ok((Shape::checked(file, 1, height, width)?, false)),
        [height, width, channels @ (1 | 3)] => Ok((Shape::checked(file, channels, height, width)?, true)),
        [channels @ (1 | 3), height, width] => Ok((Shape::checked(file, channels, height, width)?, false)),
        _ => {
            let expected = "images (N, H, W), (N, H, W, C) or (N, C, H, W) of 1 or 3 channels";
            Err(Error::malformed(file, expected, format!("rows of shape {row:?}"), "reshape the array"))
        }
    }
}

fn read_labels(path: &Path, name: &str, count: usize) -> Result<Vec<i64>> {
    let reader = Reader::of_member(path, name)?;
    let file = format!("{}: {name}", path.display());
    if reader.rows() != count || !matches!(reader.row_shape(), [] | [1]) {
        let expected = format!("{count} labels, (N) or (N, 1)");
        return Err(Error::malformed(&file, expected, format!("shape {:?}", reader.shape()), "reshape the array"));
    }
    Ok(reader.read_row_range_as_integer_at(0, count)?)
}

/// The parts of the single file `source`. Arrays that are not read are counted as left out.
///
/// # Errors
/// A folder or another archive; those of [`Samples::open`].
pub fn open(source: &mut Source) -> Result<Vec<Part>> {
    let path = source.path().to_path_buf();
    if !source.is_single() {
        let file = path.display().to_string();
        return Err(Error::malformed(&file, "an .npz file", "a folder", "name the file"));
    }
    let samples = Samples::open(&path)?;
    let read: Vec<&String> = samples.iter().flat_map(|samples| &samples.arrays).collect();
    for name in npz::names(&path)?.iter().filter(|name| !read.contains(name)) {
        source.leave_out(&format!("array {name}"), 1);
    }
    Ok(samples.into_iter().map(Samples::into_part).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::data::import::Format;
    use crate::store::npy;

    /// An `.npz` of these members, each compressed or stored.
    fn npz_of(path: &Path, method: zip::CompressionMethod, members: &[(&str, Vec<u8>)]) {
        let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        for (name, bytes) in members {
            zip.start_file(format!("{name}.npy"), options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    fn array<T: npy::Scalar>(shape: &[usize], values: &[T]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        npy::write(&path, shape, values).unwrap();
        std::fs::read(&path).unwrap()
    }

    type Found = Vec<(String, Shape, Vec<(Vec<u8>, Option<i64>)>)>;

    fn read(path: &Path) -> Result<Found> {
        let import = Format::Npz.open(Format::Npz.source(path)?, crate::data::folder::Options::default())?;
        let part = |part: Part| {
            let examples = part.images.examples.map(|example| example.map(|example| (example.pixels, example.label)));
            Ok((part.name, part.images.shape, examples.collect::<Result<_>>()?))
        };
        import.parts.into_iter().map(part).collect()
    }

    #[test]
    fn samples_and_datasets_are_read_in_either_layout_stored_or_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let values: Vec<u8> = (0..12).collect();
        let shape = Shape { channels: 3, height: 1, width: 2 };
        let part = |name: &str, images: [[u8; 6]; 2], labels: [Option<i64>; 2]| {
            (name.to_string(), shape, images.map(Vec::from).into_iter().zip(labels).collect::<Vec<_>>())
        };
        let upright = [[0, 3, 1, 4, 2, 5], [6, 9, 7, 10, 8, 11]];
        for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            npz_of(&path, method, &[("arr_0", array(&[2, 1, 2, 3], &values))]);
            assert_eq!(read(&path).unwrap(), [part("train", upright, [None, None])]);
            let labels = array(&[2, 1], &[4u8, 9]);
            let members = [
                ("x_test", array(&[2, 1, 2, 3], &values)),
                ("y_test", labels.clone()),
                ("x_train", array(&[2, 3, 1, 2], &values)),
                ("y_train", array(&[2], &[1i64, 0])),
            ];
            npz_of(&path, method, &members);
            let first = [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]];
            let expected = [part("train", first, [Some(1), Some(0)]), part("test", upright, [Some(4), Some(9)])];
            assert_eq!(read(&path).unwrap(), expected);
            npz_of(&path, method, &[("val_labels", labels), ("val_images", array(&[2, 1, 6], &values))]);
            let [(name, shape, images)] = &read(&path).unwrap()[..] else { panic!("one part") };
            assert_eq!((name.as_str(), shape.channels, images[1].1), ("validation", 1, Some(9)));
        }
    }

    #[test]
    fn what_is_no_array_of_images_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let stored = zip::CompressionMethod::Stored;
        let images = array(&[2, 1, 2, 3], &[0u8; 12]);
        let refused = |members: &[(&str, Vec<u8>)]| {
            npz_of(&path, stored, members);
            read(&path).unwrap_err().to_string()
        };
        let error = refused(&[("weights", images.clone())]);
        assert!(
            error.contains("a.npz: expected an array of images: arr_0") && error.contains("found weights"),
            "{error}"
        );
        let error = refused(&[("arr_0", array(&[2, 1, 2, 3], &[0f32; 12]))]);
        assert!(error.contains("a.npz: arr_0: expected u8 0..255, found f32"), "{error}");
        let error = refused(&[("arr_0", array(&[2, 2, 2, 4], &[0u8; 32]))]);
        assert!(error.contains("rows of shape [2, 2, 4]"), "{error}");
        let error = refused(&[("x_train", images.clone()), ("y_train", array(&[3], &[0i64; 3]))]);
        assert!(error.contains("a.npz: y_train: expected 2 labels"), "{error}");
        npz_of(&path, stored, &[("arr_0", images.clone()), ("mu", array(&[2], &[0.0; 2]))]);
        assert!(!holds_images(&path).unwrap());
        let mut source = Format::Npz.source(&path).unwrap();
        open(&mut source).unwrap();
        assert_eq!(source.left_out().to_string(), "1 array mu");
        // A member whose length is a lie.
        npz_of(&path, stored, &[("arr_0", images[..images.len() - 1].to_vec())]);
        assert!(read(&path).is_err());
    }
}
