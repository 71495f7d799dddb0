//! `obverse-manual`: man pages and shell completions of all tools, from the definitions of their arguments.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, Parser};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use obverse::store::{self, atomic};

use crate::{TOOLS, Tool};

/// Write the man pages of all tools, and what bash, zsh and fish need to complete their arguments
///
/// The files go to the usual places below a share folder: man/man1, bash-completion/completions, zsh/site-functions,
/// fish/vendor_completions.d, and doc/obverse/measures.md, a page of all measures. Completions ask the tool itself, so --layer
/// completes the nodes of the network on the command line.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  obverse-manual ~/.local/share
  obverse-manual share"
)]
pub struct Arguments {
    /// The folder to write to; it is made if it is missing
    share: PathBuf,
}

/// The heading of the measures in a help.
const HEADING: &str = "Measures:\n";

const MEASURES: &str = "# What the tools measure

`--json` prints what a run measured as one object; the sidecar of an output keeps the same object under `metrics`; trainings also
write `metrics.jsonl`, one line per epoch. `obverse-table OUTPUT… --columns KEY,…` prints keys of sidecars as a table.

One schema holds for all tools:

- `K` is the number. Its unit is in its name where it has one (`nce_nats`, `wall_seconds`).
- `K_standard_error` is its standard error: the standard deviation of `K` if everything were done again.
- `K_interval` is `[low, high]`, its interval of 95%. For `mse`, `ssim`, `l2` and means over seeds it is Student's t. For
  `nce_nats` it is the percentiles over resampled images. That of `fid` holds the distance of infinitely many images, which is
  below `fid` itself by the bias of few images. RESULTS.md has a table of how often each holds the truth.
- Counts are named by what is counted: `images`, `rows`, `parts`. `K_a` and `K_b` are of the first and the second set.
- Unknown numbers are left out, or null; a number that is not finite is the text \"NaN\", \"inf\" or \"-inf\".

For scripts written for version 0.1, `--json` also prints its names: `nce_interval` for `nce_nats_interval`, `mse_error` for
`mse_standard_error`, `n_a` and `n_b` for `images_a` and `images_b`. Sidecars of 0.1 can still be read.

This page is generated from the help of the tools (`obverse-manual SHARE` writes it to `SHARE/doc/obverse/measures.md`).
";

/// Runs the tool.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    for &tool in TOOLS {
        for (name, page) in pages((tool.command)().name(tool.name), tool.name)? {
            keep(&arguments.share.join("man/man1").join(format!("{name}.1")), &page)?;
        }
        let shells: [(&dyn EnvCompleter, PathBuf); 3] = [
            (&Bash, Path::new("bash-completion/completions").join(tool.name)),
            (&Zsh, Path::new("zsh/site-functions").join(format!("_{}", tool.name))),
            (&Fish, Path::new("fish/vendor_completions.d").join(format!("{}.fish", tool.name))),
        ];
        for (shell, path) in shells {
            keep(&arguments.share.join(path), &registration(shell, tool)?)?;
        }
    }
    keep(&arguments.share.join("doc/obverse/measures.md"), measures().as_bytes())
}

/// All measures of the tools, from their helps.
fn measures() -> String {
    let mut page = MEASURES.to_owned();
    for tool in TOOLS {
        let last = (tool.command)().get_after_help().map(ToString::to_string).unwrap_or_default();
        let section = last.split_once(HEADING).map(|(_, rest)| rest.split("\n\n").next().unwrap_or(rest));
        if let Some(section) = section {
            page += &format!("\n## {}\n\n```text\n{}\n```\n", tool.name, section.trim_end());
        }
    }
    page
}

/// The script that tells a shell to ask the tool for completions.
fn registration(shell: &dyn EnvCompleter, Tool { name, .. }: Tool) -> anyhow::Result<Vec<u8>> {
    let mut script = Vec::new();
    shell.write_registration("COMPLETE", name, name, name, &mut script)?;
    Ok(script)
}

/// The page of a command, and those of its subcommands, by name.
fn pages(command: Command, name: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = vec![(name.to_owned(), page(&command)?)];
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let name = format!("{name}-{}", inner.get_name());
        pages.extend(self::pages(inner.clone().name(name.clone()), &name)?);
    }
    Ok(pages)
}

/// A page: clap_mangen's sections, then the end of the help as notes and examples, line by line.
fn page(command: &Command) -> anyhow::Result<Vec<u8>> {
    let last = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command.clone()).manual("Obverse").source(format!("Obverse {}", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    let (notes, examples) = match last.split_once("Examples:\n") {
        Some((notes, examples)) => (notes, examples),
        None => (last.as_str(), ""),
    };
    for (title, text) in [("NOTES", notes), ("EXAMPLES", examples)] {
        if !text.trim().is_empty() {
            as_written(title, text).to_writer(&mut page)?;
        }
    }
    Ok(page)
}

/// A section whose lines stay as they are.
fn as_written(title: &str, text: &str) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]).control("nf", []);
    for line in text.trim_end().lines() {
        section.text([roman(line)]);
    }
    section.control("fi", []);
    section
}

/// Writes a file, and makes its folder if it is missing.
fn keep(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(store::Error::write(folder))?;
    Ok(atomic::write(path, bytes)?)
}
