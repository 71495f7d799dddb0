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

#[test]
fn links_of_documents_lead_to_files() {
    let mut documents: Vec<PathBuf> = ["README.md", "RESULTS.md", "CHANGELOG.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
        .iter()
        .map(|name| checkout().join(name))
        .collect();
    let guides = fs::read_dir(checkout().join("pipelines")).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(guides.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("https://")) {
            assert!(document.with_file_name("").join(link).exists(), "{}: no {link}", document.display());
        }
    }
}
