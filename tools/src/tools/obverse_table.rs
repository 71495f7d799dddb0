//! `obverse-table`: sidecars as a table, with a row for each output and a column for each metric, argument or other key.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use obverse::store::sidecar::Sidecar;
use obverse::store::{self};
use serde_json::Value;

/// Print keys of sidecars as a table
///
/// There is one row for each output and one column for each key. A key is looked up among the metrics, then the arguments, then the
/// resolved values, then in the sidecar itself; a dot goes one level down: `output.shape.0`, `quantiles.median`. TITLE=KEY names the
/// column. Missing values are left empty.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  obverse-table plain-0 plain-1 dropout-0 --columns test_accuracy,epochs,seed,wall_seconds
  obverse-table train-images.npy fc3.npy --columns rows=output.shape.0,tool --format csv
  obverse-table plain-0 --columns test_accuracy --format tsv --no-header
  obverse-table errors.svg --rows groups --columns name,mean,mean_interval --format csv"
)]
pub struct Arguments {
    /// Outputs: files or folders with their sidecars
    #[arg(required = true, value_name = "OUTPUT")]
    outputs: Vec<PathBuf>,
    /// The columns after the output's name
    #[arg(long, required = true, value_name = "KEY,…", value_delimiter = ',', value_parser = column)]
    columns: Vec<Column>,
    /// Print one row for each entry of this list, such as `layers` or `groups`; an entry's own keys are looked up first
    #[arg(long, value_name = "KEY")]
    rows: Option<String>,
    /// The format of the table
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Leave out the header and the outputs' names
    #[arg(long)]
    no_header: bool,
    /// Print empty rows for outputs without a sidecar
    #[arg(long)]
    missing: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum Format {
    /// A Markdown table
    #[default]
    Markdown,
    /// Comma-separated values
    Csv,
    /// Tab-separated values
    Tsv,
    /// A list of objects
    Json,
}

#[derive(Clone, Debug)]
struct Column {
    title: String,
    key: String,
}

fn column(text: &str) -> Result<Column, String> {
    let (title, key) = text.split_once('=').unwrap_or((text, text));
    match title.is_empty() || key.is_empty() {
        true => Err("expected KEY or TITLE=KEY, such as mse or rows=output.shape.0".to_owned()),
        false => Ok(Column { title: title.to_owned(), key: key.to_owned() }),
    }
}

/// Runs the tool.
///
/// # Errors
/// An output without a sidecar, a key that no output has.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { outputs, columns, rows: list, format, no_header, missing } = arguments;
    let (mut names, mut rows) = (Vec::new(), Vec::new());
    for output in &outputs {
        let path =
            Sidecar::path_of(output).context("what went through a pipe has no sidecar; give a file or folder")?;
        let sidecar = if missing && !Sidecar::is_there(&path) {
            Value::Null
        } else {
            serde_json::to_value(Sidecar::read(&path)?)?
        };
        let entries = match &list {
            Some(key) => entries(&sidecar, key, &path)?,
            None => vec![Value::Null],
        };
        for entry in entries {
            let found = |column: &Column| below(&entry, &column.key).or_else(|| look_up(&sidecar, &column.key));
            rows.push(columns.iter().map(found).collect::<Vec<_>>());
            names.push(output.display().to_string());
        }
    }
    for (place, column) in columns.iter().enumerate() {
        let found = missing || rows.iter().any(|row| row[place].is_some());
        ensure!(found, "--columns: expected a key of the outputs' sidecars, found {:?} in none", column.key);
    }
    let text = match format {
        Format::Json => json(&names, &columns, &rows),
        _ => lines(&names, &columns, &rows, format, no_header),
    };
    Ok(std::io::stdout().write_all(text.as_bytes()).map_err(store::Error::write(Path::new("-")))?)
}

/// The value of a key, if there is one.
fn look_up(sidecar: &Value, key: &str) -> Option<Value> {
    let objects = ["metrics", "parameters", "resolved"].into_iter().filter_map(|object| sidecar.get(object));
    objects.chain([sidecar]).find_map(|object| below(object, key))
}

/// What a key with its dots leads to.
fn below(value: &Value, key: &str) -> Option<Value> {
    key.split('.').try_fold(value.clone(), |value, part| match value {
        Value::Array(values) => values.into_iter().nth(part.parse().ok()?),
        Value::Object(mut entries) => entries.remove(part),
        _ => None,
    })
}

/// The entries of a list.
fn entries(sidecar: &Value, key: &str, path: &Path) -> anyhow::Result<Vec<Value>> {
    match look_up(sidecar, key) {
        Some(Value::Array(entries)) => Ok(entries),
        found => {
            let found = if found.is_some() { "another value" } else { "nothing of this name" };
            bail!("{}: --rows: expected a list {key:?}, found {found}", path.display())
        }
    }
}

/// Text as it is, anything else as JSON writes it.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

fn json(names: &[String], columns: &[Column], rows: &[Vec<Option<Value>>]) -> String {
    let object = |(name, row): (&String, &Vec<Option<Value>>)| {
        let values =
            columns.iter().zip(row).map(|(column, value)| (column.title.clone(), value.clone().unwrap_or_default()));
        Value::Object(std::iter::once(("output".to_owned(), name.as_str().into())).chain(values).collect())
    };
    Value::Array(names.iter().zip(rows).map(object).collect()).to_string() + "\n"
}

fn lines(names: &[String], columns: &[Column], rows: &[Vec<Option<Value>>], format: Format, bare: bool) -> String {
    let titles = columns.iter().map(|column| column.title.clone());
    let named = |name: &str, cells: Vec<String>| if bare { cells } else { [vec![name.to_owned()], cells].concat() };
    let mut table = Vec::new();
    if !bare {
        table.push(named("output", titles.collect()));
    }
    for (name, row) in names.iter().zip(rows) {
        table.push(named(name, row.iter().map(|value| shown(value.as_ref())).collect()));
    }
    let mut text = String::new();
    for (number, cells) in table.iter().enumerate() {
        let line = match format {
            Format::Csv => cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(","),
            Format::Markdown => {
                format!("| {} |", cells.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
            }
            _ => cells.iter().map(|cell| cell.replace(['\t', '\n'], " ")).collect::<Vec<_>>().join("\t"),
        };
        text += &line;
        text.push('\n');
        if format == Format::Markdown && number == 0 && !bare {
            text += &format!("|{}\n", "---|".repeat(cells.len()));
        }
    }
    text
}

/// A cell of a CSV file, quoted if necessary (RFC 4180).
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}
