//! Paths between latents: straight, along great circles, and over the square between four corners; rows (N, Z).

use crate::tensor::Element;

/// The path between two latents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// Straight: (1 - t) a + t b.
    #[default]
    Linear,
    /// Along the great circle between their directions, lengths in proportion (Shoemake 1985): where the prior is a
    /// Gaussian its draws lie near a sphere, which straight paths leave.
    Spherical,
}

impl Path {
    /// The latent at `t` in [0, 1] on the path from `a` to `b`.
    ///
    /// ```
    /// use obverse::alignment::latents::Path;
    /// let half = Path::Spherical.between(&[2.0f64, 0.0], &[0.0, 2.0], 0.5);
    /// assert!((half[0] - 2f64.sqrt()).abs() < 1e-12 && (half[1] - 2f64.sqrt()).abs() < 1e-12);
    /// assert_eq!(Path::Linear.between(&[2.0, 0.0], &[0.0, 2.0], 0.5), [1.0, 1.0]);
    /// ```
    pub fn between<E: Element>(self, a: &[E], b: &[E], t: f64) -> Vec<E> {
        let dot = |a: &[E], b: &[E]| a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum::<f64>();
        let (mut from, mut to) = (1.0 - t, t);
        if self == Self::Spherical {
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            let angle = cosine.clamp(-1.0, 1.0).acos();
            // Parallel or opposite latents have no one great circle between them; neither has 0.
            if angle.sin() > 1e-6 {
                (from, to) = ((from * angle).sin() / angle.sin(), (to * angle).sin() / angle.sin());
            }
        }
        a.iter().zip(b).map(|(a, b)| E::of(from * a.wide() + to * b.wide())).collect()
    }

    /// `count` latents from `a` to `b`, both included.
    pub fn walk<E: Element>(self, a: &[E], b: &[E], count: usize) -> Vec<Vec<E>> {
        (0..count).map(|i| self.between(a, b, i as f64 / (count.max(2) - 1) as f64)).collect()
    }

    /// `side` x `side` latents, row by row, between four corners: top left, top right, bottom left, bottom right.
    pub fn square<E: Element>(self, corners: [&[E]; 4], side: usize) -> Vec<Vec<E>> {
        let [top_left, top_right, bottom_left, bottom_right] = corners;
        let left = self.walk(top_left, bottom_left, side);
        let right = self.walk(top_right, bottom_right, side);
        left.iter().zip(&right).flat_map(|(left, right)| self.walk(left, right, side)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_start_and_end_where_they_should() {
        let (a, b) = (vec![1.0f64, 2.0, -1.0], vec![0.5, -3.0, 2.0]);
        for path in [Path::Linear, Path::Spherical] {
            let walk = path.walk(&a, &b, 5);
            assert_eq!(walk.len(), 5);
            for (end, expected) in [(&walk[0], &a), (&walk[4], &b)] {
                assert!(end.iter().zip(expected).all(|(end, expected)| (end - expected).abs() < 1e-12));
            }
            let square = path.square([&a, &b, &b, &a], 3);
            assert_eq!(square.len(), 9);
            assert!(square[2].iter().zip(&b).all(|(corner, expected)| (corner - expected).abs() < 1e-12));
        }
    }

    #[test]
    fn opposite_and_zero_latents_are_finite() {
        for (a, b) in [([1.0, 0.0], [-1.0, 0.0]), ([0.0, 0.0], [1.0, 0.0])] {
            assert!(Path::Spherical.between(&a, &b, 0.3).iter().all(|value: &f64| value.is_finite()));
        }
    }
}
