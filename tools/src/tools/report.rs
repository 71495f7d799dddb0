//! `report`: the outputs of a run as one HTML page.

use crate::request::{Declared, Input, Output};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use obverse::report::{Claims, Run};
use obverse::store::budget;
use obverse::store::staged::Staged;

use crate::{CommonArguments, Metrics, Task};

/// Write the outputs of a run as one HTML page
///
/// The page says what was made from what, with which command, and what was measured, and shows pictures and curves. With --claims it
/// sets a paper's figures beside yours. It is one file that loads nothing from elsewhere and can be read without JavaScript; with
/// JavaScript, pictures can be enlarged (Enter, + and -) and compared side by side. A broken sidecar or picture is named on the page
/// and on standard error; the rest is still shown.
#[derive(Parser)]
#[command(
    version,
    after_help = "Claims are TOML:
  paper = \"…\"
  [[claim]]
  at = \"Table 2\"                                # where the paper says it
  says = \"mean squared error of the autoencoder\"
  stated = \"0.0040\"                             # optional
  outputs = [\"study/autoencoder\"]               # from FOLDER; several are seeds
  metric = \"test_mse\"                           # of their sidecars

Measures:
  outputs, problems, bytes   outputs shown, problems named, bytes of the page

Examples:
  report out -o report.html
  report out --title \"A trial\" --claims claims.toml -o report.html"
)]
pub struct Arguments {
    /// The folder of the run: outputs with their sidecars, at any depth
    #[arg(value_name = "FOLDER", add = Declared)]
    folder: PathBuf,
    /// A paper's claims, to set beside yours; may be given more than once
    #[arg(long, value_name = "CLAIMS.toml")]
    claims: Vec<Input>,
    /// The title [default: the folder]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The page
    #[arg(short, long, value_name = "PAGE.html")]
    output: Output,
    #[command(flatten)]
    common: CommonArguments,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { folder, claims, title, output, common } = arguments;
    let mut task = Task::begin(&common, Some(&output))?;
    let claimed = claims.iter().map(|path| -> anyhow::Result<Claims> {
        let text = budget::read_text(path)?;
        toml::from_str(&text).with_context(|| format!("{}: expected claims, see report --help", path.display()))
    });
    let claimed = claimed.collect::<anyhow::Result<Vec<_>>>()?;
    let run = Run::read(&folder, &output)?;
    let title = title.unwrap_or_else(|| folder.display().to_string());
    run.sources().try_for_each(|source| task.input("folder", source))?;
    let problems: Vec<String> = run.problems().collect();
    task.resolved("title", &title)?;
    task.resolved("problems", &problems)?;
    problems.iter().for_each(|problem| task.note(problem));
    if task.is_fresh()? {
        return Ok(());
    }
    let page = run.page(&title, &claimed)?;
    let metrics = Metrics::from_iter([
        ("outputs".to_owned(), run.outputs().into()),
        ("problems".to_owned(), problems.len().into()),
        ("bytes".to_owned(), page.len().into()),
    ]);
    task.finish_with(|| Ok(Staged::of_bytes(&output, page.into_bytes())?), metrics)
}
