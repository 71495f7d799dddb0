//! The nearest rows of a pool, by any [`Metric`].
//!
//! ```
//! use obverse::similarity::{Metric, nearest::{Nearest, search}};
//! let mut nearest = vec![Nearest::new(2)];
//! search(Metric::L1, &[0.0], &[5.0, -1.0, 2.0], 1, 0, &mut nearest);
//! let found: Vec<_> = nearest[0].found().iter().map(|found| (found.row, found.distance)).collect();
//! assert_eq!(found, [(1, 1.0), (2, 2.0)]);
//! ```

use rayon::prelude::*;

use super::Metric;

/// A row of a pool, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// The row's number in the pool.
    pub row: usize,
    /// Its distance.
    pub distance: f64,
}

/// The nearest rows seen so far for one query.
#[derive(Clone, Debug)]
pub struct Nearest {
    k: usize,
    found: Vec<Neighbour>,
}

impl Nearest {
    /// None yet, of at most `k`.
    pub fn new(k: usize) -> Self {
        Self { k, found: Vec::with_capacity(k + 1) }
    }

    /// Adds a row if it is among the nearest; among equally distant rows the first one added comes first.
    pub fn take(&mut self, neighbour: Neighbour) {
        let place = self.found.partition_point(|found| found.distance <= neighbour.distance);
        if place < self.k {
            self.found.insert(place, neighbour);
            self.found.truncate(self.k);
        }
    }

    /// The nearest first.
    pub fn found(&self) -> &[Neighbour] {
        &self.found
    }
}

/// Values of a pool's rows that are compared with one query after another while they are in a core's cache.
const BLOCK: usize = 1 << 15;

/// Compares rows of a pool, `pool` (M, d) from row `first` on, with `queries` (N, d), and updates their nearest rows; d is at least 1.
pub fn search(metric: Metric, queries: &[f64], pool: &[f64], length: usize, first: usize, nearest: &mut [Nearest]) {
    let rows = (BLOCK / length).max(1);
    let part = nearest.len().div_ceil(rayon::current_num_threads()).max(1);
    queries.par_chunks(part * length).zip(nearest.par_chunks_mut(part)).for_each(|(queries, nearest)| {
        for (block, pool) in pool.chunks(rows * length).enumerate() {
            for (query, nearest) in queries.chunks_exact(length).zip(&mut *nearest) {
                for (row, values) in (first + block * rows..).zip(pool.chunks_exact(length)) {
                    nearest.take(Neighbour { row, distance: metric.distance(query, values) });
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    #[test]
    fn the_nearest_are_those_of_a_sort_however_the_pool_is_cut() {
        let length = 4;
        let queries: Vec<f64> = Stream::new(0, "q", 0).normal(0..3 * length);
        let pool: Vec<f64> = Stream::new(0, "p", 0).normal(0..50 * length);
        for cut in [1, 7, 50] {
            let mut nearest = vec![Nearest::new(5); 3];
            for (part, rows) in pool.chunks(cut * length).enumerate() {
                search(Metric::L2, &queries, rows, length, part * cut, &mut nearest);
            }
            for (query, nearest) in queries.chunks(length).zip(&nearest) {
                let mut all: Vec<(f64, usize)> =
                    pool.chunks(length).map(|row| Metric::L2.distance(query, row)).zip(0..).collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0));
                let expected: Vec<usize> = all[..5].iter().map(|&(_, row)| row).collect();
                assert_eq!(nearest.found().iter().map(|found| found.row).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn of_equally_far_rows_the_first_is_nearest() {
        let mut nearest = vec![Nearest::new(2)];
        search(Metric::L1, &[0.0], &[1.0, -1.0, 1.0], 1, 0, &mut nearest);
        assert_eq!(nearest[0].found().iter().map(|found| found.row).collect::<Vec<_>>(), [0, 1]);
    }
}
