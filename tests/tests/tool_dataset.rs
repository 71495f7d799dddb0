//! `dataset`: every subcommand by its command line, the cache, wrong inputs and their exit codes.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Stdio;

use obverse::data::output::Description;
use obverse::store::npy::read;
use obverse::store::sidecar::Sidecar;
use obverse_tests::{mirror, names, run, tool};

/// Runs `dataset` with a mirror folder (none where it is empty) and returns its code and standard error.
fn fetch(folder: &Path, mirror: &Path, arguments: &str) -> (Option<i32>, String) {
    let mut command = tool("dataset");
    command.args(arguments.split_whitespace()).current_dir(folder).env("OBVERSE_MIRROR", mirror);
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn shapes_are_the_same_bytes_for_the_same_seed_and_a_second_run_is_fresh() {
    let folder = tempfile::tempdir().unwrap();
    let draw = |rest: &str| run(folder.path(), "dataset", &format!("synth shapes --count 130 --size 16 {rest}"));
    draw("-o a --threads 1").succeeds();
    draw("-o b --threads 2").succeeds();
    draw("-o c --seed 1").succeeds();
    let files = ["test-images.npy", "test-labels.npy", "train-images.npy", "train-labels.npy", "validation-images.npy"];
    for name in files {
        assert_eq!(bytes(folder.path(), &format!("a/{name}")), bytes(folder.path(), &format!("b/{name}")), "{name}");
    }
    assert_ne!(bytes(folder.path(), "a/train-images.npy"), bytes(folder.path(), "c/train-images.npy"));
    assert_eq!(read::<u8>(&folder.path().join("a/train-images.npy")).unwrap().shape(), [104, 3, 16, 16]);
    assert!(draw("-o a").succeeds().stderr.contains("fresh"));
    assert_eq!(Sidecar::read(&folder.path().join("a/run.json")).unwrap().metrics["train"], 104);
}

#[test]
fn a_dataset_is_warped_and_described() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "dataset", "synth shapes --count 20 --size 16 -o shapes").succeeds();
    run(folder.path(), "dataset", "affine shapes -o warped --copies 2 --scale 0.9 1.1").succeeds();
    let warped = Description::read(&folder.path().join("warped")).unwrap();
    assert_eq!((warped.parts[0].count, warped.parts[0].shape), (32, [3, 40, 40]));
    let info = String::from_utf8(run(folder.path(), "dataset", "info warped").succeeds().stdout).unwrap();
    assert!(
        info.contains("train: 32 images of 3 x 40 x 40") && info.contains("60 classes: white single line"),
        "{info}"
    );
    let json = run(folder.path(), "dataset", "info warped --json").succeeds().stdout;
    assert_eq!(serde_json::from_slice::<Description>(&json).unwrap(), warped);
    run(folder.path(), "dataset", "affine shapes -o none --canvas 8").fails(2, &["--canvas"]);
    run(folder.path(), "dataset", "affine shapes -o none --scale 2 1").fails(2, &["the smaller first"]);
}

#[test]
#[cfg_attr(not(mirror), ignore = "it takes OBVERSE_MIRROR")]
fn mnist_comes_from_the_mirror_and_is_fresh_the_second_time() {
    let mnist = mirror("mnist");
    let mirror = mnist.parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (code, stderr) = fetch(folder.path(), mirror, "fetch mnist");
    assert_eq!(code, Some(0), "{stderr}");
    let mnist = folder.path().join("data/mnist");
    let description = Description::read(&mnist).unwrap();
    assert_eq!(description.parts.iter().map(|part| part.count).collect::<Vec<_>>(), [60_000, 10_000]);
    assert!(description.sources.iter().all(|source| source.verification.as_deref() == Some("verified")));
    assert_eq!(description.classes.unwrap().len(), 10);
    // Nothing was downloaded.
    assert_eq!(names(&folder.path().join("data")), ["mnist"]);
    let (_, stderr) = fetch(folder.path(), mirror, "fetch mnist");
    assert!(stderr.contains("fresh"), "{stderr}");
}

#[test]
fn a_file_of_the_mirror_that_is_not_the_datasets_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("mirror/mnist")).unwrap();
    fs::write(folder.path().join("mirror/mnist/train-images-idx3-ubyte.gz"), "something else").unwrap();
    let (code, stderr) = fetch(folder.path(), &folder.path().join("mirror"), "fetch mnist");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("expected sha256 440fcabf") && stderr.lines().count() == 1, "{stderr}");
    assert_eq!(names(folder.path()), ["mirror"]);
}

#[test]
#[cfg_attr(not(mirror), ignore = "it takes OBVERSE_MIRROR")]
fn every_format_of_the_samples_is_imported() {
    let formats = mirror("formats");
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("svhn", "svhn_sample_32x32.mat", [3, 32, 32]),
        ("cifar", "data_batch_1.bin", [3, 32, 32]),
        ("cifar", "data_batch_1", [3, 32, 32]),
        ("stl10", "stl10_sample_X.bin", [3, 96, 96]),
    ];
    for (format, file, shape) in cases {
        let source = formats.join(file);
        let arguments = format!("import --format {format} {} -o {file} --limit 7", source.display());
        run(folder.path(), "dataset", &arguments).succeeds();
        let description = Description::read(&folder.path().join(file)).unwrap();
        assert_eq!((description.parts[0].count, description.parts[0].shape), (7, shape), "{file}");
        assert!(description.parts[0].labels.is_some(), "{file}");
        assert_eq!(description.sources[0].file, file);
        let resized = format!("import --format {format} {} -o resized --resize 24 --force", source.display());
        run(folder.path(), "dataset", &resized).succeeds();
        assert_eq!(Description::read(&folder.path().join("resized")).unwrap().parts[0].shape[1..], [24, 24]);
    }
}

#[test]
fn wrong_requests_end_with_one_line_exit_2_and_nothing_written() {
    let folder = tempfile::tempdir().unwrap();
    let huge = [0, 0, 8, 3, 0, 255, 255, 255, 0, 0, 0, 28, 0, 0, 0, 28];
    fs::write(folder.path().join("train-images-idx3-ubyte"), huge).unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::create_dir(folder.path().join("occupied")).unwrap();
    fs::write(folder.path().join("occupied/mine.txt"), "mine").unwrap();
    let before = names(folder.path());
    let cases: [(&str, &[&str]); 10] = [
        ("import --format idx train-images-idx3-ubyte -o x", &["train-images-idx3-ubyte", "16777215 rows", "0 rows"]),
        ("import --format idx absent -o x", &["absent"]),
        ("import --format images empty -o x", &["empty", "image files"]),
        ("import --format cifar empty -o x", &["data_batch_1"]),
        ("import --format svhn train-images-idx3-ubyte -o x", &["MATLAB 5"]),
        ("import --format idx train-images-idx3-ubyte -o x --crop 3", &["crop"]),
        ("synth shapes --count 5 -o x", &["at least 10"]),
        ("synth shapes --count 10 -o occupied", &["occupied"]),
        ("fetch mnits", &["mnits", "fashion-mnist"]),
        ("info empty", &["dataset.json"]),
    ];
    for (arguments, words) in cases {
        run(folder.path(), "dataset", arguments).fails(2, words);
        assert_eq!(names(folder.path()), before, "{arguments}");
    }
    let (code, stderr) = fetch(folder.path(), Path::new(""), "fetch celeba");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("img_align_celeba.zip") && stderr.contains("celeba.download"), "{stderr}");
}

#[test]
fn an_unwritable_output_is_exit_1() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    run(folder.path(), "dataset", "synth shapes --count 10 --size 16 -o file/x").fails(1, &["file/x"]);
}
