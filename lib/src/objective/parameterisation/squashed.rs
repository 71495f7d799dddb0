//! Images in (0, 1) from any real parameters: sigmoid(M b(s)), b a basis of real planes, M a mix of colours.
//!
//! b(s) is channels first, (N, C, H, W); images are (N, H, W, C). Source: Lucid's `to_valid_rgb` (Olah et al. 2017).

use std::ops::Range;

use super::colour::{cast, inverse, mix, transposed};
use super::{Colours, Parameterisation, Point, Result, logit, small_normal, vectors};
use crate::net::Size;
use crate::ops::activation::sigmoid;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, filled_in_chunks, image_len, shape, view};

/// From cotangents of planes to cotangents of parameters.
type Pullback<'a, E> = Box<dyn Fn(Vec<E>) -> Vec<E> + 'a>;

/// A basis's value at parameters, with its transposed derivative there: as a [`Point`], of planes.
pub struct Planes<'a, E> {
    /// Planes, (N, C, H, W).
    pub values: Vec<E>,
    /// The cotangents of s, (K, P), for those of the planes, (K, C, H, W). One s serves a block of any K.
    pub pullback: Pullback<'a, E>,
}

/// Real planes (N, C, H, W) of parameters (N, P).
pub trait Basis<E: Element>: Sync {
    /// The number of parameters of one image, P.
    fn parameters(&self) -> usize;

    /// Channels, height and width.
    fn size(&self) -> Size;

    /// Parameters to start from, (N, P).
    fn initial(&self, stream: Stream, images: Range<usize>) -> Vec<E> {
        small_normal(stream, images, self.parameters())
    }

    /// The planes of s.
    fn at<'a>(&'a self, s: &[E]) -> Planes<'a, E>;

    /// Parameters that make these planes, where there are some.
    fn parameters_of(&self, planes: Vec<E>) -> Option<Vec<E>>;
}

/// The basis of single pixels: s is the planes.
#[derive(Clone, Copy, Debug)]
pub struct Pixels(pub Size);

impl<E: Element> Basis<E> for Pixels {
    fn parameters(&self) -> usize {
        self.0.elements()
    }

    fn size(&self) -> Size {
        self.0
    }

    fn at<'a>(&'a self, s: &[E]) -> Planes<'a, E> {
        Planes { values: s.to_vec(), pullback: Box::new(|cotangent| cotangent) }
    }

    fn parameters_of(&self, planes: Vec<E>) -> Option<Vec<E>> {
        Some(planes)
    }
}

/// The sigmoid of a basis, its colours mixed.
#[derive(Clone, Debug)]
pub struct Squashed<B> {
    basis: B,
    /// From the basis's channels to the image's; none for the identity.
    colours: Option<[[f64; 3]; 3]>,
    size: Size,
}

impl<B> Squashed<B> {
    /// The sigmoid of `basis`.
    ///
    /// # Errors
    /// Decorrelated colours of other than three channels.
    pub fn new<E: Element>(basis: B, colours: Colours) -> Result<Self>
    where
        B: Basis<E>,
    {
        let size = basis.size();
        Ok(Self { basis, colours: colours.matrix(size.channels)?, size })
    }

    fn pixels(&self) -> usize {
        self.size.height * self.size.width
    }
}

impl<E: Element, B: Basis<E>> Parameterisation<E> for Squashed<B> {
    fn parameters(&self) -> usize {
        self.basis.parameters()
    }

    fn image_size(&self) -> Size {
        self.size
    }

    fn initial(&self, stream: Stream, images: Range<usize>) -> Batch<E> {
        vectors(self.basis.initial(stream, images), self.basis.parameters())
    }

    fn at<'a>(&'a self, s: &Batch<E>) -> Point<'a, E> {
        let Size { channels, height, width } = self.size;
        let Planes { values, pullback } = self.basis.at(view(s));
        let images = batch(
            from_planes(&values, channels, self.pixels(), self.colours, sigmoid),
            (shape(s).0, height, width, channels),
        );
        let kept = images.clone();
        Point::new(images, move |cotangent| {
            let matrix = self.colours.map(transposed);
            let slopes = |values: &[E], which: usize| slopes(values, view(&kept), image_len(&kept), which);
            vectors(
                pullback(to_planes(view(cotangent), channels, self.pixels(), matrix, slopes)),
                self.basis.parameters(),
            )
        })
    }

    fn parameters_of(&self, images: &Batch<E>) -> Option<Batch<E>> {
        let matrix = self.colours.map(inverse);
        let logits = |values: &[E], _| values.iter().map(|&value| logit(value)).collect();
        let planes = to_planes(view(images), self.size.channels, self.pixels(), matrix, logits);
        Some(vectors(self.basis.parameters_of(planes)?, self.basis.parameters()))
    }
}

/// One image's cotangents times the sigmoid's slopes y (1 - y); a single image's slopes serve all cotangents.
fn slopes<E: Element>(cotangent: &[E], images: &[E], length: usize, which: usize) -> Vec<E> {
    let start = if images.len() == length { 0 } else { which * length };
    let y = &images[start..start + length];
    cotangent.iter().zip(y).map(|(&cotangent, &y)| cotangent * y * (E::one() - y)).collect()
}

/// Planes (N, C, H, W) to images (N, H, W, C): colours mixed, then `f` of each value.
fn from_planes<E: Element>(
    planes: &[E],
    channels: usize,
    pixels: usize,
    matrix: Option<[[f64; 3]; 3]>,
    f: impl Fn(E) -> E + Sync + Send,
) -> Vec<E> {
    let (length, matrix) = (channels * pixels, matrix.map(cast));
    filled_in_chunks(
        planes.len(),
        length,
        || (),
        |(), number, image| {
            let planes = &planes[number * length..][..length];
            match &matrix {
                Some(matrix) => {
                    for (place, pixel) in image.chunks_exact_mut(3).enumerate() {
                        let coordinates = std::array::from_fn(|channel| planes[channel * pixels + place]);
                        pixel.copy_from_slice(&mix(matrix, coordinates).map(&f));
                    }
                }
                None => {
                    for (channel, plane) in planes.chunks_exact(pixels).enumerate() {
                        let values = image[channel..].iter_mut().step_by(channels);
                        values.zip(plane).for_each(|(value, &x)| *value = f(x));
                    }
                }
            }
        },
    )
}

/// Images (N, H, W, C) to planes (N, C, H, W): `f` of each image, then colours mixed.
pub(super) fn to_planes<E: Element>(
    images: &[E],
    channels: usize,
    pixels: usize,
    matrix: Option<[[f64; 3]; 3]>,
    f: impl Fn(&[E], usize) -> Vec<E> + Sync + Send,
) -> Vec<E> {
    let (length, matrix) = (channels * pixels, matrix.map(cast));
    filled_in_chunks(
        images.len(),
        length,
        || (),
        |(), number, planes| {
            let mut image = f(&images[number * length..][..length], number);
            if let Some(matrix) = &matrix {
                image.chunks_exact_mut(3).for_each(|pixel| {
                    let mixed = mix(matrix, [pixel[0], pixel[1], pixel[2]]);
                    pixel.copy_from_slice(&mixed);
                });
            }
            for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
                let values = image[channel..].iter().step_by(channels);
                plane.iter_mut().zip(values).for_each(|(x, &value)| *x = value);
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::checks::{check_inverse, check_point, check_start, images};
    use super::*;
    use crate::ops::checks::normal;

    #[test]
    fn directions_start_and_inverse_of_pixels() {
        for (channels, colours) in
            [(1, Colours::Plain), (4, Colours::Plain), (3, Colours::Plain), (3, Colours::Decorrelated)]
        {
            let size = Size::new(channels, 3, 4);
            let map = Squashed::new::<f64>(Pixels(size), colours).unwrap();
            check_point(&map, &normal("s", (2, 1, 1, size.elements())));
            check_start(&map, &map);
            check_inverse(&map, &images(size));
        }
    }

    #[test]
    fn colours_of_other_than_three_channels_cannot_be_decorrelated() {
        let error = Squashed::new::<f32>(Pixels(Size::new(1, 2, 2)), Colours::Decorrelated).unwrap_err();
        assert_eq!(error.to_string(), "decorrelated colours: expected images of 3 channels, found 1");
    }

    #[test]
    fn black_and_white_have_parameters() {
        let map = Squashed::new::<f32>(Pixels(Size::new(1, 1, 2)), Colours::Plain).unwrap();
        let s = map.parameters_of(&batch(vec![0f32, 1.0], (1, 1, 2, 1))).unwrap();
        // ln(1e-6); near 1, f32 holds 1 - 1e-6 to some percent only.
        assert!((view(&s)[0] + 13.8155).abs() < 1e-3 && (view(&s)[1] - 13.8155).abs() < 0.1, "{s:?}");
    }
}
