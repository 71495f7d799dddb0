//! What is optimised in feature visualisation: how an image is made of unconstrained parameters, and the random
//! transformations under which it must hold.
//!
//! Nothing here is on a tape: each has its two directions written out, since one point is pulled back for many cotangents.

pub mod parameterisation;
pub mod transform;
