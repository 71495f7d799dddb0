//! `mi-bound` by its command line: worlds whose information is known, comparisons, estimators, what it refuses.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use obverse::store::npy::{read, write};
use obverse::tensor::random::Stream;
use obverse_tests::{run, write_images};
use serde_json::Value;
use tempfile::TempDir;

/// Bits that choose a pattern.
const BITS: u32 = 4;
/// Bits of them that h tells.
const TOLD: u32 = 2;

/// Writes `count` images of 4 x 4, each one of 16 patterns drawn evenly, `told` the first bits of which it is, and `noise` that has
/// nothing to do with them.
fn world(folder: &Path, name: &str, seed: u64, count: usize) {
    let patterns: Vec<u8> =
        Stream::new(0, "patterns", 0).bits(0..16 * 16).iter().map(|bits| (bits >> 63) as u8 * 255).collect();
    let draws: Vec<usize> =
        Stream::new(seed, "world", 0).bits(0..count).iter().map(|bits| (bits >> 60) as usize).collect();
    let images: Vec<u8> = draws.iter().flat_map(|&draw| patterns[16 * draw..][..16].to_vec()).collect();
    let told: Vec<f32> = draws.iter().flat_map(|draw| (0..TOLD).map(move |bit| (draw >> bit & 1) as f32)).collect();
    let noise: Vec<f32> = Stream::new(seed, "noise", 0).normal(0..count * 2);
    write(&folder.join(format!("{name}.npy")), &[count, 1, 4, 4], &images).unwrap();
    write(&folder.join(format!("{name}-told.npy")), &[count, TOLD as usize], &told).unwrap();
    write(&folder.join(format!("{name}-noise.npy")), &[count, 2], &noise).unwrap();
}

fn fit(folder: &Path, words: &str) {
    let common =
        "--filters 12 --blocks 1 --batch 32 --dropout 0 --polyak 0.99 --learning-rate 0.004 --schedule cosine --quiet";
    run(folder, "pixelcnn-fit", &format!("train.npy {common} {words}")).succeeds();
}

fn measured(folder: &Path, words: &str) -> Value {
    serde_json::from_slice(&run(folder, "mi-bound", &format!("{words} --json --quiet")).succeeds().stdout).unwrap()
}

fn number(metrics: &Value, name: &str) -> f64 {
    metrics[name].as_f64().unwrap_or_else(|| panic!("{name} in {metrics}"))
}

fn interval(metrics: &Value, name: &str) -> [f64; 2] {
    [0, 1].map(|end| metrics[name][end].as_f64().unwrap_or_else(|| panic!("{name} in {metrics}")))
}

fn worlds() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    world(folder.path(), "train", 1, 4000);
    world(folder.path(), "test", 2, 300);
    folder
}

#[test]
fn bounds_come_close_to_known_information_and_never_pass_it() {
    let folder = worlds();
    let folder = folder.path();
    let entropy = f64::from(BITS) * 2f64.ln();
    let truth = f64::from(TOLD) * 2f64.ln();
    fit(folder, "--condition train-told.npy --updates 1500 -o told");
    fit(folder, "--condition train-noise.npy --updates 1500 -o noise");
    fit(folder, "--updates 1500 -o marginal");
    fit(folder, "--updates 20 -o bad");

    let told = "told test.npy --condition test-told.npy";
    let metrics = measured(folder, &format!("{told} --input-entropy {entropy} --marginal marginal -o l.npy"));
    let [low, high] = interval(&metrics, "mi_lower_bound_nats_interval");
    let bound = number(&metrics, "mi_lower_bound_nats");
    assert!(low <= truth && bound > 0.95 * truth, "{metrics}, I = {truth}");
    assert!(low <= bound && bound <= high && (bound - entropy - number(&metrics, "nce_nats")).abs() < 1e-9);
    let [low, high] = interval(&metrics, "mi_estimate_nats_interval");
    assert!(low - 0.05 * truth < truth && truth < high + 0.05 * truth, "{metrics}");
    let bits = number(&metrics, "bits_per_dimension");
    assert!((bits + number(&metrics, "nce_nats") / (16.0 * 2f64.ln())).abs() < 1e-9, "{metrics}");
    let likelihoods = read::<f64>(&folder.join("l.npy")).unwrap();
    assert_eq!(likelihoods.shape(), [300]);
    assert!((likelihoods.mean().unwrap() - number(&metrics, "nce_nats")).abs() < 1e-9);

    let noise = "noise test.npy --condition test-noise.npy";
    let metrics = measured(folder, &format!("{noise} --input-entropy {entropy}"));
    let [low, high] = interval(&metrics, "mi_lower_bound_nats_interval");
    assert!(low <= 0.0 && high >= 0.0 && low > -0.05 * entropy, "{metrics}");

    // A marginal that fits badly pushes the estimate above what there is to know: it is no bound.
    let metrics = measured(folder, &format!("{told} --marginal bad"));
    assert!(interval(&metrics, "mi_estimate_nats_interval")[0] > 1.5 * truth, "{metrics}");
    assert!(!metrics.as_object().unwrap().keys().any(|name| name.contains("bound")), "{metrics}");

    let metrics = measured(folder, &format!("{told} --against noise --condition2 test-noise.npy"));
    let [low, high] = interval(&metrics, "difference_nats_interval");
    assert!(low < truth && truth < high + 0.1 && low > 0.9 * truth - 0.1, "{metrics}");
    let metrics =
        measured(folder, &format!("{told} --train-images train.npy --train-condition train-told.npy --count 300"));
    let (gap, error) = (number(&metrics, "gap_nats"), number(&metrics, "gap_nats_standard_error"));
    assert!(gap.abs() < 5.0 * error + 0.05, "{metrics}");
}

#[test]
fn what_is_measured_is_the_same_for_any_threads_and_kept() {
    let folder = worlds();
    let folder = folder.path();
    fit(folder, "--condition train-told.npy --updates 3 -o told");
    let words = "told test.npy --condition test-told.npy";
    let first = measured(folder, &format!("{words} -o l.npy"));
    assert_eq!(first, measured(folder, &format!("{words} --threads 1 --force -o l.npy")));
    assert!(run(folder, "mi-bound", &format!("{words} -o l.npy")).succeeds().stderr.contains("fresh"));
    // As version 0.1 named it.
    assert_eq!(first["nce_interval"], first["nce_nats_interval"]);
    assert_ne!(first["nce_interval"], measured(folder, &format!("{words} --seed 1"))["nce_interval"]);
    let half = measured(folder, &format!("{words} --count 150"));
    assert_eq!(half["images"], 150);
}

#[test]
fn parts_join_to_the_whole_and_are_known_to_be_fresh() {
    let folder = worlds();
    let folder = folder.path();
    fit(folder, "--condition train-told.npy --updates 3 -o told");
    let words = "told test.npy --condition test-told.npy";
    let whole = measured(folder, &format!("{words} -o whole.npy"));
    for part in 1..=3 {
        let part = format!("{words} --shard {part}/3 -o part-{part}.npy");
        let said = run(folder, "mi-bound", &format!("{part} --check")).fails(1, &["not fresh", "part-"]);
        assert!(said.stdout.is_empty());
        run(folder, "mi-bound", &part).succeeds();
        run(folder, "mi-bound", &format!("{part} --check")).succeeds();
    }
    run(folder, "npy-cat", "part-1.npy part-2.npy part-3.npy -o joined.npy").succeeds();
    let [whole_bytes, joined] = ["whole.npy", "joined.npy"].map(|name| std::fs::read(folder.join(name)).unwrap());
    assert!(whole_bytes == joined);
    let metrics =
        run(folder, "mi-bound", "joined.npy --estimator log-likelihoods --dimensions 16 --json --quiet").succeeds();
    assert_eq!(whole, serde_json::from_slice::<Value>(&metrics.stdout).unwrap());
    let refused = |words: &str, said: &[&str]| drop(run(folder, "mi-bound", words).fails(2, said));
    refused("told test.npy --condition test-told.npy --shard 1/2", &["--shard", "-o"]);
    refused("told test.npy --condition test-told.npy --shard 1/301 -o l.npy", &["--shard 1/301", "fewer"]);
    refused("told test.npy --condition test-told.npy --check", &["--check", "-o"]);
    refused("test-told.npy --estimator log-likelihoods", &["test-told.npy", "f64"]);
}

#[test]
fn log_likelihoods_that_were_written_are_compared_as_their_models_are() {
    let folder = worlds();
    let folder = folder.path();
    fit(folder, "--condition train-told.npy --updates 3 -o told");
    fit(folder, "--updates 3 -o marginal");
    let direct =
        measured(folder, "told test.npy --condition test-told.npy --marginal marginal --against marginal -o l.npy");
    measured(folder, "marginal test.npy -o m.npy");
    let written = "l.npy --estimator log-likelihoods --dimensions 16";
    assert_eq!(direct, measured(folder, &format!("{written} --marginal m.npy --against m.npy")));
    let refused = |words: &str, said: &[&str]| drop(run(folder, "mi-bound", words).fails(2, said));
    measured(folder, "marginal test.npy --count 150 -o half.npy");
    refused(&format!("{written} --against half.npy"), &["300", "150"]);
    refused(&format!("{written} --against marginal"), &["marginal", "log-likelihoods"]);
}

#[test]
fn estimators_without_a_model_know_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Eight clusters, evenly: log 8 nats.
    let h: Vec<f64> = (0..800).flat_map(|i| [10.0 * f64::from(i % 8), 0.0]).collect();
    write(&folder.join("h.npy"), &[800, 2], &h).unwrap();
    let truth = 8f64.ln();
    let kde = measured(folder, "h.npy --estimator kde --noise-variance 0.01");
    assert!(
        (number(&kde, "kde_upper_nats") - truth).abs() < 1e-9 && (number(&kde, "kde_lower_nats") - truth).abs() < 1e-9
    );
    let bins = measured(folder, "h.npy --estimator binned --bins 100 --squash none --range 0,80");
    assert!((number(&bins, "binned_nats") - truth).abs() < 1e-9, "{bins}");
    let neighbours = measured(folder, "h.npy --estimator neighbours --noise-variance 0.01");
    assert!((number(&neighbours, "neighbours_mi_nats") - truth).abs() < 0.1, "{neighbours}");
    let refused = |words: &str, said: &[&str]| drop(run(folder, "mi-bound", words).fails(2, said));
    refused("h.npy --estimator neighbours", &["distance 0", "--noise-variance"]);
    refused("h.npy --estimator kde", &["--noise-variance"]);
    refused("h.npy --estimator binned --squash none", &["--range"]);
    refused("h.npy --estimator binned --range 0,1", &["--squash none"]);
    refused("h.npy --estimator neighbours --k 800 --noise-variance 1", &["801", "800"]);
    refused("h.npy", &["MODEL", "one path"]);
    refused("h.npy h.npy --estimator kde --noise-variance 1", &["alone"]);
}

#[test]
fn bad_input_is_named() {
    let folder = worlds();
    let folder = folder.path();
    fit(folder, "--condition train-told.npy --updates 1 -o told");
    let refused = |words: &str, said: &[&str]| drop(run(folder, "mi-bound", words).fails(2, said));
    refused("told test.npy", &["told", "--condition"]);
    refused("told test.npy --condition train-told.npy", &["train-told.npy", "300", "4000"]);
    write_images(&folder.join("large.npy"), 300, 1, 8).unwrap();
    refused("told large.npy --condition test-told.npy", &["large.npy", "1 x 4 x 4", "1 x 8 x 8"]);
    let wide = vec![0f32; 900];
    write(&folder.join("wide.npy"), &[300, 3], &wide).unwrap();
    refused("told test.npy --condition wide.npy", &["wide.npy", "[2]", "[3]"]);
    refused("told test.npy --condition test-told.npy --marginal told", &["told", "--condition"]);
    refused("told test.npy --condition test-told.npy --count 301", &["--count", "300"]);
    refused("told test.npy --condition test-told.npy --input-entropy -1", &["--input-entropy"]);
    refused("nothing test.npy", &["nothing"]);
    write(&folder.join("floats.npy"), &[300, 1, 4, 4], &vec![0.5f32; 4800]).unwrap();
    refused("told floats.npy --condition test-told.npy", &["floats.npy", "u8"]);
}
