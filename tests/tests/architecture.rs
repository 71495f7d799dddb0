//! The floors of the library: which room imports which is read off the sources, held against the floors below, and drawn into
//! ARCHITECTURE.md. `OBVERSE_WRITE=1` writes the picture instead of comparing it.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use obverse_tests::{assert_kept, checkout};

/// The rooms, from the bottom to the top. A room imports rooms of lower floors only.
const FLOORS: [&[&str]; 6] = [
    &["store", "tensor"],
    &["data", "ops", "similarity", "statistics"],
    &["net"],
    &["objective", "train"],
    &["alignment", "baselines", "density", "fidelity", "ifv", "information", "reversible", "visualisation"],
    &["report"],
];

/// What the floors are called in the picture.
const NAMES: [&str; 6] = ["files and arrays", "data and operations", "networks", "optimisation", "methods", "pictures"];

const BEGIN: &str = "<!-- rooms: made by tests/tests/architecture.rs -->\n";
const END: &str = "<!-- end -->";

/// Which rooms each room imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The words and signs of a source, without comments, texts and numbers. `::` is one of them.
fn tokens(source: &str) -> Vec<&str> {
    let bytes = source.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 128;
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &source[at..];
        at += if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_text(rest) {
            let (start, end) = (hashes + 2, format!("\"{}", "#".repeat(hashes)));
            rest[start..].find(&end).map_or(rest.len(), |found| start + found + end.len())
        } else if rest.starts_with('"') {
            quoted(rest, b'"')
        } else if let Some(after) = rest.strip_prefix('\'') {
            // A character, or else the tick of a lifetime.
            let length = after.chars().next().map_or(0, char::len_utf8);
            let is_character = after.starts_with('\\') || after[length..].starts_with('\'');
            if is_character { quoted(rest, b'\'') } else { 1 }
        } else if is_word(bytes[at]) {
            let length = rest.bytes().take_while(|&byte| is_word(byte)).count();
            tokens.push(&rest[..length]);
            length
        } else {
            let length = if rest.starts_with("::") { 2 } else { 1 };
            if !bytes[at].is_ascii_whitespace() {
                tokens.push(&rest[..length]);
            }
            length
        };
    }
    tokens
}

/// The number of `#` of a raw text that begins here.
fn raw_text(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.bytes().take_while(|&byte| byte == b'#').count();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a quoted text or character.
fn quoted(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The tokens without what is compiled for tests only, and the names of the modules among that.
fn without_tests<'a>(tokens: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut kept, mut tests, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if !tokens[at..].starts_with(&["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let mut depth = 0;
        let item = &tokens[at + 7..];
        let end = item.iter().position(|&token| {
            depth += i32::from(token == "{") - i32::from(token == "}");
            depth == 0 && (token == ";" || token == "}")
        });
        let item = &item[..end.map_or(item.len(), |end| end + 1)];
        let name = item.iter().position(|&token| token == "mod").filter(|_| item.ends_with(&[";"]));
        tests.extend(name.map(|name| item[name + 1]));
        at += 7 + item.len();
    }
    (kept, tests)
}

/// The rooms that a module `depth` folders and files below `src` names: after `crate::`, inside of `crate::{…}`, and after as many
/// `super::` as lead to the root.
fn named<'a>(tokens: &[&'a str], depth: usize) -> BTreeSet<&'a str> {
    let mut rooms = BTreeSet::new();
    let mut supers = 0;
    for (at, pair) in tokens.windows(2).enumerate() {
        supers = if pair == ["super", "::"] {
            supers + 1
        } else if pair[1] == "super" {
            supers
        } else {
            0
        };
        if pair != ["crate", "::"] && supers < depth {
            continue;
        }
        let path = &tokens[at + 2..];
        if path.first() != Some(&"{") {
            rooms.extend(path.first().filter(|&&word| word != "super"));
            continue;
        }
        let mut depth = 0;
        for (before, word) in path.iter().zip(&path[1..]) {
            depth += i32::from(*before == "{") - i32::from(*before == "}");
            match depth {
                0 => break,
                1 if matches!(*before, "{" | ",") && *word != "}" => drop(rooms.insert(*word)),
                _ => {}
            }
        }
    }
    rooms
}

/// Hands over each source of a folder that is no test, with its depth below `src`.
fn each_source(folder: &Path, depth: usize, visit: &mut impl FnMut(usize, &[&str])) {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The module itself comes first: it says which of the others are tests.
    paths.sort_by_key(|path| (!path.ends_with("mod.rs") && !path.ends_with("lib.rs"), path.clone()));
    let mut tests: Vec<String> = vec!["tests".into()];
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if tests.contains(&name) || name.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            each_source(&path, depth + 1, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let (kept, of_tests) = without_tests(&tokens(&source));
            tests.extend(of_tests.into_iter().map(str::to_owned));
            visit(depth + usize::from(!matches!(name.as_str(), "mod" | "lib")), &kept);
        }
    }
}

/// The rooms are the folders of the library.
fn imports() -> Imports {
    let folder = checkout().join("lib/src");
    let rooms = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let of_room = |path: &Path| {
        let mut found = BTreeSet::new();
        each_source(path, 1, &mut |depth, tokens| {
            found.extend(named(tokens, depth).into_iter().map(str::to_owned));
        });
        let room = path.file_name().unwrap().to_str().unwrap().to_owned();
        found.remove(&room);
        (room, found)
    };
    rooms.map(|path| of_room(&path)).collect()
}

fn floor(room: &str) -> usize {
    FLOORS.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("{room}: it is on no floor"))
}

/// Whether a room is reached from another, by way of a third room or directly. Arrows that run up are not followed: they may lead around.
fn reaches(imports: &Imports, from: &str, to: &str) -> bool {
    let mut below = imports[from].iter().filter(|room| floor(room) < floor(from));
    imports[from].contains(to) || below.any(|room| reaches(imports, room, to))
}

/// What a room is for: the first sentence of its documentation.
fn purpose(room: &str) -> String {
    let source = fs::read_to_string(checkout().join("lib/src").join(room).join("mod.rs")).unwrap();
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let text = text.join(" ");
    // A point inside of brackets, as in "et al.", ends no sentence, nor does one before a small letter or a bracket.
    let ends = |at: usize| {
        let (before, after) = (&text[..at], &text[at + 1..]);
        let is_open = before.matches('(').count() > before.matches(')').count();
        !is_open && after.trim_start().chars().next().is_none_or(char::is_uppercase)
    };
    let end = text.match_indices('.').map(|(at, _)| at).find(|&at| ends(at));
    // Links lead nowhere outside of the documentation.
    text[..end.unwrap_or(text.len())].replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

/// The rooms by floor, with the imports that no longer way shows, and a table of them.
fn picture(imports: &Imports) -> String {
    let mut text = String::from("\n```mermaid\nflowchart TB\n");
    for (number, (rooms, name)) in FLOORS.iter().zip(NAMES).enumerate().rev() {
        writeln!(text, "    subgraph floor{number}[\"{name}\"]\n        {}\n    end", rooms.join("\n        "))
            .unwrap();
    }
    for (room, imported) in imports {
        let longer = |to: &&String| imported.iter().any(|via| reaches(imports, via, to));
        for to in imported.iter().filter(|to| !longer(to)) {
            writeln!(text, "    {room} --> {to}").unwrap();
        }
    }
    text += "```\n\n| floor | room | what it is for | imports |\n|---|---|---|---|\n";
    for (rooms, name) in FLOORS.iter().zip(NAMES).rev() {
        for room in *rooms {
            let imported: Vec<String> = imports[*room].iter().map(|room| format!("`{room}`")).collect();
            writeln!(text, "| {name} | `{room}` | {} | {} |", purpose(room), imported.join(", ")).unwrap();
        }
    }
    text + "\n"
}

/// A crate with other features is another build of it and of all that uses it: minutes, whenever another package is tested.
#[test]
fn each_package_alone_takes_the_builds_of_the_workspace() {
    let tree = |which: &[&str]| -> BTreeSet<String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let words = ["tree", "--locked", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p} {f}"];
        let output = Command::new(cargo).args(words).args(which).current_dir(checkout()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        printed.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    };
    let workspace = tree(&["--workspace"]);
    for package in ["obverse", "obverse-tools", "obverse-tests"] {
        let others: Vec<String> = tree(&["--package", package]).difference(&workspace).cloned().collect();
        assert!(others.is_empty(), "{package}: built with other features than in the workspace: {others:?}");
    }
}

#[test]
fn no_room_imports_one_of_a_higher_floor_or_of_its_own() {
    for (room, imported) in imports() {
        for other in imported {
            let (of_room, of_other) = (floor(&room), floor(&other));
            assert!(
                of_other < of_room,
                "{room} (floor {of_room}) imports {other} (floor {of_other}): move what both need down"
            );
        }
    }
}

#[test]
fn every_room_is_on_one_floor_and_every_floor_holds_rooms_that_are_there() {
    let mut on_floors: Vec<&str> = FLOORS.concat();
    on_floors.sort_unstable();
    let imports = imports();
    assert_eq!(on_floors, imports.keys().collect::<Vec<_>>());
}

#[test]
fn the_library_knows_nothing_of_tools_and_neither_knows_the_tests() {
    let words = |folder: &str| {
        let mut words = BTreeSet::new();
        each_source(&checkout().join(folder), 0, &mut |_, tokens| {
            words.extend(tokens.iter().map(|&token| token.to_owned()));
        });
        words
    };
    let (library, tools) = (words("lib/src"), words("tools/src"));
    assert!(tools.contains("obverse") && library.contains("crate"), "the sources are not where they are looked for");
    for (place, words, strangers) in [
        // The library prints nothing, parses no arguments and never exits.
        ("lib/src", &library, &["obverse_tools", "obverse_tests", "clap", "println", "eprintln", "exit"][..]),
        ("tools/src", &tools, &["obverse_tests"]),
    ] {
        for stranger in strangers {
            assert!(!words.contains(*stranger), "{place} names {stranger}");
        }
    }
}

#[test]
fn the_picture_of_the_rooms_is_that_of_the_code() {
    let kept = fs::read_to_string(checkout().join("ARCHITECTURE.md")).unwrap();
    let (before, rest) = kept.split_once(BEGIN).expect("the line before the picture");
    let (_, after) = rest.split_once(END).expect("the line after the picture");
    assert_kept("ARCHITECTURE.md", &format!("{before}{BEGIN}{}{END}{after}", picture(&imports())));
}

#[test]
fn imports_are_found_wherever_they_stand_and_not_in_comments_texts_and_tests() {
    const SOURCE: &str = r##"
        //! See [`crate::comment`].
        use crate::{alpha::{self, x}, beta::y, gamma};
        use crate::delta::{Inner, Other};
        use super::super::zeta::Z;
        pub(crate) fn f<'a>(c: char) -> &'a str { crate::eta::call('"', "crate::text", r#"crate::raw "quoted""#) }
        #[cfg(test)]
        pub(crate) mod helper;
        #[cfg(test)]
        mod tests { fn g() { crate::test::h(); if true {} } }
        impl crate::theta::Trait for X {}
    "##;
    let found = tokens(SOURCE);
    let (kept, tests) = without_tests(&found);
    assert_eq!(tests, ["helper"]);
    let rooms = |depth| named(&kept, depth).into_iter().collect::<Vec<_>>();
    assert_eq!(rooms(2), ["alpha", "beta", "delta", "eta", "gamma", "theta", "zeta"]);
    // One folder further down, the same way up ends inside of the room.
    assert_eq!(rooms(3), ["alpha", "beta", "delta", "eta", "gamma", "theta"]);
}
