//! Batches of images and labels from `.npy` files: rows at any indices, read from the file as they are needed.
//!
//! A file of images is (N, C, H, W) or (N, H, W) with one channel, u8 0..255 or floats 0..1. A batch is channels last,
//! (N, H, W, C), in 0..1. Labels are whole numbers of any type, (N) or (N, 1).

use std::path::Path;

use num_traits::Float;

use super::{Error, Result, Shape};
use crate::store::npy::{Dtype, Reader, Scalar, require_finite};
use crate::tensor::random::Stream;

/// A file of images, read in batches. Memory does not grow with the number of images.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("images.npy");
/// use obverse::data::batches::ImageFile;
/// obverse::store::npy::write(&path, &[2, 2, 1, 2], &[0u8, 51, 102, 153, 204, 255, 0, 0])?;
/// let images = ImageFile::open(&path)?;
/// assert_eq!(images.batch::<f64>(&[0])?, [0.0, 0.4, 0.2, 0.6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ImageFile {
    reader: Reader,
    shape: Shape,
}

impl ImageFile {
    /// Opens a file of images.
    ///
    /// # Errors
    /// A file that cannot be read, of another rank or type, or whose images are empty.
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(Reader::open(path)?)
    }

    /// Uses an open array, from a file or from standard input.
    ///
    /// # Errors
    /// An array of another rank or type, or whose images are empty.
    pub fn new(reader: Reader) -> Result<Self> {
        reader.require_dtype(&[Dtype::U8, Dtype::F32, Dtype::F64])?;
        let file = reader.path().display().to_string();
        let shape = match *reader.row_shape() {
            [height, width] => Shape::checked(&file, 1, height, width)?,
            [channels, height, width] => Shape::checked(&file, channels, height, width)?,
            _ => {
                let found = format!("shape {:?}", reader.shape());
                let advice = "give a file of images, or reshape it";
                return Err(Error::malformed(&file, "images (N, C, H, W) or (N, H, W)", found, advice));
            }
        };
        Ok(Self { reader, shape })
    }

    /// Uses an open array as what a network takes: images, or without the axes of length 1 at the end vectors (N, F) and tokens (N, C, T).
    ///
    /// # Errors
    /// An array of another rank or type.
    pub fn of_network(reader: Reader, wanted: Shape) -> Result<Self> {
        let Shape { channels, height, width } = wanted;
        let whole = [channels, height, width];
        if reader.row_shape().len() < 3 && trimmed(reader.row_shape()) == trimmed(&whole) {
            reader.require_dtype(&[Dtype::U8, Dtype::F32, Dtype::F64])?;
            return Ok(Self { reader, shape: wanted });
        }
        if let (&[length], [_, 1, 1]) = (reader.row_shape(), whole) {
            reader.require_dtype(&[Dtype::U8, Dtype::F32, Dtype::F64])?;
            let shape = Shape::checked(&reader.path().display().to_string(), length, 1, 1)?;
            return Ok(Self { reader, shape });
        }
        Self::new(reader)
    }

    /// The number of images.
    pub fn count(&self) -> usize {
        self.reader.rows()
    }

    /// The shape of one image.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The file.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The images at `rows`, in that order, channels last, in 0..1.
    ///
    /// # Errors
    /// An index outside the file, a value that is not finite, a file that fails.
    pub fn batch<E: Float + Scalar>(&self, rows: &[usize]) -> Result<Vec<E>> {
        check_rows(self.reader.path(), self.count(), rows)?;
        let mut batch = vec![E::zero(); rows.len() * self.shape.len()];
        let mut rest = batch.as_mut_slice();
        for (start, count) in runs(rows) {
            let (run, after) = rest.split_at_mut(count * self.shape.len());
            self.read_run(start, count, run)?;
            rest = after;
        }
        Ok(batch)
    }

    /// The 8-bit images at `rows`, in that order, channels last, 0..255.
    ///
    /// # Errors
    /// A file of another type, an index outside it, a file that fails.
    pub fn bytes(&self, rows: &[usize]) -> Result<Vec<u8>> {
        self.reader.require_dtype(&[Dtype::U8])?;
        check_rows(self.reader.path(), self.count(), rows)?;
        let mut batch = vec![0; rows.len() * self.shape.len()];
        let mut rest = batch.as_mut_slice();
        for (start, count) in runs(rows) {
            let (run, after) = rest.split_at_mut(count * self.shape.len());
            interleave(self.shape, &self.reader.read_row_range_at::<u8>(start, count)?, run, |value| value);
            rest = after;
        }
        Ok(batch)
    }

    /// Reads `count` neighbouring images into `run`.
    fn read_run<E: Float + Scalar>(&self, start: usize, count: usize, run: &mut [E]) -> Result<()> {
        if self.reader.dtype() == Dtype::U8 {
            let scale = byte_values();
            let bytes = self.reader.read_row_range_at::<u8>(start, count)?;
            interleave(self.shape, &bytes, run, |value| scale[value as usize]);
            return Ok(());
        }
        let values = self.reader.read_row_range_as_float_at::<E>(start, count)?;
        require_finite(self.reader.path(), &values, start, self.shape.len())?;
        interleave(self.shape, &values, run, |value| value);
        Ok(())
    }
}

/// Lengths without those of 1 at the end.
fn trimmed(lengths: &[usize]) -> &[usize] {
    let last = lengths.iter().rposition(|&length| length != 1);
    &lengths[..last.map_or(0, |last| last + 1)]
}

/// A file of labels, whole numbers of shape (N) or (N, 1).
#[derive(Debug)]
pub struct LabelFile {
    reader: Reader,
}

impl LabelFile {
    /// Opens the labels of `count` images.
    ///
    /// # Errors
    /// A file that cannot be read, of another type or shape, or with another number of labels.
    pub fn open(path: &Path, count: usize) -> Result<Self> {
        let reader = Reader::open(path)?;
        reader.require_whole()?;
        if reader.row_shape() != [1] {
            reader.require_rank(1, "labels (N) or (N, 1)")?;
        }
        if reader.rows() != count {
            let file = path.display().to_string();
            let advice = "give the labels that belong to these images";
            return Err(Error::malformed(&file, format!("{count} labels"), reader.rows(), advice));
        }
        Ok(Self { reader })
    }

    /// The file.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The number of labels.
    pub fn count(&self) -> usize {
        self.reader.rows()
    }

    /// The labels at `rows`, in that order.
    ///
    /// # Errors
    /// An index outside the file, a file that fails.
    pub fn batch(&self, rows: &[usize]) -> Result<Vec<i64>> {
        check_rows(self.reader.path(), self.count(), rows)?;
        let mut labels = Vec::with_capacity(rows.len());
        for (start, count) in runs(rows) {
            labels.extend(self.reader.read_row_range_as_integer_at(start, count)?);
        }
        Ok(labels)
    }
}

/// The order in which epoch `epoch` of a run seeded with `seed` sees `count` examples.
pub fn epoch_order(seed: u64, epoch: u64, count: usize) -> Vec<usize> {
    Stream::new(seed, "shuffle", epoch).permutation(count)
}

/// Every byte divided by 255, in the precision of `E`.
fn byte_values<E: Float>() -> [E; 256] {
    let convert = |value: usize| E::from(value).unwrap_or_else(E::zero);
    std::array::from_fn(|value| convert(value) / convert(255))
}

/// Channels first to channels last, each value through `convert`.
fn interleave<T: Copy, E>(shape: Shape, rows: &[T], batch: &mut [E], convert: impl Fn(T) -> E) {
    let area = shape.height * shape.width;
    for (row, image) in rows.chunks_exact(shape.len()).zip(batch.chunks_exact_mut(shape.len())) {
        for (channel, plane) in row.chunks_exact(area).enumerate() {
            for (&value, pixel) in plane.iter().zip(image.chunks_exact_mut(shape.channels)) {
                pixel[channel] = convert(value);
            }
        }
    }
}

fn check_rows(path: &Path, count: usize, rows: &[usize]) -> Result<()> {
    match rows.iter().find(|&&row| row >= count) {
        None => Ok(()),
        Some(row) => {
            let file = path.display().to_string();
            Err(Error::malformed(
                &file,
                format!("rows below {count}"),
                format!("row {row}"),
                "give a file with more rows",
            ))
        }
    }
}

/// Neighbouring indices joined to (first, count), so that rows in order are read at once.
fn runs(rows: &[usize]) -> impl Iterator<Item = (usize, usize)> + '_ {
    rows.chunk_by(|&before, &after| before.checked_add(1) == Some(after)).map(|run| (run[0], run.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::npy;
    use crate::tensor::channels_first;

    fn file(shape: &[usize], values: &[u8]) -> (tempfile::TempDir, ImageFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.npy");
        npy::write(&path, shape, values).unwrap();
        let images = ImageFile::open(&path).unwrap();
        (folder, images)
    }

    #[test]
    fn bytes_become_0_to_1_as_pytorch_divides_them() {
        let values: Vec<u8> = (0..=255).collect();
        let (_folder, images) = file(&[1, 16, 16], &values);
        assert_eq!(images.shape(), Shape { channels: 1, height: 16, width: 16 });
        let batch: Vec<f32> = images.batch(&[0]).unwrap();
        assert!(batch.iter().enumerate().all(|(byte, &value)| value == byte as f32 / 255.0));
    }

    #[test]
    fn labels_of_another_number_or_type_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.npy");
        npy::write(&path, &[3], &[4i64, 5, 6]).unwrap();
        assert_eq!(LabelFile::open(&path, 3).unwrap().batch(&[2, 0, 1]).unwrap(), [6, 4, 5]);
        assert!(LabelFile::open(&path, 2).unwrap_err().to_string().contains("expected 2 labels, found 3"));
        npy::write(&path, &[3], &[4f32, 5.0, 6.0]).unwrap();
        assert!(LabelFile::open(&path, 3).unwrap_err().to_string().contains("whole numbers"));
        npy::write(&path, &[3, 2], &[0u8; 6]).unwrap();
        assert!(LabelFile::open(&path, 3).unwrap_err().to_string().contains("(N) or (N, 1)"));
    }

    #[test]
    fn labels_are_whole_numbers_of_any_type_in_a_row_or_a_column() {
        fn check<T: Scalar>(shape: &[usize]) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("labels.npy");
            let labels: Vec<T> = [4, 5, 6].iter().map(|&label: &i32| T::from(label).unwrap()).collect();
            npy::write(&path, shape, &labels).unwrap();
            let file = LabelFile::open(&path, 3).unwrap();
            assert_eq!(file.batch(&[2, 0, 1]).unwrap(), [6, 4, 5], "{}", T::DTYPE);
        }
        for shape in [&[3][..], &[3, 1]] {
            [check::<u8>, check::<i8>, check::<u16>, check::<i16>].iter().for_each(|check| check(shape));
            [check::<u32>, check::<i32>, check::<u64>, check::<i64>].iter().for_each(|check| check(shape));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.npy");
        npy::write(&path, &[2], &[1, u64::MAX]).unwrap();
        assert!(LabelFile::open(&path, 2).unwrap().batch(&[0, 1]).unwrap_err().to_string().contains("2^63"));
    }

    #[test]
    fn what_is_no_image_or_no_row_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        npy::write(&path, &[2, 3], &[0u8; 6]).unwrap();
        assert!(ImageFile::open(&path).unwrap_err().to_string().contains("images (N, C, H, W)"));
        npy::write(&path, &[2, 0, 3], &[0u8; 0]).unwrap();
        assert!(ImageFile::open(&path).is_err());
        npy::write(&path, &[1, 1, 2], &[0.5, f32::NAN]).unwrap();
        assert!(ImageFile::open(&path).unwrap().batch::<f32>(&[0]).is_err());
        assert!(ImageFile::open(&path).unwrap().batch::<f32>(&[1]).unwrap_err().to_string().contains("row 1"));
    }

    #[test]
    fn an_epoch_has_its_own_order_of_all_examples() {
        let mut order = epoch_order(0, 1, 100);
        assert_ne!(order, epoch_order(0, 2, 100));
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..100));
    }

    proptest! {
        #[test]
        fn any_rows_come_back_in_their_order_and_layout(
            (channels, height, width) in (1usize..4, 1usize..4, 1usize..4),
            rows in prop::collection::vec(0usize..7, 0..12),
        ) {
            let shape = Shape { channels, height, width };
            let values: Vec<u8> = (0..7 * shape.len()).map(|value| (value * 37 % 256) as u8).collect();
            let (_folder, images) = file(&[7, channels, height, width], &values);
            let batch: Vec<f64> = images.batch(&rows).unwrap();
            let expected: Vec<u8> = rows.iter().flat_map(|row| &values[row * shape.len()..][..shape.len()]).copied().collect();
            let first = channels_first(&batch, (rows.len(), height, width, channels));
            let bytes: Vec<u8> = first.iter().map(|value| (value * 255.0).round() as u8).collect();
            prop_assert_eq!(bytes, expected);
        }
    }
}
