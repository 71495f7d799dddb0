//! The outputs of a run as one self-contained HTML page: what was made from what, metrics, pictures, curves, and the
//! claims of a paper next to our figures.
//!
//! Everything comes from the sidecars. The page is a template (`templates/report.html`); everything of a sidecar is escaped in it, and
//! the page forbids all requests.

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
    pictures: Vec<Picture>,
    curves: Vec<Picture>,
}

impl Run {
    /// Reads the sidecars of a folder and all below it, and checks every output against its digest. What is broken is named in the
    /// report, not an error. `page` is left out: it is the report itself.
    ///
    /// # Errors
    /// `Store` for a folder that cannot be listed; a figure that cannot be drawn.
    pub fn read(folder: &Path, page: &Path) -> Result<Self> {
        let (entries, mut problems) = files::read(folder, page)?;
        let (pictures, broken) = pictures::of(&entries);
        let (curves, more) = curves::of(&entries)?;
        problems.extend(broken.into_iter().chain(more));
        Ok(Self { entries, problems, pictures, curves })
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

    /// What is broken, one line each.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|problem| format!("{}: {}", problem.path, problem.what))
    }

    /// The page.
    ///
    /// # Errors
    /// `Drawing` when the template fails.
    pub fn page(&self, title: &str, claims: &[Claims]) -> Result<String> {
        let hash = |text: &str| BASE64.encode(Sha256::digest(text.as_bytes()));
        let page = Page {
            title,
            version: env!("CARGO_PKG_VERSION"),
            style: STYLE,
            script: SCRIPT,
            style_hash: hash(STYLE),
            script_hash: hash(SCRIPT),
            problems: &self.problems,
            claims: claims.iter().map(|claims| (claims.paper.as_str(), claims.rows(&self.entries))).collect(),
            pictures: &self.pictures,
            curves: &self.curves,
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
    problems: &'a [Problem],
    claims: Vec<(&'a str, Vec<Row>)>,
    pictures: &'a [Picture],
    curves: &'a [Picture],
    tables: Vec<Table<'a>>,
    graph: Graph,
    entries: &'a [Entry],
    seconds: String,
}

#[cfg(test)]
mod tests;
