//! Every way to train, from the shell: the variational, adversarial and local modes of `fa-fit`, and `net-fit`.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use obverse::store::npy::{Reader, read, write};
use obverse_tests::{run, tool, write_images};
use serde_json::Value;
use tempfile::TempDir;

/// A tool and its arguments but for the images and the output, and what its folder holds beside `params`.
const TRAININGS: [(&str, &str, &[&str]); 10] = [
    ("fa-fit", "--mode vfa --preset paper", &[]),
    ("fa-fit", "--mode vfa --preset published-code --labels labels.npy --beta 0.5", &[]),
    ("fa-fit", "--mode vfa-gan --preset paper", &["generator", "discriminator"]),
    ("fa-fit", "--mode vfa-gan --preset published-code --labels labels.npy", &["generator", "discriminator"]),
    ("fa-fit", "--mode vfa-gan --discriminator wasserstein --lambda 1", &["generator", "discriminator"]),
    ("fa-fit", "--mode local --start zeros", &[]),
    ("net-fit", "vae", &["decoder"]),
    ("net-fit", "gan", &["discriminator"]),
    ("net-fit", "classifier --labels labels.npy", &[]),
    ("net-fit", "classifier --labels labels.npy --shadow --shadow-start 1 --shadow-attached", &[]),
];

/// 40 images of 8 x 8 in 4 classes.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 40, 1, 8).unwrap();
    let labels: Vec<i64> = (0..40).map(|i| i % 4).collect();
    write(&folder.path().join("labels.npy"), &[40], &labels).unwrap();
    folder
}

/// The arguments of a training, the images after the kind of net-fit.
fn arguments(training: &str, more: &str) -> String {
    let common = format!("--arch mnist --latent 6 --init uniform --batch 16 --quiet {more}");
    match training.split_once(' ') {
        _ if training.starts_with("--") => format!("images.npy {training} {common}"),
        Some((kind, flags)) => format!("{kind} images.npy {flags} {common}"),
        None => format!("{training} images.npy {common}"),
    }
}

/// Every parameter of a network and of those beside it, in order of names.
fn parameters(network: &Path, beside: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in [""].iter().chain(beside) {
        let folder = network.join(folder).join("params");
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty());
        all.extend(
            files.into_iter().map(|path| (path.strip_prefix(network).unwrap().into(), fs::read(&path).unwrap())),
        );
    }
    all
}

#[test]
fn threads_do_not_change_a_byte_of_any_training_and_the_second_run_is_fresh() {
    let folder = folder();
    for (number, (name, training, beside)) in TRAININGS.into_iter().enumerate() {
        for threads in [1, 2] {
            let more = format!("--epochs 2 --threads {threads} -o net{number}-{threads}");
            run(folder.path(), name, &arguments(training, &more)).succeeds();
        }
        let of = |threads: usize| parameters(&folder.path().join(format!("net{number}-{threads}")), beside);
        assert!(of(1) == of(2), "{name} {training}");
        let again = arguments(training, &format!("--epochs 2 -o net{number}-1")).replace("--quiet", "");
        let again = run(folder.path(), name, &again).succeeds();
        assert!(again.stderr.contains("fresh"), "{name} {training}: {}", again.stderr);
    }
}

#[test]
fn any_interrupted_training_goes_on_to_the_same_bytes() {
    let folder = folder();
    for (number, (name, training, beside)) in TRAININGS.into_iter().enumerate() {
        let (whole, stopped) = (format!("whole{number}"), format!("stopped{number}"));
        run(folder.path(), name, &arguments(training, &format!("--epochs 12 -o {whole}"))).succeeds();
        let words = arguments(training, &format!("--epochs 12 -o {stopped}"));
        let mut command = tool(name);
        command
            .args(words.split_whitespace())
            .args(["--checkpoint-minutes", "0"])
            .current_dir(folder.path())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let position = folder.path().join(format!("{stopped}.checkpoint/run.json"));
        while !position.is_file() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "{name} {training}: over before it could be killed");
        run(folder.path(), name, &words).succeeds();
        let of = |network: &str| parameters(&folder.path().join(network), beside);
        assert!(of(&whole) == of(&stopped), "{name} {training}");
    }
}

/// What `net-tap --describe --json` says of a network.
fn description(folder: &Path, network: &str) -> Value {
    let said = run(folder, "net-tap", &format!("{network} --describe --json")).succeeds();
    serde_json::from_slice(&said.stdout).unwrap()
}

#[test]
fn parameter_counts_are_those_of_the_papers_tables() {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("digits.npy"), 10, 1, 28).unwrap();
    let labels: Vec<i64> = (0..10).collect();
    write(&folder.path().join("labels.npy"), &[10], &labels).unwrap();
    let train = |name: &str, words: &str| {
        run(folder.path(), name, &format!("{words} --init uniform --epochs 0 --quiet")).succeeds();
    };
    train("net-fit", "vae digits.npy -o vae");
    assert_eq!(description(folder.path(), "vae")["total_parameters"], 27_404_481);
    assert_eq!(description(folder.path(), "vae")["decoder"]["parameters"], 13_441_505);
    train("fa-fit", "digits.npy --mode vfa-gan --labels labels.npy -o model");
    let model = description(folder.path(), "model");
    assert_eq!(model["parameters"], 14_003_946);
    assert_eq!(model["total_parameters"], 14_164_251);
    train("net-fit", "gan digits.npy -o gan");
    // The table's 13,441,505, and a gain and a bias for each of 4096 + 3136 + 64 + 32 + 32 normalised features.
    assert_eq!(description(folder.path(), "gan")["parameters"], 13_441_505 + 2 * 7360);
}

#[test]
fn samples_and_ways_between_latents_do_not_depend_on_batches_and_shards() {
    let folder = folder();
    let train = arguments(TRAININGS[3].1, "--epochs 1 -o model");
    run(folder.path(), "fa-fit", &train).succeeds();
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let invert = |words: &str| run(folder.path(), "fa-invert", &format!("model {words} --quiet")).succeeds();
    for batch in [1, 5, 128] {
        invert(&format!("--sample 13 --class 0,1,2 --strength 2 --generator --batch {batch} -o s{batch}.npy"));
        assert_eq!(bytes(&format!("s{batch}.npy")), bytes("s1.npy"), "--batch {batch}");
    }
    for shard in 1..=2 {
        invert(&format!("--sample 13 --class 0,1,2 --strength 2 --generator --shard {shard}/2 -o p{shard}.npy"));
    }
    run(folder.path(), "npy-cat", "p1.npy p2.npy -o joined.npy").succeeds();
    assert_eq!(bytes("joined.npy"), bytes("s1.npy"));
    run(folder.path(), "fa-encode", "model images.npy -o z.npy").succeeds();
    invert("z.npy -o all.npy");
    let images = |name: &str| {
        let mut reader = Reader::open(&folder.path().join(name)).unwrap();
        (reader.rows(), reader.read_rows::<f32>(reader.rows()).unwrap())
    };
    let (_, all) = images("all.npy");
    for path in ["linear", "spherical"] {
        invert(&format!("z.npy --interpolate 3,14 --points 5 --path {path} -o way.npy"));
        let (count, way) = images("way.npy");
        assert_eq!(count, 5);
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(&way[..64], &all[3 * 64..4 * 64]) && close(&way[4 * 64..], &all[14 * 64..15 * 64]), "{path}");
    }
    invert("z.npy --interpolate 1,2,3,4 --square --points 3 -o square.npy");
    assert_eq!(images("square.npy").0, 9);
}

#[test]
fn classes_change_along_a_way_as_latents_do() {
    let folder = folder();
    run(folder.path(), "fa-fit", &arguments(TRAININGS[3].1, "--epochs 1 -o model")).succeeds();
    run(folder.path(), "fa-encode", "model images.npy -o z.npy").succeeds();
    let invert = |words: &str| {
        run(folder.path(), "fa-invert", &format!("model z.npy {words} --generator --quiet -o x.npy")).succeeds();
        read::<f32>(&folder.path().join("x.npy")).unwrap().into_raw_vec_and_offset().0
    };
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let all = invert("--labels labels.npy");
    let image = |row: usize| &all[row * 64..(row + 1) * 64];
    // Rows 3 and 14 are of classes 3 and 2.
    let way = invert("--labels labels.npy --interpolate 3,14 --points 3");
    assert!(close(&way[..64], image(3)) && close(&way[128..], image(14)));
    let square = invert("--labels labels.npy --interpolate 1,2,3,4 --square --points 2");
    assert!((0..4).all(|corner| close(&square[corner * 64..], image(corner + 1))));
    // Classes taken in turn stay whole: the middle is of class 1, not half of class 3 and half of class 2.
    let turned = invert("--class 3,1,2 --interpolate 3,14 --points 3");
    assert!(close(&turned[..64], image(3)) && close(&turned[128..], image(14)));
    assert!(!close(&turned[64..128], &way[64..128]));
}

#[test]
fn a_gan_is_searched_and_an_autoencoder_decodes() {
    let folder = folder();
    run(folder.path(), "net-fit", &arguments("gan", "--epochs 3 -o gan")).succeeds();
    let error = |steps: usize| -> f64 {
        run(folder.path(), "fa-encode", &format!("gan images.npy --search {steps} -o z.npy")).succeeds();
        let said = run(folder.path(), "fa-invert", "gan z.npy --compare images.npy --json -o r.npy").succeeds();
        serde_json::from_slice::<Value>(&said.stdout).unwrap()["mse"].as_f64().unwrap()
    };
    let (before, after) = (error(0), error(60));
    assert!(after < before, "a search that finds nothing nearer: {before} {after}");
    run(folder.path(), "net-fit", &arguments("vae", "--epochs 1 -o vae")).succeeds();
    run(folder.path(), "fa-encode", "vae images.npy -o zv.npy").succeeds();
    run(folder.path(), "fa-encode", "vae images.npy --sample -o drawn.npy").succeeds();
    run(folder.path(), "fa-encode", "vae images.npy --log-var -o spread.npy").succeeds();
    run(folder.path(), "fa-invert", "vae drawn.npy -o r2.npy").succeeds();
    assert_ne!(fs::read(folder.path().join("zv.npy")).unwrap(), fs::read(folder.path().join("drawn.npy")).unwrap());
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let folder = folder();
    run(folder.path(), "fa-fit", &arguments("--mode fa", "--epochs 0 -o plain")).succeeds();
    let negative: Vec<i64> = (0..40).map(|i| i - 1).collect();
    write(&folder.path().join("negative.npy"), &[40], &negative).unwrap();
    for (name, words, expected) in [
        ("fa-invert", "plain --sample 3 --generator -o x.npy", "generator"),
        ("fa-invert", "plain --sample 3 --class 1 -o x.npy", "class head"),
        ("net-tap", "plain images.npy --layer z --class 0,6 -o x.npy", "from 0 to 5, found 6"),
        ("net-tap", "plain images.npy --layer z --labels negative.npy -o x.npy", "negative.npy: expected classes"),
        ("fa-encode", "plain images.npy --sample -o x.npy", "variational"),
        ("fa-encode", "plain images.npy --search 3 -o x.npy", "net-fit gan"),
        ("fa-fit", "images.npy --mode vfa --labels negative.npy --latent 4 --quiet -o x", "-1"),
        ("fa-fit", "images.npy --mode regression --quiet -o x", "--targets"),
        ("fa-fit", "images.npy --mode vfa --beta -1 -o x", "--beta"),
        ("net-fit", "classifier images.npy -o x", "--labels"),
    ] {
        let failed = run(folder.path(), name, words);
        assert_eq!(failed.code, Some(2), "{name} {words}: {}", failed.stderr);
        assert!(failed.stderr.contains(expected), "{name} {words}: {}", failed.stderr);
        assert!(!folder.path().join("x").exists() && !folder.path().join("x.npy").exists());
    }
}

#[test]
fn a_training_that_diverges_says_so_and_keeps_its_checkpoint() {
    let folder = folder();
    // Without the perceptual loss the first update is still finite, so there is a checkpoint to keep.
    let words = "images.npy --mode vfa-gan --lambda 0 --clamp none --arch mnist --latent 6 --init uniform --batch 16 --quiet \
        --learning-rate 1e12 --epochs 50 --checkpoint-minutes 0 -o model";
    run(folder.path(), "fa-fit", words).fails(1, &["diverged", "learning rate"]);
    assert!(folder.path().join("model.checkpoint/run.json").is_file());
    assert!(!folder.path().join("model").exists());
}

/// Images that are black but for a square of 3 x 3 in one of 16 places; what is known of them is that place, as a map and, ten times as
/// large, as a vector.
#[test]
fn decoders_learn_dark_images_from_maps_and_from_large_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let lit = |image: usize, pixel: usize| (pixel / 12 / 3, pixel % 12 / 3) == (image % 16 / 4, image % 4);
    let pixels: Vec<u8> = (0..64 * 144).map(|i| 255 * u8::from(lit(i / 144, i % 144))).collect();
    write(&folder.join("dark.npy"), &[64, 1, 12, 12], &pixels).unwrap();
    let places: Vec<f32> = (0..64 * 16).map(|i| f32::from(u8::from(i / 16 % 16 == i % 16))).collect();
    write(&folder.join("maps.npy"), &[64, 1, 4, 4], &places).unwrap();
    let large: Vec<f32> = places.iter().map(|place| 10.0 * place).collect();
    write(&folder.join("vectors.npy"), &[64, 16], &large).unwrap();
    for condition in ["maps", "vectors"] {
        let words = format!(
            "decoder dark.npy --condition {condition}.npy --init he --learning-rate 1e-3 --batch 16 --updates 120 --quiet --json -o {condition}"
        );
        let said: Value = serde_json::from_slice(&run(folder, "net-fit", &words).succeeds().stdout).unwrap();
        // A sixteenth of the pixels is white: black images are off by that.
        let error = said["train_mse"].as_f64().unwrap();
        assert!(error < 0.5 / 16.0, "{condition}: {error}");
    }
}
