//! The Inception Score (Salimans et al. 2016): exp of the mean Kullback-Leibler divergence of p(class | image) from the mean of p over
//! the images of a split; then the mean over splits, and their standard deviation.
//!
//! p is the softmax of a classifier's logits. The published scores take those of the inception network of 2015 without their bias
//! (its 1,008 classes), 10 splits of 5,000 images each, as torch-fidelity and ADM do.
//!
//! ```
//! use obverse::fidelity::{Features, inception_score::{Order, inception_score}};
//! // Two images, each surely of its own class: as many classes as the score counts.
//! let logits = [40.0, 0.0, 0.0, 40.0];
//! let score = inception_score(Features::new(&logits, 2), 1, Order::Given)?;
//! assert!((score.mean - 2.0).abs() < 1e-12 && score.deviation == 0.0);
//! # Ok::<(), obverse::fidelity::Error>(())
//! ```

use rayon::prelude::*;

use super::shuffle::permutation;
use super::{Error, Features, Result};

/// torch-fidelity's seed.
const SEED: u32 = 2020;

/// The order in which images come into splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Shuffled as torch-fidelity does, which has a seed of its own: see [`permutation`].
    Shuffled,
    /// As they are, as ADM does.
    Given,
}

/// The score over splits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InceptionScore {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation over the splits, divided by their number (not one less): no standard error.
    pub deviation: f64,
}

/// The score of images with these logits, (N, classes).
///
/// # Errors
/// Fewer images than splits.
pub fn inception_score(logits: Features, splits: usize, order: Order) -> Result<InceptionScore> {
    let count = logits.count();
    if splits == 0 || count < splits {
        let what = "the splits of an Inception Score (`is_splits`)";
        return Err(Error::TooFew { needed: splits.max(1), found: count, what });
    }
    let rows = match order {
        Order::Shuffled => permutation(SEED, count),
        Order::Given => (0..count).collect(),
    };
    let scores: Vec<f64> =
        (0..splits).map(|split| score(logits, &rows[split * count / splits..(split + 1) * count / splits])).collect();
    let mean = scores.iter().sum::<f64>() / splits as f64;
    let squares = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>();
    Ok(InceptionScore { mean, deviation: (squares / splits as f64).sqrt() })
}

/// The score of one split.
fn score(logits: Features, rows: &[usize]) -> f64 {
    let logarithms: Vec<Vec<f64>> = rows.par_iter().map(|&row| log_softmax(logits.row(row))).collect();
    let mut mean = vec![0.0; logits.dimension()];
    for logarithms in &logarithms {
        mean.iter_mut().zip(logarithms).for_each(|(mean, logarithm)| *mean += logarithm.exp());
    }
    let mean: Vec<f64> = mean.into_iter().map(|sum| (sum / rows.len() as f64).ln()).collect();
    let divergence = |logarithms: &Vec<f64>| -> f64 {
        let terms = logarithms.iter().zip(&mean).map(|(logarithm, mean)| (logarithm.exp(), logarithm - mean));
        // A class of no probability adds nothing, though its logarithms differ by infinity.
        terms.filter(|(probability, _)| *probability > 0.0).map(|(probability, ratio)| probability * ratio).sum()
    };
    let divergences: Vec<f64> = logarithms.par_iter().map(divergence).collect();
    (divergences.iter().sum::<f64>() / rows.len() as f64).exp()
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
    logits.iter().map(|logit| logit - largest - sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_that_of_torch_fidelity_with_and_without_its_shuffle() {
        // torch_fidelity.metric_isc.isc_features_to_metric (0.4.0) of f64 logits (i * 31 + j * 17) % 13 / 3, 11 images of 4 classes,
        // 3 splits: the splits have 3, 4 and 4 images.
        let logits: Vec<f64> = (0..44).map(|place| f64::from((place / 4 * 31 + place % 4 * 17) % 13) / 3.0).collect();
        let logits = Features::new(&logits, 4);
        for (order, mean, deviation) in [
            (Order::Shuffled, 1.2978494613693903, 0.005602218060023519),
            (Order::Given, 1.49712951742529, 0.02450332967692476),
        ] {
            let score = inception_score(logits, 3, order).unwrap();
            // Sums of f64 in another order.
            assert!((score.mean - mean).abs() < 1e-13 && (score.deviation - deviation).abs() < 1e-13, "{score:?}");
        }
    }

    #[test]
    fn classes_that_are_impossible_add_nothing_and_too_few_images_are_refused() {
        let logits = [0.0, -2000.0, 0.0, -2000.0, 0.0, 0.0];
        // Each image is evenly of two classes, one of them shared: the mean is (1/4, 1/4, 1/2), log 2 / 2 from each.
        let score = inception_score(Features::new(&logits, 3), 1, Order::Given).unwrap();
        assert!((score.mean - 2f64.sqrt()).abs() < 1e-12, "{score:?}");
        let error = inception_score(Features::new(&logits, 3), 3, Order::Given).unwrap_err().to_string();
        assert!(error.contains("at least 3 images, found 2") && error.contains("`is_splits`"), "{error}");
    }
}
