//! Networks: a graph of named nodes, its JSON, parameters and their initial values, and the papers' architectures.

pub mod architectures;
mod clarke;
mod connected;
mod error;
mod fold;
pub(crate) mod folder;
#[cfg(test)]
mod folder_tests;
mod graph;
#[cfg(test)]
mod graph_tests;
pub mod import;
pub mod inception;
pub(crate) mod initialise;
mod layers;
mod nash;
mod network;
#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod operation_tests;
pub mod srnet;
mod transposed;

pub use error::{Error, Result};
pub use folder::{FORMAT, origin};
pub use graph::{Graph, INPUT, InputSpec, Node, Op, Pair, ParameterSpec, Sides, Size};
pub use initialise::Initialisation;
pub use network::{Mode, Network, Slopes, Trace};
