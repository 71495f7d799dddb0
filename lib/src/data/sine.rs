//! The toy example of feature alignment, section 3.2: y = sin(3 pi x) on [-1, 1], with many x for each y.
//!
//! ```
//! use obverse::data::sine::sine;
//! // The same y of several x.
//! assert!((sine(1.0 / 6.0) - 1.0).abs() < 1e-6 && (sine(5.0 / 6.0) - 1.0).abs() < 1e-6);
//! ```

use std::path::Path;

use super::Result;
use crate::store::npy::write;
use crate::tensor::random::Stream;

/// Points of the test part, evenly spaced, ends included.
pub(crate) const TEST_POINTS: usize = 1000;

/// sin(3 pi x).
pub fn sine(x: f32) -> f32 {
    (3.0 * std::f64::consts::PI * f64::from(x)).sin() as f32
}

/// Writes `train-images.npy` (count, 1, 1, 1), uniform in [-1, 1), `train-targets.npy` (count, 1), and the same for the test
/// part, f32, into `folder`.
///
/// # Errors
/// A file that cannot be written.
pub fn write_sine(folder: &Path, count: usize, seed: u64) -> Result<()> {
    let drawn = Stream::new(seed, "sine", 0).uniform::<f32>(0..count);
    let train: Vec<f32> = drawn.into_iter().map(|value| 2.0 * value - 1.0).collect();
    let test: Vec<f32> = (0..TEST_POINTS).map(|i| 2.0 * i as f32 / (TEST_POINTS - 1) as f32 - 1.0).collect();
    for (part, x) in [("train", train), ("test", test)] {
        let y: Vec<f32> = x.iter().map(|&x| sine(x)).collect();
        write(&folder.join(format!("{part}-images.npy")), &[x.len(), 1, 1, 1], &x)?;
        write(&folder.join(format!("{part}-targets.npy")), &[y.len(), 1], &y)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_that_of_the_paper() {
        for (x, y) in [(0.0, 0.0), (1.0 / 6.0, 1.0), (0.5, -1.0), (-1.0 / 6.0, -1.0)] {
            assert!((sine(x) - y).abs() < 1e-6, "{x}");
        }
    }
}
