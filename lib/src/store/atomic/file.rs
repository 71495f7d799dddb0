//! A file that appears under its name only when complete.

use std::fs::{self, File, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::names::{parent, partial_prefix, sibling};
use super::partial::{is_under_construction, remove_leftovers};
use super::sync::sync_folder;
use crate::store::{Error, Result};

/// A file that appears under its name only when complete; if it is dropped before, it leaves nothing.
///
/// Devices and pipes (`/dev/null`, a FIFO) cannot be replaced by renaming: [`AtomicFile::commit`] copies the bytes into them.
pub struct AtomicFile {
    target: PathBuf,
    partial: NamedTempFile,
    copies: bool,
}

impl AtomicFile {
    /// Begins a file that will be `target`.
    ///
    /// # Errors
    /// `Write` when the folder is missing or not writable, or when `target` is a folder.
    pub fn create(target: &Path) -> Result<Self> {
        // A link is followed, so that its target is replaced and not the link itself.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let existing = fs::metadata(&target).ok();
        if existing.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(Error::write(&target)(io::ErrorKind::IsADirectory.into()));
        }
        let copies = existing.is_some_and(|metadata| !metadata.is_file());
        let folder = if copies { std::env::temp_dir() } else { parent(&target) };
        if !copies {
            remove_leftovers(&target);
        }
        let partial = tempfile::Builder::new()
            .prefix(&partial_prefix(&target))
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(Error::write(&target))?;
        // If locks are not supported, nobody else can take one either, and leftovers stay.
        let _ = partial.as_file().try_lock();
        Ok(Self { target, partial, copies })
    }

    /// The file under construction.
    pub fn file(&self) -> &File {
        self.partial.as_file()
    }

    /// Puts the file under its name, durably.
    ///
    /// # Errors
    /// `Write` when the disk is full or the name cannot be taken; then nothing is left.
    pub fn commit(self) -> Result<()> {
        self.complete()?.commit()
    }

    /// Flushes everything to the disk; only the renaming is left to do.
    ///
    /// # Errors
    /// `Write` when the disk is full.
    pub fn complete(self) -> Result<CompleteFile> {
        let Self { target, partial, copies } = self;
        if !copies {
            // A folder under construction is flushed as a whole.
            let flush = || if is_under_construction(&target) { Ok(()) } else { partial.as_file().sync_all() };
            keep_mode(partial.as_file(), &target).and_then(|()| flush()).map_err(Error::write(&target))?;
        }
        Ok(CompleteFile { target, partial, copies })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.partial.flush()
    }
}

/// A file that is complete and on the disk, but not yet under its name; if it is dropped, it leaves nothing.
pub struct CompleteFile {
    target: PathBuf,
    partial: NamedTempFile,
    copies: bool,
}

impl CompleteFile {
    /// Puts the file under its name. Until its folder is flushed, as [`CompleteFile::commit`] and [`take_place`] do, a power failure may
    /// undo this.
    ///
    /// # Errors
    /// `Write` when the name cannot be taken; an earlier file is then still there.
    pub fn place(self) -> Result<()> {
        let Self { target, mut partial, copies } = self;
        if copies {
            return copy_into(partial.as_file_mut(), &target).map_err(Error::write(&target));
        }
        partial.persist(&target).map_err(|error| Error::write(&target)(error.error))?;
        Ok(())
    }

    /// Puts the file under its name, durably.
    ///
    /// # Errors
    /// `Write` when the name cannot be taken.
    pub fn commit(self) -> Result<()> {
        let (target, copies) = (self.target.clone(), self.copies);
        self.place()?;
        let flushed = copies || is_under_construction(&target);
        if flushed { Ok(()) } else { sync_folder(&parent(&target)).map_err(Error::write(&target)) }
    }
}

/// Gives a file the mode of the file that it replaces.
fn keep_mode(file: &File, target: &Path) -> io::Result<()> {
    match fs::metadata(target) {
        Ok(existing) => file.set_permissions(existing.permissions()),
        Err(_) => Ok(()),
    }
}

fn copy_into(source: &mut File, target: &Path) -> io::Result<()> {
    source.rewind()?;
    let mut target = File::options().write(true).open(target)?;
    io::copy(source, &mut target)?;
    target.flush()
}

/// Where a sidecar waits to become `target` until its output is in place: `.NAME.next` beside it.
pub fn waiting_for(target: &Path) -> PathBuf {
    sibling(&fs::canonicalize(target).unwrap_or_else(|_| target.to_owned()), "next")
}

/// Puts the file that waits for `target` under that name, durably.
///
/// # Errors
/// `Write` when the name cannot be taken; the file then keeps waiting.
pub fn take_place(target: &Path) -> Result<()> {
    let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    let waiting = waiting_for(&target);
    let renamed = File::open(&waiting)
        .and_then(|file| keep_mode(&file, &target))
        .and_then(|()| fs::rename(&waiting, &target))
        .and_then(|()| sync_folder(&parent(&target)));
    match renamed {
        // Another run found it waiting and has done it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => Ok(()),
        renamed => renamed.map_err(Error::write(&target)),
    }
}

/// Writes `bytes` as the whole of `target`, atomically.
///
/// # Errors
/// `Write`, naming the target.
pub fn write(target: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes).map_err(Error::write(target))?;
    file.commit()
}
