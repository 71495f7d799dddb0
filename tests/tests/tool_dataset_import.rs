//! `dataset import`, and the tools that read images and labels, on files as people have them.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use image::{DynamicImage, Rgb, RgbImage};
use obverse::data::output::Description;
use obverse::store::npy::{Scalar, read, write};
use obverse_tests::{Outcome, layouts, names, run, write_images};

/// Images of 16 x 16, each of one grey, in colour where the format has it.
fn save(folder: &Path, names: &[&str]) {
    for (name, grey) in names.iter().zip(1..) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let image = DynamicImage::from(RgbImage::from_pixel(16, 16, Rgb([10 * grey; 3])));
        let image = if name.ends_with(".pgm") { image.to_luma8().into() } else { image };
        image.save(path).unwrap();
    }
}

fn import(folder: &Path, words: &str) -> Outcome {
    run(folder, "dataset", &format!("import {words}"))
}

/// The parts' names, numbers of images and labels.
fn parts(folder: &Path) -> Vec<(String, usize, Option<Vec<i64>>)> {
    let description = Description::read(folder).unwrap();
    let labels = |name: &String| read::<i64>(&folder.join(name)).unwrap().into_raw_vec_and_offset().0;
    description.parts.iter().map(|part| (part.name.clone(), part.count, part.labels.as_ref().map(labels))).collect()
}

#[test]
fn a_third_folder_is_named_and_refused_and_parts_without_it_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "test", "samples"] {
        save(&folder.path().join("set").join(part), &["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]);
    }
    import(folder.path(), "--format images set -o out").fails(2, &["set: expected", "samples (4 images)"]);
    assert_eq!(names(folder.path()), ["set"]);
    fs::rename(folder.path().join("set/samples"), folder.path().join("set/.samples")).unwrap();
    import(folder.path(), "--format images set -o out").succeeds();
    let labels = Some(vec![0, 1, 0, 1]);
    let expected = ["train", "test"].map(|part| (part.to_string(), 4, labels.clone()));
    assert_eq!(parts(&folder.path().join("out")), expected);
}

#[test]
fn hidden_folders_of_archives_are_skipped_as_those_of_folders() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    let hidden = [".ipynb_checkpoints/0-checkpoint.png", "cat/.ipynb_checkpoints/1.png", "__MACOSX/cat/2.png"];
    save(&set, &["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]);
    save(&set, &hidden);
    let mut zip = zip::ZipWriter::new(File::create(folder.path().join("set.zip")).unwrap());
    let mut tar = tar::Builder::new(File::create(folder.path().join("set.tar")).unwrap());
    let visible = ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"];
    for name in visible.into_iter().chain(hidden) {
        zip.start_file(format!("set/{name}"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(set.join(name)).unwrap()).unwrap();
        tar.append_path_with_name(set.join(name), format!("set/{name}")).unwrap();
    }
    zip.finish().unwrap();
    tar.finish().unwrap();
    for source in ["set", "set.zip", "set.tar"] {
        import(folder.path(), &format!("--format images {source} --force -o out")).succeeds();
        let out = folder.path().join("out");
        assert_eq!(parts(&out), [("train".to_string(), 4, Some(vec![0, 1, 0, 1]))], "{source}");
        assert_eq!(Description::read(&out).unwrap().classes.unwrap(), ["cat", "dog"], "{source}");
        let compared = run(folder.path(), "fid-score", &format!("--paired {source} set.zip --json")).succeeds();
        assert!(String::from_utf8(compared.stdout).unwrap().contains("\"images\":4"), "{source}");
    }
}

#[test]
fn links_are_read_as_the_images_that_they_lead_to() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &["store/0.png", "store/dogs/1.png"]);
    fs::create_dir_all(folder.path().join("set/cat")).unwrap();
    symlink(folder.path().join("store/0.png"), folder.path().join("set/cat/0.png")).unwrap();
    symlink("../store/dogs", folder.path().join("set/dog")).unwrap();
    symlink("..", folder.path().join("set/cat/all")).unwrap();
    let out = folder.path().join("out");
    import(folder.path(), "--format images set -o out").succeeds();
    assert_eq!(parts(&out), [("train".to_string(), 2, Some(vec![0, 1]))]);
    assert!(import(folder.path(), "--format images set -o out").succeeds().stderr.contains("fresh"));
    run(folder.path(), "fid-score", "--paired set set").succeeds();
    // What a link leads to counts.
    save(folder.path(), &["store/8.png", "store/9.png", "store/dogs/1.png"]);
    assert!(!import(folder.path(), "--format images set -o out").succeeds().stderr.contains("fresh"));
    fs::remove_file(folder.path().join("store/0.png")).unwrap();
    import(folder.path(), "--format images set --force -o out")
        .fails(2, &["set/cat/0.png", "store/0.png, which is not"]);
}

#[test]
fn ppm_and_its_kin_are_images_and_what_is_none_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &["mix/0.png", "mix/1.png", "mix/2.ppm", "mix/3.pgm", "mix/4.qoi", "mix/5.tga"]);
    fs::write(folder.path().join("mix/notes.txt"), "").unwrap();
    fs::write(folder.path().join("mix/6.HEIC"), "").unwrap();
    let said = import(folder.path(), "--format images mix --channels 3 -o out").succeeds().stderr;
    assert!(said.contains("left out: 1 .heic, 1 .txt"), "{said}");
    assert_eq!(parts(&folder.path().join("out")), [("train".to_string(), 6, None)]);
    let described = String::from_utf8(run(folder.path(), "dataset", "info out").succeeds().stdout).unwrap();
    assert!(described.contains("left out: 1 .heic, 1 .txt"), "{described}");
    let compared = run(folder.path(), "fid-score", "--paired mix mix --json").succeeds();
    assert!(compared.stderr.contains("mix: left out: 1 .heic, 1 .txt"), "{}", compared.stderr);
    assert!(String::from_utf8(compared.stdout).unwrap().contains("\"images\":6"));
    assert!(
        import(folder.path(), "--format images mix --channels 3 --force --quiet -o out").succeeds().stderr.is_empty()
    );
}

#[test]
fn a_dry_run_shows_what_an_import_would_make_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &["set/train/cat/0.png", "set/train/cat/1.png", "set/train/dog/0.png", "set/test/9.png"]);
    fs::write(folder.path().join("set/notes.txt"), "").unwrap();
    layouts::cifar10(&folder.path().join("cifar"), 3).unwrap();
    let before = names(folder.path());
    let shown = |words: &str| String::from_utf8(import(folder.path(), words).succeeds().stdout).unwrap();
    let text = shown("--format images set --dry-run");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let expected =
        ["train: 3 images of 3 x 16 x 16", "test: 1 images of 3 x 16 x 16, no labels", "2 classes: cat, dog"];
    assert_eq!((lines[0], &lines[1..4], lines[4]), ("set", &expected[..], "left out: 1 .txt"));
    let planned: Description = serde_json::from_str(&shown("--format images set --dry-run --json --resize 8")).unwrap();
    assert_eq!((planned.parts[0].count, planned.parts[0].shape), (3, [3, 8, 8]));
    // What is usual is not what is there.
    let text = shown("--format cifar cifar --dry-run -o out");
    assert!(
        text.contains("train: 15 images") && text.contains("test: 3 images") && text.contains("10 classes"),
        "{text}"
    );
    assert_eq!(names(folder.path()), before);
    import(folder.path(), "--format images absent --dry-run").fails(2, &["absent"]);
    import(folder.path(), "--format images set").fails(2, &["--output"]);
}

#[test]
fn celeba_has_its_parts_and_attributes_from_a_folder_and_from_a_zip() {
    let folder = tempfile::tempdir().unwrap();
    layouts::celeba(folder.path(), [3, 1, 1]).unwrap();
    let mut zip = zip::ZipWriter::new(File::create(folder.path().join("img_align_celeba.zip")).unwrap());
    for name in names(&folder.path().join("img_align_celeba")) {
        let name = format!("img_align_celeba/{name}");
        zip.start_file(&name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(folder.path().join(&name)).unwrap()).unwrap();
    }
    zip.finish().unwrap();
    let expected = [("train", 3), ("validation", 1), ("test", 1)].map(|(part, count)| (part.to_string(), count, None));
    for (format, source) in [("celeba", "img_align_celeba"), ("celeba", "img_align_celeba.zip")] {
        let words = format!("--format {format} {source} --crop 148 --resize 64 --force -o out");
        import(folder.path(), &words).succeeds();
        let out = folder.path().join("out");
        assert_eq!(parts(&out), expected, "{source}");
        let described = Description::read(&out).unwrap();
        assert_eq!(described.attributes.unwrap().len(), layouts::ATTRIBUTES);
        assert!(described.sources.iter().any(|source| source.file == "list_eval_partition.txt"), "{source}");
        // Image n has its attribute n alone.
        let rows = read::<u8>(&out.join("test-attributes.npy")).unwrap();
        assert_eq!(rows.shape(), [1, layouts::ATTRIBUTES]);
        assert!(rows.iter().enumerate().all(|(place, &value)| value == u8::from(place == 4)), "{rows}");
    }
    assert!(
        import(folder.path(), "--format celeba img_align_celeba.zip --crop 148 --resize 64 -o out")
            .succeeds()
            .stderr
            .contains("fresh")
    );
    let partition = folder.path().join("list_eval_partition.txt");
    fs::rename(&partition, folder.path().join("elsewhere")).unwrap();
    import(folder.path(), "--format celeba img_align_celeba -o none")
        .fails(2, &["list_eval_partition.txt", "none beside it"]);
    assert!(!folder.path().join("none").exists());
}

#[test]
fn tiny_imagenet_is_read_by_its_list_or_by_one_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    layouts::tiny_imagenet(folder.path(), 2).unwrap();
    let set = "--format images tiny-imagenet-200 --channels 3";
    import(folder.path(), &format!("{set} -o out")).succeeds();
    let labels = Some(vec![0, 1, 0, 1]);
    let expected =
        [("train".to_string(), 4, labels.clone()), ("test".into(), 1, None), ("validation".into(), 4, labels)];
    assert_eq!(parts(&folder.path().join("out")), expected);
    fs::rename(folder.path().join("tiny-imagenet-200/val/val_annotations.txt"), folder.path().join("mine")).unwrap();
    import(folder.path(), &format!("{set} -o other")).fails(2, &["val_annotations.txt", "--list"]);
    import(folder.path(), &format!("{set} --list mine -o other")).succeeds();
    assert_eq!(parts(&folder.path().join("other")), expected);
    import(folder.path(), "--format idx tiny-imagenet-200 --list mine -o x").fails(2, &["--list", "images"]);
}

/// An `.npz` file of arrays of u8.
fn npz(path: &Path, arrays: &[(&str, &[usize], Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, shape, values) in arrays {
        let array = path.with_extension("npy");
        write(&array, shape, values).unwrap();
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(&array).unwrap()).unwrap();
        fs::remove_file(array).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn samples_and_keras_datasets_in_npz_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let pixels = |count: usize| (0..count * 16 * 16 * 3).map(|place| (place % 251) as u8).collect::<Vec<u8>>();
    let train: (&str, &[usize], Vec<u8>) = ("x_train", &[3, 16, 16, 3], pixels(3));
    let test: (&str, &[usize], Vec<u8>) = ("x_test", &[2, 16, 16, 3], pixels(2));
    let labels: [(&str, &[usize], Vec<u8>); 2] = [("y_train", &[3, 1], vec![2, 0, 1]), ("y_test", &[2, 1], vec![1, 1])];
    npz(&folder.path().join("keras.npz"), &[&[train, test][..], &labels].concat());
    import(folder.path(), "--format npz keras.npz -o out").succeeds();
    let out = folder.path().join("out");
    let expected = [("train".to_string(), 3, Some(vec![2, 0, 1])), ("test".to_string(), 2, Some(vec![1, 1]))];
    assert_eq!(parts(&out), expected);
    npz(&folder.path().join("samples.npz"), &[("arr_0", &[2, 16, 16, 3], pixels(2))]);
    import(folder.path(), "--format npz samples.npz -o samples").succeeds();
    // The same pictures in both layouts.
    let compared = run(folder.path(), "fid-score", "--paired samples.npz samples/train-images.npy --json").succeeds();
    let metrics: serde_json::Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert_eq!((&metrics["images"], &metrics["l2"]), (&2.into(), &0.0.into()));
    run(folder.path(), "fid-score", "--paired keras.npz keras.npz").fails(2, &["x_train, x_test", "one array"]);
    let (classifier, layer) =
        ("classifier out/train-images.npy --labels out/train-labels.npy --epochs 1 -o net", "act3");
    run(folder.path(), "net-fit", classifier).succeeds();
    let words = format!("samples.npz samples/train-images.npy --net net --layer {layer} --resize none --json");
    let compared = run(folder.path(), "fid-score", &words).succeeds();
    let metrics: serde_json::Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert_eq!((&metrics["images_a"], &metrics["images_b"]), (&2.into(), &2.into()), "{metrics}");
}

#[test]
fn labels_are_whole_numbers_of_any_type_in_a_row_or_a_column() {
    fn labels<T: Scalar>(folder: &Path, name: &str, shape: &[usize]) {
        let values: Vec<T> = (0..60).map(|image: i32| T::from(image % 3).unwrap()).collect();
        write(&folder.join(format!("{name}.npy")), shape, &values).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_images(&path.join("x.npy"), 60, 3, 16).unwrap();
    labels::<i64>(path, "i64", &[60]);
    labels::<u8>(path, "u8", &[60]);
    labels::<i32>(path, "i32", &[60]);
    labels::<u64>(path, "u64", &[60]);
    labels::<u8>(path, "column", &[60, 1]);
    let fit = |name: &str| {
        let words = format!("classifier x.npy --labels {name}.npy --arch clarke --batch 20 --epochs 1 -o of-{name}");
        run(path, "net-fit", &words).succeeds();
        let parameters = path.join(format!("of-{name}/params"));
        let read = |file: String| (fs::read(parameters.join(&file)).unwrap(), file);
        names(&parameters).into_iter().map(read).collect::<Vec<_>>()
    };
    let expected = fit("i64");
    assert!(expected.len() > 4);
    for name in ["u8", "i32", "u64", "column"] {
        assert!(fit(name) == expected, "{name}");
        run(path, "npy-view", &format!("x.npy --labels {name}.npy --count 4 --force -o x.png")).succeeds();
    }
    write(&path.join("f.npy"), &[60], &[0.5f32; 60]).unwrap();
    run(path, "net-fit", "classifier x.npy --labels f.npy --epochs 1 -o of-f").fails(2, &["f.npy", "whole numbers"]);
}
