//! Arrays of images as people have them: other ranges and layouts are refused with what helps, and read the same once they are named.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use obverse::store::npy::{read, write};
use obverse_tests::{run, write_images};
use tempfile::TempDir;

const NET: &str = r#"{"format": "obverse-net/1", "input": {"shape": [3, 8, 8]}, "nodes": [
    {"name": "flatten", "op": "flatten", "input": "input"},
    {"name": "z", "op": "linear", "input": "flatten", "features": 4}], "outputs": {"z": "z"}}"#;

/// A folder with the same images in several forms, and an encoder.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_images(&path.join("u8.npy"), 20, 3, 8).unwrap();
    let images = read::<u8>(&path.join("u8.npy")).unwrap();
    for (name, low, high) in [("f01", 0.0, 1.0), ("fm11", -1.0, 1.0), ("f255", 0.0, 255.0)] {
        let values: Vec<f32> = images.iter().map(|&byte| low + f32::from(byte) / 255.0 * (high - low)).collect();
        write(&path.join(format!("{name}.npy")), images.shape(), &values).unwrap();
    }
    let last: Vec<u8> = images.permuted_axes([0, 2, 3, 1].as_slice()).iter().copied().collect();
    write(&path.join("last.npy"), &[20, 8, 8, 3], &last).unwrap();
    fs::write(path.join("net.json"), NET).unwrap();
    run(path, "fa-fit", "u8.npy --arch net.json --epochs 1 -o encoder").succeeds();
    folder
}

fn encoded(folder: &Path, arguments: &str) -> Vec<u8> {
    run(folder, "fa-encode", &format!("encoder {arguments} -o z.npy --force")).succeeds();
    fs::read(folder.join("z.npy")).unwrap()
}

#[test]
fn every_tool_reads_the_same_pictures_in_any_form() {
    let folder = folder();
    let path = folder.path();
    let own = encoded(path, "u8.npy");
    assert_eq!(encoded(path, "f01.npy"), own);
    assert_eq!(encoded(path, "f255.npy --range 0,255"), own);
    assert_eq!(encoded(path, "last.npy --nhwc"), own);
    encoded(path, "fm11.npy --range -1,1");
    let (first, other) = (read::<f32>(&path.join("z.npy")).unwrap(), encoded(path, "u8.npy"));
    assert_eq!(other, own);
    let second = read::<f32>(&path.join("z.npy")).unwrap();
    assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() < 1e-5));
    for (tool, rest) in [
        ("fa-encode", "encoder IMAGES -o out"),
        ("fa-fit", "IMAGES --arch net.json --epochs 1 -o out"),
        ("net-fit", "autoencoder IMAGES --arch mnist --epochs 1 -o out"),
        ("net-tap", "encoder IMAGES --layer z -o out"),
        ("fid-score", "IMAGES u8.npy --net encoder --layer z"),
    ] {
        let on = |images: &str| run(path, tool, &rest.replace("IMAGES", images));
        on("fm11.npy").fails(2, &["fm11.npy", "pixels of 0..1", "found -1..", "--range -1,1", "--clip"]);
        on("f255.npy").fails(2, &["f255.npy", "pixels of 0..1", "found 0..", "--range 0,255"]);
        on("last.npy").fails(2, &["last.npy", "(N, C, H, W)", "[20, 8, 8, 3]", "--nhwc"]);
        assert!(!path.join("out").exists(), "{tool}");
    }
    run(path, "pixelcnn-fit", "last.npy -o out").fails(2, &["last.npy", "--nhwc"]);
}

#[test]
fn what_a_tool_made_says_its_range_and_is_trusted() {
    let folder = folder();
    let path = folder.path();
    let z: Vec<f32> = (0..40).map(|value| 0.7 * value as f32 - 9.0).collect();
    write(&path.join("far.npy"), &[10, 4], &z).unwrap();
    run(path, "fa-invert", "encoder far.npy -o recovered.npy").succeeds();
    let recovered = read::<f32>(&path.join("recovered.npy")).unwrap();
    assert!(recovered.iter().any(|&value| !(-0.1..=1.1).contains(&value)));
    let sidecar: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("recovered.npy.json")).unwrap()).unwrap();
    assert_eq!(sidecar["output"]["range"], serde_json::json!([0.0, 1.0]));
    assert_eq!(sidecar["output"]["layout"], "NCHW");
    let own = encoded(path, "recovered.npy");
    run(path, "npy-cat", "recovered.npy recovered.npy -o twice.npy").succeeds();
    encoded(path, "twice.npy");
    // A copy that nobody vouches for.
    fs::copy(path.join("recovered.npy"), path.join("copy.npy")).unwrap();
    run(path, "fa-encode", "encoder copy.npy -o out.npy").fails(2, &["copy.npy", "--range", "--clip"]);
    assert_ne!(encoded(path, "copy.npy --clip"), own);
}
