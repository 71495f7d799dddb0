//! Feature visualisation: the image a unit wants, by ascent or by search.
//!
//! Sources: "Feature visualization" (Olah et al. 2017), "Generative model regularisation for feature visualisation", and inverse
//! feature visualisation, sections 2 and 3.2.

pub mod ascent;
pub mod search;
