//! Every binary answers `--help` and `--version`. That cargo builds the binaries for this test is what the tests of whole
//! tools, in a crate of their own, rely on.

use std::process::Command;

const BINARIES: &[(&str, &str)] = &[
    ("dataset", env!("CARGO_BIN_EXE_dataset")),
    ("fa-encode", env!("CARGO_BIN_EXE_fa-encode")),
    ("fa-fit", env!("CARGO_BIN_EXE_fa-fit")),
    ("fa-invert", env!("CARGO_BIN_EXE_fa-invert")),
    ("fid-score", env!("CARGO_BIN_EXE_fid-score")),
    ("fv-optimize", env!("CARGO_BIN_EXE_fv-optimize")),
    ("ifv-predict", env!("CARGO_BIN_EXE_ifv-predict")),
    ("metric-view", env!("CARGO_BIN_EXE_metric-view")),
    ("mi-bound", env!("CARGO_BIN_EXE_mi-bound")),
    ("nearest", env!("CARGO_BIN_EXE_nearest")),
    ("net-fit", env!("CARGO_BIN_EXE_net-fit")),
    ("net-import", env!("CARGO_BIN_EXE_net-import")),
    ("net-tap", env!("CARGO_BIN_EXE_net-tap")),
    ("npy-cat", env!("CARGO_BIN_EXE_npy-cat")),
    ("npy-view", env!("CARGO_BIN_EXE_npy-view")),
    ("obverse-again", env!("CARGO_BIN_EXE_obverse-again")),
    ("obverse-manual", env!("CARGO_BIN_EXE_obverse-manual")),
    ("pixelcnn-fit", env!("CARGO_BIN_EXE_pixelcnn-fit")),
    ("pixelcnn-sample", env!("CARGO_BIN_EXE_pixelcnn-sample")),
    ("shadow-measure", env!("CARGO_BIN_EXE_shadow-measure")),
];

#[test]
fn every_tool_has_a_manual_and_a_version() {
    for (name, path) in BINARIES {
        for (flag, expected) in [("--help", "Usage:"), ("--version", env!("CARGO_PKG_VERSION"))] {
            let output = Command::new(path).arg(flag).output().expect("the binary starts");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{name} {flag}");
            assert!(said.contains(expected) && said.contains(name), "{name} {flag}: {said}");
        }
    }
}
