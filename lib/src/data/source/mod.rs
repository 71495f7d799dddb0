//! Where a dataset's files lie: a folder, a tar (plain, gzip or zstd), a zip, or one file. Names are relative to it.
//!
//! Nothing is unpacked under a name from an archive: compressed members go to one unnamed temporary file and are read
//! by position, so that any order of reading works. Links in a folder are followed, links in an archive never. Hidden files and folders are
//! skipped at every depth.

mod archive;
mod folder;
mod left_out;
mod name;
mod place;
mod spool;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{Error, Part, Result};
use crate::store::budget::open_file;
use archive::{Kind, kind, tar_entries, zip_entries};
use folder::{folder_entries, single_entry};
use place::{Files, Place, Span};

pub use left_out::LeftOut;
pub(crate) use name::{base_name, stem};

/// The files of a dataset, by their names relative to the folder or archive.
pub struct Source {
    path: PathBuf,
    single: bool,
    entries: BTreeMap<String, Place>,
    left_out: LeftOut,
    /// Files that lie beside it and belong to it.
    beside: Vec<PathBuf>,
}

impl AsRef<Source> for Source {
    fn as_ref(&self) -> &Source {
        self
    }
}

impl Source {
    /// The files of the folder, archive or single file at `path` whose names satisfy `wanted`.
    ///
    /// # Errors
    /// A path that cannot be read, a damaged archive, an archive's member that leads outside or is a link, a link to nothing.
    pub fn open(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|source| Error::read(path, source))?;
        if metadata.is_dir() {
            return Ok(Self::of(path, folder_entries(path, &wanted)?));
        }
        Ok(match kind(path)? {
            Kind::Tar(compression) => Self::of(path, tar_entries(path, compression, &wanted)?),
            Kind::Zip => Self::of(path, zip_entries(path, &wanted)?),
            Kind::Other => Self::of_file(path),
        })
    }

    /// The single file at `path`, even if it is an archive.
    pub(crate) fn of_file(path: &Path) -> Self {
        Self { single: true, ..Self::of(path, (single_entry(path), LeftOut::default())) }
    }

    fn of(path: &Path, (entries, left_out): Files) -> Self {
        Self { path: path.to_path_buf(), single: false, entries, left_out, beside: Vec::new() }
    }

    /// Several files as one source: an archive's members get its name as their folder, other files keep theirs.
    ///
    /// # Errors
    /// Those of [`Source::open`].
    pub fn gather(folder: &Path, files: &[PathBuf], wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let (mut entries, mut left_out) = (BTreeMap::new(), LeftOut::default());
        for path in files {
            let source = Self::open(path, &wanted)?;
            left_out.join(&source.left_out);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let stem = name.split('.').next().unwrap_or_default();
            let place = |name: String| if source.single { name } else { format!("{stem}/{name}") };
            entries.extend(source.entries.into_iter().map(|(name, file)| (place(name), file)));
        }
        Ok(Self::of(folder, (entries, left_out)))
    }

    /// The folder, archive or file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files on disk that are read: the archive, or the files themselves, and what lies beside them.
    pub fn files(&self) -> Vec<PathBuf> {
        let file = |place: &Place| match place {
            Place::File(path) => path.clone(),
            Place::Span { .. } => self.path.clone(),
        };
        let files: BTreeSet<PathBuf> = self.entries.values().map(file).collect();
        files.into_iter().collect()
    }

    /// Files that lie beside the folder or archive and belong to it.
    pub fn beside(&self) -> &[PathBuf] {
        &self.beside
    }

    /// What is there and not read.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// Counts `count` more things of a kind as left out.
    pub(crate) fn leave_out(&mut self, kind: &str, count: usize) {
        self.left_out.add(kind, count);
    }

    /// True where the source is one file that is not an archive.
    pub fn is_single(&self) -> bool {
        self.single
    }

    /// The names of the files, sorted by their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The first name whose last component satisfies `wanted`.
    pub fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.names().find(|name| wanted(base_name(name))).map(str::to_string)
    }

    /// Adds the file `name` (and `name.gz`) of the same folder if it exists, a file of
    /// labels next to a file of images.
    pub(crate) fn take_in_neighbour(&mut self, name: &str) {
        for name in [name.to_string(), format!("{name}.gz")] {
            let path = self.path.with_file_name(&name);
            if path.is_file() {
                self.take_in(&name, &path);
            }
        }
    }

    /// Adds the file at `path`, which lies elsewhere, under a name.
    pub fn take_in(&mut self, name: &str, path: &Path) {
        self.entries.insert(name.to_string(), Place::File(path.to_path_buf()));
        self.beside.push(path.to_path_buf());
    }

    /// The parts that were found in it; a source without any is refused, with what was looked for.
    pub(crate) fn require_parts(&self, parts: Vec<Part>, expected: &str, found: &str) -> Result<Vec<Part>> {
        if parts.is_empty() {
            let file = self.path.display().to_string();
            let advice = "name the folder or archive that holds it, or the file";
            return Err(Error::malformed(&file, expected, found, advice));
        }
        Ok(parts)
    }

    /// How a message names the file `name`.
    pub(crate) fn describe(&self, name: &str) -> String {
        match self.entries.get(name) {
            Some(Place::File(path)) => path.display().to_string(),
            _ => format!("{}: {name}", self.path.display()),
        }
    }

    /// The bytes of the file `name`, with gzip undone where its content is gzip.
    pub(crate) fn stream(&self, name: &str) -> Result<Box<dyn BufRead + Send>> {
        let failed = |source| Error::read(self.describe(name), source);
        let mut stream: BufReader<Box<dyn Read + Send>> = BufReader::with_capacity(1 << 16, self.raw(name)?);
        let compressed = stream.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        Ok(if compressed { Box::new(BufReader::new(MultiGzDecoder::new(stream))) } else { Box::new(stream) })
    }

    /// The bytes of the file `name` as they are stored.
    fn raw(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        match self.entries.get(name) {
            Some(Place::File(path)) => Ok(Box::new(open_file(path)?)),
            Some(Place::Span { file, start, length }) => {
                Ok(Box::new(Span { file: file.clone(), position: *start, end: start + length }))
            }
            None => Err(Error::damaged(&self.describe(name), "a file of this name", "none")),
        }
    }
}

#[cfg(test)]
mod tests;
