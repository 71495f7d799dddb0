//! An index of digests of large files, like git's: an entry is trusted while the file's size, times and inode stay the same.
//!
//! An entry is a small file in `obverse/digests` of the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`). Without a cache folder,
//! or after [`reread`], every file is read. A file that changed only just before it was read is not recorded, because its times could not
//! show another change.
//!
//! ```
//! use obverse::store::{digest, index};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("data.npy");
//! std::fs::write(&path, "bytes")?;
//! index::reread();
//! assert_eq!(digest::of_file(&path)?, digest::of_bytes(b"bytes"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::atomic;

/// Files below this many bytes are read so fast that the index does not pay off.
const LARGE: u64 = 1 << 24;

/// How coarse the times of files may be, generously estimated.
const TICK: Duration = Duration::from_secs(2);

static REREAD: AtomicBool = AtomicBool::new(false);

/// Makes this process read every file, even those in the index.
pub fn reread() {
    REREAD.store(true, Ordering::Relaxed);
}

/// What the system tells about a file without reading it, and its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    blake3: String,
}

impl Entry {
    fn of(path: PathBuf, metadata: &Metadata, blake3: String) -> Self {
        Self {
            path,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            blake3,
        }
    }
}

/// The digest of an open file: from the index, or else from `read`.
///
/// # Errors
/// Those of `read`.
pub(super) fn known_or<E>(
    path: &Path,
    file: &File,
    read: impl FnOnce() -> Result<blake3::Hash, E>,
) -> Result<blake3::Hash, E> {
    let before = file.metadata().ok().filter(|metadata| metadata.size() >= LARGE);
    let place = before.as_ref().and_then(|_| place_of(path));
    let (Some(before), Some((whole, entry))) = (before, place) else { return read() };
    if !REREAD.load(Ordering::Relaxed)
        && let Some(known) = fs::read(&entry).ok().and_then(|text| serde_json::from_slice::<Entry>(&text).ok())
        && known == Entry::of(whole.clone(), &before, known.blake3.clone())
        && let Ok(hash) = blake3::Hash::from_hex(&known.blake3)
    {
        return Ok(hash);
    }
    let hash = read()?;
    let after = file.metadata().ok();
    let same = |after: &Metadata| {
        Entry::of(PathBuf::new(), after, String::new()) == Entry::of(PathBuf::new(), &before, String::new())
    };
    if after.as_ref().is_some_and(same) && is_settled(&before) {
        record(&entry, &Entry::of(whole, &before, hash.to_hex().to_string()));
    }
    Ok(hash)
}

/// Whether any later change would show in the times.
fn is_settled(metadata: &Metadata) -> bool {
    let latest = metadata.modified().ok().max(seconds(metadata.ctime()));
    latest.and_then(|latest| SystemTime::now().duration_since(latest).ok()).is_some_and(|age| age > TICK)
}

fn seconds(seconds: i64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// The file's absolute path, and where its entry lies; none without a cache folder.
fn place_of(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    let whole = fs::canonicalize(path).ok()?;
    let name = blake3::hash(whole.as_os_str().as_encoded_bytes()).to_hex();
    Some((whole, cache.join("obverse/digests").join(name.as_str())))
}

/// Best effort: a file whose entry cannot be written is read again next time.
fn record(place: &Path, entry: &Entry) {
    if let (Some(folder), Ok(text)) = (place.parent(), serde_json::to_vec(entry))
        && fs::create_dir_all(folder).is_ok()
    {
        let _ = atomic::write(place, &text);
    }
}
