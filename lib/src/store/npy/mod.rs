//! Arrays in `.npy` and `.npy.zst` files or through `-`, read and written by rows of the first axis, so that memory does not grow with
//! their number.
//!
//! They are written in C order and little endian with NumPy's header, and read in any order the format allows. A header is checked
//! against the length of the file before anything is allocated.
//!
//! ```
//! use obverse::store::npy;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("x.npy");
//! npy::write(&path, &[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
//! let mut reader = npy::Reader::open(&path)?;
//! assert_eq!((reader.rows(), reader.row_len()), (2, 3));
//! assert_eq!(reader.read_rows::<f32>(1)?, [1.0, 2.0, 3.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod artifact;
mod cursor;
mod pixels;
mod reader;
mod rows;
#[cfg(test)]
mod tests;
mod values;
mod whole;
mod writer;
mod written;

pub use pixels::{Layout, Pixels};
pub use reader::{Reader, piped};
pub use values::require_finite;
pub use whole::{read, stage, write, write_array};
pub use writer::Writer;
pub use written::Written;

pub use super::dtype::{Dtype, Scalar};
pub use super::header::Header;

#[cfg(target_endian = "big")]
compile_error!("elements are read and written as they stand in memory, which must be little endian");
