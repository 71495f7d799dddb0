//! The guides' commands, run in order as a reader runs them in a checkout, at small sizes: each succeeds, and the outputs that a guide
//! names are there.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use obverse_tests::{checkout, recipes, shell, steps, tools};

/// What the recipes of the shapes make of themselves.
const SMALL: [(&str, &str); 4] = [
    ("OBVERSE_SHAPES_COUNT", "300"),
    ("OBVERSE_SHAPES_EPOCHS", "1"),
    ("OBVERSE_SHAPES_STEPS", "12"),
    ("OBVERSE_SHAPES_SEARCH", "200"),
];

/// A `dataset` that keeps the first images of what it fetches, which hold every digit. The first argument is the tools' folder.
const FEW: &str = r#"#!/bin/sh
set -eu
if test "$1" = fetch && test -d "$4"; then exit; fi
"TOOLS/dataset" "$@"
if test "$1" = fetch; then
    for file in "$4"/*-images.npy "$4"/*-labels.npy; do
        "TOOLS/npy-cat" "$file" --head 40 --quiet -o "$4/few.npy"
        mv "$4/few.npy" "$file"
    done
fi
"#;

/// Words of commands that download.
#[cfg(not(mirror))]
const DOWNLOADS: [&str; 2] = ["mnist", "cifar10"];

/// The tools, with a `dataset` of few images.
fn tools_of_few_images(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for entry in fs::read_dir(tools()).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() && entry.file_name() != "dataset" {
            symlink(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let script = folder.join("dataset");
    fs::write(&script, FEW.replace("TOOLS", tools().to_str().unwrap())).unwrap();
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The outputs that a document names, in code spans outside of its blocks.
fn outputs(document: &str) -> Vec<&str> {
    let prose = document.split("```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)).filter(|code| code.starts_with("out/")).collect()
}

/// Runs a guide's commands, after these replacements in each, but those that hold a word that is left out.
fn walk(name: &str, smaller: &[(&str, &str)], left_out: &[&str]) {
    let guide = format!("pipelines/{name}.md");
    let folder = recipes().unwrap();
    let tools = folder.path().join("tools");
    tools_of_few_images(&tools);
    let document = fs::read_to_string(checkout().join(&guide)).unwrap();
    let runs = |text: &str| !left_out.iter().any(|word| text.contains(word));
    let steps = steps(&document);
    assert!(steps.len() > 2, "{guide}: its blocks are not where they are looked for");
    for step in steps.into_iter().filter(|step| runs(&step.command)) {
        let small = smaller.iter().fold(step.command, |command, (large, small)| command.replace(large, small));
        let output = shell(folder.path(), &small).env("OBVERSE_BIN", &tools).envs(SMALL).output().unwrap();
        assert!(output.status.success(), "{guide}: {small}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let named = outputs(&document);
    assert!(!named.is_empty(), "{guide} names no output");
    for output in named.into_iter().filter(|output| runs(output)) {
        assert!(folder.path().join(output).exists(), "{guide}: {output} is not there");
    }
}

/// A guide's test, and one that leaves out what downloads, for machines without a mirror.
macro_rules! guide {
    ($whole:ident, $part:ident, $name:literal, $smaller:expr) => {
        #[test]
        #[cfg_attr(not(all(mirror, just)), ignore = "it takes OBVERSE_MIRROR and just")]
        fn $whole() {
            walk($name, $smaller, &[]);
        }

        #[cfg(not(mirror))]
        #[test]
        #[cfg_attr(not(just), ignore = "it takes just")]
        fn $part() {
            walk($name, $smaller, &DOWNLOADS);
        }
    };
}

guide!(
    the_guide_to_feature_alignment_leads_to_reconstructions,
    the_guide_to_feature_alignment_runs_without_downloads,
    "alignment",
    &[
        ("mnist fa", "mnist fa 1"),
        ("autoencoder 8", "autoencoder 1"),
        ("vae 8", "vae 1"),
        ("gan 4", "gan 1"),
        ("vfa 8", "vfa 1"),
        ("local 8", "local 1"),
        ("vfa-gan 6", "vfa-gan 1"),
    ]
);

#[test]
#[cfg_attr(not(just), ignore = "it takes just")]
fn the_guide_to_feature_visualisation_leads_to_the_sheet_of_four_methods() {
    walk("shapes", &[], &[]);
}

guide!(
    the_guide_to_inverse_feature_visualisation_leads_to_the_plot_of_stability,
    the_guide_to_inverse_feature_visualisation_runs_without_downloads,
    "ifv",
    &[("64 100 0 800 300", "64 4 0 4 2"), ("block 32 500", "block 2 2")]
);

guide!(
    the_guide_to_density_models_leads_to_samples_of_each_layer,
    the_guide_to_density_models_runs_without_downloads,
    "information",
    &[
        ("nash-mnist 500", "nash-mnist 2"),
        ("400 200", "2 10"),
        ("--filters 16", "--filters 4"),
        ("mnist information 2500", "mnist information 2 10 2 '--filters 4 --blocks 1'"),
        ("mnist neighbours", "mnist neighbours 2 8"),
    ]
);

/// The comparison itself becomes its trial, which the guide runs before it: the second run is fresh.
const REVERSIBLE: [(&str, &str); 4] = [
    ("shadow 1 '0 1'", "shadow"),
    ("shadow", "shadow 1 '0 1'"),
    ("inversions", "inversions 1"),
    (
        "reversible theory",
        "reversible theory 2 '--vary-n 50,100 --vary-m 1000,2000 --vary-k 2,4 --vary-rho 0.5,1 --count 4'",
    ),
];

guide!(
    the_guide_to_reverse_nets_leads_to_the_comparison_of_trainings,
    the_guide_to_reverse_nets_runs_without_downloads,
    "reversible",
    &REVERSIBLE
);
