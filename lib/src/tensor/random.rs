//! Counter-based random streams: a draw is a function of (seed, stream, step, index) and not of earlier draws,
//! so that training resumes bit for bit, shards agree with the whole, and threads cannot change a result.
//!
//! ChaCha with 8 rounds, keyed by (seed, stream, step), read at word `2 * index`. Normals by Box and Muller.

use std::ops::Range;

use num_traits::Float;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;

/// What a stream of random numbers is for. Two purposes never share draws.
///
/// ```
/// use obverse::tensor::random::Stream;
/// let shuffle = Stream::new(0, "shuffle", 3);
/// // Element 5 is the same whether it is drawn alone or among others.
/// assert_eq!(shuffle.uniform::<f64>(5..6)[0], shuffle.uniform::<f64>(0..8)[5]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u8; 32],
}

impl Stream {
    /// The stream of `purpose` at `step` (an epoch, an update, an image …) of a run seeded with `seed`.
    pub fn new(seed: u64, purpose: &str, step: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&step.to_le_bytes());
        key[16..].copy_from_slice(&blake3::hash(purpose.as_bytes()).as_bytes()[..16]);
        Self { key }
    }

    /// A branch of this stream, for one of several purposes that share its seed and step.
    pub fn branch(&self, purpose: &str) -> Self {
        Self { key: *blake3::keyed_hash(&self.key, purpose.as_bytes()).as_bytes() }
    }

    /// The generator, placed so that the next `u64` is draw number `index`.
    fn at(&self, index: usize) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::from_seed(self.key);
        generator.set_word_pos(2 * index as u128);
        generator
    }

    /// Draws `range` of 64 random bits each.
    pub fn bits(&self, range: Range<usize>) -> Vec<u64> {
        let mut generator = self.at(range.start);
        range.map(|_| generator.next_u64()).collect()
    }

    /// Draws `range`, uniform in [0, 1), with as many bits as `E` holds.
    pub fn uniform<E: Float + Send>(&self, range: Range<usize>) -> Vec<E> {
        self.drawn(range, unit)
    }

    /// Draws `range` in parallel blocks, each from its own place in the stream.
    fn drawn<T: Send>(&self, range: Range<usize>, value: impl Fn(u64) -> T + Sync) -> Vec<T> {
        const BLOCK: usize = 1 << 13;
        let block = |number: usize| {
            let start = range.start + number * BLOCK;
            let mut generator = self.at(start);
            (start..range.end.min(start + BLOCK)).map(|_| value(generator.next_u64())).collect::<Vec<_>>()
        };
        let blocks: Vec<Vec<T>> = (0..range.len().div_ceil(BLOCK)).into_par_iter().map(block).collect();
        blocks.into_iter().flatten().collect()
    }

    /// Draws `range` of the standard normal distribution.
    pub fn normal<E: Float + Send>(&self, range: Range<usize>) -> Vec<E> {
        self.drawn(range, |bits| {
            // One draw feeds both uniforms of Box and Muller, 32 bits each: the largest value is 6.66.
            let radius = ((bits >> 32) as f64 + 1.0) / (1u64 << 32) as f64;
            let angle = (bits & 0xffff_ffff) as f64 / (1u64 << 32) as f64;
            let value = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
            E::from(value).unwrap_or_else(E::zero)
        })
    }

    /// A random order of `0..length` (Fisher and Yates).
    pub fn permutation(&self, length: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..length).collect();
        let mut generator = self.at(0);
        for last in (1..length).rev() {
            // Bias below 2^-32 for any length that fits in memory.
            let chosen = ((generator.next_u64() as u128 * (last as u128 + 1)) >> 64) as usize;
            order.swap(last, chosen);
        }
        order
    }
}

/// 53 random bits (24 where `E` is f32) as a number in [0, 1).
fn unit<E: Float>(bits: u64) -> E {
    let kept = if E::epsilon().to_f64() > Some(1e-10) { 24 } else { 53 };
    let value = (bits >> (64 - kept)) as f64 / (1u64 << kept) as f64;
    E::from(value).unwrap_or_else(E::zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_its_index_alone() {
        let stream = Stream::new(7, "noise", 2);
        let whole: Vec<f32> = stream.normal(0..100);
        assert_eq!(stream.normal::<f32>(40..60), whole[40..60]);
        assert_ne!(Stream::new(7, "noise", 3).normal::<f32>(0..100), whole);
        assert_ne!(Stream::new(8, "noise", 2).normal::<f32>(0..100), whole);
        assert_ne!(Stream::new(7, "shuffle", 2).normal::<f32>(0..100), whole);
    }

    #[test]
    fn branches_share_no_draws() {
        let stream = Stream::new(7, "dropout", 2);
        assert_ne!(stream.branch("a").bits(0..4), stream.branch("b").bits(0..4));
        assert_ne!(stream.branch("a").bits(0..4), stream.bits(0..4));
        assert_eq!(stream.branch("a"), Stream::new(7, "dropout", 2).branch("a"));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let stream = Stream::new(0, "moments", 0);
        let n = if cfg!(miri) { 2_000 } else { 200_000 };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / n as f64;
        let uniform: Vec<f64> = stream.uniform(0..n);
        assert!((mean(&uniform) - 0.5).abs() < 5.0 * (1.0 / 12.0 / n as f64).sqrt());
        let normal: Vec<f64> = stream.normal(0..n);
        assert!(mean(&normal).abs() < 5.0 / (n as f64).sqrt());
        let squares: Vec<f64> = normal.iter().map(|z| z * z).collect();
        assert!((mean(&squares) - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt());
        assert!(uniform.iter().all(|&u| (0.0..1.0).contains(&u)));
        assert!(stream.uniform::<f32>(0..n).iter().all(|&u| (0.0..1.0).contains(&u)));
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = Stream::new(1, "shuffle", 0).permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
