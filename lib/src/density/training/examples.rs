//! Images and what they are conditional on, from files.

use crate::data::batches::ImageFile;
use crate::density::architecture::{Architecture, Condition};
use crate::density::{Error, Result};
use crate::store::npy::{Dtype, Reader, Scalar, require_finite};
use crate::tensor::{Batch, Element, batch, channels_last};

/// Rows of conditions that are read at a time.
const ROWS: usize = 256;

/// 8-bit images, and what they are conditional on, row by row.
#[derive(Debug)]
pub struct Examples {
    images: ImageFile,
    condition: Option<(Reader, Condition)>,
    /// What conditions are divided by.
    unit: f64,
}

impl Examples {
    /// Images, with the file of their conditions.
    ///
    /// # Errors
    /// Images that are not 8-bit; conditions that are neither vectors nor maps, or not one per image.
    pub fn new(images: ImageFile, condition: Option<Reader>) -> Result<Self> {
        images.reader().require_dtype(&[Dtype::U8])?;
        let condition = condition.map(|reader| {
            reader.require_dtype(&[Dtype::F32, Dtype::F64])?;
            let file = reader.path().display().to_string();
            if reader.rows() != images.count() {
                let expected = format!("{} rows, one per image", images.count());
                return Err(Error::Mismatch { file, expected, found: format!("{} rows", reader.rows()) });
            }
            let condition = Condition::of_rows(&file, reader.row_shape())?;
            Ok((reader, condition))
        });
        Ok(Self { images, condition: condition.transpose()?, unit: 1.0 })
    }

    /// The same, with conditions divided by their root mean square, so that a projection learns equally well from features of any scale.
    /// This does not change the information in a layer.
    ///
    /// # Errors
    /// Conditions that cannot be read or are not finite.
    pub fn standardised(mut self) -> Result<Self> {
        let Some((reader, _)) = &self.condition else { return Ok(self) };
        let mut squares = 0.0;
        for first in (0..reader.rows()).step_by(ROWS) {
            let values: Vec<f64> = reader.read_row_range_as_float_at(first, ROWS.min(reader.rows() - first))?;
            require_finite(reader.path(), &values, first, reader.row_len())?;
            squares += values.iter().map(|value| value * value).sum::<f64>();
        }
        let unit = (squares / (reader.rows() * reader.row_len()).max(1) as f64).sqrt();
        // Conditions that are all zero are left as they are.
        self.unit = if unit > 0.0 { unit } else { 1.0 };
        Ok(self)
    }

    /// What conditions are divided by: 1 unless they are standardised.
    pub fn unit(&self) -> f64 {
        self.unit
    }

    /// The images.
    pub fn images(&self) -> &ImageFile {
        &self.images
    }

    /// The file of conditions.
    pub fn conditions(&self) -> Option<&Reader> {
        self.condition.as_ref().map(|(reader, _)| reader)
    }

    /// What the images are conditional on.
    pub fn condition(&self) -> Option<Condition> {
        self.condition.as_ref().map(|(_, condition)| *condition)
    }

    /// The number of images.
    pub fn count(&self) -> usize {
        self.images.count()
    }

    /// Checks that they fit a model of this architecture.
    ///
    /// # Errors
    /// Images of another shape, another condition or none.
    pub fn check(&self, architecture: &Architecture) -> Result<()> {
        let file = |reader: &Reader| reader.path().display().to_string();
        if self.images.shape() != architecture.image() {
            return Err(Error::Mismatch {
                file: file(self.images.reader()),
                expected: format!("images of {}", architecture.image()),
                found: format!("images of {}", self.images.shape()),
            });
        }
        if self.condition() != architecture.condition {
            let words = |condition: Option<Condition>| match condition {
                None => "no condition".to_string(),
                Some(condition) => format!("a condition of rows {:?}", condition.row_shape()),
            };
            return Err(Error::Mismatch {
                file: file(self.conditions().unwrap_or(self.images.reader())),
                expected: words(architecture.condition),
                found: words(self.condition()),
            });
        }
        Ok(())
    }

    /// The pixels (N, H, W, C) and the conditions of these rows.
    ///
    /// # Errors
    /// Rows that cannot be read, conditions that are not finite.
    pub fn batch<E: Element + Scalar>(&self, rows: &[usize]) -> Result<(Vec<u8>, Option<Batch<E>>)> {
        let pixels = self.images.bytes(rows)?;
        let Some((reader, condition)) = &self.condition else { return Ok((pixels, None)) };
        let mut values = Vec::with_capacity(rows.len() * reader.row_len());
        for &row in rows {
            let part: Vec<E> = reader.read_row_range_as_float_at(row, 1)?;
            require_finite(reader.path(), &part, row, reader.row_len())?;
            values.extend(part);
        }
        if self.unit != 1.0 {
            values.iter_mut().for_each(|value| *value /= E::of(self.unit));
        }
        Ok((pixels, Some(condition.batch(values, rows.len()))))
    }
}

impl Condition {
    /// `count` rows of a file as a batch, channels last.
    pub fn batch<E: Element>(self, values: Vec<E>, count: usize) -> Batch<E> {
        match self {
            Self::Vector(features) => batch(values, (count, 1, 1, features)),
            Self::Maps(channels, height, width) => {
                let shape = (count, height, width, channels);
                batch(channels_last(&values, shape), shape)
            }
        }
    }
}
