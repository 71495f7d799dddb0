//! The recipe of every dataset on a small set of files in the layout in which the dataset is handed out.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

use obverse::data::output::Description;
use obverse_tests::{TOOLS_OF_RECIPES, layouts, recipes};

/// Runs a recipe with one's own files, which must succeed, and returns its standard output.
fn just(folder: &Path, words: &[&str], environment: &[(&str, &Path)]) -> String {
    let mut command = Command::new("just");
    command.args(words).current_dir(folder).env("OBVERSE_BIN", folder.join(TOOLS_OF_RECIPES));
    let output = command.envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "just {words:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The parts of a dataset, the numbers of their images and whether they have labels; and the shape of an image.
fn found(folder: &Path, name: &str) -> (Vec<(String, usize, bool)>, [usize; 3]) {
    let description = Description::read(&folder.join("data").join(name)).unwrap();
    let part = |part: &obverse::data::output::PartDescription| (part.name.clone(), part.count, part.labels.is_some());
    (description.parts.iter().map(part).collect(), description.parts[0].shape)
}

fn labelled(parts: &[(&str, usize)]) -> Vec<(String, usize, bool)> {
    parts.iter().map(|&(part, count)| (part.to_string(), count, true)).collect()
}

#[test]
#[cfg_attr(not(just), ignore = "it takes just")]
fn just_fetch_imports_ones_own_files_of_every_dataset() {
    let folder = recipes().unwrap();
    let (path, mine) = (folder.path(), tempfile::Builder::new().prefix("my data ").tempdir().unwrap());
    let mine = |name: &str| mine.path().join(name);
    layouts::mnist(&mine("digits"), [4, 2]).unwrap();
    layouts::cifar10(&mine("cifar"), 2).unwrap();
    layouts::svhn(&mine("numbers"), [3, 2]).unwrap();
    layouts::stl10(&mine("stl"), [3, 2, 1]).unwrap();
    layouts::celeba(&mine("faces"), [3, 1, 1]).unwrap();
    layouts::tiny_imagenet(&mine("tiny"), 2).unwrap();
    let digits = labelled(&[("train", 4), ("test", 2)]);
    just(path, &["mnist", "fetch"], &[("OBVERSE_MNIST_FILES", &mine("digits"))]);
    assert_eq!(found(path, "mnist"), (digits.clone(), [1, 28, 28]));
    just(path, &["affnist", "fetch"], &[("OBVERSE_MNIST_FILES", &mine("digits"))]);
    assert_eq!(found(path, "affnist-like"), (digits, [1, 40, 40]));
    just(path, &["cifar10", "fetch"], &[("OBVERSE_CIFAR10_FILES", &mine("cifar"))]);
    assert_eq!(found(path, "cifar10"), (labelled(&[("train", 10), ("test", 2)]), [3, 32, 32]));
    just(path, &["svhn", "fetch"], &[("OBVERSE_SVHN_FILES", &mine("numbers"))]);
    assert_eq!(found(path, "svhn"), (labelled(&[("train", 3), ("test", 2)]), [3, 32, 32]));
    just(path, &["stl10", "fetch"], &[("OBVERSE_STL10_FILES", &mine("stl"))]);
    let mut parts = labelled(&[("train", 2), ("test", 1)]);
    parts.push(("unlabeled".to_string(), 3, false));
    assert_eq!(found(path, "stl10"), (parts, [3, 64, 64]));
    let faces = [("train", 3), ("validation", 1), ("test", 1)].map(|(part, count)| (part.to_string(), count, false));
    for source in ["faces", "faces/img_align_celeba"] {
        just(path, &["celeba", "fetch", mine(source).to_str().unwrap()], &[]);
        assert_eq!(found(path, "celeba"), (faces.to_vec(), [3, 64, 64]), "{source}");
    }
    just(path, &["imagenet", "images", mine("tiny").to_str().unwrap(), "48", "32"], &[]);
    let mut parts = labelled(&[("train", 4), ("validation", 4)]);
    parts.insert(1, ("test".to_string(), 1, false));
    assert_eq!(found(path, "imagenet"), (parts, [3, 32, 32]));
}

/// The figures and the table of a study are there, and its table has a row for each model.
fn check_study(folder: &Path, data: &str, study: &str) {
    let out = folder.join(study);
    for picture in ["reconstructions", "vfa-way", "vfa-gan-square", "vae-samples", "local-recovered"] {
        let picture = image::open(out.join(picture).with_extension("png")).unwrap();
        assert!(picture.width() > 150 && picture.height() > 50, "{} x {}", picture.width(), picture.height());
    }
    let table = just(folder, &["alignment", "table", data, study], &[]);
    let models: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(models, ["autoencoder", "vae", "gan", "vfa", "vfa-gan", "local"], "{table}");
}

#[test]
#[ignore = "minutes: just pipelines"]
fn just_celeba_runs_from_the_files_of_its_page_to_the_figures() {
    let folder = recipes().unwrap();
    let faces = tempfile::Builder::new().prefix("my faces ").tempdir().unwrap();
    layouts::celeba(faces.path(), [16, 2, 12]).unwrap();
    just(folder.path(), &["celeba", "fetch", faces.path().to_str().unwrap()], &[]);
    just(folder.path(), &["celeba", "study", "1"], &[]);
    check_study(folder.path(), "data/celeba", "out/celeba/study");
}

#[test]
#[ignore = "minutes: just pipelines"]
fn just_stl10_runs_from_the_files_of_its_page_to_the_figures() {
    let folder = recipes().unwrap();
    let files = tempfile::Builder::new().prefix("my files ").tempdir().unwrap();
    layouts::stl10(files.path(), [16, 4, 12]).unwrap();
    just(folder.path(), &["stl10", "study", "1"], &[("OBVERSE_STL10_FILES", files.path())]);
    check_study(folder.path(), "out/stl10/unlabelled", "out/stl10/study");
}
