//! Flushes folders to the disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

/// From so many files on, a folder is flushed with its whole file system: one by one they take seconds.
const MANY: usize = 32;

/// File systems of one machine, as statfs(2) numbers them: ext2 to ext4, XFS, Btrfs, F2FS, overlays and memory. Of others, such as those
/// of networks, it is not known whether flushing the whole takes a file to the server's disk.
const LOCAL: [u64; 6] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x794c_7630, 0x0102_1994];

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Flushes everything in the folder at `path`, and the folder itself. `folder` is the same, opened before anything was written there.
///
/// Many files are flushed in one call, which reports whatever could not be written to the file system since `folder` was opened. After a
/// report, and where there is no such call, each file is flushed by itself, and reports what became of it.
pub(super) fn sync_tree(folder: &File, path: &Path) -> io::Result<()> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    collect(path, &mut files, &mut folders)?;
    if files.len() >= MANY && reports(folder) && rustix::fs::syncfs(folder).is_ok() {
        return Ok(());
    }
    // Many at a time, because a file system writes waiting files together.
    files.par_iter().chain(&folders).try_for_each(|path| File::open(path)?.sync_all())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>, folders: &mut Vec<PathBuf>) -> io::Result<()> {
    folders.push(folder.to_owned());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), files, folders)?,
            false => files.push(entry.path()),
        }
    }
    Ok(())
}

/// Whether flushing the folder's file system says what could not be written, as it does on local ones since Linux 5.8 (syncfs(2)).
fn reports(folder: &File) -> bool {
    let is_local = rustix::fs::fstatfs(folder).is_ok_and(|found| LOCAL.contains(&(found.f_type as u64)));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    is_local && version(&release).is_some_and(|version| version >= (5, 8))
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.trim().split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        assert_eq!(version("6.10.3-amd64\n"), Some((6, 10)));
        assert_eq!(version("5.4"), Some((5, 4)));
        assert_eq!(version("4.18.0-553.el8.x86_64"), Some((4, 18)));
        assert_eq!((version(""), version("linux")), (None, None));
        assert!(version("5.10.0") >= Some((5, 8)) && version("5.4.0") < Some((5, 8)));
    }

    #[test]
    fn few_files_and_many_are_flushed_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let opened = File::open(folder.path()).unwrap();
        let deep = folder.path().join("deep/er");
        fs::create_dir_all(&deep).unwrap();
        for count in [1, MANY] {
            (0..count).for_each(|file| fs::write(deep.join(file.to_string()), "x").unwrap());
            sync_tree(&opened, folder.path()).unwrap();
            let (mut files, mut folders) = (Vec::new(), Vec::new());
            collect(folder.path(), &mut files, &mut folders).unwrap();
            assert_eq!((files.len(), folders.len()), (count, 3));
        }
        assert!(sync_tree(&opened, &folder.path().join("none")).is_err());
    }
}
