//! Structural similarity (Wang et al. 2004), the mean of
//!
//! (2 m_a m_b + c1) (2 s_ab + c2) / ((m_a^2 + m_b^2 + c1) (s_a^2 + s_b^2 + c2))
//!
//! over every place of an 11 x 11 Gaussian window (sigma 1.5) that lies within the image, and over channels; c1 = (0.01 L)^2,
//! c2 = (0.03 L)^2, the data range L = 1. Images smaller than the window have a smaller one, of odd length.
//!
//! ```
//! use obverse::similarity::ssim::ssim;
//! let image: Vec<f64> = (0..144).map(|i| f64::from(i % 7) / 7.0).collect();
//! let negative: Vec<f64> = image.iter().map(|value| 1.0 - value).collect();
//! assert!((ssim(&image, &image, [1, 12, 12]) - 1.0).abs() < 1e-12);
//! assert!(ssim(&image, &negative, [1, 12, 12]) < 0.0);
//! ```

/// Half the window's length, without its middle.
const REACH: usize = 5;
/// The window's standard deviation.
const SIGMA: f64 = 1.5;
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// The similarity of two images (C, H, W) of values in 0..1: 1 for equal ones.
pub fn ssim(a: &[f64], b: &[f64], [channels, height, width]: [usize; 3]) -> f64 {
    let plane = height * width;
    if plane == 0 {
        return 1.0;
    }
    let planes = a.chunks_exact(plane).zip(b.chunks_exact(plane)).take(channels);
    planes.map(|(a, b)| plane_ssim(a, b, height, width)).sum::<f64>() / channels as f64
}

fn plane_ssim(a: &[f64], b: &[f64], height: usize, width: usize) -> f64 {
    let (down, across) = (window(height), window(width));
    let mean = |value: &dyn Fn(usize) -> f64| blurred(value, height, width, &down, &across);
    let (mean_a, mean_b) = (mean(&|i| a[i]), mean(&|i| b[i]));
    let (square_a, square_b, product) = (mean(&|i| a[i] * a[i]), mean(&|i| b[i] * b[i]), mean(&|i| a[i] * b[i]));
    let similarity = |i: usize| {
        let (m_a, m_b) = (mean_a[i], mean_b[i]);
        let (s_a, s_b, s_ab) = (square_a[i] - m_a * m_a, square_b[i] - m_b * m_b, product[i] - m_a * m_b);
        (2.0 * m_a * m_b + C1) * (2.0 * s_ab + C2) / ((m_a * m_a + m_b * m_b + C1) * (s_a + s_b + C2))
    };
    (0..mean_a.len()).map(similarity).sum::<f64>() / mean_a.len() as f64
}

/// The Gaussian window along an axis, of sum 1.
fn window(length: usize) -> Vec<f64> {
    let reach = REACH.min((length - 1) / 2) as i64;
    let weights: Vec<f64> = (-reach..=reach).map(|x| (-0.5 * (x as f64 / SIGMA).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Weighted means under the window at every place where it lies within the plane.
fn blurred(value: &dyn Fn(usize) -> f64, height: usize, width: usize, down: &[f64], across: &[f64]) -> Vec<f64> {
    let columns = width + 1 - across.len();
    let mut rows = Vec::with_capacity(height * columns);
    for y in 0..height {
        let row: Vec<f64> = (0..width).map(|x| value(y * width + x)).collect();
        rows.extend(row.windows(across.len()).map(|part| part.iter().zip(across).map(|(v, w)| v * w).sum::<f64>()));
    }
    let at = |k: usize| {
        let (y, x) = (k / columns, k % columns);
        down.iter().enumerate().map(|(dy, weight)| weight * rows[(y + dy) * columns + x]).sum()
    };
    (0..(height + 1 - down.len()) * columns).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    fn image(purpose: &str, count: usize) -> Vec<f64> {
        Stream::new(0, purpose, 0).uniform(0..count)
    }

    #[test]
    fn equal_images_are_alike_and_negatives_are_not() {
        let a = image("a", 3 * 16 * 13);
        assert!((ssim(&a, &a, [3, 16, 13]) - 1.0).abs() < 1e-12);
        let negative: Vec<f64> = a.iter().map(|value| 1.0 - value).collect();
        assert!(ssim(&a, &negative, [3, 16, 13]) < -0.5);
    }

    #[test]
    fn a_constant_shift_changes_the_means_alone() {
        let (a, b) = (vec![0.2; 144], vec![0.6; 144]);
        let expected = (2.0 * 0.2 * 0.6 + C1) / (0.04 + 0.36 + C1);
        assert!((ssim(&a, &b, [1, 12, 12]) - expected).abs() < 1e-9);
    }

    #[test]
    fn images_smaller_than_the_window_are_compared_by_a_smaller_one() {
        for (height, width) in [(1, 1), (2, 5), (4, 30)] {
            let (a, b) = (image("a", height * width), image("b", height * width));
            let similarity = ssim(&a, &b, [1, height, width]);
            assert!(similarity.is_finite() && similarity < 1.0, "{height} x {width}: {similarity}");
        }
    }
}
