//! Outputs that are complete and on the disk, but not yet in their places, so that their sidecars can be written first.
//!
//! ```
//! use obverse::store::staged::Staged;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("page.html");
//! let staged = Staged::of_bytes(&path, b"<p>".to_vec())?;
//! assert!(!path.exists() && staged.artifact().blake3.len() == 64);
//! staged.place()?;
//! assert_eq!(std::fs::read(&path)?, b"<p>");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::{self, Cursor, Read, Write};
use std::path::Path;

use super::artifact::Artifact;
use super::atomic::{AtomicFile, CompleteFile};
use super::{Error, Result, is_standard_stream};

/// An output that is not yet in its place; if it is dropped, it leaves nothing.
#[must_use]
pub struct Staged {
    artifact: Artifact,
    whole: Whole,
}

/// The content of an output.
pub(super) enum Whole {
    File(CompleteFile),
    /// The bytes for standard output.
    StandardOutput(Box<dyn Read>),
}

impl Staged {
    pub(super) fn new(artifact: Artifact, whole: Whole) -> Self {
        Self { artifact, whole }
    }

    /// A file that is no array, or `-`.
    ///
    /// # Errors
    /// `Write`, naming the file.
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let artifact = Artifact::of_bytes(path, &bytes);
        if is_standard_stream(path) {
            return Ok(Self::new(artifact, Whole::StandardOutput(Box::new(Cursor::new(bytes)))));
        }
        let mut file = AtomicFile::create(path)?;
        file.write_all(&bytes).map_err(Error::write(path))?;
        Ok(Self::new(artifact, Whole::File(file.complete()?)))
    }

    /// The same output with its shape.
    pub fn of_shape(mut self, shape: Vec<usize>) -> Self {
        self.artifact.shape = Some(shape);
        self
    }

    /// Its path, digest and shape.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Puts it in its place, or sends it to standard output. The new name is durable once the folder is flushed, which happens when the
    /// sidecar is put in place.
    ///
    /// # Errors
    /// `Write`, also if the reader of standard output has closed it ([`Error::is_broken_pipe`]).
    pub fn place(self) -> Result<()> {
        self.whole.place(Path::new(&self.artifact.path))
    }
}

impl Whole {
    pub(super) fn place(self, path: &Path) -> Result<()> {
        match self {
            Self::File(file) => file.place(),
            Self::StandardOutput(mut whole) => {
                let mut output = io::stdout().lock();
                io::copy(&mut whole, &mut output).and_then(|_| output.flush()).map_err(Error::write(path))
            }
        }
    }

    pub(super) fn commit(self, path: &Path) -> Result<()> {
        match self {
            Self::File(file) => file.commit(),
            piped => piped.place(path),
        }
    }
}
