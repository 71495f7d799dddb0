//! What can be wrong with an objective for a network.

use std::path::PathBuf;

use crate::{net, store};

/// What is wrong with an objective for a network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A channel or place that the node does not have.
    #[error("objective at node \"{node}\": expected {expected}, found {found}")]
    Place {
        /// The node's name.
        node: String,
        /// What it has.
        expected: String,
        /// What was requested.
        found: String,
    },
    /// A file of directions that does not fit.
    #[error("{path}: expected {expected}, found {found}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the node takes.
        expected: String,
        /// What is there.
        found: String,
    },
    /// No output that holds the classes.
    #[error(
        "class:{class}: expected a network with an output \"logits\" or a single output, found {found}; name the node: neuron:NODE:{class}"
    )]
    NoClasses {
        /// The class requested.
        class: usize,
        /// The outputs there are.
        found: String,
    },
    /// A network.
    #[error("{0}")]
    Net(#[from] net::Error),
    /// A file.
    #[error("{0}")]
    Store(#[from] store::Error),
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;
