//! The files below a folder, links followed: trees of DVC and git-annex consist of links.
//!
//! ```
//! use obverse::store::walk::files_below;
//! let folder = tempfile::tempdir()?;
//! std::fs::create_dir_all(folder.path().join("a/b"))?;
//! std::fs::write(folder.path().join("a/b/1"), "")?;
//! // A link to a folder that holds it leads nowhere new.
//! std::os::unix::fs::symlink("..", folder.path().join("a/loop"))?;
//! let found = files_below(folder.path(), |_| false)?;
//! assert_eq!(found.files, [std::path::PathBuf::from("a/b/1")]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Result};

/// How deep folders may nest.
const DEEPEST: usize = 64;

/// What lies below a folder. Paths are relative to it and sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The files, and what else is no folder.
    pub files: Vec<PathBuf>,
    /// Links that lead to nothing.
    pub dangling: Vec<PathBuf>,
}

/// The files below the folder `root`, without those that `skipped` is true for, by their name or a folder's above them. A link is what
/// it leads to, inside of `root` or outside. A folder that holds itself through a link is entered once on each way down.
///
/// # Errors
/// `Read`, naming the folder that cannot be read, or that lies deeper than 64 others.
pub fn files_below(root: &Path, skipped: impl Fn(&OsStr) -> bool) -> Result<Found> {
    let mut found = Found::default();
    let real = fs::canonicalize(root).map_err(Error::read(root))?;
    // A folder, and where it and those above it really are.
    let mut folders = vec![(PathBuf::new(), vec![real])];
    while let Some((below, above)) = folders.pop() {
        let folder = root.join(&below);
        if above.len() > DEEPEST {
            return Err(Error::read(&folder)(io::Error::other("expected at most 64 nested folders, found more")));
        }
        for entry in fs::read_dir(&folder).map_err(Error::read(&folder))? {
            let entry = entry.map_err(Error::read(&folder))?;
            let name = entry.file_name();
            if skipped(&name) {
                continue;
            }
            let (relative, path) = (below.join(&name), entry.path());
            let kind = entry.file_type().map_err(Error::read(&path))?;
            let is_folder = match kind.is_symlink() {
                true => match fs::metadata(&path) {
                    Ok(target) => target.is_dir(),
                    Err(_) => {
                        found.dangling.push(relative);
                        continue;
                    }
                },
                false => kind.is_dir(),
            };
            if !is_folder {
                found.files.push(relative);
                continue;
            }
            let real = match (kind.is_symlink(), above.last()) {
                (false, Some(parent)) => parent.join(&name),
                _ => fs::canonicalize(&path).map_err(Error::read(&path))?,
            };
            if !above.contains(&real) {
                let above = above.iter().cloned().chain([real]).collect();
                folders.push((relative, above));
            }
        }
    }
    found.files.sort();
    found.dangling.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(paths: &[PathBuf]) -> Vec<&str> {
        paths.iter().filter_map(|path| path.to_str()).collect()
    }

    #[test]
    fn links_are_what_they_lead_to_inside_and_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("set");
        for path in ["set/cat", "store/dogs"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        for path in ["store/0", "store/dogs/1", "set/cat/2"] {
            fs::write(folder.path().join(path), "").unwrap();
        }
        symlink("../../store/0", root.join("cat/0")).unwrap();
        symlink("../store/dogs", root.join("dog")).unwrap();
        symlink("cat", root.join("also cat")).unwrap();
        symlink("nowhere", root.join("broken")).unwrap();
        let found = files_below(&root, |_| false).unwrap();
        assert_eq!(names(&found.files), ["also cat/0", "also cat/2", "cat/0", "cat/2", "dog/1"]);
        assert_eq!(names(&found.dangling), ["broken"]);
        let found = files_below(&root, |name| name == "cat").unwrap();
        assert_eq!(names(&found.files), ["also cat/0", "also cat/2", "dog/1"]);
    }

    #[test]
    fn folders_that_lead_to_each_other_are_walked_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a", "b"] {
            fs::create_dir(folder.path().join(path)).unwrap();
            fs::write(folder.path().join(path).join("file"), "").unwrap();
        }
        symlink("../b", folder.path().join("a/b")).unwrap();
        symlink("../a", folder.path().join("b/a")).unwrap();
        symlink("..", folder.path().join("a/up")).unwrap();
        symlink("self", folder.path().join("self")).unwrap();
        let found = files_below(folder.path(), |_| false).unwrap();
        assert_eq!(names(&found.files), ["a/b/file", "a/file", "b/a/file", "b/file"]);
        assert_eq!(names(&found.dangling), ["self"]);
    }
}
