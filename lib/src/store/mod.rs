//! Files: npy tensors, sidecars, digests, the cache and atomic writes.
