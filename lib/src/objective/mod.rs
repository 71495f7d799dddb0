//! What is optimised in feature visualisation: what an image is made for, of what it is made, and the random transformations
//! under which it must hold.
//!
//! [`expression`] reads what a user writes, [`resolved`] meets it with a network and gives values and cotangents. Nothing here is
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
