//! The mirror of the datasets, real files that other programs made. The library's own tests find it by this file too.

use std::path::PathBuf;

/// The folder or file `name` of the mirror that `OBVERSE_MIRROR` names. Tests that call this are ignored where none is named.
///
/// # Panics
/// When the mirror lacks it.
#[track_caller]
pub fn mirror(name: &str) -> PathBuf {
    let mirror = std::env::var_os("OBVERSE_MIRROR").map(PathBuf::from).unwrap_or_default();
    let path = mirror.join(name);
    assert!(path.exists(), "OBVERSE_MIRROR={}: expected {name} in it, found none", mirror.display());
    path
}
