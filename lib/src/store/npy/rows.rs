//! Reading rows of an array, in order or at any position, in the file's own type or as floats or whole numbers.

use std::os::unix::fs::FileExt;

use bytemuck::Pod;
use half::f16;
use num_traits::{Float, ToPrimitive};

use super::reader::Reader;
use super::values::value_error;
use crate::store::dtype::{Dtype, Scalar};
use crate::store::{Error, Result};

impl Reader {
    /// Moves to a row, where the next read begins.
    pub fn seek(&mut self, row: usize) {
        self.next = row.min(self.rows());
    }

    /// The next rows, at most `count`, fewer at the end and none after it. The file must hold exactly this type.
    ///
    /// # Errors
    /// `Dtype` for another type; `Read` when the file fails.
    pub fn read_rows<T: Scalar>(&mut self, count: usize) -> Result<Vec<T>> {
        let rows = self.read_row_range_at(self.next, count)?;
        self.advance(count);
        Ok(rows)
    }

    /// The next rows, at most `count`, as floats, whatever numbers the file holds.
    ///
    /// # Errors
    /// `Read` when the file fails.
    pub fn read_rows_as_float<E: Float + Scalar>(&mut self, count: usize) -> Result<Vec<E>> {
        let rows = self.read_row_range_as_float_at(self.next, count)?;
        self.advance(count);
        Ok(rows)
    }

    /// The next rows, at most `count`, as their bytes in C order, little endian: what [`super::Writer::write_bytes`] takes.
    ///
    /// # Errors
    /// `Read` when the file fails.
    pub fn read_bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let rows = self.elements_at(self.next, count)?;
        self.advance(count);
        Ok(rows)
    }

    fn advance(&mut self, count: usize) {
        self.next = self.next.saturating_add(count).min(self.rows());
    }

    /// Rows from `start` on, at most `count`, without moving the reader. The file must hold exactly this type.
    ///
    /// # Errors
    /// `Dtype` for another type; `Read` when the file fails.
    pub fn read_row_range_at<T: Scalar>(&self, start: usize, count: usize) -> Result<Vec<T>> {
        if self.dtype() != T::DTYPE {
            return Err(self.dtype_error(&T::DTYPE.to_string()));
        }
        self.elements_at(start, count)
    }

    /// Rows from `start` on, at most `count`, as floats, without moving the reader.
    ///
    /// # Errors
    /// `Read` when the file fails.
    pub fn read_row_range_as_float_at<E: Float + Scalar>(&self, start: usize, count: usize) -> Result<Vec<E>> {
        match self.dtype() {
            dtype if dtype == E::DTYPE => self.elements_at(start, count),
            Dtype::Bool | Dtype::U8 => self.converted::<u8, E>(start, count),
            Dtype::I8 => self.converted::<i8, E>(start, count),
            Dtype::I16 => self.converted::<i16, E>(start, count),
            Dtype::U16 => self.converted::<u16, E>(start, count),
            Dtype::I32 => self.converted::<i32, E>(start, count),
            Dtype::U32 => self.converted::<u32, E>(start, count),
            Dtype::I64 => self.converted::<i64, E>(start, count),
            Dtype::U64 => self.converted::<u64, E>(start, count),
            Dtype::F16 => {
                let bits: Vec<u16> = self.elements_at(start, count)?;
                Ok(bits.into_iter().map(|bits| to_float(f16::from_bits(bits).to_f32())).collect())
            }
            Dtype::F32 => self.converted::<f32, E>(start, count),
            Dtype::F64 => self.converted::<f64, E>(start, count),
        }
    }

    fn converted<T: Scalar, E: Float>(&self, start: usize, count: usize) -> Result<Vec<E>> {
        Ok(self.elements_at::<T>(start, count)?.into_iter().map(to_float).collect())
    }

    /// The next rows, at most `count`, as whole numbers: labels, indices.
    ///
    /// # Errors
    /// Those of [`Reader::read_row_range_as_integer_at`].
    pub fn read_rows_as_integer(&mut self, count: usize) -> Result<Vec<i64>> {
        let rows = self.read_row_range_as_integer_at(self.next, count)?;
        self.advance(count);
        Ok(rows)
    }

    /// Rows from `start` on, at most `count`, as whole numbers, without moving the reader.
    ///
    /// # Errors
    /// `Dtype` for floats and booleans; `Value` for a number above 2^63 - 1; `Read` when the file fails.
    pub fn read_row_range_as_integer_at(&self, start: usize, count: usize) -> Result<Vec<i64>> {
        self.require_whole()?;
        match self.dtype() {
            Dtype::I8 => self.whole::<i8>(start, count),
            Dtype::U8 => self.whole::<u8>(start, count),
            Dtype::I16 => self.whole::<i16>(start, count),
            Dtype::U16 => self.whole::<u16>(start, count),
            Dtype::I32 => self.whole::<i32>(start, count),
            Dtype::U32 => self.whole::<u32>(start, count),
            Dtype::U64 => self.whole::<u64>(start, count),
            _ => self.elements_at(start, count),
        }
    }

    /// Checks that the elements are whole numbers, of whatever size.
    ///
    /// # Errors
    /// `Dtype` for floats and booleans, naming the file.
    pub fn require_whole(&self) -> Result<()> {
        match self.dtype() {
            Dtype::Bool | Dtype::F16 | Dtype::F32 | Dtype::F64 => Err(self.dtype_error("whole numbers, such as i64")),
            _ => Ok(()),
        }
    }

    fn whole<T: Scalar>(&self, start: usize, count: usize) -> Result<Vec<i64>> {
        let elements: Vec<T> = self.elements_at(start, count)?;
        let whole = |(index, element): (usize, T)| {
            let expected = "numbers up to 2^63 - 1";
            element.to_i64().ok_or_else(|| value_error(&self.path, expected, element, start, index, self.row_len()))
        };
        elements.into_iter().enumerate().map(whole).collect()
    }

    /// Rows as they stand in the file, in C order and little endian, as elements (or bytes) of the right size.
    fn elements_at<T: Pod>(&self, start: usize, count: usize) -> Result<Vec<T>> {
        let start = start.min(self.rows());
        let count = count.min(self.rows() - start);
        if count == 0 {
            return Ok(Vec::new());
        }
        // At least one row is in the file, so the file's length bounds these products.
        let size = self.dtype().size();
        let mut elements = vec![T::zeroed(); count * self.row_len() * size / size_of::<T>()];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
        if self.header.fortran_order && self.row_len() > 1 {
            self.gather(start, count, bytes)?;
        } else {
            self.pread(bytes, (start * self.row_len() * size) as u64)?;
        }
        if self.header.big_endian {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(elements)
    }

    /// Rows of an array in Fortran order: `count` values of one element of the rows lie side by side in the file.
    fn gather(&self, start: usize, count: usize, rows: &mut [u8]) -> Result<()> {
        let size = self.dtype().size();
        let row_bytes = self.row_len() * size;
        let mut run = vec![0; count * size];
        for element in 0..self.row_len() {
            let column = fortran_index(element, self.row_shape());
            self.pread(&mut run, ((column * self.rows() + start) * size) as u64)?;
            for (row, value) in rows.chunks_exact_mut(row_bytes).zip(run.chunks_exact(size)) {
                row[element * size..][..size].copy_from_slice(value);
            }
        }
        Ok(())
    }

    fn pread(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(bytes, self.body + offset).map_err(Error::read(&self.path))
    }
}

/// The Fortran-order position of the element at `index` in C order.
fn fortran_index(mut index: usize, shape: &[usize]) -> usize {
    let strides = shape.iter().scan(1, |stride, &length| {
        let current = *stride;
        *stride *= length;
        Some((current, length))
    });
    // Bounded by the rank of the array, which a header of 64 KiB bounds.
    let strides: Vec<_> = strides.collect();
    let mut place = 0;
    for (stride, length) in strides.into_iter().rev() {
        place += index % length * stride;
        index /= length;
    }
    place
}

fn to_float<T: ToPrimitive, E: Float>(value: T) -> E {
    // A cast between numbers is defined for every value; the fallback is never taken.
    E::from(value).unwrap_or_else(E::nan)
}
