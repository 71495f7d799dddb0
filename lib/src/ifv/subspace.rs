//! Subspaces of R^n by orthonormal bases (n x m), the principal angles between two, and how Algorithm 1 merges them.
//!
//! Angles and vectors as in Knyazev & Argentati 2002: cosines are the singular values of A^T B, which give small angles to half
//! the digits only; so where an angle is below 45 degrees it comes from its sine, a singular value of (I - A A^T) B.
//!
//! Source: inverse feature visualisation, section 2.2.
//!
//! ```
//! use obverse::ifv::subspace::Subspace;
//! let half = 0.5f64.sqrt();
//! let (first, between) = (Subspace::from_rows(&[1.0, 0.0], 2)?, Subspace::from_rows(&[half, half], 2)?);
//! let angle = first.principal(&between)?.angles[0];
//! assert!((angle - std::f64::consts::FRAC_PI_4).abs() < 1e-12);
//! assert!(first.complement().coordinates(&[0.0, 2.0])[0].abs() > 1.99);
//! # Ok::<(), obverse::ifv::Error>(())
//! ```

use std::f64::consts::FRAC_PI_4;

use faer::{Col, Mat, MatRef};

use super::{Error, Result};

/// The tolerance for Q^T Q = I: the rounding of f32 over some hundred rows.
const ORTHONORMAL: f64 = 1e-4;
/// An angle at which sin(t a) / sin a is t to f64's precision.
const TINY: f64 = 1e-9;

/// A subspace of R^n, by an orthonormal basis.
#[derive(Clone, Debug, PartialEq)]
pub struct Subspace {
    basis: Mat<f64>,
}

/// The principal angles and vectors of two subspaces.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Radians, ascending.
    pub angles: Vec<f64>,
    /// The vectors of the first subspace, one column per angle.
    pub left: Mat<f64>,
    /// Those of the second.
    pub right: Mat<f64>,
}

impl Subspace {
    /// The subspace of these columns, n x m.
    ///
    /// # Errors
    /// Columns that are not orthonormal.
    pub fn new(basis: Mat<f64>) -> Result<Self> {
        let product = basis.transpose() * &basis;
        let identity = Mat::<f64>::identity(basis.ncols(), basis.ncols());
        let found = (product - identity).norm_max();
        // The largest element is taken past a NaN.
        if found <= ORTHONORMAL && basis.is_all_finite() {
            return Ok(Self { basis });
        }
        Err(Error::NotOrthonormal { features: basis.nrows(), dimension: basis.ncols(), found })
    }

    /// The subspace of a basis in row order, `rows` x m.
    ///
    /// # Errors
    /// Columns that are not orthonormal.
    pub fn from_rows(values: &[f64], rows: usize) -> Result<Self> {
        let columns = values.len() / rows.max(1);
        Self::new(Mat::from_fn(rows, columns, |i, j| values[i * columns + j]))
    }

    /// R^n.
    pub fn whole(n: usize) -> Self {
        Self { basis: Mat::identity(n, n) }
    }

    /// A subspace whose columns are known to be orthonormal.
    pub(super) fn of(basis: Mat<f64>) -> Self {
        Self { basis }
    }

    /// The basis, n x m.
    pub fn basis(&self) -> MatRef<'_, f64> {
        self.basis.as_ref()
    }

    /// m.
    pub fn dimension(&self) -> usize {
        self.basis.ncols()
    }

    /// The coordinates of a vector's projection, (m).
    pub fn coordinates(&self, vector: &[f64]) -> Vec<f64> {
        (0..self.dimension()).map(|j| vector.iter().enumerate().map(|(i, v)| v * self.basis[(i, j)]).sum()).collect()
    }

    /// The orthogonal complement: by reflections, since all singular values of a basis are 1, for which iterations may not converge.
    pub fn complement(&self) -> Self {
        let (n, m) = (self.basis.nrows(), self.dimension());
        if m == 0 {
            return Self::whole(n);
        }
        Self { basis: self.basis.qr().compute_Q().subcols(m, n - m).to_owned() }
    }

    /// The principal angles to another subspace, as many as the dimension of the smaller one.
    ///
    /// # Errors
    /// A decomposition that does not converge.
    pub fn principal(&self, other: &Self) -> Result<Principal> {
        let failed = |_| Error::Decomposition("principal angles");
        let svd = (self.basis.transpose() * &other.basis).thin_svd().map_err(failed)?;
        if !(svd.U().is_all_finite() && svd.V().is_all_finite()) {
            return Err(Error::Decomposition("principal angles"));
        }
        let cosines: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let near = cosines.iter().filter(|&&cosine| cosine > FRAC_PI_4.cos()).count();
        let (left, right) = (&self.basis * svd.U(), &other.basis * svd.V());
        let mut principal = near_pairs(self, right.subcols(0, near))?;
        principal.angles.extend(cosines[near..].iter().map(|cosine| cosine.clamp(-1.0, 1.0).acos()));
        let joined = |near: &Mat<f64>, far: MatRef<f64>| {
            let columns = near.ncols();
            Mat::from_fn(far.nrows(), far.ncols(), |i, j| if j < columns { near[(i, j)] } else { far[(i, j)] })
        };
        principal.left = joined(&principal.left, left.as_ref());
        principal.right = joined(&principal.right, right.as_ref());
        Ok(principal)
    }

    /// The approximate intersection: for each pair of principal vectors less than 45 degrees apart, the vector at a share `t`
    /// of the way from this subspace's to the other's, on the sphere.
    ///
    /// # Errors
    /// A decomposition that does not converge.
    pub fn merged(&self, other: &Self, t: f64) -> Result<Self> {
        let Principal { angles, left, right } = self.principal(other)?;
        let near = angles.iter().filter(|&&angle| angle < FRAC_PI_4).count();
        let weights: Vec<[f64; 2]> = angles[..near].iter().map(|&angle| weights(angle, t)).collect();
        // Vectors of different pairs are perpendicular to each other, so these are orthonormal.
        Ok(Self {
            basis: Mat::from_fn(left.nrows(), near, |i, j| {
                weights[j][0] * left[(i, j)] + weights[j][1] * right[(i, j)]
            }),
        })
    }
}

/// Pairs of angles below 45 degrees: `right` are orthonormal vectors, their partners lie in `space`.
fn near_pairs(space: &Subspace, right: MatRef<f64>) -> Result<Principal> {
    let (n, count) = (right.nrows(), right.ncols());
    if count == 0 {
        return Ok(Principal { angles: Vec::new(), left: Mat::zeros(n, 0), right: Mat::zeros(n, 0) });
    }
    let inside = |vectors: MatRef<f64>| space.basis() * (space.basis().transpose() * vectors);
    let (sines, vectors) = right_singular(&(right - inside(right)))?;
    // Singular values descend, angles ascend.
    let turned = right * vectors;
    let right = Mat::from_fn(n, count, |i, j| turned[(i, count - 1 - j)]);
    let projected = inside(right.as_ref());
    let lengths: Vec<f64> = (0..count).map(|j| projected.col(j).norm_l2()).collect();
    let left = Mat::from_fn(n, count, |i, j| projected[(i, j)] / lengths[j]);
    Ok(Principal { angles: sines.iter().rev().map(|sine| sine.clamp(0.0, 1.0).asin()).collect(), left, right })
}

/// Singular values, descending, with the right singular vectors of a matrix of as many rows as columns or more. Among large columns
/// some that are next to nothing can make the plain decomposition give vectors of NaN; then that of a triangle with pivoted columns
/// does not.
fn right_singular(matrix: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let plain = matrix.thin_svd().ok().map(|svd| (svd.S().column_vector().to_owned(), svd.V().to_owned()));
    let pivoted = || {
        let triangle = matrix.col_piv_qr();
        let svd = triangle.thin_R().thin_svd().ok()?;
        let (turned, (order, _)) = (svd.V(), triangle.P().arrays());
        let mut vectors = Mat::zeros(turned.nrows(), turned.ncols());
        for (row, &place) in order.iter().enumerate() {
            vectors.row_mut(place).copy_from(turned.row(row));
        }
        Some((svd.S().column_vector().to_owned(), vectors))
    };
    let is_whole = |(values, vectors): &(Col<f64>, Mat<f64>)| values.is_all_finite() && vectors.is_all_finite();
    let found = plain.filter(is_whole).or_else(|| pivoted().filter(is_whole));
    let (values, vectors) = found.ok_or(Error::Decomposition("principal angles"))?;
    Ok((values.iter().copied().collect(), vectors))
}

/// The shares of two unit vectors `angle` apart in the one between them: sin((1 - t) a) / sin a and sin(t a) / sin a.
fn weights(angle: f64, t: f64) -> [f64; 2] {
    if angle < TINY {
        return [1.0 - t, t];
    }
    [((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::checks::Case;
    use crate::store::npy::Scalar;
    use crate::tensor::random::Stream;
    use crate::tensor::{Element, shape, view};

    fn matrix<E: Element + Scalar>(case: &Case, name: &str) -> Mat<f64> {
        let array = case.array::<E>(name);
        let (rows, _, _, columns) = shape(&array);
        Mat::from_fn(rows, columns, |i, j| view(&array)[i * columns + j].wide())
    }

    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("subspaces");
        let tolerance = case.tolerance::<E>();
        let (a, b) = (Subspace::new(matrix::<E>(&case, "a")).unwrap(), Subspace::new(matrix::<E>(&case, "b")).unwrap());
        let expected = case.array::<f64>("angles");
        let angles = a.principal(&b).unwrap().angles;
        assert_eq!(angles.len(), view(&expected).len());
        for (angle, expected) in angles.iter().zip(view(&expected)) {
            assert!((angle - expected).abs() <= tolerance, "{angles:?} {expected}");
        }
        let merged = a.merged(&b, case.description["t"].as_f64().unwrap()).unwrap();
        let projector = merged.basis() * merged.basis().transpose();
        let difference = (projector - matrix::<f64>(&case, "merged_projector")).norm_max();
        assert!(difference <= tolerance, "{difference:e}");
    }

    #[test]
    fn agrees_with_the_oracle_in_f64() {
        check_oracle::<f64>();
    }

    #[test]
    fn agrees_with_the_oracle_in_f32() {
        check_oracle::<f32>();
    }

    /// `m` orthonormal columns in R^n.
    fn random(n: usize, m: usize, purpose: &str) -> Subspace {
        let values: Vec<f64> = Stream::new(2, purpose, (n * 100 + m) as u64).normal(0..n * m);
        Subspace::of(Mat::from_fn(n, m, |i, j| values[i * m + j]).qr().compute_thin_Q())
    }

    #[test]
    fn small_angles_keep_their_digits() {
        let angle = 1e-11f64;
        let a = Subspace::of(Mat::from_fn(3, 1, |i, _| if i == 0 { 1.0 } else { 0.0 }));
        let b = Subspace::of(Mat::from_fn(3, 1, |i, _| [angle.cos(), angle.sin(), 0.0][i]));
        let found = a.principal(&b).unwrap().angles[0];
        assert!((found - angle).abs() < 1e-16, "{found:e}");
    }

    proptest! {
        #[test]
        fn merging_keeps_what_both_hold_whole_and_stays_orthonormal(n in 4usize..10, p in 1usize..5, q in 1usize..5, t in 0.0f64..1.0) {
            let (a, b) = (random(n, p.min(n), "a"), random(n, q.min(n), "b"));
            let merged = a.merged(&b, t).unwrap();
            prop_assert!(Subspace::new(merged.basis().to_owned()).is_ok());
            prop_assert!(merged.dimension() <= p.min(q));
            let same = a.merged(&a, t).unwrap();
            let difference = same.basis() * same.basis().transpose() - a.basis() * a.basis().transpose();
            prop_assert!(difference.norm_max() < 1e-12);
            prop_assert_eq!(a.complement().dimension(), n - a.dimension());
            prop_assert!((a.complement().basis().transpose() * a.basis()).norm_max() < 1e-12);
        }
    }

    /// Forty directions that two spaces have in common to the bit, and forty a little to a lot apart.
    #[test]
    fn directions_in_common_lie_at_no_angle_among_others() {
        let (n, m) = (120, 40);
        let frame = random(n, 3 * m, "frame");
        let column = |place: usize, i: usize| frame.basis()[(i, place)];
        let angle = |j: usize| 0.7 * 10f64.powf(-12.0 * j as f64 / m as f64);
        let turned = |j: usize, i: usize| angle(j).cos() * column(m + j, i) + angle(j).sin() * column(2 * m + j, i);
        let a = Subspace::of(Mat::from_fn(n, 2 * m, |i, j| column(j, i)));
        let b = Subspace::of(Mat::from_fn(n, 2 * m, |i, j| if j < m { column(j, i) } else { turned(j - m, i) }));
        let Principal { angles, left, right } = a.principal(&b).unwrap();
        assert!(left.is_all_finite() && right.is_all_finite());
        assert!(angles[..m].iter().all(|&angle| angle < 1e-12), "{angles:?}");
        for (found, expected) in angles[m..].iter().zip((0..m).rev().map(angle)) {
            assert!((found - expected).abs() < 1e-13 + 1e-9 * expected, "{found} {expected}");
        }
        // The vectors are those of the angles.
        for (j, angle) in angles.iter().enumerate() {
            let cosine: f64 = (0..n).map(|i| left[(i, j)] * right[(i, j)]).sum();
            assert!((cosine - angle.cos()).abs() < 1e-12, "{j}: {cosine} {angle}");
        }
        assert_eq!(a.merged(&b, 0.5).unwrap().dimension(), 2 * m);
    }

    #[test]
    fn columns_that_are_not_orthonormal_are_refused() {
        let error = Subspace::new(Mat::from_fn(3, 2, |_, _| 1.0)).unwrap_err();
        assert!(error.to_string().contains("orthonormal"), "{error}");
        assert!(Subspace::new(Mat::from_fn(2, 1, |_, _| f64::NAN)).is_err());
    }
}
