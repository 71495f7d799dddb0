//! The uncertainty of precision, recall, density and coverage.
//!
//! A neighbourhood reaches to a neighbour of its own set, so each image moves the shares of others: with neighbourhoods held fixed, a
//! bootstrap shows half of the variance, and leaving out one image, which counts what many images do together many times, three times
//! as much. Two halves of both sets are independent of each other, neighbourhoods and all. A share f of all images then varies as
//! (f(half) - f(other half)) / 2 does, and the mean of that over many random halves is its variance, but for what half as many images
//! change; of a share p we take that as p (1 - p) changes.
//!
//! The intervals hold the expected share of as many images. A share has no other truth: its neighbourhoods shrink as images are added.
//!
//! ```
//! use obverse::fidelity::{Features, halves::Halves};
//! let real: Vec<f64> = (0..40).map(f64::from).collect();
//! let generated: Vec<f64> = real.iter().map(|value| value + 20.5).collect();
//! let halves = Halves::of(Features::new(&real, 1), Features::new(&generated, 1), 3, 0)?;
//! let [low, high] = halves.intervals()[0];
//! assert!(low < halves.whole().precision && halves.whole().precision < high);
//! # Ok::<(), obverse::fidelity::Error>(())
//! ```

use super::manifold::{Manifold, memberships};
use super::pairs::distances;
use super::uncertainty::{NORMAL, Uncertain};
use super::{Error, Features, Result};
use crate::tensor::random::Stream;

/// How many times both sets are halved: bits of a label. The mean over 128 is within 12% of that over all halves.
const TIMES: usize = 128;

/// The squared distance to the k-th nearest image of one's own half, each time.
type Radii = [f64; TIMES];

/// The four shares of both sets, and of their halves.
#[derive(Clone, Debug, PartialEq)]
pub struct Halves {
    whole: Manifold,
    /// How many images each share is over.
    sizes: [f64; 4],
    /// The shares of one half minus those of the other, each time.
    apart: Vec<[f64; 4]>,
    /// The mean shares of halves.
    mean: [f64; 4],
}

impl Halves {
    /// Compares generated with real images by their `neighbours` nearest neighbours, as [`memberships`] does, and half with half.
    ///
    /// # Errors
    /// Halves of no more than `neighbours` rows, features of different lengths.
    pub fn of(real: Features, generated: Features, neighbours: usize, seed: u64) -> Result<Self> {
        let whole = memberships(real, generated, neighbours)?.shares();
        let fewest = real.count().min(generated.count());
        if fewest < 2 * (neighbours + 1) {
            let what = "intervals of shares, half of them with neighbourhoods (`neighbours`)";
            return Err(Error::TooFew { needed: 2 * (neighbours + 1), found: fewest, what });
        }
        let real = Side::of(real, neighbours, seed, "real");
        let generated = Side::of(generated, neighbours, seed, "generated");
        let precise = distances(generated.features, real.features, |row, distances| {
            let mut seen = Seen { inside: 0, balls: [0; TIMES] };
            for (other, &distance) in distances.iter().enumerate() {
                if distance < real.largest[other] {
                    let inside = real.holds(other, distance) & same(generated.labels[row], real.labels[other]);
                    seen.inside |= inside;
                    bits(inside).for_each(|time| seen.balls[time] += 1);
                }
            }
            seen
        });
        let covered = distances(real.features, generated.features, |row, distances| {
            let (mut recalled, mut covered) = (0, 0);
            for (other, &distance) in distances.iter().enumerate() {
                if distance < real.largest[row].max(generated.largest[other]) {
                    let same = same(real.labels[row], generated.labels[other]);
                    recalled |= generated.holds(other, distance) & same;
                    covered |= real.holds(row, distance) & same;
                }
            }
            (recalled, covered)
        });
        let shares = |time: usize, half: bool| {
            let mine = |label: u128| (label >> time & 1 == 1) == half;
            let mean = |labels: &[u128], value: &dyn Fn(usize) -> u32| {
                let rows: Vec<usize> = (0..labels.len()).filter(|&row| mine(labels[row])).collect();
                rows.iter().map(|&row| f64::from(value(row))).sum::<f64>() / rows.len() as f64
            };
            let bit = |word: u128| (word >> time & 1) as u32;
            [
                mean(&generated.labels, &|row| bit(precise[row].inside)),
                mean(&real.labels, &|row| bit(covered[row].0)),
                mean(&generated.labels, &|row| precise[row].balls[time]) / neighbours as f64,
                mean(&real.labels, &|row| bit(covered[row].1)),
            ]
        };
        let pairs: Vec<[[f64; 4]; 2]> = (0..TIMES).map(|time| [shares(time, true), shares(time, false)]).collect();
        let (n, m) = (real.labels.len() as f64, generated.labels.len() as f64);
        Ok(Self {
            whole,
            sizes: [m, n, m, n],
            apart: pairs.iter().map(|[one, other]| [0, 1, 2, 3].map(|share| one[share] - other[share])).collect(),
            mean: [0, 1, 2, 3].map(|share| {
                pairs.iter().map(|[one, other]| one[share] + other[share]).sum::<f64>() / (2 * TIMES) as f64
            }),
        })
    }

    /// The shares of all images.
    pub fn whole(&self) -> Manifold {
        self.whole
    }

    /// The shares with their variances: precision, recall, density, coverage.
    pub fn each(&self) -> [Uncertain; 4] {
        let values = self.whole.each();
        [0, 1, 2, 3].map(|share| {
            let halved = self.apart.iter().map(|apart| apart[share] * apart[share]).sum::<f64>() / (4 * TIMES) as f64;
            let variance = match share {
                DENSITY => halved,
                // Not below that of independent images: of shares near 0 or 1 a sample may show none.
                _ => (halved * self.growth(share)).max(spread(values[share], self.sizes[share]) / self.sizes[share]),
            };
            Uncertain { value: values[share], first: variance, second: 0.0 }
        })
    }

    /// Intervals of 95%: Wilson's (1927) of as many independent images as have this variance; of the density, 1.96 standard errors.
    pub fn intervals(&self) -> [[f64; 2]; 4] {
        let each = self.each();
        [0, 1, 2, 3].map(|share| {
            let found = each[share];
            match share {
                DENSITY => found.interval().map(|end| end.max(0.0)),
                _ => wilson(found.value, spread(found.value, self.sizes[share]) / found.first),
            }
        })
    }

    /// These shares minus those of other generated images, against the same real ones: what both owe to the real images is subtracted.
    ///
    /// # Errors
    /// Another number of generated images, which changes what shares are expected.
    pub fn minus(&self, other: &Self) -> Result<[Uncertain; 4]> {
        if self.sizes != other.sizes {
            let [expected, found] = [self, other].map(|halves| halves.sizes[0] as usize);
            return Err(Error::Counts { expected, found });
        }
        let (a, b) = (self.whole.each(), other.whole.each());
        Ok([0, 1, 2, 3].map(|share| {
            let scale = |halves: &Self| if share == DENSITY { 1.0 } else { halves.growth(share).sqrt() };
            let (ours, theirs) = (scale(self), scale(other));
            let squares = self.apart.iter().zip(&other.apart);
            let squares = squares.map(|(a, b)| (ours * a[share] - theirs * b[share]).powi(2)).sum::<f64>();
            Uncertain { value: a[share] - b[share], first: squares / (4 * TIMES) as f64, second: 0.0 }
        }))
    }

    /// How p (1 - p) changes from half of the images to all.
    fn growth(&self, share: usize) -> f64 {
        let size = self.sizes[share];
        spread(self.whole.each()[share], size) / spread(self.mean[share], size)
    }
}

/// The place of the density, which is no share.
const DENSITY: usize = 2;

/// p (1 - p) of a share of so many images, with two images more on each side (Agresti & Coull 1998): not 0 where all are alike.
fn spread(share: f64, size: f64) -> f64 {
    let share = (share * size + 2.0) / (size + 4.0);
    share * (1.0 - share)
}

/// Wilson's interval of a share of `count` independent images.
fn wilson(share: f64, count: f64) -> [f64; 2] {
    let level = NORMAL * NORMAL / count;
    let middle = (share + 0.5 * level) / (1.0 + level);
    let half = (level * (share * (1.0 - share) + 0.25 * level)).sqrt() / (1.0 + level);
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

/// What a generated image sees: whether it lies in a real ball of its half, and in how many, each time.
struct Seen {
    inside: u128,
    balls: [u32; TIMES],
}

/// One set with its halves.
struct Side<'a> {
    features: Features<'a>,
    /// Bit t: which half an image is in, the t-th time.
    labels: Vec<u128>,
    radii: Vec<Radii>,
    largest: Vec<f64>,
}

impl<'a> Side<'a> {
    fn of(features: Features<'a>, k: usize, seed: u64, name: &str) -> Self {
        let count = features.count();
        let mut labels = vec![0; count];
        for time in 0..TIMES {
            let order = Stream::new(seed, &format!("halves of the {name} images"), time as u64).permutation(count);
            order[..count / 2].iter().for_each(|&row| labels[row] |= 1 << time);
        }
        let radii = distances(features, features, |row, distances| radii(row, distances, &labels, k));
        let largest =
            radii.iter().map(|radii| radii.iter().fold(0.0, |largest: f64, &radius| largest.max(radius))).collect();
        Self { features, labels, radii, largest }
    }

    /// The times at which a point at this squared distance is in a row's ball.
    fn holds(&self, row: usize, distance: f64) -> u128 {
        let held = |(time, &radius): (usize, &f64)| u128::from(distance < radius) << time;
        self.radii[row].iter().enumerate().map(held).fold(0, |held, bit| held | bit)
    }
}

/// The radii of a row, from its distances to all rows of its set.
fn radii(row: usize, distances: &[f64], labels: &[u128], k: usize) -> Radii {
    let mut others: Vec<usize> = (0..labels.len()).filter(|&other| other != row).collect();
    let nearer = |a: &usize, b: &usize| distances[*a].total_cmp(&distances[*b]).then(a.cmp(b));
    // So many hold k of one half but once in billions of times; all do, if not.
    for taken in [(8 * k + 64).min(others.len()), others.len()] {
        if taken < others.len() {
            others.select_nth_unstable_by(taken, nearer);
        }
        others[..taken].sort_unstable_by(nearer);
        let (mut radii, mut found, mut open) = ([f64::INFINITY; TIMES], [0; TIMES], u128::MAX);
        for &other in &others[..taken] {
            for time in bits(same(labels[row], labels[other]) & open) {
                found[time] += 1;
                if found[time] == k {
                    radii[time] = distances[other];
                    open &= !(1 << time);
                }
            }
            if open == 0 {
                return radii;
            }
        }
    }
    [f64::INFINITY; TIMES]
}

/// The times at which two images are in one half.
fn same(one: u128, other: u128) -> u128 {
    !(one ^ other)
}

/// The places of a word's ones.
fn bits(mut word: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(purpose: &str, world: u64, count: usize, shift: f64) -> Vec<f64> {
        Stream::new(world, purpose, 0).normal::<f64>(0..count * 3).iter().map(|value| value + shift).collect()
    }

    #[test]
    fn each_half_has_the_shares_of_the_half_alone() {
        let (real, generated) = (normal("real", 0, 41, 0.0), normal("generated", 0, 30, 0.5));
        let (real, generated) = (Features::new(&real, 3), Features::new(&generated, 3));
        let halves = Halves::of(real, generated, 3, 7).unwrap();
        for time in [0, 1, 77] {
            let split = |count: usize, name: &str| {
                let order = Stream::new(7, &format!("halves of the {name} images"), time).permutation(count);
                let (one, other) = order.split_at(count / 2);
                [one.to_vec(), other.to_vec()]
            };
            let (r, g) = (split(41, "real"), split(30, "generated"));
            let [one, other] = [0, 1].map(|half| {
                let (real, generated) = (real.gathered(&r[half]), generated.gathered(&g[half]));
                memberships(Features::new(&real, 3), Features::new(&generated, 3), 3).unwrap().shares().each()
            });
            for share in 0..4 {
                let expected = one[share] - other[share];
                assert!((halves.apart[time as usize][share] - expected).abs() < 1e-12, "{time} {share}");
            }
        }
        assert!(halves.minus(&halves).unwrap().iter().all(|found| found.value == 0.0 && found.first == 0.0));
        let fewer = Halves::of(real, Features::new(&generated.rows()[..60], 3), 3, 7).unwrap();
        assert!(halves.minus(&fewer).unwrap_err().to_string().contains("30, found 20"));
        let error = Halves::of(real, Features::new(&generated.rows()[..21], 3), 3, 7).unwrap_err();
        assert!(error.to_string().contains("at least 8 images, found 7"), "{error}");
    }

    #[test]
    fn shares_vary_as_those_of_fresh_sets_do() {
        let found: Vec<Halves> = (0..60)
            .map(|world| {
                let (real, generated) = (normal("real", world, 100, 0.0), normal("generated", world, 100, 0.5));
                Halves::of(Features::new(&real, 3), Features::new(&generated, 3), 5, 0).unwrap()
            })
            .collect();
        for share in 0..4 {
            let values: Vec<f64> = found.iter().map(|halves| halves.whole().each()[share]).collect();
            let mean = values.iter().sum::<f64>() / 60.0;
            let fresh = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 59.0).sqrt();
            let shown = found.iter().map(|halves| halves.each()[share].standard_error()).sum::<f64>() / 60.0;
            // 60 worlds know a deviation within 9%.
            assert!((0.7..1.4).contains(&(shown / fresh)), "{share}: {shown} {fresh}");
        }
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_the_tables() {
        // Ten of a hundred: Brown, Cai & DasGupta 2001.
        let [low, high] = wilson(0.1, 100.0);
        assert!((low - 0.0552).abs() < 1e-4 && (high - 0.1744).abs() < 1e-4, "{low} {high}");
        assert!(wilson(1.0, 50.0)[1] == 1.0 && wilson(0.0, 50.0)[0] == 0.0);
    }
}
