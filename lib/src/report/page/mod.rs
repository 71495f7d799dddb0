//! The outputs of a run as one HTML page that needs nothing else: what was made from what, what was measured, pictures, curves, and the
//! claims of a paper beside it.
//!
//! All of it comes from the sidecars. The page is a template (`templates/report.html`); everything of a sidecar is escaped in it, and
//! the page forbids itself every request.

mod claims;
mod curves;
mod files;
mod graph;
pub(super) mod numbers;
mod pictures;
mod tables;

use std::path::Path;

use askama::Template;
use sha2::{Digest, Sha256};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use claims::Claims;

use self::claims::Row;
use self::files::{Entry, Problem};
use self::graph::Graph;
use self::pictures::Picture;
use self::tables::Table;
use super::{Error, Result};

const STYLE: &str = include_str!("../../../templates/report.css");
const SCRIPT: &str = include_str!("../../../templates/report.js");

/// A run: every sidecar of a folder, and what could not be read.
pub struct Run {
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl Run {
    /// Reads the sidecars of a folder and all below it, and holds every output against its digest. What is broken is named in the
    /// report, not an error. `page` is left out: it is the report itself.
    ///
    /// # Errors
    /// `Store` for a folder that cannot be listed.
    pub fn read(folder: &Path, page: &Path) -> Result<Self> {
        let (entries, problems) = files::read(folder, page)?;
        Ok(Self { entries, problems })
    }

    /// The files that the page depends on: sidecars and pictures.
    pub fn sources(&self) -> impl Iterator<Item = &Path> {
        let sidecars = self.entries.iter().map(|entry| entry.sidecar_path.as_path());
        let pictures = self.entries.iter().filter(|entry| pictures::is_picture(&entry.path) && entry.full.is_file());
        sidecars.chain(pictures.map(|entry| entry.full.as_path()))
    }

    /// Outputs that were found.
    pub fn outputs(&self) -> usize {
        self.entries.len()
    }

    /// What is broken, a line each.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|problem| format!("{}: {}", problem.path, problem.what))
    }

    /// The page.
    ///
    /// # Errors
    /// A figure that cannot be drawn; `Drawing` when the template fails.
    pub fn page(&self, title: &str, claims: &[Claims]) -> Result<String> {
        let (pictures, broken) = pictures::of(&self.entries);
        let (curves, more) = curves::of(&self.entries)?;
        let problems: Vec<&Problem> = self.problems.iter().chain(&broken).chain(&more).collect();
        let hash = |text: &str| BASE64.encode(Sha256::digest(text.as_bytes()));
        let page = Page {
            title,
            version: env!("CARGO_PKG_VERSION"),
            style: STYLE,
            script: SCRIPT,
            style_hash: hash(STYLE),
            script_hash: hash(SCRIPT),
            problems,
            claims: claims.iter().map(|claims| (claims.paper.as_str(), claims.rows(&self.entries))).collect(),
            pictures,
            curves,
            tables: tables::of(&self.entries),
            graph: Graph::of(&self.entries),
            entries: &self.entries,
            seconds: numbers::duration(self.entries.iter().map(|entry| entry.sidecar.wall_seconds).sum()),
        };
        page.render().map_err(|error| Error::Drawing(error.to_string()))
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: &'a str,
    version: &'a str,
    style: &'a str,
    script: &'a str,
    style_hash: String,
    script_hash: String,
    problems: Vec<&'a Problem>,
    claims: Vec<(&'a str, Vec<Row>)>,
    pictures: Vec<Picture>,
    curves: Vec<Picture>,
    tables: Vec<Table<'a>>,
    graph: Graph,
    entries: &'a [Entry],
    seconds: String,
}

#[cfg(test)]
mod tests;
