//! Features of images are kept in files, so that a second comparison does not run the network again.
//!
//! A kept file is an output of `fid-score features` like any other: its sidecar says which images, by content, which network and node
//! it is of, and how pixels were taken. What decides freshness, locking and ownership of outputs decides them here.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use obverse::fidelity::features::Reading;
use obverse::store::npy::{Dtype, Reader, Writer};
use obverse::store::sidecar::Sidecar;
use obverse::store::{digest, is_standard_stream};
use serde_json::Value;

use super::Arguments;
use crate::exit::say;
use crate::features::{FeatureArguments, Left, OnError, Rows, Tap};
use crate::interrupt::Interrupted;
use crate::owned::is_device;
use crate::request::{ChangesNothing, Request};
use crate::{CommonArguments, Failure, Metrics, Task};

/// `--cache` and `--no-cache`.
#[derive(Clone, Debug, Args)]
pub(super) struct CacheArguments {
    /// Where features of images are kept, so that a second comparison does not run the network again [default: beside each set, in
    /// SET.features]
    #[arg(long, value_name = "DIR", add = ChangesNothing)]
    cache: Option<PathBuf>,
    /// Keep no features, and use none that were kept
    #[arg(long, conflicts_with = "cache", add = ChangesNothing)]
    no_cache: bool,
}

/// Where the features of one set are kept.
pub(super) struct Shelf<'a> {
    set: &'a Path,
    features: &'a FeatureArguments,
    common: &'a CommonArguments,
    folder: PathBuf,
    /// What the names of files begin with: nothing beside a set, whose files are replaced when it changes; the set's digest in a
    /// folder of many sets.
    content: String,
}

/// Features that are kept, or that are to be.
pub(super) enum Kept {
    /// They are there.
    There(Rows, Left),
    /// They are not, and a run that makes them has begun.
    Missing(Box<Entry>),
    /// They cannot be kept.
    Nowhere,
}

/// A file of features under way.
pub(super) struct Entry {
    task: Task,
    writer: Writer,
}

impl CacheArguments {
    /// Where the features of `set` are kept, if anywhere.
    pub(super) fn shelf<'a>(
        &self,
        set: &'a Path,
        features: &'a FeatureArguments,
        common: &'a CommonArguments,
    ) -> Option<Shelf<'a>> {
        if self.no_cache || is_standard_stream(set) || is_device(set) {
            return None;
        }
        let (folder, content) = match &self.cache {
            Some(folder) => (folder.clone(), digest::of_path(set).ok()?),
            None => (beside(set)?, String::new()),
        };
        Some(Shelf { set, features, common, folder, content })
    }
}

/// `SET.features` beside a set.
fn beside(set: &Path) -> Option<PathBuf> {
    let set = if set.file_name().is_some() { set.to_owned() } else { fs::canonicalize(set).ok()? };
    let mut name = set.file_name()?.to_owned();
    name.push(".features");
    Some(set.with_file_name(name))
}

impl Shelf<'_> {
    /// The features of `tap`, or the run that will make them. What stands in the way is said, and nothing is kept then.
    ///
    /// # Errors
    /// An interrupt.
    pub(super) fn kept(&self, tap: &Tap) -> anyhow::Result<Kept> {
        match self.begin(tap) {
            Err(error) if error.is::<Interrupted>() => Err(error),
            Err(error) => {
                self.note(&error);
                Ok(Kept::Nowhere)
            }
            kept => kept,
        }
    }

    fn begin(&self, tap: &Tap) -> anyhow::Result<Kept> {
        fs::create_dir_all(&self.folder).map_err(obverse::store::Error::write(&self.folder))?;
        let output = self.folder.join(self.name(tap));
        let words = self.words(tap, &output);
        let mut command = Arguments::command().name(crate::exit::tool_name());
        let request = Request::of(&command.clone(), &command.try_get_matches_from_mut(&words)?);
        let shown = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        // It says nothing by itself: an error of the comparison stays one line.
        let silent = CommonArguments { quiet: true, force: self.common.force, ..CommonArguments::default() };
        let mut task = Task::of_request(&silent, Some(&output), request, shown)?;
        task.on(&self.features.device, false)?;
        task.resolved("features", &tap.origin)?;
        if !task.is_fresh()? {
            let writer = Writer::create(&output, Dtype::F32, &[tap.dimension])?;
            return Ok(Kept::Missing(Box::new(Entry { task, writer })));
        }
        let rows = Rows::of_array(&mut Reader::open(&output)?)?;
        let sidecar = Sidecar::path_of(&output).and_then(|path| Sidecar::read(&path).ok());
        let metrics = sidecar.map(|sidecar| sidecar.metrics).unwrap_or_default();
        let count = |name: &str| metrics.get(name).and_then(Value::as_u64).unwrap_or(0) as usize;
        Ok(Kept::There(rows, Left { skipped: count("skipped"), clipped: count("clipped"), kept: true }))
    }

    /// The file's name: the digest of all that tells its features from others of the same set, or of any.
    fn name(&self, tap: &Tap) -> String {
        let origin = &tap.origin;
        let key = [&self.content, &origin.network, &origin.layer, &origin.input, &format!("{:?}", origin.rounding)];
        let pixels = self.features.pixels.words();
        let key = key.map(String::as_str).join("\n") + &format!("\n{:?}\n{pixels:?}", origin.at_every_place);
        let key = key + self.features.device.name().unwrap_or_default();
        format!("{}.npy", &digest::of_bytes(key.as_bytes())[..32])
    }

    /// The command that makes the same file.
    fn words(&self, tap: &Tap, output: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = [crate::exit::tool_name(), "features", "--net"].map(OsString::from).to_vec();
        words.push(self.features.net.clone().into());
        words.extend(["--layer", &tap.origin.layer, "--input", &tap.origin.input].map(OsString::from));
        if let Reading::Places { channels } = tap.reading {
            words.extend(["--at-every-place", &channels.to_string()].map(OsString::from));
        }
        words.extend(self.features.pixels.words().into_iter().map(OsString::from));
        if self.features.no_round {
            words.push("--no-round".into());
        }
        if let Some(name) = self.features.device.name() {
            words.extend(["--device", name].map(OsString::from));
        }
        if self.features.on_error == OnError::Skip {
            words.extend(["--on-error", "skip"].map(OsString::from));
        }
        words.extend(["-o".into(), output.into(), "--".into(), self.set.into()]);
        words
    }

    /// Puts a file of features in its place; says what stands in the way.
    ///
    /// # Errors
    /// A set that changed while it was read.
    pub(super) fn keep(&self, entry: Entry, left: Left) -> anyhow::Result<()> {
        match entry.task.finish_array(entry.writer, metrics_of(left)) {
            Err(error) if !error.is::<Failure>() => {
                self.note(&error);
                Ok(())
            }
            kept => kept,
        }
    }

    /// Adds rows to a file under way; says what stands in the way, and gives it up.
    pub(super) fn write(&self, entry: &mut Option<Box<Entry>>, rows: &[f32]) {
        if let Some(Err(error)) = entry.as_mut().map(|entry| entry.writer.write_rows(rows)) {
            self.note(&error.into());
            *entry = None;
        }
    }

    fn note(&self, error: &anyhow::Error) {
        if !self.common.quiet {
            say(&format!("{}: its features are not kept: {error:#}", self.set.display()));
        }
    }
}

impl Drop for Shelf<'_> {
    /// A run that fails leaves no empty folder.
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// What `fid-score features` says of a pass.
pub(super) fn metrics_of(left: Left) -> Metrics {
    let mut metrics = Metrics::from_iter([("skipped".to_owned(), left.skipped.into())]);
    if left.clipped > 0 {
        metrics.insert("clipped".into(), left.clipped.into());
    }
    metrics
}
