//! Opening an array, and checking its header against the length of the file.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::cursor::At;
use super::written::Written;
use crate::store::dtype::Dtype;
use crate::store::header::{Header, Refusal};
use crate::store::{Error, Result, budget, digest, is_standard_stream};

/// Bytes that gather before they go to the disk.
const BUFFER: usize = 1 << 20;

/// What came through standard input.
static PIPED: OnceLock<Written> = OnceLock::new();

/// What is known of the array that came through standard input, once it has been opened.
pub fn piped() -> Option<Written> {
    PIPED.get().cloned()
}

/// The most rows that an array without elements may have.
const EMPTY_ROWS: usize = 1 << 24;

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
    pub(super) path: PathBuf,
    /// The raw array: the file itself, or an unnamed temporary copy of what was compressed or came through a pipe.
    pub(super) file: File,
    /// Where the elements begin.
    pub(super) body: u64,
    pub(super) header: Header,
    pub(super) next: usize,
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
            // Kept for the sidecar of the output, because standard input cannot be read a second time.
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

    /// Opens the array `name` of an `.npz` file. One that is stored as it is is read where it lies, one that is compressed is unpacked to an
    /// unnamed temporary file.
    ///
    /// # Errors
    /// Those of [`Reader::open`]; `Format` when the file is no zip or has no such array.
    pub fn of_member(path: &Path, name: &str) -> Result<Self> {
        let broken = |error: zip::result::ZipError| {
            let (path, expected) = (path.to_owned(), "a zip of arrays (.npz)");
            Error::Format { path, expected, found: format!("{name}: {error}") }
        };
        let file = budget::open_file(path)?;
        let mut zip = zip::ZipArchive::new(BufReader::new(&file)).map_err(broken)?;
        let mut member = zip.by_name(&format!("{name}.npy")).map_err(broken)?;
        let (stored, size, start) = (member.compressed_size(), member.size(), member.data_start());
        let Some(start) = start.filter(|_| member.compression() == zip::CompressionMethod::Stored) else {
            return Self::spool(path, Some(stored), member);
        };
        let (header, bytes) = decode(path, &mut member)?;
        check_length(path, &header, size.saturating_sub(bytes.len() as u64), false)?;
        drop(member);
        // What the zip says of the member may be more than is there.
        let end = start.checked_add(size).ok_or_else(|| Error::read(path)(io::ErrorKind::UnexpectedEof.into()))?;
        if end > file.metadata().map_err(Error::read(path))?.len() {
            return Err(Error::read(path)(io::ErrorKind::UnexpectedEof.into()));
        }
        drop(zip);
        Ok(Self { path: path.to_owned(), file, body: start + bytes.len() as u64, header, next: 0 })
    }

    /// The header of a file, without reading what follows.
    ///
    /// # Errors
    /// Those of [`Reader::open`], except that the length of a compressed file is not checked.
    pub(crate) fn header_of(path: &Path) -> Result<Header> {
        if path.extension().is_some_and(|extension| extension == "zst") {
            let file = budget::open_file(path)?;
            return Ok(decode(path, zstd::Decoder::new(file).map_err(Error::read(path))?)?.0);
        }
        Ok(Self::open(path)?.header)
    }

    /// Copies a stream, unpacked from `stored` bytes or read from a pipe, to an unnamed temporary file, at most as much as its header
    /// asks for.
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
        // Without rows the file's length bounds nothing and this product may overflow, but then no row is ever read.
        self.row_shape().iter().fold(1, |product, &length| product.saturating_mul(length))
    }

    /// The digest of the raw array, header included.
    ///
    /// # Errors
    /// `Read`, naming the file.
    pub fn digest(&self) -> Result<String> {
        digest::of_reader(self.bytes_from(0)).map_err(Error::read(&self.path))
    }

    /// Checks the number of axes; `what` says what they are, such as "images (N, C, H, W)".
    ///
    /// # Errors
    /// `Shape`, naming the file.
    pub fn require_rank(&self, rank: usize, what: &str) -> Result<()> {
        if self.shape().len() == rank { Ok(()) } else { Err(self.shape_error(what)) }
    }

    /// Checks the shape of the rows; `what` says what they are.
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

    /// Checks that the type of the elements is among `allowed`.
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

    pub(super) fn dtype_error(&self, expected: &str) -> Error {
        Error::Dtype { path: self.path.clone(), expected: expected.to_owned(), found: self.dtype() }
    }

    pub(super) fn bytes_from(&self, position: u64) -> impl Read + '_ {
        At { file: &self.file, position }
    }
}

fn decode(path: &Path, source: impl Read) -> Result<(Header, Vec<u8>)> {
    let decoded = Header::decode(source).map_err(|refusal| match refusal {
        Refusal::Io(source) => Error::Read { path: path.to_owned(), source },
        Refusal::Format { expected, found } => Error::Format { path: path.to_owned(), expected, found },
    })?;
    let header = &decoded.0;
    let rows = header.shape.first().copied().unwrap_or(1);
    // Any other number of rows is bounded by the file's length.
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

/// Copies at most `limit` bytes and returns how many. Reports whether reading failed or the temporary folder is full.
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
