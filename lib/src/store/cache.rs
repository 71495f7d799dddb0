//! The cache: an output need not be made again if its sidecar shows the same tool and request and the same inputs by argument and
//! content, and if it and the files beside it still have their recorded digests.
//!
//! Content decides, not times or names of files. Digests run at gigabytes per second, so checking costs little compared with computing.
//!
//! ```
//! use obverse::store::cache::{Freshness, Wanted, check};
//! let folder = tempfile::tempdir()?;
//! let wanted = Wanted {
//!     tool: "net-tap".into(),
//!     ..Wanted::default()
//! };
//! // What is not there is not fresh.
//! assert!(matches!(check(&folder.path().join("h.npy"), &wanted), Freshness::Stale(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use super::is_standard_stream;
pub use super::sidecar::damage;
use super::sidecar::{Artifact, SCHEMA, Sidecar, changed};

/// What a run asks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The tool's name.
    pub tool: String,
    /// The number that the tool raises whenever the same request gives other bytes.
    pub results: u32,
    /// The values of the arguments as typed, without those that change nothing.
    pub request: Map<String, Value>,
    /// Those of them that are defaults: an output made before the argument existed was made with its default.
    pub defaults: Map<String, Value>,
    /// Values that presets, defaults and the files themselves decide.
    pub resolved: Map<String, Value>,
    /// The inputs, in order.
    pub inputs: Vec<Artifact>,
}

/// Whether an output is the one that a run would make.
#[derive(Clone, Debug, PartialEq)]
pub enum Freshness {
    /// It is; with its sidecar.
    Fresh(Box<Sidecar>),
    /// It is not, or cannot be told; one line per reason, with the key, the old value and the new one.
    Stale(Vec<String>),
}

/// Compares `output` and its sidecar with what is wanted.
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
        reasons.extend(damage(output, &sidecar));
    }
    if reasons.is_empty() { Freshness::Fresh(Box::new(sidecar)) } else { Freshness::Stale(reasons) }
}

fn stale(reason: &str) -> Freshness {
    Freshness::Stale(vec![reason.to_owned()])
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
    compare("results of the tool", &old.results.to_string(), &new.results.to_string());
    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    for key in keys(&old.request, &new.request) {
        let before = old.request.get(key).or_else(|| new.defaults.get(key));
        compare(key, &shown(before), &shown(new.request.get(key)));
    }
    for key in keys(&old.resolved, &new.resolved) {
        compare(key, &shown(old.resolved.get(key)), &shown(new.resolved.get(key)));
    }
    let argument = |input: &Artifact| input.argument.clone().unwrap_or_default();
    let named = |inputs: &[Artifact]| inputs.iter().map(argument).collect::<Vec<_>>().join(" ");
    compare("inputs", &named(&old.inputs), &named(&new.inputs));
    for (old, new) in old.inputs.iter().zip(&new.inputs) {
        compare(&format!("input {}", new.path), &old.blake3, &new.blake3);
    }
    reasons
}

/// The keys of both, each once.
fn keys<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> impl Iterator<Item = &'a String> {
    old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)))
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
        let Sidecar { tool, results, request, resolved, inputs, .. } = sidecar;
        let wanted = Wanted { tool, results, request, resolved, inputs, ..Wanted::default() };
        Case { _folder: folder, output, wanted }
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
        case.wanted.request.insert("layer".into(), "conv2".into());
        case.wanted.resolved.insert("precision".into(), "f64".into());
        case.wanted.request.remove("batch");
        case.wanted.results = 2;
        case.wanted.inputs[0].blake3 = "abc".into();
        let reasons = reasons(&case);
        for expected in [
            "layer changed: \"conv1\" -> \"conv2\"",
            "precision changed: nothing -> \"f64\"",
            "batch changed: 128 -> nothing",
            "results of the tool changed: 1 -> 2",
            "-> abc",
        ] {
            assert!(reasons.contains(expected), "{expected} in {reasons}");
        }
    }

    #[test]
    fn an_argument_that_came_later_stales_nothing_at_its_default() {
        let mut case = case();
        case.wanted.request.insert("power".into(), 3.into());
        assert!(reasons(&case).contains("power changed: nothing -> 3"));
        case.wanted.defaults.insert("power".into(), 3.into());
        assert_eq!(reasons(&case), "");
    }

    #[test]
    fn the_same_file_under_another_argument_is_another_request() {
        let mut case = case();
        case.wanted.inputs[0].argument = Some("validation".into());
        assert!(reasons(&case).contains("inputs changed"), "{}", reasons(&case));
    }

    #[test]
    fn what_lies_beside_an_output_is_held_against_its_digest() {
        let case = case();
        let (path, beside) = (Sidecar::path_of(&case.output).unwrap(), case.output.with_file_name("out.trace.npy"));
        let companion: Artifact = npy::write(&beside, &[1], &[5.0f32]).unwrap().into();
        let sidecar = Sidecar { companions: vec![companion], ..Sidecar::read(&path).unwrap() };
        sidecar.write(&path).unwrap();
        assert_eq!(reasons(&case), "");
        fs::write(&beside, "garbage").unwrap();
        assert!(reasons(&case).contains("out.trace.npy changed"), "{}", reasons(&case));
        fs::remove_file(&beside).unwrap();
        assert!(reasons(&case).contains("out.trace.npy"));
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
