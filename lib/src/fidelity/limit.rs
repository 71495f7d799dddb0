//! The Fréchet distance of the distributions, of infinitely many images of both sides, from finite sets.
//!
//! Distances of few images are too large by about c / N a side (Chong & Forsyth 2020). The jackknife finds c without assuming how
//! features are distributed: the bias is (n - 1) (mean of F without image k - F) (Quenouille 1956; Miller 1974), and the differences of F
//! without one image are its influences. Taken from all images and from both halves of them, and extrapolated, the next order, 1 / N^2,
//! goes as well: (4 J(all) - mean of J(half)) / 3.
//!
//! F without image k needs no decomposition of its own. With M = L^T C2 L, C1 = L L^T and s the roots of its eigenvalues, leaving out x
//! takes c v v^T from M, and as sqrt z = 1 / (2 pi) int ln (1 + z / t) t^(-1/2) dt,
//!
//! tr (M - c v v^T)^(1/2) - tr M^(1/2) = 1 / pi int_0^inf ln (1 - c sum_i v_i^2 / (s_i^2 + u^2)) du,
//!
//! by the trapezoidal rule in ln u, one product for all images. The second order is that of the covariances' errors E1, E2 in the
//! coordinates where both covariances are diag (s): 1/2 sum_ij (E1 - E2)_ij^2 / (s_i + s_j), and that of the means.

use rayon::prelude::*;

use super::moments::Moments;
use super::uncertainty::{Dependence, chosen, pairs_across, pairs_within};
use super::{Error, Features, Result};
use crate::ops::product::{Matrix, Target, Write, product, product_in_place};
use crate::tensor::random::Stream;

mod geometry;

use geometry::Geometry;

/// Rows that go through a product at a time.
const BLOCK: usize = 256;

/// The fewest images of a set: a half of them must have a covariance without one of its images.
const FEWEST: usize = 6;

/// The extrapolation weighs pairs of one half by 2 / 3 and others by 4 / 3, which makes their variance larger by the mean of the squares.
const PAIRS_OF_HALVES: f64 = 10.0 / 9.0;

/// The step in ln u. The integrand's poles lie at u = ± i s, so the trapezoidal rule is off by exp (-pi^2 / step), 7e-8.
const STEP: f64 = 0.6;

/// The least and the largest u, as shares of the largest s. What lies beyond is taken as the limits of the integrand.
const RANGE: (f64, f64) = (1e-5, 1e3);

/// One of two sets.
#[derive(Clone, Copy, Debug)]
pub enum Sample<'a> {
    /// Images drawn from a distribution.
    Rows(Features<'a>),
    /// Moments that are taken as the distribution's own.
    Exact(&'a Moments),
}

impl Sample<'_> {
    fn moments(&self) -> Moments {
        match self {
            Self::Rows(features) => Moments::of(features.rows(), features.dimension()),
            Self::Exact(moments) => (*moments).clone(),
        }
    }

    /// The number of images; 0 where it does not matter.
    pub fn count(&self) -> usize {
        match self {
            Self::Rows(features) => features.count(),
            Self::Exact(_) => 0,
        }
    }

    /// Both halves of the images in a random order.
    fn halves(&self, side: &str, seed: u64) -> [Option<Vec<f64>>; 2] {
        match self {
            Self::Rows(features) => {
                let order = Stream::new(seed, &format!("halves {side}"), 0).permutation(features.count());
                let (one, other) = order.split_at(features.count() / 2);
                [one, other].map(|rows| Some(features.gathered(rows)))
            }
            Self::Exact(_) => [None, None],
        }
    }

    fn of<'b>(&self, rows: &'b Option<Vec<f64>>) -> Sample<'b>
    where
        Self: 'b,
    {
        match (rows, *self) {
            (Some(rows), Self::Rows(features)) => Sample::Rows(Features::new(rows, features.dimension())),
            (_, whole) => whole,
        }
    }
}

/// The distance of the distributions behind both sets; it may be negative, as an estimate without a bias must be.
///
/// The influences are those of the plain distance too, to first order.
///
/// ```
/// use obverse::fidelity::{Features, limit::{Sample, frechet_in_the_limit}};
/// let rows: Vec<f64> = (0..60).map(f64::from).collect();
/// let set = Features::new(&rows, 1);
/// let distance = frechet_in_the_limit(Sample::Rows(set), Sample::Rows(set), 0)?;
/// // A set has no distance from itself; two draws of one distribution would have had one, which is taken off.
/// assert!(distance.value < 0.0 && distance.rows[0].len() == 60);
/// # Ok::<(), obverse::fidelity::Error>(())
/// ```
///
/// # Errors
/// Fewer than six images in a set, features of different lengths, a decomposition that did not converge.
pub fn frechet_in_the_limit(a: Sample, b: Sample, seed: u64) -> Result<Dependence> {
    for sample in [a, b] {
        if let Sample::Rows(features) = sample
            && features.count() < FEWEST
        {
            let what = "the Fréchet distance of infinitely many images";
            return Err(Error::TooFew { needed: FEWEST, found: features.count(), what });
        }
    }
    let (of_a, of_b) = (a.halves("a", seed), b.halves("b", seed));
    let mut half = 0.0;
    for (rows_a, rows_b) in of_a.iter().zip(&of_b) {
        half += 0.5 * Jackknife::of(a.of(rows_a), b.of(rows_b))?.value;
    }
    drop((of_a, of_b));
    let whole = Jackknife::of(a, b)?;
    let [within_a, within_b, across] = whole.geometry.pairs(a, b).map(|mut pairs| {
        pairs.iter_mut().for_each(|pair| *pair *= PAIRS_OF_HALVES.sqrt());
        pairs
    });
    Ok(Dependence {
        value: (4.0 * whole.value - half) / 3.0,
        rows: whole.influences,
        within: [within_a, within_b],
        across,
    })
}

/// The distance without the first order of its bias.
struct Jackknife {
    geometry: Geometry,
    value: f64,
    influences: [Vec<f64>; 2],
}

impl Jackknife {
    fn of(a: Sample, b: Sample) -> Result<Self> {
        let geometry = Geometry::of(&a.moments(), &b.moments())?;
        let mut value = geometry.distance();
        let mut influences = [Vec::new(), Vec::new()];
        for (side, sample) in [a, b].into_iter().enumerate() {
            if let Sample::Rows(features) = sample {
                let changes = geometry.without_each(side, features);
                let others = (features.count() - 1) as f64;
                let mean = changes.iter().sum::<f64>() / features.count() as f64;
                value -= others * mean;
                influences[side] = changes.into_iter().map(|change| others * (mean - change)).collect();
            }
        }
        Ok(Self { geometry, value, influences })
    }
}

/// Places u, and their weights, of an integral over u from 0 to infinity of what falls as 1 / u^2.
fn nodes(scale: f64) -> Vec<(f64, f64)> {
    let steps = ((RANGE.1 / RANGE.0).ln() / STEP).ceil() as usize;
    let at = |step: usize| scale * RANGE.0 * (STEP * step as f64).exp();
    let weight = |step: usize| match step {
        // Half a step of the rule, and all that lies below, where the integrand is flat, or above.
        _ if step == 0 || step == steps => at(step) * (0.5 * STEP + 1.0),
        _ => at(step) * STEP,
    };
    (0..=steps).map(|step| (at(step), weight(step))).collect()
}

impl Geometry {
    /// For each image of a side the change of the distance if it is left out.
    fn without_each(&self, side: usize, features: Features) -> Vec<f64> {
        let (dimension, rank) = (features.dimension(), self.roots.len());
        let count = features.count() as f64;
        let others = count - 1.0;
        // C without x is (n - 1) / (n - 2) (C - c x x^T) of centred x.
        let (share, growth) = (count / (others * others), others / (count - 2.0));
        let nodes = nodes(self.roots.iter().fold(0.0, |largest, &root| root.max(largest)));
        let denominators: Vec<f64> = self
            .roots
            .iter()
            .flat_map(|root| nodes.iter().map(move |(u, _)| share * root / (root * root + u * u)))
            .collect();
        let denominators = Matrix::new(&denominators, rank, nodes.len());
        let root: f64 = self.roots.iter().sum();
        let apart: Vec<f64> =
            self.means[side].iter().zip(&self.means[1 - side]).map(|(own, other)| own - other).collect();
        let blocks: Vec<Vec<f64>> = features
            .rows()
            .par_chunks(BLOCK * dimension)
            .map(|rows| {
                let centred = self.centred(side, rows);
                let mut squares = self.mapped(side, &centred);
                squares.iter_mut().for_each(|value| *value *= *value);
                let held = squares.len() / rank.max(1);
                let mut shares = vec![0.0; held * nodes.len()];
                product_in_place(
                    Target::new(&mut shares, nodes.len()),
                    Matrix::new(&squares, held, rank),
                    denominators,
                    Write::Replace,
                );
                let change = |(row, shares): (&[f64], &[f64])| {
                    let logarithm =
                        |(share, (_, weight)): (&f64, &(f64, f64))| weight * (-share.min(1.0 - 1e-12)).ln_1p();
                    let lost = shares.iter().zip(&nodes).map(logarithm).sum::<f64>() / std::f64::consts::PI;
                    let along: f64 = row.iter().zip(&apart).map(|(value, apart)| value * apart).sum();
                    let square: f64 = row.iter().map(|value| value * value).sum();
                    let means = square / (others * others) - 2.0 * along / others;
                    let trace = (growth - 1.0) * self.traces[side] - growth * share * square;
                    means + trace - 2.0 * (growth.sqrt() * (root + lost) - root)
                };
                centred.chunks_exact(dimension).zip(shares.chunks_exact(nodes.len())).map(change).collect()
            })
            .collect();
        blocks.into_iter().flatten().collect()
    }

    /// The second order of pairs of images: within the first set, within the second, across.
    fn pairs(&self, a: Sample, b: Sample) -> [Vec<f64>; 3] {
        let taken = [a, b].into_iter().enumerate().map(|(side, sample)| match sample {
            Sample::Rows(features) => {
                let centred = self.centred(side, &features.gathered(&chosen(features)));
                let mapped = self.mapped(side, &centred);
                (centred, mapped)
            }
            Sample::Exact(_) => (Vec::new(), Vec::new()),
        });
        let taken: Vec<(Vec<f64>, Vec<f64>)> = taken.collect();
        let [one, other] = [0, 1].map(|side: usize| taken[side].0.len() / self.dimension().max(1));
        let of =
            |sides: [usize; 2], pairs: Vec<(usize, usize)>| self.second_order(sides.map(|side| &taken[side]), &pairs);
        [
            of([0, 0], pairs_within(one)),
            of([1, 1], pairs_within(other)),
            of([0, 1], if one * other > 0 { pairs_across(one, other) } else { Vec::new() }),
        ]
    }

    /// x.y + 1/2 sum_ij (w_i w_j - s_i d_ij) (z_i z_j - s_i d_ij) / (s_i + s_j) of pairs of rows, w and z in the common coordinates.
    fn second_order(&self, sides: [&(Vec<f64>, Vec<f64>); 2], pairs: &[(usize, usize)]) -> Vec<f64> {
        let (dimension, rank) = (self.dimension(), self.roots.len());
        let roots = &self.roots;
        let inverse: Vec<f64> = roots.iter().flat_map(|a| roots.iter().map(move |b| (a + b).recip())).collect();
        let row = |values: &'_ [f64], place: usize, width: usize| values[place * width..(place + 1) * width].to_vec();
        let mapped = |&(i, j): &(usize, usize)| (row(&sides[0].1, i, rank), row(&sides[1].1, j, rank));
        let products: Vec<f64> = pairs
            .iter()
            .map(mapped)
            .flat_map(|(w, z)| w.into_iter().zip(z).map(|(w, z)| w * z).collect::<Vec<_>>())
            .collect();
        let mut weighted = vec![0.0; products.len()];
        if !products.is_empty() {
            let left = Matrix::new(&products, pairs.len(), rank);
            product(&mut weighted, left, Matrix::new(&inverse, rank, rank), Write::Replace);
        }
        let half_trace = 0.5 * roots.iter().sum::<f64>();
        let square = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let value = |(place, pair): (usize, &(usize, usize))| {
            let range = place * rank..(place + 1) * rank;
            let both: f64 = products[range.clone()].iter().zip(&weighted[range]).map(|(a, b)| a * b).sum();
            let (w, z) = mapped(pair);
            let (x, y) = (row(&sides[0].0, pair.0, dimension), row(&sides[1].0, pair.1, dimension));
            let means: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
            means + 0.5 * (both - 0.5 * (square(&w) + square(&z)) + half_trace)
        };
        pairs.iter().enumerate().map(value).collect()
    }
}

#[cfg(test)]
mod tests;
