//! Several arrays in one file, NumPy's `.npz`: a zip of `.npy` members.
//!
//! ```
//! use obverse::store::npz::{Array, read, stage};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("a.npz");
//! stage(&path, &[("mu", Array::Float(&[2], &[1.5, -2.0])), ("n", Array::Integer(&[], &[7]))])?.place()?;
//! let arrays = read(&path, &["mu", "n"])?;
//! assert_eq!((&arrays["mu"].values, &arrays["n"].values), (&vec![1.5, -2.0], &vec![7.0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::io::{BufReader, Cursor, Read, Write};
use std::path::Path;

use super::dtype::Dtype;
use super::header::{Header, Refusal};
use super::staged::Staged;
use super::{Error, Result, budget};

/// The most values of one member, 2^28: a covariance of 16,384 features.
const LIMIT: usize = 1 << 28;

/// An array that was read, as f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its axes; none for a single number.
    pub shape: Vec<usize>,
    /// Its values in row order.
    pub values: Vec<f64>,
}

/// An array to be written.
#[derive(Clone, Copy, Debug)]
pub enum Array<'a> {
    /// Of f64.
    Float(&'a [usize], &'a [f64]),
    /// Of i64.
    Integer(&'a [usize], &'a [i64]),
    /// Of u8.
    Bytes(&'a [u8]),
}

/// Stages a file of named arrays, in this order; the same arrays give the same bytes.
///
/// # Errors
/// A file that cannot be written.
pub fn stage(path: &Path, arrays: &[(&str, Array)]) -> Result<Staged> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .large_file(true)
        .last_modified_time(zip::DateTime::default());
    let failed = |error: zip::result::ZipError| Error::write(path)(std::io::Error::other(error));
    for (name, array) in arrays {
        zip.start_file(format!("{name}.npy"), options).map_err(failed)?;
        let (dtype, shape, bytes): (_, &[usize], &[u8]) = match array {
            Array::Float(shape, values) => (Dtype::F64, shape, bytemuck::cast_slice(values)),
            Array::Integer(shape, values) => (Dtype::I64, shape, bytemuck::cast_slice(values)),
            Array::Bytes(values) => (Dtype::U8, &[values.len()], values),
        };
        let header = Header::encode(dtype, shape);
        zip.write_all(&header).and_then(|()| zip.write_all(bytes)).map_err(Error::write(path))?;
    }
    Staged::of_bytes(path, zip.finish().map_err(failed)?.into_inner())
}

/// The names of the arrays that a file has, in its order.
///
/// # Errors
/// A file that is not a zip.
pub fn names(path: &Path) -> Result<Vec<String>> {
    let broken = |error: zip::result::ZipError| {
        let (path, expected) = (path.to_owned(), "a zip of arrays (.npz)");
        Error::Format { path, expected, found: error.to_string() }
    };
    let zip = zip::ZipArchive::new(BufReader::new(budget::open_file(path)?)).map_err(broken)?;
    let names = zip.file_names().filter_map(|name| Some(name.ok()?.strip_suffix(".npy")?.to_string()));
    Ok(names.collect())
}

/// Reads the arrays of these names that the file has, as f64.
///
/// # Errors
/// A file that is not a zip; a member that is cut short, in Fortran order, or larger than the limit.
pub fn read(path: &Path, names: &[&str]) -> Result<BTreeMap<String, Member>> {
    let broken = |expected: &'static str, found: String| Error::Format { path: path.to_owned(), expected, found };
    let file = budget::open_file(path)?;
    let stored = file.metadata().map_err(Error::read(path))?.len();
    let file = BufReader::new(file);
    let mut claimed = 0u128;
    let mut zip = zip::ZipArchive::new(file).map_err(|error| broken("a zip of arrays (.npz)", error.to_string()))?;
    let mut members = BTreeMap::new();
    for &name in names {
        let member = match zip.by_name(&format!("{name}.npy")) {
            Ok(member) => member,
            Err(zip::result::ZipError::FileNotFound) => continue,
            Err(error) => return Err(broken("a zip of arrays (.npz)", format!("{name}: {error}"))),
        };
        let mut member = BufReader::new(member);
        let (header, _) = Header::decode(&mut member).map_err(|refusal| match refusal {
            Refusal::Io(source) => Error::read(path)(source),
            Refusal::Format { expected, found } => broken(expected, format!("{found} in {name}")),
        })?;
        let elements = header.elements().filter(|&elements| elements <= LIMIT);
        let elements = elements.ok_or_else(|| broken("at most 2^28 values", format!("shape {:?}", header.shape)))?;
        if header.big_endian || (header.fortran_order && header.shape.len() > 1) {
            return Err(broken("little-endian values in C order", format!("others in {name}")));
        }
        let length = elements * header.dtype.size();
        claimed += length as u128;
        budget::check_expansion(path, claimed, stored, budget::STATISTICS)?;
        // Its bytes, and its values as f64.
        budget::charge(path, "its arrays", 2 * claimed.max(8 * elements as u128))?;
        let mut bytes = Vec::new();
        member.take(length as u64 + 1).read_to_end(&mut bytes).map_err(Error::read(path))?;
        if bytes.len() != length {
            return Err(broken("as many values as the header says", format!("{} bytes in {name}", bytes.len())));
        }
        let values = decoded(header.dtype, &bytes)
            .ok_or_else(|| broken("f64, f32, i64 or u8", format!("{} in {name}", header.dtype)))?;
        members.insert(name.to_string(), Member { shape: header.shape, values });
    }
    Ok(members)
}

/// Little-endian values as f64.
fn decoded(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
    }
    Some(match dtype {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::I64 => each(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
        Dtype::U8 => bytes.iter().map(|&byte| f64::from(byte)).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn arrays_return_from_their_file_and_the_bytes_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let arrays = [
            ("mu", Array::Float(&[2], &[1.5, -2.0])),
            ("n", Array::Integer(&[], &[7])),
            ("source", Array::Bytes(b"{}")),
        ];
        stage(&path, &arrays).unwrap().place().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        stage(&path, &arrays).unwrap().place().unwrap();
        assert_eq!(bytes, std::fs::read(&path).unwrap());
        let members = read(&path, &["mu", "n", "source", "missing"]).unwrap();
        assert_eq!(members["mu"], Member { shape: vec![2], values: vec![1.5, -2.0] });
        assert_eq!(members["n"], Member { shape: vec![], values: vec![7.0] });
        assert_eq!(members["source"].values, [123.0, 125.0]);
        assert_eq!(members.len(), 3);
    }

    #[test]
    fn broken_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        std::fs::write(&path, "no zip").unwrap();
        assert!(read(&path, &["mu"]).is_err());
        // A member that claims more than is there.
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        zip.start_file("mu.npy", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&Header::encode(Dtype::F64, &[1 << 20])).unwrap();
        zip.finish().unwrap();
        let error = read(&path, &["mu"]).unwrap_err().to_string();
        assert!(error.contains("as many values"), "{error}");
    }
}
