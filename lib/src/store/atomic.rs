//! Atomic writes: a file or a folder is built beside its target under the hidden name `.NAME.partial-PID-xxxxxx`, flushed
//! to the disk and renamed, so a crash leaves the old one or the new one. What a dead process left is removed.
//!
//! ```
//! use std::io::Write;
//! use obverse::store::atomic::AtomicFile;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("result.txt");
//! let mut file = AtomicFile::create(&path)?;
//! file.write_all(b"whole")?;
//! assert!(!path.exists());
//! file.commit()?;
//! assert_eq!(std::fs::read(&path)?, b"whole");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::{NamedTempFile, TempDir};

use super::digest::FOLDER_SIDECAR;
use super::{Error, Result};

/// A partial file younger than this may not have been locked by its owner yet, so it is left alone.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// A file that appears under its name only when complete; dropped before, it leaves nothing.
///
/// Devices and pipes (`/dev/null`, a FIFO) cannot be renamed over: they receive the bytes at [`AtomicFile::commit`].
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
        // A link is followed, so that writing through it replaces what it names and not the link.
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
        // Where locks are not supported, nobody else can take one either, and leftovers stay.
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
    /// `Write` when the disk is full or the name cannot be taken; nothing is left then.
    pub fn commit(self) -> Result<()> {
        self.complete()?.commit()
    }

    /// Flushes all to the disk: what is left to do is one renaming.
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

/// A file that is whole and on the disk, but not under its name yet; dropped, it leaves nothing.
pub struct CompleteFile {
    target: PathBuf,
    partial: NamedTempFile,
    copies: bool,
}

impl CompleteFile {
    /// Puts the file under its name. A power failure may take the name back until its folder is flushed, as [`CompleteFile::commit`]
    /// and [`take_place`] do.
    ///
    /// # Errors
    /// `Write` when the name cannot be taken; what was there is then still there.
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

/// Gives a file the mode of what it is to replace.
fn keep_mode(file: &File, target: &Path) -> io::Result<()> {
    match fs::metadata(target) {
        Ok(existing) => file.set_permissions(existing.permissions()),
        Err(_) => Ok(()),
    }
}

/// Where a file waits that is to be `target` as soon as what it describes is in its place: `.NAME.next` beside it.
pub fn waiting_for(target: &Path) -> PathBuf {
    sibling(&fs::canonicalize(target).unwrap_or_else(|_| target.to_owned()), "next")
}

/// Puts the file that waits for `target` under that name, durably.
///
/// # Errors
/// `Write` when the name cannot be taken; the file then waits still.
pub fn take_place(target: &Path) -> Result<()> {
    let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    let waiting = waiting_for(&target);
    let renamed = File::open(&waiting)
        .and_then(|file| keep_mode(&file, &target))
        .and_then(|()| fs::rename(&waiting, &target))
        .and_then(|()| sync_folder(&parent(&target)));
    match renamed {
        // Another run that found it waiting has done it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => Ok(()),
        renamed => renamed.map_err(Error::write(&target)),
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

/// Writes `bytes` as the whole of `target`, atomically.
///
/// # Errors
/// `Write`, naming the target.
pub fn write(target: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes).map_err(Error::write(target))?;
    file.commit()
}

/// A folder that appears under its name only when complete; dropped before, it leaves nothing.
pub struct AtomicFolder {
    target: PathBuf,
    partial: TempDir,
    /// Held so that others see that the folder's builder lives.
    _lock: File,
}

impl AtomicFolder {
    /// Begins a folder that will be `target`, replacing an earlier output of this suite there.
    ///
    /// # Errors
    /// `Occupied` when a folder stands there that is neither empty nor holds `run.json`; `Write` when nothing can be
    /// written there.
    pub fn create(target: &Path) -> Result<Self> {
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        restore(&target);
        require_replaceable(&target)?;
        remove_leftovers(&target);
        let partial = tempfile::Builder::new()
            .prefix(&partial_prefix(&target))
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(parent(&target))
            .map_err(Error::write(&target))?;
        let lock = File::open(partial.path()).map_err(Error::write(&target))?;
        let _ = lock.try_lock();
        Ok(Self { target, partial, _lock: lock })
    }

    /// Where the contents go while the folder is built.
    pub fn path(&self) -> &Path {
        self.partial.path()
    }

    /// The name the folder will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Puts the folder under its name, durably.
    ///
    /// # Errors
    /// `Write` when the disk is full or the name cannot be taken; the earlier folder is then still there. Where only the flush of
    /// the folder around it fails, or the removal of the earlier one, the new folder is there.
    pub fn commit(self) -> Result<()> {
        let Self { target, mut partial, _lock } = self;
        sync_tree(partial.path()).map_err(Error::write(&target))?;
        let mut aside = None;
        if !target.exists() {
            fs::rename(partial.path(), &target).map_err(Error::write(&target))?;
            partial.disable_cleanup(true);
        } else if renameat_with(CWD, partial.path(), CWD, &target, RenameFlags::EXCHANGE).is_err() {
            // Some network file systems cannot exchange two names: the old one steps aside first, and `restore` puts
            // it back should the process die between the two renames.
            let old = sibling(&target, "old");
            fs::rename(&target, &old).map_err(Error::write(&target))?;
            if let Err(error) = fs::rename(partial.path(), &target) {
                // If this fails too it stays aside, and the next run puts it back.
                let _ = fs::rename(&old, &target);
                return Err(Error::write(&target)(error));
            }
            partial.disable_cleanup(true);
            aside = Some(old);
        }
        // After an exchange the partial name holds the old folder. It goes when the new one is sure to stay.
        sync_folder(&parent(&target)).map_err(Error::write(&target))?;
        match aside {
            Some(old) => discard(&old, &target),
            None => Ok(()),
        }
    }
}

/// Whether `target` is free, an empty folder or an earlier output.
fn require_replaceable(target: &Path) -> Result<()> {
    let mut entries = match fs::read_dir(target) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::write(target)(error)),
    };
    if entries.next().is_none() || target.join(FOLDER_SIDECAR).is_file() {
        Ok(())
    } else {
        Err(Error::Occupied { path: target.to_owned() })
    }
}

/// Puts back a folder that a crash between two renames left aside, or removes it where its successor had taken its place.
pub fn restore(target: &Path) {
    let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    let aside = sibling(&target, "old");
    if aside.is_dir() && require_replaceable(&aside).is_ok() {
        // If it fails the folder stays aside, where a user can find it.
        let _ = if target.exists() {
            discard(&aside, &target)
        } else {
            fs::rename(&aside, &target).map_err(Error::write(&target))
        };
    }
}

/// Removes what dead processes left of earlier attempts at `target`, however new. Only for a caller that knows that nobody
/// else is building it. Best effort.
pub fn clear(target: &Path) {
    remove_where(&fs::canonicalize(target).unwrap_or_else(|_| target.to_owned()), is_unlocked);
}

/// Removes a folder, which is there whole or not at all meanwhile.
///
/// # Errors
/// `Write` when it cannot be removed; what is left of it then has the name of a partial folder.
pub fn remove_folder(target: &Path) -> Result<()> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(());
    }
    let target = fs::canonicalize(target).map_err(Error::write(target))?;
    discard(&target, &target)
}

/// Removes a folder as a partial one of `target`: should that end halfway, the next run removes the rest.
fn discard(folder: &Path, target: &Path) -> Result<()> {
    let partial = tempfile::Builder::new().prefix(&partial_prefix(target)).tempdir_in(parent(target));
    // A folder takes the name of an empty one.
    let removed = partial.and_then(|partial| fs::rename(folder, partial.path()).and_then(|()| partial.close()));
    removed.map_err(Error::write(folder))
}

/// Removes what dead processes left of earlier attempts at `target`. Best effort: what cannot be judged stays.
fn remove_leftovers(target: &Path) {
    remove_where(target, is_abandoned);
}

fn remove_where(target: &Path, removable: impl Fn(&Path) -> bool) {
    let prefix = sibling_name(target, "partial-");
    let Ok(entries) = fs::read_dir(parent(target)) else { return };
    let leftovers = entries.flatten().filter(|entry| {
        entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) && removable(&entry.path())
    });
    for leftover in leftovers {
        let path = leftover.path();
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}

/// Whether nobody holds the lock of a partial file or folder that is not quite new.
fn is_abandoned(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let age = file.metadata().and_then(|metadata| metadata.modified()).map(|modified| modified.elapsed());
    matches!(age, Ok(Ok(age)) if age > LEFTOVER_AGE) && is_unlocked(path)
}

/// Whether nobody holds the lock of a partial file or folder.
fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

fn partial_prefix(target: &Path) -> OsString {
    sibling_name(target, &format!("partial-{}-", std::process::id()))
}

/// `.NAME.suffix`
fn sibling_name(target: &Path, suffix: &str) -> OsString {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".");
    name.push(suffix);
    name
}

fn sibling(target: &Path, suffix: &str) -> PathBuf {
    parent(target).join(sibling_name(target, suffix))
}

/// The folder a path lies in, `.` for a bare name.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn copy_into(source: &mut File, target: &Path) -> io::Result<()> {
    source.rewind()?;
    let mut target = File::options().write(true).open(target)?;
    io::copy(source, &mut target)?;
    target.flush()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Flushes all below a folder, then the folder itself. Many files at a time: a file system writes what waits together at once.
fn sync_tree(folder: &Path) -> io::Result<()> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.par_iter().try_for_each(|entry| match entry.file_type()?.is_dir() {
        true => sync_tree(&entry.path()),
        false => File::open(entry.path())?.sync_all(),
    })?;
    sync_folder(folder)
}

/// Whether a file lies in a folder that this process is building.
fn is_under_construction(target: &Path) -> bool {
    let mark = format!(".partial-{}-", std::process::id());
    target.ancestors().skip(1).filter_map(Path::file_name).any(|name| name.to_string_lossy().contains(&mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// An old unlocked file, as a killed process leaves it.
    fn abandon(path: &Path) {
        let file = File::create(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * LEFTOVER_AGE).unwrap();
    }

    #[test]
    fn a_file_appears_only_when_committed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.npy");
        fs::write(&target, "old").unwrap();
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        file.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.npy"]);
    }

    #[test]
    fn a_dropped_file_or_folder_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(&folder.path().join("a")).unwrap();
        file.write_all(b"new").unwrap();
        drop(file);
        let partial = AtomicFolder::create(&folder.path().join("b")).unwrap();
        fs::write(partial.path().join("x"), "x").unwrap();
        drop(partial);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn leftovers_of_the_dead_go_and_the_work_of_the_living_stays() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        abandon(&folder.path().join(".a.partial-1-abandoned"));
        abandon(&folder.path().join(".b.partial-1-other"));
        let living = AtomicFile::create(&target).unwrap();
        living.file().set_modified(std::time::SystemTime::now() - 2 * LEFTOVER_AGE).unwrap();
        write(&target, b"mine").unwrap();
        assert_eq!(names(folder.path()).len(), 3, "{:?}", names(folder.path()));
        living.commit().unwrap();
        assert_eq!(names(folder.path()), [".b.partial-1-other", "a"]);
    }

    #[test]
    fn a_folder_replaces_its_predecessor_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("net");
        for content in ["one", "two"] {
            let partial = AtomicFolder::create(&target).unwrap();
            fs::write(partial.path().join(content), content).unwrap();
            fs::write(partial.path().join(FOLDER_SIDECAR), "{}").unwrap();
            partial.commit().unwrap();
        }
        assert_eq!(names(&target), [FOLDER_SIDECAR, "two"]);
        assert_eq!(names(folder.path()), ["net"]);
    }

    #[test]
    fn a_folder_of_other_things_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "years").unwrap();
        assert!(matches!(AtomicFolder::create(folder.path()), Err(Error::Occupied { .. })));
    }

    #[test]
    fn a_folder_left_aside_by_a_crash_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("net");
        fs::create_dir(sibling(&target, "old")).unwrap();
        fs::write(sibling(&target, "old").join(FOLDER_SIDECAR), "{}").unwrap();
        drop(AtomicFolder::create(&target).unwrap());
        assert_eq!(names(&target), [FOLDER_SIDECAR]);
    }

    #[test]
    fn an_unwritable_target_is_an_output_error() {
        let error = AtomicFile::create(Path::new("/nonexistent/a.npy")).err().unwrap();
        assert!(error.is_output() && error.to_string().contains("/nonexistent/a.npy"), "{error}");
        let error = AtomicFile::create(&std::env::temp_dir()).err().unwrap();
        assert!(error.is_output());
    }

    #[test]
    fn a_device_receives_the_bytes_and_stays_a_device() {
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let full = write(Path::new("/dev/full"), b"gone").err().unwrap();
        assert!(full.is_output(), "{full}");
    }
}
