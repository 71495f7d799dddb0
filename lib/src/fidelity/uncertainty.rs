//! How far an estimate of a distance may be from the distance itself, from what each image and each pair of images adds to it.
//!
//! An estimate T from sets of n_i independent images is expanded (Hoeffding 1948): T = theta + sum over images of h(x) / n_i + sum over
//! pairs of images of k(x, y) / (n_i n_j) + less. Its variance is
//!
//! V1 + V2, V1 = sum_i var h_i / n_i, V2 = sum_i 2 E k_ii^2 / n_i^2 + sum over pairs of sets of 4 E k_ij^2 / (n_i n_j).
//!
//! Influences that are computed from the images themselves hold the noise of all others: the variance that they show is V1 + 2 V2, and
//! of a bootstrap V1 + 3 V2 (Efron & Stein 1981). V2 is measured on pairs of images and taken away. Where both sets have one
//! distribution, V1 is 0 and V2 is all there is.
//!
//! ```
//! use obverse::fidelity::uncertainty::Uncertain;
//! let distance = Uncertain { value: 4.0, first: 1.0, second: 0.0 };
//! assert_eq!(distance.standard_error(), 1.0);
//! let [low, high] = distance.interval_of_distance();
//! // Not symmetric: a squared distance varies the more the larger it is.
//! assert!(low > 4.0 - 1.96 && high > 4.0 + 1.96);
//! ```

use statrs::function::erf::erfc;

use super::Features;

/// The 0.975 quantile of the standard normal distribution.
pub(super) const NORMAL: f64 = 1.959_963_984_540_054;

/// Pairs of images of one kind that the second order is measured on: its mean square is then known within some 5%.
const PAIRS: usize = 1024;

/// An estimate from two sets, and what their images add to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependence {
    /// The estimate.
    pub value: f64,
    /// For each set the influence of each image, h; none for a set that is taken as exact.
    pub rows: [Vec<f64>; 2],
    /// For each set k of pairs of its images.
    pub within: [Vec<f64>; 2],
    /// k of pairs of an image of the first set and one of the second.
    pub across: Vec<f64>,
}

/// The variances of an estimate from one set and one or two others: two for a difference of two distances from one set.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    /// For each set var h, without the noise of the other images.
    first: Vec<f64>,
    /// For each set E k^2 of pairs within it.
    within: Vec<f64>,
    /// E k^2 of pairs of the first set and each other.
    across: Vec<f64>,
}

impl Components {
    /// Those of a distance between two sets.
    pub fn of(distance: &Dependence) -> Self {
        let [a, b] = &distance.rows;
        Self::new(
            [a, b].map(|rows| (variance(rows), rows.len())).to_vec(),
            distance.within.iter().map(|pairs| mean_square(pairs)).collect(),
            vec![mean_square(&distance.across)],
        )
    }

    /// Those of the distance of a second set from the first minus that of a third: what both owe to the first set's images is
    /// subtracted image by image.
    pub fn of_difference(second: &Dependence, third: &Dependence) -> Self {
        let minus = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let shared = minus(&second.rows[0], &third.rows[0]);
        let within = minus(&second.within[0], &third.within[0]);
        Self::new(
            [&shared, &second.rows[1], &third.rows[1]].map(|rows| (variance(rows), rows.len())).to_vec(),
            [&within, &second.within[1], &third.within[1]].map(|pairs| mean_square(pairs)).to_vec(),
            [&second.across, &third.across].map(|pairs| mean_square(pairs)).to_vec(),
        )
    }

    /// `raw` holds for each set the variance of its influences and its size.
    fn new(raw: Vec<(f64, usize)>, within: Vec<f64>, across: Vec<f64>) -> Self {
        let share = |set: usize| inverse(raw[set].1);
        let noise = |set: usize| {
            let of_others: f64 = match set {
                0 => across.iter().enumerate().map(|(other, square)| square * share(other + 1)).sum(),
                _ => across[set - 1] * share(0),
            };
            4.0 * (within[set] * share(set) + of_others)
        };
        let first = raw.iter().enumerate().map(|(set, (variance, _))| variance - noise(set)).collect();
        Self { first, within, across }
    }

    /// The mean of several, such as those of subsets.
    pub fn mean(all: &[Self]) -> Self {
        let mean = |of: &dyn Fn(&Self) -> &[f64]| -> Vec<f64> {
            let width = all.first().map_or(0, |one| of(one).len());
            (0..width).map(|place| all.iter().map(|one| of(one)[place]).sum::<f64>() / all.len() as f64).collect()
        };
        Self { first: mean(&|one| &one.first), within: mean(&|one| &one.within), across: mean(&|one| &one.across) }
    }

    /// The uncertainty of an estimate from sets of these sizes; 0 for one that is exact.
    pub fn at(&self, value: f64, sizes: &[usize]) -> Uncertain {
        let share = |set: usize| sizes.get(set).map_or(0.0, |&size| inverse(size));
        let first: f64 = self.first.iter().enumerate().map(|(set, variance)| variance * share(set)).sum();
        let within: f64 = self.within.iter().enumerate().map(|(set, square)| 2.0 * square * share(set).powi(2)).sum();
        let across: f64 =
            self.across.iter().enumerate().map(|(other, square)| 4.0 * square * share(0) * share(other + 1)).sum();
        Uncertain { value, first: first.max(0.0), second: within + across }
    }
}

fn inverse(size: usize) -> f64 {
    if size == 0 { 0.0 } else { (size as f64).recip() }
}

/// An estimate and its variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uncertain {
    /// The estimate.
    pub value: f64,
    /// V1, the variance that single images account for.
    pub first: f64,
    /// V2, that of pairs.
    pub second: f64,
}

impl Uncertain {
    /// The standard deviation of the estimate if all images were drawn again.
    pub fn standard_error(self) -> f64 {
        (self.first + self.second).sqrt()
    }

    /// The interval of 95% of a squared distance, which is not below 0: all theta with (value - theta)^2 <= 1.96^2 (V2 + c theta).
    ///
    /// The variance of a squared distance grows with it, since V1 = c theta, so the interval is found as Wilson's (1927) of a share is.
    pub fn interval_of_distance(self) -> [f64; 2] {
        let level = NORMAL * NORMAL;
        let scale = self.value.max(self.second.sqrt());
        let growth = if scale > 0.0 { self.first / scale } else { 0.0 };
        let middle = self.value + 0.5 * level * growth;
        let half = (middle * middle - self.value * self.value + level * self.second).max(0.0).sqrt();
        [middle - half, middle + half].map(|end| end.max(0.0))
    }

    /// The interval of 95% of a number that may have any sign: 1.96 standard errors on each side.
    pub fn interval(self) -> [f64; 2] {
        let half = NORMAL * self.standard_error();
        [self.value - half, self.value + half]
    }

    /// How probable a value as far from 0 as this one is, if 0 were true: two-sided, by the normal distribution. NaN where nothing varies.
    pub fn probability(self) -> f64 {
        erfc(self.value.abs() / self.standard_error() / std::f64::consts::SQRT_2)
    }
}

fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

fn mean_square(values: &[f64]) -> f64 {
    match values.len() {
        0 => 0.0,
        count => values.iter().map(|value| value * value).sum::<f64>() / count as f64,
    }
}

/// Rows that pairs are made of, all over the set.
pub(super) fn chosen(features: Features) -> Vec<usize> {
    let taken = features.count().min(PAIRS);
    (0..taken).map(|place| place * features.count() / taken).collect()
}

/// Pairs of different ones of `count` chosen rows.
pub(super) fn pairs_within(count: usize) -> Vec<(usize, usize)> {
    let pairs = PAIRS.min(count * count.saturating_sub(1));
    (0..pairs).map(|pair| (pair % count, (pair % count + 1 + pair / count) % count)).collect()
}

/// Pairs of one of `a` rows and one of `b` others.
pub(super) fn pairs_across(a: usize, b: usize) -> Vec<(usize, usize)> {
    (0..PAIRS.min(a * b)).map(|pair| (pair % a, (pair % a + pair / a) % b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    /// The mean of x y over all pairs, of two sets that are normal around `middle`: an estimate of middle^2.
    fn product_of_means(world: u64, middle: f64, count: usize) -> Dependence {
        let set = |side: &str| -> Vec<f64> { Stream::new(world, side, 0).normal(0..count) };
        let [x, y] = ["x", "y"].map(|side| set(side).iter().map(|value| value + middle).collect::<Vec<f64>>());
        let [mx, my] = [&x, &y].map(|set| set.iter().sum::<f64>() / count as f64);
        let pairs = pairs_across(count, count);
        // T = mean of x times mean of y; k(x, y) is half of what the pair adds, so that V2 = 4 E k^2 / (n m).
        Dependence {
            value: mx * my,
            rows: [x.iter().map(|x| (x - mx) * my).collect(), y.iter().map(|y| (y - my) * mx).collect()],
            within: [vec![], vec![]],
            across: pairs.iter().map(|&(i, j)| 0.5 * (x[i] - mx) * (y[j] - my)).collect(),
        }
    }

    #[test]
    fn variances_of_both_orders_have_no_bias() {
        const WORLDS: u64 = 1600;
        for middle in [0.0, 0.1, 1.0] {
            let all: Vec<Dependence> = (0..WORLDS).map(|world| product_of_means(world, middle, 50)).collect();
            // Var(mean x mean y) = 2 middle^2 / n + 1 / n^2.
            let truth = 2.0 * middle * middle / 50.0 + 1.0 / 2500.0;
            let mean = |of: &dyn Fn(&Dependence) -> f64| all.iter().map(of).sum::<f64>() / WORLDS as f64;
            let found = mean(&|one| {
                let Components { first, across, .. } = Components::of(one);
                first.iter().sum::<f64>() / 50.0 + 4.0 * across[0] / 2500.0
            });
            // The part of first order of `middle` 0 is (chi^2_2 - 2) / n^2, so 1600 worlds know its mean within 5% of the truth.
            assert!((found / truth - 1.0).abs() < 0.15, "{middle}: {found} {truth}");
            // It is not shown below 0, which adds at most E max(chi^2_2 - 2, 0) / n^2, 2 / e times 1 / n^2.
            let shown = mean(&|one| Components::of(one).at(one.value, &[50, 50]).standard_error().powi(2));
            assert!(shown >= found && shown < 1.15 * truth + 2.0 / std::f64::consts::E / 2500.0, "{middle}: {shown}");
        }
    }

    #[test]
    fn what_two_distances_owe_to_one_set_cancels() {
        let distance = product_of_means(0, 1.0, 40);
        let difference = Components::of_difference(&distance, &distance).at(0.0, &[40, 40, 40]);
        let single = Components::of(&distance).at(1.0, &[40, 40]);
        // Twice the second set's variance, none of the first's.
        assert!(difference.first < 2.5 * single.first && difference.first > 0.0);
        assert!(difference.probability() > 0.999);
        let sure = Uncertain { value: 1.959_963_984_540_054, first: 1.0, second: 0.0 };
        assert!((sure.probability() - 0.05).abs() < 1e-9);
    }

    #[test]
    fn pairs_are_of_different_rows_and_do_not_repeat() {
        for count in [2, 3, 40, 3000] {
            let pairs = pairs_within(count);
            let distinct: std::collections::BTreeSet<_> = pairs.iter().collect();
            assert!(distinct.len() == pairs.len() && pairs.iter().all(|(i, j)| i != j), "{count}");
        }
        assert_eq!(pairs_across(3, 2).len(), 6);
    }
}
