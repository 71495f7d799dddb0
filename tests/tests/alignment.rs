//! Feature alignment from the shell: resumption, determinism, pipes, the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use obverse_tests::{run, run_with_input, tool, write_images};
use tempfile::TempDir;

/// An encoder small enough that a run of 800 updates takes a second or two.
const SMALL: &str = r#"{"format": "obverse-net/1", "input": {"shape": [1, 12, 12]}, "nodes": [
    {"name": "conv1", "op": "conv2d", "input": "input", "channels": 8, "kernel": 3, "stride": 2, "padding": 1},
    {"name": "act1", "op": "leaky_relu", "input": "conv1"},
    {"name": "flatten", "op": "flatten", "input": "act1"},
    {"name": "fc1", "op": "linear", "input": "flatten", "features": 64},
    {"name": "act2", "op": "leaky_relu", "input": "fc1"},
    {"name": "z", "op": "linear", "input": "act2", "features": 8}], "outputs": {"z": "z"}}"#;

const FIT: &str = "images.npy --test images.npy --arch small.json --preset published-code --start uniform --epochs 100 \
    --batch 24 --seed 5 --quiet";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 180, 1, 12).unwrap();
    fs::write(folder.path().join("small.json"), SMALL).unwrap();
    folder
}

/// The bytes of every parameter, in order of names.
fn parameters(network: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(network.join("params")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap())).collect()
}

fn fit(folder: &Path, more: &str) -> Child {
    let mut command = tool("fa-fit");
    command.args(FIT.split_whitespace()).args(more.split_whitespace()).current_dir(folder);
    command.stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_training_killed_ten_times_at_random_moments_ends_with_the_same_bytes() {
    let folder = folder();
    // The first run of a tool may build it.
    run(folder.path(), "fa-fit", "--version").succeeds();
    let started = Instant::now();
    run(folder.path(), "fa-fit", &format!("{FIT} -o whole")).succeeds();
    let whole = started.elapsed();
    let moments = obverse::tensor::random::Stream::new(1, "moments", 0).uniform::<f64>(0..10);
    let mut killed = 0;
    for moment in moments {
        let mut child = fit(folder.path(), "--checkpoint-minutes 0.001 -o killed");
        std::thread::sleep(Duration::from_millis(20) + whole.mul_f64(moment / 5.0));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed >= 5, "the run was over before it could be killed: {killed} of 10");
    run(folder.path(), "fa-fit", &format!("{FIT} -o killed")).succeeds();
    assert_eq!(parameters(&folder.path().join("whole")), parameters(&folder.path().join("killed")));
    let left: Vec<_> =
        obverse_tests::names(folder.path()).into_iter().filter(|name| name.contains("partial")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert!(!folder.path().join("killed.checkpoint").exists());
}

#[test]
fn an_interrupted_training_says_130_and_goes_on_to_the_same_bytes() {
    let folder = folder();
    run(folder.path(), "fa-fit", &format!("{FIT} -o whole")).succeeds();
    let mut child = fit(folder.path(), "--checkpoint-minutes 0.001 -o stopped");
    while !folder.path().join("stopped.checkpoint/run.json").is_file() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(folder.path().join("stopped.checkpoint/run.json").is_file());
    assert!(!folder.path().join("stopped").exists());
    run(folder.path(), "fa-fit", &format!("{FIT} -o stopped")).succeeds();
    assert_eq!(parameters(&folder.path().join("whole")), parameters(&folder.path().join("stopped")));
}

#[test]
fn threads_do_not_change_a_byte_of_a_training() {
    let folder = folder();
    write_images(&folder.path().join("digits.npy"), 40, 1, 28).unwrap();
    for threads in [1, 2, 3] {
        let common = format!("--preset published-code --quiet --threads {threads} -o");
        run(folder.path(), "fa-fit", &format!("images.npy --arch small.json --epochs 2 {common} small{threads}"))
            .succeeds();
        let real = format!("digits.npy --latent 16 --init uniform --epochs 2 --batch 16 {common} real{threads}");
        run(folder.path(), "fa-fit", &real).succeeds();
    }
    for name in ["small", "real"] {
        let of = |threads: usize| parameters(&folder.path().join(format!("{name}{threads}")));
        assert_eq!(of(1), of(2), "{name}");
        assert_eq!(of(1), of(3), "{name}");
    }
}

#[test]
fn batches_shards_and_threads_do_not_change_a_byte_of_an_encoding_or_a_recovery() {
    let folder = folder();
    write_images(&folder.path().join("digits.npy"), 150, 1, 28).unwrap();
    run(folder.path(), "fa-fit", "digits.npy --init uniform --epochs 0 --quiet -o encoder").succeeds();
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let whole = |tool: &str, input: &str, name: &str| {
        for batch in [1, 7, 128] {
            let output = format!("{name}-{batch}.npy");
            run(folder.path(), tool, &format!("encoder {input} --batch {batch} --threads 1 --quiet -o {output}"))
                .succeeds();
            assert_eq!(bytes(&output), bytes(&format!("{name}-1.npy")), "{tool} --batch {batch}");
        }
        for shard in 1..=3 {
            run(folder.path(), tool, &format!("encoder {input} --shard {shard}/3 --quiet -o {name}-part{shard}.npy"))
                .succeeds();
        }
        let parts = format!("{name}-part1.npy {name}-part2.npy {name}-part3.npy --quiet -o {name}-joined.npy");
        run(folder.path(), "npy-cat", &parts).succeeds();
        assert_eq!(bytes(&format!("{name}-joined.npy")), bytes(&format!("{name}-1.npy")), "{tool} --shard");
    };
    whole("fa-encode", "digits.npy", "z");
    // The paper's preset starts from random images: each row draws its own.
    whole("fa-invert", "z-1.npy --steps 2 --start uniform", "r");
}

#[test]
fn tools_are_fresh_the_second_time_and_say_why_not() {
    let folder = folder();
    run(folder.path(), "fa-fit", "images.npy --arch small.json --epochs 1 -o encoder").succeeds();
    for (name, arguments) in [
        ("fa-fit", "images.npy --arch small.json --epochs 1 -o encoder"),
        ("fa-encode", "encoder images.npy -o z.npy"),
        ("fa-invert", "encoder z.npy -o r.npy"),
        ("net-tap", "encoder images.npy --layer act1 -o h.npy"),
    ] {
        run(folder.path(), name, arguments).succeeds();
        let again = run(folder.path(), name, arguments).succeeds();
        assert!(again.stderr.contains("fresh"), "{name}: {}", again.stderr);
        let forced = run(folder.path(), name, &format!("{arguments} --force")).succeeds();
        assert!(!forced.stderr.contains("fresh"), "{name}: {}", forced.stderr);
    }
    let changed = run(folder.path(), "fa-invert", "encoder z.npy -o r.npy --steps 3 --explain").succeeds();
    assert!(changed.stderr.contains("recovery"), "{}", changed.stderr);
}

#[test]
fn latents_travel_through_pipes_and_a_closed_pipe_ends_quietly() {
    let folder = folder();
    run(folder.path(), "fa-fit", "images.npy --arch small.json --epochs 1 -o encoder").succeeds();
    run(folder.path(), "fa-encode", "encoder images.npy -o z.npy").succeeds();
    run(folder.path(), "fa-invert", "encoder z.npy -o r.npy").succeeds();
    let images = fs::read(folder.path().join("images.npy")).unwrap();
    let z = run_with_input(folder.path(), "fa-encode", "encoder - -o - --quiet", &images).succeeds();
    assert_eq!(z.stdout, fs::read(folder.path().join("z.npy")).unwrap());
    run_with_input(folder.path(), "fa-invert", "encoder - -o piped.npy", &z.stdout).succeeds();
    assert_eq!(fs::read(folder.path().join("piped.npy")).unwrap(), fs::read(folder.path().join("r.npy")).unwrap());
    let sidecar = fs::read_to_string(folder.path().join("piped.npy.json")).unwrap();
    assert!(sidecar.contains("blake3") && sidecar.contains("\"-\""), "{sidecar}");

    let mut command = tool("fa-invert");
    command.args(["encoder", "z.npy", "-o", "-"]).current_dir(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("error"));
}

#[test]
fn a_recorded_run_is_run_again_to_the_same_bytes() {
    let folder = folder();
    run(folder.path(), "fa-fit", "images.npy --arch small.json --epochs 1 -o encoder").succeeds();
    run(folder.path(), "fa-encode", "encoder images.npy -o z.npy").succeeds();
    let before = fs::read(folder.path().join("z.npy")).unwrap();
    fs::remove_file(folder.path().join("z.npy")).unwrap();
    run(folder.path(), "obverse-again", "z.npy").succeeds();
    assert_eq!(fs::read(folder.path().join("z.npy")).unwrap(), before);
}
