//! Small files that ask for gigabytes: one line, exit code 2, at once.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use obverse_tests::{run, shell, write_images};
use tempfile::TempDir;

/// An array's header in NumPy's first format.
fn header(descr: &str, shape: &str) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let padded = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let text = format!("{text:<width$}\n", width = padded - 1);
    [b"\x93NUMPY\x01\x00".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 12, 3, 16).unwrap();
    folder
}

/// Runs a tool, which must refuse at once.
fn refused(folder: &Path, tool: &str, arguments: &str, words: &[&str]) {
    let started = Instant::now();
    run(folder, tool, &format!("{arguments} -o out.npy")).fails(2, words);
    let seconds = started.elapsed();
    assert!(seconds < Duration::from_secs(2), "{tool} {arguments}: {seconds:?}");
    assert!(!folder.join("out.npy").exists());
}

#[test]
fn an_array_that_unpacks_to_gigabytes_is_refused() {
    let folder = folder();
    let content = [header("|u1", "(131072, 3, 128, 128)"), vec![0; 1 << 20]].concat();
    fs::write(folder.path().join("bomb.npy.zst"), zstd::encode_all(&content[..], 1).unwrap()).unwrap();
    refused(folder.path(), "npy-cat", "bomb.npy.zst", &["bomb.npy.zst", "6442450944", "unpack it first"]);
}

#[test]
fn rows_without_elements_are_not_counted_one_by_one() {
    let folder = folder();
    fs::write(folder.path().join("rows.npy"), header(">f2", "(100000000000, 0)")).unwrap();
    for arguments in ["rows.npy", "images.npy rows.npy"] {
        refused(folder.path(), "npy-cat", arguments, &["rows.npy", "100000000000"]);
    }
}

#[test]
fn devices_and_pipes_are_no_files() {
    let folder = folder();
    assert!(shell(folder.path(), "mkfifo pipe.npy").status().unwrap().success());
    for name in ["/dev/zero", "pipe.npy"] {
        refused(folder.path(), "npy-cat", name, &[name, "pipe it to -"]);
        run(folder.path(), "net-import", &format!("{name} --arch resnet20 -o net")).fails(2, &[name]);
    }
}

#[test]
fn a_network_that_does_not_fit_into_memory_is_refused_before_it_is_built() {
    let folder = folder();
    let network = r#"{"format": "obverse-net/1", "input": {"shape": [3, 16, 16]}, "nodes": [
        {"name": "wide", "op": "conv2d", "input": "input", "channels": 1048576, "kernel": 3, "padding": 1},
        {"name": "flat", "op": "global_avg_pool", "input": "wide"},
        {"name": "z", "op": "linear", "input": "flat", "features": 4}], "outputs": {"z": "z"}}"#;
    fs::write(folder.path().join("wide.json"), network).unwrap();
    let fit = "images.npy --arch wide.json --epochs 1";
    refused(folder.path(), "fa-fit", &format!("{fit} --memory 4G"), &["wide.json", "--memory"]);
    // What fits into the limit is not refused.
    run(folder.path(), "npy-cat", "images.npy --memory 1M --quiet -o copy.npy").succeeds();
}
