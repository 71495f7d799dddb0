//! `obverse-again`: runs the command that made a file or folder again, as its sidecar recorded it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use obverse::store::sidecar::{Artifact, Sidecar};
use obverse::store::{self, digest, is_standard_stream};

use crate::exit::Failure;
use crate::request::Request;
use crate::{TOOLS, Tool};

/// The most sidecars followed upstream: a longer chain must be a circle.
const LONGEST_CHAIN: usize = 1000;

/// Run the command that made a file or folder again
///
/// The command is read from the sidecar (FILE.json, or run.json in a folder) and runs in the folder where it ran before. Only tools of
/// this suite that lie beside this one are run, and only if they make FILE and nothing else. If an input has changed, nothing is run:
/// --upstream first remakes inputs that this suite made, --changed takes them as they are.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  obverse-again recovered.npy --dry-run
  obverse-again recovered.npy --upstream
  obverse-again recovered.npy -- --force"
)]
pub struct Arguments {
    /// An output of one of the tools
    #[arg(value_name = "FILE")]
    output: PathBuf,
    /// Print the command instead of running it
    #[arg(long)]
    dry_run: bool,
    /// Run even if inputs have changed
    #[arg(long)]
    changed: bool,
    /// First remake, in order, the inputs that this suite made and that have changed
    #[arg(long, conflicts_with = "changed")]
    upstream: bool,
    /// More arguments for the tool, such as --force
    #[arg(last = true)]
    more: Vec<String>,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { output, dry_run, changed, upstream, more } = arguments;
    let recorded = Recorded::of(&output)?;
    if upstream {
        make_inputs(&recorded, &mut Vec::new(), dry_run)?;
    } else if !changed && !dry_run {
        let differing = recorded.changed_inputs();
        ensure!(
            differing.is_empty(),
            "{}: its inputs have changed: {}; remake them first with --upstream, or take them as they are with --changed",
            output.display(),
            differing.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        );
    }
    recorded.run(&more, dry_run)
}

/// A command that made an output, checked.
struct Recorded {
    sidecar: Sidecar,
    /// The sidecar's own file.
    path: PathBuf,
    /// The folder that the command ran in.
    folder: PathBuf,
    binary: PathBuf,
}

impl Recorded {
    fn of(output: &Path) -> anyhow::Result<Self> {
        let path =
            Sidecar::path_of(output).context("what went through a pipe has no sidecar; give a file or folder")?;
        let sidecar = Sidecar::read(&path)?;
        let shown = output.display();
        let piped = sidecar.inputs.iter().any(|input| is_standard_stream(Path::new(&input.path)));
        ensure!(!piped, "{shown}: it was made from standard input, which is gone; run the pipeline instead");
        let (name, given) = sidecar.command.split_first().with_context(|| format!("{}: no command", path.display()))?;
        let (tool, binary) = tool(name, &path)?;
        let folder = path.parent().unwrap_or(Path::new("")).join(&sidecar.directory);
        let folder = fs::canonicalize(&folder).map_err(store::Error::read(&folder))?;
        let command = (tool.command)().name(tool.name).no_binary_name(true);
        let made = outputs(command, given).with_context(|| format!("{}: the recorded command", path.display()))?;
        let asked = place(output)?;
        let is_asked = |made: &PathBuf| place(&folder.join(made)).is_ok_and(|made| made == asked);
        // `dataset fetch` alone names its folder itself.
        ensure!(
            made.iter().all(is_asked) && (!made.is_empty() || tool.name == "dataset"),
            "{}: expected a command that makes {shown} and nothing else, found one that makes {}",
            path.display(),
            made.iter().map(|made| made.display().to_string()).collect::<Vec<_>>().join(", ")
        );
        Ok(Self { sidecar, path, folder, binary })
    }

    /// The inputs that are missing or whose content is not as recorded.
    fn changed_inputs(&self) -> Vec<PathBuf> {
        let differs = |input: &&Artifact| {
            let now = digest::of_path(&self.folder.join(&input.path));
            now.map_or(true, |now| now != input.blake3)
        };
        self.sidecar.inputs.iter().filter(differs).map(|input| self.folder.join(&input.path)).collect()
    }

    fn run(&self, more: &[String], dry_run: bool) -> anyhow::Result<()> {
        let given = self.sidecar.command.iter().skip(1);
        let mut command = Command::new(&self.binary);
        command.args(given).args(more).current_dir(&self.folder);
        if dry_run {
            let line = format!("{command:?}\n");
            return Ok(std::io::stdout().write_all(line.as_bytes()).map_err(store::Error::write(Path::new("-")))?);
        }
        let status = command.status();
        let status =
            status.with_context(|| format!("{}: cannot be run in {}", self.path.display(), self.folder.display()))?;
        match status.code() {
            Some(0) => Ok(()),
            // The tool has said what is wrong.
            _ => Err(Failure(format!("{}: the command ended with {status}", self.path.display())).into()),
        }
    }
}

/// Remakes the inputs of a command that have changed, each after its own inputs.
fn make_inputs(recorded: &Recorded, above: &mut Vec<PathBuf>, dry_run: bool) -> anyhow::Result<()> {
    ensure!(
        above.len() < LONGEST_CHAIN,
        "{}: its inputs are made from each other in a circle",
        recorded.path.display()
    );
    above.push(recorded.path.clone());
    for input in &recorded.sidecar.inputs {
        let path = recorded.folder.join(&input.path);
        let sidecar = Sidecar::path_of(&path).filter(|sidecar| Sidecar::is_there(sidecar) && !above.contains(sidecar));
        if sidecar.is_some() {
            let upstream = Recorded::of(&path)?;
            make_inputs(&upstream, above, dry_run)?;
            upstream.run(&[], dry_run)?;
        } else if digest::of_path(&path).map_or(true, |now| now != input.blake3) {
            bail!("{}: it has changed, and no sidecar says how it was made; restore it", path.display());
        }
    }
    above.pop();
    Ok(())
}

/// Where a path leads, whether or not something is there.
fn place(path: &Path) -> anyhow::Result<PathBuf> {
    if let Ok(place) = fs::canonicalize(path) {
        return Ok(place);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().with_context(|| format!("{}: expected a file or folder", path.display()))?;
    Ok(fs::canonicalize(folder).map_err(store::Error::read(folder))?.join(name))
}

/// What a recorded command writes.
fn outputs(mut command: clap::Command, given: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let matches = command.try_get_matches_from_mut(given)?;
    Ok(Request::of(&command, &matches).outputs.into_iter().map(|(path, _)| path).collect())
}

/// A tool of the suite that makes outputs, and its binary beside this one. A sidecar may come from anywhere, so it must not name any
/// other program.
fn tool(name: &str, sidecar: &Path) -> anyhow::Result<(&'static Tool, PathBuf)> {
    let tool = TOOLS.iter().find(|tool| tool.name == name && !name.starts_with("obverse-"));
    let tool = tool.with_context(|| {
        format!("{}: expected a tool of this suite that makes outputs, found {name:?}", sidecar.display())
    })?;
    let here = std::env::current_exe().context("the folder of the tools")?;
    let binary = here.with_file_name(name);
    ensure!(binary.is_file(), "{}: {name} is not beside {}; build the tools", sidecar.display(), here.display());
    Ok((tool, binary))
}
