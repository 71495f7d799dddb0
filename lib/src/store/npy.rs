//! Arrays in `.npy` and `.npy.zst` files or through `-`: read and written by rows of the first axis, so that memory does
//! not grow with their number.
//!
//! Written in C order and little endian with NumPy's header; read in any order the format allows. A header is held
//! against the length of the file before anything is allocated for it.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytemuck::Pod;
use half::f16;
use ndarray::{ArrayBase, ArrayD, Data, Dimension};
use ndarray_npy::{ReadNpyExt, ReadableElement};
use num_traits::{Float, NumCast, ToPrimitive};
use serde::{Deserialize, Serialize};

use super::atomic::AtomicFile;
pub use super::header::Header;
use super::header::Refusal;
use super::staged::{Staged, Whole};
use super::{Error, Result, budget, digest, is_standard_stream};

#[cfg(target_endian = "big")]
compile_error!("elements are read and written as they stand in memory, which must be little endian");

/// Compression of `.npy.zst`: zstd's own default.
const COMPRESSION: i32 = 3;

/// Bytes that gather before they go to the disk.
const BUFFER: usize = 1 << 20;

/// What came through standard input.
static PIPED: OnceLock<Written> = OnceLock::new();

/// The array that came through standard input, once it has been opened.
pub fn piped() -> Option<Written> {
    PIPED.get().cloned()
}

/// The most rows that an array without elements may have.
const EMPTY_ROWS: usize = 1 << 24;

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Dtype {
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    /// Read as wider floats, and copied; no tool computes in it.
    F16,
    F32,
    F64,
}

impl Dtype {
    const ALL: [(Self, &str, &str); 12] = [
        (Self::Bool, "|b1", "bool"),
        (Self::I8, "|i1", "i8"),
        (Self::U8, "|u1", "u8"),
        (Self::I16, "<i2", "i16"),
        (Self::U16, "<u2", "u16"),
        (Self::I32, "<i4", "i32"),
        (Self::U32, "<u4", "u32"),
        (Self::I64, "<i8", "i64"),
        (Self::U64, "<u8", "u64"),
        (Self::F16, "<f2", "f16"),
        (Self::F32, "<f4", "f32"),
        (Self::F64, "<f8", "f64"),
    ];

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Whether elements are whole numbers.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::Bool | Self::F16 | Self::F32 | Self::F64)
    }

    /// NumPy's name, as it stands in a header.
    pub(super) fn descr(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The type that NumPy calls `descr`, and whether its bytes are swapped.
    pub(super) fn parse(descr: &str) -> Option<(Self, bool)> {
        let order = descr.chars().next().filter(|order| "<>|=".contains(*order))?;
        let found = Self::ALL.into_iter().find(|(_, known, _)| known[1..] == descr[1..])?;
        Some((found.0, order == '>' && found.0.size() > 1))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Self::ALL[*self as usize].2)
    }
}

/// A Rust type whose values are elements as they stand in a file.
pub trait Scalar: Pod + ToPrimitive + NumCast + fmt::Display + Send + Sync {
    /// The type's name in the format.
    const DTYPE: Dtype;
}

macro_rules! scalars {
    ($($rust:ty: $dtype:ident),*) => { $(impl Scalar for $rust { const DTYPE: Dtype = Dtype::$dtype; })* };
}

scalars!(i8: I8, u8: U8, i16: I16, u16: U16, i32: I32, u32: U32, i64: I64, u64: U64, f32: F32, f64: F64);

/// An array in a file, read a few rows at a time, in order or at will.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("a.npy");
/// use obverse::store::npy::{Reader, write};
/// write(&path, &[3, 2], &[0u8, 1, 2, 3, 4, 5])?;
/// let mut reader = Reader::open(&path)?;
/// assert_eq!(reader.read_rows::<u8>(2)?, [0, 1, 2, 3]);
/// assert_eq!(reader.read_rows_as_float::<f32>(2)?, [4.0, 5.0]);
/// assert!(reader.read_rows::<u8>(2)?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// The raw array: the file itself, or an unnamed temporary copy of what was compressed or came through a pipe.
    file: File,
    /// Where the elements begin.
    body: u64,
    header: Header,
    next: usize,
}

impl Reader {
    /// Opens `path`: a `.npy` file, a `.npy.zst` file, or `-` for standard input.
    ///
    /// # Errors
    /// `Read` when there is no such file; `Format` when it is no array of numbers; `Length` when it holds fewer or more
    /// bytes than its header says.
    pub fn open(path: &Path) -> Result<Self> {
        if is_standard_stream(path) {
            let reader = Self::spool(path, None, io::stdin().lock())?;
            // Kept for the sidecar of what is made of it: it cannot be read a second time.
            let _ = PIPED.set(Written {
                path: path.to_owned(),
                shape: reader.shape().to_vec(),
                dtype: reader.dtype(),
                blake3: reader.digest()?,
            });
            return Ok(reader);
        }
        let file = budget::open_file(path)?;
        let stored = file.metadata().map_err(Error::read(path))?.len();
        if path.extension().is_some_and(|extension| extension == "zst") {
            return Self::spool(path, Some(stored), zstd::Decoder::new(file).map_err(Error::read(path))?);
        }
        let (header, bytes) = decode(path, &file)?;
        let found = stored.saturating_sub(bytes.len() as u64);
        check_length(path, &header, found, false)?;
        Ok(Self { path: path.to_owned(), file, body: bytes.len() as u64, header, next: 0 })
    }

    /// The header of a file, without reading what follows.
    ///
    /// # Errors
    /// Those of [`Reader::open`], but for a compressed file that holds fewer or more bytes than its header says.
    pub fn header_of(path: &Path) -> Result<Header> {
        if path.extension().is_some_and(|extension| extension == "zst") {
            let file = budget::open_file(path)?;
            return Ok(decode(path, zstd::Decoder::new(file).map_err(Error::read(path))?)?.0);
        }
        Ok(Self::open(path)?.header)
    }

    /// Copies a stream, which is unpacked from `stored` bytes or comes through a pipe, to an unnamed temporary file, never more than
    /// its header asks for.
    fn spool(path: &Path, stored: Option<u64>, mut source: impl Read) -> Result<Self> {
        let (header, bytes) = decode(path, &mut source)?;
        let expected = check_size(path, &header)?;
        if let Some(stored) = stored {
            budget::check_expansion(path, expected.into(), stored, budget::ARRAY)?;
        }
        budget::charge_disk(path, &std::env::temp_dir(), expected)?;
        let mut file = tempfile::tempfile().map_err(Error::write(&std::env::temp_dir()))?;
        file.write_all(&bytes).map_err(Error::write(&std::env::temp_dir()))?;
        let found = copy(path, &mut source, &mut file, expected)?;
        let more = source.read(&mut [0]).map_err(Error::read(path))? > 0;
        check_length(path, &header, found, more)?;
        Ok(Self { path: path.to_owned(), file, body: bytes.len() as u64, header, next: 0 })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says about its elements.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.header.dtype
    }

    /// The lengths of its axes.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The length of the first axis; 1 for an array without axes.
    pub fn rows(&self) -> usize {
        self.header.shape.first().copied().unwrap_or(1)
    }

    /// The lengths of the axes after the first.
    pub fn row_shape(&self) -> &[usize] {
        self.header.shape.get(1..).unwrap_or_default()
    }

    /// Elements of a row.
    pub fn row_len(&self) -> usize {
        // Without rows the file's length bounds nothing, and this product may overflow: no row is ever read then.
        self.row_shape().iter().fold(1, |product, &length| product.saturating_mul(length))
    }

    /// The digest of the raw array, header included.
    ///
    /// # Errors
    /// `Read`, naming the file.
    pub fn digest(&self) -> Result<String> {
        digest::of_reader(self.bytes_from(0)).map_err(Error::read(&self.path))
    }

    /// Refuses an array of another number of axes; `what` says what they are, such as "images (N, C, H, W)".
    ///
    /// # Errors
    /// `Shape`, naming the file.
    pub fn require_rank(&self, rank: usize, what: &str) -> Result<()> {
        if self.shape().len() == rank { Ok(()) } else { Err(self.shape_error(what)) }
    }

    /// Refuses rows of another shape; `what` says what they are.
    ///
    /// # Errors
    /// `Shape`, naming the file.
    pub fn require_row_shape(&self, row_shape: &[usize], what: &str) -> Result<()> {
        if self.row_shape() == row_shape && !self.shape().is_empty() {
            return Ok(());
        }
        let axes: String = row_shape.iter().map(|length| format!(", {length}")).collect();
        Err(self.shape_error(&format!("{what} of shape (N{axes})")))
    }

    fn shape_error(&self, expected: &str) -> Error {
        Error::Shape { path: self.path.clone(), expected: expected.to_owned(), found: self.shape().to_vec() }
    }

    /// Refuses elements of a type not among `allowed`.
    ///
    /// # Errors
    /// `Dtype`, naming the file.
    pub fn require_dtype(&self, allowed: &[Dtype]) -> Result<()> {
        if allowed.contains(&self.dtype()) {
            return Ok(());
        }
        let names: Vec<_> = allowed.iter().map(Dtype::to_string).collect();
        Err(self.dtype_error(&names.join(" or ")))
    }

    fn dtype_error(&self, expected: &str) -> Error {
        Error::Dtype { path: self.path.clone(), expected: expected.to_owned(), found: self.dtype() }
    }

    /// Goes to a row; the next read begins there.
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

    /// The next rows, at most `count`, as their bytes in C order, little endian: what [`Writer::write_bytes`] takes.
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

    /// Rows from `start` on, at most `count`, wherever reading stands. The file must hold exactly this type.
    ///
    /// # Errors
    /// `Dtype` for another type; `Read` when the file fails.
    pub fn read_row_range_at<T: Scalar>(&self, start: usize, count: usize) -> Result<Vec<T>> {
        if self.dtype() != T::DTYPE {
            return Err(self.dtype_error(&T::DTYPE.to_string()));
        }
        self.elements_at(start, count)
    }

    /// Rows from `start` on, at most `count`, as floats, wherever reading stands.
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
    /// `Dtype` for floats and booleans; `Value` for a number above 2^63 - 1; `Read` when the file fails.
    pub fn read_rows_as_integer(&mut self, count: usize) -> Result<Vec<i64>> {
        let start = self.next;
        let rows = match self.dtype() {
            Dtype::I8 => self.whole::<i8>(start, count),
            Dtype::U8 => self.whole::<u8>(start, count),
            Dtype::I16 => self.whole::<i16>(start, count),
            Dtype::U16 => self.whole::<u16>(start, count),
            Dtype::I32 => self.whole::<i32>(start, count),
            Dtype::U32 => self.whole::<u32>(start, count),
            Dtype::I64 => self.elements_at(start, count),
            Dtype::U64 => self.whole::<u64>(start, count),
            Dtype::Bool | Dtype::F16 | Dtype::F32 | Dtype::F64 => Err(self.dtype_error("whole numbers, such as i64")),
        }?;
        self.advance(count);
        Ok(rows)
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

    /// Rows of an array in Fortran order: an element of the rows is one run of `count` neighbours in the file.
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

    fn bytes_from(&self, position: u64) -> impl Read + '_ {
        At { file: &self.file, position }
    }
}

/// A file read from a position of its own.
struct At<'a> {
    file: &'a File,
    position: u64,
}

impl Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(bytes, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// The place in Fortran order of the element that is `index` in C order.
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

fn decode(path: &Path, source: impl Read) -> Result<(Header, Vec<u8>)> {
    let decoded = Header::decode(source).map_err(|refusal| match refusal {
        Refusal::Io(source) => Error::Read { path: path.to_owned(), source },
        Refusal::Format { expected, found } => Error::Format { path: path.to_owned(), expected, found },
    })?;
    let header = &decoded.0;
    let rows = header.shape.first().copied().unwrap_or(1);
    // The file's length bounds any other number of rows.
    if header.shape.contains(&0) && rows > EMPTY_ROWS {
        let found = format!("{rows} of shape {:?}", header.shape);
        return Err(Error::Format { path: path.to_owned(), expected: "at most 2^24 rows without elements", found });
    }
    Ok(decoded)
}

fn check_size(path: &Path, header: &Header) -> Result<u64> {
    let found = || format!("shape {:?}", header.shape);
    let expected = "a shape whose size in bytes fits in 64 bits";
    header.body().ok_or_else(|| Error::Format { path: path.to_owned(), expected, found: found() })
}

fn check_length(path: &Path, header: &Header, found: u64, more: bool) -> Result<()> {
    let expected = check_size(path, header)?;
    if found == expected && !more {
        return Ok(());
    }
    let advice =
        if found < expected { "it is truncated or damaged: copy it again" } else { "something follows the array" };
    let found = if more { "more".to_owned() } else { found.to_string() };
    let (path, dtype, shape) = (path.to_owned(), header.dtype, header.shape.clone());
    Err(Error::Length { path, dtype, shape, expected, found, advice })
}

/// Copies at most `limit` bytes and returns how many; tells a reader that fails from a temporary folder that is full.
fn copy(path: &Path, source: &mut impl Read, target: &mut File, limit: u64) -> Result<u64> {
    let mut block = vec![0; BUFFER];
    let mut copied = 0;
    while copied < limit {
        let wanted = (limit - copied).min(BUFFER as u64) as usize;
        match source.read(&mut block[..wanted]) {
            Ok(0) => break,
            Ok(count) => {
                target.write_all(&block[..count]).map_err(Error::write(&std::env::temp_dir()))?;
                copied += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::read(path)(error)),
        }
    }
    Ok(copied)
}

fn value_error<T: fmt::Display>(
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

/// Refuses NaN and infinity among `rows`, read from `path` beginning at row `first_row`.
///
/// # Errors
/// `Value`, naming the file and where the first such value stands.
pub fn require_finite<E: Float + Scalar>(path: &Path, rows: &[E], first_row: usize, row_len: usize) -> Result<()> {
    match rows.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(value_error(path, "finite numbers", rows[index], first_row, index, row_len)),
    }
}

/// What a finished [`Writer`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub path: PathBuf,
    /// The lengths of the axes.
    pub shape: Vec<usize>,
    /// The type of the elements.
    pub dtype: Dtype,
    /// The digest of the raw array.
    pub blake3: String,
}

/// An array on its way to a file, a few rows at a time. The file appears under its name at [`Writer::finish`]; a writer
/// dropped before leaves nothing.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("a.npy");
/// use obverse::store::npy::{Dtype, Writer, read};
/// let mut writer = Writer::create(&path, Dtype::F32, &[2])?;
/// writer.write_rows(&[0.0f32, 1.0])?;
/// writer.write_rows(&[2.0f32, 3.0, 4.0, 5.0])?;
/// assert_eq!(writer.finish()?.shape, [3, 2]);
/// assert_eq!(read::<f32>(&path)?.shape(), [3, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    path: PathBuf,
    destination: Destination,
    raw: BufWriter<File>,
    dtype: Dtype,
    row_shape: Vec<usize>,
    rows: usize,
}

/// Where the raw array goes when it is complete.
enum Destination {
    /// It is under construction in its place.
    InPlace(AtomicFile),
    /// Compressed into this file.
    Compressed(AtomicFile),
    StandardOutput,
}

impl Writer {
    /// Begins an array of rows of shape `row_shape` at `path`: `.npy`, `.npy.zst`, or `-` for standard output.
    ///
    /// # Errors
    /// `Write` when nothing can be written there.
    pub fn create(path: &Path, dtype: Dtype, row_shape: &[usize]) -> Result<Self> {
        let (destination, raw) = if is_standard_stream(path) {
            (Destination::StandardOutput, tempfile::tempfile())
        } else {
            let file = AtomicFile::create(path)?;
            if path.extension().is_some_and(|extension| extension == "zst") {
                (Destination::Compressed(file), tempfile::tempfile())
            } else {
                let raw = file.file().try_clone();
                (Destination::InPlace(file), raw)
            }
        };
        let raw = BufWriter::with_capacity(BUFFER, raw.map_err(Error::write(path))?);
        let mut writer =
            Self { path: path.to_owned(), destination, raw, dtype, row_shape: row_shape.to_vec(), rows: 0 };
        // Room for the header; its length does not depend on the number of rows, known at the end.
        writer.write_header()?;
        Ok(writer)
    }

    fn shape(&self) -> Vec<usize> {
        [&[self.rows], &self.row_shape[..]].concat()
    }

    fn write_header(&mut self) -> Result<()> {
        let header = Header::encode(self.dtype, &self.shape());
        self.raw.write_all(&header).map_err(Error::write(&self.path))
    }

    /// Appends whole rows.
    ///
    /// # Errors
    /// `Dtype` or `Shape` when the rows are not of the array's kind; `Write` when the disk is full.
    pub fn write_rows<T: Scalar>(&mut self, rows: &[T]) -> Result<()> {
        if T::DTYPE != self.dtype {
            let expected = format!("rows of {}", self.dtype);
            return Err(Error::Dtype { path: self.path.clone(), expected, found: T::DTYPE });
        }
        self.write_bytes(bytemuck::cast_slice(rows))
    }

    /// Appends whole rows given as bytes in C order, little endian: what [`Reader::read_bytes`] returns.
    ///
    /// # Errors
    /// `Shape` when the bytes are not whole rows; `Write` when the disk is full.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let row_bytes = self.row_shape.iter().try_fold(self.dtype.size(), |size, &length| size.checked_mul(length));
        match row_bytes {
            Some(size) if size > 0 && bytes.len().is_multiple_of(size) => self.rows += bytes.len() / size,
            _ if bytes.is_empty() => {}
            _ => {
                let expected = format!("whole rows of shape {:?}", self.row_shape);
                let found = vec![bytes.len() / self.dtype.size()];
                return Err(Error::Shape { path: self.path.clone(), expected, found });
            }
        }
        self.raw.write_all(bytes).map_err(Error::write(&self.path))
    }

    /// Completes the array and puts it under its name, or sends it to standard output.
    ///
    /// # Errors
    /// `Write`, also for a reader of standard output that has left ([`Error::is_broken_pipe`]).
    pub fn finish(self) -> Result<Written> {
        let (written, whole) = self.complete()?;
        whole.commit(&written.path)?;
        Ok(written)
    }

    /// Completes the array, but does not put it in its place.
    ///
    /// # Errors
    /// `Write` when the disk is full.
    pub fn stage(self) -> Result<Staged> {
        let (written, whole) = self.complete()?;
        Ok(Staged::new(written.into(), whole))
    }

    fn complete(mut self) -> Result<(Written, Whole)> {
        let path = self.path.clone();
        self.raw.seek(SeekFrom::Start(0)).map_err(Error::write(&path))?;
        self.write_header()?;
        self.raw.flush().map_err(Error::write(&path))?;
        let shape = self.shape();
        let raw = self.raw.get_ref();
        let blake3 = digest::of_reader(At { file: raw, position: 0 }).map_err(Error::write(&path))?;
        let whole = match self.destination {
            Destination::InPlace(file) => Whole::File(file.complete()?),
            Destination::Compressed(mut file) => {
                let raw = At { file: raw, position: 0 };
                zstd::stream::copy_encode(raw, &mut file, COMPRESSION).map_err(Error::write(&path))?;
                Whole::File(file.complete()?)
            }
            Destination::StandardOutput => {
                let mut raw = raw.try_clone().map_err(Error::write(&path))?;
                raw.rewind().map_err(Error::write(&path))?;
                Whole::StandardOutput(Box::new(raw))
            }
        };
        Ok((Written { path, shape, dtype: self.dtype, blake3 }, whole))
    }
}

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
    // An array in Fortran order is handed on in C order, as everything else in the suite expects.
    Ok(if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() })
}

/// Writes a whole array, given in C order; `shape` has one axis at least.
///
/// # Errors
/// `Shape` when the elements are not as many as the shape says; `Write`.
pub fn write<T: Scalar>(path: &Path, shape: &[usize], elements: &[T]) -> Result<Written> {
    filled(path, shape, elements)?.finish()
}

/// As [`write()`], but the array is not in its place yet.
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

/// Writes a whole array of `ndarray`.
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

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;
