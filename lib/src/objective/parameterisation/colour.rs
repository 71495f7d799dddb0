//! Decorrelated colours of natural images: y = M x for the three channels of a pixel.
//!
//! M is Lucid's square root of the covariance of ImageNet's colours, divided by the largest norm of its columns
//! (Olah et al. 2017, `color_correlation_normalized`).

use super::{Error, Result};
use crate::tensor::Element;

/// Lucid's `color_correlation_svd_sqrt`.
const CORRELATION_ROOT: [[f64; 3]; 3] = [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]];

/// The channels of an image before the sigmoid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// The image's own channels, any number.
    Plain,
    /// Three coordinates in which natural images' colours do not correlate.
    Decorrelated,
}

impl Colours {
    /// The matrix from coordinates to channels; none for the identity.
    ///
    /// # Errors
    /// Decorrelated colours of other than three channels.
    pub(super) fn matrix(self, channels: usize) -> Result<Option<[[f64; 3]; 3]>> {
        match (self, channels) {
            (Self::Plain, _) => Ok(None),
            (Self::Decorrelated, 3) => Ok(Some(normalised())),
            (Self::Decorrelated, _) => Err(Error::request("decorrelated colours", "images of 3 channels", channels)),
        }
    }
}

/// The root of the covariance over its largest column norm.
fn normalised() -> [[f64; 3]; 3] {
    let norm = |column: usize| CORRELATION_ROOT.iter().map(|row| row[column] * row[column]).sum::<f64>().sqrt();
    let largest = (0..3).map(norm).fold(0.0, f64::max);
    CORRELATION_ROOT.map(|row| row.map(|value| value / largest))
}

/// The transposed matrix.
pub(super) fn transposed(matrix: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|row| std::array::from_fn(|column| matrix[column][row]))
}

/// The inverse matrix, by cofactors.
pub(super) fn inverse(m: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let cofactor = |row: usize, column: usize| {
        let (r, s) = ((row + 1) % 3, (row + 2) % 3);
        let (c, d) = ((column + 1) % 3, (column + 2) % 3);
        m[r][c] * m[s][d] - m[r][d] * m[s][c]
    };
    let determinant: f64 = (0..3).map(|column| m[0][column] * cofactor(0, column)).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| cofactor(column, row) / determinant))
}

/// The matrix in the type that images are of.
pub(super) fn cast<E: Element>(matrix: [[f64; 3]; 3]) -> [[E; 3]; 3] {
    matrix.map(|row| row.map(E::of))
}

/// One pixel, M x.
pub(super) fn mix<E: Element>(matrix: &[[E; 3]; 3], [x, y, z]: [E; 3]) -> [E; 3] {
    matrix.map(|[a, b, c]| a * x + b * y + c * z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::{Case, assert_close};
    use crate::tensor::view;

    #[test]
    fn the_matrix_is_the_oracle_s() {
        let expected = Case::open("fourier_image").array::<f64>("color_matrix");
        assert_close(&normalised().concat(), view(&expected), 1e-10);
    }

    #[test]
    fn the_inverse_undoes_the_matrix() {
        let pixel = [0.3, -1.0, 2.0];
        assert_close(&mix(&inverse(normalised()), mix(&normalised(), pixel)), &pixel, 1e-12);
    }
}
