//! Feature alignment through the public interface, against the oracle and against closed forms. One binary: the networks are
//! compiled once for all of it.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails its test")]

mod common;
mod recovery;
mod variational;
