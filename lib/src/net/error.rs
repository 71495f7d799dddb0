//! What can be wrong with a network: each error names the node, what was expected and what was found.

use std::path::PathBuf;

use crate::store;

/// An error of a network's graph, parameters or files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The JSON does not parse.
    #[error("{path}: not a network description: {reason}")]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's words.
        reason: String,
    },
    /// The format's name is another.
    #[error("{path}: expected format \"obverse-net/1\", found \"{found}\"")]
    Format {
        /// The file.
        path: PathBuf,
        /// The name found.
        found: String,
    },
    /// A node that cannot be read: an unknown operation, a missing or superfluous setting.
    #[error("node \"{node}\": {reason}")]
    Node {
        /// The node's name.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// An input that is no node's name.
    #[error("node \"{node}\": its input \"{input}\" is neither a node nor \"input\"")]
    MissingInput {
        /// The node's name.
        node: String,
        /// The name it refers to.
        input: String,
    },
    /// Two nodes of one name.
    #[error("node \"{node}\": the name is used twice")]
    Duplicate {
        /// The name.
        node: String,
    },
    /// Nodes that wait for each other.
    #[error("node \"{node}\": part of a cycle; a network must be a directed acyclic graph")]
    Cycle {
        /// One node of the cycle.
        node: String,
    },
    /// Shapes that do not fit.
    #[error("node \"{node}\": expected {expected}, found {found}")]
    Shape {
        /// The node's name.
        node: String,
        /// What the operation takes.
        expected: String,
        /// What its input is.
        found: String,
    },
    /// A name that no node has.
    #[error("no node \"{node}\" in this network; it has {known}")]
    NoSuchNode {
        /// The name asked for.
        node: String,
        /// The names there are.
        known: String,
    },
    /// A node whose value was not kept.
    #[error("node \"{node}\": not computed; name it an output or tap it")]
    NotComputed {
        /// The node's name.
        node: String,
    },
    /// Nodes that do not depend on the input.
    #[error("nodes {nodes}: the input does not reach them, so there is no gradient to follow")]
    Unreached {
        /// Their names.
        nodes: String,
    },
    /// An output that the network does not name.
    #[error("no output \"{output}\" in this network; it has {known}")]
    NoSuchOutput {
        /// The name asked for.
        output: String,
        /// The names there are.
        known: String,
    },
    /// A parameter file that is missing.
    #[error("{path}: parameter \"{parameter}\" of the network is missing; copy the whole folder, or train again")]
    MissingParameter {
        /// The file looked for.
        path: PathBuf,
        /// The parameter's name.
        parameter: String,
    },
    /// A parameter of another shape than its node needs.
    #[error("{path}: parameter \"{parameter}\": expected shape {expected:?}, found {found:?}")]
    ParameterShape {
        /// The file.
        path: PathBuf,
        /// The parameter's name.
        parameter: String,
        /// The shape its node needs.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A parameter whose bytes are not those that were written with the network.
    #[error("{path}: the file is not the one the network was saved with (its digest differs from net.json's)")]
    Digest {
        /// The file.
        path: PathBuf,
    },
    /// A network larger than memory allows.
    #[error(
        "node \"{node}\": {elements} values are more than the limit of {limit}; is the network or the input meant to be this large?"
    )]
    TooLarge {
        /// The node's name.
        node: String,
        /// The values it would hold.
        elements: u128,
        /// The most that are allowed.
        limit: u128,
    },
    /// A node of an ONNX file that cannot be taken over.
    #[error("{path}: node {node}: expected {expected}, found {found}")]
    Onnx {
        /// The file.
        path: PathBuf,
        /// The node's name and operation.
        node: String,
        /// What can be taken over.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// An architecture that is not built in.
    #[error("no architecture \"{name}\"; there are {known}, or the path of a net.json")]
    NoSuchArchitecture {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A file.
    #[error("{0}")]
    Store(#[from] store::Error),
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;
