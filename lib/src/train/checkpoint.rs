//! Checkpoints: everything a run needs to go on to the bit. A folder, exchanged whole: arrays in memory order, and
//! `run.json` with the position and the identity of the run (what it trains, on what, how).
//!
//! Random streams are counter-based, so a position is two numbers: the epoch and the update.
//!
//! ```
//! use obverse::train::checkpoint::{Checkpoint, Position};
//! let folder = tempfile::tempdir()?;
//! let checkpoint = Checkpoint::of(&folder.path().join("net"), serde_json::json!({"seed": 0}));
//! assert_eq!(checkpoint.find()?, None);
//! let position = Position { update: 7, ..Position::default() };
//! checkpoint.write(&position, |_| Ok(()))?;
//! assert_eq!(checkpoint.find()?.map(|position| position.update), Some(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::adam::Adam;
use super::error::{Error, Result};
use crate::net::Network;
use crate::store::npy::{Reader, Scalar, write};
use crate::store::{self, atomic, digest};
use crate::tensor::{Batch, Element, view, view_mut};

/// Where a run stands: the next update is number `update` of the whole run, the `batch`-th of epoch `epoch`, from 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs completed.
    pub epoch: u64,
    /// Batches completed in this epoch.
    pub batch: u64,
    /// Updates completed in the run.
    pub update: u64,
    /// Examples seen since the last evaluation.
    #[serde(default)]
    pub examples: u64,
    /// Losses summed over these examples, by name.
    pub losses: Map<String, Value>,
    /// Metrics of each evaluation.
    pub metrics: Vec<Map<String, Value>>,
}

/// Where a run's checkpoints lie, and whose they are.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    identity: Value,
}

#[derive(Serialize, Deserialize)]
struct State {
    identity: Value,
    position: Position,
}

impl Checkpoint {
    /// Checkpoints of the output `target`, in `<target>.checkpoint`; `identity` is all that must agree to resume.
    pub fn of(target: &Path, identity: Value) -> Self {
        let mut folder = target.as_os_str().to_owned();
        folder.push(".checkpoint");
        Self { folder: folder.into(), identity }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts a checkpoint in place of the one before.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, position: &Position, save: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let folder = atomic::AtomicFolder::create(&self.folder)?;
        save(folder.path())?;
        let state = State { identity: self.identity.clone(), position: position.clone() };
        let path = folder.path().join(digest::FOLDER_SIDECAR);
        let text = serde_json::to_vec_pretty(&state).map_err(|error| Error::broken(&path, &error))?;
        atomic::write(&path, &text)?;
        Ok(folder.commit()?)
    }

    /// The position of the checkpoint there is; `None` where there is none, or that of another run.
    ///
    /// # Errors
    /// A checkpoint that is damaged.
    pub fn find(&self) -> Result<Option<Position>> {
        let path = self.folder.join(digest::FOLDER_SIDECAR);
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(store::Error::read(&path))?;
        let state: State = serde_json::from_slice(&text).map_err(|error| Error::broken(&path, &error))?;
        Ok((state.identity == self.identity).then_some(state.position))
    }

    /// Removes the checkpoint, and what killed runs left of others, when the run's output is in place.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn remove(&self) -> Result<()> {
        atomic::clear(&self.folder);
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(store::Error::write(&self.folder)(error).into())
            }
            _ => Ok(()),
        }
    }
}

/// Writes a network's parameters and moments into a checkpoint's folder, under `name`.
///
/// # Errors
/// A file that cannot be written.
pub fn save<E: Element + Scalar>(folder: &Path, name: &str, network: &Network<E>, adam: &Adam<E>) -> Result<()> {
    save_parameters(folder, name, network.parameters(), adam)
}

/// As [`save`], of parameters that belong to no [`Network`].
///
/// # Errors
/// A file that cannot be written.
pub fn save_parameters<E: Element + Scalar>(
    folder: &Path,
    name: &str,
    parameters: &[Batch<E>],
    adam: &Adam<E>,
) -> Result<()> {
    let (first, second, updates) = adam.state();
    write(&folder.join(format!("{name}.updates.npy")), &[1], &[updates])?;
    for (which, parameter) in parameters.iter().enumerate() {
        for (kind, values) in [("value", view(parameter)), ("first", &first[which]), ("second", &second[which])] {
            write_values(folder, name, which, kind, values)?;
        }
    }
    Ok(())
}

/// Reads back what [`save`] wrote.
///
/// # Errors
/// A file that is missing, damaged or of another size.
pub fn restore<E: Element + Scalar>(folder: &Path, name: &str, network: &mut Network<E>) -> Result<Adam<E>> {
    restore_parameters(folder, name, network.parameters_mut())
}

/// Reads back what [`save_parameters`] wrote.
///
/// # Errors
/// A file that is missing, damaged or of another size.
pub fn restore_parameters<E: Element + Scalar>(
    folder: &Path,
    name: &str,
    parameters: &mut [Batch<E>],
) -> Result<Adam<E>> {
    let updates: Vec<u64> = read(&folder.join(format!("{name}.updates.npy")), 1)?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (which, parameter) in parameters.iter_mut().enumerate() {
        let length = view(parameter).len();
        view_mut(parameter).copy_from_slice(&read_values(folder, name, which, "value", length)?);
        first.push(read_values(folder, name, which, "first", length)?);
        second.push(read_values(folder, name, which, "second", length)?);
    }
    Ok(Adam::resumed(first, second, updates[0]))
}

/// Writes one array of a checkpoint: that of `kind` of parameter number `which` of what `name` says.
pub(crate) fn write_values<T: Scalar>(folder: &Path, name: &str, which: usize, kind: &str, values: &[T]) -> Result<()> {
    write(&array_path(folder, name, which, kind), &[values.len()], values)?;
    Ok(())
}

/// Reads back what [`write_values`] wrote.
pub(crate) fn read_values<T: Scalar>(
    folder: &Path,
    name: &str,
    which: usize,
    kind: &str,
    length: usize,
) -> Result<Vec<T>> {
    read(&array_path(folder, name, which, kind), length)
}

pub(super) fn array_path(folder: &Path, name: &str, which: usize, kind: &str) -> PathBuf {
    folder.join(format!("{name}.{which}.{kind}.npy"))
}

fn read<T: Scalar>(path: &Path, length: usize) -> Result<Vec<T>> {
    let mut reader = Reader::open(path)?;
    reader.require_rank(1, "a checkpoint's array")?;
    if reader.rows() != length {
        let expected = format!("{length} values");
        return Err(store::Error::Shape { path: path.to_owned(), expected, found: reader.shape().to_vec() }.into());
    }
    Ok(reader.read_rows(length)?)
}
