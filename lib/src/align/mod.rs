//! Feature alignment (Farias & Maziero, "Feature alignment as a generative process").
//!
//! An encoder E is trained so that a gradient step on a neutral input r recovers what was encoded:
//! r <- r - tau dL/dr with L = 1/2 |z_x - E(r)|^2 (equations 2 and 11), T times, and C = |x - r|^2 trains E.

pub mod adversarial;
pub mod latents;
pub mod local;
pub mod orthogonality;
pub mod recovery;
pub mod regression;
pub mod settings;
pub mod step;
pub mod training;
