//! Values that are not allowed, and where they are.

use std::fmt;
use std::path::Path;

use num_traits::Float;

use crate::store::dtype::Scalar;
use crate::store::{Error, Result};

pub(super) fn value_error<T: fmt::Display>(
    path: &Path,
    expected: &'static str,
    value: T,
    first_row: usize,
    index: usize,
    row_len: usize,
) -> Error {
    let (row, element) = (first_row + index / row_len.max(1), index % row_len.max(1));
    Error::Value { path: path.to_owned(), expected, found: value.to_string(), row, element }
}

/// Checks that `rows`, read from `path` beginning at row `first_row`, hold no NaN and no infinity.
///
/// # Errors
/// `Value`, naming the file and the position of the first such value.
pub fn require_finite<E: Float + Scalar>(path: &Path, rows: &[E], first_row: usize, row_len: usize) -> Result<()> {
    match rows.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(value_error(path, "finite numbers", rows[index], first_row, index, row_len)),
    }
}
