//! Writing an array a few rows at a time.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::cursor::At;
use super::pixels::{Layout, Pixels};
use super::written::Written;
use crate::store::atomic::AtomicFile;
use crate::store::dtype::{Dtype, Scalar};
use crate::store::header::Header;
use crate::store::staged::{Staged, Whole};
use crate::store::{Error, Result, digest, is_standard_stream};

/// Compression of `.npy.zst`: zstd's own default.
const COMPRESSION: i32 = 3;

/// Bytes that gather before they go to the disk.
const BUFFER: usize = 1 << 20;

/// Writes an array a few rows at a time. The file appears under its name at [`Writer::finish`]; a writer that is dropped before leaves
/// nothing.
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
    pixels: Option<Pixels>,
    pub(super) rows: usize,
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
        let mut writer = Self {
            path: path.to_owned(),
            destination,
            raw,
            dtype,
            row_shape: row_shape.to_vec(),
            pixels: None,
            rows: 0,
        };
        // Room for the header. Its length does not depend on the number of rows, which is known only at the end.
        writer.write_header()?;
        Ok(writer)
    }

    /// The rows are images, (C, H, W) or (H, W), and these values are black and white. The sidecar of the file says so.
    pub fn of_images(mut self, range: [f64; 2]) -> Self {
        self.set_pixels(Some(Pixels { range, layout: Layout::Nchw }));
        self
    }

    /// How the rows are images, for the sidecar of the file.
    pub fn set_pixels(&mut self, pixels: Option<Pixels>) {
        self.pixels = pixels;
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
    /// `Dtype` or `Shape` when the rows do not have the array's type or shape; `Write` when the disk is full.
    pub fn write_rows<T: Scalar>(&mut self, rows: &[T]) -> Result<()> {
        if T::DTYPE != self.dtype {
            let expected = format!("rows of {}", self.dtype);
            return Err(Error::Dtype { path: self.path.clone(), expected, found: T::DTYPE });
        }
        self.write_bytes(bytemuck::cast_slice(rows))
    }

    /// Appends whole rows given as bytes in C order, little endian: what [`super::Reader::read_bytes`] returns.
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
    /// `Write`, also if the reader of standard output has closed it ([`Error::is_broken_pipe`]).
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
        Ok((Written { path, shape, dtype: self.dtype, pixels: self.pixels, blake3 }, whole))
    }
}
