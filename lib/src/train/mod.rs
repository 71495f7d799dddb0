//! Training: Adam, learning-rate schedules, checkpoints and the loop.

pub mod adam;
