//! What this module's tests share: the folder with real dataset files.

use std::path::{Path, PathBuf};

/// The folder or file `name` of the mirror; where it is absent the test says that it is skipped.
pub(crate) fn mirror(test: &str, name: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("OBVERSE_MIRROR").map_or_else(default, PathBuf::from).join(name);
    if !path.exists() {
        println!("skipped: {test}: no mirror");
        return None;
    }
    Some(path)
}
