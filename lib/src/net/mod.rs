//! Networks: a graph of named nodes, its JSON, parameters and their initial values, and the papers' architectures.
//!
//! ```
//! use obverse::net::op::{Linear, Relu};
//! use obverse::net::{Graph, InputSpec, Mode, Network, Node, Size};
//! use obverse::ops::InputGradient;
//! use obverse::tensor::{Tape, batch, view};
//! let nodes = vec![
//!     Node::new("fc", Linear::new(2, false), "input"),
//!     Node::new("act", Relu, "fc"),
//! ];
//! let graph = Graph::new(InputSpec::plain(Size::new(2, 1, 1)), nodes, [("y".into(), "act".into())].into())?;
//! let network = Network::of_parameters(graph, |_, _| Ok(vec![1.0, 0.0, 0.0, -1.0]))?;
//! let x = batch(vec![3.0f64, 4.0], (1, 1, 1, 2));
//! let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
//! assert_eq!(view(network.value(&trace, network.graph().output("y")?)?), [3.0, 0.0]);
//! # Ok::<(), obverse::net::Error>(())
//! ```

pub mod architectures;
mod chain;
mod clarke;
mod connected;
mod error;
pub mod export;
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
mod nash;
mod network;
pub mod op;
mod size;
pub mod srnet;
mod transposed;

pub use error::{Error, Result};
pub use folder::{FORMAT, origin};
pub use graph::{Graph, INPUT, InputSpec, Node};
pub use initialise::Initialisation;
pub use network::{Mode, Network, Slopes, Trace};
pub use op::{Axis, Op, Pair, ParameterSpec, Sides};
pub use size::Size;
