//! A grid of images, one RGB picture: cells in rows, a caption left of a row and below an image.
//!
//! Images are (N, C, H, W) or (N, H, W): u8 0..255, or floats 0..1, clamped. Enlarged by whole factors, pixel by pixel.

use std::io::Cursor;
use std::ops::Range;

use image::{ImageFormat, Rgb, RgbImage};

use super::text::{self, CHARACTER};
use super::{Error, Result};
use crate::store::npy::{Dtype, Reader, require_finite};

/// White pixels between cells.
const GAP: usize = 2;

/// Largest picture drawn: 3/4 GiB of memory.
const LIMIT: usize = 1 << 28;

/// Cells at least this high get captions of twice the size.
const TALL: usize = 96;

/// Images read for a picture.
#[derive(Clone, Debug)]
pub struct Images {
    /// In the order of the file.
    pub tiles: Vec<RgbImage>,
    /// How many values lay outside 0..1 and were clamped.
    pub clamped: usize,
}

/// How a grid is laid out.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Cells in a row.
    pub columns: usize,
    /// Picture pixels per pixel of an image, in each direction.
    pub scale: usize,
    /// The captions left of the rows; rows beyond the list have none.
    pub row_captions: Vec<String>,
    /// The captions below the images, cut to their width; images beyond the list have none.
    pub captions: Vec<String>,
}

/// Which of an array's values are shown, and how.
#[derive(Clone, Debug)]
pub struct View {
    /// The channels that are shown, by default all: one is grey, three are red, green and blue; with other numbers each is a
    /// grey image of its own.
    pub channels: Option<Range<usize>>,
    /// The floats that are black and white.
    pub range: [f64; 2],
}

impl View {
    /// Whether this many channels are one image, grey or coloured, and not one image each.
    pub fn is_one_image(channels: usize) -> bool {
        matches!(channels, 1 | 3)
    }
}

impl Default for View {
    fn default() -> Self {
        Self { channels: None, range: [0.0, 1.0] }
    }
}

/// Reads the next images of an array, at most `count`.
///
/// # Errors
/// `Shape` when the array does not hold images, `Channels` when it does not have those of the view; `Store` for values that are not
/// finite and files that fail.
pub fn read_images(reader: &mut Reader, count: usize, view: &View) -> Result<Images> {
    let (channels, height, width) = match &view.channels {
        None => image_shape(reader)?,
        Some(wanted) => shape_with(reader, wanted)?,
    };
    let area = height * width;
    let shown = view.channels.clone().unwrap_or(0..channels);
    let planes = if View::is_one_image(shown.len()) { shown.len() } else { 1 };
    let (bytes, clamped) = read_bytes(reader, count, shown.start * area..shown.end * area, view.range)?;
    let tile = |pixels: &[u8]| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let place = y as usize * width + x as usize;
            Rgb([0, 1, 2].map(|channel| pixels[channel.min(planes - 1) * area + place]))
        })
    };
    Ok(Images { tiles: bytes.chunks_exact(planes * area).map(tile).collect(), clamped })
}

/// Channels, height and width of an array's images.
pub(super) fn image_shape(reader: &Reader) -> Result<(usize, usize, usize)> {
    match *reader.row_shape() {
        [channels, height, width] if View::is_one_image(channels) && height > 0 && width > 0 => {
            Ok((channels, height, width))
        }
        [height, width] if height > 0 && width > 0 => Ok((1, height, width)),
        _ => Err(Error::Shape { path: reader.path().to_owned(), found: reader.shape().to_vec() }),
    }
}

/// The same of an array with any number of channels, the wanted ones among them.
fn shape_with(reader: &Reader, wanted: &Range<usize>) -> Result<(usize, usize, usize)> {
    match *reader.row_shape() {
        [channels, height, width] if height > 0 && width > 0 && wanted.start < wanted.end && wanted.end <= channels => {
            Ok((channels, height, width))
        }
        _ => {
            let (path, found) = (reader.path().to_owned(), reader.shape().to_vec());
            Err(Error::Channels { path, wanted: wanted.clone(), found })
        }
    }
}

/// These values of each row as bytes, and how many were clamped.
fn read_bytes(
    reader: &mut Reader,
    count: usize,
    part: Range<usize>,
    [low, high]: [f64; 2],
) -> Result<(Vec<u8>, usize)> {
    let length = reader.row_len();
    if reader.dtype() == Dtype::U8 {
        let rows: Vec<u8> = reader.read_rows(count)?;
        return Ok((rows.chunks_exact(length).flat_map(|row| &row[part.clone()]).copied().collect(), 0));
    }
    reader.require_dtype(&[Dtype::U8, Dtype::F16, Dtype::F32, Dtype::F64])?;
    let values: Vec<f32> = reader.read_rows_as_float(count)?;
    require_finite(reader.path(), &values, 0, length)?;
    let part = values.chunks_exact(length).flat_map(|row| &row[part.clone()]);
    let scaled: Vec<f64> = part.map(|value| (f64::from(*value) - low) / (high - low)).collect();
    let clamped = scaled.iter().filter(|value| !(0.0..=1.0).contains(*value)).count();
    Ok((scaled.into_iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect(), clamped))
}

/// Draws images from left to right and top to bottom, each in the corner of a cell as large as the largest.
///
/// ```
/// use image::{Rgb, RgbImage};
/// use obverse::report::{Layout, grid};
/// let images = vec![RgbImage::from_pixel(28, 28, Rgb([0; 3])); 5];
/// let layout = Layout { columns: 3, scale: 2, row_captions: vec![], captions: vec![] };
/// // Three cells of 56 pixels, with two white pixels around each.
/// assert_eq!(grid(&images, &layout)?.dimensions(), (176, 118));
/// # Ok::<(), obverse::report::Error>(())
/// ```
///
/// # Errors
/// `Empty` without images, columns or scale; `Large` for a picture that would not fit in memory.
pub fn grid(tiles: &[RgbImage], layout: &Layout) -> Result<RgbImage> {
    let (columns, scale) = (layout.columns.min(tiles.len()), layout.scale.max(1));
    if columns == 0 {
        return Err(Error::Empty { images: tiles.len(), columns: layout.columns });
    }
    let geometry = Geometry::of(tiles, layout, scale);
    let width = columns.saturating_mul(geometry.cell.0).saturating_add(geometry.margin + GAP);
    let height = tiles.len().div_ceil(columns).saturating_mul(geometry.cell.1).saturating_add(GAP);
    if width.saturating_mul(height) > LIMIT {
        return Err(Error::Large { limit: LIMIT, width, height });
    }
    let mut picture = RgbImage::from_pixel(width as u32, height as u32, Rgb([255; 3]));
    for (index, tile) in tiles.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        let corner = (geometry.margin + GAP + column * geometry.cell.0, GAP + row * geometry.cell.1);
        paste(&mut picture, tile, corner, scale);
        if let Some(caption) = layout.captions.get(index) {
            let fitting: String = caption.chars().take(geometry.caption_length()).collect();
            text::draw(&mut picture, &fitting, (corner.0, corner.1 + geometry.image.1 + 1), geometry.text);
        }
    }
    for (row, caption) in layout.row_captions.iter().enumerate().take(tiles.len().div_ceil(columns)) {
        let middle = (geometry.image.1.saturating_sub(CHARACTER * geometry.text)) / 2;
        text::draw(&mut picture, caption, (GAP, GAP + row * geometry.cell.1 + middle), geometry.text);
    }
    Ok(picture)
}

/// Sizes in pixels of the picture, (width, height).
struct Geometry {
    /// The room for an image.
    image: (usize, usize),
    /// From one image to the next.
    cell: (usize, usize),
    /// Left of the first column.
    margin: usize,
    /// Enlargement of the captions.
    text: usize,
}

impl Geometry {
    fn of(tiles: &[RgbImage], layout: &Layout, scale: usize) -> Self {
        let largest = |side: fn(&RgbImage) -> u32| tiles.iter().map(side).max().unwrap_or(0) as usize;
        let image = (largest(RgbImage::width).saturating_mul(scale), largest(RgbImage::height).saturating_mul(scale));
        let text = if image.1 < TALL { 1 } else { 2 };
        let below = if layout.captions.is_empty() { 0 } else { CHARACTER * text + 1 };
        let longest = layout.row_captions.iter().map(|caption| caption.chars().count()).max().unwrap_or(0);
        let margin = if longest == 0 { 0 } else { longest * CHARACTER * text + GAP };
        let cell = (image.0.saturating_add(GAP), image.1.saturating_add(GAP + below));
        Self { image, cell, margin, text }
    }

    /// Characters that fit below an image; one at least, for a label.
    fn caption_length(&self) -> usize {
        (self.image.0 / (CHARACTER * self.text)).max(1)
    }
}

fn paste(picture: &mut RgbImage, tile: &RgbImage, (left, top): (usize, usize), scale: usize) {
    for y in 0..tile.height() as usize * scale {
        for x in 0..tile.width() as usize * scale {
            let pixel = *tile.get_pixel((x / scale) as u32, (y / scale) as u32);
            picture.put_pixel((left + x) as u32, (top + y) as u32, pixel);
        }
    }
}

/// A picture as the bytes of a PNG file.
///
/// # Errors
/// `Encode`, naming what the encoder said.
pub fn encode_png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::npy::write;

    fn plain(columns: usize, scale: usize) -> Layout {
        Layout { columns, scale, row_captions: vec![], captions: vec![] }
    }

    fn seen(shape: &[usize], values: &[f32], view: &View) -> Result<Images> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        write(&path, shape, values).unwrap();
        read_images(&mut Reader::open(&path)?, 10, view)
    }

    fn read(shape: &[usize], values: &[f32]) -> Result<Images> {
        seen(shape, values, &View::default())
    }

    #[test]
    fn every_pixel_of_every_image_stands_in_its_place() {
        let mut tiles = Vec::new();
        for index in 0..5u8 {
            tiles.push(RgbImage::from_fn(3, 2, |x, y| Rgb([index * 20, x as u8, y as u8])));
        }
        let picture = grid(&tiles, &plain(2, 4)).unwrap();
        for (index, tile) in tiles.iter().enumerate() {
            let (left, top) = (GAP + index % 2 * (12 + GAP), GAP + index / 2 * (8 + GAP));
            for (x, y) in (0..12).flat_map(|x| (0..8).map(move |y| (x, y))) {
                let shown = picture.get_pixel((left + x) as u32, (top + y) as u32);
                assert_eq!(shown, tile.get_pixel(x as u32 / 4, y as u32 / 4));
            }
        }
        assert_eq!(picture.get_pixel(0, 0), &Rgb([255; 3]));
    }

    #[test]
    fn channels_first_become_colours_and_one_channel_becomes_grey() {
        let images = read(&[1, 3, 1, 2], &[0.0, 1.0, 0.5, -3.0, 0.25, 7.0]).unwrap();
        assert_eq!(images.tiles[0].as_raw(), &[0, 128, 64, 255, 0, 255]);
        assert_eq!(images.clamped, 2);
        assert_eq!(read(&[1, 1, 1, 2], &[0.0, 1.0]).unwrap().tiles[0].as_raw(), &[0, 0, 0, 255, 255, 255]);
        assert_eq!(read(&[2, 1, 1], &[0.0, 1.0]).unwrap().tiles.len(), 2);
    }

    #[test]
    fn chosen_channels_are_shown_in_their_range() {
        let (shape, values) = ([2, 5, 1, 1], [-1.0, 0.0, 1.0, 5.0, 9.0, 1.0, 1.0, -1.0, 5.0, 9.0]);
        let raw = |images: &Images| images.tiles.iter().map(|tile| tile.as_raw().clone()).collect::<Vec<_>>();
        let normals = seen(&shape, &values, &View { channels: Some(0..3), range: [-1.0, 1.0] }).unwrap();
        assert_eq!((raw(&normals), normals.clamped), (vec![vec![0, 128, 255], vec![255, 255, 0]], 0));
        let maps = seen(&shape, &values, &View { channels: Some(3..5), range: [5.0, 8.0] }).unwrap();
        assert_eq!((raw(&maps), maps.clamped), (vec![vec![0; 3], vec![255; 3], vec![0; 3], vec![255; 3]], 2));
        for wanted in [3..6, 2..2] {
            let error = seen(&shape, &values, &View { channels: Some(wanted), ..View::default() }).unwrap_err();
            assert!(error.to_string().contains("x.npy") && error.to_string().contains("[2, 5, 1, 1]"), "{error}");
        }
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        for shape in [&[6][..], &[1, 2, 1, 3], &[1, 6], &[1, 1, 1, 1, 6]] {
            let error = read(shape, &[0.0; 6]).unwrap_err().to_string();
            assert!(error.contains("x.npy") && error.contains("(N, C, H, W)"), "{error}");
        }
        assert!(read(&[1, 1, 2], &[0.0, f32::NAN]).unwrap_err().to_string().contains("NaN"));
        assert!(matches!(grid(&[], &plain(1, 1)), Err(Error::Empty { .. })));
        assert!(matches!(grid(&[RgbImage::new(1, 1)], &plain(0, 1)), Err(Error::Empty { .. })));
        assert!(matches!(grid(&[RgbImage::new(1, 1)], &plain(1, usize::MAX)), Err(Error::Large { .. })));
    }

    #[test]
    fn captions_make_room_for_themselves_and_leave_the_images_alone() {
        let tiles = vec![RgbImage::from_pixel(16, 16, Rgb([9, 9, 9])); 4];
        let bare = grid(&tiles, &plain(2, 1)).unwrap();
        let layout = Layout {
            row_captions: vec!["original".into(), "recovered".into()],
            captions: vec!["7".into(); 4],
            ..plain(2, 1)
        };
        let captioned = grid(&tiles, &layout).unwrap();
        assert_eq!(captioned.width(), bare.width() + 9 * 8 + GAP as u32);
        assert_eq!(captioned.height(), bare.height() + 2 * 9);
        let count = |picture: &RgbImage, colour: [u8; 3]| picture.pixels().filter(|pixel| pixel.0 == colour).count();
        assert_eq!(count(&captioned, [9; 3]), count(&bare, [9; 3]));
        assert!(count(&captioned, [0; 3]) > 100);
    }

    #[test]
    fn a_picture_returns_from_its_png() {
        let tiles = vec![RgbImage::from_fn(5, 4, |x, y| Rgb([x as u8, y as u8, 200])); 3];
        let picture = grid(&tiles, &plain(3, 1)).unwrap();
        assert_eq!(image::load_from_memory(&encode_png(&picture).unwrap()).unwrap().to_rgb8(), picture);
    }
}
