//! From a picture to what a network takes: rounded as a file of 8 bits would hold it, and resized by one of the conventions of
//! the programs that publish such distances.
//!
//! A network takes 0..1 and normalises by itself. TensorFlow's inception network of 2015 takes (v - 128) / 128 of bytes v: that is
//! 2 x - 1 of x = v / 256, so for this network ([`Scale::Inception`]) `Tf1` and `Clean` divide bytes by 256 instead of 255.
//!
//! ```
//! use obverse::data::{Shape, pictures::Picture};
//! use obverse::fidelity::input::{Convention, Input, Rounding, Scale};
//! let shape = Shape { channels: 1, height: 1, width: 2 };
//! let picture = Picture { shape, pixels: vec![0.0, 1.3] };
//! let convention = Convention { input: Input::Tf1, rounding: Rounding::Byte, scale: Scale::Unit };
//! // TensorFlow 1 reads column j of 4 at 2 j / 4, and nothing beyond the last one.
//! let prepared = convention.prepared(&picture, (1, 1, 4));
//! assert_eq!((prepared.values, prepared.clipped), (vec![0.0, 0.5, 1.0, 1.0], 1));
//! ```

use crate::data::Shape;
use crate::data::pictures::Picture;
use crate::data::resize::{Filter, resize};
use crate::ops::upsample::bilinear;
use crate::tensor::{Tape, batch, channels_first, channels_last, view};

/// How images are resized for the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// As pytorch-fid: bilinear with half-pixel centres, without antialiasing.
    Bilinear,
    /// As TensorFlow 1, torch-fidelity and ADM: bilinear, row i of H' reads row i H / H', without antialiasing.
    Tf1,
    /// As clean-fid: bicubic with antialiasing, channel by channel, in floats, clipped.
    Clean,
    /// Not at all: images must have the network's size.
    None,
}

/// What becomes of pixels before they are resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Clipped to 0..1 and rounded to the nearest of 256 levels, as a PNG holds them.
    Byte,
    /// They stay as they are.
    Unrounded,
}

/// What a byte becomes for the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// v / 255.
    Unit,
    /// v / 256 where the convention is TensorFlow's or clean-fid's: see the module.
    Inception,
}

/// Everything that decides what a network sees of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convention {
    /// How it is resized.
    pub input: Input,
    /// How its pixels are rounded.
    pub rounding: Rounding,
    /// What a byte becomes.
    pub scale: Scale,
}

/// A picture as a network takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Its values, (H, W, C).
    pub values: Vec<f32>,
    /// How many of the picture's values lay outside 0..1 and were clipped.
    pub clipped: usize,
}

impl Convention {
    /// `picture` for a network that takes `(channels, height, width)`; a grey one becomes one of equal channels.
    pub fn prepared(&self, picture: &Picture, (channels, height, width): (usize, usize, usize)) -> Prepared {
        let Shape { height: h, width: w, channels: c } = picture.shape;
        let clipped = match self.rounding {
            Rounding::Byte => picture.pixels.iter().filter(|value| !(0.0..=1.0).contains(*value)).count(),
            Rounding::Unrounded => 0,
        };
        let bytes = picture.pixels.iter().map(|&value| match self.rounding {
            Rounding::Byte => (value.clamp(0.0, 1.0) * 255.0).round(),
            Rounding::Unrounded => value * 255.0,
        });
        let bytes: Vec<f32> = match c == channels {
            true => bytes.collect(),
            false => bytes.flat_map(|value| std::iter::repeat_n(value, channels)).collect(),
        };
        let from = (1, h, w, channels);
        let values = match self.input {
            Input::Clean => {
                let shape = Shape { channels, ..picture.shape };
                let resized = resize(&channels_first(&bytes, from), shape, height, width, Filter::Bicubic);
                let clamped: Vec<f32> = resized.into_iter().map(|value| value.clamp(0.0, 255.0)).collect();
                scaled(channels_last(&clamped, (1, height, width, channels)), self.divisor())
            }
            Input::Tf1 => scaled(tf1(&bytes, (h, w, channels), (height, width)), self.divisor()),
            Input::Bilinear if (h, w) != (height, width) => {
                let values = batch(scaled(bytes, 255.0), from);
                view(&bilinear(&mut Tape::off(), &values, (height, width))).to_vec()
            }
            Input::Bilinear | Input::None => scaled(bytes, 255.0),
        };
        Prepared { values, clipped }
    }

    fn divisor(&self) -> f32 {
        match self.scale {
            Scale::Unit => 255.0,
            Scale::Inception => 256.0,
        }
    }
}

fn scaled(mut values: Vec<f32>, divisor: f32) -> Vec<f32> {
    values.iter_mut().for_each(|value| *value /= divisor);
    values
}

/// TensorFlow 1's `resize_bilinear` with align_corners=False of an image (H, W, C), in f32 as there, so that the bits are the same.
fn tf1(image: &[f32], (h, w, c): (usize, usize, usize), (height, width): (usize, usize)) -> Vec<f32> {
    let (rows, columns) = (places(h, height), places(w, width));
    let mut result = Vec::with_capacity(height * width * c);
    for &(top, bottom, down) in &rows {
        let row = |row: usize| &image[row * w * c..(row + 1) * w * c];
        let (top, bottom) = (row(top), row(bottom));
        for &(left, right, across) in &columns {
            for channel in 0..c {
                let along = |row: &[f32]| {
                    let (left, right) = (row[left * c + channel], row[right * c + channel]);
                    left + (right - left) * across
                };
                let (above, below) = (along(top), along(bottom));
                result.push(above + (below - above) * down);
            }
        }
    }
    result
}

/// Of each of `to` places the two of `from` that it lies between, and the weight of the second.
fn places(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    // The quotient in f64, then f32, as torch-fidelity has it: TensorFlow's own quotient of two f32 is the same.
    let scale = (from as f64 / to as f64) as f32;
    let last = from.saturating_sub(1);
    let place = |i: usize| {
        let at = i as f32 * scale;
        let low = (at as usize).min(last);
        (low, (low + 1).min(last), at - low as f32)
    };
    (0..to).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(pixels: Vec<f32>, height: usize, width: usize) -> Picture {
        Picture { shape: Shape { channels: 1, height, width }, pixels }
    }

    fn convention(input: Input, rounding: Rounding, scale: Scale) -> Convention {
        Convention { input, rounding, scale }
    }

    #[test]
    fn floats_become_the_bytes_that_a_png_would_hold() {
        let bytes: Vec<f32> = (0..=255u8).map(|byte| f32::from(byte) / 255.0).collect();
        let rounded = convention(Input::None, Rounding::Byte, Scale::Unit);
        // Bytes stay what they are, to the bit.
        assert_eq!(
            rounded.prepared(&picture(bytes.clone(), 16, 16), (1, 16, 16)),
            Prepared { values: bytes, clipped: 0 }
        );
        let values = vec![-0.2, 0.5 / 255.0, 1.49 / 255.0, 1.0 + 1e-6];
        let prepared = rounded.prepared(&picture(values.clone(), 2, 2), (1, 2, 2));
        assert_eq!(prepared, Prepared { values: vec![0.0, 1.0 / 255.0, 1.0 / 255.0, 1.0], clipped: 2 });
        let as_they_are = convention(Input::None, Rounding::Unrounded, Scale::Unit);
        let prepared = as_they_are.prepared(&picture(values.clone(), 2, 2), (1, 2, 2));
        assert_eq!(prepared.clipped, 0);
        // Times 255 and divided by it: one rounding each.
        assert!(
            prepared
                .values
                .iter()
                .zip(&values)
                .all(|(now, value)| (now - value).abs() <= 2.0 * f32::EPSILON * value.abs())
        );
    }

    #[test]
    fn tensorflow_1_reads_from_the_corner_and_repeats_the_last_row() {
        let prepared = |input, height, width| {
            let image = picture(vec![0.0, 40.0 / 255.0, 80.0 / 255.0, 120.0 / 255.0], 2, 2);
            convention(input, Rounding::Byte, Scale::Inception).prepared(&image, (1, height, width)).values
        };
        let expected: Vec<f32> = [0.0, 20.0, 40.0, 40.0, 40.0, 60.0, 80.0, 80.0].map(|value| value / 256.0).to_vec();
        assert_eq!(prepared(Input::Tf1, 4, 4)[..8], expected);
        // Half as large: every second row and column, not their mean.
        assert_eq!(prepared(Input::Tf1, 1, 1), [0.0]);
        assert_eq!(prepared(Input::Clean, 1, 1), [60.0 / 256.0]);
        assert_eq!(prepared(Input::Tf1, 2, 2), [0.0, 40.0 / 256.0, 80.0 / 256.0, 120.0 / 256.0]);
    }

    #[test]
    fn the_bits_are_those_of_torch_fidelity() {
        // interpolate_bilinear_2d_like_tensorflow1x of torch-fidelity 0.4.0 on the bytes (i * 37 + 11) % 256, 3 rows of 5, to 4 x 7:
        // the first row, and the sum of all values' bits as unsigned integers modulo 2^32.
        const FIRST_ROW: [f32; 7] = [11.0, 37.428_574, 63.857_143, 90.285_71, 116.714_29, 143.142_87, 159.0];
        const SUM_OF_BITS: u32 = 1_302_977_386;
        let bytes: Vec<f32> = (0..15).map(|i| ((i * 37 + 11) % 256) as f32).collect();
        let resized = tf1(&bytes, (3, 5, 1), (4, 7));
        let sum = resized.iter().fold(0u32, |sum, value| sum.wrapping_add(value.to_bits()));
        assert_eq!((&resized[..7], sum), (&FIRST_ROW[..], SUM_OF_BITS));
    }
}
