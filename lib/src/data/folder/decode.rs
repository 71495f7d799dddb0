//! From an image file to the pixels of one shape.

use std::io::{Cursor, Read};

use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use crate::data::images::IMAGE_LIMIT;
use crate::data::resize::{Filter, check_size, resize};
use crate::data::source::base_name;
use crate::data::{Error, Result, Shape, Source};

/// The largest encoded image that is read.
const FILE_LIMIT: u64 = 1 << 28;
/// The most pixels of a side.
const SIDE_LIMIT: u32 = 1 << 14;
/// The formats that are decoded, by their usual endings.
const ENDINGS: [&str; 17] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "pbm", "pnm", "pam", "tga",
    "qoi",
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

impl Options {
    pub(super) fn check(&self) -> Result<()> {
        if self.channels.is_some_and(|channels| channels != 1 && channels != 3) {
            return Err(Error::request("import images", "1 or 3 channels", self.channels.unwrap_or_default()));
        }
        self.crop.map_or(Ok(()), check_size)?;
        self.resize.map_or(Ok(()), |(size, _)| check_size(size))
    }
}

/// True for the names of image files.
pub fn is_image(name: &str) -> bool {
    ending(name).is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// The ending of a file's name, in lower case.
fn ending(name: &str) -> Option<String> {
    base_name(name).rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase())
}

/// One image file's pixels, channels first, whatever its size.
///
/// # Errors
/// A file that cannot be read or decoded, or is too small for a crop.
pub fn decode(source: &Source, name: &str, options: Options) -> Result<(Shape, Vec<u8>)> {
    Decoder { source, options, shape: None }.decode(name)
}

/// From a file's name to the pixels of one shape.
pub(super) struct Decoder<'a> {
    pub(super) source: &'a Source,
    pub(super) options: Options,
    /// The shape that all images must have; none for the first.
    pub(super) shape: Option<Shape>,
}

impl Decoder<'_> {
    pub(super) fn decode(&self, name: &str) -> Result<(Shape, Vec<u8>)> {
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
pub(super) fn decode_limited(file: &str, bytes: &[u8]) -> Result<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_LIMIT);
    limits.max_image_height = Some(SIDE_LIMIT);
    // Decoders need room for 16-bit samples and an alpha channel.
    limits.max_alloc = Some(4 * IMAGE_LIMIT as u64);
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|source| Error::read(file, source))?;
    // What cannot be told by its first bytes is told by its name.
    if reader.format().is_none() && ending(file).as_deref() == Some("tga") {
        reader.set_format(ImageFormat::Tga);
    }
    reader.limits(limits);
    let advice = "remove the file or save it again";
    reader.decode().map_err(|error| Error::malformed(file, "an image of at most 64 MiB", error, advice))
}
