//! The arrays that operations work on: dfdx tensors of four axes, channels last, and the random streams.

pub mod random;
