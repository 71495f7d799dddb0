//! Checkpoints: everything a run needs to continue bit for bit. A folder, replaced as a whole: arrays in memory order, and
//! `run.json` with the position, the identity of the run (what it trains, on what, how) and the digest of every file.
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

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::adam::Adam;
use super::error::{Error, Result};
use super::seal;
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

/// The place of a run's checkpoints, and the identity of the run.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    identity: Value,
}

/// Where the checkpoints of the output `target` lie.
pub fn folder_of(target: &Path) -> PathBuf {
    let mut folder = target.as_os_str().to_owned();
    folder.push(".checkpoint");
    folder.into()
}

#[derive(Serialize, Deserialize)]
struct State {
    identity: Value,
    position: Position,
}

impl Checkpoint {
    /// Checkpoints of the output `target`, in `<target>.checkpoint`; `identity` is all that must agree to resume.
    pub fn of(target: &Path, identity: Value) -> Self {
        Self { folder: folder_of(target), identity }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Replaces the last checkpoint.
    ///
    /// # Errors
    /// A file that cannot be written, or that is not the checkpoint's.
    pub fn write(&self, position: &Position, save: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        // A damaged checkpoint may be replaced.
        match seal::content(&self.folder) {
            Ok(_) | Err(Error::Checkpoint { .. }) => {}
            Err(error) => return Err(error),
        }
        let folder = atomic::AtomicFolder::create(&self.folder)?;
        save(folder.path())?;
        let state = State { identity: self.identity.clone(), position: position.clone() };
        let path = folder.path().join(digest::FOLDER_SIDECAR);
        match serde_json::to_value(&state).map_err(|error| Error::broken(&path, &error))? {
            Value::Object(state) => seal::seal(folder.path(), state)?,
            _ => return Err(Error::broken(&path, &"no object")),
        }
        Ok(folder.commit()?)
    }

    /// The position of the checkpoint, whose files are verified; `None` where there is none.
    ///
    /// # Errors
    /// A checkpoint of another request, with the keys that differ; one that is damaged; files that are not the checkpoint's.
    pub fn find(&self) -> Result<Option<Position>> {
        atomic::restore(&self.folder);
        let Some(content) = seal::content(&self.folder)? else { return Ok(None) };
        let path = self.folder.join(digest::FOLDER_SIDECAR);
        let state: State =
            serde_json::from_value(Value::Object(content.clone())).map_err(|error| Error::broken(&path, &error))?;
        if state.identity != self.identity {
            let differences = seal::differences(&state.identity, &self.identity);
            return Err(Error::OtherRequest { path: self.folder.clone(), differences });
        }
        seal::verify(&self.folder, &content)?;
        Ok(Some(state.position))
    }

    /// Removes the checkpoint, and remains of killed runs, when the run's output is in place or the user asks for it.
    ///
    /// # Errors
    /// A folder that cannot be removed, or that holds other files.
    pub fn remove(&self) -> Result<()> {
        seal::remove(&self.folder)
    }
}

/// Writes a network's parameters and moments into a checkpoint's folder, under `name`.
///
/// # Errors
/// A file that cannot be written.
pub fn save<E: Element + Scalar>(folder: &Path, name: &str, network: &Network<E>, adam: &Adam<E>) -> Result<()> {
    save_parameters(folder, name, network.parameters(), adam)
}

/// As [`save`], for parameters outside a [`Network`].
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
        for (kind, values) in
            [("value", view(parameter)), ("first", view(&first[which])), ("second", view(&second[which]))]
        {
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
    Ok(Adam::resumed(parameters, first, second, updates[0]))
}

/// Writes one array of a checkpoint: the `kind` of parameter number `which` of `name`.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn written(folder: &Path) -> Checkpoint {
        let checkpoint = Checkpoint::of(&folder.join("net"), json!({"request": {"epochs": 10, "seed": 0}}));
        let position = Position { update: 7, ..Position::default() };
        checkpoint.write(&position, |folder| write_values(folder, "net", 0, "value", &[1.0f32, 2.0])).unwrap();
        checkpoint
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = written(folder.path());
        for name in ["net.0.value.npy", "run.json"] {
            let path = checkpoint.folder().join(name);
            let good = fs::read(&path).unwrap();
            for place in 0..good.len() {
                let mut bad = good.clone();
                bad[place] ^= 1;
                fs::write(&path, &bad).unwrap();
                match checkpoint.find() {
                    // In `run.json` it may change the name of a file, which then does not belong to the checkpoint.
                    Err(error) if name == "run.json" => {
                        assert!(error.to_string().contains("net.checkpoint/"), "{error}")
                    }
                    Err(error) => assert!(error.to_string().contains(name), "{error}"),
                    // White space in the text.
                    Ok(position) => assert_eq!(position.map(|position| position.update), Some(7), "{name} {place}"),
                }
            }
            fs::write(&path, &good).unwrap();
        }
        assert!(checkpoint.find().unwrap().is_some());
    }

    #[test]
    fn the_checkpoint_of_another_request_is_refused_with_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let other = Checkpoint::of(&folder.path().join("net"), json!({"request": {"epochs": 11, "seed": 0}}));
        let error = other.find().unwrap_err().to_string();
        assert!(error.contains("request.epochs 10 -> 11") && error.contains("`restart`"), "{error}");
        other.remove().unwrap();
        assert_eq!(other.find().unwrap(), None);
    }

    #[test]
    fn files_of_others_are_named_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = written(folder.path());
        let path = checkpoint.folder().join("weights.bin");
        fs::write(&path, "years").unwrap();
        for outcome in
            [checkpoint.find().map(drop), checkpoint.remove(), checkpoint.write(&Position::default(), |_| Ok(()))]
        {
            assert!(outcome.unwrap_err().to_string().contains("weights.bin"));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "years");
        fs::remove_file(checkpoint.folder().join("run.json")).unwrap();
        assert!(checkpoint.find().is_err() && checkpoint.remove().is_err() && path.is_file());
    }
}
