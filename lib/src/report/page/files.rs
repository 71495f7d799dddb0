//! The sidecars of a folder, and what is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::Result;
use super::numbers;
use crate::store::sidecar::Sidecar;
use crate::store::{self, digest};

/// An output with its sidecar.
pub struct Entry {
    /// Its place in the page.
    pub id: String,
    /// Its path from the run's folder, `.` for the folder itself.
    pub path: String,
    /// Where it lies.
    pub full: PathBuf,
    /// Where its sidecar lies.
    pub sidecar_path: PathBuf,
    /// What was recorded.
    pub sidecar: Sidecar,
}

/// A broken file, by its path from the run's folder.
pub struct Problem {
    /// The file, as the page names it.
    pub path: String,
    /// What is wrong with it and what to do.
    pub what: String,
}

impl Entry {
    /// The command, as one would type it.
    pub fn command(&self) -> String {
        self.sidecar.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// How long it took.
    pub fn time(&self) -> String {
        numbers::duration(self.sidecar.wall_seconds)
    }

    /// The processors' time and the most memory, where they were recorded.
    pub fn cost(&self) -> Option<String> {
        let (seconds, bytes) = (self.sidecar.cpu_seconds?, self.sidecar.peak_memory_bytes?);
        Some(format!("{} of processors, {:.0} MB", numbers::duration(seconds), bytes as f64 / 1e6))
    }

    /// Shape and type of an array.
    pub fn shape(&self) -> String {
        let output = &self.sidecar.output;
        let shape =
            output.shape.as_deref().map(|shape| shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × "));
        let dtype = output.dtype.map(|dtype| dtype.to_string());
        [shape, dtype].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Parameters and results, name and value.
    pub fn parameters(&self) -> Vec<(&str, String)> {
        self.sidecar
            .request
            .iter()
            .chain(&self.sidecar.resolved)
            .map(|(name, value)| (name.as_str(), value.to_string()))
            .collect()
    }

    /// The recorded metrics, name and value; long ones are cut.
    pub fn metrics(&self) -> Vec<(&str, String)> {
        let cut = |value: String| match value.char_indices().nth(400) {
            Some((end, _)) => format!("{} …", &value[..end]),
            None => value,
        };
        self.sidecar.metrics.iter().map(|(name, value)| (name.as_str(), cut(value.to_string()))).collect()
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The outputs of a folder and all below it, sorted by path.
pub fn read(folder: &Path, page: &Path) -> Result<(Vec<Entry>, Vec<Problem>)> {
    let mut outputs = Vec::new();
    list(folder, &mut outputs)?;
    outputs.sort();
    let resolved = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let own = Sidecar::path_of(page).as_ref().map(resolved);
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for sidecar_path in outputs.into_iter().filter(|path| own.is_none() || Some(resolved(path)) != own) {
        let full = output_of(&sidecar_path);
        let path = relative(&full, folder);
        let mut problem = |file: &Path, what: String| {
            problems.push(Problem { path: relative(file, folder), what });
        };
        match Sidecar::read(&sidecar_path) {
            Err(error) => problem(&sidecar_path, format!("{error}; make {path} again")),
            Ok(sidecar) => {
                match digest::of_path(&full) {
                    Ok(now) if now == sidecar.output.blake3 => {}
                    Ok(_) => problem(&full, "is not what its sidecar describes; make it again".to_owned()),
                    Err(error) => problem(&full, format!("{error}; make it again or remove its sidecar")),
                }
                entries.push(Entry { id: format!("file-{}", entries.len() + 1), path, full, sidecar_path, sidecar });
            }
        }
    }
    Ok((entries, problems))
}

/// Sidecars: `run.json`, and NAME.json where NAME has an extension of its own. Checkpoints and hidden folders are left out.
fn list(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(store::Error::read(folder))? {
        let entry = entry.map_err(store::Error::read(folder))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().map_err(store::Error::read(&path))?;
        if kind.is_dir() && !name.ends_with(".checkpoint") && !name.starts_with('.') {
            list(&path, found)?;
        } else if kind.is_file() && is_sidecar(&name) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_sidecar(name: &str) -> bool {
    name == digest::FOLDER_SIDECAR || name.strip_suffix(".json").is_some_and(|output| output.contains('.'))
}

/// The file or folder that a sidecar describes.
fn output_of(sidecar: &Path) -> PathBuf {
    match sidecar.file_name().is_some_and(|name| name == digest::FOLDER_SIDECAR) {
        true => sidecar.parent().unwrap_or(Path::new(".")).to_owned(),
        false => sidecar.with_extension(""),
    }
}

fn relative(path: &Path, folder: &Path) -> String {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    if inside.as_os_str().is_empty() { ".".to_owned() } else { inside.to_string_lossy().into_owned() }
}
