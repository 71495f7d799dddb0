//! What this module's tests share: the folder with real dataset files.

use std::path::PathBuf;

/// The folder or file `name` of the mirror that `OBVERSE_MIRROR` names. Tests that call this are ignored unless they are asked for.
#[track_caller]
pub(crate) fn mirror(name: &str) -> PathBuf {
    let mirror = std::env::var_os("OBVERSE_MIRROR").map(PathBuf::from).unwrap_or_default();
    let path = mirror.join(name);
    assert!(path.exists(), "OBVERSE_MIRROR={}: expected {name} in it, found none", mirror.display());
    path
}
