//! Surfaces in scalar volumes, seen from the front: normals x, y, z, depth and mask, (5, H, W) f32, small and four times as large.
//!
//! A volume holds 3 to 8 Gaussian blobs v(p) = sum_i a_i exp(-|p - c_i|^2 / (2 r_i^2)) in [-1, 1]^3; the surface is v = 1. One ray per pixel goes
//! in from z = 1 in steps; the step that meets the surface is bisected. The normal is -grad v / |grad v|, depth is (1 - z) / 2 in [0, 1],
//! mask 1; where a ray meets nothing all five are 0. Both sizes are rendered, so that the small one is not a blurred copy of the other.
//!
//! Source: Weiss et al. 2019, section 4, whose volumes are simulated; these are drawn.
//!
//! ```
//! use obverse::data::surfaces::{CHANNELS, FACTOR, write_surfaces};
//! use obverse::store::npy::Reader;
//! let folder = tempfile::tempdir()?;
//! write_surfaces(folder.path(), 10, 4, 0, &|| true)?;
//! let shape = |name: &str| Ok::<_, obverse::store::Error>(Reader::open(&folder.path().join(name))?.row_shape().to_vec());
//! assert_eq!(shape("train-images.npy")?, [CHANNELS, 4, 4]);
//! assert_eq!(shape("train-targets.npy")?, [CHANNELS, 4 * FACTOR, 4 * FACTOR]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use rayon::prelude::*;

use super::Result;
use crate::store::npy::{Dtype, Writer};
use crate::tensor::random::Stream;

/// Normal, depth, mask.
pub const CHANNELS: usize = 5;
/// How many times larger the targets are along each axis.
pub const FACTOR: usize = 4;
/// Steps of a ray from front to back, then halvings of the one that met the surface.
const STEPS: usize = 48;
const HALVINGS: usize = 12;
/// Surfaces rendered at a time.
const CHUNK: usize = 64;

struct Blob {
    centre: [f64; 3],
    radius: f64,
    height: f64,
}

/// Surface number `row` of a seed.
struct Surface(Vec<Blob>);

impl Surface {
    fn drawn(seed: u64, row: usize) -> Self {
        let draws: Vec<f64> = Stream::new(seed, "surfaces", row as u64).uniform(0..1 + 8 * 5);
        let count = 3 + (draws[0] * 6.0) as usize;
        // Eight of the largest blobs, nearest to the viewer, stay below 1 at z = 1: every surface begins behind that plane.
        let blob = |d: &[f64]| Blob {
            centre: [1.4 * d[0] - 0.7, 1.4 * d[1] - 0.7, 0.6 * d[2] - 0.3],
            radius: 0.12 + 0.16 * d[3],
            height: 1.2 + 0.8 * d[4],
        };
        Self(draws[1..].chunks_exact(5).take(count).map(blob).collect())
    }

    /// v, and its gradient.
    fn at(&self, p: [f64; 3]) -> (f64, [f64; 3]) {
        let mut value = 0.0;
        let mut gradient = [0.0; 3];
        for Blob { centre, radius, height } in &self.0 {
            let away: [f64; 3] = std::array::from_fn(|axis| p[axis] - centre[axis]);
            let square: f64 = away.iter().map(|a| a * a).sum();
            let here = height * (-square / (2.0 * radius * radius)).exp();
            value += here;
            gradient.iter_mut().zip(away).for_each(|(g, a)| *g -= here * a / (radius * radius));
        }
        (value, gradient)
    }

    /// What the ray at (x, y) meets: normal, depth and mask.
    fn seen(&self, x: f64, y: f64) -> [f32; CHANNELS] {
        let z = |step: f64| 1.0 - 2.0 * step / STEPS as f64;
        let inside = |z: f64| self.at([x, y, z]).0 >= 1.0;
        let Some(first) = (0..=STEPS).find(|&step| inside(z(step as f64))) else { return [0.0; CHANNELS] };
        let (mut out, mut met) = (z(first as f64 - 1.0), z(first as f64));
        for _ in 0..HALVINGS {
            let middle = 0.5 * (out + met);
            *(if inside(middle) { &mut met } else { &mut out }) = middle;
        }
        let gradient = self.at([x, y, met]).1;
        let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let normal = gradient.map(|g| (-g / length) as f32);
        [normal[0], normal[1], normal[2], (0.5 * (1.0 - met)) as f32, 1.0]
    }

    /// The image of `side` x `side` pixels, channels first.
    fn image(&self, side: usize) -> Vec<f32> {
        let at = |place: usize| (2 * place + 1) as f64 / side as f64 - 1.0;
        let mut image = vec![0.0; CHANNELS * side * side];
        for i in 0..side {
            for j in 0..side {
                let pixel = self.seen(at(j), -at(i));
                pixel.iter().enumerate().for_each(|(channel, &value)| image[(channel * side + i) * side + j] = value);
            }
        }
        image
    }
}

/// Writes `{train,test}-images.npy` (N, 5, side, side) and `{train,test}-targets.npy` (N, 5, 4 side, 4 side) into `folder`: `count` to train
/// on, a tenth as many to test. A surface depends on the seed and its number alone.
///
/// # Errors
/// A file that cannot be written.
pub fn write_surfaces(folder: &Path, count: usize, side: usize, seed: u64, go_on: &dyn Fn() -> bool) -> Result<()> {
    for (part, rows) in [("train", 0..count), ("test", count..count + count.div_ceil(10))] {
        for (name, side) in [("images", side), ("targets", FACTOR * side)] {
            let mut writer =
                Writer::create(&folder.join(format!("{part}-{name}.npy")), Dtype::F32, &[CHANNELS, side, side])?;
            let rows: Vec<usize> = rows.clone().collect();
            for rows in rows.chunks(CHUNK).take_while(|_| go_on()) {
                let images: Vec<Vec<f32>> = rows.par_iter().map(|&row| Surface::drawn(seed, row).image(side)).collect();
                images.iter().try_for_each(|image| writer.write_rows(image))?;
            }
            writer.finish()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_are_unit_vectors_towards_the_viewer_where_the_mask_is_one() {
        let mut hits = 0;
        for row in 0..10 {
            let side = 16;
            let image = Surface::drawn(1, row).image(side);
            let at = |channel: usize, pixel: usize| image[channel * side * side + pixel];
            for pixel in 0..side * side {
                let normal = [at(0, pixel), at(1, pixel), at(2, pixel)];
                let length: f32 = normal.iter().map(|n| n * n).sum();
                if at(4, pixel) == 0.0 {
                    assert!((0..5).all(|channel| at(channel, pixel) == 0.0));
                } else {
                    hits += 1;
                    assert!((length - 1.0).abs() < 1e-5 && normal[2] > -1e-3, "{normal:?}");
                    assert!((0.0..=1.0).contains(&at(3, pixel)));
                }
            }
        }
        assert!((200..2400).contains(&hits), "{hits} of 2560 pixels are hit");
    }

    /// One blob of height 2 and radius r is the sphere of radius r sqrt(2 ln 2).
    #[test]
    fn a_single_blob_is_a_sphere() {
        let surface = Surface(vec![Blob { centre: [0.0; 3], radius: 0.4, height: 2.0 }]);
        let radius = 0.4 * (2.0 * 2f64.ln()).sqrt();
        let [nx, ny, nz, depth, mask] = surface.seen(0.2, -0.1);
        let z = (radius * radius - 0.05f64).sqrt();
        assert!(mask == 1.0 && (f64::from(depth) - 0.5 * (1.0 - z)).abs() < 1e-4, "{depth}");
        let expected = [0.2, -0.1, z].map(|p| p / radius);
        assert!([nx, ny, nz].iter().zip(expected).all(|(n, e)| (f64::from(*n) - e).abs() < 1e-3));
        assert_eq!(surface.seen(0.9, 0.0), [0.0; 5]);
    }
}
