//! What an image is made for, and of what: expressions of units, how responses are aggregated and compared with targets.
//!
//! [`expression`] reads what a user writes, [`resolved`] meets it with a network and gives values and cotangents.

pub mod aggregation;
pub mod expression;
pub mod resolved;
pub mod significance;
