//! `shadow-measure` by its command line: the theory's folder, spectra, and what is refused.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use obverse::store::npy::{Reader, read, write};
use obverse::store::sidecar::Sidecar;
use obverse_tests::{names, run, write_images};

const THEORY: &str = "theory --n 20 --m 400 --k 3 --vary-n 10,20,40 --vary-m 200,400 --vary-k 2,4 --vary-rho 0.5,1 \
                      --repetitions 2 --count 3";

fn bytes(folder: &Path) -> Vec<Vec<u8>> {
    let outputs = names(folder).into_iter().filter(|name| name != "run.json");
    outputs.map(|name| fs::read(folder.join(name)).unwrap()).collect()
}

#[test]
fn the_theory_is_measured_to_the_same_bytes_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "shadow-measure", &format!("{THEORY} --quiet -o theory")).succeeds();
    let theory = folder.join("theory");
    for (variable, shape) in [("n", [3, 13]), ("m", [2, 13]), ("k", [2, 7]), ("rho", [2, 7])] {
        assert_eq!(Reader::open(&theory.join(format!("{variable}.npy"))).unwrap().shape(), shape, "{variable}");
        assert!(image::open(theory.join(format!("{variable}.png"))).unwrap().width() > 400);
        assert!(fs::read_to_string(theory.join(format!("{variable}.svg"))).unwrap().contains("error of recovery"));
    }
    let rows = read::<f64>(&theory.join("n.npy")).unwrap();
    // The value, then error, half interval and bound of Theorem 3.1: sqrt(n / m).
    assert_eq!(rows[[2, 0]], 40.0);
    assert!((rows[[2, 3]] - 0.1f64.sqrt()).abs() < 1e-12 && (rows[[2, 1]] / rows[[2, 3]] - 1.0).abs() < 0.3);
    let exponents = fs::read_to_string(theory.join("exponents.txt")).unwrap();
    assert_eq!(exponents.lines().count(), 1 + 12 + 1, "{exponents}");
    let sidecar = Sidecar::read(&theory.join("run.json")).unwrap();
    assert_eq!(sidecar.metrics["exponents"].as_array().unwrap().len(), 12);
    let again = run(folder, "shadow-measure", &format!("{THEORY} -o theory")).succeeds();
    assert!(again.stderr.contains("fresh"), "{}", again.stderr);
    let first = bytes(&theory);
    run(folder, "shadow-measure", &format!("{THEORY} --threads 1 --force --quiet -o theory")).succeeds();
    assert!(first == bytes(&theory), "threads change bytes");
}

#[test]
fn spectra_of_networks_are_drawn_beside_the_law() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_images(&folder.join("images.npy"), 12, 1, 8).unwrap();
    write(&folder.join("labels.npy"), &[12], &(0..12).map(|row| row % 3).collect::<Vec<i64>>()).unwrap();
    let words = "classifier images.npy --labels labels.npy --arch connected --init he --epochs 0 --quiet -o net";
    run(folder, "net-fit", words).succeeds();
    run(folder, "net-tap", "net --spectrum --quiet -o s.npy").succeeds();
    run(folder, "shadow-measure", "spectra s.npy s.npy --captions one,two --quiet -o s.png").succeeds();
    assert!(image::open(folder.join("s.png")).unwrap().width() > 400);
    write(&folder.join("wrong.npy"), &[2, 2], &[0.0, 1.0, 2.0, 3.0]).unwrap();
    run(folder, "shadow-measure", "spectra wrong.npy -o x.png").fails(2, &["wrong.npy", "[2, 2]"]);
}

#[test]
fn sizes_that_make_no_layer_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |words: &str, said: &[&str]| {
        run(folder.path(), "shadow-measure", &format!("theory {words} -o out")).fails(2, said);
        assert!(names(folder.path()).is_empty());
    };
    refused("--n 20 --k 21", &["k 21"]);
    refused("--n 20 --m 100 --vary-k 2,21 --vary-n 10,20 --vary-m 100,200", &["k 21"]);
    refused("--rho 0", &["rho in (0, 1]"]);
    refused("--n 20 --m 50 --vary-n 10", &["values of a variable", "found 1"]);
}
