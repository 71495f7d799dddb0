//! Reverse nets by the command line: `fa-invert --reverse`, `net-tap --spectrum`, `net-fit classifier --shadow`.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use obverse::store::npy::{Reader, read, write};
use obverse::store::sidecar::Sidecar;
use obverse_tests::{run, write_images};
use serde_json::Value;
use tempfile::TempDir;

/// 60 images of 16 x 16 in 4 classes, a fully connected network trained on its shadows, and one of strided convolutions.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 60, 1, 16).unwrap();
    write(&folder.path().join("labels.npy"), &[60], &(0..60).map(|row| row % 4).collect::<Vec<i64>>()).unwrap();
    fit(folder.path(), "--arch connected --shadow --learning-rate 1e-3 -o net");
    fit(folder.path(), "--arch mnist -o convolutions");
    folder
}

fn fit(folder: &Path, words: &str) {
    let common = "classifier images.npy --labels labels.npy --test images.npy --test-labels labels.npy --init he";
    run(folder, "net-fit", &format!("{common} --batch 16 --epochs 2 --quiet {words}")).succeeds();
}

fn metrics(folder: &Path, tool: &str, words: &str) -> Value {
    serde_json::from_slice(&run(folder, tool, &format!("{words} --json --quiet")).succeeds().stdout).unwrap()
}

/// The mean squared errors of the mean image and of the mean pixel: what biases of pixels or of channels alone reach.
fn errors_of_means(folder: &Path) -> [f64; 2] {
    let images = read::<u8>(&folder.join("images.npy")).unwrap().mapv(|pixel| f64::from(pixel) / 255.0);
    let (image, pixel) = (images.mean_axis(ndarray::Axis(0)).unwrap(), images.mean().unwrap());
    let error =
        |difference: ndarray::ArrayD<f64>| difference.mapv(|difference| difference * difference).mean().unwrap();
    [error(&images - &image), error(&images - pixel)]
}

#[test]
fn networks_are_run_backwards_from_any_layer_to_the_same_bytes() {
    let folder = folder();
    let folder = folder.path();
    let [image, pixel] = errors_of_means(folder);
    for (net, layer, blind) in [
        ("net", "act2", image),
        ("net", "act1", image),
        ("convolutions", "act_fc1", pixel),
        ("convolutions", "act3", pixel),
    ] {
        run(folder, "net-tap", &format!("{net} images.npy --layer {layer} --quiet -o h.npy")).succeeds();
        let words = format!("--reverse {net} h.npy --layer {layer} --estimate images.npy --compare images.npy");
        let said = metrics(folder, "fa-invert", &format!("{words} -o r.npy"));
        assert!(said["mse"].as_f64().unwrap() < blind, "{net} {layer}: {said}, blind {blind}");
        assert_eq!(Reader::open(&folder.join("r.npy")).unwrap().shape(), [60, 1, 16, 16]);
        let first = fs::read(folder.join("r.npy")).unwrap();
        run(folder, "fa-invert", &format!("{words} --threads 1 --batch 7 --force --quiet -o r.npy")).succeeds();
        assert!(first == fs::read(folder.join("r.npy")).unwrap(), "threads or batches change bytes");
        assert!(run(folder, "fa-invert", &format!("{words} -o r.npy")).succeeds().stderr.contains("fresh"));
        for part in 1..=2 {
            run(folder, "fa-invert", &format!("{words} --shard {part}/2 --quiet -o r{part}.npy")).succeeds();
        }
        run(folder, "npy-cat", "r1.npy r2.npy --force --quiet -o joined.npy").succeeds();
        assert!(first == fs::read(folder.join("joined.npy")).unwrap(), "shards change bytes");
    }
    // Below the softmax is where it starts; without images the model's scales are taken.
    run(folder, "net-tap", "net images.npy --layer act2 --force --quiet -o h.npy").succeeds();
    run(folder, "fa-invert", "--reverse net h.npy --quiet -o default.npy").succeeds();
    run(folder, "fa-invert", "--reverse net h.npy --layer act2 --quiet -o named.npy").succeeds();
    assert_eq!(fs::read(folder.join("default.npy")).unwrap(), fs::read(folder.join("named.npy")).unwrap());
}

#[test]
fn what_has_no_reverse_is_named() {
    let folder = folder();
    let folder = folder.path();
    fit(folder, "--arch clarke -o pooled");
    run(folder, "net-tap", "pooled images.npy --layer act_fc1 --quiet -o h.npy").succeeds();
    let refused = |words: &str, said: &[&str]| {
        run(folder, "fa-invert", &format!("{words} -o out.npy")).fails(2, said);
        assert!(!folder.join("out.npy").exists());
    };
    refused("--reverse pooled h.npy", &["\"pool4\"", "max_pool2d has no reverse"]);
    refused("--reverse net h.npy", &["h.npy", "800"]);
    refused("--reverse net h.npy --layer nothing", &["nothing", "act2"]);
    refused("--reverse net nowhere.npy", &["nowhere.npy"]);
    for words in ["--reverse net --sample 3", "--reverse net h.npy --steps 2", "net h.npy --estimate images.npy"] {
        assert_eq!(run(folder, "fa-invert", &format!("{words} -o out.npy")).code, Some(2), "{words}");
    }
    let net_fit = |words: &str, said: &[&str]| {
        let common = "images.npy --labels labels.npy --epochs 1 --quiet";
        run(folder, "net-fit", &format!("{words} {common} -o out")).fails(2, said);
        assert!(!folder.join("out").exists());
    };
    net_fit("classifier --arch clarke --shadow", &["\"pool4\"", "max_pool2d has no reverse"]);
    net_fit("classifier --arch connected --shadow --shadow-weight 0", &["weight", "found 0"]);
    let without = "vae images.npy --shadow --epochs 1 -o out";
    run(folder, "net-fit", without).fails(2, &["--shadow", "classifier"]);
}

#[test]
fn trainings_on_shadows_say_how_many_keep_their_label() {
    let folder = folder();
    let lines = fs::read_to_string(folder.path().join("net/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    for name in ["shadow_cross_entropy", "shadows_kept", "test_shadows_kept", "test_accuracy"] {
        assert!(last[name].as_f64().is_some_and(|value| value >= 0.0), "{name}: {last}");
    }
    let sidecar = Sidecar::read(&folder.path().join("net/run.json")).unwrap();
    assert_eq!(sidecar.resolved["shadow"]["weight"], 1.0);
    assert_eq!(sidecar.request["dropout"], 0.5);
    let plain = Sidecar::read(&folder.path().join("convolutions/run.json")).unwrap();
    assert!(!plain.resolved.contains_key("shadow") && !plain.metrics.contains_key("test_shadows_kept"));
}

#[test]
fn spectra_say_how_random_layers_are_and_how_sparse() {
    let folder = folder();
    let folder = folder.path();
    let said = metrics(folder, "net-tap", "net images.npy --spectrum -o s.npy");
    let layers = said["layers"].as_array().unwrap();
    assert_eq!(
        layers.iter().map(|layer| layer["node"].as_str().unwrap()).collect::<Vec<_>>(),
        ["fc1", "fc2", "logits"]
    );
    assert!(layers[0]["distance"].as_f64().unwrap() < 0.1, "He's weights after a few updates: {said}");
    assert!((0.0..=1.0).contains(&layers[1]["correlation"].as_f64().unwrap()));
    assert_eq!(layers[0]["active"], layers[1]["active_inputs"]);
    assert!(layers[2]["active"].is_null() && layers[1]["in_range"].is_boolean());
    let rows = read::<f64>(&folder.join("s.npy")).unwrap();
    assert_eq!(rows.shape(), [256 + 800 + 4, 3]);
    let first = fs::read(folder.join("s.npy")).unwrap();
    run(folder, "net-tap", "net --spectrum --threads 1 --quiet -o t.npy").succeeds();
    assert!(first == fs::read(folder.join("t.npy")).unwrap(), "images or threads change the spectrum");
    assert!(run(folder, "net-tap", "net images.npy --spectrum -o s.npy").succeeds().stderr.contains("fresh"));
    assert_eq!(run(folder, "net-tap", "net images.npy --spectrum --layer act1 -o x.npy").code, Some(2));
    assert_eq!(run(folder, "net-tap", "net images.npy --spectrum").code, Some(2));
}
