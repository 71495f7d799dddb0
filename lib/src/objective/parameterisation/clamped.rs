//! The pixels, kept in [0, 1]: the identity; after each update s is moved to the nearest point of the box.
//!
//! s is an image's values, channels first, (C, H, W). Any number of channels.

use std::ops::Range;

use super::{INITIAL_DEVIATION, Parameterisation, Point, vectors};
use crate::net::Size;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, channels_first, channels_last, shape, view, view_mut};

/// Clamped pixels.
#[derive(Clone, Copy, Debug)]
pub struct Clamped {
    size: Size,
}

impl Clamped {
    /// Pixels of images of this size.
    pub fn new(size: Size) -> Self {
        Self { size }
    }
}

impl<E: Element> Parameterisation<E> for Clamped {
    fn parameters(&self) -> usize {
        self.size.elements()
    }

    fn image_size(&self) -> Size {
        self.size
    }

    fn initial(&self, stream: Stream, images: Range<usize>) -> Batch<E> {
        let length = self.size.elements();
        let mut values = stream.normal(images.start * length..images.end * length);
        // A quarter is the sigmoid's slope at 0: the same spread of pixels as where s passes one.
        values.iter_mut().for_each(|value| *value = E::of(0.5) + *value * E::of(INITIAL_DEVIATION / 4.0));
        vectors(values, length)
    }

    fn at<'a>(&'a self, s: &Batch<E>) -> Point<'a, E> {
        let Size { channels, height, width } = self.size;
        let shape_of = |n| (n, height, width, channels);
        let n = shape(s).0;
        let images = batch(channels_last(view(s), shape_of(n)), shape_of(n));
        Point::new(images, move |cotangent| {
            vectors(channels_first(view(cotangent), shape(cotangent)), channels * height * width)
        })
    }

    fn project(&self, s: &mut Batch<E>) {
        view_mut(s).iter_mut().for_each(|value| *value = value.max(E::zero()).min(E::one()));
    }

    fn parameters_of(&self, images: &Batch<E>) -> Option<Batch<E>> {
        let mut s = vectors(channels_first(view(images), shape(images)), self.size.elements());
        self.project(&mut s);
        Some(s)
    }
}

#[cfg(test)]
mod tests {
    use super::super::checks::{check_inverse, check_point, check_start, images};
    use super::*;
    use crate::ops::checks::normal;

    const SIZE: Size = Size { channels: 2, height: 3, width: 4 };

    #[test]
    fn directions_start_and_inverse() {
        let map = Clamped::new(SIZE);
        check_point(&map, &normal("s", (2, 1, 1, 24)));
        check_start(&map, &map);
        check_inverse(&map, &images(SIZE));
    }

    #[test]
    fn values_beyond_the_box_return_to_its_faces() {
        let mut s: Batch<f32> = batch(vec![-0.5, 0.25, 1.5, f32::INFINITY], (1, 1, 1, 4));
        Clamped::new(Size::new(1, 2, 2)).project(&mut s);
        assert_eq!(view(&s), [0.0, 0.25, 1.0, 1.0]);
    }
}
