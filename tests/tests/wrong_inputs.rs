//! Wrong inputs: one line, the right exit code, nothing under the final name.

use std::fs;
use std::path::Path;

use obverse_tests::{run, write_images};
use tempfile::TempDir;

const NET: &str = r#"{"format": "obverse-net/1", "input": {"shape": [1, 8, 8]}, "nodes": [
    {"name": "flatten", "op": "flatten", "input": "input"},
    {"name": "z", "op": "linear", "input": "flatten", "features": 4}], "outputs": {"z": "z"}}"#;

/// A folder with images, an encoder and its latents.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 20, 1, 8).unwrap();
    fs::write(folder.path().join("net.json"), NET).unwrap();
    run(folder.path(), "fa-fit", "images.npy --arch net.json --epochs 1 -o encoder").succeeds();
    run(folder.path(), "fa-encode", "encoder images.npy -o z.npy").succeeds();
    folder
}

/// Runs a tool that must fail with `code` and leave no `out*` behind.
#[track_caller]
fn refused(folder: &Path, name: &str, arguments: &str, code: i32, words: &[&str]) {
    run(folder, name, arguments).fails(code, words);
    let left: Vec<_> = obverse_tests::names(folder).into_iter().filter(|name| name.contains("out")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// An npy file with this header text, and `body` zeros after it.
fn raw_npy(path: &Path, header: &str, body: usize) {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16 + 1).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.push(b'\n');
    bytes.extend(vec![0; body]);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_file_that_is_missing() {
    let folder = folder();
    refused(folder.path(), "fa-encode", "encoder nowhere.npy -o out.npy", 2, &["nowhere.npy"]);
}

#[test]
fn a_truncated_file() {
    let folder = folder();
    let bytes = fs::read(folder.path().join("images.npy")).unwrap();
    fs::write(folder.path().join("cut.npy"), &bytes[..bytes.len() - 100]).unwrap();
    refused(folder.path(), "fa-encode", "encoder cut.npy -o out.npy", 2, &["cut.npy", "1280"]);
}

#[test]
fn a_header_of_a_trillion_elements() {
    let folder = folder();
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 1, 8, 8), }";
    raw_npy(&folder.path().join("huge.npy"), header, 64);
    refused(folder.path(), "fa-encode", "encoder huge.npy -o out.npy", 2, &["huge.npy"]);
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551615, 18446744073709551615), }";
    raw_npy(&folder.path().join("overflow.npy"), header, 64);
    refused(folder.path(), "fa-invert", "encoder overflow.npy -o out.npy", 2, &["overflow.npy"]);
}

#[test]
fn elements_of_a_wrong_type() {
    let folder = folder();
    obverse::store::npy::write(&folder.path().join("ints.npy"), &[2, 1, 8, 8], &[1i64; 128]).unwrap();
    refused(folder.path(), "fa-encode", "encoder ints.npy -o out.npy", 2, &["ints.npy", "i64"]);
}

#[test]
fn images_of_a_wrong_rank_or_size() {
    let folder = folder();
    obverse::store::npy::write(&folder.path().join("flat.npy"), &[2, 64], &[1u8; 128]).unwrap();
    refused(folder.path(), "fa-encode", "encoder flat.npy -o out.npy", 2, &["flat.npy"]);
    write_images(&folder.path().join("large.npy"), 2, 1, 9).unwrap();
    refused(folder.path(), "fa-encode", "encoder large.npy -o out.npy", 2, &["large.npy", "1x8x8", "1x9x9"]);
}

#[test]
fn a_value_that_is_no_number() {
    let folder = folder();
    let mut z = [0.5f32; 8];
    z[6] = f32::NAN;
    obverse::store::npy::write(&folder.path().join("nan.npy"), &[2, 4], &z).unwrap();
    refused(folder.path(), "fa-invert", "encoder nan.npy -o out.npy", 2, &["nan.npy", "NaN"]);
    let mut x = [0.5f32; 64];
    x[3] = f32::INFINITY;
    obverse::store::npy::write(&folder.path().join("inf.npy"), &[1, 1, 8, 8], &x).unwrap();
    refused(folder.path(), "fa-encode", "encoder inf.npy -o out.npy", 2, &["inf.npy", "inf"]);
    refused(folder.path(), "fa-fit", "inf.npy --arch net.json -o out", 2, &["inf.npy", "inf"]);
}

#[test]
fn latents_of_another_network() {
    let folder = folder();
    obverse::store::npy::write(&folder.path().join("wide.npy"), &[2, 5], &[0.5f32; 10]).unwrap();
    refused(folder.path(), "fa-invert", "encoder wide.npy -o out.npy", 2, &["wide.npy", "5"]);
}

#[test]
fn a_model_with_a_missing_or_changed_parameter() {
    let folder = folder();
    let weight = folder.path().join("encoder/params/z.weight.npy");
    let bytes = fs::read(&weight).unwrap();
    fs::remove_file(&weight).unwrap();
    refused(folder.path(), "fa-encode", "encoder images.npy -o out.npy", 2, &["z.weight"]);
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&weight, changed).unwrap();
    refused(folder.path(), "fa-encode", "encoder images.npy -o out.npy", 2, &["z.weight", "digest"]);
    obverse::store::npy::write(&weight, &[4, 63], &[0.5f32; 252]).unwrap();
    refused(folder.path(), "fa-encode", "encoder images.npy -o out.npy", 2, &["z.weight", "[4, 63]"]);
}

#[test]
fn a_network_that_is_broken() {
    let folder = folder();
    let path = folder.path().join("encoder/net.json");
    for (from, to, word) in [
        ("\"linear\"", "\"wormhole\"", "wormhole"),
        ("\"input\": \"flatten\"", "\"input\": \"nothing\"", "nothing"),
        ("\"features\": 4", "\"features\": 4000000000000", "z"),
        ("obverse-net/1", "obverse-net/9", "obverse-net/9"),
    ] {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        refused(folder.path(), "fa-encode", "encoder images.npy -o out.npy", 2, &[word]);
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = folder();
    refused(folder.path(), "fa-encode", "encoder images.npy -o nowhere/z.npy", 1, &["nowhere"]);
    refused(folder.path(), "fa-fit", "images.npy --arch net.json --epochs 1 -o nowhere/net", 1, &["nowhere"]);
    // A folder that no tool has written is not the disk's fault but a wrong -o.
    fs::create_dir(folder.path().join("precious")).unwrap();
    fs::write(folder.path().join("precious/thesis.tex"), "…").unwrap();
    run(folder.path(), "fa-fit", "images.npy --arch net.json --epochs 1 -o precious --quiet").fails(2, &["precious"]);
    assert!(folder.path().join("precious/thesis.tex").is_file());
}

#[test]
#[cfg_attr(not(dev_full), ignore = "it takes /dev/full")]
fn a_full_disk() {
    let folder = folder();
    let mut command = obverse_tests::tool("fa-encode");
    command.args(["encoder", "images.npy", "-o", "-", "--quiet"]).current_dir(folder.path());
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_training_that_diverges() {
    let folder = folder();
    let arguments = "images.npy --arch net.json --epochs 50 --tau 1e300 --clamp none --sigmoid off --quiet -o out";
    run(folder.path(), "fa-fit", arguments).fails(1, &["diverged"]);
    assert!(!folder.path().join("out").exists());
}

#[test]
fn usage_that_makes_no_sense() {
    let folder = folder();
    refused(folder.path(), "fa-fit", "images.npy --arch nothing -o out", 2, &["nothing", "celeba"]);
    refused(folder.path(), "fa-fit", "images.npy --steps 0 -o out", 2, &["--steps"]);
    refused(folder.path(), "fa-fit", "images.npy --betas 2,3 -o out", 2, &["--betas"]);
    refused(folder.path(), "fa-encode", "encoder images.npy --shard 4/3 -o out.npy", 2, &["--shard"]);
    refused(folder.path(), "fa-encode", "encoder images.npy --json -o -", 2, &["--json"]);
    refused(folder.path(), "net-tap", "encoder images.npy --layer nothing -o out.npy", 2, &["nothing", "flatten"]);
}
