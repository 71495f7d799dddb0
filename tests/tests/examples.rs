//! The examples of every tool's help, run in order in one folder as a shell runs them, at small sizes.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use obverse::statistics::measure::name_of;
use obverse::store::sidecar::Sidecar;
use obverse_tests::{mirror, run, shell};

type Metrics = serde_json::Map<String, serde_json::Value>;

/// The tools but `net-import`, each after those that make what its examples read.
const TOOLS: &[&str] = &[
    "dataset",
    "net-fit",
    "fa-fit",
    "fa-encode",
    "fa-invert",
    "pixelcnn-fit",
    "pixelcnn-sample",
    "mi-bound",
    "metric-view",
    "nearest",
    "net-tap",
    "npy-cat",
    "npy-view",
    "fid-score",
    "ifv-predict",
    "fv-optimize",
    "obverse-again",
    "obverse-manual",
    "obverse-table",
    "obverse-verify",
    "shadow-measure",
    "report",
];

/// Numbers of the examples and those that the test takes for them.
const SMALLER: [(&str, &str); 16] = [
    ("--count 24000 --size 48", "--count 400 --size 32"),
    ("--epochs 5", "--epochs 1"),
    ("--epochs 10", "--epochs 1"),
    ("--updates 100000 --snapshots 0,100,1000,10000,100000", "--updates 2 --snapshots 0,1,2"),
    ("--updates 250000", "--updates 2 --batch 8 --filters 4 --blocks 1 --mixtures 2"),
    ("--stop-after 2500", "--stop-after 1"),
    ("--search 500000", "--search 100"),
    ("--search 500", "--search 2"),
    ("--steps 800 --polish 300", "--steps 4 --polish 2"),
    ("--steps 256", "--steps 4"),
    ("--count 100 ", "--count 6 "),
    ("--samples 32", "--samples 4"),
    ("--rows-kept 14", "--rows-kept 28"),
    ("--count 64", "--count 2"),
    ("--count 2000", "--count 8"),
    ("--rows 1000..2000", "--rows 16..32"),
];

/// Examples that need what a test has not: downloads, other people's files, the inception network.
const NOT_HERE: [&str; 13] = [
    "dataset fetch mnist",
    "net-fit head",
    "fid-score test-images.npy samples.npy --json",
    "fid-score test-images.npy samples.npy --against",
    "fid-score stats",
    "fid-score features samples.tar",
    "net-import googlenet",
    "net-import model.onnx",
    "net-import pt_inception",
    "net-import checkpoint",
    "fv-optimize squeezenet",
    "fa-fit train-images.npy --arch cifar10",
    "fa-encode gan",
];

/// The lines after "Examples:", as short as the terminal is wide: a line goes on where the next is not a command.
fn examples(folder: &Path, name: &str) -> Vec<String> {
    let mut manual = folder.join("share/man/man1").join(name);
    manual.set_extension("1");
    let page = fs::read_to_string(manual).unwrap().replace("\\-", "-").replace("\\*(Aq", "'").replace("\\'", "'");
    let section = page.split(".SH EXAMPLES").nth(1).unwrap().to_owned();
    section.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
}

/// What the examples find: images, networks, latents, by the names that they use.
fn prepare(folder: &Path) {
    let prepared = |name: &str, words: &str| run(folder, name, words).succeeds();
    prepared("obverse-manual", "share");
    prepared("dataset", "synth shapes --count 400 --size 32 -o given");
    for part in ["train-images", "train-labels", "test-images", "test-labels"] {
        // Sixty training images hold every class.
        let rows = if part.starts_with("train") { "0..60" } else { "0..16" };
        prepared("npy-cat", &format!("given/{part}.npy --rows {rows} -o {part}.npy"));
    }
    for (part, rows) in [(1, "0..5"), (2, "5..10"), (3, "10..16")] {
        prepared("npy-cat", &format!("train-images.npy --rows {rows} -o part-{part}.npy"));
    }
    let labelled = "train-images.npy --labels train-labels.npy --init he --quiet";
    prepared("net-fit", &format!("classifier {labelled} --arch clarke --epochs 1 -o classifier"));
    prepared("net-fit", &format!("classifier {labelled} --arch nash-colour --updates 2 -o net"));
    prepared("net-fit", "autoencoder train-images.npy --arch clarke --latent 6 --epochs 1 --quiet -o autoencoder");
    prepared("fa-encode", "autoencoder train-images.npy -o autoencoder-latents.npy");
    prepared("net-tap", "net train-images.npy --layer fc3 -o fc3.npy");
    for (layer, name) in [("fc3", "test-fc3"), ("conv2", "test-conv2")] {
        prepared("net-tap", &format!("net test-images.npy --layer {layer} -o {name}.npy"));
    }
    prepared("net-tap", "net train-images.npy --layer conv2 -o conv2.npy");
    let small = "--updates 2 --batch 8 --filters 4 --blocks 1 --mixtures 2 --quiet";
    prepared("pixelcnn-fit", &format!("train-images.npy --condition conv2.npy {small} -o conv2-model"));
    prepared("net-fit", &format!("classifier {labelled} --arch connected --epochs 1 -o shadowed"));
    prepared("net-tap", "shadowed test-images.npy --layer act2 -o hidden.npy");
    let places: Vec<f32> = (0..32u8).map(f32::from).collect();
    obverse::store::npy::write(&folder.join("plane.npy"), &[16, 2], &places).unwrap();
    for name in ["before", "after"] {
        prepared("net-tap", &format!("classifier train-images.npy --spectrum -o {name}.npy"));
    }
    for name in ["plain-0", "plain-1", "dropout-0", "dropout-1"] {
        let test = "--test test-images.npy --test-labels test-labels.npy";
        prepared("net-fit", &format!("classifier {labelled} {test} --epochs 1 -o {name}"));
    }
    for name in ["conv2", "fc3"] {
        let words = "conv2-model test-images.npy --condition test-conv2.npy --count 4";
        prepared("mi-bound", &format!("{words} -o {name}-likelihoods.npy"));
    }
    fs::create_dir(folder.join("out")).unwrap();
    prepared("npy-cat", "train-images.npy --head 3 -o out/three.npy");
    fs::copy(folder.join("given/dataset.json"), folder.join("dataset.json")).unwrap();
    let claims = "paper = 'P'\n[[claim]]\nat = '1'\nsays = 'rows'\noutputs = ['three.npy']\nmetric = 'rows'\n";
    fs::write(folder.join("claims.toml"), claims).unwrap();
    for name in ["loss", "test-loss"] {
        obverse::store::npy::write(&folder.join(format!("{name}.npy")), &[4], &[4.0f32, 3.0, 2.0, 1.0]).unwrap();
    }
}

/// Weights of the mirror under the names of the examples.
fn weights(folder: &Path) {
    let files = [
        ("weights/squeezenet-1.0-imagenet.safetensors", "squeezenet.safetensors"),
        ("weights/densenet-bc-100-12-cifar10.pth.tar", "densenet.pth"),
    ];
    for (file, name) in files {
        fs::copy(mirror(file), folder.join(name)).unwrap();
    }
}

/// Runs the examples of a tool's help, and returns what failed.
fn run_examples(folder: &Path, name: &str) -> Vec<String> {
    let (mut ran, mut failed) = (0, Vec::new());
    let is_here = |example: &String| !NOT_HERE.iter().any(|start| example.starts_with(start));
    for example in examples(folder, name).into_iter().filter(is_here) {
        let small = SMALLER.iter().fold(example, |example, (large, small)| example.replace(large, small));
        let output = shell(folder, &small).output().unwrap();
        if output.status.success() {
            ran += usize::from(small.starts_with(name));
        } else {
            failed.push(format!("{small}\n{}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    if ran < 2 {
        failed.push(format!("{name}: {ran} examples ran, two are wanted"));
    }
    failed
}

#[test]
fn two_examples_of_every_tool_run_as_they_stand_in_its_help() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    let failed: Vec<String> = TOOLS.iter().flat_map(|name| run_examples(path, name)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let unsaid = unsaid(path);
    assert!(unsaid.is_empty(), "measured, but not under \"Measures\" in the help: {unsaid:#?}");
}

#[test]
#[cfg_attr(not(mirror), ignore = "it takes OBVERSE_MIRROR")]
fn two_examples_of_net_import_run_as_they_stand_in_its_help() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "obverse-manual", "share").succeeds();
    weights(folder.path());
    let failed = run_examples(folder.path(), "net-import");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let unsaid = unsaid(folder.path());
    assert!(unsaid.is_empty(), "measured, but not under \"Measures\" in the help: {unsaid:#?}");
}

/// What sidecars and trainings below a folder measure that the help of their tool does not name.
fn unsaid(folder: &Path) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "json") {
                let Ok(sidecar) = Sidecar::read(&entry) else { continue };
                let epochs = fs::read_to_string(entry.with_file_name("metrics.jsonl")).unwrap_or_default();
                let epochs: Vec<Metrics> = epochs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                let is_place = |name: &&String| ["epoch", "updates"].contains(&name.as_str());
                let lines = epochs.iter().flat_map(Metrics::keys).filter(|name| !is_place(name));
                found.extend(sidecar.metrics.keys().chain(lines).map(|name| (sidecar.tool.clone(), name.clone())));
            }
        }
    }
    let measure = |name: &str| name_of(name).unwrap_or(name).to_owned();
    found.retain(|(tool, name)| {
        let help = String::from_utf8(run(folder, tool, "--help").succeeds().stdout).unwrap();
        let listed = help.split("Measures:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or("");
        !listed.split([' ', ',', '\n', ':', ';']).any(|word| word == measure(name))
    });
    found
}
