//! Datasets: readers of their own formats, synthetic shapes, affine variants, batches.
