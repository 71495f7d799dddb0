//! Digests of content, blake3 in hexadecimal: of an array's raw `.npy` bytes (uncompressed, even if the file is compressed), of any file,
//! and of a folder (sorted relative paths and contents, without its `run.json`).
//!
//! ```
//! use obverse::store::digest::{of_path, of_reader};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("a");
//! std::fs::write(&path, "abc")?;
//! assert_eq!(of_path(&path)?, of_reader(&b"abc"[..])?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Error, Result, budget, index, walk};

/// Bytes hashed at a time: large enough that threads share one block.
const BLOCK: usize = 1 << 22;

/// A folder's sidecar is not part of the folder's content.
pub use super::atomic::FOLDER_SIDECAR;

/// The digest of the file or folder at `path`.
///
/// # Errors
/// `Read`, naming the file that cannot be read.
pub fn of_path(path: &Path) -> Result<String> {
    let metadata = fs::metadata(path).map_err(Error::read(path))?;
    if metadata.is_dir() { of_folder(path) } else { of_file(path) }
}

/// The digest of a file's bytes; of a `.zst` file's bytes before compression.
///
/// # Errors
/// `Read`, naming the file.
pub fn of_file(path: &Path) -> Result<String> {
    file_hash(path).map(|hash| hash.to_hex().to_string())
}

/// The digest of a folder: of the path and digest of each file in it, in the order of relative paths.
///
/// # Errors
/// `Read`, naming the file or folder that cannot be read.
pub fn of_folder(folder: &Path) -> Result<String> {
    Ok(of_files(&files_of(folder)?))
}

/// Every file in a folder except its sidecar, by relative path and in that order, with its digest.
///
/// # Errors
/// `Read`, naming the file or folder that cannot be read.
pub(crate) fn files_of(folder: &Path) -> Result<Vec<(PathBuf, blake3::Hash)>> {
    let hashed = |relative: PathBuf| file_hash(&folder.join(&relative)).map(|hash| (relative, hash));
    names_in(folder)?.into_iter().map(hashed).collect()
}

/// Every file in a folder except its sidecar, by relative path and in that order. Links are followed, those to nothing are no files.
///
/// # Errors
/// `Read`, naming the folder that cannot be read.
pub fn names_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = walk::files_below(folder, |_| false)?.files;
    files.retain(|relative| relative.as_os_str() != FOLDER_SIDECAR);
    Ok(files)
}

/// The digest of the folder that holds these files.
pub(crate) fn of_files(files: &[(PathBuf, blake3::Hash)]) -> String {
    let mut hasher = blake3::Hasher::new();
    for (relative, hash) in files {
        let name = relative.as_os_str().as_encoded_bytes();
        // The length before the name keeps two different folders from reading as the same bytes.
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
        hasher.update(hash.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The digest of some bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The digest of everything that is left in `source`.
///
/// # Errors
/// Errors of the reader.
pub fn of_reader(source: impl Read) -> io::Result<String> {
    hash(source).map(|hash| hash.to_hex().to_string())
}

fn file_hash(path: &Path) -> Result<blake3::Hash> {
    let file = budget::open_file(path)?;
    let read = || match path.extension() {
        Some(extension) if extension == "zst" => zstd::Decoder::new(&file).and_then(hash),
        _ => hash(&file),
    };
    index::known_or(path, &file, read).map_err(Error::read(path))
}

fn hash(mut source: impl Read) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut block = Vec::new();
    loop {
        block.clear();
        if source.by_ref().take(BLOCK as u64).read_to_end(&mut block)? == 0 {
            return Ok(hasher.finalize());
        }
        hasher.update_rayon(&block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_known_by_its_paths_and_contents_but_not_by_its_sidecar() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("params")).unwrap();
        fs::write(path.join("params/a"), "1").unwrap();
        fs::write(path.join("b"), "2").unwrap();
        let before = of_path(path).unwrap();
        fs::write(path.join(FOLDER_SIDECAR), "{}").unwrap();
        assert_eq!(of_path(path).unwrap(), before);
        fs::write(path.join("params").join(FOLDER_SIDECAR), "{}").unwrap();
        assert_ne!(of_path(path).unwrap(), before);
        fs::remove_file(path.join("params").join(FOLDER_SIDECAR)).unwrap();
        fs::rename(path.join("b"), path.join("c")).unwrap();
        assert_ne!(of_path(path).unwrap(), before);
    }

    #[test]
    fn a_compressed_file_has_the_digest_of_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let content = vec![7u8; BLOCK + 5];
        fs::write(folder.path().join("a"), &content).unwrap();
        fs::write(folder.path().join("a.zst"), zstd::encode_all(&content[..], 3).unwrap()).unwrap();
        let expected = blake3::hash(&content).to_hex().to_string();
        assert_eq!(of_file(&folder.path().join("a")).unwrap(), expected);
        assert_eq!(of_file(&folder.path().join("a.zst")).unwrap(), expected);
    }
}
