//! Chunks of a long run's images, kept on disk: finished chunks, and the state of an interrupted one.
//!
//! `OUT.checkpoint/identity.json` says which run they belong to; `chunk-FIRST/` holds a finished chunk's arrays, and
//! `chunk-FIRST.state/` those of an unfinished one, each sealed. A run with the same identity continues from them to the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use obverse::store;
use obverse::store::atomic::{self, AtomicFolder};
use obverse::store::npy::{Reader, Scalar, Writer, write};
use obverse::tensor::{Element, batch, view};
use obverse::train::adam::Adam;
use obverse::train::lbfgs::{Lbfgs, LbfgsState};
use obverse::train::{Error, seal};
use obverse::visualisation::ascent::{Search, State};
use serde_json::{Map, Value, json};

/// An array of a finished chunk, with one row per image: its name, the shape of a row, its values.
pub type ChunkArray<'a, E> = (&'a str, &'a [usize], &'a [E]);

/// The file that says which run the chunks belong to.
const IDENTITY: &str = "identity.json";

/// Where a run keeps its chunks.
pub struct Chunks {
    folder: PathBuf,
}

impl Chunks {
    /// The chunks of the output `target`, for a run with this identity; `restart` discards what is there.
    ///
    /// # Errors
    /// Chunks of another request, with the differences; files that are no chunks; a folder that cannot be read or written.
    pub fn of(target: &Path, identity: &Value, restart: bool) -> anyhow::Result<Self> {
        let folder = Self::folder_of(target);
        if restart {
            remove(&folder)?;
        }
        let found = identity_of(&folder)?;
        // A run that failed before its first chunk has left nothing to continue from.
        let found = found.filter(|_| has_chunks(&folder));
        if let Some(found) = &found
            && found != identity
        {
            let differences = seal::differences(found, identity);
            return Err(Error::OtherRequest { path: folder, differences }.into());
        }
        if found.is_none() {
            fs::create_dir_all(&folder).map_err(store::Error::write(&folder))?;
            atomic::write(&folder.join(IDENTITY), identity.to_string().as_bytes())?;
        }
        Ok(Self { folder })
    }

    /// The folder they lie in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the chunks of the output `target`, if there are any.
    ///
    /// # Errors
    /// Files that are no chunks; a folder that cannot be removed.
    pub fn discard(target: &Path) -> anyhow::Result<()> {
        remove(&Self::folder_of(target))
    }

    fn folder_of(target: &Path) -> PathBuf {
        let mut folder = target.as_os_str().to_owned();
        folder.push(".checkpoint");
        PathBuf::from(folder)
    }

    fn finished(&self, first: usize) -> PathBuf {
        self.folder.join(format!("chunk-{first}"))
    }

    fn unfinished(&self, first: usize) -> PathBuf {
        self.folder.join(format!("chunk-{first}.state"))
    }

    /// Whether the chunk that begins at row `first` is finished.
    ///
    /// # Errors
    /// A chunk that is damaged.
    pub fn is_finished(&self, first: usize) -> anyhow::Result<bool> {
        let folder = self.finished(first);
        let content = seal::content(&folder)?;
        content.as_ref().map_or(Ok(()), |content| seal::verify(&folder, content))?;
        Ok(content.is_some())
    }

    /// Keeps a finished chunk's arrays.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish<E: Scalar>(&self, first: usize, rows: usize, arrays: &[ChunkArray<E>]) -> anyhow::Result<()> {
        let folder = AtomicFolder::create(&self.finished(first))?;
        for (name, row_shape, values) in arrays {
            write(&folder.path().join(format!("{name}.npy")), &[&[rows], *row_shape].concat(), values)?;
        }
        seal::seal(folder.path(), Map::new())?;
        folder.commit()?;
        Ok(seal::remove(&self.unfinished(first))?)
    }

    /// Keeps the state of an unfinished chunk, and of the searches that follow its steps.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep<E: Element + Scalar>(&self, state: &State<E>, searches: &[Search<E>]) -> anyhow::Result<()> {
        let folder = AtomicFolder::create(&self.unfinished(state.rows[0]))?;
        let (first, second, updates) = state.adam.state();
        let path = |name: &str| folder.path().join(format!("{name}.npy"));
        for (name, values) in [("s", view(&state.s)), ("first", view(&first[0])), ("second", view(&second[0]))] {
            write(&path(name), &[values.len()], values)?;
        }
        write(&path("trace"), &[state.trace.len()], &state.trace)?;
        let mut known = Map::new();
        known.insert("step".into(), state.step.into());
        known.insert("updates".into(), updates.into());
        let searches = searches.iter().enumerate().map(|(number, search)| keep_search(folder.path(), number, search));
        known.insert("searches".into(), searches.collect::<anyhow::Result<_>>()?);
        seal::seal(folder.path(), known)?;
        Ok(folder.commit()?)
    }

    /// The searches that were kept for the chunk that begins at row `first`, with `length` parameters each.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn searches<E: Element + Scalar>(&self, first: usize, length: usize) -> anyhow::Result<Vec<Search<E>>> {
        let folder = self.unfinished(first);
        let content = seal::content(&folder)?.unwrap_or_default();
        let kept = content.get("searches").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        kept.iter().enumerate().map(|(number, known)| search_of(&folder, number, known, length)).collect()
    }

    /// The state that was kept, or else the start.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn resume<E: Element + Scalar>(&self, start: State<E>) -> anyhow::Result<State<E>> {
        let folder = self.unfinished(start.rows[0]);
        let Some(content) = seal::content(&folder)? else { return Ok(start) };
        seal::verify(&folder, &content)?;
        let path = |name: &str| folder.join(format!("{name}.npy"));
        let length = view(&start.s).len();
        let values = |name: &str| read::<E>(&path(name), length);
        let count = |name: &str| {
            let count = content.get(name).and_then(Value::as_u64);
            count.with_context(|| format!("{}: expected {name}, found none; give --restart", folder.display()))
        };
        let (step, updates) = (count("step")?, count("updates")?);
        let adam =
            Adam::resumed(std::slice::from_ref(&start.s), vec![values("first")?], vec![values("second")?], updates);
        let trace = read::<f64>(&path("trace"), (step as usize).saturating_mul(2 * start.rows.len()))?;
        let s = batch(values("s")?, obverse::tensor::shape(&start.s));
        Ok(State { rows: start.rows, step, s, adam, trace })
    }

    /// Joins an array of the chunks that begin at `firsts` into a file.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn join<E: Scalar>(&self, name: &str, firsts: &[usize], writer: &mut Writer) -> anyhow::Result<()> {
        for &first in firsts {
            let mut reader = self.open(name, first)?;
            let rows = reader.rows();
            writer.write_rows(&reader.read_rows::<E>(rows)?)?;
        }
        Ok(())
    }

    /// An array of the finished chunk that begins at `first`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(&self, name: &str, first: usize) -> anyhow::Result<Reader> {
        Ok(Reader::open(&self.finished(first).join(format!("{name}.npy")))?)
    }

    /// Removes everything, when the run's output is in place.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn remove(self) -> anyhow::Result<()> {
        remove(&self.folder)
    }
}

/// Writes the arrays of a search, and returns its numbers.
fn keep_search<E: Element + Scalar>(folder: &Path, number: usize, search: &Search<E>) -> anyhow::Result<Value> {
    let LbfgsState { x, value, gradient, steps, changes, iterations, evaluations } = search.lbfgs.state();
    let path = |name: &str| folder.join(format!("search-{number}-{name}.npy"));
    let (steps, changes, trace) = (steps.concat(), changes.concat(), search.trace.concat());
    for (name, values) in [("x", x), ("gradient", gradient), ("steps", &steps), ("changes", &changes)] {
        write(&path(name), &[values.len()], values)?;
    }
    write(&path("value"), &[1], &[*value])?;
    write(&path("trace"), &[trace.len()], &trace)?;
    Ok(json!({"iterations": iterations, "evaluations": evaluations, "ended": search.ended,
        "remembered": search.lbfgs.state().steps.len()}))
}

/// Reads a search that was kept.
fn search_of<E: Element + Scalar>(
    folder: &Path,
    number: usize,
    known: &Value,
    length: usize,
) -> anyhow::Result<Search<E>> {
    let count = |name: &str| {
        let count = known[name].as_u64();
        count.with_context(|| {
            format!("{}: expected {name} of search {number}, found none; give --restart", folder.display())
        })
    };
    let path = |name: &str| folder.join(format!("search-{number}-{name}.npy"));
    let (remembered, iterations) = (count("remembered")? as usize, count("iterations")?);
    let values = |name: &str, rows: usize| read::<E>(&path(name), length.saturating_mul(rows));
    let vectors = |name: &str| -> anyhow::Result<Vec<Vec<E>>> {
        Ok(values(name, remembered)?.chunks(length.max(1)).map(<[E]>::to_vec).collect())
    };
    let trace = read::<f64>(&path("trace"), (iterations as usize).saturating_mul(2))?;
    let lbfgs = Lbfgs::resumed(LbfgsState {
        x: values("x", 1)?,
        value: read::<f64>(&path("value"), 1)?[0],
        gradient: values("gradient", 1)?,
        steps: vectors("steps")?,
        changes: vectors("changes")?,
        iterations,
        evaluations: count("evaluations")?,
    });
    let trace = trace.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
    Ok(Search { lbfgs, trace, ended: known["ended"] == true })
}

/// The identity of the run that wrote a folder of chunks; none if there is no folder, or no run wrote an identity into it. Files that
/// are no chunks are errors.
fn identity_of(folder: &Path) -> anyhow::Result<Option<Value>> {
    if fs::symlink_metadata(folder).is_err() {
        return Ok(None);
    }
    for entry in fs::read_dir(folder).map_err(store::Error::read(folder))? {
        let path = entry.map_err(store::Error::read(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.as_ref() {
            IDENTITY => {}
            // Partial files of a killed run.
            name if name.starts_with(".chunk-") || name.starts_with(".identity.json.") => {}
            name if name.starts_with("chunk-") && path.is_dir() => match seal::content(&path) {
                Ok(_) | Err(Error::Checkpoint { .. }) => {}
                Err(error) => return Err(error.into()),
            },
            _ => return Err(Error::Foreign { path }.into()),
        }
    }
    let file = folder.join(IDENTITY);
    match fs::read(&file) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text).unwrap_or_default())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(store::Error::read(&file)(error).into()),
    }
}

/// Whether a chunk was kept, finished or not.
fn has_chunks(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("chunk-"))
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    identity_of(folder)?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(store::Error::write(folder)(error).into()),
        _ => Ok(()),
    }
}

fn read<T: Scalar>(path: &Path, length: usize) -> anyhow::Result<Vec<T>> {
    let mut reader = Reader::open(path)?;
    reader.require_row_shape(&[], "a checkpoint's array")?;
    anyhow::ensure!(
        reader.rows() == length,
        "{}: expected {length} values, found {}; give --restart",
        path.display(),
        reader.rows()
    );
    Ok(reader.read_rows(length)?)
}
