//! Where two images differ: blue where the second is darker, white where they agree, red where it is lighter, with a scale.

use image::{Rgb, RgbImage};

use super::grid::image_shape;
use super::text::{self, CHARACTER};
use super::{Error, Result};
use crate::store::npy::{Dtype, Reader, require_finite};

/// Height of the scale's colours, and of all of it with its numbers.
const BAR: u32 = 10;
const SCALE: u32 = BAR + 2 * CHARACTER as u32 + 4;
const WHITE: Rgb<u8> = Rgb([255; 3]);

/// Differences of images, drawn.
#[derive(Clone, Debug)]
pub struct Differences {
    /// In the order of the files.
    pub tiles: Vec<RgbImage>,
    /// The difference that has the full colour; larger ones are drawn as this.
    pub largest: f64,
}

/// The differences of the first `count` images of two files, the second minus the first, averaged over channels, for values in 0..1.
/// `largest` is the difference with the full colour, or else the largest there is.
///
/// # Errors
/// `Shape` where an array holds no images; `Unequal` for images of different shapes or numbers; `Store` for values that are not finite
/// and files that fail.
pub fn read_differences(files: [&Reader; 2], count: usize, largest: Option<f64>) -> Result<Differences> {
    let [shape, other] = [image_shape(files[0])?, image_shape(files[1])?];
    let counts = files.map(|file| file.rows().min(count));
    if shape != other || counts[0] != counts[1] {
        let [first, second] = files.map(|file| file.path().to_owned());
        let [expected, found] = files.map(|file| file.shape().to_vec());
        return Err(Error::Unequal { first, second, expected, found });
    }
    let (channels, height, width) = shape;
    let area = height * width;
    let [first, second] = [values(files[0], count)?, values(files[1], count)?];
    let means: Vec<f64> = (0..counts[0] * area)
        .map(|place| {
            let (image, pixel) = (place / area, place % area);
            let at = |channel: usize| (image * channels + channel) * area + pixel;
            (0..channels).map(|channel| second[at(channel)] - first[at(channel)]).sum::<f64>() / channels as f64
        })
        .collect();
    let found = means.iter().map(|mean| mean.abs()).fold(0.0, f64::max);
    let largest = largest.unwrap_or(if found > 0.0 { found } else { 1.0 });
    let tile = |image: &[f64]| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| colour(image[y as usize * width + x as usize] / largest))
    };
    Ok(Differences { tiles: means.chunks_exact(area).map(tile).collect(), largest })
}

/// The first images' values in 0..1.
fn values(file: &Reader, count: usize) -> Result<Vec<f64>> {
    file.require_dtype(&[Dtype::U8, Dtype::F16, Dtype::F32, Dtype::F64])?;
    let mut values: Vec<f64> = file.read_row_range_as_float_at(0, count)?;
    require_finite(file.path(), &values, 0, file.row_len())?;
    if file.dtype() == Dtype::U8 {
        values.iter_mut().for_each(|value| *value /= 255.0);
    }
    Ok(values)
}

/// The colour of -1 (blue) to 1 (red).
fn colour(share: f64) -> Rgb<u8> {
    let fade = |end: u8| (255.0 - (255.0 - f64::from(end)) * share.abs().min(1.0)).round() as u8;
    Rgb(if share < 0.0 { [0x05, 0x30, 0x61] } else { [0x67, 0x00, 0x1f] }.map(fade))
}

/// A picture with the scale of its differences below.
pub fn with_scale(picture: &RgbImage, largest: f64) -> RgbImage {
    let (width, height) = picture.dimensions();
    let mut scaled = RgbImage::from_pixel(width, height + SCALE, WHITE);
    image::imageops::replace(&mut scaled, picture, 0, 0);
    let top = height + 2;
    for x in 0..width {
        let share = if width > 1 { 2.0 * f64::from(x) / f64::from(width - 1) - 1.0 } else { 0.0 };
        (top..top + BAR).for_each(|y| scaled.put_pixel(x, y, colour(share)));
    }
    let line = (top + BAR) as usize + CHARACTER / 2;
    let [low, high] = [-largest, largest].map(|end| format!("{end:.3}"));
    text::draw(&mut scaled, &low, (0, line), 1);
    let middle = (width as usize / 2).saturating_sub(CHARACTER / 2);
    if middle > (low.len() + 1) * CHARACTER {
        text::draw(&mut scaled, "0", (middle, line), 1);
    }
    text::draw(&mut scaled, &high, ((width as usize).saturating_sub(high.len() * CHARACTER), line), 1);
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::npy::write;

    #[test]
    fn lighter_is_red_darker_blue_and_the_scale_says_how_much() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        write(&file("a.npy"), &[1, 1, 1, 3], &[0u8, 51, 51]).unwrap();
        write(&file("b.npy"), &[1, 1, 1, 3], &[0f32, 0.7, 0.1]).unwrap();
        write(&file("c.npy"), &[1, 3, 1, 1], &[0f32; 3]).unwrap();
        let [a, b, c] = ["a.npy", "b.npy", "c.npy"].map(|name| Reader::open(&file(name)).unwrap());
        let found = read_differences([&a, &b], 5, None).unwrap();
        assert!((found.largest - 0.5).abs() < 1e-6);
        let pixel = |x: u32| found.tiles[0].get_pixel(x, 0).0;
        assert_eq!((pixel(0), pixel(1)), ([255; 3], [0x67, 0x00, 0x1f]));
        assert!(pixel(2)[2] > pixel(2)[0] && pixel(2)[0] > 180, "{:?}", pixel(2));
        assert_eq!(read_differences([&a, &a], 5, None).unwrap().largest, 1.0);
        let wrong = read_differences([&a, &c], 5, None).unwrap_err().to_string();
        assert!(wrong.contains("a.npy") && wrong.contains("c.npy"), "{wrong}");
        let picture = with_scale(&RgbImage::from_pixel(200, 10, Rgb([9; 3])), 0.5);
        assert_eq!(picture.dimensions(), (200, 10 + SCALE));
        assert_eq!(picture.get_pixel(0, 12), &Rgb([0x05, 0x30, 0x61]));
        assert_eq!(picture.get_pixel(199, 12), &Rgb([0x67, 0x00, 0x1f]));
    }
}
