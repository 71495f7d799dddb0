//! A folder or archive of image files, `[train|test|validation|unlabeled/]<class>/<name>.png`; classes are the folder
//! names, sorted by their bytes. Without class folders, or with a single one, the images have no labels (CelebA).
//!
//! Images come in rounds, the first of each class, then the second of each, so that any first N are a fair sample.
//!
//! ```
//! use obverse::data::{Source, folder::{Options, open, wanted}};
//! let folder = tempfile::tempdir()?;
//! for class in ["dog", "cat"] {
//!     std::fs::create_dir(folder.path().join(class))?;
//!     image::RgbImage::new(4, 4).save(folder.path().join(class).join("1.png"))?;
//! }
//! let (parts, classes) = open(Source::open(folder.path(), wanted)?, Options::default())?;
//! assert_eq!(classes, Some(vec!["cat".to_string(), "dog".to_string()]));
//! assert_eq!(parts[0].images.shape.len(), 3 * 4 * 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};
use std::sync::Arc;

use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;

use super::images::{Examples, IMAGE_LIMIT};
use super::jpeg;
use super::resize::{Filter, check_size, resize};
use super::source::base_name;
use super::{Error, Example, Part, Result, Shape, Source};

/// Images that are decoded in parallel at a time.
const BLOCK: usize = 256;
/// The largest encoded image that is read.
const FILE_LIMIT: u64 = 1 << 28;
/// The most pixels of a side.
const SIDE_LIMIT: u32 = 1 << 14;
/// The formats that are decoded, by their usual endings.
const ENDINGS: [&str; 9] = ["png", "jpg", "jpeg", "bmp", "gif", "webp", "tif", "tiff", "jfif"];
/// Names of top folders and the parts they become.
const PARTS: [(&str, &str); 6] = [
    ("train", "train"),
    ("test", "test"),
    ("validation", "validation"),
    ("val", "validation"),
    ("valid", "validation"),
    ("unlabeled", "unlabeled"),
];

/// What is done with each image after decoding, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Cuts out the square of this side in the middle.
    pub crop: Option<usize>,
    /// Resizes to a square of this side with this filter.
    pub resize: Option<(usize, Filter)>,
    /// 1 for grey, 3 for colour; without it the first image decides.
    pub channels: Option<usize>,
}

/// True for the names of image files.
pub fn wanted(name: &str) -> bool {
    let name = base_name(name);
    name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

/// The parts of a folder of images and the names of its classes, none where it has no classes.
///
/// # Errors
/// No images, class folders in one part and none in another, a first image that cannot be decoded, options out of
/// range. In the stream: images that cannot be decoded, or that differ in size without a resize or crop.
pub fn open(source: Source, options: Options) -> Result<(Vec<Part>, Option<Vec<String>>)> {
    let file = source.path().display().to_string();
    options.check()?;
    let tree = Tree::of(&file, source.names())?;
    let first = tree.parts.values().flatten().next();
    let Some(first) = first.map(|entry| entry.name.clone()) else {
        return Err(Error::malformed(&file, "image files", "none", "name a folder or archive of images"));
    };
    let (shape, _) = Decoder { source: &source, options, shape: None }.decode(&first)?;
    let source = Arc::new(source);
    let mut parts: Vec<_> = tree.parts.into_iter().collect();
    parts.sort_by_key(|(part, _)| PARTS.iter().position(|(_, known)| known == part));
    let parts = parts.into_iter().map(|(part, entries)| {
        Part::new(part, shape, Some(entries.len()), examples(source.clone(), options, shape, entries))
    });
    Ok((parts.collect(), tree.classes))
}

impl Options {
    fn check(&self) -> Result<()> {
        if self.channels.is_some_and(|channels| channels != 1 && channels != 3) {
            return Err(Error::request("import images", "1 or 3 channels", self.channels.unwrap_or_default()));
        }
        self.crop.map_or(Ok(()), check_size)?;
        self.resize.map_or(Ok(()), |(size, _)| check_size(size))
    }
}

/// An image file and the place of its class.
struct Entry {
    name: String,
    label: Option<i64>,
}

/// The files by part, each part in rounds over the classes.
struct Tree {
    parts: BTreeMap<&'static str, Vec<Entry>>,
    classes: Option<Vec<String>>,
}

impl Tree {
    fn of<'a>(file: &str, names: impl Iterator<Item = &'a str>) -> Result<Self> {
        let names: Vec<(Vec<&str>, &str)> = names.map(|name| (name.split('/').collect(), name)).collect();
        let common = common_folders(&names);
        let mut files: Vec<(&'static str, Option<&str>, &str)> = Vec::new();
        let parted = names.iter().all(|(path, _)| path.len() > common + 1 && part(path[common]).is_some());
        for (path, name) in &names {
            let (part, rest) = match part(path[common]).filter(|_| parted) {
                Some(part) => (part, &path[common + 1..]),
                None => ("train", &path[common..]),
            };
            files.push((part, (rest.len() > 1).then(|| rest[0]), name));
        }
        let classes: BTreeSet<Option<&str>> = files.iter().map(|(_, class, _)| *class).collect();
        if classes.len() > 1 && classes.contains(&None) {
            let advice = "put every image into the folder of its class, or none";
            return Err(Error::malformed(file, "class folders for all images", "images without one", advice));
        }
        let classes: Option<Vec<String>> =
            (classes.len() > 1).then(|| classes.into_iter().flatten().map(str::to_string).collect());
        let label = |class: Option<&str>| {
            let place =
                classes.as_ref().and_then(|classes| classes.iter().position(|name| Some(name.as_str()) == class));
            place.map(|place| place as i64)
        };
        let mut parts: BTreeMap<&'static str, Vec<Entry>> = BTreeMap::new();
        for (part, class, name) in files {
            parts.entry(part).or_default().push(Entry { name: name.to_string(), label: label(class) });
        }
        parts.values_mut().for_each(|entries| in_rounds(entries));
        Ok(Self { parts, classes })
    }
}

fn part(folder: &str) -> Option<&'static str> {
    PARTS.iter().find(|(name, _)| folder.eq_ignore_ascii_case(name)).map(|(_, part)| *part)
}

/// The number of leading folders that all files share and that do not name a part.
fn common_folders(names: &[(Vec<&str>, &str)]) -> usize {
    let Some((first, _)) = names.first() else { return 0 };
    let shared = |depth: &usize| {
        let same = names.iter().all(|(path, _)| path.len() > depth + 1 && path[*depth] == first[*depth]);
        same && part(first[*depth]).is_none()
    };
    (0..first.len()).take_while(shared).count()
}

/// Sorts by (place within the class, class). The entries come sorted by name, so each class's order is that of names.
fn in_rounds(entries: &mut [Entry]) {
    let mut seen: BTreeMap<Option<i64>, usize> = BTreeMap::new();
    let mut keys = Vec::with_capacity(entries.len());
    for entry in entries.iter() {
        let round = seen.entry(entry.label).or_default();
        keys.push((*round, entry.label, entry.name.clone()));
        *round += 1;
    }
    keys.sort();
    for (entry, (_, label, name)) in entries.iter_mut().zip(keys) {
        *entry = Entry { name, label };
    }
}

fn examples(source: Arc<Source>, options: Options, shape: Shape, entries: Vec<Entry>) -> Examples {
    let mut entries = entries.into_iter();
    let blocks = std::iter::from_fn(move || {
        let block: Vec<Entry> = entries.by_ref().take(BLOCK).collect();
        let decoder = Decoder { source: &source, options, shape: Some(shape) };
        let decode = |entry: Entry| {
            let (_, pixels) = decoder.decode(&entry.name)?;
            Ok(Example { pixels, label: entry.label })
        };
        (!block.is_empty()).then(|| block.into_par_iter().map(decode).collect::<Vec<_>>())
    });
    Box::new(blocks.flatten())
}

/// One image file's pixels, channels first, whatever its size.
///
/// # Errors
/// A file that cannot be read or decoded, or is too small for a crop.
pub fn decode(source: &Source, name: &str, options: Options) -> Result<(Shape, Vec<u8>)> {
    Decoder { source, options, shape: None }.decode(name)
}

/// From a file's name to the pixels of one shape.
struct Decoder<'a> {
    source: &'a Source,
    options: Options,
    /// The shape that all images must have; none for the first.
    shape: Option<Shape>,
}

impl Decoder<'_> {
    fn decode(&self, name: &str) -> Result<(Shape, Vec<u8>)> {
        let file = self.source.describe(name);
        let mut bytes = Vec::new();
        let stream = self.source.stream(name)?;
        stream.take(FILE_LIMIT).read_to_end(&mut bytes).map_err(|source| Error::read(&file, source))?;
        let image = decode_limited(&file, &bytes)?;
        let (shape, pixels) = self.channels(&file, &image)?;
        let (shape, pixels) = self.cropped(&file, shape, pixels)?;
        let (shape, pixels) = self.resized(shape, pixels);
        match self.shape {
            Some(expected) if expected != shape => {
                let advice = "make them equal with `resize`, `crop` or `channels`";
                Err(Error::malformed(&file, format!("an image of {expected} as the first"), shape, advice))
            }
            _ => Ok((shape, pixels)),
        }
    }

    /// Channels first, grey or colour; an alpha channel is dropped.
    fn channels(&self, file: &str, image: &DynamicImage) -> Result<(Shape, Vec<u8>)> {
        let grey = !image.color().has_color();
        let wanted =
            self.options.channels.or(self.shape.map(|shape| shape.channels)).unwrap_or(if grey { 1 } else { 3 });
        if wanted == 1 && !grey && self.options.channels.is_none() {
            let advice = "choose `channels` 1 or 3";
            return Err(Error::malformed(file, "a grey image as the first", "one in colour", advice));
        }
        let (height, width) = (image.height() as usize, image.width() as usize);
        let shape = Shape::checked(file, wanted, height, width)?;
        if wanted == 1 {
            return Ok((shape, image.to_luma8().into_raw()));
        }
        let interleaved = image.to_rgb8().into_raw();
        let plane = |channel: usize| interleaved.iter().skip(channel).step_by(3).copied();
        Ok((shape, (0..3).flat_map(plane).collect()))
    }

    fn cropped(&self, file: &str, shape: Shape, pixels: Vec<u8>) -> Result<(Shape, Vec<u8>)> {
        let Some(side) = self.options.crop else { return Ok((shape, pixels)) };
        if side > shape.height || side > shape.width {
            let expected = format!("at least {side} x {side} pixels to crop");
            return Err(Error::malformed(file, expected, shape, "choose a smaller `crop`"));
        }
        let (top, left) = ((shape.height - side) / 2, (shape.width - side) / 2);
        let mut cropped = Vec::with_capacity(shape.channels * side * side);
        for plane in pixels.chunks_exact(shape.height * shape.width) {
            let rows = plane.chunks_exact(shape.width).skip(top).take(side);
            rows.for_each(|row| cropped.extend_from_slice(&row[left..left + side]));
        }
        Ok((Shape { height: side, width: side, ..shape }, cropped))
    }

    fn resized(&self, shape: Shape, pixels: Vec<u8>) -> (Shape, Vec<u8>) {
        match self.options.resize {
            None => (shape, pixels),
            Some((size, filter)) => {
                let resized = resize(&pixels, shape, size, size, filter);
                (Shape { height: size, width: size, ..shape }, resized)
            }
        }
    }
}

/// Decodes an image if its claimed size is below the limits.
fn decode_limited(file: &str, bytes: &[u8]) -> Result<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_LIMIT);
    limits.max_image_height = Some(SIDE_LIMIT);
    // Decoders need room for 16-bit samples and an alpha channel.
    limits.max_alloc = Some(4 * IMAGE_LIMIT as u64);
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|source| Error::read(file, source))?;
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::malformed(file, "an image of at most 64 MiB", error, "remove the file or save it again")
    };
    if reader.format() == Some(ImageFormat::Jpeg) {
        let decoded = jpeg::decode(bytes, SIDE_LIMIT, 4 * IMAGE_LIMIT as u64).map_err(|error| unreadable(&error))?;
        if let Some(image) = decoded {
            return Ok(image);
        }
    }
    reader.limits(limits);
    reader.decode().map_err(|error| unreadable(&error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::data::mirror::mirror;

    fn save(root: &Path, name: &str, image: impl Into<DynamicImage>) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.into().save(path).unwrap();
    }

    fn grey(value: u8, width: u32, height: u32) -> image::GrayImage {
        image::GrayImage::from_pixel(width, height, image::Luma([value]))
    }

    fn read(root: &Path, options: Options) -> Result<Vec<(String, Vec<Example>)>> {
        let (parts, _) = open(Source::open(root, wanted)?, options)?;
        parts.into_iter().map(|part| Ok((part.name, part.images.examples.collect::<Result<_>>()?))).collect()
    }

    #[test]
    fn classes_are_the_sorted_folders_and_images_come_in_rounds() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("b/1.png", 3), ("b/2.png", 4), ("a/1.png", 1), ("a/9.png", 2), ("a/notes.txt.png", 5)] {
            save(folder.path(), &format!("data/train/{name}"), grey(value, 2, 2));
        }
        save(folder.path(), "data/test/b/1.png", grey(9, 2, 2));
        let (parts, classes) = open(Source::open(folder.path(), wanted).unwrap(), Options::default()).unwrap();
        assert_eq!(classes.unwrap(), ["a", "b"]);
        let read = |part: Part| {
            let examples = part.images.examples.map(Result::unwrap);
            (part.name, examples.map(|example| (example.pixels[0], example.label)).collect::<Vec<_>>())
        };
        let train = vec![(1, Some(0)), (3, Some(1)), (2, Some(0)), (4, Some(1)), (5, Some(0))];
        let expected = [("train".to_string(), train), ("test".to_string(), vec![(9, Some(1))])];
        assert_eq!(parts.into_iter().map(read).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_single_folder_has_no_labels() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "img_align_celeba/000001.png", grey(1, 4, 6));
        let parts =
            read(folder.path(), Options { crop: Some(4), resize: Some((2, Filter::Lanczos)), channels: Some(3) });
        let expected = Example { pixels: vec![1; 12], label: None };
        assert_eq!(parts.unwrap(), [("train".to_string(), vec![expected])]);
    }

    #[test]
    fn images_that_differ_are_named_and_resizing_makes_them_equal() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "a.png", grey(1, 4, 4));
        save(folder.path(), "b.png", grey(1, 5, 4));
        let error = read(folder.path(), Options::default()).unwrap_err().to_string();
        assert!(error.contains("b.png") && error.contains("`resize`"), "{error}");
        let options = Options { resize: Some((4, Filter::Lanczos)), ..Options::default() };
        assert_eq!(read(folder.path(), options).unwrap()[0].1.len(), 2);
        save(folder.path(), "b.png", image::RgbImage::from_pixel(4, 4, image::Rgb([1, 2, 3])));
        assert!(read(folder.path(), options).unwrap_err().to_string().contains("`channels`"));
    }

    #[test]
    fn channels_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let pixel = |x: u32, y: u32| image::Rgb([x as u8, 10 + y as u8, 20]);
        save(folder.path(), "a.png", image::RgbImage::from_fn(2, 1, pixel));
        assert_eq!(read(folder.path(), Options::default()).unwrap()[0].1[0].pixels, [0, 1, 10, 10, 20, 20]);
    }

    #[test]
    #[ignore = "it takes OBVERSE_MIRROR"]
    fn the_lossy_cifar_has_5000_and_1000_images_of_each_class() {
        let archive = mirror("cifar10/cifar10-jpeg.tar.zst");
        let (parts, classes) = open(Source::open(&archive, wanted).unwrap(), Options::default()).unwrap();
        assert_eq!(classes.unwrap(), crate::data::cifar::CLASSES);
        for part in parts {
            let mut counts = [0; 10];
            for (place, example) in part.images.examples.enumerate() {
                let label = example.unwrap().label.unwrap() as usize;
                assert_eq!(label, place % 10);
                counts[label] += 1;
            }
            assert_eq!(counts, [if part.name == "train" { 5000 } else { 1000 }; 10]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(kind in 0usize..4, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let starts: [&[u8]; 4] = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0", b"BM", b""];
            let _ = decode_limited("x", &[starts[kind], &bytes].concat());
        }
    }
}
