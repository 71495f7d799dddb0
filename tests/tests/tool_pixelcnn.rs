//! `pixelcnn-fit` and `pixelcnn-sample` by their command lines: what they write, going on after a pause or an interrupt, early
//! stopping, samples that depend on their number alone, completion, what they refuse.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use obverse::store::digest;
use obverse::store::npy::{read, write};
use obverse::tensor::random::Stream;
use obverse_tests::{run, tool, write_images};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with 40 grey images of 8 x 8, vectors and maps for them, and 40 in colour of 7 x 6.
fn files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("grey.npy"), 40, 1, 8).unwrap();
    let draws: Vec<f32> = Stream::new(0, "h", 0).normal(0..40 * 24);
    write(&folder.path().join("vectors.npy"), &[40, 5], &draws[..200]).unwrap();
    write(&folder.path().join("maps.npy"), &[40, 2, 3, 4], &draws).unwrap();
    let bytes: Vec<u8> = Stream::new(0, "x", 0).bits(0..40 * 126).iter().map(|bits| (bits >> 56) as u8).collect();
    write(&folder.path().join("colour.npy"), &[40, 3, 7, 6], &bytes).unwrap();
    folder
}

const SMALL: &str = "--filters 4 --blocks 1 --batch 8 --quiet";

fn metrics(folder: &Path, words: &str) -> Value {
    serde_json::from_slice(&run(folder, "pixelcnn-fit", &format!("{words} --json")).succeeds().stdout).unwrap()
}

/// The bytes of all parameters.
fn parameters(folder: &Path, model: &str) -> String {
    digest::of_folder(&folder.join(model).join("params")).unwrap()
}

#[test]
fn the_loss_falls_for_every_likelihood_and_condition() {
    let folder = files();
    let folder = folder.path();
    for words in [
        "grey.npy",
        "grey.npy --condition vectors.npy --condition-dropout 0.2",
        "grey.npy --condition maps.npy --likelihood mixture --mixtures 2",
        "colour.npy --condition vectors.npy --mixtures 2",
        "colour.npy --condition maps.npy --precision f64 --mixtures 2",
    ] {
        let words = format!("{words} {SMALL} --updates 60 --evaluate-every 10 --dropout 0.1 --force -o model");
        metrics(folder, &words);
        let lines = fs::read_to_string(folder.join("model/metrics.jsonl")).unwrap();
        let losses: Vec<f64> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["train_nll"].as_f64().unwrap())
            .collect();
        assert_eq!(losses.len(), 6, "{words}");
        assert!(losses[5] < 0.95 * losses[0], "{words}: {losses:?}");
    }
}

/// A power of two changes no bit of a number but its size.
#[test]
fn standardised_conditions_are_learned_from_whatever_their_size() {
    let folder = files();
    let folder = folder.path();
    for name in ["vectors", "maps"] {
        let given = read::<f32>(&folder.join(format!("{name}.npy"))).unwrap();
        let large: Vec<f32> = given.iter().map(|value| value * 1024.0).collect();
        write(&folder.join(format!("large-{name}.npy")), given.shape(), &large).unwrap();
        let likelihoods = |condition: &str, how: &str| {
            let fit = format!(
                "grey.npy --condition {condition}.npy --validation grey.npy --validation-condition {condition}.npy"
            );
            run(folder, "pixelcnn-fit", &format!("{fit} {SMALL} --updates 20 --dropout 0 {how} --force -o model"))
                .succeeds();
            let words = format!("model grey.npy --condition {condition}.npy --force --quiet -o l.npy");
            run(folder, "mi-bound", &words).succeeds();
            fs::read(folder.join("l.npy")).unwrap()
        };
        let large = format!("large-{name}");
        assert!(likelihoods(name, "--standardise") == likelihoods(&large, "--standardise"), "{name}");
        assert!(likelihoods(name, "") != likelihoods(&large, ""), "{name}");
    }
}

#[test]
fn a_training_that_paused_or_was_interrupted_ends_with_the_same_bytes_whatever_the_threads() {
    let folder = files();
    let folder = folder.path();
    let common =
        format!("grey.npy --condition vectors.npy --validation grey.npy --validation-condition vectors.npy {SMALL}");
    let words = format!("{common} --updates 37 --evaluate-every 9");
    run(folder, "pixelcnn-fit", &format!("{words} -o whole")).succeeds();
    run(folder, "pixelcnn-fit", &format!("{words} --stop-after 11 --threads 1 -o parts")).succeeds();
    assert!(folder.join("parts.checkpoint").is_dir() && folder.join("parts/pixelcnn.json").is_file());
    assert_ne!(parameters(folder, "parts"), parameters(folder, "whole"));
    let more = run(folder, "pixelcnn-fit", &format!("{} -o parts", words.replace(" --quiet", ""))).succeeds();
    assert!(more.stderr.contains("goes on after update 11"), "{}", more.stderr);
    assert_eq!(parameters(folder, "parts"), parameters(folder, "whole"));
    assert_eq!(
        fs::read_to_string(folder.join("parts/metrics.jsonl")).unwrap(),
        fs::read_to_string(folder.join("whole/metrics.jsonl")).unwrap()
    );
    assert!(!folder.join("parts.checkpoint").exists());
    assert!(
        run(folder, "pixelcnn-fit", &format!("{} -o parts", words.replace(" --quiet", ""))).stderr.contains("fresh")
    );

    let mut command = tool("pixelcnn-fit");
    let words = format!("{common} --updates 300 --checkpoint-minutes 0.01");
    command.args(words.split(' ')).args(["-o", "cut"]).current_dir(folder).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    while !folder.join("cut.checkpoint").is_dir() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    run(folder, "pixelcnn-fit", &format!("{words} -o cut")).succeeds();
    run(folder, "pixelcnn-fit", &format!("{words} -o uncut")).succeeds();
    assert_eq!(parameters(folder, "cut"), parameters(folder, "uncut"));
}

#[test]
fn training_ends_early_when_validation_gets_no_better_and_keeps_the_best() {
    let folder = files();
    let folder = folder.path();
    // Noise has nothing to learn: what is fitted to the first half of it does worse on the second.
    let bytes: Vec<u8> = Stream::new(1, "x", 0).bits(0..80 * 64).iter().map(|bits| (bits >> 56) as u8).collect();
    write(&folder.join("a.npy"), &[40, 8, 8], &bytes[..40 * 64]).unwrap();
    write(&folder.join("b.npy"), &[40, 8, 8], &bytes[40 * 64..]).unwrap();
    let metrics = metrics(
        folder,
        "a.npy --validation b.npy --filters 8 --blocks 1 --batch 8 --quiet --updates 4000 --evaluate-every 20 \
         --patience 60 --polyak 0 --dropout 0 --learning-rate 0.01 -o model",
    );
    let (best, updates) = (metrics["best_update"].as_u64().unwrap(), metrics["updates"].as_u64().unwrap());
    assert!(updates == best + 60 && updates < 4000, "{metrics}");
    let lines = fs::read_to_string(folder.join("model/metrics.jsonl")).unwrap();
    let losses =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["validation_nll"].as_f64().unwrap());
    assert_eq!(metrics["validation_nll"].as_f64(), losses.reduce(f64::min));
}

#[test]
fn a_loss_that_is_no_number_stops_with_the_checkpoint_from_before() {
    let folder = files();
    let folder = folder.path();
    let words = format!("grey.npy {SMALL} --updates 50 --checkpoint-minutes 0 --dropout 0");
    run(folder, "pixelcnn-fit", &format!("{words} --learning-rate 1e38 -o model"))
        .fails(1, &["diverged", "train_nll", "checkpoint"]);
    assert!(!folder.join("model").exists() && folder.join("model.checkpoint").is_dir());
}

#[test]
fn samples_depend_on_seed_and_number_alone_and_completions_keep_their_rows() {
    let folder = files();
    let folder = folder.path();
    run(folder, "pixelcnn-fit", &format!("colour.npy --condition maps.npy --mixtures 2 {SMALL} --updates 3 -o model"))
        .succeeds();
    let sample = |words: &str| {
        run(folder, "pixelcnn-sample", &format!("model --condition maps.npy --quiet {words}")).succeeds();
    };
    sample("-o a.npy");
    let all = read::<u8>(&folder.join("a.npy")).unwrap();
    assert_eq!(all.shape(), [40, 3, 7, 6]);
    sample("--batch 7 --threads 1 -o b.npy");
    assert_eq!(all, read::<u8>(&folder.join("b.npy")).unwrap());
    for part in 1..=3 {
        sample(&format!("--shard {part}/3 -o p{part}.npy"));
    }
    run(folder, "npy-cat", "p1.npy p2.npy p3.npy --quiet -o joined.npy").succeeds();
    assert_eq!(fs::read(folder.join("joined.npy")).unwrap(), fs::read(folder.join("a.npy")).unwrap());
    sample("--seed 1 -o c.npy");
    assert_ne!(all, read::<u8>(&folder.join("c.npy")).unwrap());
    sample("--count 2 -o twice.npy");
    assert_eq!(read::<u8>(&folder.join("twice.npy")).unwrap().shape(), [80, 3, 7, 6]);
    sample("--complete colour.npy --rows-kept 3 -o completed.npy");
    let (completed, given) =
        (read::<u8>(&folder.join("completed.npy")).unwrap(), read::<u8>(&folder.join("colour.npy")).unwrap());
    for ((place, completed), given) in completed.indexed_iter().zip(&given) {
        assert!(place[2] >= 3 || completed == given, "{place:?}");
    }
    assert_ne!(completed, given);
    assert!(run(folder, "pixelcnn-sample", "model --condition maps.npy -o a.npy").succeeds().stderr.contains("fresh"));

    let refused =
        |words: &str, said: &[&str]| drop(run(folder, "pixelcnn-sample", &format!("{words} -o x.npy")).fails(2, said));
    refused("model", &["model", "needs"]);
    refused("model --condition vectors.npy", &["vectors.npy"]);
    refused("model --condition maps.npy --temperature 0", &["--temperature"]);
    refused("model --condition maps.npy --complete grey.npy --rows-kept 2", &["grey.npy", "3 x 7 x 6"]);
    refused("model --condition maps.npy --complete colour.npy --rows-kept 7", &["--rows-kept", "7"]);
    refused("colour.npy --count 2", &["colour.npy"]);
    run(folder, "pixelcnn-fit", &format!("grey.npy {SMALL} --updates 3 -o plain")).succeeds();
    refused("plain --condition vectors.npy", &["plain", "takes none"]);
    run(folder, "pixelcnn-sample", "plain --quiet -o plain.npy").succeeds();
    assert_eq!(read::<u8>(&folder.join("plain.npy")).unwrap().shape(), [16, 1, 8, 8]);
}

#[test]
fn bad_input_is_named() {
    let folder = files();
    let folder = folder.path();
    let refused = |words: &str, said: &[&str]| {
        drop(run(folder, "pixelcnn-fit", &format!("{words} {SMALL} --updates 1 -o x")).fails(2, said));
    };
    let floats: Vec<f32> = vec![0.5; 40 * 64];
    write(&folder.join("floats.npy"), &[40, 1, 8, 8], &floats).unwrap();
    refused("floats.npy", &["floats.npy", "u8"]);
    write(&folder.join("few.npy"), &[39, 5], &floats[..195]).unwrap();
    refused("grey.npy --condition few.npy", &["few.npy", "40 rows", "39"]);
    write(&folder.join("three.npy"), &[40, 5, 2], &floats[..400]).unwrap();
    refused("grey.npy --condition three.npy", &["three.npy", "feature maps"]);
    write(&folder.join("empty.npy"), &[40, 5, 0, 2], &floats[..0]).unwrap();
    refused("grey.npy --condition empty.npy", &["empty.npy"]);
    let mut spoiled = floats[..200].to_vec();
    spoiled[77] = f32::NAN;
    write(&folder.join("nan.npy"), &[40, 5], &spoiled).unwrap();
    refused("grey.npy --condition nan.npy", &["nan.npy", "NaN"]);
    refused("colour.npy --likelihood softmax", &["one channel", "found 3"]);
    refused("grey.npy --dropout 1", &["--dropout", "found 1"]);
    refused("grey.npy --condition maps.npy --condition-dropout 0.1", &["--condition-dropout", "vectors"]);
    refused("grey.npy --validation colour.npy", &["colour.npy", "1 x 8 x 8", "3 x 7 x 6"]);
    refused("grey.npy --condition vectors.npy --validation grey.npy", &["grey.npy", "no condition"]);
    refused("grey.npy --learning-rate 0", &["--learning-rate"]);
    refused("missing.npy", &["missing.npy"]);
    write(&folder.join("none.npy"), &[0, 8, 8], &[0u8; 0]).unwrap();
    refused("none.npy", &["none.npy"]);
    assert!(!folder.join("x").exists());
}
