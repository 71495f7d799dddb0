//! The cache: an output whose sidecar shows the same inputs by content, parameters, seed, tool and version, and which
//! still has its recorded digest, need not be made again.
//!
//! Content decides, not times or names. Digests run at gigabytes a second, so asking costs little beside computing.
//!
//! ```
//! use obverse::store::cache::{Freshness, Wanted, check};
//! let folder = tempfile::tempdir()?;
//! let wanted = Wanted {
//!     tool: "net-tap".into(),
//!     version: "0.1.0".into(),
//!     parameters: Default::default(),
//!     seed: 0,
//!     inputs: Vec::new(),
//! };
//! // What is not there is not fresh.
//! assert!(matches!(check(&folder.path().join("h.npy"), &wanted), Freshness::Stale(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use super::sidecar::{Artifact, SCHEMA, Sidecar};
use super::{digest, is_standard_stream};

/// What a run asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The tool's name.
    pub tool: String,
    /// The tool's version.
    pub version: String,
    /// What the arguments come to; keys that do not change the output are left out.
    pub parameters: Map<String, Value>,
    /// The seed.
    pub seed: u64,
    /// What is read, in order.
    pub inputs: Vec<Artifact>,
}

/// Whether an output is what a run would make.
#[derive(Clone, Debug, PartialEq)]
pub enum Freshness {
    /// It is; its sidecar.
    Fresh(Box<Sidecar>),
    /// It is not, or nobody can tell; a line for each reason, naming the key, the old value and the new one.
    Stale(Vec<String>),
}

/// Holds `output` and its sidecar against what is wanted.
pub fn check(output: &Path, wanted: &Wanted) -> Freshness {
    let Some(path) = Sidecar::path_of(output) else {
        return stale("the output goes through a pipe");
    };
    if wanted.inputs.iter().any(|input| is_standard_stream(Path::new(&input.path))) {
        return stale("an input comes through a pipe");
    }
    let sidecar = match Sidecar::read(&path) {
        Ok(sidecar) => sidecar,
        Err(error) => return Freshness::Stale(vec![format!("no usable sidecar: {error}")]),
    };
    let mut reasons = differences(&sidecar, wanted);
    if reasons.is_empty() {
        // Last, because it reads the whole output.
        match digest::of_path(output) {
            Ok(now) if now == sidecar.output.blake3 => {}
            Ok(now) => reasons.push(changed("output", &sidecar.output.blake3, &now)),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if reasons.is_empty() { Freshness::Fresh(Box::new(sidecar)) } else { Freshness::Stale(reasons) }
}

fn stale(reason: &str) -> Freshness {
    Freshness::Stale(vec![reason.to_owned()])
}

fn changed(key: &str, old: &str, new: &str) -> String {
    format!("{key} changed: {old} -> {new}")
}

fn differences(old: &Sidecar, new: &Wanted) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut compare = |key: &str, old: &str, new: &str| {
        if old != new {
            reasons.push(changed(key, old, new));
        }
    };
    compare("schema", &old.schema, SCHEMA);
    compare("tool", &old.tool, &new.tool);
    compare("version", &old.version, &new.version);
    compare("seed", &old.seed.to_string(), &new.seed.to_string());
    compare("number of inputs", &old.inputs.len().to_string(), &new.inputs.len().to_string());
    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    for key in old.parameters.keys().chain(new.parameters.keys().filter(|key| !old.parameters.contains_key(*key))) {
        compare(key, &shown(old.parameters.get(key)), &shown(new.parameters.get(key)));
    }
    for (old, new) in old.inputs.iter().zip(&new.inputs) {
        compare(&format!("input {}", new.path), &old.blake3, &new.blake3);
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::store::npy;
    use crate::store::sidecar::tests::example;

    struct Case {
        _folder: tempfile::TempDir,
        output: PathBuf,
        wanted: Wanted,
    }

    fn case() -> Case {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in.npy"), folder.path().join("out.npy"));
        let input: Artifact = npy::write(&input, &[1], &[1.0f32]).unwrap().into();
        let written = npy::write(&output, &[1], &[2.0f32]).unwrap().into();
        let sidecar = example(vec![input.clone()], written);
        sidecar.write(&Sidecar::path_of(&output).unwrap()).unwrap();
        let Sidecar { tool, version, parameters, seed, inputs, .. } = sidecar;
        Case { _folder: folder, output, wanted: Wanted { tool, version, parameters, seed, inputs } }
    }

    fn reasons(case: &Case) -> String {
        match check(&case.output, &case.wanted) {
            Freshness::Fresh(_) => String::new(),
            Freshness::Stale(reasons) => reasons.join("\n"),
        }
    }

    #[test]
    fn the_same_run_is_fresh() {
        assert_eq!(reasons(&case()), "");
    }

    #[test]
    fn each_change_is_named_with_old_and_new() {
        let mut case = case();
        case.wanted.parameters.insert("layer".into(), "conv2".into());
        case.wanted.parameters.insert("precision".into(), "f64".into());
        case.wanted.parameters.remove("batch");
        case.wanted.version = "2.0".into();
        case.wanted.seed = 0;
        case.wanted.inputs[0].blake3 = "abc".into();
        let reasons = reasons(&case);
        for expected in [
            "layer changed: \"conv1\" -> \"conv2\"",
            "precision changed: nothing -> \"f64\"",
            "batch changed: 128 -> nothing",
            "version changed: 1.0 -> 2.0",
            "seed changed: 18446744073709551615 -> 0",
            "-> abc",
        ] {
            assert!(reasons.contains(expected), "{expected} in {reasons}");
        }
    }

    #[test]
    fn an_output_that_was_touched_is_stale() {
        let case = case();
        npy::write(&case.output, &[1], &[3.0f32]).unwrap();
        assert!(reasons(&case).contains("output changed"));
        fs::remove_file(&case.output).unwrap();
        assert!(reasons(&case).contains("out.npy"));
    }

    #[test]
    fn a_missing_sidecar_or_a_pipe_is_stale() {
        let mut case = case();
        case.wanted.inputs[0].path = "-".into();
        assert!(reasons(&case).contains("pipe"));
        fs::remove_file(Sidecar::path_of(&case.output).unwrap()).unwrap();
        case.wanted.inputs[0].path = "in.npy".into();
        assert!(reasons(&case).contains("sidecar"));
        case.output = "-".into();
        assert!(reasons(&case).contains("pipe"));
    }
}
