//! Images of a surface, as super-resolution networks for isosurfaces take them: normals x, y, z, depth, mask, in this order.
//!
//! A normal is (sin t cos p, sin t sin p, cos t), t = pi/2 sigmoid(s_0) so that z is positive, p = s_1 unbounded so that no
//! gradient warps at an interval's border; depth is sigmoid(s_2); the mask is 1 or an affine function of sigmoid(s_3).
//! s is (3 or 4, H, W) for each image. Source: inverse feature visualisation, section 3.7.

use std::f64::consts::FRAC_PI_2;
use std::ops::Range;

use super::{Parameterisation, Point, logit, small_normal, vectors};
use crate::net::Size;
use crate::ops::activation::sigmoid;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, filled_in_chunks, shape, view};

/// Normals, depth and mask.
const CHANNELS: usize = 5;

/// Where the surface is hit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mask {
    /// Everywhere: 1, not optimised.
    One,
    /// Anything between the two values of a network's binary mask.
    Between(f64, f64),
}

/// Normals, depth and mask of a surface.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    height: usize,
    width: usize,
    mask: Mask,
}

/// One pixel's angles and squashed values, from which both directions are made.
struct Pixel<E> {
    polar: E,
    azimuth: E,
    depth: E,
    mask: E,
}

impl Geometry {
    /// Surfaces of this height and width.
    pub fn new(height: usize, width: usize, mask: Mask) -> Self {
        Self { height, width, mask }
    }

    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Parameters of one pixel.
    fn planes(&self) -> usize {
        match self.mask {
            Mask::One => 3,
            Mask::Between(..) => 4,
        }
    }

    /// The squashed values of the pixel at `place`.
    fn pixel<E: Element>(&self, s: &[E], place: usize) -> Pixel<E> {
        let at = |plane: usize| s[plane * self.pixels() + place];
        let mask = match self.mask {
            Mask::One => E::one(),
            Mask::Between(..) => sigmoid(at(3)),
        };
        Pixel { polar: sigmoid(at(0)), azimuth: at(1), depth: sigmoid(at(2)), mask }
    }

    fn pull<E: Element>(&self, s: &[E], cotangent: &[E], pulled: &mut [E]) {
        let (pixels, quarter) = (self.pixels(), E::of(FRAC_PI_2));
        for (place, c) in cotangent.chunks_exact(CHANNELS).enumerate() {
            let Pixel { polar, azimuth, depth, mask } = self.pixel(s, place);
            let slope = |y: E| y * (E::one() - y);
            let ((sine, cosine), (up, along)) = ((quarter * polar).sin_cos(), azimuth.sin_cos());
            let at_polar = cosine * (along * c[0] + up * c[1]) - sine * c[2];
            pulled[place] = quarter * slope(polar) * at_polar;
            pulled[pixels + place] = sine * (along * c[1] - up * c[0]);
            pulled[2 * pixels + place] = slope(depth) * c[3];
            if let Mask::Between(low, high) = self.mask {
                pulled[3 * pixels + place] = E::of(high - low) * slope(mask) * c[4];
            }
        }
    }

    fn parameters_of_pixel<E: Element>(&self, pixel: &[E], place: usize, s: &mut [E]) {
        let (pixels, length) = (self.pixels(), pixel[0].hypot(pixel[1]).hypot(pixel[2]));
        s[place] = logit((pixel[2] / length).acos() / E::of(FRAC_PI_2));
        s[pixels + place] = pixel[1].atan2(pixel[0]);
        s[2 * pixels + place] = logit(pixel[3]);
        if let Mask::Between(low, high) = self.mask {
            s[3 * pixels + place] = logit((pixel[4] - E::of(low)) / E::of(high - low));
        }
    }
}

impl<E: Element> Pixel<E> {
    /// Normal, depth and mask.
    fn channels(&self, mask: Mask) -> [E; CHANNELS] {
        let (sine, cosine) = (E::of(FRAC_PI_2) * self.polar).sin_cos();
        let (up, along) = self.azimuth.sin_cos();
        let mask = match mask {
            Mask::One => self.mask,
            Mask::Between(low, high) => E::of(low) + E::of(high - low) * self.mask,
        };
        [sine * along, sine * up, cosine, self.depth, mask]
    }
}

impl<E: Element> Parameterisation<E> for Geometry {
    fn parameters(&self) -> usize {
        self.planes() * self.pixels()
    }

    fn image_size(&self) -> Size {
        Size::new(CHANNELS, self.height, self.width)
    }

    fn initial(&self, stream: Stream, images: Range<usize>) -> Batch<E> {
        let length = self.planes() * self.pixels();
        vectors(small_normal(stream, images, length), length)
    }

    fn at<'a>(&'a self, s: &Batch<E>) -> Point<'a, E> {
        let (length, image) = (self.planes() * self.pixels(), CHANNELS * self.pixels());
        let n = shape(s).0;
        let images = filled_in_chunks(
            n * image,
            image,
            || (),
            |(), number, image| {
                let s = &view(s)[number * length..][..length];
                for (place, pixel) in image.chunks_exact_mut(CHANNELS).enumerate() {
                    pixel.copy_from_slice(&self.pixel(s, place).channels(self.mask));
                }
            },
        );
        let s = s.clone();
        Point::new(batch(images, (n, self.height, self.width, CHANNELS)), move |cotangent| {
            let pulled = filled_in_chunks(
                shape(cotangent).0 * length,
                length,
                || (),
                |(), number, pulled| {
                    let which = if n == 1 { 0 } else { number };
                    self.pull(
                        &view(&s)[which * length..][..length],
                        &view(cotangent)[number * image..][..image],
                        pulled,
                    );
                },
            );
            vectors(pulled, length)
        })
    }

    fn parameters_of(&self, images: &Batch<E>) -> Option<Batch<E>> {
        let (length, image) = (self.planes() * self.pixels(), CHANNELS * self.pixels());
        let s = filled_in_chunks(
            shape(images).0 * length,
            length,
            || (),
            |(), number, s| {
                let image = &view(images)[number * image..][..image];
                image
                    .chunks_exact(CHANNELS)
                    .enumerate()
                    .for_each(|(place, pixel)| self.parameters_of_pixel(pixel, place, s));
            },
        );
        Some(vectors(s, length))
    }
}

#[cfg(test)]
mod tests {
    use super::super::checks::{check_inverse, check_point, check_start};
    use super::*;
    use crate::ops::checks::normal;

    #[test]
    fn directions_start_and_inverse_with_and_without_a_mask() {
        for (mask, planes) in [(Mask::One, 3), (Mask::Between(-1.0, 1.0), 4)] {
            let map = Geometry::new(3, 4, mask);
            let s = normal("s", (2, 1, 1, planes * 12));
            check_point(&map, &s);
            check_start(&map, &map);
            check_inverse(&map, map.at(&s).images());
        }
    }

    #[test]
    fn normals_are_of_unit_length_and_face_the_viewer() {
        let map = Geometry::new(2, 2, Mask::One);
        let s: Batch<f64> = normal("s", (3, 1, 1, 12));
        for pixel in view(map.at(&s).images()).chunks_exact(CHANNELS) {
            let length: f64 = pixel[..3].iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-14 && pixel[2] > 0.0 && pixel[4] == 1.0, "{pixel:?}");
        }
    }
}
