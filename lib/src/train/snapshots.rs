//! Parameters after chosen numbers of updates, kept until the run ends.
//!
//! ```
//! use obverse::tensor::{batch, view};
//! use obverse::train::snapshots::Snapshots;
//! let mut snapshots = Snapshots::<f64>::new(vec![0, 2]);
//! for update in 0..4 {
//!     snapshots.offer(update, &[batch(vec![update as f64], (1, 1, 1, 1))]);
//! }
//! let taken: Vec<_> = snapshots.taken().iter().map(|(update, kept)| (*update, view(&kept[0])[0])).collect();
//! assert_eq!(taken, [(0, 0.0), (2, 2.0)]);
//! ```

use std::path::Path;

use super::checkpoint::{array_path, read_values, write_values};
use super::error::Result;
use crate::store::npy::Scalar;
use crate::tensor::{Batch, Element, view, view_mut};

/// The chosen updates, and the parameters after those that have passed.
#[derive(Clone, Debug, Default)]
pub struct Snapshots<E: Element> {
    wanted: Vec<u64>,
    taken: Vec<(u64, Vec<Batch<E>>)>,
}

impl<E: Element + Scalar> Snapshots<E> {
    /// Snapshots after each of these numbers of updates; 0 is the network as it was initialised.
    pub fn new(wanted: Vec<u64>) -> Self {
        Self { wanted, taken: Vec::new() }
    }

    /// Keeps the parameters after `updates` updates, if they are wanted.
    pub fn offer(&mut self, updates: u64, parameters: &[Batch<E>]) {
        if self.wanted.contains(&updates) && self.taken.iter().all(|(taken, _)| *taken != updates) {
            self.taken.push((updates, parameters.to_vec()));
        }
    }

    /// What was kept, in the order of the updates.
    pub fn taken(&self) -> &[(u64, Vec<Batch<E>>)] {
        &self.taken
    }

    /// Writes them into a checkpoint's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        for (updates, parameters) in &self.taken {
            for (which, parameter) in parameters.iter().enumerate() {
                write_values(folder, &name(*updates), which, "value", view(parameter))?;
            }
        }
        Ok(())
    }

    /// Reads back what `save` wrote, for parameters of these shapes.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn restore(&mut self, folder: &Path, like: &[Batch<E>]) -> Result<()> {
        self.taken.clear();
        let mut wanted = self.wanted.clone();
        wanted.sort_unstable();
        for updates in wanted {
            if !array_path(folder, &name(updates), 0, "value").is_file() {
                continue;
            }
            let mut parameters = like.to_vec();
            for (which, parameter) in parameters.iter_mut().enumerate() {
                let values = read_values(folder, &name(updates), which, "value", view(parameter).len())?;
                view_mut(parameter).copy_from_slice(&values);
            }
            self.taken.push((updates, parameters));
        }
        Ok(())
    }
}

fn name(updates: u64) -> String {
    format!("snapshot-{updates}")
}
