//! The tools' crate from outside, in one binary.

mod conventions;
mod requests;
