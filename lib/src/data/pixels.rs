//! How an array is read as images: which values are black and white, and where the channels are.
//!
//! u8 is 0..255, floats are 0..1, channels come first, unless the array's sidecar or the user says otherwise. An array that says nothing
//! and looks otherwise is refused.
//!
//! ```
//! use obverse::data::batches::ImageFile;
//! use obverse::data::pixels::ImageOptions;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("images.npy");
//! obverse::store::npy::write(&path, &[1, 1, 1, 2], &[-1.0f32, 0.5])?;
//! assert!(ImageFile::open(&path).unwrap_err().to_string().contains("found -1..0.5"));
//! let options = ImageOptions { range: Some([-1.0, 1.0]), ..ImageOptions::default() };
//! assert_eq!(ImageFile::open_as(&path, options)?.batch::<f64>(&[0])?, [0.0, 0.75]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use num_traits::Float;

use super::{Error, Result, Shape};
use crate::store::is_standard_stream;
use crate::store::npy::{Dtype, Layout, Pixels, Reader};

/// How far outside its range a value may lie, as a part of the range: floats that were computed are seldom exactly white.
const ROUNDING: f64 = 1e-3;

/// The part of the values that may lie further outside than half the range, before the range is taken for a wrong one.
const OUTLIERS: f64 = 0.01;

/// Values that are looked at together.
const BLOCK: usize = 1 << 20;

/// How an array is read as images, where it does not say so itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageOptions {
    /// The values of black and white in floats whose sidecar does not say them; otherwise 0 and 1. Those of u8 are always 0 and 255.
    pub range: Option<[f64; 2]>,
    /// What becomes of values outside the range.
    pub outside: Outside,
    /// Where the channels are; otherwise what the array's sidecar says, or else first.
    pub layout: Option<Layout>,
}

/// What becomes of values outside the range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// An array that has any is refused, unless a tool made it and its sidecar states its range.
    #[default]
    Refused,
    /// They become black or white.
    Clipped,
    /// Values are no pixels, and there are no others: they are taken as they are. Channels may be last where only that fits what is wanted.
    Unchecked,
    /// They are kept, but an array is refused whose values look like those of another range.
    Kept,
}

/// How the values of an array become 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// The values of black and white.
    pub range: [f64; 2],
    /// Whether what lies outside is cut.
    pub clips: bool,
}

/// Values that are taken as they are.
pub(super) const UNIT: Scale = Scale { range: [0.0, 1.0], clips: false };

impl Scale {
    /// A value of the array as one of 0..1.
    pub fn of<E: Float>(self) -> impl Fn(E) -> E {
        let [low, high] = self.range.map(|value| E::from(value).unwrap_or_else(E::zero));
        move |value| {
            let value = (value - low) / (high - low);
            if self.clips { value.max(E::zero()).min(E::one()) } else { value }
        }
    }
}

impl ImageOptions {
    /// How the values of `reader` become 0..1, after they were looked at where that is needed.
    pub(super) fn scale(&self, reader: &Reader, recorded: Option<Pixels>, shape: Shape) -> Result<Scale> {
        let is_bytes = reader.dtype() == Dtype::U8;
        let stated = recorded.map(|pixels| pixels.range).or(self.range).unwrap_or([0.0, 1.0]);
        let range = if is_bytes { [0.0, 255.0] } else { stated };
        let scale = Scale { range, clips: self.outside == Outside::Clipped };
        let [low, high] = range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(Error::request("`range`", "two numbers, black below white", format!("{low},{high}")));
        }
        // What has one place is a vector, whose values are no pixels.
        let is_vector = shape.height * shape.width == 1 && self.range.is_none();
        if scale.clips || self.outside == Outside::Unchecked || recorded.is_some() || is_bytes || is_vector {
            return Ok(scale);
        }
        let kept = self.outside == Outside::Kept || is_standard_stream(reader.path());
        let found = Found::of(reader, scale.range)?;
        match if kept { found.far as f64 <= OUTLIERS * found.count as f64 } else { found.is_within(scale.range) } {
            true => Ok(scale),
            false => Err(found.refusal(reader, scale.range)),
        }
    }

    /// Where the channels of `reader` are, and the shape of one image.
    ///
    /// `wanted` is the shape that the reader of the images takes, where it is known.
    pub(super) fn layout(
        &self,
        reader: &Reader,
        recorded: Option<Pixels>,
        wanted: Option<Shape>,
    ) -> Result<(Layout, Shape)> {
        let file = reader.path().display().to_string();
        let refused = |expected: &str, advice: &str| {
            Err(Error::malformed(&file, expected, format!("shape {:?}", reader.shape()), advice))
        };
        let known = self.layout.or(recorded.map(|pixels| pixels.layout));
        let layout = known.unwrap_or(Layout::Nchw);
        let wants =
            |shape: [usize; 3]| wanted.is_some_and(|wanted| [wanted.channels, wanted.height, wanted.width] == shape);
        match *reader.row_shape() {
            [width, 3 | 4] if width > 4 && known.is_none() => {
                let advice =
                    "if it is one image (H, W, C), add an axis for the batch before its others and give `nhwc`";
                refused("images (N, C, H, W) or (N, H, W)", advice)
            }
            [height, width] => Ok((Layout::Nchw, Shape::checked(&file, 1, height, width)?)),
            [height, width, channels] if layout == Layout::Nhwc => {
                Ok((layout, Shape::checked(&file, channels, height, width)?))
            }
            [channels, height, width] => {
                let fits_last = wants([width, channels, height]);
                let fits_first = wants([channels, height, width]);
                if known.is_none() && fits_last && !fits_first && self.outside == Outside::Unchecked {
                    return Ok((Layout::Nhwc, Shape::checked(&file, width, channels, height)?));
                }
                let looks_last = channels > 4 && height > 4 && matches!(width, 1 | 3 | 4);
                if known.is_none() && (looks_last || fits_last) && !fits_first {
                    let advice = "give `nhwc` if the channels are the last axis, `nchw` if they are the second";
                    return refused("images (N, C, H, W)", advice);
                }
                Ok((layout, Shape::checked(&file, channels, height, width)?))
            }
            _ => refused("images (N, C, H, W) or (N, H, W)", "give a file of images, or reshape it"),
        }
    }
}

/// What values an array holds.
struct Found {
    low: f64,
    high: f64,
    /// Those that lie outside the range by more than half of it.
    far: usize,
    count: usize,
}

impl Found {
    /// Those of a whole array. Values that are no numbers are left to who reads them.
    fn of(reader: &Reader, [low, high]: [f64; 2]) -> Result<Self> {
        let mut found = Self { low: f64::INFINITY, high: f64::NEG_INFINITY, far: 0, count: 0 };
        let (rows, half) = ((BLOCK / reader.row_len().max(1)).max(1), 0.5 * (high - low));
        for start in (0..reader.rows()).step_by(rows) {
            for value in reader.read_row_range_as_float_at::<f64>(start, rows.min(reader.rows() - start))? {
                found.low = found.low.min(value);
                found.high = found.high.max(value);
                found.far += usize::from(value < low - half || value > high + half);
                found.count += 1;
            }
        }
        Ok(found)
    }

    fn is_within(&self, [low, high]: [f64; 2]) -> bool {
        let slack = ROUNDING * (high - low);
        self.count == 0 || (self.low >= low - slack && self.high <= high + slack)
    }

    /// Names the range that the values suggest.
    fn refusal(&self, reader: &Reader, [low, high]: [f64; 2]) -> Error {
        let guesses = [[0.0, 1.0], [-1.0, 1.0], [0.0, 255.0], [-128.0, 127.0], [0.0, 65535.0]];
        let likely = guesses.into_iter().find(|&guess| guess != [low, high] && self.is_within(guess));
        let likely = likely.map_or_else(|| "LOW,HIGH".to_owned(), |[low, high]| format!("{low},{high}"));
        let advice = format!("give `range` {likely} if those are black and white, or `clip` to cut what lies outside");
        let file = reader.path().display().to_string();
        let found = format!("{}..{}", self.low as f32, self.high as f32);
        Error::malformed(&file, format!("pixels of {low}..{high}"), found, &advice)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::data::batches::ImageFile;
    use crate::store::npy::{Scalar, write};

    const SHAPE: [usize; 4] = [2, 3, 6, 7];

    fn bytes() -> Vec<u8> {
        (0..252).map(|value| (value * 37 % 256) as u8).collect()
    }

    fn written<T: Scalar>(folder: &Path, name: &str, shape: &[usize], values: &[T]) -> PathBuf {
        let path = folder.join(name);
        write(&path, shape, values).unwrap();
        path
    }

    fn of(range: [f64; 2]) -> ImageOptions {
        ImageOptions { range: Some(range), ..ImageOptions::default() }
    }

    #[test]
    fn the_same_pictures_are_the_same_in_any_range_and_layout() {
        let folder = tempfile::tempdir().unwrap();
        let all = bytes();
        let own = written(folder.path(), "u8.npy", &SHAPE, &all);
        let expected: Vec<f32> = ImageFile::open(&own).unwrap().batch(&[1, 0]).unwrap();
        for (range, exact) in [([0.0, 1.0], true), ([0.0, 255.0], true), ([-1.0, 1.0], false), ([-128.0, 127.0], false)]
        {
            let [low, high] = range;
            let values: Vec<f32> =
                all.iter().map(|&byte| low as f32 + f32::from(byte) / 255.0 * (high - low) as f32).collect();
            let path = written(folder.path(), "floats.npy", &SHAPE, &values);
            let found: Vec<f32> = ImageFile::open_as(&path, of(range)).unwrap().batch(&[1, 0]).unwrap();
            let largest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest <= if exact { 0.0 } else { 1e-6 }, "{range:?}: {largest}");
        }
        let last = crate::tensor::channels_last(&all, (2, 6, 7, 3));
        let path = written(folder.path(), "last.npy", &[2, 6, 7, 3], &last);
        let refused = ImageFile::open(&path).unwrap_err().to_string();
        assert!(refused.contains("[2, 6, 7, 3]") && refused.contains("`nhwc`"), "{refused}");
        let options = ImageOptions { layout: Some(Layout::Nhwc), ..ImageOptions::default() };
        let images = ImageFile::open_as(&path, options).unwrap();
        assert_eq!(images.shape(), Shape { channels: 3, height: 6, width: 7 });
        assert_eq!(images.batch::<f32>(&[1, 0]).unwrap(), expected);
        assert_eq!(images.bytes(&[0, 1]).unwrap(), last);
        let insisted = ImageOptions { layout: Some(Layout::Nchw), ..ImageOptions::default() };
        assert_eq!(ImageFile::open_as(&path, insisted).unwrap().shape().channels, 6);
    }

    #[test]
    fn values_of_another_range_are_refused_with_the_likely_one() {
        let folder = tempfile::tempdir().unwrap();
        for ([low, high], likely) in [([-0.99, 0.9], "-1,1"), ([0.0, 254.0], "0,255"), ([-3.0, 3.5], "-128,127")] {
            let values: Vec<f64> = (0..48).map(|value| low + f64::from(value) / 47.0 * (high - low)).collect();
            let path = written(folder.path(), "x.npy", &[3, 1, 4, 4], &values);
            let refused = ImageFile::open(&path).unwrap_err().to_string();
            let expected = format!("found {low}..{high}; give `range` {likely} ");
            assert!(refused.contains("pixels of 0..1") && refused.contains(&expected), "{refused}");
            let clipped = ImageOptions { outside: Outside::Clipped, ..ImageOptions::default() };
            let cut: Vec<f64> = ImageFile::open_as(&path, clipped).unwrap().batch(&[0, 1, 2]).unwrap();
            assert!(cut.iter().zip(&values).all(|(cut, value)| *cut == value.clamp(0.0, 1.0)));
        }
        // A range of floats leaves bytes alone, as where sets of both are compared.
        let path = written(folder.path(), "bytes.npy", &[1, 2, 2], &[0u8, 51, 51, 255]);
        let bytes = ImageFile::open_as(&path, of([-1.0, 1.0])).unwrap();
        assert_eq!(bytes.batch::<f64>(&[0]).unwrap(), [0.0, 0.2, 0.2, 1.0]);
        let path = written(folder.path(), "x.npy", &[1, 2, 2], &[0.0f32; 4]);
        assert!(ImageFile::open_as(&path, of([1.0, 1.0])).is_err());
    }

    #[test]
    fn noise_around_the_range_is_kept_where_images_are_scored() {
        let folder = tempfile::tempdir().unwrap();
        let kept = ImageOptions { outside: Outside::Kept, ..ImageOptions::default() };
        let draws: Vec<f64> = crate::tensor::random::Stream::new(0, "noise", 0).normal(0..4 * 256);
        let noisy: Vec<f64> = draws.iter().enumerate().map(|(i, draw)| (i % 2) as f64 + 0.15 * draw).collect();
        let path = written(folder.path(), "noisy.npy", &[4, 1, 16, 16], &noisy);
        assert!(ImageFile::open(&path).is_err());
        assert_eq!(ImageFile::open_as(&path, kept).unwrap().batch::<f64>(&[0]).unwrap(), noisy[..256]);
        let centred: Vec<f64> = (0..1024).map(|i| f64::from(i % 256) / 127.5 - 1.0).collect();
        let path = written(folder.path(), "centred.npy", &[4, 1, 16, 16], &centred);
        assert!(ImageFile::open_as(&path, kept).unwrap_err().to_string().contains("`range` -1,1"));
    }

    #[test]
    fn vectors_are_no_pixels_and_what_a_network_takes_is_no_guess() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), "z.npy", &[2, 3, 1, 1], &[-4.0f32, 0.5, 7.0, 1.0, 2.0, 3.0]);
        assert_eq!(ImageFile::open(&path).unwrap().batch::<f32>(&[0]).unwrap(), [-4.0, 0.5, 7.0]);
        let open = |shape: &[usize], wanted| {
            let path = written(folder.path(), "x.npy", shape, &vec![0.5f32; shape.iter().product()]);
            ImageFile::of_network(Reader::open(&path).unwrap(), wanted, ImageOptions::default())
        };
        let tall = Shape { channels: 8, height: 9, width: 3 };
        assert!(open(&[2, 8, 9, 3], tall).is_ok());
        let small = Shape { channels: 3, height: 2, width: 2 };
        assert!(open(&[2, 2, 2, 3], small).unwrap_err().to_string().contains("`nhwc`"));
        let path = written(folder.path(), "normal.npy", &[1, 2, 2, 3], &[-3.0f32; 12]);
        let any = ImageOptions { outside: Outside::Unchecked, ..ImageOptions::default() };
        let values = ImageFile::of_network(Reader::open(&path).unwrap(), small, any).unwrap();
        assert_eq!((values.shape(), values.batch::<f32>(&[0]).unwrap()), (small, vec![-3.0; 12]));
        assert!(open(&[9, 9, 3], tall).unwrap_err().to_string().contains("one image (H, W, C)"));
    }
}
