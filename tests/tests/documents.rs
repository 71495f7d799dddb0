//! Documents that must agree with what they are about: links, the citation, the library's examples.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use obverse_tests::checkout;

/// The files of the public modules below the module of this file, whose submodules lie in `folder`.
fn public_modules(file: &Path, folder: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(file).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let below = names.flat_map(|name| {
        let (alone, within) = (folder.join(name).with_extension("rs"), folder.join(name).join("mod.rs"));
        let file = if alone.exists() { alone } else { within };
        let below = public_modules(&file, &folder.join(name));
        std::iter::once(file).chain(below).collect::<Vec<_>>()
    });
    below.collect()
}

/// Whether a file's documentation holds a block that `cargo test --doc` runs.
fn has_example(text: &str) -> bool {
    let comments = text.lines().filter_map(|line| line.trim().strip_prefix("//"));
    let comments = comments.filter_map(|line| line.strip_prefix('/').or(line.strip_prefix('!')));
    comments.map(str::trim).any(|line| line == "```")
}

#[test]
fn every_public_module_of_the_library_has_an_example_that_runs() {
    let source = checkout().join("lib/src");
    let modules = public_modules(&source.join("lib.rs"), &source);
    assert!(modules.len() > 100, "{} modules found", modules.len());
    let without = modules.iter().filter(|file| !has_example(&fs::read_to_string(file).unwrap()));
    let without: Vec<_> = without.map(|file| file.strip_prefix(&source).unwrap()).collect();
    assert!(without.is_empty(), "without an example: {without:#?}");
}

#[test]
fn the_citation_names_this_version() {
    let citation = fs::read_to_string(checkout().join("CITATION.cff")).unwrap();
    let version = concat!("version: ", env!("CARGO_PKG_VERSION"));
    assert!(citation.lines().any(|line| line == version), "no line \"{version}\"");
}

/// Every document of the checkout: not what cargo, datasets and recipes make, nor Git's.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "data", "out"].contains(&name) {
            documents.extend(self::documents(&path));
        } else if name.ends_with(".md") {
            documents.push(path);
        }
    }
    documents
}

/// The anchors of a document: its headings in lower case, with hyphens for spaces and without other punctuation, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.split("```").step_by(2).flat_map(str::lines).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|&c| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_');
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
}

#[test]
fn links_of_documents_lead_to_files_and_headings() {
    let documents = documents(&checkout());
    assert!(documents.len() > 10, "{documents:?}");
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        // Blocks and words of code hold no links.
        let prose: String = text.split("```").step_by(2).flat_map(|part| part.split('`').step_by(2)).collect();
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("https://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { document.clone() } else { document.with_file_name("").join(file) };
            assert!(target.exists(), "{}: no {link}", document.display());
            let leads = anchor.is_empty() || anchors(&fs::read_to_string(&target).unwrap()).iter().any(|a| a == anchor);
            assert!(leads, "{}: no heading for {link}", document.display());
        }
    }
}
