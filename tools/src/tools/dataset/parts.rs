//! The parts of a dataset, written into its folder.

use std::path::Path;

use anyhow::Context;
use obverse::data::import::file_name;
use obverse::data::output::{self, Description};
use obverse::data::{Images, Part};

use crate::folder::folder_at;
use crate::{Metrics, Progress, Task, check_interrupted, interrupted};

/// A dataset's name from its folder's or archive's: up to the first dot.
pub(super) fn stem(path: &Path) -> String {
    file_name(path).split('.').next().unwrap_or_default().to_owned()
}

/// Says what is there and not read.
pub(super) fn say_left_out(task: &Task, description: &Description) {
    if !description.left_out.is_empty() {
        task.note(&format!("left out: {}", description.left_out));
    }
}

/// Prints a description, as JSON or for a reader.
pub(super) fn show(description: &Description, json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(description)? } else { description.to_string() };
    let mut stdout = std::io::stdout().lock();
    std::io::Write::write_all(&mut stdout, format!("{}\n", text.trim_end()).as_bytes()).context("standard output")
}

/// Writes the parts into the folder and ends the task; the metrics are the number of images of each part.
pub(super) fn write(
    task: Task,
    output: &Path,
    description: Description,
    parts: Vec<Part>,
    quiet: bool,
) -> anyhow::Result<()> {
    let folder = folder_at(output)?;
    let total: Option<usize> = parts.iter().map(|part| part.images.count).sum();
    let mut progress = total.map(|total| Progress::new(total as u64, "images", quiet));
    interrupted();
    let parts = parts.into_iter().map(until_interrupted).collect();
    let written = output::write(folder.path(), description, parts, &mut |_, _| {
        if let Some(progress) = &mut progress {
            progress.advance(1);
        }
    });
    drop(progress);
    check_interrupted()?;
    let written = written?;
    let counts: Metrics = written.parts.iter().map(|part| (part.name.clone(), part.count.into())).collect();
    task.finish_folder(folder, counts)
}

/// A part that ends where the run is to stop.
fn until_interrupted(Part { name, images, attributes }: Part) -> Part {
    let examples = Box::new(images.examples.take_while(|_| !interrupted()));
    Part { name, images: Images { examples, ..images }, attributes }
}
