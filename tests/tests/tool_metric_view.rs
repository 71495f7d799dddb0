//! `metric-view` by its command line: trainings over epochs, outputs over places, intervals, what is refused.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use obverse::store::npy::write;
use obverse_tests::run;
use serde_json::Value;

fn said(folder: &Path, words: &str) -> Value {
    let output = run(folder, "metric-view", &format!("{words} --json --quiet")).succeeds();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(folder: &Path, words: &str, expected: &[&str]) {
    drop(run(folder, "metric-view", words).fails(2, expected));
    assert!(!folder.join("x.svg").exists());
}

#[test]
fn curves_over_epochs_have_means_and_differences_over_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let training = |name: &str, accuracies: [f64; 2]| {
        fs::create_dir(folder.join(name)).unwrap();
        let lines = accuracies.map(|accuracy| format!("{{\"epoch\":1,\"test_accuracy\":{accuracy}}}\n")).concat();
        fs::write(folder.join(name).join("metrics.jsonl"), lines).unwrap();
    };
    training("a0", [0.5, 0.75]);
    training("a1", [0.5, 0.25]);
    training("b0", [0.75, 1.0]);
    training("b1", [0.75, 0.75]);
    let said = said(folder, "a0 a1 b0 b1 --each 2 --captions a,b --error --title errors -o errors.svg");
    let [a, b] = [&said["groups"][0], &said["groups"][1]];
    assert_eq!((a["mean"].as_f64(), b["mean"].as_f64()), (Some(0.5), Some(0.125)));
    assert_eq!((&a["at"], &b["name"]), (&Value::from(2), &Value::from("b")));
    // Differences of -0.25 and -0.5, t of one degree of freedom.
    assert_eq!(b["from_first"].as_f64(), Some(-0.375));
    let half = |group: &Value, name: &str| {
        let end = |place: usize| group[format!("{name}_interval")][place].as_f64().unwrap();
        (end(1) - end(0)) / 2.0
    };
    assert!((half(b, "from_first") - 12.7062 * 0.125).abs() < 1e-3, "{said}");
    assert!(fs::read_to_string(folder.join("errors.svg")).unwrap().contains("1 - test_accuracy"));
    refused(folder, "a0 a1 b0 --each 2 -o x.svg", &["--each", "found 3"]);
    refused(folder, "a0 b0 --captions a -o x.svg", &["--captions"]);
    refused(folder, "a0 --metric nothing -o x.svg", &["metrics.jsonl", "line 1", "nothing", "test_accuracy"]);
    refused(folder, "a0 nowhere -o x.svg", &["nowhere"]);
    refused(folder, "a0 -o x.gif", &[".png or .svg"]);
    fs::write(folder.join("b1/metrics.jsonl"), "{\"epoch\":").unwrap();
    refused(folder, "b1 -o x.svg", &["b1/metrics.jsonl", "metrics an epoch"]);
}

#[test]
fn curves_over_places_have_the_intervals_of_their_sidecars() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Sidecars of log-likelihoods as mi-bound writes them, with numbers of our own.
    let output = |name: &str, nce: f64, half: f64| {
        write(&folder.join("values.npy"), &[2, 1], &[0.0f32, 1.0]).unwrap();
        run(folder, "npy-cat", &format!("values.npy --quiet -o {name}.npy")).succeeds();
        let path = folder.join(format!("{name}.npy.json"));
        let mut sidecar: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        sidecar["metrics"]["nce_nats"] = nce.into();
        sidecar["metrics"]["nce_nats_interval"] = vec![nce - half, nce + half].into();
        fs::write(&path, sidecar.to_string()).unwrap();
    };
    output("conv", -500.0, 4.0);
    output("fc", -600.0, 5.0);
    output("conv-b", -400.0, 2.0);
    output("fc-b", -460.0, 3.0);
    let words = "conv.npy fc.npy conv-b.npy fc-b.npy --metric nce_nats --at CONV,FC --captions a,b";
    let plain = said(folder, &format!("{words} -o nce.svg"));
    let place = |said: &Value, number: usize, name: &str| said["groups"][number][name].as_f64();
    assert_eq!(plain["groups"][1]["mean_interval"], serde_json::json!([-605.0, -595.0]));
    assert_eq!((place(&plain, 3, "from_first"), &plain["groups"][3]["at"]), (Some(140.0), &Value::from("FC")));
    // Of a single seed nothing is known.
    assert!(plain["groups"][3].get("from_first_interval").is_none(), "{plain}");
    let svg = fs::read_to_string(folder.join("nce.svg")).unwrap();
    assert!([">\nCONV\n<", ">\nFC\n<", "nce_nats"].iter().all(|text| svg.contains(text)), "{svg}");
    let relative = said(folder, &format!("{words} --relative -o relative.png"));
    assert_eq!(place(&relative, 1, "mean"), Some(-1.2));
    assert_eq!(relative["groups"][1]["mean_interval"], serde_json::json!([-1.21, -1.19]));
    assert_eq!(place(&relative, 3, "mean"), Some(-1.15));
    let seeds = said(folder, "conv.npy conv-b.npy --metric nce_nats --each 2 --at CONV -o seeds.svg");
    assert_eq!(place(&seeds, 0, "mean"), Some(-450.0));
    let [low, high] = [0, 1].map(|end: usize| seeds["groups"][0]["mean_interval"][end].as_f64().unwrap());
    assert!(((high - low) / 2.0 - 12.7062 * 50.0).abs() < 0.1, "{seeds}");
    refused(folder, "conv.npy fc.npy conv-b.npy --at CONV,FC -o x.svg", &["--at", "found 3"]);
    refused(folder, "conv.npy --metric bits --at CONV -o x.svg", &["conv.npy.json", "\"bits\"", "nce_nats"]);
    refused(folder, "conv.npy --metric nce_nats --relative -o x.svg", &["--at"]);
    refused(folder, "conv.npy -o x.svg", &["conv.npy"]);
}
