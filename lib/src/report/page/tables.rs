//! A table of metrics for each tool, with one row per output.

use super::files::Entry;
use super::numbers;

/// Columns at most; the rest stands with the output's details.
const COLUMNS: usize = 10;

/// What a tool measured.
pub struct Table<'a> {
    /// The tool.
    pub tool: &'a str,
    /// Names of metrics, in the order they appear.
    pub columns: Vec<String>,
    /// One output per row, with a text for each column, empty where it has none.
    pub rows: Vec<(&'a Entry, Vec<String>)>,
}

/// The tables of a run, by tool.
pub fn of(entries: &[Entry]) -> Vec<Table<'_>> {
    let mut tools: Vec<&str> = entries.iter().map(|entry| entry.sidecar.tool.as_str()).collect();
    tools.sort_unstable();
    tools.dedup();
    tools.into_iter().map(|tool| table(tool, entries)).filter(|table| !table.columns.is_empty()).collect()
}

fn table<'a>(tool: &'a str, entries: &'a [Entry]) -> Table<'a> {
    let own = entries.iter().filter(|entry| entry.sidecar.tool == tool);
    let measured: Vec<_> = own.map(|entry| (entry, numbers::metrics(&entry.sidecar.metrics))).collect();
    let mut columns: Vec<String> = Vec::new();
    for (name, _) in measured.iter().flat_map(|(_, metrics)| metrics) {
        if !columns.contains(name) && columns.len() < COLUMNS {
            columns.push(name.clone());
        }
    }
    let row = |(entry, metrics): (&'a Entry, Vec<(String, String)>)| {
        let text = |column: &String| metrics.iter().find(|(name, _)| name == column).map(|(_, text)| text.clone());
        (entry, columns.iter().map(|column| text(column).unwrap_or_default()).collect())
    };
    let rows = measured.into_iter().map(row).collect();
    Table { tool, columns, rows }
}
