//! The methods through the public interface, against the oracle and against closed forms. One binary: the networks are
//! compiled once for all of them.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails its test")]

mod alignment;
mod common;
mod fidelity;
#[path = "../../../tests/src/mirror.rs"]
mod mirror;
mod reversible;
mod variational;
