//! Chunks of a long run's images, kept on disk: finished ones, and for images on their way up the state of an interrupted one.
//!
//! `OUT.checkpoint/identity.json` says of which run they are; `chunk-FIRST/` holds a finished chunk's arrays, and
//! `chunk-FIRST.state/` those of an unfinished one. A run with the same identity goes on from them, to the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use obverse::store::atomic::{self, AtomicFolder};
use obverse::store::digest::FOLDER_SIDECAR;
use obverse::store::npy::{Reader, Scalar, Writer, write};
use obverse::tensor::{Element, batch, view};
use obverse::train::adam::Adam;
use obverse::visualize::ascent::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An array that a finished chunk leaves, with a row an image: its name, the shape of a row, its values.
pub type ChunkArray<'a, E> = (&'a str, &'a [usize], &'a [E]);

/// How far a chunk has come.
#[derive(Serialize, Deserialize)]
struct Counters {
    step: u64,
    updates: u64,
}

/// Where a run keeps its chunks.
pub struct Chunks {
    folder: PathBuf,
}

impl Chunks {
    /// Those of the output `target`; what another run left is removed.
    ///
    /// # Errors
    /// A folder that cannot be read or written.
    pub fn of(target: &Path, identity: &Value) -> anyhow::Result<Self> {
        let folder = Self::folder_of(target);
        let file = folder.join("identity.json");
        let text = identity.to_string();
        if fs::read_to_string(&file).ok().as_deref() != Some(text.as_str()) {
            remove(&folder)?;
            fs::create_dir_all(&folder).map_err(obverse::store::Error::write(&folder))?;
            atomic::write(&file, text.as_bytes())?;
        }
        Ok(Self { folder })
    }

    /// Removes those of the output `target`, if there are any.
    ///
    /// # Errors
    /// A folder that cannot be removed.
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

    /// Whether the chunk that begins at row `first` is done.
    pub fn is_finished(&self, first: usize) -> bool {
        self.finished(first).is_dir()
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
        folder.commit()?;
        remove(&self.unfinished(first))
    }

    /// Keeps the state of an unfinished chunk.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep<E: Element + Scalar>(&self, state: &State<E>) -> anyhow::Result<()> {
        let folder = AtomicFolder::create(&self.unfinished(state.rows[0]))?;
        let (first, second, updates) = state.adam.state();
        let path = |name: &str| folder.path().join(format!("{name}.npy"));
        for (name, values) in [("s", view(&state.s)), ("first", &first[0]), ("second", &second[0])] {
            write(&path(name), &[values.len()], values)?;
        }
        write(&path("trace"), &[state.trace.len()], &state.trace)?;
        // Under the name by which a folder of the suite is known, so that the next state may replace this one.
        let counters = Counters { step: state.step, updates };
        atomic::write(&folder.path().join(FOLDER_SIDECAR), &serde_json::to_vec(&counters)?)?;
        Ok(folder.commit()?)
    }

    /// Puts the state that was kept, where there is one, in the place of a start.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn resume<E: Element + Scalar>(&self, start: State<E>) -> anyhow::Result<State<E>> {
        let folder = self.unfinished(start.rows[0]);
        if !folder.is_dir() {
            return Ok(start);
        }
        let path = |name: &str| folder.join(format!("{name}.npy"));
        let length = view(&start.s).len();
        let values = |name: &str| read::<E>(&path(name), length);
        let file = folder.join(FOLDER_SIDECAR);
        let text = fs::read(&file).map_err(obverse::store::Error::read(&file))?;
        let Counters { step, updates } = serde_json::from_slice(&text)
            .with_context(|| format!("{}: expected the counters of a checkpoint; remove the folder", file.display()))?;
        let adam = Adam::resumed(vec![values("first")?], vec![values("second")?], updates);
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

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(obverse::store::Error::write(folder)(error).into())
        }
        _ => Ok(()),
    }
}

fn read<T: Scalar>(path: &Path, length: usize) -> anyhow::Result<Vec<T>> {
    let mut reader = Reader::open(path)?;
    reader.require_row_shape(&[], "a checkpoint's array")?;
    anyhow::ensure!(
        reader.rows() == length,
        "{}: expected {length} values, found {}; remove the checkpoint's folder",
        path.display(),
        reader.rows()
    );
    Ok(reader.read_rows(length)?)
}
