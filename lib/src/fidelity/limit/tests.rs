//! Against sets that really lack an image, and against distributions whose distance is known.

use super::*;
use crate::fidelity::frechet::frechet_of_features;
use crate::fidelity::uncertainty::Components;

fn normal(purpose: &str, world: u64, count: usize, dimension: usize) -> Vec<f64> {
    Stream::new(world, purpose, 0).normal(0..count * dimension)
}

/// Features of unequal variances that depend on each other.
fn skewed(purpose: &str, world: u64, count: usize, dimension: usize) -> Vec<f64> {
    let rows = normal(purpose, world, count, dimension);
    let mix = |row: &[f64]| {
        let mut mixed = row.to_vec();
        (1..row.len()).for_each(|i| mixed[i] = (row[i] + 0.5 * row[i - 1] * row[i - 1]) / (1.0 + i as f64));
        mixed
    };
    rows.chunks_exact(dimension).flat_map(mix).collect()
}

#[test]
fn leaving_out_each_image_is_what_a_set_without_it_gives() {
    // More images than features, and fewer.
    for (n, m, dimension) in [(30, 40, 5), (9, 30, 12), (9, 8, 12)] {
        let (a, b) = (skewed("a", 0, n, dimension), normal("b", 0, m, dimension));
        let sets = [Features::new(&a, dimension), Features::new(&b, dimension)];
        let whole = frechet_of_features(sets[0], sets[1]).unwrap();
        let geometry = Geometry::of(&Sample::Rows(sets[0]).moments(), &Sample::Rows(sets[1]).moments()).unwrap();
        assert!((geometry.distance() - whole.distance()).abs() < 1e-5 * whole.distance());
        for side in [0, 1] {
            let changes = geometry.without_each(side, sets[side]);
            for (left_out, change) in changes.iter().enumerate() {
                let rest: Vec<usize> = (0..sets[side].count()).filter(|&row| row != left_out).collect();
                let rest = sets[side].gathered(&rest);
                let (rest, other) = (Features::new(&rest, dimension), sets[1 - side]);
                let expected = frechet_of_features(rest, other).unwrap().distance() - whole.distance();
                // What the ends of the integral leave, and a rank's cut.
                assert!(
                    (change - expected).abs() < 2e-5 * whole.distance(),
                    "{n} {m} {side} {left_out}: {change} {expected}"
                );
            }
        }
    }
}

#[test]
fn the_bias_of_both_sides_is_taken_away() {
    let (count, dimension, worlds) = (120, 10, 30);
    let (mut plain, mut limit, mut squares, mut shown) = (0.0, 0.0, 0.0, 0.0);
    for world in 0..worlds {
        let (a, b) = (normal("a", world, count, dimension), normal("b", world, count, dimension));
        let b: Vec<f64> = b.iter().map(|value| 0.3 + 1.2 * value).collect();
        let (a, b) = (Features::new(&a, dimension), Features::new(&b, dimension));
        plain += frechet_of_features(a, b).unwrap().distance() / worlds as f64;
        let found = frechet_in_the_limit(Sample::Rows(a), Sample::Rows(b), 0).unwrap();
        limit += found.value / worlds as f64;
        squares += found.value * found.value / worlds as f64;
        shown += Components::of(&found).at(found.value, &[count, count]).standard_error() / worlds as f64;
    }
    let (truth, deviation) = (10.0 * (0.3f64.powi(2) + 0.2f64.powi(2)), (squares - limit * limit).sqrt());
    // 30 worlds know the mean within a fifth of the deviation, and the deviation within 13%.
    assert!(plain - truth > 2.0 * deviation && (limit - truth).abs() < 0.8 * deviation, "{plain} {limit} {deviation}");
    assert!((0.6..1.6).contains(&(shown / deviation)), "{shown} {deviation}");
}

#[test]
fn moments_that_are_exact_add_neither_bias_nor_error() {
    let (count, dimension) = (100, 4);
    let (a, b) = (normal("a", 0, 4000, dimension), normal("b", 0, count, dimension));
    let (moments, b) = (Moments::of(&a, dimension), Features::new(&b, dimension));
    let exact = frechet_in_the_limit(Sample::Exact(&moments), Sample::Rows(b), 0).unwrap();
    assert!(exact.rows[0].is_empty() && exact.across.is_empty() && exact.rows[1].len() == count);
    assert!(exact.value < frechet_of_features(Features::new(&a, dimension), b).unwrap().distance() / 2.0);
    let error =
        frechet_in_the_limit(Sample::Exact(&moments), Sample::Rows(Features::new(&b.rows()[..20], dimension)), 0);
    assert!(error.unwrap_err().to_string().contains("at least 6 images, found 5"));
}
