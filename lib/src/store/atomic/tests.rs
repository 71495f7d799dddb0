//! Tests of `atomic`: what is there after a commit, a drop, a crash.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::names::sibling;
use super::partial::LEFTOVER_AGE;
use super::*;
use crate::store::Error;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// An old unlocked file, as a killed process leaves it.
fn abandon(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - 2 * LEFTOVER_AGE).unwrap();
}

#[test]
fn a_file_appears_only_when_committed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.npy");
    fs::write(&target, "old").unwrap();
    let mut file = AtomicFile::create(&target).unwrap();
    file.write_all(b"new").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"old");
    file.commit().unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert_eq!(names(folder.path()), ["a.npy"]);
}

#[test]
fn a_dropped_file_or_folder_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = AtomicFile::create(&folder.path().join("a")).unwrap();
    file.write_all(b"new").unwrap();
    drop(file);
    let partial = AtomicFolder::create(&folder.path().join("b")).unwrap();
    fs::write(partial.path().join("x"), "x").unwrap();
    drop(partial);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn leftovers_of_the_dead_go_and_the_work_of_the_living_stays() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a");
    abandon(&folder.path().join(".a.partial-1-abandoned"));
    abandon(&folder.path().join(".b.partial-1-other"));
    let living = AtomicFile::create(&target).unwrap();
    living.file().set_modified(std::time::SystemTime::now() - 2 * LEFTOVER_AGE).unwrap();
    write(&target, b"mine").unwrap();
    assert_eq!(names(folder.path()).len(), 3, "{:?}", names(folder.path()));
    living.commit().unwrap();
    assert_eq!(names(folder.path()), [".b.partial-1-other", "a"]);
}

#[test]
fn a_folder_replaces_its_predecessor_whole() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("net");
    for content in ["one", "two"] {
        let partial = AtomicFolder::create(&target).unwrap();
        fs::write(partial.path().join(content), content).unwrap();
        fs::write(partial.path().join(FOLDER_SIDECAR), "{}").unwrap();
        partial.commit().unwrap();
    }
    assert_eq!(names(&target), [FOLDER_SIDECAR, "two"]);
    assert_eq!(names(folder.path()), ["net"]);
}

#[test]
fn a_folder_of_other_things_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "years").unwrap();
    assert!(matches!(AtomicFolder::create(folder.path()), Err(Error::Occupied { .. })));
}

#[test]
fn a_folder_left_aside_by_a_crash_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("net");
    fs::create_dir(sibling(&target, "old")).unwrap();
    fs::write(sibling(&target, "old").join(FOLDER_SIDECAR), "{}").unwrap();
    drop(AtomicFolder::create(&target).unwrap());
    assert_eq!(names(&target), [FOLDER_SIDECAR]);
}

#[test]
fn an_unwritable_target_is_an_output_error() {
    let error = AtomicFile::create(Path::new("/nonexistent/a.npy")).err().unwrap();
    assert!(error.is_output() && error.to_string().contains("/nonexistent/a.npy"), "{error}");
    let error = AtomicFile::create(&std::env::temp_dir()).err().unwrap();
    assert!(error.is_output());
}

#[test]
fn a_device_receives_the_bytes_and_stays_a_device() {
    write(Path::new("/dev/null"), b"gone").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    let full = write(Path::new("/dev/full"), b"gone").err().unwrap();
    assert!(full.is_output(), "{full}");
}
