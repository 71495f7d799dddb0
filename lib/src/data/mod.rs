//! Datasets: readers of their own formats, synthetic shapes, affine variants, batches.
//!
//! Every reader gives [`Part`]s (train, test, …) whose [`Images`] are a stream of u8 examples, channels first, with
//! i64 labels, so that memory does not grow with their number.
//!
//! ```
//! use obverse::data::{Shape, shapes};
//! let parts = shapes::parts(600, 16, 0)?;
//! let counts: Vec<_> = parts.into_iter().map(|part| (part.name, part.images.examples.count())).collect();
//! assert_eq!(counts.iter().map(|(_, count)| *count).sum::<usize>(), 600);
//! assert_eq!(counts[0], ("train".to_string(), 480));
//! # Ok::<(), obverse::data::Error>(())
//! ```

pub mod affine;
pub mod affnist;
pub mod batches;
pub mod celeba;
pub mod cifar;
pub mod cifar100;
pub mod emnist;
mod error;
pub mod fetch;
pub mod folder;
pub mod idx;
mod images;
pub mod import;
pub mod manifest;
mod matlab;
#[cfg(test)]
#[path = "../../../tests/src/mirror.rs"]
mod mirror;
pub mod output;
pub mod pictures;
pub mod resize;
pub mod samples;
pub mod shapes;
pub mod sine;
mod source;
pub mod stl10;
pub mod surfaces;
pub mod svhn;

pub use error::{Error, Result};
pub use images::{Attributes, Example, Examples, Images, Part, Shape};
pub use source::{LeftOut, Source};
