//! Reading and writing whole arrays.

use std::io;
use std::path::Path;

use ndarray::{ArrayBase, ArrayD, Data, Dimension};
use ndarray_npy::{ReadNpyExt, ReadableElement};

use super::reader::Reader;
use super::writer::Writer;
use super::written::Written;
use crate::store::dtype::Scalar;
use crate::store::staged::Staged;
use crate::store::{Error, Result};

/// Reads a whole array of exactly this type.
///
/// # Errors
/// Those of [`Reader::open`]; `Dtype` for another type.
pub fn read<T: Scalar + ReadableElement>(path: &Path) -> Result<ArrayD<T>> {
    let reader = Reader::open(path)?;
    if reader.dtype() != T::DTYPE {
        return Err(reader.dtype_error(&T::DTYPE.to_string()));
    }
    let array = ArrayD::<T>::read_npy(io::BufReader::new(reader.bytes_from(0))).map_err(|error| Error::Format {
        path: path.to_owned(),
        expected: "a readable array",
        found: error.to_string(),
    })?;
    // An array in Fortran order is turned into C order, which the rest of the suite expects.
    Ok(if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() })
}

/// Writes a whole array, given in C order; `shape` has at least one axis.
///
/// # Errors
/// `Shape` when the number of elements does not fit the shape; `Write`.
pub fn write<T: Scalar>(path: &Path, shape: &[usize], elements: &[T]) -> Result<Written> {
    filled(path, shape, elements)?.finish()
}

/// Like [`write()`], but the array is not yet put in its place.
///
/// # Errors
/// Those of [`write()`].
pub fn stage<T: Scalar>(path: &Path, shape: &[usize], elements: &[T]) -> Result<Staged> {
    filled(path, shape, elements)?.stage()
}

fn filled<T: Scalar>(path: &Path, shape: &[usize], elements: &[T]) -> Result<Writer> {
    let product = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    let [rows, row_shape @ ..] = shape else {
        return Err(element_count_error(path, shape, elements.len()));
    };
    if product != Some(elements.len()) {
        return Err(element_count_error(path, shape, elements.len()));
    }
    let mut writer = Writer::create(path, T::DTYPE, row_shape)?;
    writer.write_rows(elements)?;
    // Rows without elements cannot be counted.
    writer.rows = *rows;
    Ok(writer)
}

fn element_count_error(path: &Path, shape: &[usize], elements: usize) -> Error {
    Error::Shape { path: path.to_owned(), expected: format!("elements for shape {shape:?}"), found: vec![elements] }
}

/// Writes an array of `ndarray`.
///
/// # Errors
/// Those of [`write()`].
pub fn write_array<T, S, D>(path: &Path, array: &ArrayBase<S, D>) -> Result<Written>
where
    T: Scalar,
    S: Data<Elem = T>,
    D: Dimension,
{
    match array.as_slice() {
        Some(elements) => write(path, array.shape(), elements),
        None => write(path, array.shape(), &array.iter().copied().collect::<Vec<_>>()),
    }
}
