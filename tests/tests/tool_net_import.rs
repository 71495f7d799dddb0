//! `net-import`: pretrained networks in every format against the oracle, what is recognised and refused, and the way through
//! net-tap.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use ndarray::{ArrayD, Axis};
use obverse::store::npy::{read, write_array};
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
    run(path, "net-import", "bad.onnx --prefix encoder. -o net").fails(2, &["--prefix", "its own graph"]);
    let prefixed = run(path, "net-import", "w.safetensors --prefix decoder. -o net");
    prefixed.fails(2, &["--prefix", "decoder.", "found classifier.1.weight, encoder.weight"]);
    for flag in ["--until fc", "--unbatched", "--layout nhwc"] {
        let flagged = run(path, "net-import", &format!("w.safetensors {flag} -o net"));
        flagged.fails(2, &[flag.split(' ').next().unwrap(), "expected an ONNX file"]);
    }
    run(path, "net-import", "w.safetensors --report").fails(2, &["--report", "expected an ONNX file"]);
    assert!(!path.join("net").exists());
    let listed = run(path, "net-import", "--list").succeeds().stdout;
    let help = String::from_utf8(run(path, "net-import", "--help").succeeds().stdout).unwrap();
    let listed = String::from_utf8(listed).unwrap();
    for name in
        ["vgg16", "densenet-bc-100-12", "inception-v3-fid", "resnet50", "vit_b_16", "timm.vit_small_patch16_224"]
    {
        assert!(listed.lines().any(|line| line == name) && help.contains(name), "{name} in {listed} and in {help}");
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
            (&serde_json::json!(["logits", "probabilities"]), &serde_json::json!([]))
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

fn small_onnx() -> String {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    checkout.join("lib/src/net/import/onnx/testdata/small.onnx").display().to_string()
}

#[test]
fn a_network_is_held_against_what_the_original_makes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, onnx) = (folder.path(), small_onnx());
    write_images(&path.join("x.npy"), 4, 3, 18).unwrap();
    metrics(path, &format!("{onnx} -o net"));
    // The file's own output are probabilities; what its softmax is of is one more.
    let y = tapped(path, &path.join("x.npy"), "Softmax");
    write_array(&path.join("y.npy"), &y).unwrap();
    write_array(&path.join("logits.npy"), &tapped(path, &path.join("x.npy"), "head")).unwrap();
    // Of any shape, and with the pixels of the original, whatever the convention.
    write_array(&path.join("row.npy"), &y.flatten()).unwrap();
    let x = read::<u8>(&path.join("x.npy")).unwrap().mapv(|value| f32::from(value) / 255.0);
    write_array(&path.join("unit.npy"), &x).unwrap();
    for (words, most) in [("y.npy", 1e-6), ("row.npy --std 0.5", 1e-6), ("logits.npy --expect-output logits", 1e-6)] {
        let found = metrics(path, &format!("{onnx} --expect unit.npy {words} -o held"));
        assert!(found["relative_difference"].as_f64().unwrap() <= most, "{found}");
    }
    let largest = y.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let mut off = y.clone();
    off[[0, 0]] += 0.01 * largest;
    write_array(&path.join("off.npy"), &off).unwrap();
    let said = ["off.npy", "probabilities", "of the largest value"];
    run(path, "net-import", &format!("{onnx} --verify unit.npy off.npy -o new")).fails(1, &said);
    assert!(!path.join("new").exists());
    let before = std::fs::read(path.join("held/run.json")).unwrap();
    run(path, "net-import", &format!("{onnx} --expect unit.npy off.npy -o held")).fails(1, &said);
    assert_eq!(std::fs::read(path.join("held/run.json")).unwrap(), before);
    // What is no number is near nothing.
    off[[1, 1]] = f32::NAN;
    write_array(&path.join("broken.npy"), &off).unwrap();
    run(path, "net-import", &format!("{onnx} --expect unit.npy broken.npy -o new")).fails(1, &["broken.npy", "NaN"]);
    // Images with the channels last are those with the channels first, by their axes or because it is said.
    let last = x.clone().permuted_axes([0, 2, 3, 1].as_slice()).as_standard_layout().into_owned();
    write_array(&path.join("last.npy"), &last).unwrap();
    write_array(&path.join("flat.npy"), &last.flatten()).unwrap();
    metrics(path, &format!("{onnx} --expect last.npy y.npy -o last"));
    run(path, "net-import", &format!("{onnx} --expect flat.npy y.npy -o flat")).fails(1, &["y.npy"]);
    let loose = metrics(path, &format!("{onnx} --expect unit.npy off.npy --tolerance 0.02 -o new"));
    assert!((loose["largest_difference"].as_f64().unwrap() / f64::from(largest) - 0.01).abs() < 1e-3, "{loose}");
    let fails = |words: &str, said: &[&str]| {
        run(path, "net-import", &format!("{onnx} {words} -o other")).fails(2, said);
    };
    fails("--expect unit.npy x.npy", &["x.npy", "expected 20 values", "found 3888"]);
    fails("--expect y.npy y.npy", &["y.npy", "expected images of 3x18x18", "[4, 5]"]);
    fails("--expect unit.npy y.npy --expect-output pooled", &["--expect-output", "logits", "pooled"]);
    fails("--expect unit.npy", &["--expect", "2 values"]);
    fails("--expect-output logits", &["--expect"]);
}

/// A field of a protocol buffer that holds bytes, fewer than 2^14.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let (low, high) = ((bytes.len() & 127) as u8, (bytes.len() >> 7) as u8);
    [&[number << 3 | 2, low | 128, high], bytes].concat()
}

#[test]
fn all_that_stands_in_the_way_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let node = |operation: &str, input: &str, output: &str| {
        field(1, &[field(1, input.as_bytes()), field(2, output.as_bytes()), field(4, operation.as_bytes())].concat())
    };
    // An input of four axes, (N, C, H, W), all of them open.
    let open = field(2, &field(1, &[]).repeat(4));
    let input = field(11, &[field(1, b"x"), field(2, &field(1, &open))].concat());
    let nodes = [node("Det", "x", "a"), node("Det", "x", "b"), node("Unique", "b", "y")].concat();
    let graph = [nodes, input, field(12, &field(1, b"y"))].concat();
    fs::write(path.join("m.onnx"), field(7, &graph)).unwrap();
    run(path, "net-import", "m.onnx --report").fails(2, &["m.onnx", "\"x\"", "open"]);
    let reported = run(path, "net-import", "m.onnx --report --input-size 1,4,4").succeeds();
    let text = String::from_utf8(reported.stdout).unwrap();
    assert!(text.contains("Det \"a\" and 1 more: expected") && text.contains("Unique \"y\": expected"), "{text}");
    assert!(text.contains("2 kinds") && text.contains("--until"), "{text}");
    let found = metrics(path, "m.onnx --report --input-size 1,4,4");
    assert_eq!((&found["blockers"][0]["count"], &found["blockers"][1]["operation"]), (&2.into(), &"Unique".into()));
    let none = run(path, "net-import", &format!("{} --report", small_onnx())).succeeds();
    assert!(String::from_utf8(none.stdout).unwrap().contains("nothing stands in the way"));
}
