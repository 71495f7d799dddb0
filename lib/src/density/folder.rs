//! A model saved as a folder: `params/<name>.npy` in PyTorch's layouts and `pixelcnn.json`, written last.
//!
//! The description holds the sizes, each parameter's shape and digest, and where the model comes from.

use std::path::Path;

use serde_json::{Value, json};

use super::architecture::Architecture;
use super::network::PixelCnn;
use super::parameters::Layers;
use super::{Error, Result};
use crate::net;
use crate::net::folder::{read_json, read_parameter, write_parameters};
use crate::store::atomic;
use crate::store::npy::Scalar;
use crate::tensor::Element;

const FORMAT: &str = "obverse-pixelcnn/1";
const DESCRIPTION: &str = "pixelcnn.json";

impl<E: Element + Scalar> PixelCnn<E> {
    /// Writes the model into `folder`, which exists; `origin` says which tool made it, from what.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path, origin: &Value) -> Result<()> {
        let specs = self.specs().iter().zip(self.parameters());
        let named = specs.map(|(spec, value)| (spec.name.clone(), spec.shape.as_slice(), value));
        let digests = write_parameters(folder, named)?;
        let description = json!({
            "format": FORMAT, "architecture": self.architecture(), "parameters": digests, "origin": origin,
        });
        let path = folder.join(DESCRIPTION);
        let mut text = serde_json::to_vec_pretty(&description)
            .map_err(|error| net::Error::Json { path: path.clone(), reason: error.to_string() })?;
        text.push(b'\n');
        Ok(atomic::write(&path, &text)?)
    }

    /// Reads a model from its folder, casting parameters to `E`.
    ///
    /// # Errors
    /// Another kind of folder; sizes that do not fit; a parameter that is missing, of another shape, or not the one that was saved.
    pub fn load(folder: &Path) -> Result<Self> {
        let description = read_json(&folder.join(DESCRIPTION))?;
        let architecture = architecture_of(folder, &description)?;
        let layers = Layers::of(&architecture);
        let digests = description.get("parameters").cloned().unwrap_or_default();
        let specs = layers.specs.iter();
        let parameters =
            specs.map(|spec| read_parameter(folder, &spec.name, &spec.shape, &digests)).collect::<net::Result<_>>()?;
        Ok(Self::assembled(architecture, layers, parameters))
    }
}

impl Architecture {
    /// The sizes of the model in `folder`.
    ///
    /// # Errors
    /// Another kind of folder; sizes that do not fit each other.
    pub fn load(folder: &Path) -> Result<Self> {
        architecture_of(folder, &read_json(&folder.join(DESCRIPTION))?)
    }
}

fn architecture_of(folder: &Path, description: &Value) -> Result<Architecture> {
    let path = folder.join(DESCRIPTION);
    let format = description.get("format").and_then(Value::as_str).unwrap_or("none");
    if format != FORMAT {
        return Err(Error::Format { path, expected: FORMAT, found: format.to_string() });
    }
    let value = description.get("architecture").cloned().unwrap_or_default();
    let parsed: Architecture = serde_json::from_value(value)
        .map_err(|error| net::Error::Json { path, reason: format!("\"architecture\": {error}") })?;
    parsed.check()
}
