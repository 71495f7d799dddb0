//! `--device`: what a build without GPUs says, and with `just test-gpu`, what the tools compute on the device that `OBVERSE_TEST_DEVICE`
//! names: software Vulkan where nothing is named.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use obverse::store::npy::{read, write};
use obverse_tests::{run, write_images};
use serde_json::Value;
use tempfile::TempDir;

/// The device that is tested.
fn device() -> String {
    std::env::var("OBVERSE_TEST_DEVICE").unwrap_or_else(|_| "vulkan".into())
}

/// A folder with images of 16 x 16 RGB, their labels, and a small classifier.
fn classifier() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 40, 3, 16).unwrap();
    write(&folder.path().join("labels.npy"), &[40], &(0..40).map(|row| row % 5).collect::<Vec<i64>>()).unwrap();
    run(
        folder.path(),
        "net-fit",
        "classifier images.npy --labels labels.npy --arch clarke --init he --epochs 1 --quiet -o net",
    )
    .succeeds();
    folder
}

/// Asserts that two arrays agree within this share of the largest value.
#[track_caller]
fn assert_near(folder: &Path, [a, b]: [&str; 2], tolerance: f64) {
    let [a, b] = [a, b].map(|name| read::<f32>(&folder.join(name)).unwrap());
    assert_eq!(a.shape(), b.shape());
    let largest = b.iter().fold(1e-6, |largest: f64, &value| largest.max(f64::from(value).abs()));
    let difference = a.iter().zip(&b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    assert!(difference <= tolerance * largest, "{difference:e} of {largest:e}");
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
#[cfg_attr(feature = "gpu", ignore = "this build computes on GPUs")]
fn a_build_without_gpus_says_how_to_get_one() {
    let folder = classifier();
    let refused = run(folder.path(), "net-tap", "net images.npy --layer logits --device vulkan -o l.npy");
    let said = refused.fails(2, &["--device vulkan", "just install gpu"]).stderr;
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(!folder.path().join("l.npy").exists());
}

#[test]
#[cfg_attr(not(feature = "gpu"), ignore = "it takes a build for GPUs: just test-gpu")]
fn networks_run_on_the_device_and_their_outputs_say_so() {
    let (folder, device) = (classifier(), device());
    let folder = folder.path();
    run(folder, "net-tap", "net images.npy --layer logits --quiet -o here.npy").succeeds();
    run(folder, "net-tap", &format!("net images.npy --layer logits --device {device} --quiet -o there.npy")).succeeds();
    assert_near(folder, ["there.npy", "here.npy"], 1e-5);
    let sidecar = json(&folder.join("there.npy.json"));
    let found = &sidecar["resolved"]["device"];
    assert!(found["name"].as_str().unwrap().starts_with(device.split(':').next().unwrap()), "{found}");
    assert!(["processor", "driver"].iter().all(|key| !found[key].as_str().unwrap().is_empty()), "{found}");
    assert_eq!(found["precision"], "f32");
    // Where it was computed decides freshness; the same device gives the same bytes.
    run(folder, "net-tap", "net images.npy --layer logits --check -o there.npy").fails(1, &["device"]);
    run(folder, "net-tap", &format!("net images.npy --layer logits --device {device} --check -o there.npy")).succeeds();
    run(folder, "net-tap", &format!("net images.npy --layer logits --device {device} --quiet -o again.npy")).succeeds();
    assert_eq!(fs::read(folder.join("again.npy")).unwrap(), fs::read(folder.join("there.npy")).unwrap());
    let double = format!("net images.npy --layer logits --device {device} --precision f64 -o d.npy");
    run(folder, "net-tap", &double).fails(2, &["f32"]);
    run(folder, "net-tap", "net images.npy --layer logits --device vulkan:99 -o d.npy").fails(2, &["vulkan:99"]);
    run(folder, "net-tap", "net images.npy --layer logits --device tpu -o d.npy").fails(2, &["tpu", "vulkan"]);
}

#[test]
#[cfg_attr(not(feature = "gpu"), ignore = "it takes a build for GPUs: just test-gpu")]
fn ascents_on_the_device_reach_what_they_reach_on_the_processor() {
    let (folder, device) = (classifier(), device());
    let folder = folder.path();
    fs::write(folder.join("o.txt"), "class:1\nchannel:act3:2\n").unwrap();
    // Under transformations a CPPN's ascent is so steep that single precision decides where it goes, on the processor too.
    for kind in ["clamped --transforms lucid", "fourier --transforms lucid", "cppn"] {
        let words = format!("net --objectives o.txt --parameterisation {kind} --steps 5 --quiet");
        run(folder, "fv-optimize", &format!("{words} -o here.npy")).succeeds();
        run(folder, "fv-optimize", &format!("{words} --device {device} -o there.npy")).succeeds();
        assert_near(folder, ["there.npy", "here.npy"], 1e-4);
        assert_near(folder, ["there.trace.npy", "here.trace.npy"], 1e-4);
    }
}

#[test]
#[cfg_attr(not(feature = "gpu"), ignore = "it takes a build for GPUs: just test-gpu")]
fn trainings_on_the_device_go_on_on_the_processor_and_back() {
    let (folder, device) = (classifier(), device());
    let folder = folder.path();
    let error = |name: &str| json(&folder.join(name).join("run.json"))["metrics"]["test_error"].as_f64().unwrap();
    let words = "images.npy --arch clarke --latent 6 --batch 20 --test images.npy --quiet";
    run(folder, "fa-fit", &format!("{words} --epochs 3 -o here")).succeeds();
    run(folder, "fa-fit", &format!("{words} --epochs 3 --device {device} -o there")).succeeds();
    run(folder, "fa-fit", &format!("{words} --epochs 1 --device {device} -o both")).succeeds();
    run(folder, "fa-fit", &format!("{words} --epochs 2 -o both")).succeeds();
    run(folder, "fa-fit", &format!("{words} --epochs 3 --device {device} -o both")).succeeds();
    let [here, there, both] = ["here", "there", "both"].map(error);
    assert!((there / here - 1.0).abs() < 1e-5 && (both / here - 1.0).abs() < 1e-5, "{here} {there} {both}");
}

#[test]
#[cfg_attr(not(feature = "gpu"), ignore = "it takes a build for GPUs: just test-gpu")]
fn density_models_are_fitted_on_the_device_and_resumed_on_the_processor() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, device) = (folder.path(), device());
    write_images(&folder.join("images.npy"), 24, 1, 8).unwrap();
    let words = "images.npy --filters 4 --blocks 1 --batch 8 --dropout 0 --validation images.npy --quiet";
    run(folder, "pixelcnn-fit", &format!("{words} --updates 20 -o here")).succeeds();
    run(folder, "pixelcnn-fit", &format!("{words} --updates 10 --device {device} -o both")).succeeds();
    run(folder, "pixelcnn-fit", &format!("{words} --updates 20 -o both")).succeeds();
    let bits = |name: &str| {
        json(&folder.join(name).join("run.json"))["metrics"]["validation_bits_per_dimension"].as_f64().unwrap()
    };
    assert!((bits("both") / bits("here") - 1.0).abs() < 1e-5, "{} {}", bits("both"), bits("here"));
    run(folder, "pixelcnn-sample", &format!("both --count 4 --device {device} --quiet -o samples.npy")).succeeds();
}
