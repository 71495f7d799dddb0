//! The networks after the epoch with the smallest validation loss, with that epoch's metrics.
//!
//! ```
//! use obverse::tensor::{batch, view};
//! use obverse::train::best::Best;
//! let mut best = Best::<f64>::default();
//! for (loss, value) in [(2.0, 10.0), (1.0, 20.0), (3.0, 30.0)] {
//!     best.offer_parameters(loss, Default::default(), || vec![vec![batch(vec![value], (1, 1, 1, 1))]]);
//! }
//! assert_eq!(best.parameters(0).map(|kept| view(&kept[0])[0]), Some(20.0));
//! ```

use std::path::Path;

use serde_json::{Map, Value};

use super::checkpoint::{read_values, write_values};
use super::error::{Error, Result};
use crate::net::Network;
use crate::store::atomic;
use crate::store::npy::Scalar;
use crate::store::sidecar::metric;
use crate::tensor::{Batch, Element, view, view_mut};

/// The file of the loss and the metrics within a checkpoint.
const FILE: &str = "best.json";

/// The best networks so far; none before the first epoch, or without validation.
#[derive(Clone, Debug, Default)]
pub struct Best<E: Element> {
    kept: Option<Kept<E>>,
}

#[derive(Clone, Debug)]
struct Kept<E: Element> {
    loss: f64,
    metrics: Map<String, Value>,
    /// The parameters of each network.
    parameters: Vec<Vec<Batch<E>>>,
}

impl<E: Element + Scalar> Best<E> {
    /// Keeps the networks if their validation loss is the smallest so far; `metrics` are those of the epoch.
    pub fn offer(&mut self, loss: f64, epoch: u64, metrics: &Map<String, Value>, networks: &[&Network<E>]) {
        let mut metrics = metrics.clone();
        metrics.insert("best_epoch".into(), (epoch + 1).into());
        self.offer_parameters(loss, metrics, || networks.iter().map(|network| network.parameters().to_vec()).collect());
    }

    /// As [`Best::offer`], for parameters outside a [`Network`], with all metrics given.
    pub fn offer_parameters(
        &mut self,
        loss: f64,
        metrics: Map<String, Value>,
        parameters: impl FnOnce() -> Vec<Vec<Batch<E>>>,
    ) {
        if self.kept.as_ref().is_none_or(|kept| !loss.is_nan() && loss < kept.loss) {
            self.kept = Some(Kept { loss, metrics, parameters: parameters() });
        }
    }

    /// The kept parameters of set number `which`; `None` if none were kept.
    pub fn parameters(&self, which: usize) -> Option<&[Batch<E>]> {
        self.kept.as_ref().map(|kept| kept.parameters[which].as_slice())
    }

    /// The metrics of the kept epoch; empty if there is none.
    pub fn metrics(&self) -> Map<String, Value> {
        self.kept.as_ref().map(|kept| kept.metrics.clone()).unwrap_or_default()
    }

    /// Network number `which` with its kept parameters; unchanged if none were kept.
    pub fn network(&self, which: usize, network: &Network<E>) -> Network<E> {
        let mut network = network.clone();
        if let Some(kept) = &self.kept {
            network.parameters_mut().clone_from_slice(&kept.parameters[which]);
        }
        network
    }

    /// Writes it into a checkpoint's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let Some(kept) = &self.kept else { return Ok(()) };
        for (which, parameters) in kept.parameters.iter().enumerate() {
            for (number, parameter) in parameters.iter().enumerate() {
                write_values(folder, &format!("best-{which}"), number, "value", view(parameter))?;
            }
        }
        let json = Value::from_iter([
            ("loss".to_string(), metric(kept.loss)),
            ("metrics".to_string(), Value::Object(kept.metrics.clone())),
        ]);
        Ok(atomic::write(&folder.join(FILE), json.to_string().as_bytes())?)
    }

    /// Reads back what `save` wrote, for the same networks.
    ///
    /// # Errors
    /// A file that is missing or damaged.
    pub fn restore(&mut self, folder: &Path, networks: &[&Network<E>]) -> Result<()> {
        self.restore_parameters(folder, networks.iter().map(|network| network.parameters().to_vec()).collect())
    }

    /// As [`Best::restore`], for parameters of these shapes.
    ///
    /// # Errors
    /// A file that is missing or damaged.
    pub fn restore_parameters(&mut self, folder: &Path, mut parameters: Vec<Vec<Batch<E>>>) -> Result<()> {
        let path = folder.join(FILE);
        if !path.is_file() {
            self.kept = None;
            return Ok(());
        }
        let text = std::fs::read(&path).map_err(crate::store::Error::read(&path))?;
        let json: Value = serde_json::from_slice(&text).map_err(|error| Error::broken(&path, &error))?;
        let loss = json.get("loss").and_then(Value::as_f64).unwrap_or(f64::INFINITY);
        let metrics = json.get("metrics").and_then(Value::as_object).cloned().unwrap_or_default();
        for (which, parameters) in parameters.iter_mut().enumerate() {
            for (number, parameter) in parameters.iter_mut().enumerate() {
                let values = read_values(folder, &format!("best-{which}"), number, "value", view(parameter).len())?;
                view_mut(parameter).copy_from_slice(&values);
            }
        }
        self.kept = Some(Kept { loss, metrics, parameters });
        Ok(())
    }
}
