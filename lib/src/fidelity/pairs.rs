//! The products of all pairs of images of two sets, a tile at a time: what kernels and distances between features are made of.
//!
//! Memory does not grow with the number of pairs. A value's bits depend on the two sets alone, not on the threads.

use std::ops::Range;

use rayon::prelude::*;

use super::Features;
use crate::ops::product::{Matrix, Target, Write, product_in_place};

/// The largest tile's side. What gemm packs of one side is then read for so many rows of the other.
const LARGEST: usize = 512;
/// The smallest, for sets so small that few tiles would leave threads idle.
const SMALLEST: usize = 128;
/// The most products of whole rows that a thread holds, where the rows are no fewer than the smallest tile's: 32 MB.
const HELD: usize = 1 << 22;

/// Some rows of the one set, some of the other.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    /// Those of the first.
    pub rows: Range<usize>,
    /// Those of the second.
    pub columns: Range<usize>,
}

/// `take` applied to each tile and its products in row order; tiles follow by rows, then by columns.
pub(super) fn across<T: Send>(a: Features, b: Features, take: impl Fn(&Tile, &[f64]) -> T + Sync) -> Vec<T> {
    let columns = ranges(b.count(), side(b.count()));
    let tile =
        |rows: Range<usize>| columns.iter().map(move |columns| Tile { rows: rows.clone(), columns: columns.clone() });
    let tiles: Vec<Tile> = ranges(a.count(), side(a.count())).into_iter().flat_map(tile).collect();
    tiles.par_iter().map(|tile| take(tile, &products(a, b, tile))).collect()
}

/// As [`across`], of a set and itself: only the tiles on the diagonal, whole, and those above it.
pub(super) fn within<T: Send>(features: Features, take: impl Fn(&Tile, &[f64]) -> T + Sync) -> Vec<T> {
    let all = ranges(features.count(), side(features.count()));
    let tile = |(place, rows): (usize, &Range<usize>)| {
        let rows = rows.clone();
        all[place..].iter().map(move |columns| Tile { rows: rows.clone(), columns: columns.clone() })
    };
    let tiles: Vec<Tile> = all.iter().enumerate().flat_map(tile).collect();
    tiles.par_iter().map(|tile| take(tile, &products(features, features, tile))).collect()
}

/// `take` applied to each row's number and its squared distances to all rows of `to`.
pub(super) fn distances<T: Send>(from: Features, to: Features, take: impl Fn(usize, &mut [f64]) -> T + Sync) -> Vec<T> {
    let count = to.count();
    let squares: Vec<f64> = (0..count).into_par_iter().map(|row| square(to.row(row))).collect();
    let height = (HELD / count.max(1)).clamp(SMALLEST, side(from.count()));
    let of_rows = |rows: Range<usize>| -> Vec<T> {
        let tile = Tile { rows: rows.clone(), columns: 0..count };
        let mut products = products(from, to, &tile);
        let of_row = |(row, products): (usize, &mut [f64])| {
            let own = square(from.row(row));
            // Rounding may make the distance of equal rows negative.
            let distance = |(product, other): (&mut f64, &f64)| *product = (own + other - 2.0 * *product).max(0.0);
            products.iter_mut().zip(&squares).for_each(distance);
            take(row, products)
        };
        rows.zip(products.chunks_exact_mut(count)).map(of_row).collect()
    };
    let rows: Vec<Vec<T>> = ranges(from.count(), height).into_par_iter().map(of_rows).collect();
    rows.into_iter().flatten().collect()
}

/// The square of a row's length.
pub(super) fn square(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum()
}

fn side(count: usize) -> usize {
    (count / 8).next_multiple_of(SMALLEST).clamp(SMALLEST, LARGEST)
}

fn ranges(count: usize, length: usize) -> Vec<Range<usize>> {
    (0..count).step_by(length).map(|start| start..count.min(start + length)).collect()
}

fn products(a: Features, b: Features, tile: &Tile) -> Vec<f64> {
    let dimension = a.dimension();
    let matrix = |features: Features<'_>, rows: &Range<usize>| {
        rows.start * features.dimension()..rows.end * features.dimension()
    };
    let left = Matrix::new(&a.rows()[matrix(a, &tile.rows)], tile.rows.len(), dimension);
    let right = Matrix::new(&b.rows()[matrix(b, &tile.columns)], tile.columns.len(), dimension);
    let mut products = vec![0.0; tile.rows.len() * tile.columns.len()];
    product_in_place(Target::new(&mut products, tile.columns.len()), left, right.transposed(), Write::Replace);
    products
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    fn drawn(name: &str, count: usize, dimension: usize) -> Vec<f64> {
        Stream::new(0, name, 0).normal(0..count * dimension)
    }

    #[test]
    fn tiles_hold_every_pair_once() {
        for (count, other) in [(1, 1), (130, 127), (1100, 40), (2, 4500)] {
            let (a, b) = (drawn("a", count, 2), drawn("b", other, 2));
            let (a, b) = (Features::new(&a, 2), Features::new(&b, 2));
            let mut seen = vec![0; count * other];
            for (tile, products) in across(a, b, |tile, products| (tile.clone(), products.to_vec())) {
                for (i, row) in tile.rows.zip(products.chunks_exact(tile.columns.len())) {
                    for (j, product) in tile.columns.clone().zip(row) {
                        seen[i * other + j] += 1;
                        let expected: f64 = a.row(i).iter().zip(b.row(j)).map(|(a, b)| a * b).sum();
                        assert!((product - expected).abs() < 1e-12, "{i} {j}");
                    }
                }
            }
            assert!(seen.iter().all(|&times| times == 1), "{count} {other}");
        }
    }

    #[test]
    fn tiles_of_a_set_with_itself_hold_every_pair_once_or_in_both_orders_on_the_diagonal() {
        let rows = drawn("a", 700, 1);
        let mut seen = vec![0; 700 * 700];
        for tile in within(Features::new(&rows, 1), |tile, _| tile.clone()) {
            tile.rows.clone().for_each(|i| tile.columns.clone().for_each(|j| seen[i * 700 + j] += 1));
        }
        let times = |i: usize, j: usize| seen[i * 700 + j] + seen[j * 700 + i];
        assert!((0..700).all(|i| seen[i * 701] == 1));
        assert!((0..700).all(|i| (0..i).all(|j| matches!((times(i, j), seen[i * 700 + j]), (1, _) | (2, 1)))));
    }

    #[test]
    fn distances_are_those_of_the_definition_row_by_row() {
        let (a, b) = (drawn("a", 300, 3), drawn("b", 170, 3));
        let (a, b) = (Features::new(&a, 3), Features::new(&b, 3));
        let found = distances(a, b, |row, distances| (row, distances.to_vec()));
        for (place, (row, distances)) in found.iter().enumerate() {
            assert_eq!(place, *row);
            for (j, distance) in distances.iter().enumerate() {
                let expected: f64 = a.row(*row).iter().zip(b.row(j)).map(|(a, b)| (a - b) * (a - b)).sum();
                assert!((distance - expected).abs() < 1e-12, "{row} {j}");
            }
        }
    }
}
