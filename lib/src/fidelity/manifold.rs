//! Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020): how much of one set lies among
//! the k nearest neighbours of the other.
//!
//! Every image of a set has a ball, up to its k-th nearest neighbour in the set. Precision: the share of generated images in a
//! real ball. Recall: the share of real images in a generated ball. Density: the mean number of real balls that a generated
//! image lies in, over k. Coverage: the share of real balls with a generated image in them.
//!
//! ```
//! use obverse::fidelity::{Features, manifold::memberships};
//! let real: Vec<f64> = (0..20).map(f64::from).collect();
//! let far: Vec<f64> = real.iter().map(|value| value + 1000.0).collect();
//! let shares = memberships(Features::new(&real, 1), Features::new(&far, 1), 3)?.shares();
//! assert_eq!((shares.precision, shares.recall, shares.coverage), (0.0, 0.0, 0.0));
//! # Ok::<(), obverse::fidelity::Error>(())
//! ```

use super::pairs::distances;
use super::{Error, Features, Result};

/// The four shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manifold {
    /// The share of generated images that are like real ones.
    pub precision: f64,
    /// The share of real images that are like generated ones.
    pub recall: f64,
    /// The mean number of real neighbourhoods that a generated image lies in, over k; it may exceed 1.
    pub density: f64,
    /// The share of real neighbourhoods that contain a generated image.
    pub coverage: f64,
}

impl Manifold {
    /// Precision, recall, density and coverage.
    pub fn each(self) -> [f64; 4] {
        [self.precision, self.recall, self.density, self.coverage]
    }
}

/// What each image contributes to the four shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Memberships {
    k: usize,
    /// For each generated image, the number of real balls it lies in.
    real_balls: Vec<usize>,
    /// For each real image, whether it lies in a generated ball.
    recalled: Vec<bool>,
    /// For each real image, whether a generated image lies in its ball.
    covered: Vec<bool>,
}

impl Memberships {
    /// The shares.
    pub fn shares(&self) -> Manifold {
        let share = |of: &[bool]| of.iter().filter(|&&is| is).count() as f64 / of.len() as f64;
        let precise: Vec<bool> = self.real_balls.iter().map(|&balls| balls > 0).collect();
        Manifold {
            precision: share(&precise),
            recall: share(&self.recalled),
            density: self.real_balls.iter().sum::<usize>() as f64 / (self.k * precise.len()) as f64,
            coverage: share(&self.covered),
        }
    }
}

/// Compares generated with real images by their `neighbours` nearest neighbours.
///
/// # Errors
/// No more than `neighbours` rows on a side, features of different lengths.
pub fn memberships(real: Features, generated: Features, neighbours: usize) -> Result<Memberships> {
    real.require_alike(generated)?;
    let fewest = real.count().min(generated.count());
    if fewest <= neighbours {
        return Err(Error::TooFew { needed: neighbours + 1, found: fewest, what: "neighbourhoods (`neighbours`)" });
    }
    let (balls, generated_balls) = (radii(real, neighbours), radii(generated, neighbours));
    // One generated image per row, then one real image per row.
    let real_balls = distances(generated, real, |_, row| row.iter().zip(&balls).filter(|(d, ball)| d < ball).count());
    let seen = distances(real, generated, |_, row| {
        let recalled = row.iter().zip(&generated_balls).any(|(distance, ball)| distance < ball);
        (recalled, row.iter().fold(f64::INFINITY, |nearest, &distance| nearest.min(distance)))
    });
    let covered = seen.iter().zip(&balls).map(|((_, nearest), ball)| nearest < ball).collect();
    Ok(Memberships {
        k: neighbours,
        real_balls,
        recalled: seen.into_iter().map(|(recalled, _)| recalled).collect(),
        covered,
    })
}

/// For each row the squared distance to its `k`-th nearest other row.
fn radii(features: Features, k: usize) -> Vec<f64> {
    // The row itself is among them, at distance 0.
    distances(features, features, |_, row| *row.select_nth_unstable_by(k, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    /// The definitions, pair by pair.
    fn by_definition(real: Features, generated: Features, k: usize) -> Manifold {
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let ball = |set: Features, i: usize| {
            let mut all: Vec<f64> = (0..set.count()).map(|j| distance(set.row(i), set.row(j))).collect();
            all.sort_by(f64::total_cmp);
            all[k]
        };
        let inside = |x: &[f64], set: Features, i: usize| distance(x, set.row(i)) < ball(set, i);
        let balls = |x: &[f64], set: Features| (0..set.count()).filter(|&i| inside(x, set, i)).count();
        let (n, m) = (real.count(), generated.count());
        let count = |rows: usize, test: &dyn Fn(usize) -> bool| (0..rows).filter(|&row| test(row)).count() as f64;
        Manifold {
            precision: count(m, &|j| balls(generated.row(j), real) > 0) / m as f64,
            recall: count(n, &|i| balls(real.row(i), generated) > 0) / n as f64,
            density: (0..m).map(|j| balls(generated.row(j), real)).sum::<usize>() as f64 / (k * m) as f64,
            coverage: count(n, &|i| (0..m).any(|j| inside(generated.row(j), real, i))) / n as f64,
        }
    }

    #[test]
    fn shares_are_those_of_the_definitions() {
        for (shift, k) in [(0.0, 3), (1.0, 5), (6.0, 3)] {
            let real: Vec<f64> = Stream::new(0, "real", 0).normal(0..40 * 4);
            let generated: Vec<f64> = Stream::new(0, "generated", 0).normal(0..30 * 4);
            let generated: Vec<f64> = generated.iter().map(|value| value + shift).collect();
            let (real, generated) = (Features::new(&real, 4), Features::new(&generated, 4));
            assert_eq!(
                memberships(real, generated, k).unwrap().shares(),
                by_definition(real, generated, k),
                "{shift} {k}"
            );
        }
    }

    #[test]
    fn as_few_images_as_neighbours_are_refused() {
        let rows = [0.0; 5];
        let error = memberships(Features::new(&rows, 1), Features::new(&rows, 1), 5).unwrap_err();
        assert!(error.to_string().contains("at least 6 images, found 5"), "{error}");
    }
}
