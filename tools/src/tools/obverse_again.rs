//! Runs again the command that made a file or folder, as its sidecar recorded it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::TOOLS;
use anyhow::{Context, bail, ensure};
use clap::Parser;
use obverse::store::is_standard_stream;
use obverse::store::sidecar::Sidecar;

/// Run again the command that made a file or folder
///
/// The command is read from the sidecar (FILE.json, or run.json in a folder) and runs in the folder it ran in. Only the
/// tools of this suite that lie beside this one are run.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  obverse-again recovered.npy --dry-run
  obverse-again recovered.npy -- --force"
)]
pub struct Arguments {
    /// An output of one of the tools
    #[arg(value_name = "FILE")]
    output: PathBuf,
    /// Print the command instead of running it
    #[arg(long)]
    dry_run: bool,
    /// Further arguments for the tool, such as --force
    #[arg(last = true)]
    more: Vec<String>,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { output, dry_run, more } = arguments;
    let path = Sidecar::path_of(&output).context("what went through a pipe has no sidecar; give a file or folder")?;
    let sidecar = Sidecar::read(&path)?;
    let piped = sidecar.inputs.iter().any(|input| is_standard_stream(Path::new(&input.path)));
    ensure!(!piped, "{}: it was made from standard input, which is gone; run the pipeline instead", output.display());
    let (name, recorded) = sidecar.command.split_first().with_context(|| format!("{}: no command", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("")).join(&sidecar.directory);
    let mut command = Command::new(tool(name, &path)?);
    command.args(recorded).args(more).current_dir(&folder);
    if dry_run {
        println!("{command:?}");
        return Ok(());
    }
    // Returns only when the tool could not be started.
    let error = command.exec();
    bail!("{}: {name} cannot be run in {}: {error}", path.display(), folder.display())
}

/// The binary of a tool of the suite, found beside this one. A sidecar may come from anywhere: it names no other program.
fn tool(name: &str, sidecar: &Path) -> anyhow::Result<PathBuf> {
    ensure!(
        TOOLS.iter().any(|tool| tool.name == name),
        "{}: expected a tool of this suite, found {name:?}",
        sidecar.display()
    );
    let here = std::env::current_exe().context("the folder of the tools")?;
    let tool = here.with_file_name(name);
    ensure!(tool.is_file(), "{}: {name} is not beside {}; build the tools", sidecar.display(), here.display());
    Ok(tool)
}
