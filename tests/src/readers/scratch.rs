//! Files for readers that take paths, and several files in one input.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

thread_local! {
    // A thread's own, so that no two of them write one file.
    static FOLDER: TempDir = tempfile::tempdir().expect("a temporary folder");
}

/// Lends this thread's scratch folder, where everything is written over from input to input.
pub fn with_folder<T>(work: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| work(folder.path()))
}

/// Writes a file of this name, in a folder of the scratch folder where the name has one, and lends its path.
pub fn with_file<T>(name: &str, bytes: &[u8], work: impl FnOnce(&Path) -> T) -> T {
    with_folder(|folder| {
        let path = folder.join(name);
        write(&path, bytes);
        work(&path)
    })
}

/// Writes a file, and the folder it is in.
pub fn write(path: &Path, bytes: &[u8]) {
    if fs::write(path, bytes).is_err() {
        path.parent().map(fs::create_dir_all).transpose().expect("a scratch folder");
        fs::write(path, bytes).expect("a scratch file");
    }
}

/// Two files in one input: the length of the first in three bytes, the lowest first, and both.
pub fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&(first.len() as u32).to_le_bytes()[..3], first, second].concat()
}

/// The two files that [`joined`] has joined; of a length that is too large the first has everything.
pub fn parted(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((&[a, b, c], rest)) = bytes.split_first_chunk::<3>() else { return (bytes, &[]) };
    let length = u32::from_le_bytes([a, b, c, 0]) as usize;
    rest.split_at_checked(length).unwrap_or((rest, &[]))
}
