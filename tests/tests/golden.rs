//! Golden digests: whenever a tool makes other bytes of the same request, its number of results must rise, so that outputs made before
//! are not called fresh. `tests/golden.txt` holds, of each kind of processor, the tool, its number, a run's name and its digest.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use obverse::store::sidecar::Sidecar;
use obverse_tests::{assert_kept, checkout, shell};
use serde_json::Value;

/// A tiny run of every tool that makes bytes of its own, in this order; each leaves the output that its name says.
const RUNS: [(&str, &str); 23] = [
    ("shapes", "dataset synth shapes --count 120 --size 16"),
    ("three.npy", "npy-cat shapes/train-images.npy --head 3"),
    ("fa", "fa-fit shapes/train-images.npy --mode vfa --arch clarke --latent 3 --epochs 1"),
    ("z.npy", "fa-encode fa three.npy"),
    ("r.npy", "fa-invert fa z.npy --steps 2"),
    ("net", "net-fit classifier shapes/train-images.npy --labels shapes/train-labels.npy --arch clarke --epochs 1"),
    ("vae", "net-fit vae shapes/train-images.npy --arch clarke --latent 3 --epochs 1"),
    ("h.npy", "net-tap net three.npy --layer act3"),
    ("spectrum.npy", "net-tap net three.npy --spectrum"),
    ("density", "pixelcnn-fit three.npy --filters 4 --blocks 1 --mixtures 2 --updates 2 --batch 2"),
    ("drawn.npy", "pixelcnn-sample density --count 2"),
    ("l.npy", "mi-bound density three.npy"),
    ("near", "nearest three.npy drawn.npy --metric l2"),
    ("features.npy", "fid-score features three.npy --net net --layer act3"),
    ("targets.npy", "ifv-predict sample --features 8 --count 2"),
    ("x.npy", "fv-optimize net --objective class:1 --count 2 --steps 4 --polish 2 --transforms lucid"),
    ("best.npy", "fv-optimize net --objective class:1 --examples three.npy --keep 1"),
    ("grid.png", "npy-view three.npy drawn.npy --columns 3"),
    ("curve.svg", "metric-view l.npy --at A --metric nce_nats --captions a"),
    (
        "theory",
        "shadow-measure theory -n 20 -m 400 -k 3 --vary-n 20,40 --vary-m 400,800 --vary-k 2,4 --vary-rho 0.4,0.8 --repetitions 2 --count 2",
    ),
    (
        "connected",
        "net-fit classifier shapes/train-images.npy --labels shapes/train-labels.npy --arch connected --updates 2",
    ),
    ("act2.npy", "net-tap connected three.npy --layer act2"),
    ("reverse.npy", "fa-invert --reverse connected act2.npy --estimate three.npy"),
];

/// What the runs made: of each name the tool, its number and the digest.
fn made(folder: &Path) -> (String, BTreeMap<String, (String, u32, String)>) {
    let mut processor = String::new();
    let of_run = |(name, command): (&str, &str)| {
        let output = shell(folder, &format!("{command} --quiet -o {name}")).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let sidecar = Sidecar::read(&Sidecar::path_of(&folder.join(name)).unwrap()).unwrap();
        processor = sidecar.circumstances.processor.join("+");
        (name.to_owned(), (sidecar.tool, sidecar.results, sidecar.output.blake3))
    };
    let made = RUNS.into_iter().map(of_run).collect();
    (processor, made)
}

/// A sidecar without what another machine or day makes different: digests, measured numbers, circumstances.
fn interface(mut sidecar: Value) -> String {
    const CIRCUMSTANCES: [&str; 8] =
        ["wall_seconds", "cpu_seconds", "peak_memory_bytes", "date", "device", "processor", "threads", "version"];
    for (key, value) in sidecar.as_object_mut().unwrap() {
        if CIRCUMSTANCES.contains(&key.as_str()) {
            *value = Value::Null;
        }
    }
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    replace(&mut sidecar["metrics"], &|value| value.is_number().then_some("a number"));
    replace(&mut sidecar, &|value| value.as_str().is_some_and(is_digest).then_some("a digest"));
    serde_json::to_string_pretty(&sidecar).unwrap() + "\n"
}

/// Puts words in the place of values, however deep they lie.
fn replace(value: &mut Value, by: &impl Fn(&Value) -> Option<&'static str>) {
    if let Some(words) = by(value) {
        *value = words.into();
    }
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, by)),
        Value::Object(fields) => fields.values_mut().for_each(|value| replace(value, by)),
        _ => {}
    }
}

#[test]
fn a_tool_that_makes_other_bytes_has_another_number_of_results() {
    let folder = tempfile::tempdir().unwrap();
    let (processor, made) = made(folder.path());
    let lines: String = made
        .iter()
        .map(|(name, (tool, results, digest))| format!("{processor} {tool} {results} {name} {digest}\n"))
        .collect();
    for (name, _) in RUNS {
        let sidecar = fs::read(Sidecar::path_of(&folder.path().join(name)).unwrap()).unwrap();
        assert_kept(
            &format!("tests/snapshots/sidecars/{name}.json"),
            &interface(serde_json::from_slice(&sidecar).unwrap()),
        );
    }
    let golden = fs::read_to_string(checkout().join("tests/golden.txt")).unwrap();
    let known: Vec<Vec<&str>> = golden.lines().map(|line| line.split(' ').collect()).collect();
    let known: Vec<_> = known.iter().filter(|line| line[0] == processor).collect();
    if known.is_empty() {
        // No digests of such a processor yet. What must hold on any: a second time everything comes out the same.
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(self::made(folder.path()).1, made, "the same requests made other bytes");
        return;
    }
    for (name, (tool, results, digest)) in &made {
        let Some(line) = known.iter().find(|line| line[3] == name) else {
            panic!("tests/golden.txt: no {name}; it should hold\n{lines}");
        };
        let same = line[4] == digest;
        let number = results.to_string();
        assert!(
            same || line[2] != number,
            "{tool} makes other bytes of {name} than before: raise its `results` in tools/src/lib.rs, and let tests/golden.txt hold\n{lines}"
        );
        assert!(same && line[2] == number, "tests/golden.txt should hold\n{lines}");
    }
}
