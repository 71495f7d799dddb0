//! Random affine variants of small images on a larger canvas, as affNIST was made from MNIST: rotation, shear, scales
//! along both axes, and a translation uniform over all places that keep the ink on the canvas. Bilinear inverse warp.
//!
//! Shapes: (C, H, W) to (C, canvas, canvas). With c the image's centre, a point p goes to t + R S D (p - c), D the
//! scales, S = [1 shear; 0 1], R the rotation. Source: T. Tieleman's page; the ranges are his.
//!
//! ```
//! use obverse::data::{affine::{Ranges, variants}, shapes};
//! let images = shapes::parts(60, 16, 0)?.remove(0).images;
//! let mut placed = variants(images, "train", &Ranges::default(), 2, 0)?;
//! assert_eq!((placed.shape.channels, placed.shape.height), (3, 40));
//! assert_eq!(placed.examples.next().unwrap()?.pixels.len(), 3 * 40 * 40);
//! # Ok::<(), obverse::data::Error>(())
//! ```

use rayon::prelude::*;

use super::{Error, Example, Images, Result, Shape};
use crate::tensor::random::Stream;

/// Images that are warped in parallel at a time.
const BLOCK: usize = 256;

/// What to draw from. Each quantity is uniform in its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    /// The largest rotation to either side, in degrees.
    pub rotation: f64,
    /// The largest shear to either side: the horizontal shift per vertical pixel.
    pub shear: f64,
    /// The smallest and largest scale, drawn for each axis.
    pub scale: (f64, f64),
    /// The side of the canvas, in pixels.
    pub canvas: usize,
}

impl Default for Ranges {
    /// affNIST's: 20 degrees, 0.2, 0.8 to 1.2, 40 pixels.
    fn default() -> Self {
        Self { rotation: 20.0, shear: 0.2, scale: (0.8, 1.2), canvas: 40 }
    }
}

impl Ranges {
    fn check(&self) -> Result<()> {
        let refused = |expected: &str, found: String| Err(Error::request("affine", expected, found));
        if !(0.0..=180.0).contains(&self.rotation) {
            return refused("a rotation of 0 to 180 degrees", self.rotation.to_string());
        }
        if !(0.0..=2.0).contains(&self.shear) {
            return refused("a shear of 0 to 2", self.shear.to_string());
        }
        let (low, high) = self.scale;
        if !(low >= 0.1 && low <= high && high <= 10.0) {
            return refused("scales of 0.1 to 10, the smaller first", format!("{low} and {high}"));
        }
        if !(1..=4096).contains(&self.canvas) {
            return refused("a canvas of 1 to 4096 pixels", self.canvas.to_string());
        }
        Ok(())
    }
}

/// Variants of `images`: variant k of image i, drawn from (seed, part, i, k) alone, stands at i * copies + k.
///
/// # Errors
/// Ranges out of bounds or no copies; in the stream, an image whose ink does not fit on the canvas.
pub fn variants(images: Images, part: &str, ranges: &Ranges, copies: usize, seed: u64) -> Result<Images> {
    ranges.check()?;
    if copies == 0 {
        return Err(Error::request("affine", "at least one copy of each image", 0));
    }
    let shape = images.shape;
    let canvas = Shape { channels: shape.channels, height: ranges.canvas, width: ranges.canvas };
    let (purpose, ranges) = (format!("affine {part}"), ranges.clone());
    let count = images.count.map(|count| count * copies);
    let mut sources = images.examples.enumerate();
    let blocks = std::iter::from_fn(move || {
        let block: Vec<_> = sources.by_ref().take(BLOCK.div_ceil(copies)).collect();
        let warp = |(index, example): &(usize, Result<Example>)| -> Vec<Result<Example>> {
            let Ok(Example { pixels, label }) = example else { return Vec::new() };
            let one = |copy| {
                let draws: Vec<f64> = Stream::new(seed, &purpose, (index * copies + copy) as u64).uniform(0..6);
                let pixels = Placement::draw(&ranges, shape, pixels, &draws, *index)?.warp(shape, pixels, canvas);
                Ok(Example { pixels, label: *label })
            };
            (0..copies).map(one).collect()
        };
        let mut warped: Vec<Result<Example>> = block.par_iter().flat_map_iter(warp).collect();
        let empty = block.is_empty();
        warped.extend(block.into_iter().filter_map(|(_, example)| example.err()).map(Err));
        (!empty).then_some(warped)
    });
    Ok(Images { shape: canvas, count, examples: Box::new(blocks.flatten()) })
}

/// The matrix [a b; c d] of a warp and where it puts the image's centre.
#[derive(Debug)]
struct Placement {
    matrix: [f64; 4],
    translation: (f64, f64),
}

impl Placement {
    /// A placement from six numbers in [0, 1).
    fn draw(ranges: &Ranges, shape: Shape, pixels: &[u8], draws: &[f64], index: usize) -> Result<Self> {
        let within = |low: f64, high: f64, draw: f64| low + (high - low) * draw;
        let (sine, cosine) = within(-ranges.rotation, ranges.rotation, draws[0]).to_radians().sin_cos();
        let shear = within(-ranges.shear, ranges.shear, draws[1]);
        let (low, high) = ranges.scale;
        let (x, y) = (within(low, high, draws[2]), within(low, high, draws[3]));
        let matrix = [cosine * x, (cosine * shear - sine) * y, sine * x, (sine * shear + cosine) * y];
        let (left, top, right, bottom) = extent(shape, pixels, matrix);
        let canvas = ranges.canvas as f64;
        if right - left > canvas || bottom - top > canvas {
            let found = format!("image {index} covering {:.1} x {:.1}", right - left, bottom - top);
            let expected = format!("images whose ink fits on a canvas of {} pixels (see `canvas`)", ranges.canvas);
            return Err(Error::request("affine", expected, found));
        }
        let translation = (within(-left, canvas - right, draws[4]), within(-top, canvas - bottom, draws[5]));
        Ok(Self { matrix, translation })
    }

    /// The warped image: every pixel of the canvas looks up where it came from.
    fn warp(&self, shape: Shape, pixels: &[u8], canvas: Shape) -> Vec<u8> {
        let [a, b, c, d] = self.matrix;
        let determinant = a * d - b * c;
        let (area, to) = (shape.height * shape.width, canvas.height * canvas.width);
        let mut warped = vec![0; canvas.len()];
        for place in 0..to {
            let x = (place % canvas.width) as f64 + 0.5 - self.translation.0;
            let y = (place / canvas.width) as f64 + 0.5 - self.translation.1;
            let (x, y) = ((d * x - b * y) / determinant, (a * y - c * x) / determinant);
            let (x, y) = (x + shape.width as f64 / 2.0 - 0.5, y + shape.height as f64 / 2.0 - 0.5);
            for (channel, plane) in pixels.chunks_exact(area).enumerate() {
                warped[channel * to + place] = sample(plane, shape, x, y);
            }
        }
        warped
    }
}

/// Left, top, right and bottom, around the warped centre, of everything that the warp of the ink touches.
fn extent(shape: Shape, pixels: &[u8], [a, b, c, d]: [f64; 4]) -> (f64, f64, f64, f64) {
    let area = shape.height * shape.width;
    // A bilinear sample sees a pixel from up to one pixel away along each axis.
    let (reach_x, reach_y) = (a.abs() + b.abs(), c.abs() + d.abs());
    let mut extent: Option<(f64, f64, f64, f64)> = None;
    for place in (0..area).filter(|place| pixels.iter().skip(*place).step_by(area).any(|&value| value > 0)) {
        let x = (place % shape.width) as f64 + 0.5 - shape.width as f64 / 2.0;
        let y = (place / shape.width) as f64 + 0.5 - shape.height as f64 / 2.0;
        let (x, y) = (a * x + b * y, c * x + d * y);
        let (left, top, right, bottom) = extent.unwrap_or((x, y, x, y));
        extent = Some((left.min(x), top.min(y), right.max(x), bottom.max(y)));
    }
    let (left, top, right, bottom) = extent.unwrap_or_default();
    (left - reach_x, top - reach_y, right + reach_x, bottom + reach_y)
}

/// The bilinear sample of a plane at (x, y), in pixels from the first pixel's centre; black outside.
fn sample(plane: &[u8], shape: Shape, x: f64, y: f64) -> u8 {
    let pixel = |column: f64, row: f64| {
        let inside = (0.0..shape.width as f64).contains(&column) && (0.0..shape.height as f64).contains(&row);
        if inside { f64::from(plane[row as usize * shape.width + column as usize]) } else { 0.0 }
    };
    let (left, top) = (x.floor(), y.floor());
    let (right_weight, bottom_weight) = (x - left, y - top);
    let row = |row: f64| pixel(left, row) * (1.0 - right_weight) + pixel(left + 1.0, row) * right_weight;
    (row(top) * (1.0 - bottom_weight) + row(top + 1.0) * bottom_weight).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::mirror::mirror;
    use crate::data::{Source, idx};

    const DIGIT: Shape = Shape { channels: 1, height: 28, width: 28 };

    /// A ring of ink, 20 pixels wide, as large as MNIST's digits are.
    fn ring(_: usize) -> Result<Example> {
        let distance = |place: usize| ((place % 28) as f64 - 13.5).hypot((place / 28) as f64 - 13.5);
        let ink = |place| if (7.0..10.0).contains(&distance(place)) { 255 } else { 0 };
        Ok(Example { pixels: (0..784).map(ink).collect(), label: Some(0) })
    }

    fn rings(count: usize) -> Images {
        Images { shape: DIGIT, count: None, examples: Box::new((0..count).map(ring)) }
    }

    fn sum(pixels: &[u8]) -> f64 {
        pixels.iter().map(|&value| f64::from(value)).sum()
    }

    #[test]
    fn the_identity_only_places_the_image() {
        let ranges = Ranges { rotation: 0.0, shear: 0.0, scale: (1.0, 1.0), canvas: 28 };
        let placement = Placement { matrix: [1.0, 0.0, 0.0, 1.0], translation: (14.0, 14.0) };
        let pixels = ring(0).unwrap().pixels;
        assert_eq!(placement.warp(DIGIT, &pixels, DIGIT), pixels);
        // 20 pixels of ink and one of reach on each side leave 6 pixels of freedom.
        let drawn = Placement::draw(&ranges, DIGIT, &pixels, &[0.5, 0.5, 0.5, 0.5, 0.0, 0.999999], 0).unwrap();
        assert!((drawn.translation.0 - 10.5).abs() < 1e-3 && (drawn.translation.1 - 17.5).abs() < 1e-3, "{drawn:?}");
    }

    #[test]
    fn the_ink_is_scaled_by_the_determinant_and_never_leaves_the_canvas() {
        let ranges = Ranges::default();
        let pixels = ring(0).unwrap().pixels;
        for index in 0..500 {
            let draws: Vec<f64> = Stream::new(1, "affine", index).uniform(0..6);
            let placement = Placement::draw(&ranges, DIGIT, &pixels, &draws, 0).unwrap();
            let canvas = Shape { channels: 1, height: 40, width: 40 };
            let [a, b, c, d] = placement.matrix;
            let ratio = sum(&placement.warp(DIGIT, &pixels, canvas)) / sum(&pixels) / (a * d - b * c);
            // Sampling instead of integrating costs at most some percent of a stroke three pixels wide.
            assert!((ratio - 1.0).abs() < 0.04, "variant {index}: {ratio}");
        }
    }

    #[test]
    fn a_variant_depends_on_the_seed_and_its_index_alone() {
        let all = |count, copies| -> Vec<Example> {
            let images = variants(rings(count), "train", &Ranges::default(), copies, 5).unwrap();
            images.examples.map(Result::unwrap).collect()
        };
        let many = all(600, 1);
        assert_eq!(many.len(), 600);
        assert_eq!(all(20, 1), many[..20]);
        assert_eq!(all(10, 2), many[..20]);
        assert_ne!(many[0], many[1]);
    }

    #[test]
    fn ink_that_does_not_fit_and_a_broken_source_are_errors() {
        let ranges = Ranges { canvas: 20, ..Ranges::default() };
        let error = variants(rings(1), "train", &ranges, 1, 0).unwrap().examples.next().unwrap().unwrap_err();
        assert!(error.to_string().contains("`canvas`"), "{error}");
        let broken = vec![ring(0), Err(Error::damaged("x", "more", "less"))];
        let images = Images { shape: DIGIT, count: None, examples: Box::new(broken.into_iter()) };
        let variants: Vec<_> = variants(images, "train", &Ranges::default(), 1, 0).unwrap().examples.collect();
        assert!(variants.len() == 2 && variants[0].is_ok() && variants[1].is_err());
    }

    #[test]
    #[ignore = "it takes OBVERSE_MIRROR"]
    fn every_digit_of_mnist_fits_on_40_pixels() {
        let folder = mirror("mnist");
        let test = idx::open(Source::open(&folder, idx::wanted).unwrap()).unwrap().remove(1).images;
        let variants = variants(test, "test", &Ranges::default(), 1, 0).unwrap();
        assert_eq!(variants.shape, Shape { channels: 1, height: 40, width: 40 });
        assert_eq!(variants.examples.filter(|example| example.is_ok()).count(), 10_000);
    }
}
