//! `fv-optimize` by its command line: what it writes, what does not change its bytes, going on after an interrupt, searches, and
//! what it refuses.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use obverse::store::npy::{Reader, read, write};
use obverse_tests::{run, tool, write_images};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a small classifier, an autoencoder and their images, 16 x 16 RGB.
fn networks() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 40, 3, 16).unwrap();
    write(&folder.path().join("labels.npy"), &[40], &(0..40).map(|row| row % 5).collect::<Vec<i64>>()).unwrap();
    let run = |words: &str| run(folder.path(), "net-fit", words).succeeds();
    run("classifier images.npy --labels labels.npy --arch clarke --init he --epochs 1 --quiet -o net");
    run("autoencoder images.npy --arch clarke --latent 6 --init he --epochs 1 --quiet -o ae");
    folder
}

fn bytes(folder: &Path, names: [&str; 3]) -> Vec<Vec<u8>> {
    names.iter().map(|name| fs::read(folder.join(name)).unwrap()).collect()
}

fn metrics(folder: &Path, words: &str) -> Value {
    serde_json::from_slice(&run(folder, "fv-optimize", &format!("{words} --json --quiet")).succeeds().stdout).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

const THREE: [&str; 3] = ["a.npy", "a.parameters.npy", "a.trace.npy"];

#[test]
fn ascent_raises_the_objective_and_its_bytes_depend_on_neither_threads_nor_batches_nor_shards() {
    let folder = networks();
    let folder = folder.path();
    fs::write(folder.join("o.txt"), "class:1\n# a comment\nchannel:act3:2 - 0.1*tv\n\nneuron:fc1:7\n").unwrap();
    for kind in ["clamped", "sigmoid", "fourier", "fourier-flat", "cppn", "maco --spectrum-of images.npy"] {
        let common = format!(
            "net --objectives o.txt --count 2 --parameterisation {kind} --transforms lucid --steps 6 --polish 2"
        );
        run(folder, "fv-optimize", &format!("{common} --quiet -o a.npy")).succeeds();
        assert_eq!(Reader::open(&folder.join("a.trace.npy")).unwrap().shape(), [6, 8, 2], "{kind}");
        assert_eq!(Reader::open(&folder.join("a.npy")).unwrap().shape(), [6, 3, 16, 16]);
        // Without transforms every step sees the same landscape.
        let words =
            format!("net --objectives o.txt --parameterisation {kind} --steps 40 --learning-rate 0.003 -o up.npy");
        let reached = numbers(&metrics(folder, &words)["objective"]);
        let trace = read::<f32>(&folder.join("up.trace.npy")).unwrap();
        for (image, reached) in reached.into_iter().enumerate() {
            let from = f64::from(trace[[image, 0, 0]]);
            assert!(reached > from, "{kind} {image}: {reached} from {from}");
        }
        fs::remove_file(folder.join("up.npy")).unwrap();
        let pixels = read::<f32>(&folder.join("a.npy")).unwrap();
        assert!(pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)), "{kind}");
        let first = bytes(folder, THREE);
        run(folder, "fv-optimize", &format!("{common} --threads 1 --batch 4 --quiet --force -o a.npy")).succeeds();
        assert!(first == bytes(folder, THREE), "{kind}: threads or batches change bytes");
        for part in 1..=2 {
            run(folder, "fv-optimize", &format!("{common} --shard {part}/2 --quiet -o p{part}.npy")).succeeds();
        }
        run(folder, "npy-cat", "p1.npy p2.npy --force --quiet -o joined.npy").succeeds();
        assert_eq!(fs::read(folder.join("joined.npy")).unwrap(), first[0], "{kind}: shards change bytes");
        fs::remove_file(folder.join("p1.npy")).unwrap();
        fs::remove_file(folder.join("p2.npy")).unwrap();
    }
    let again = run(folder, "fv-optimize", "net --objective class:1 --steps 3 -o b.npy").succeeds();
    assert!(!again.stderr.contains("fresh"));
    assert!(
        run(folder, "fv-optimize", "net --objective class:1 --steps 3 -o b.npy").succeeds().stderr.contains("fresh")
    );
    fs::remove_file(folder.join("b.trace.npy")).unwrap();
    assert!(
        !run(folder, "fv-optimize", "net --objective class:1 --steps 3 -o b.npy").succeeds().stderr.contains("fresh")
    );
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let folder = networks();
    let folder = folder.path();
    let words = "net --objective class:2 --count 3 --batch 2 --transforms clarke --steps 400 --quiet";
    run(folder, "fv-optimize", &format!("{words} -o a.npy")).succeeds();
    let whole = bytes(folder, THREE);
    let mut command = tool("fv-optimize");
    command.args(words.split(' ')).args(["-o", "b.npy"]).current_dir(folder).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    while !folder.join("b.npy.checkpoint").is_dir() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(50));
    let _ = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    let code = child.wait().unwrap().code();
    assert!(code == Some(130) || code == Some(0), "{code:?}");
    assert_eq!(folder.join("b.npy").exists(), code == Some(0));
    run(folder, "fv-optimize", &format!("{words} -o b.npy")).succeeds();
    assert!(whole == bytes(folder, ["b.npy", "b.parameters.npy", "b.trace.npy"]));
    assert!(!folder.join("b.npy.checkpoint").exists());
    // A checkpoint after every step replaces the one before.
    let words = "net --objective class:2 --count 3 --batch 2 --transforms clarke --steps 20 --quiet";
    run(folder, "fv-optimize", &format!("{words} -o c.npy")).succeeds();
    run(folder, "fv-optimize", &format!("{words} --checkpoint-minutes 0 -o d.npy")).succeeds();
    let names = |stem: &str| [format!("{stem}.npy"), format!("{stem}.parameters.npy"), format!("{stem}.trace.npy")];
    let [often, once] = ["c", "d"].map(|stem| bytes(folder, names(stem).each_ref().map(String::as_str)));
    assert!(often == once);
}

#[test]
fn searches_and_examples_keep_the_best_and_parameters_make_the_images_again() {
    let folder = networks();
    let folder = folder.path();
    run(folder, "fa-encode", "ae images.npy --quiet -o z.npy").succeeds();
    let search = "net --objective class:1 --objective channel:act3:0 --decoder ae --search 300 --box z.npy --keep 4";
    let found = metrics(folder, &format!("{search} -o s.npy"));
    for values in found["objective"].as_array().unwrap() {
        assert!(numbers(values).windows(2).all(|pair| pair[0] >= pair[1]), "{found}");
    }
    assert_eq!(found, metrics(folder, &format!("{search} --batch 7 --threads 1 --force -o s.npy")));
    run(folder, "fa-invert", "ae s.parameters.npy --quiet -o again.npy").succeeds();
    assert_eq!(fs::read(folder.join("again.npy")).unwrap(), fs::read(folder.join("s.npy")).unwrap());
    let ranked = metrics(folder, "net --objective class:1 --examples images.npy --keep 40 -o e.npy");
    let mut candidates: Vec<u64> =
        ranked["candidate"][0].as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect();
    candidates.sort_unstable();
    assert_eq!(candidates, (0..40).collect::<Vec<_>>());
    // Ascent in the latents starts where it is told, and goes up.
    let words =
        "net --objective class:1 --count 4 --decoder ae --start s4.npy --steps 20 --learning-rate 0.01 -o up.npy";
    run(folder, "npy-cat", "s.parameters.npy --rows 0..4 --quiet -o s4.npy").succeeds();
    let up = numbers(&metrics(folder, words)["objective"]);
    assert!(up.iter().zip(numbers(&found["objective"][0])).all(|(up, from)| *up >= from), "{up:?} {found}");
}

#[test]
fn targets_report_their_cosines() {
    let folder = networks();
    let folder = folder.path();
    write(&folder.join("t.npy"), &[3, 4], &[1.0f32, 0.0, 0.0, 0.5, 0.0, 1.0, 0.2, 0.0, 0.1, 0.1, 0.1, 1.0]).unwrap();
    let start = metrics(folder, "net --objective targets:conv4:t.npy --steps 0 -o s.npy");
    let end = metrics(folder, "net --objective targets:conv4:t.npy --steps 200 --polish 20 -o e.npy");
    assert_eq!(numbers(&end["start_gradient_norm"]), numbers(&start["gradient_norm"]));
    assert_eq!(numbers(&end["share_without_gradient"]), [0.0; 3]);
    let (start, end) = (numbers(&start["cosine"]), numbers(&end["cosine"]));
    assert!(
        start.iter().zip(&end).all(|(start, end)| end > start) && end.iter().all(|&cosine| cosine > 0.5),
        "{start:?} {end:?}"
    );
}

#[test]
fn bad_input_is_named() {
    let folder = networks();
    let folder = folder.path();
    let refused =
        |words: &str, said: &[&str]| drop(run(folder, "fv-optimize", &format!("{words} -o x.npy")).fails(2, said));
    refused("net --objective channel:act33:0", &["act33", "act3"]);
    refused("net --objective channel:act3:16", &["act3", "below 16", "found 16"]);
    refused("net --objective class:5", &["below 5"]);
    refused("net --objective chanel:act3:1", &["chanel"]);
    refused("net --objective class:1 --transforms turn:3", &["--transforms"]);
    refused("net --objective class:1 --parameterisation maco", &["--spectrum-of"]);
    refused("net --objective class:1 --decoder net", &["image"]);
    run(folder, "net-fit", "autoencoder grey.npy --arch clarke --epochs 0 --quiet -o other").fails(2, &["grey.npy"]);
    write_images(&folder.join("grey.npy"), 4, 1, 16).unwrap();
    run(folder, "net-fit", "autoencoder grey.npy --arch clarke --latent 6 --init he --epochs 0 --quiet -o grey")
        .succeeds();
    refused("net --objective class:1 --decoder grey", &["3 channels", "1x16x16"]);
    write(&folder.join("nan.npy"), &[1, 2], &[f32::NAN, 1.0]).unwrap();
    refused("net --objective targets:conv4:nan.npy", &["nan.npy", "NaN"]);
    refused("net --objective class:1 --start nan.npy", &["nan.npy", "768"]);
    refused("net --objective diversity:act3 --count 4 --batch 2", &["diversity"]);
    assert!(!folder.join("x.npy").exists());
}
