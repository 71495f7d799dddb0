//! `net-import`: pretrained networks in every format against the oracle, what is recognised and refused, and the way through
//! net-tap.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use ndarray::{ArrayD, Axis};
use obverse::store::npy::read;
use obverse_tests::oracle::Case;
use obverse_tests::{mirror, run, write_images};
use serde_json::Value;
use tempfile::TempDir;

/// The case of the oracle, as files.
fn oracle() -> TempDir {
    Case::open("pretrained").unpacked()
}

/// What a node computes of images.
fn tapped(folder: &Path, images: &Path, layer: &str) -> ArrayD<f32> {
    run(folder, "net-tap", &format!("net {} --layer {layer} -o out.npy --quiet --force", images.display())).succeeds();
    read(&folder.join("out.npy")).unwrap()
}

/// The oracle's tolerance: 1e-3 of the logits, absolute.
fn assert_close(what: &str, actual: ArrayD<f32>, expected: &str) {
    let expected = read::<f32>(&oracle().path().join(expected)).unwrap();
    let actual = actual.to_shape(expected.raw_dim()).unwrap();
    let difference = (&actual - &expected).iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    println!("{what}: {difference:e}");
    assert!(difference < 1e-3, "{what}: {difference}");
}

fn metrics(folder: &Path, words: &str) -> Value {
    serde_json::from_slice(&run(folder, "net-import", &format!("{words} --json --quiet")).succeeds().stdout).unwrap()
}

#[test]
#[cfg_attr(not(mirror), ignore = "it takes OBVERSE_MIRROR")]
fn densenet_has_the_logits_of_the_oracle_in_both_formats() {
    let oracle = oracle();
    let images = oracle.path().join("cifar_images.npy");
    let formats = [("pth.tar", "--arch densenet-bc-100-12", "relu"), ("onnx", "--convention cifar10", "relu")];
    for (format, words, last) in formats {
        let file = format!("weights/densenet-bc-100-12-cifar10.{format}");
        let weights = mirror(&file);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let found = metrics(path, &format!("{} {words} -o net", weights.display()));
        assert!(found["outputs"].as_array().unwrap().contains(&"logits".into()), "{found}");
        assert_close(&file, tapped(path, &images, "fc"), "densenet_logits.npy");
        let features = tapped(path, &images, last);
        let pooled = features.mean_axis(Axis(3)).unwrap().mean_axis(Axis(2)).unwrap();
        assert_close(&file, pooled, "densenet_block3_pooled.npy");
    }
}

#[test]
#[cfg_attr(not(mirror), ignore = "it takes OBVERSE_MIRROR")]
fn resnet_20_has_the_logits_of_the_oracle_in_both_formats() {
    let files = [("resnet20-12fca82f.th", ""), ("resnet20-cifar10.onnx", "--convention imagenet")];
    for (file, words) in files {
        let weights = mirror(&format!("weights/{file}"));
        let folder = tempfile::tempdir().unwrap();
        metrics(folder.path(), &format!("{} {words} -o net", weights.display()));
        let logits = tapped(folder.path(), &oracle().path().join("cifar_images.npy"), "linear");
        assert_close(file, logits, "resnet20_logits.npy");
    }
}

#[test]
#[cfg_attr(not(mirror), ignore = "it takes OBVERSE_MIRROR")]
fn squeezenet_has_the_logits_of_the_oracle_in_both_formats() {
    let said = "--range 0,255 --mean 104,117,123 --std 1 --channels bgr";
    let formats = [("safetensors", "--convention caffe --input-size 3,227,227"), ("onnx", said)];
    for (format, words) in formats {
        let file = format!("weights/squeezenet-1.0-imagenet.{format}");
        let weights = mirror(&file);
        let folder = tempfile::tempdir().unwrap();
        metrics(folder.path(), &format!("{} {words} -o net", weights.display()));
        let logits = tapped(folder.path(), &oracle().path().join("picture.npy"), "classifier.3");
        assert_close(&file, logits, "squeezenet_logits.npy");
        // A fire module is a node, and its name PyTorch's, in either format.
        assert_eq!(tapped(folder.path(), &oracle().path().join("picture.npy"), "features.3").shape()[1], 128);
    }
}

/// The network was trained on these images: what is left over of 100 % is how wrongly the images could be normalised.
#[test]
#[cfg_attr(not(mirror), ignore = "it takes OBVERSE_MIRROR")]
fn densenet_knows_its_training_images() {
    let weights = mirror("weights/densenet-bc-100-12-cifar10.pth.tar");
    let images = mirror("cifar10/train-first-4000-lossless-images.npy");
    let labels = mirror("cifar10/train-first-4000-lossless-labels.npy");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    metrics(path, &format!("{} -o net", weights.display()));
    for (array, part) in [(images, "images.npy"), (labels, "labels.npy")] {
        run(path, "npy-cat", &format!("{} --rows 0..200 -o {part}", array.display())).succeeds();
    }
    let words = "net images.npy --layer fc --labels labels.npy -o out.npy --json --quiet";
    let found: Value = serde_json::from_slice(&run(path, "net-tap", words).succeeds().stdout).unwrap();
    assert!(found["accuracy"].as_f64().unwrap() >= 0.99, "{found}");
}

#[test]
#[cfg_attr(not(mirror), ignore = "it takes OBVERSE_MIRROR")]
fn a_slice_is_a_node_of_some_of_another_s_channels() {
    let weights = mirror("weights/densenet-bc-100-12-cifar10.pth.tar");
    let (folder, oracle) = (tempfile::tempdir().unwrap(), oracle());
    let (path, images) = (folder.path(), oracle.path().join("cifar_images.npy"));
    let import = |slice: &str| run(path, "net-import", &format!("{} --slice {slice} -o net", weights.display()));
    import("own=block3.layer.15:150..342").succeeds();
    let (whole, own) = (tapped(path, &images, "block3.layer.15"), tapped(path, &images, "own"));
    assert_eq!(whole.slice_axis(Axis(1), (150..342).into()), own);
    import("own=block3.layer.15:150..999").fails(2, &["own", "at least 999 channels", "found 342x8x8"]);
    import("own=block3.layer.99:0..1").fails(2, &["no node \"block3.layer.99\"", "block3.layer.9"]);
    import("own").fails(2, &["--slice", "NAME=NODE:A..B"]);
}

/// The bytes of safetensors with these tensors, all zeros.
fn safetensors(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut length = 0;
    for (name, shape) in tensors {
        let end = length + 4 * shape.iter().product::<usize>();
        header.insert(
            name.to_string(),
            serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [length, end]}),
        );
        length = end;
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &vec![0; length]].concat()
}

#[test]
fn weights_of_another_architecture_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let tensors: [(&str, &[usize]); 2] = [("classifier.1.weight", &[7, 512, 1, 1]), ("encoder.weight", &[3, 3])];
    fs::write(path.join("w.safetensors"), safetensors(&tensors)).unwrap();
    let missing =
        ["w.safetensors", "squeezenet1.1", "missing: features.0.weight", "more", "superfluous: encoder.weight"];
    run(path, "net-import", "w.safetensors --arch squeezenet1.1 -o net").fails(2, &missing);
    run(path, "net-import", "w.safetensors --arch vgg16 -o net").fails(2, &["classifier.0.weight"]);
    run(path, "net-import", "w.safetensors --arch vgg17 -o net").fails(2, &["vgg17", "vgg16", "googlenet"]);
    run(path, "net-import", "w.safetensors -o net").fails(2, &["w.safetensors", "squeezenet1.0", "encoder.weight"]);
    run(path, "net-import", "w.safetensors --convention lab -o net").fails(2, &["lab", "caffe"]);
    run(path, "net-import", "nowhere.onnx -o net").fails(2, &["nowhere.onnx"]);
    fs::write(path.join("bad.onnx"), "no network").unwrap();
    run(path, "net-import", "bad.onnx -o net").fails(2, &["bad.onnx", "an ONNX model"]);
    run(path, "net-import", "bad.onnx --arch vgg16 -o net").fails(2, &["--arch", "its own graph"]);
    assert!(!path.join("net").exists());
    let listed = run(path, "net-import", "--list").succeeds().stdout;
    let help = String::from_utf8(run(path, "net-import", "--help").succeeds().stdout).unwrap();
    for name in String::from_utf8(listed).unwrap().lines() {
        assert!(help.contains(name), "{name} in {help}");
    }
}

/// A graph of PyTorch's exporter goes through net-tap, and what normalises its pixels is said in any units.
#[test]
fn pixels_are_said_in_the_units_of_the_network() {
    let onnx = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/src/net/import/onnx/testdata/small.onnx");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let images = path.join("images.npy");
    write_images(&images, 4, 3, 18).unwrap();
    let logits = |words: &str| {
        let found = metrics(path, &format!("{} {words} -o net --force", onnx.display()));
        assert_eq!(
            (&found["outputs"], &found["left_off"]),
            (&"[\"logits\"]".parse().unwrap(), &"[\"Softmax Softmax\"]".parse().unwrap())
        );
        tapped(path, &images, "head")
    };
    let unit = logits("--mean 0.1,0.2,0.3 --std 0.5");
    let bytes = logits("--range 0,255 --mean 25.5,51,76.5 --std 127.5");
    let centred = logits("--range -1,1 --mean=-0.8,-0.6,-0.4 --std 1");
    let close = |other: &ArrayD<f32>| (other - &unit).iter().all(|difference| difference.abs() < 1e-5);
    assert!(close(&bytes) && close(&centred));
    assert!(!close(&logits("")));
    // In this graph something else than a convolution reads the input, so its channels cannot be turned round.
    let turned = format!("{} --channels bgr -o net --force", onnx.display());
    run(path, "net-import", &turned).fails(2, &["BGR", "found node \"Mul\""]);
    run(path, "net-import", &format!("{} --std 1,2 -o net", onnx.display())).fails(2, &["std", "3 channels"]);
    run(path, "net-import", &format!("{} --range 1,0 -o net", onnx.display())).fails(2, &["range"]);
    assert!(run(path, "net-import", &format!("{} -o net", onnx.display())).succeeds().stderr.contains("fresh"));
}
