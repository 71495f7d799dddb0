//! `net-export`: what is written is read again with the same parameters, and computes the same.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use obverse::store::npy::{read, write_array};
use obverse::store::weights::Weights;
use obverse_tests::{run, write_images};

/// The files of a network's parameters, by their names.
fn parameters(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder.join("params")).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

#[test]
fn what_is_exported_and_imported_again_is_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let onnx = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/src/net/import/onnx/testdata/small.onnx");
    write_images(&path.join("images.npy"), 4, 3, 18).unwrap();
    // What normalises the pixels goes into the graph: the file takes 0..1.
    let normalised = format!("{} --mean 0.1,0.2,0.3 --std 0.5,0.25,0.5 -o net", onnx.display());
    run(path, "net-import", &normalised).succeeds();
    run(path, "net-tap", "net images.npy --layer head -o logits.npy").succeeds();
    run(path, "net-tap", "net images.npy --layer Softmax -o probabilities.npy").succeeds();
    let unit = read::<u8>(&path.join("images.npy")).unwrap().mapv(|value| f32::from(value) / 255.0);
    write_array(&path.join("unit.npy"), &unit).unwrap();
    let said = run(path, "net-export", "net -o net.onnx --json --quiet").succeeds().stdout;
    assert!(String::from_utf8(said).unwrap().starts_with("{\"format\":\"onnx\""));
    let held = "net.onnx --expect unit.npy logits.npy --expect-output logits --tolerance 1e-6 -o again";
    run(path, "net-import", held).succeeds();
    let (first, again) = (parameters(&path.join("net")), parameters(&path.join("again")));
    assert!(first.len() > 10);
    for (name, bytes) in &first {
        assert!(again.get(name) == Some(bytes), "{name}");
    }
    // The same bytes a second time.
    let bytes = fs::read(path.join("net.onnx")).unwrap();
    run(path, "net-export", "net -o second.onnx").succeeds();
    assert_eq!(fs::read(path.join("second.onnx")).unwrap(), bytes);
    run(path, "net-export", "net -o weights.safetensors").succeeds();
    let weights = Weights::open(&path.join("weights.safetensors")).unwrap();
    for name in first.keys() {
        let own = read::<f32>(&path.join(format!("net/params/{name}.npy"))).unwrap();
        assert_eq!(weights.get(name).unwrap().values, own.into_raw_vec_and_offset().0, "{name}");
    }
}

#[test]
fn other_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, "net-export", "net -o net.pt").fails(2, &["--output", "onnx", "safetensors", "net.pt"]);
    run(path, "net-export", "net -o net.onnx").fails(2, &["net: cannot be read"]);
    assert!(!path.join("net.onnx").exists());
}
