//! MATLAB 5 files, just enough for datasets: one numeric array, top-level or a field of a 1 x 1 structure, whose values
//! are streamed in their column-major order, so that memory does not grow with the file.
//!
//! A file is a header of 128 bytes and elements: a tag (type, length), then data padded to 8 bytes. Type 15 is another
//! element under zlib. Source: MathWorks, MAT-File Format, level 5. (The crate matfile reads whole files into memory
//! and does not read structures; the tests compare this reader with it.)

use std::io::{self, Read};

use flate2::read::ZlibDecoder;

use super::images::{read_exactly, read_up_to};
use super::{Error, Result};

const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;
const CLASS_STRUCTURE: u8 = 2;
/// Classes 6 to 15 are the numeric ones.
const CLASSES_NUMERIC: std::ops::RangeInclusive<u8> = 6..=15;
/// Names, dimensions and flags are small; longer claims are damage.
const SMALL_LIMIT: usize = 1 << 16;

/// A numeric array whose values are still in the stream.
pub(crate) struct Array {
    file: String,
    /// The dimensions; the first varies fastest.
    pub(crate) dimensions: Vec<usize>,
    storage: u32,
    /// Bytes of the values.
    length: usize,
    stream: Box<dyn Read + Send>,
}

impl Array {
    /// The array at `path` (a name, or a structure's name and its field's) in the MATLAB 5 file `stream`.
    pub(crate) fn find(file: &str, mut stream: Box<dyn Read + Send>, path: &[&str]) -> Result<Self> {
        check_header(file, &mut stream)?;
        loop {
            let Some(tag) = Tag::read_or_end(file, &mut stream)? else {
                let advice = "check that this is the dataset's own file";
                return Err(Error::malformed(
                    file,
                    format!("a variable {}", path.join(".")),
                    "none of that name",
                    advice,
                ));
            };
            let mut element = stream.take(tag.length as u64);
            if tag.kind == COMPRESSED {
                let mut inflated = ZlibDecoder::new(element);
                let inner = Tag::read(file, &mut inflated)?;
                if let Some(found) = enter(file, &mut inflated, inner, path)? {
                    return found.open(file, Box::new(inflated));
                }
                element = inflated.into_inner();
            } else if let Some(found) = enter(file, &mut element, tag, path)? {
                return found.open(file, Box::new(element));
            }
            io::copy(&mut element, &mut io::sink()).map_err(|source| Error::read(file, source))?;
            stream = element.into_inner();
        }
    }

    /// The product of the dimensions.
    pub(crate) fn count(&self) -> usize {
        self.dimensions.iter().product()
    }

    /// The values as bytes, for an array stored as u8.
    pub(crate) fn bytes(self) -> Result<impl Read + Send> {
        if self.storage != 2 {
            let found = format!("storage type {}", self.storage);
            return Err(Error::malformed(
                &self.file,
                "an array of u8",
                found,
                "check that this is the dataset's own file",
            ));
        }
        Ok(self.stream.take(self.length as u64))
    }

    /// The values as integers: labels. Their number is compared with `count` before they are read.
    pub(crate) fn integers(mut self, count: usize) -> Result<Vec<i64>> {
        if self.count() != count {
            return Err(Error::damaged(&self.file, format!("{count} labels"), self.count()));
        }
        let bytes = read_exactly(&self.file, &mut self.stream, self.length, "labels")?;
        bytes
            .chunks_exact(width(self.storage).unwrap_or(1))
            .map(|value| integer(&self.file, self.storage, value))
            .collect()
    }
}

/// The bytes of one value of a storage type.
fn width(storage: u32) -> Option<usize> {
    match storage {
        1 | 2 => Some(1),
        3 | 4 => Some(2),
        5..=7 => Some(4),
        9 | 12 | 13 => Some(8),
        _ => None,
    }
}

fn integer(file: &str, storage: u32, bytes: &[u8]) -> Result<i64> {
    let raw = bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    let value = match storage {
        1 => i64::from(raw as u8 as i8),
        3 => i64::from(raw as u16 as i16),
        5 => i64::from(raw as u32 as i32),
        7 => whole(file, f64::from(f32::from_bits(raw as u32)))?,
        9 => whole(file, f64::from_bits(raw))?,
        _ => i64::try_from(raw).map_err(|_| Error::damaged(file, "labels", raw))?,
    };
    Ok(value)
}

fn whole(file: &str, value: f64) -> Result<i64> {
    let fits = value.fract() == 0.0 && value.abs() < 1e15;
    if fits { Ok(value as i64) } else { Err(Error::damaged(file, "whole numbers as labels", value)) }
}

fn check_header(file: &str, stream: &mut impl Read) -> Result<()> {
    let header = read_up_to(file, stream, 128)?;
    let advice = "check `format` and the file; MATLAB 7.3 files must be saved again with -v7";
    if !header.starts_with(b"MATLAB 5.0") || header.len() < 128 {
        let start = String::from_utf8_lossy(&header[..header.len().min(10)]).into_owned();
        return Err(Error::malformed(file, "a MATLAB 5 file", format!("{start:?}"), advice));
    }
    if header[126..] != *b"IM" {
        return Err(Error::malformed(file, "a little-endian MATLAB 5 file", "a big-endian one", advice));
    }
    Ok(())
}

/// The type and length of an element; `inline` holds the data of the small form.
struct Tag {
    kind: u32,
    length: usize,
    inline: Option<[u8; 4]>,
}

impl Tag {
    fn read(file: &str, stream: &mut impl Read) -> Result<Self> {
        let damaged = || Error::damaged(file, "an element of a MATLAB 5 file", "the end of the data");
        Self::read_or_end(file, stream)?.ok_or_else(damaged)
    }

    /// None at the end of the stream.
    fn read_or_end(file: &str, stream: &mut impl Read) -> Result<Option<Self>> {
        let bytes = read_up_to(file, stream, 8)?;
        let &[a, b, c, d, e, f, g, h] = bytes.as_slice() else {
            let end = bytes.is_empty();
            return if end { Ok(None) } else { Err(Error::damaged(file, "a tag of 8 bytes", bytes.len())) };
        };
        let (first, second) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let small = (first >> 16) as usize;
        Ok(Some(match small {
            0 => Self { kind: first, length: second as usize, inline: None },
            1..=4 => Self { kind: first & 0xffff, length: small, inline: Some([e, f, g, h]) },
            _ => return Err(Error::damaged(file, "a tag", format!("{first:#x}"))),
        }))
    }

    /// The data of a small element; its padding is skipped.
    fn small_data(self, file: &str, stream: &mut impl Read) -> Result<Vec<u8>> {
        if let Some(inline) = self.inline {
            return Ok(inline[..self.length].to_vec());
        }
        if self.length > SMALL_LIMIT {
            return Err(Error::damaged(file, "a name or dimensions", format!("{} bytes", self.length)));
        }
        let mut data = read_exactly(file, stream, self.length.next_multiple_of(8), "a name or dimensions")?;
        data.truncate(self.length);
        Ok(data)
    }
}

/// The head of a matrix element; its values or fields follow in the stream.
struct Matrix {
    class: u8,
    complex: bool,
    dimensions: Vec<usize>,
    name: String,
}

impl Matrix {
    fn read(file: &str, stream: &mut impl Read) -> Result<Self> {
        let mut next = || Tag::read(file, stream)?.small_data(file, stream);
        let (flags, dimensions, name) = (next()?, next()?, next()?);
        let &[class, bits, ..] = flags.as_slice() else {
            return Err(Error::damaged(file, "array flags", "none"));
        };
        let dimension = |bytes: &[u8]| bytes.iter().rev().fold(0, |value: usize, &byte| value << 8 | byte as usize);
        let dimensions: Vec<usize> = dimensions.chunks_exact(4).map(dimension).collect();
        if dimensions.iter().try_fold(1, |product: usize, &length| product.checked_mul(length)).is_none() {
            return Err(Error::damaged(file, "dimensions", format!("{dimensions:?}")));
        }
        Ok(Self { class, complex: bits & 8 != 0, dimensions, name: String::from_utf8_lossy(&name).into_owned() })
    }
}

/// The head of the array at `path` where the element holds it; the stream then stands before its values.
fn enter(file: &str, stream: &mut impl Read, tag: Tag, path: &[&str]) -> Result<Option<Matrix>> {
    if tag.kind != MATRIX || tag.length == 0 {
        return Ok(None);
    }
    let matrix = Matrix::read(file, stream)?;
    match path {
        [name] if *name == matrix.name => Ok(Some(matrix)),
        [name, field] if *name == matrix.name => enter_field(file, stream, &matrix, field).map(Some),
        _ => Ok(None),
    }
}

fn enter_field(file: &str, stream: &mut impl Read, structure: &Matrix, field: &str) -> Result<Matrix> {
    let advice = "check that this is the dataset's own file";
    if structure.class != CLASS_STRUCTURE || structure.dimensions != [1, 1] {
        let found = format!("class {} of {:?}", structure.class, structure.dimensions);
        return Err(Error::malformed(file, format!("a 1 x 1 structure {}", structure.name), found, advice));
    }
    let length = Tag::read(file, stream)?.small_data(file, stream)?;
    let length = length.first().copied().filter(|&length| length > 0).unwrap_or(32) as usize;
    let names = Tag::read(file, stream)?.small_data(file, stream)?;
    for name in names.chunks(length) {
        let tag = Tag::read(file, stream)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if name == field.as_bytes() && tag.kind == MATRIX {
            return Matrix::read(file, stream);
        }
        let skipped = io::copy(&mut stream.take(tag.length as u64), &mut io::sink());
        skipped.map_err(|source| Error::read(file, source))?;
    }
    Err(Error::malformed(file, format!("a field {}.{field}", structure.name), "none of that name", advice))
}

impl Matrix {
    /// The array of this head, whose values come next in the stream.
    fn open(self, file: &str, mut stream: Box<dyn Read + Send>) -> Result<Array> {
        if !CLASSES_NUMERIC.contains(&self.class) || self.complex {
            let found = format!("class {}", self.class);
            return Err(Error::malformed(
                file,
                "an array of real numbers",
                found,
                "check that this is the dataset's file",
            ));
        }
        let tag = Tag::read(file, &mut stream)?;
        let count: usize = self.dimensions.iter().product();
        if width(tag.kind).and_then(|width| width.checked_mul(count)) != Some(tag.length) {
            let found = format!("{} bytes of type {}", tag.length, tag.kind);
            return Err(Error::damaged(file, format!("values for {:?}", self.dimensions), found));
        }
        let stream: Box<dyn Read + Send> = match tag.inline {
            Some(inline) => Box::new(io::Cursor::new(inline).take(tag.length as u64)),
            None => stream,
        };
        let (dimensions, storage, length) = (self.dimensions, tag.kind, tag.length);
        Ok(Array { file: file.to_string(), dimensions, storage, length, stream })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::mirror::mirror;

    /// scipy.io.savemat("structure.mat", {"other": [[1, 2]], "affNISTdata": {"label_one_of_n": eye(3), "label_int":
    /// [[5, 0, 9]] as float64, "image": arange(3 * 4) as u8 (4, 3)}}), plain and with do_compression.
    const PLAIN: &[u8] = include_bytes!("testdata/structure.mat");
    const COMPRESSED: &[u8] = include_bytes!("testdata/structure-compressed.mat");

    fn find(bytes: &[u8], path: &[&str]) -> Result<Array> {
        Array::find("x", Box::new(io::Cursor::new(bytes.to_vec())), path)
    }

    #[test]
    fn fields_of_a_structure_are_found_and_streamed() {
        for bytes in [PLAIN, COMPRESSED] {
            assert_eq!(find(bytes, &["affNISTdata", "label_int"]).unwrap().integers(3).unwrap(), [5, 0, 9]);
            let image = find(bytes, &["affNISTdata", "image"]).unwrap();
            assert_eq!(image.dimensions, [4, 3]);
            let mut values = Vec::new();
            image.bytes().unwrap().read_to_end(&mut values).unwrap();
            assert_eq!(values, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
            assert_eq!(find(bytes, &["other"]).unwrap().integers(2).unwrap(), [1, 2]);
            let error = find(bytes, &["affNISTdata", "absent"]).err().unwrap().to_string();
            assert!(error.contains("affNISTdata.absent"), "{error}");
        }
    }

    #[test]
    #[ignore = "it takes OBVERSE_MIRROR"]
    fn the_same_values_come_out_as_from_the_crate_matfile() {
        let path = mirror("formats/svhn_sample_32x32.mat");
        let other = matfile::MatFile::parse(std::fs::File::open(&path).unwrap()).unwrap();
        let other = other.find_by_name("X").unwrap();
        let ours = Array::find("x", Box::new(std::fs::File::open(&path).unwrap()), &["X"]).unwrap();
        assert_eq!(&ours.dimensions, other.size());
        let mut values = Vec::new();
        ours.bytes().unwrap().read_to_end(&mut values).unwrap();
        assert!(matches!(other.data(), matfile::NumericData::UInt8 { real, .. } if *real == values));
    }

    #[test]
    fn a_file_of_matlab_7_3_is_named_as_such() {
        let error = find(b"MATLAB 7.3 MAT-file", &["X"]).err().unwrap().to_string();
        assert!(error.contains("-v7"), "{error}");
    }

    proptest! {
        #[test]
        fn no_damage_makes_the_reader_panic(
            compressed in any::<bool>(), place in 0usize..2000, value in any::<u8>(), end in 0usize..2000,
        ) {
            let mut bytes = if compressed { COMPRESSED } else { PLAIN }.to_vec();
            let place = place % bytes.len();
            bytes[place] = value;
            bytes.truncate(end.max(128));
            if let Ok(array) = find(&bytes, &["affNISTdata", "image"]) {
                let _ = array.bytes().map(|stream| stream.take(1 << 20).read_to_end(&mut Vec::new()));
            }
            let _ = find(&bytes, &["affNISTdata", "label_int"]).and_then(|array| array.integers(3));
        }
    }
}
