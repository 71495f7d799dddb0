//! Devices and pipes without a writer in the place of every file that a tool reads: one line, exit 2, at once.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};

use obverse_tests::shell;

/// Runs whose inputs stand in braces; the first ones make what others read.
const MADE: [&str; 8] = [
    "dataset synth shapes --count 120 --size 16 --quiet -o shapes",
    "npy-cat shapes/train-images.npy --head 12 --quiet -o x.npy",
    "npy-cat shapes/train-labels.npy --head 12 --quiet -o y.npy",
    "net-fit classifier x.npy --labels y.npy --arch clarke --updates 1 --quiet -o net",
    "fa-fit x.npy --arch clarke --latent 3 --updates 1 --quiet -o fa",
    "fa-encode fa x.npy --quiet -o z.npy",
    "pixelcnn-fit x.npy --condition z.npy --filters 4 --blocks 1 --mixtures 2 --updates 1 --batch 2 --quiet -o density",
    "mi-bound density x.npy --condition z.npy --quiet -o l.npy",
];

const RUNS: [&str; 25] = [
    "dataset info {shapes}",
    "dataset import {shapes} -o out",
    "dataset affine {shapes} -o out",
    "npy-cat {x.npy} {x.npy} -o out.npy",
    "npy-view {x.npy} --labels {y.npy} --class-names {dataset.json} -o out.png",
    "fa-fit {x.npy} --labels {y.npy} --arch {net.json} --test {x.npy} --test-labels {y.npy} --updates 1 -o out",
    "fa-encode {fa} {x.npy} -o out.npy",
    "fa-invert {fa} {z.npy} --compare {x.npy} -o out.npy",
    "fa-invert --reverse {fa} {z.npy} --estimate {x.npy} -o out.npy",
    "net-fit classifier {x.npy} --labels {y.npy} --test {x.npy} --test-labels {y.npy} --arch {net.json} -o out",
    "net-fit decoder {x.npy} --condition {z.npy} --test {x.npy} --test-condition {z.npy} -o out",
    "net-tap {net} {x.npy} --layer act3 --labels {y.npy} -o out.npy",
    "net-import {model.safetensors} --arch resnet20 -o out",
    "net-import {model.onnx} -o out",
    "nearest {x.npy} {x.npy} --metric l2 --gather {x.npy} -o out",
    "fid-score {x.npy} {x.npy} --net {net} --layer act3 --no-cache",
    "fid-score merge {a.npz} {b.npz} -o out.npz",
    "fv-optimize {net} --objectives {lines.txt} --start-images {x.npy} -o out.npy",
    "fv-optimize {net} --objective direction:act3:{f.npy} -o out.npy",
    "ifv-predict {net} {x.npy} --layer act3 --targets {x.npy} --critical-space {x.npy} -o out.npy",
    "pixelcnn-fit {x.npy} --condition {z.npy} --validation {x.npy} --validation-condition {z.npy} -o out",
    "pixelcnn-sample {density} --condition {z.npy} --complete {x.npy} --rows-kept 3 -o out.npy",
    "mi-bound {density} {x.npy} --condition {z.npy} --marginal {density} -o out.npy",
    "report {shapes} --claims {claims.toml} -o out.html",
    "metric-view {l.npy} --at A --metric nce_nats -o out.svg",
];

/// The runs with one input replaced, and what it was.
fn replaced(run: &str, by: &str) -> Vec<(String, String)> {
    let places: Vec<_> = run.match_indices('{').map(|(place, _)| place).collect();
    let one = |&place: &usize| {
        let end = place + run[place..].find('}').unwrap();
        let command = format!("{}{by}{}", &run[..place], &run[end + 1..]).replace(['{', '}'], "");
        (command, run[place + 1..end].to_owned())
    };
    places.iter().map(one).collect()
}

#[test]
fn no_reader_waits_for_a_device_or_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for command in MADE {
        assert!(shell(path, command).status().unwrap().success(), "{command}");
    }
    fs::copy(path.join("shapes/dataset.json"), path.join("dataset.json")).unwrap();
    fs::copy(path.join("net/net.json"), path.join("net.json")).unwrap();
    fs::write(path.join("lines.txt"), "class:1\n").unwrap();
    assert!(shell(path, "mkfifo fifo").status().unwrap().success());
    let before = obverse_tests::names(path);
    for run in RUNS {
        for device in ["/dev/zero", "fifo"] {
            for (command, was) in replaced(run, device) {
                let started = Instant::now();
                let output = shell(path, &format!("timeout 10 {command}")).output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(2), "{command}, for {was}: {said}");
                assert_eq!(said.lines().count(), 1, "{command}, for {was}: {said}");
                assert!(started.elapsed() < Duration::from_secs(5), "{command}, for {was}: {:?}", started.elapsed());
            }
        }
    }
    assert_eq!(obverse_tests::names(path), before);
}
