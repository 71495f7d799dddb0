//! Files: npy tensors, sidecars, digests, the cache and atomic writes.
#[derive(Debug, thiserror::Error)]
#[error("placeholder")]
pub struct Error;
