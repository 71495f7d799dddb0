//! A dataset on disk: `<part>-images.npy` (u8, NCHW), `<part>-labels.npy` (i64, N) and `<part>-attributes.npy` (u8, N x A, 0 or 1) where the
//! part has them, and `dataset.json`, which says what they are and where they came from.
//!
//! ```
//! use obverse::data::{output::{Description, write}, shapes};
//! let folder = tempfile::tempdir()?;
//! write(folder.path(), Description::new("shapes"), shapes::parts(600, 16, 0)?, &mut |_, _| ())?;
//! let part = &Description::read(folder.path())?.parts[0];
//! let (images, labels) = part.open(folder.path())?;
//! assert_eq!((images.count(), labels.map(|labels| labels.count())), (480, Some(480)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::batches::{ImageFile, LabelFile};
use super::{Attributes, Error, Example, Images, LeftOut, Part, Result, Shape};
use crate::store::npy::{Dtype, Reader, Writer};
use crate::store::{self, atomic};

/// The version of `dataset.json`.
pub const FORMAT: &str = "obverse-dataset/1";
/// The name of the description in a dataset's folder.
pub const DESCRIPTION: &str = "dataset.json";

/// What `dataset.json` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// [`FORMAT`].
    pub format: String,
    /// The dataset's name, such as "mnist".
    pub name: String,
    /// The licence its makers state.
    pub licence: Option<String>,
    /// Whom to cite.
    pub citation: Option<String>,
    /// The names of the classes in the order of their labels.
    pub classes: Option<Vec<String>>,
    /// The names of the attributes, in the order of their columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Vec<String>>,
    /// The parts, in the order they were written.
    pub parts: Vec<PartDescription>,
    /// The files the dataset was made from.
    pub sources: Vec<SourceFile>,
    /// What lay beside them and was not read.
    #[serde(default, skip_serializing_if = "LeftOut::is_empty")]
    pub left_out: LeftOut,
}

/// One part of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartDescription {
    /// `train`, `test`, `validation`, …
    pub name: String,
    /// The number of images.
    pub count: usize,
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// The file of images.
    pub images: String,
    /// The file of labels.
    pub labels: Option<String>,
    /// The file of attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<String>,
}

/// A file that a dataset was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its name, without its folder.
    pub file: String,
    /// The digest of its bytes; for a folder, the digest of all names and contents by blake3.
    pub digest: String,
    /// Where it was fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `verified` against the manifest, or `recorded` here for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<String>,
}

impl Description {
    /// A description that lacks its parts.
    pub fn new(name: &str) -> Self {
        Self { format: FORMAT.to_string(), name: name.to_string(), ..Self::default() }
    }

    /// Reads the description in `folder` and checks every file that it names.
    ///
    /// # Errors
    /// No dataset there, a description that does not parse, files that are missing or of another shape.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(DESCRIPTION);
        let file = path.display().to_string();
        let text = store::budget::read(&path)?;
        let advice = "make the dataset again with `dataset`";
        let description: Self = serde_json::from_slice(&text)
            .map_err(|error| Error::malformed(&file, "the description of a dataset", error, advice))?;
        if description.format != FORMAT {
            return Err(Error::malformed(&file, FORMAT, &description.format, advice));
        }
        for part in &description.parts {
            part.open(folder)?;
            part.check_attributes(folder, description.attributes.as_deref())?;
        }
        Ok(description)
    }
}

/// A few lines for a reader.
impl fmt::Display for Description {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.name)?;
        for part in &self.parts {
            let [channels, height, width] = part.shape;
            let labels = if part.labels.is_some() { "" } else { ", no labels" };
            writeln!(formatter, "  {}: {} images of {channels} x {height} x {width}{labels}", part.name, part.count)?;
        }
        for (what, names) in [("classes", &self.classes), ("attributes", &self.attributes)] {
            if let Some(names) = names {
                writeln!(formatter, "  {} {what}: {}", names.len(), names.join(", "))?;
            }
        }
        if !self.left_out.is_empty() {
            writeln!(formatter, "  left out: {}", self.left_out)?;
        }
        for (key, value) in [("licence", &self.licence), ("cite", &self.citation)] {
            if let Some(value) = value {
                writeln!(formatter, "  {key}: {value}")?;
            }
        }
        for source in &self.sources {
            let verification = source.verification.as_deref().map(|word| format!(" ({word})")).unwrap_or_default();
            writeln!(formatter, "  from {}: {}{verification}", source.file, source.digest)?;
        }
        Ok(())
    }
}

impl PartDescription {
    /// Opens the part's files in `folder`.
    ///
    /// # Errors
    /// Files that are missing, or of another shape or number than the description says.
    pub fn open(&self, folder: &Path) -> Result<(ImageFile, Option<LabelFile>)> {
        let images = ImageFile::open(&file_in(folder, &self.images)?)?;
        let Shape { channels, height, width } = images.shape();
        if images.count() != self.count || self.shape != [channels, height, width] {
            let expected = format!("{} images of {:?}", self.count, self.shape);
            let found = format!("{} of {}", images.count(), images.shape());
            return Err(Error::damaged(&images.reader().path().display().to_string(), expected, found));
        }
        let labels = self.labels.as_deref().map(|name| LabelFile::open(&file_in(folder, name)?, self.count));
        Ok((images, labels.transpose()?))
    }

    /// Checks that there are as many rows of attributes as images, and as many columns as names.
    fn check_attributes(&self, folder: &Path, names: Option<&[String]>) -> Result<()> {
        let Some(name) = &self.attributes else { return Ok(()) };
        let reader = Reader::open(&file_in(folder, name)?)?;
        reader.require_dtype(&[Dtype::U8])?;
        let wanted = [self.count, names.map_or(0, <[String]>::len)];
        if reader.shape() != wanted {
            let found = format!("{:?}", reader.shape());
            return Err(Error::damaged(&reader.path().display().to_string(), format!("attributes {wanted:?}"), found));
        }
        Ok(())
    }

    /// The part as a stream, u8 only.
    ///
    /// # Errors
    /// Those of [`PartDescription::open`]; images of floats. In the stream: files that fail.
    pub fn stream(&self, folder: &Path) -> Result<Images> {
        let (images, labels) = self.open(folder)?;
        images.reader().require_dtype(&[Dtype::U8])?;
        let (shape, count) = (images.shape(), images.count());
        let example = move |row| {
            let pixels = images.reader().read_row_range_at::<u8>(row, 1)?;
            let label = labels.as_ref().map(|labels| labels.batch(&[row])).transpose()?;
            Ok(Example { pixels, label: label.and_then(|label| label.first().copied()) })
        };
        Ok(Images { shape, count: Some(count), examples: Box::new((0..count).map(example)) })
    }
}

/// The path of a description's file. A description may come from anywhere: it must not lead out of its folder.
fn file_in(folder: &Path, name: &str) -> Result<PathBuf> {
    let plain = Path::new(name).file_name().is_some_and(|last| last == name);
    let file = folder.join(DESCRIPTION).display().to_string();
    let error = || Error::malformed(&file, "file names without folders", name, "make the dataset again");
    plain.then(|| folder.join(name)).ok_or_else(error)
}

/// Writes `parts` and their description into `folder`; `progress` is called for every image written.
///
/// # Errors
/// Errors of the streams; a part without images, or with labels for only some images; a full disk.
pub fn write(
    folder: &Path,
    mut description: Description,
    parts: Vec<Part>,
    progress: &mut dyn FnMut(&str, usize),
) -> Result<Description> {
    description.attributes = parts.iter().find_map(|part| Some(part.attributes.as_ref()?.names.clone()));
    for part in parts {
        description.parts.push(write_part(folder, part, &description.classes, progress)?);
    }
    let path = folder.join(DESCRIPTION);
    let mut json = serde_json::to_vec_pretty(&description).map_err(|error| store::Error::write(&path)(error.into()))?;
    json.push(b'\n');
    atomic::write(&path, &json)?;
    Ok(description)
}

/// An error for a part that is empty.
pub(crate) fn no_images(part: &str) -> Error {
    Error::request("write a dataset", "at least one image in each part", format!("none in {part}"))
}

fn write_part(
    folder: &Path,
    part: Part,
    classes: &Option<Vec<String>>,
    progress: &mut dyn FnMut(&str, usize),
) -> Result<PartDescription> {
    let Part { name, images: Images { shape: Shape { channels, height, width }, examples, .. }, attributes } = part;
    let file = |what: &str| format!("{name}-{what}.npy");
    let (images_name, labels_name) = (file("images"), file("labels"));
    let mut images = Writer::create(&folder.join(&images_name), Dtype::U8, &[channels, height, width])?;
    let mut labels = Vec::new();
    let mut count = 0;
    for example in examples {
        let Example { pixels, label } = example?;
        images.write_rows(&pixels)?;
        labels.extend(label);
        count += 1;
        progress(&name, count);
        if let Some(label) = label.filter(|&label| !known(label, classes)) {
            return Err(Error::request("write a dataset", "labels of the classes it has", label));
        }
        if !labels.is_empty() && labels.len() != count {
            return Err(Error::request(
                "write a dataset",
                "labels for all images or none",
                format!("none for image {count}"),
            ));
        }
    }
    if count == 0 {
        return Err(no_images(&name));
    }
    images.finish()?;
    let labelled = !labels.is_empty();
    if labelled {
        store::npy::write(&folder.join(&labels_name), &[count], &labels)?;
    }
    let labels = labelled.then_some(labels_name);
    let attributes = attributes.map(|attributes| write_attributes(folder, file("attributes"), count, &attributes));
    let (images, attributes) = (images_name, attributes.transpose()?);
    Ok(PartDescription { name, count, shape: [channels, height, width], images, labels, attributes })
}

/// Writes the attributes of the first `count` images, and returns the name of their file.
fn write_attributes(folder: &Path, name: String, count: usize, attributes: &Attributes) -> Result<String> {
    let columns = attributes.names.len();
    let rows = attributes.rows.get(..count * columns);
    let too_few = || Error::request("write a dataset", format!("attributes of {count} images"), attributes.rows.len());
    store::npy::write(&folder.join(&name), &[count, columns], rows.ok_or_else(too_few)?)?;
    Ok(name)
}

fn known(label: i64, classes: &Option<Vec<String>>) -> bool {
    let limit = classes.as_ref().map_or(i64::MAX, |classes| classes.len() as i64);
    (0..limit).contains(&label)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::shapes;

    fn part(labels: &[Option<i64>]) -> Part {
        let examples: Vec<_> = labels.iter().map(|&label| Ok(Example { pixels: vec![7; 4], label })).collect();
        Part::new("train", Shape { channels: 1, height: 2, width: 2 }, None, Box::new(examples.into_iter()))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut description = Description::new("shapes");
        description.classes = Some(shapes::class_names());
        let parts = || shapes::parts(70, 16, 0).unwrap();
        let written = write(folder.path(), description, parts(), &mut |_, _| ()).unwrap();
        assert_eq!(Description::read(folder.path()).unwrap(), written);
        assert_eq!(written.parts.iter().map(|part| part.count).collect::<Vec<_>>(), [56, 7, 7]);
        for (part, original) in written.parts.iter().zip(parts()) {
            let original: Vec<_> = original.images.examples.map(Result::unwrap).collect();
            let read: Vec<_> = part.stream(folder.path()).unwrap().examples.map(Result::unwrap).collect();
            assert_eq!(read, original);
        }
    }

    #[test]
    fn a_part_without_labels_has_no_file_of_them_and_half_labelled_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |labels: &[Option<i64>]| write(folder.path(), Description::new("x"), vec![part(labels)], &mut |_, _| ());
        assert_eq!(write(&[None, None]).unwrap().parts[0].labels, None);
        assert!(!folder.path().join("train-labels.npy").exists());
        assert!(write(&[None, Some(1)]).unwrap_err().to_string().contains("labels for all images or none"));
        assert!(write(&[]).unwrap_err().to_string().contains("none in train"));
    }

    #[test]
    fn a_description_that_leads_elsewhere_or_lies_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = write(folder.path(), Description::new("x"), vec![part(&[None])], &mut |_, _| ()).unwrap();
        let save = |description: &Description| {
            fs::write(folder.path().join(DESCRIPTION), serde_json::to_vec(description).unwrap()).unwrap();
            Description::read(folder.path()).unwrap_err().to_string()
        };
        written.parts[0].count = 2;
        assert!(save(&written).contains("expected 2 images"));
        written.parts[0].images = "../train-images.npy".into();
        assert!(save(&written).contains("without folders"));
    }
}
