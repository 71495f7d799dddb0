//! `obverse-verify`: checks outputs, the files beside them and their inputs against their sidecars.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Parser;
use obverse::store::cache::damage;
use obverse::store::sidecar::{SCHEMA, Sidecar};
use obverse::store::{self, digest, is_standard_stream};
use serde::Serialize;

use crate::exit::Failure;

/// Check that outputs are what their sidecars say
///
/// Every output at or below PATH is read. Its content, the files beside it and its inputs must have the digests that its sidecar
/// recorded. Prints one line per problem; the exit code is 1 if there is any.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  obverse-verify out
  obverse-verify train-images.npy --json"
)]
pub struct Arguments {
    /// Outputs, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object: the outputs checked and the problems
    #[arg(long)]
    json: bool,
    /// Print nothing but problems
    #[arg(long)]
    quiet: bool,
}

/// What is wrong with an output.
#[derive(Serialize)]
struct Problem {
    output: String,
    problem: String,
}

/// Runs the tool.
///
/// # Errors
/// A path that cannot be read; a [`Failure`] where an output is not what its sidecar says.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    obverse::store::index::reread();
    let mut sidecars = Vec::new();
    for path in &arguments.paths {
        let before = sidecars.len();
        match Sidecar::path_of(path).filter(|sidecar| Sidecar::is_there(sidecar)) {
            Some(sidecar) if !path.is_dir() => sidecars.push(sidecar),
            _ => collect(path, &mut sidecars)?,
        }
        ensure!(
            sidecars.len() > before,
            "{}: expected an output with its sidecar, or a folder of them, found none",
            path.display()
        );
    }
    sidecars.sort();
    sidecars.dedup();
    let (mut outputs, mut problems) = (0, Vec::new());
    for path in sidecars {
        crate::check_interrupted()?;
        // Other JSON files are not ours to judge.
        let Ok(sidecar) = Sidecar::read(&path) else { continue };
        outputs += 1;
        let output = output_of(&path);
        let of_output = |problem: String| Problem { output: output.display().to_string(), problem };
        problems.extend(problems_of(&output, &path, &sidecar).into_iter().map(of_output));
    }
    say(&arguments, outputs, &problems)?;
    let found = problems.len();
    ensure!(found == 0, Failure(format!("{found} problems in {outputs} outputs")));
    Ok(())
}

/// The output that a sidecar's file stands for.
fn output_of(sidecar: &Path) -> PathBuf {
    let is_folder = sidecar.file_name().is_some_and(|name| name == digest::FOLDER_SIDECAR);
    if is_folder { sidecar.parent().map(Path::to_owned).unwrap_or_default() } else { sidecar.with_extension("") }
}

fn problems_of(output: &Path, path: &Path, sidecar: &Sidecar) -> Vec<String> {
    let mut problems = damage(output, sidecar);
    if sidecar.schema != SCHEMA {
        problems.push(format!("schema {}: companions were not recorded; make it again", sidecar.schema));
    }
    let ran_in = path.parent().unwrap_or(Path::new("")).join(&sidecar.directory);
    for input in sidecar.inputs.iter().filter(|input| !is_standard_stream(Path::new(&input.path))) {
        let named = format!("input {} {}", input.argument.as_deref().unwrap_or(""), input.path);
        match digest::of_path(&ran_in.join(&input.path)) {
            Ok(now) if now == input.blake3 => {}
            Ok(now) => problems.push(format!("{named} changed: {} -> {now}", input.blake3)),
            Err(_) => problems.push(format!("{named} cannot be read")),
        }
    }
    problems
}

/// The files below a folder that may be sidecars.
fn collect(folder: &Path, sidecars: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).map_err(store::Error::read(folder))? {
        let entry = entry.map_err(store::Error::read(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(store::Error::read(folder))?);
        let is_checkpoint = path.extension().is_some_and(|extension| extension == "checkpoint");
        if kind.is_dir() && !is_checkpoint {
            collect(&path, sidecars)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            let is_folders = path.file_name().is_some_and(|name| name == digest::FOLDER_SIDECAR);
            if is_folders || path.with_extension("").exists() {
                sidecars.push(path);
            }
        }
    }
    Ok(())
}

fn say(arguments: &Arguments, outputs: usize, problems: &[Problem]) -> anyhow::Result<()> {
    let text = if arguments.json {
        serde_json::json!({"outputs": outputs, "problems": problems}).to_string() + "\n"
    } else {
        let mut lines: String =
            problems.iter().map(|Problem { output, problem }| format!("{output}: {problem}\n")).collect();
        if !arguments.quiet && problems.is_empty() {
            lines += &format!("{outputs} outputs are what their sidecars say\n");
        }
        lines
    };
    Ok(std::io::stdout().write_all(text.as_bytes()).map_err(store::Error::write(Path::new("-")))?)
}
