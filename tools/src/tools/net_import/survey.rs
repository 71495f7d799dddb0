//! `--report`: all that stands in the way of an import.

use std::io::Write;
use std::path::Path;

use obverse::net::import::onnx::{Blocker, Options, survey};
use obverse::store;
use obverse::store::onnx::Model;
use serde_json::json;

use crate::{Metrics, Task};

/// Lists what stands in the way of importing `file`.
///
/// # Errors
/// A file that cannot be read, or without one input of a known size.
pub(super) fn run(task: Task, file: &Path, options: &Options, is_json: bool) -> anyhow::Result<()> {
    let blockers = survey(&Model::open(file)?, options)?;
    if !is_json {
        let text = text(file, &blockers);
        std::io::stdout().lock().write_all(text.as_bytes()).map_err(store::Error::write(Path::new("-")))?;
    }
    task.finish_measurement(&Metrics::from_iter([("blockers".to_string(), json!(blockers))]))
}

/// A line for each kind, and what can be done.
fn text(file: &Path, blockers: &[Blocker]) -> String {
    let file = file.display();
    if blockers.is_empty() {
        return format!("{file}: nothing stands in the way\n");
    }
    let line = |of: &Blocker| {
        let more = if of.count == 1 { String::new() } else { format!(" and {} more", of.count - 1) };
        format!("{} \"{}\"{more}: expected {}, found {}\n", of.operation, of.node, of.expected, of.found)
    };
    let lines: String = blockers.iter().map(line).collect();
    let first = &blockers[0].node;
    format!(
        "{lines}{file}: {} kinds of operations stand in the way. `--until NODE` imports what lies before a node, such as one that \"{first}\" \
         reads; exporting for inference, with constants folded, may avoid others.\n",
        blockers.len()
    )
}
