//! A folder that appears under its name only when complete.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use super::names::{parent, partial_prefix, sibling};
use super::partial::remove_leftovers;
use super::sync::{sync_folder, sync_tree};
use crate::store::{Error, Result};

/// The name of a folder's sidecar: a folder that holds one is an output of this suite, and may be replaced.
pub const FOLDER_SIDECAR: &str = "run.json";

/// A folder that appears under its name only when complete; if it is dropped before, it leaves nothing.
pub struct AtomicFolder {
    target: PathBuf,
    partial: TempDir,
    /// The folder under construction, opened while it was empty. It is locked, so that others see that this process is alive.
    opened: File,
}

impl AtomicFolder {
    /// Begins a folder that will be `target`, replacing an earlier output of this suite there.
    ///
    /// # Errors
    /// `Occupied` when there is a folder that is neither empty nor has a `run.json`; `Write` when nothing can be written there.
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
        let opened = File::open(partial.path()).map_err(Error::write(&target))?;
        let _ = opened.try_lock();
        Ok(Self { target, partial, opened })
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
    /// `Write` when the disk is full or the name cannot be taken; the earlier folder is then still there. If only flushing the parent
    /// folder or removing the earlier folder fails, the new folder is there.
    pub fn commit(self) -> Result<()> {
        let Self { target, mut partial, opened } = self;
        sync_tree(&opened, partial.path()).map_err(Error::write(&target))?;
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
                // If this fails too, the old folder stays aside and the next run puts it back.
                let _ = fs::rename(&old, &target);
                return Err(Error::write(&target)(error));
            }
            partial.disable_cleanup(true);
            aside = Some(old);
        }
        // After an exchange the partial name is the old folder's. It is removed once the new one is safely on the disk.
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

/// Puts back a folder that a crash between two renames left aside, or removes it if its successor is already in place.
pub fn restore(target: &Path) {
    let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    let aside = sibling(&target, "old");
    if aside.is_dir() && require_replaceable(&aside).is_ok() {
        // If this fails, the folder stays aside, where a user can find it.
        let _ = if target.exists() {
            discard(&aside, &target)
        } else {
            fs::rename(&aside, &target).map_err(Error::write(&target))
        };
    }
}

/// Removes a folder at once: others see all of it or nothing.
///
/// # Errors
/// `Write` when it cannot be removed; the rest then has the name of a partial folder.
pub(crate) fn remove_folder(target: &Path) -> Result<()> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(());
    }
    let target = fs::canonicalize(target).map_err(Error::write(target))?;
    discard(&target, &target)
}

/// Removes a folder under a partial name of `target`, so that the next run removes the rest if this one is killed halfway.
fn discard(folder: &Path, target: &Path) -> Result<()> {
    let partial = tempfile::Builder::new().prefix(&partial_prefix(target)).tempdir_in(parent(target));
    // A rename may replace an empty folder.
    let removed = partial.and_then(|partial| fs::rename(folder, partial.path()).and_then(|()| partial.close()));
    removed.map_err(Error::write(folder))
}
