//! Obverse runs neural networks backwards: it recovers inputs from representations, finds the input a unit wants, and
//! measures how much of its input a layer still knows.
//!
//! This is the library under the command-line tools of the same name. It holds all the science; it prints nothing, parses no
//! arguments and never exits.
//!
//! ```
//! // Two images are encoded, thrown away, and recovered from five numbers each by one gradient step on an empty image.
//! use obverse::alignment::{recovery::{Aim, Recovery}, training::encode};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::tensor::{Tape, batch, random::Stream, shape, zeros};
//!
//! let graph = architectures::encoder("mnist", Size::new(1, 8, 8), &[("z", 5)])?;
//! let encoder = Network::<f32>::initialised(graph, Initialisation::Orthogonal, 0);
//! let images = batch(Stream::new(0, "images", 0).uniform(0..128), (2, 8, 8, 1));
//! let node = encoder.graph().output("z")?;
//! let latents = encode(&encoder, node, &images)?;
//! let recovery = Recovery { steps: 1, tau: 1.0, sigmoid: false };
//! let aims = [Aim::at(node, &latents)];
//! let recovered = recovery.recover(&mut Tape::off(), &encoder, &aims, &zeros((1, 8, 8, 1)))?;
//! assert_eq!((shape(&latents), shape(&recovered)), ((2, 1, 1, 5), (2, 8, 8, 1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rooms
//!
//! Each module is a room for one idea, and imports rooms below it only. From the methods down to the files:
//!
//! | room | what it is for |
//! |---|---|
//! | [`report`] | pictures of results: grids of images, curves, a page of a whole pipeline |
//! | [`alignment`] | feature alignment: encoders whose gradient recovers what they encode |
//! | [`visualisation`] | feature visualisation: the image that a unit wants |
//! | [`ifv`] | inverse feature visualisation: the unit that an image was made for |
//! | [`density`] | PixelCNN++, conditional on what a layer computes |
//! | [`information`] | bounds and estimators of what a layer knows of its input, in nats |
//! | [`fidelity`] | Fréchet and kernel distances, precision and recall between sets of images |
//! | [`reversible`] | networks run backwards by their own transposed weights |
//! | [`baselines`] | classifiers, autoencoders and GANs that the methods are compared with |
//! | [`objective`] | what is raised in feature visualisation, of what an image is made, what it must hold under |
//! | [`train`] | Adam, L-BFGS, schedules, checkpoints, the loop |
//! | [`net`] | networks: graphs of named nodes, both directions, importers |
//! | [`ops`] | differentiable operations and the one matrix product |
//! | [`data`] | readers of datasets, drawn shapes, batches |
//! | [`similarity`] | distances between rows, structural similarity, nearest neighbours |
//! | [`statistics`] | how sure a number is |
//! | [`store`] | arrays in files, digests, sidecars, the cache, atomic writes |
//! | [`tensor`] | batches in memory, views, random streams |
//!
//! # Where to start
//!
//! - [`tensor::Batch`] is the array that everything takes: (N, H, W, C), f32 or f64.
//! - [`net::Network`] runs forward and back; [`net::architectures`] makes graphs, [`net::import`] reads other people's weights.
//! - Then the method you came for. The top of each module says its source, with an example.
//! - `lib/examples` has four whole programs: `cargo run --package obverse --example invert`, `visualise`, `fid` and `density`.
//! - ARCHITECTURE.md says why the library is built so, CONTRIBUTING.md how to add an operation, a dataset or an estimator.

pub mod alignment;
pub mod baselines;
pub mod data;
pub mod density;
pub mod fidelity;
pub mod ifv;
pub mod information;
pub mod net;
pub mod objective;
pub mod ops;
pub mod report;
pub mod reversible;
pub mod similarity;
pub mod statistics;
pub mod store;
pub mod tensor;
pub mod train;
pub mod visualisation;

// `tests/src/oracle.rs`, which is a module of other crates too, calls the library by its name.
#[cfg(test)]
extern crate self as obverse;
