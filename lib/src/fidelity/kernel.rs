//! The kernel distance (KID: Bińkowski et al. 2018): the unbiased squared maximum mean discrepancy of features u, v under
//! k(u, v) = (u.v / d + 1)^3. It has no bias at any number of images.
//!
//! ```
//! use obverse::fidelity::{Features, kernel::kernel_distance};
//! let set = Features::new(&[0.0, 1.0], 1);
//! // k(u, v) = (u v + 1)^3: of two within a set 1, across 11 / 4 in the mean. Without a bias, hence below 0 for equal sets.
//! assert!((kernel_distance(set, set)? + 3.5).abs() < 1e-12);
//! # Ok::<(), obverse::fidelity::Error>(())
//! ```

use super::uncertainty::{Components, Dependence, Uncertain, chosen, pairs_across, pairs_within};
use super::{Error, Features, Result, pairs};
use crate::tensor::random::Stream;

/// The distance over all images.
///
/// # Errors
/// Fewer than two rows, features of different lengths.
pub fn kernel_distance(a: Features, b: Features) -> Result<f64> {
    Ok(kernel_dependence(a, b)?.value)
}

/// The distance over all images, what each image and each pair adds to it.
///
/// An image's influence is twice the mean of its kernel with the other images of its side, minus that with the other side's.
///
/// # Errors
/// Fewer than two rows, features of different lengths.
pub fn kernel_dependence(a: Features, b: Features) -> Result<Dependence> {
    a.require_alike(b)?;
    let fewest = a.count().min(b.count());
    if fewest < 2 {
        return Err(Error::TooFew { needed: 2, found: fewest, what: "a kernel distance" });
    }
    let [across_a, across_b] = sums_across(a, b);
    let [of_a, of_b] = [Means::of(a, across_a, b.count()), Means::of(b, across_b, a.count())];
    let rows = [&of_a, &of_b].map(|means| {
        let shares: Vec<f64> = means.own.iter().zip(&means.other).map(|(own, other)| own - other).collect();
        let middle = mean(&shares);
        (middle, shares.into_iter().map(|share| 2.0 * (share - middle)).collect::<Vec<f64>>())
    });
    let [(share_a, rows_a), (share_b, rows_b)] = rows;
    let dimension = a.dimension() as f64;
    // A pair's kernel without what either image has in common with all others.
    let without = |(x, means_x): (&[f64], f64), (y, means_y): (&[f64], f64), middle: f64| {
        kernel(x.iter().zip(y).map(|(x, y)| x * y).sum(), dimension) - means_x - means_y + middle
    };
    let within = |features: Features, means: &Means| -> Vec<f64> {
        let (taken, middle) = (chosen(features), mean(&means.own));
        let one = |place: usize| (features.row(taken[place]), means.own[taken[place]]);
        pairs_within(taken.len()).into_iter().map(|(i, j)| without(one(i), one(j), middle)).collect()
    };
    let (taken_a, taken_b) = (chosen(a), chosen(b));
    let middle = mean(&of_a.other);
    let across = pairs_across(taken_a.len(), taken_b.len()).into_iter().map(|(i, j)| {
        let (i, j) = (taken_a[i], taken_b[j]);
        without((a.row(i), of_a.other[i]), (b.row(j), of_b.other[j]), middle)
    });
    Ok(Dependence {
        value: share_a + share_b,
        rows: [rows_a, rows_b],
        within: [within(a, &of_a), within(b, &of_b)],
        across: across.collect(),
    })
}

/// For each image of a side the means of its kernel with the other images of its side, and with those of the other side.
struct Means {
    own: Vec<f64>,
    other: Vec<f64>,
}

impl Means {
    /// Those of a set, whose sums with the other side's `others` images are known.
    fn of(features: Features, across: Vec<f64>, others: usize) -> Self {
        let rest = (features.count() - 1) as f64;
        let own = sums_within(features).into_iter().zip(diagonal(features));
        Self {
            own: own.map(|(sum, own)| (sum - own) / rest).collect(),
            other: across.into_iter().map(|sum| sum / others as f64).collect(),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The distances of `subsets` pairs of `size` images, drawn without replacement. The same seed draws the same images of a set.
///
/// # Errors
/// Fewer images than `size`; as [`kernel_distance`].
pub fn kernel_distances_of_subsets(
    a: Features,
    b: Features,
    subsets: usize,
    size: usize,
    seed: u64,
) -> Result<Vec<Dependence>> {
    let fewest = a.count().min(b.count());
    if fewest < size {
        return Err(Error::TooFew {
            needed: size,
            found: fewest,
            what: "subsets for the kernel distance (`kid_size`)",
        });
    }
    (0..subsets as u64)
        .map(|subset| {
            let drawn = |features: Features, side| {
                features.gathered(&Stream::new(seed, side, subset).permutation(features.count())[..size])
            };
            let (a, b) = (drawn(a, "kernel subset a"), drawn(b, "kernel subset b"));
            let dimension = b.len() / size.max(1);
            kernel_dependence(Features::new(&a, dimension), Features::new(&b, dimension))
        })
        .collect()
}

/// The mean over subsets: how it varies with the sets, and with the draw of the subsets. `sizes` are those of the whole sets.
pub fn mean_of_subsets(values: &[f64], components: &[Components], sizes: &[usize]) -> Uncertain {
    let middle = mean(values);
    let drawn = values.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / (values.len().max(2) - 1) as f64;
    let whole = Components::mean(components).at(middle, sizes);
    Uncertain { second: whole.second + drawn / values.len() as f64, ..whole }
}

fn kernel(product: f64, dimension: f64) -> f64 {
    (product / dimension + 1.0).powi(3)
}

/// For each row of `a` the sum of its kernel with all rows of `b`, and for each of `b` with all of `a`.
fn sums_across(a: Features, b: Features) -> [Vec<f64>; 2] {
    let dimension = a.dimension() as f64;
    let tiles = pairs::across(a, b, |tile, products| (tile.clone(), tile_sums(tile, products, dimension)));
    let mut sums = [a, b].map(|side| vec![0.0; side.count()]);
    for (tile, [rows, columns]) in tiles {
        add(&mut sums[0][tile.rows], &rows);
        add(&mut sums[1][tile.columns], &columns);
    }
    sums
}

/// For each row the sum of its kernel with all rows, itself included.
fn sums_within(features: Features) -> Vec<f64> {
    let dimension = features.dimension() as f64;
    let tiles = pairs::within(features, |tile, products| (tile.clone(), tile_sums(tile, products, dimension)));
    let mut sums = vec![0.0; features.count()];
    for (tile, [rows, columns]) in tiles {
        if tile.rows != tile.columns {
            add(&mut sums[tile.columns], &columns);
        }
        add(&mut sums[tile.rows], &rows);
    }
    sums
}

/// The sums of a tile's kernels along its rows, and along its columns.
fn tile_sums(tile: &pairs::Tile, products: &[f64], dimension: f64) -> [Vec<f64>; 2] {
    let mut columns = vec![0.0; tile.columns.len()];
    let of_row = |products: &[f64]| {
        let add = |(&product, column): (&f64, &mut f64)| {
            let value = kernel(product, dimension);
            *column += value;
            value
        };
        products.iter().zip(&mut columns).map(add).sum()
    };
    let rows = products.chunks_exact(tile.columns.len()).map(of_row).collect();
    [rows, columns]
}

fn add(sums: &mut [f64], values: &[f64]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// k(u, u) of each row.
fn diagonal(features: Features) -> Vec<f64> {
    let dimension = features.dimension();
    let rows = features.rows().chunks_exact(dimension);
    rows.map(|row| kernel(row.iter().map(|value| value * value).sum(), dimension as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_that_of_the_definition() {
        let dimension = 3;
        let a: Vec<f64> = Stream::new(0, "a", 0).normal(0..7 * dimension);
        let b: Vec<f64> = Stream::new(0, "b", 0).normal(0..5 * dimension);
        let (a, b) = (Features::new(&a, dimension), Features::new(&b, dimension));
        let k = |u: &[f64], v: &[f64]| (u.iter().zip(v).map(|(u, v)| u * v).sum::<f64>() / 3.0 + 1.0).powi(3);
        let mean = |x: Features, y: Features, skip: bool| {
            let pairs: Vec<f64> = (0..x.count())
                .flat_map(|i| (0..y.count()).filter(move |&j| !skip || i != j).map(move |j| (i, j)))
                .map(|(i, j)| k(x.row(i), y.row(j)))
                .collect();
            pairs.iter().sum::<f64>() / pairs.len() as f64
        };
        let expected = mean(a, a, true) + mean(b, b, true) - 2.0 * mean(a, b, false);
        assert!((kernel_distance(a, b).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn the_standard_error_is_the_deviation_of_fresh_sets_near_and_far() {
        let (count, dimension, worlds) = (100, 3, 80);
        for shift in [0.0, 0.7] {
            let rows = |side: &str, world: u64| -> Vec<f64> {
                let shift = if side == "b" { shift } else { 0.0 };
                let normal = Stream::new(world, side, 0).normal::<f64>(0..count * dimension);
                normal.iter().map(|value| value + shift).collect()
            };
            let (mut fresh, mut shown) = (Vec::new(), Vec::new());
            for world in 0..worlds {
                let (a, b) = (rows("a", world), rows("b", world));
                let found = kernel_dependence(Features::new(&a, dimension), Features::new(&b, dimension)).unwrap();
                shown.push(Components::of(&found).at(found.value, &[count, count]).standard_error());
                fresh.push(found.value);
            }
            let middle = mean(&fresh);
            let deviation = (fresh.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / 79.0).sqrt();
            let ratio = mean(&shown) / deviation;
            // 80 worlds know a deviation within 8%, of the long tail of equal sets within twice that.
            assert!((0.7..1.4).contains(&ratio), "{shift}: {ratio}");
        }
    }

    #[test]
    fn subsets_of_one_distribution_are_around_zero() {
        let (a, b): (Vec<f64>, Vec<f64>) =
            (Stream::new(0, "a", 0).normal(0..4 * 600), Stream::new(0, "b", 0).normal(0..4 * 600));
        let found = kernel_distances_of_subsets(Features::new(&a, 4), Features::new(&b, 4), 40, 100, 0).unwrap();
        let distances: Vec<f64> = found.iter().map(|one| one.value).collect();
        let mean = distances.iter().sum::<f64>() / 40.0;
        let spread = (distances.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / 39.0).sqrt();
        assert!(mean.abs() < 3.0 * spread, "{mean} {spread}");
        let components: Vec<Components> = found.iter().map(Components::of).collect();
        let error = mean_of_subsets(&distances, &components, &[600, 600]).standard_error();
        // Above what the draw of subsets adds, below the error of one of them.
        assert!(error > spread / 40f64.sqrt() && error < spread, "{error} {spread}");
        assert!(distances.iter().any(|&distance| distance < 0.0), "an unbiased estimate is negative now and then");
        assert!(kernel_distances_of_subsets(Features::new(&a, 4), Features::new(&b, 4), 1, 601, 0).is_err());
    }
}
