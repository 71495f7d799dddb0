//! What is optimised in feature visualisation: the objective, the parameters of an image, and the random transformations
//! that the image is made robust to.
//!
//! [`expression`] reads what a user writes, [`resolved`] looks it up in a network and gives values and cotangents. Nothing here is
//! on a tape: each has its two directions written out, since one point is pulled back for many cotangents.
//!
//! ```
//! use obverse::objective::expression::{Atom, Expression};
//! let objective: Expression = "class:3 - 0.5*neuron:conv5:2".parse()?;
//! assert!(matches!(objective.0[0].1, Atom::Class(3)) && objective.0[1].0.first == -0.5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod aggregation;
pub mod expression;
pub mod parameterisation;
pub mod resolved;
pub mod significance;
pub mod transform;
