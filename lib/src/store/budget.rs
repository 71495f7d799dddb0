//! Limits on the memory and disk that a file may make a run use: sizes are checked before anything is allocated.
//!
//! ```
//! use obverse::store::budget::{charge, limit};
//! use std::path::Path;
//! assert!(charge(Path::new("net.json"), "its parameters", 1 << 20).is_ok());
//! let error = charge(Path::new("net.json"), "its parameters", u128::from(limit()) + 1).unwrap_err();
//! assert!(error.to_string().contains("`memory`"));
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::OnceLock;

use rustix::process::{Resource, getrlimit};

use super::{Error, Result};

/// How much a file may unpack to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expansion {
    /// This many times its own size.
    times: u128,
    /// Or this many bytes, whatever its size.
    free: u128,
}

/// For arrays, which pass through the disk: black images compress to a hundredth of their size.
pub(crate) const ARRAY: Expansion = Expansion { times: 256, free: 1 << 30 };
/// For statistics, which are held in memory: covariances hardly compress.
pub(crate) const STATISTICS: Expansion = Expansion { times: 32, free: 1 << 28 };
/// The most bytes of a description: a network of a hundred thousand nodes has tens of millions.
const DESCRIPTION: u64 = 1 << 28;
/// The machine's memory, if the system does not tell.
const USUAL: u64 = 8 << 30;

static LIMIT: OnceLock<u64> = OnceLock::new();

/// The most bytes that a run may hold: the limit that was set first, or what the machine or its control group has.
pub fn limit() -> u64 {
    *LIMIT.get_or_init(of_machine)
}

/// Sets the limit of the process, once; later calls change nothing.
pub fn set_limit(bytes: u64) {
    let _ = LIMIT.set(bytes);
}

/// Checks that `bytes`, which the file at `path` needs, are within the limit; `what` says what they hold.
///
/// # Errors
/// `Memory`, naming the file and both numbers.
pub fn charge(path: &Path, what: &'static str, bytes: u128) -> Result<()> {
    let limit = limit();
    if bytes <= u128::from(limit) {
        return Ok(());
    }
    let needed = u64::try_from(bytes).unwrap_or(u64::MAX);
    Err(Error::Memory { path: path.to_owned(), what, needed, limit })
}

/// Checks that `bytes` read from `path` can be written to `folder` with some space left free. If the system does not tell how much there
/// is, writing will fail instead.
///
/// # Errors
/// `Disk`, naming both.
pub(crate) fn charge_disk(path: &Path, folder: &Path, bytes: u64) -> Result<()> {
    let Ok(found) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if bytes <= free - free / 16 {
        return Ok(());
    }
    Err(Error::Disk { path: path.to_owned(), folder: folder.to_owned(), needed: bytes, free })
}

/// Checks that a file of `stored` bytes may unpack to `claimed` bytes. Many times its own size is a decompression bomb, or all one value.
///
/// # Errors
/// `Expansion`, naming the file and both numbers.
pub(crate) fn check_expansion(path: &Path, claimed: u128, stored: u64, most: Expansion) -> Result<()> {
    if claimed <= most.free.max(most.times.saturating_mul(u128::from(stored))) {
        return Ok(());
    }
    let claimed = u64::try_from(claimed).unwrap_or(u64::MAX);
    Err(Error::Expansion { path: path.to_owned(), claimed, stored })
}

/// Opens a regular file for reading. A device has no end, and a FIFO may never begin.
///
/// # Errors
/// `Read` when there is none; `NotAFile` for a device, a pipe or a socket.
pub(crate) fn open_file(path: &Path) -> Result<File> {
    let metadata = fs::metadata(path).map_err(Error::read(path))?;
    if metadata.is_dir() {
        return Err(Error::read(path)(std::io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    File::open(path).map_err(Error::read(path))
}

/// The bytes of a file that is read whole, such as a description.
///
/// # Errors
/// `Read` when there is none; `NotAFile` for a device, a pipe or a socket; `Memory` for a file larger than any description.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let file = open_file(path)?;
    let length = file.metadata().map_err(Error::read(path))?.len();
    if length > DESCRIPTION.min(limit()) {
        let (path, limit) = (path.to_owned(), DESCRIPTION.min(limit()));
        return Err(Error::Memory { path, what: "its text, which is read whole,", needed: length, limit });
    }
    let mut bytes = Vec::new();
    file.take(DESCRIPTION).read_to_end(&mut bytes).map_err(Error::read(path))?;
    Ok(bytes)
}

/// The text of a file that is read whole.
///
/// # Errors
/// Those of [`read`]; `Read` for bytes that are not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|error| Error::read(path)(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// The smallest of three: the machine's memory, that of this process's control group, and what the process is allowed.
fn of_machine() -> u64 {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim();
        line.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    // What `ulimit -v` allows the process.
    let process = getrlimit(Resource::As).current;
    groups.into_iter().filter_map(number).chain(machine).chain(process).min().unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unpacks_to_many_times_its_size_is_refused() {
        let path = Path::new("a.npy.zst");
        assert!(check_expansion(path, 1 << 30, 10, ARRAY).is_ok());
        assert!(check_expansion(path, 1 << 40, 1 << 32, ARRAY).is_ok());
        let error = check_expansion(path, 6 << 30, 196_715, ARRAY).unwrap_err().to_string();
        assert!(error.contains("a.npy.zst") && error.contains("6442450944"), "{error}");
        // 16,384 features, all zero.
        assert!(check_expansion(path, 1 << 31, 9_371_908, STATISTICS).is_err());
    }

    #[test]
    fn more_than_the_disk_holds_is_refused() {
        let folder = std::env::temp_dir();
        assert!(charge_disk(Path::new("a.npy.zst"), &folder, 1).is_ok());
        let error = charge_disk(Path::new("a.npy.zst"), &folder, 1 << 60).unwrap_err().to_string();
        assert!(error.contains("a.npy.zst") && error.contains(&folder.display().to_string()), "{error}");
    }

    #[test]
    fn a_device_is_no_file() {
        assert!(open_file(Path::new("/dev/zero")).unwrap_err().to_string().contains("/dev/zero"));
        assert!(open_file(Path::new("/")).is_err());
    }
}
