//! Digests of large files that are known already, as git's index keeps them: trusted while a file's size, times and inode stand.
//!
//! An entry is a small file in `obverse/digests` of the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`). Without one, or with
//! [`reread`], every file is read. A file that changed so shortly before it was read that its times could not tell a later change is not
//! recorded.
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

/// Bytes below which a file is read faster than this pays.
const LARGE: u64 = 1 << 24;

/// How coarse the times of files may be, generously.
const TICK: Duration = Duration::from_secs(2);

static REREAD: AtomicBool = AtomicBool::new(false);

/// Lets this process read every file, whatever is known of it.
pub fn reread() {
    REREAD.store(true, Ordering::Relaxed);
}

/// A file as the system tells it without reading.
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

/// The digest of an open file: as it is known, or as `read` finds it.
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

/// Whether a change from now on would have other times.
fn is_settled(metadata: &Metadata) -> bool {
    let latest = metadata.modified().ok().max(seconds(metadata.ctime()));
    latest.and_then(|latest| SystemTime::now().duration_since(latest).ok()).is_some_and(|age| age > TICK)
}

fn seconds(seconds: i64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// The file's path from the root, and where its entry lies; none without a cache folder.
fn place_of(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    let whole = fs::canonicalize(path).ok()?;
    let name = blake3::hash(whole.as_os_str().as_encoded_bytes()).to_hex();
    Some((whole, cache.join("obverse/digests").join(name.as_str())))
}

/// Best effort: what cannot be kept is read again.
fn record(place: &Path, entry: &Entry) {
    if let (Some(folder), Ok(text)) = (place.parent(), serde_json::to_vec(entry))
        && fs::create_dir_all(folder).is_ok()
    {
        let _ = atomic::write(place, &text);
    }
}
