//! Feature visualisation: the image a unit wants, by ascent or by search.
//!
//! Sources: "Feature visualization" (Olah et al. 2017), "Generative model regularisation for feature visualisation", and inverse
//! feature visualisation, sections 2 and 3.2.
//!
//! ```
//! // The best of a hundred random images for a class.
//! use obverse::objective::transform::Transforms;
//! use obverse::tensor::batch;
//! use obverse::visualisation::search::{Best, Judge};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::objective::aggregation::Aggregation;
//! use obverse::objective::resolved::{Comparison, Objective};
//! let size = Size::new(1, 4, 4);
//! let graph = architectures::classifier("mnist", size, 3, 0.0)?;
//! let network = Network::<f64>::initialised(graph, Initialisation::Uniform, 0);
//! let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
//! let objective = Objective::new(&"class:2".parse()?, network.graph(), 1, comparison)?;
//! let plain = Transforms::default().between(size, size)?;
//! let judge = Judge { network: &network, plain: &plain, objectives: &[objective] };
//! let mut best = [Best::new(1)];
//! let pixels = obverse::tensor::random::Stream::new(0, "images", 0).uniform(0..100 * 16);
//! judge.offer(&batch(pixels, (100, 4, 4, 1)), 0, &mut best)?;
//! assert!(best[0].found()[0].candidate < 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ascent;
pub mod search;
