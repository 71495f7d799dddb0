//! Obverse runs neural networks backwards: it recovers inputs from representations, finds the input a unit wants, and
//! measures how much of its input a layer still knows.
//!
//! The library holds all the science; it prints nothing, parses no arguments and never exits. Modules depend downward:
//! [`store`], [`tensor`] and [`statistics`] at the bottom, then [`data`], then operations, networks, training, and one module a method.

pub mod alignment;
pub mod baselines;
pub mod data;
pub mod density;
pub mod fidelity;
pub mod ifv;
pub mod information;
pub mod net;
pub mod objective;
pub mod ops;
pub mod report;
pub mod reversible;
pub mod similarity;
pub mod statistics;
pub mod store;
pub mod tensor;
pub mod train;
pub mod visualisation;
