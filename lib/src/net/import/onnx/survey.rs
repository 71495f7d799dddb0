//! All that stands in the way of an import, not only the first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::OPEN;
use super::fusions::fused;
use super::names::readable;
use super::operations::is_known;
use super::options::Options;
use super::translation::Translation;
use super::value::Site;
use crate::net::error::{Error, Result};
use crate::store::onnx::Model;

/// Operations that are refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// The first of them, by its name in the file, or by a readable one.
    pub node: String,
    /// The operation.
    pub operation: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// How many there are.
    pub count: usize,
}

/// What stands in the way of importing a file, in its order; nothing where nothing does.
///
/// What a refused operation makes is unknown; of operations that read it only those are listed that are not known at all.
///
/// # Errors
/// A file of more than one input, or one that leaves its size open where none is given.
pub fn survey(model: &Model, options: &Options) -> Result<Vec<Blocker>> {
    let mut translation = Translation::begin(model, options, OPEN[1])?;
    let mut blockers: Vec<Blocker> = Vec::new();
    let mut places: BTreeMap<[String; 3], usize> = BTreeMap::new();
    let fused = fused(model);
    for ((place, node), name) in model.nodes.iter().enumerate().zip(readable(model)) {
        let site = Site { model, node: fused.get(&place).unwrap_or(node), name };
        let refused = match translation.reads_unknown(&site) {
            true if !is_known(&node.operation) => Some(site.unknown()),
            true => None,
            false => translation.node(&site).err(),
        };
        if refused.is_some() || translation.reads_unknown(&site) {
            translation.give_unknown(&site);
        }
        let Some(error) = refused else { continue };
        let (expected, found) = match error {
            Error::Onnx { expected, found, .. } => (expected, found),
            other => ("an operation that fits".to_string(), other.to_string()),
        };
        let count = blockers.len();
        let place = *places.entry([node.operation.clone(), expected.clone(), found.clone()]).or_insert(count);
        match blockers.get_mut(place) {
            Some(blocker) => blocker.count += 1,
            None => {
                let node_name = if node.name.is_empty() { &site.name } else { &node.name };
                let (node, operation) = (node_name.clone(), node.operation.clone());
                blockers.push(Blocker { node, operation, expected, found, count: 1 });
            }
        }
    }
    Ok(blockers)
}
