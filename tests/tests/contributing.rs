//! CONTRIBUTING.md's worked examples: each edit has its place in the sources, and a copy of the checkout with all of them builds and
//! passes the tests that they add.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use obverse_tests::{checkout, profile};

/// Where a block of the document goes.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    NewFile,
    After(&'a str),
    Before(&'a str),
    InPlaceOf(&'a str),
    AtTheEnd,
}

#[derive(Debug)]
struct Edit<'a> {
    file: &'a str,
    place: Place<'a>,
    text: String,
}

/// The place that the line before a block names; `None` for blocks that are only read.
fn place(line: &str) -> Option<(&str, Place<'_>)> {
    let spans: Vec<&str> = line.split('`').collect();
    let rest = [spans.first()?.trim(), spans.get(2)?.trim()];
    Some(match (rest, spans.get(3)) {
        (["", ":"], None) => (spans[1], Place::NewFile),
        (["At the end of", ", add:"], None) => (spans[1], Place::AtTheEnd),
        (["In", ", after the line"], Some(line)) => (spans[1], Place::After(line)),
        (["In", ", before the line"], Some(line)) => (spans[1], Place::Before(line)),
        (["In", ", in place of the line"], Some(line)) => (spans[1], Place::InPlaceOf(line)),
        _ => return None,
    })
}

/// The edits of the document, in order.
fn edits(document: &str) -> Vec<Edit<'_>> {
    let lines: Vec<&str> = document.lines().collect();
    let mut edits = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].starts_with("```") {
            let end = (at + 1..lines.len()).find(|&line| lines[line] == "```").unwrap();
            let named = lines[..at].iter().rev().find(|line| !line.is_empty()).and_then(|line| place(line));
            if let Some((file, place)) = named {
                edits.push(Edit { file, place, text: lines[at + 1..end].join("\n") + "\n" });
            }
            at = end;
        }
        at += 1;
    }
    edits
}

/// A file's text with an edit made in it.
///
/// # Panics
/// When the edit's line is not there, or not once.
fn edited(old: Option<String>, edit: &Edit) -> String {
    let Edit { file, place, text } = edit;
    let (line, [before, after]) = match place {
        Place::NewFile => {
            assert!(old.is_none(), "{file}: expected no such file, since CONTRIBUTING.md adds it");
            return text.clone();
        }
        Place::AtTheEnd => return old.unwrap() + text,
        Place::After(line) => (line, [false, true]),
        Place::Before(line) => (line, [true, false]),
        Place::InPlaceOf(line) => (line, [false, false]),
    };
    let old = old.unwrap_or_else(|| panic!("{file}: CONTRIBUTING.md edits it, and it is not there"));
    let found = old.lines().filter(|old| old.trim() == *line).count();
    assert_eq!(found, 1, "{file}: CONTRIBUTING.md expects the line {line:?} once");
    let replaced = old.split_inclusive('\n').map(|old| match old.trim() == *line {
        true if before => text.clone() + old,
        true if after => old.to_owned() + text,
        true => text.clone(),
        false => old.to_owned(),
    });
    replaced.collect()
}

/// Makes the document's edits in a copy of the files that they name.
fn follow(document: &str, from: &Path, to: &Path) {
    let edits = edits(document);
    assert!(edits.len() > 20, "CONTRIBUTING.md: its blocks are not where they are looked for");
    for edit in edits {
        let (there, here) = (to.join(edit.file), from.join(edit.file));
        let old = fs::read_to_string(&there).or_else(|_| fs::read_to_string(&here)).ok();
        fs::create_dir_all(there.parent().unwrap()).unwrap();
        fs::write(&there, edited(old, &edit)).unwrap();
    }
}

fn document() -> String {
    fs::read_to_string(checkout().join("CONTRIBUTING.md")).unwrap()
}

#[test]
fn every_edit_of_the_examples_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    follow(&document(), &checkout(), folder.path());
}

/// Copies the checkout's tracked files.
fn copy(to: &Path) {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(checkout()).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    for name in String::from_utf8(listed.stdout).unwrap().split_terminator('\0') {
        // A file that is deleted and not yet committed is still listed.
        if checkout().join(name).is_file() {
            fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
            fs::copy(checkout().join(name), to.join(name)).unwrap();
        }
    }
}

/// How the copy is built: the dependencies as ever, its own crates without optimisation.
const QUICKLY: &str =
    "[profile.dev.package.obverse]\nopt-level = 0\n[profile.dev.package.obverse-tools]\nopt-level = 0\n";

#[test]
#[ignore = "it builds a copy of the checkout, which takes minutes: just contributing"]
fn the_examples_build_in_a_copy_and_pass_their_tests() {
    // Always the same place, so that what the copy was built from last time is not built again.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contributing");
    let _ = fs::remove_dir_all(&folder);
    copy(&folder);
    follow(&document(), &checkout(), &folder);
    // Small tests: compiling is what takes long.
    fs::create_dir(folder.join(".cargo")).unwrap();
    fs::write(folder.join(".cargo/config.toml"), QUICKLY.replace("PROFILE", profile())).unwrap();
    let cargo = |words: &str| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(words.replace("PROFILE", profile()).split(' ')).current_dir(&folder);
        // The dependencies are those of the checkout, built already.
        command.env("CARGO_TARGET_DIR", checkout().join("target")).env_remove("OBVERSE_TOOLS");
        let output = command.output().unwrap();
        let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "cargo {words}\n{printed}\n{said}");
        printed.into_owned()
    };
    cargo("fmt --all --check");
    let passed = cargo("test --profile PROFILE --locked --package obverse --lib -- net::op semeion gaussian");
    for test in ["net::op::pixel_shuffle::", "data::semeion::", "information::gaussian::"] {
        assert!(passed.contains(test), "no test of {test} ran:\n{passed}");
    }
    let passed = cargo("test --profile PROFILE --locked --package obverse-tests --test tests -- tool_npy_norm");
    assert!(passed.contains("2 passed"), "{passed}");
    cargo("test --profile PROFILE --locked --package obverse-tools --test tests");
}

#[test]
fn a_place_that_is_not_there_or_not_once_is_an_error() {
    let edit = |line| Edit { file: "a.rs", place: Place::After(line), text: "new\n".into() };
    assert_eq!(edited(Some("  one\ntwo\n".into()), &edit("one")), "  one\nnew\ntwo\n");
    for line in ["three", "two"] {
        let found = std::panic::catch_unwind(|| edited(Some("one\ntwo\ntwo\n".into()), &edit(line)));
        assert!(found.is_err(), "{line}");
    }
    assert!(place("In `a`, after the line `b`, add:").is_some_and(|(file, _)| file == "a"));
    assert!(place("The example is `npy-norm`, which writes:").is_none());
}
