//! Passes over the places of images: sums channel by channel, in a fixed order, and weighted sums of several arrays.

use rayon::prelude::*;

use crate::ops::{Kernel, vectorised};
use crate::tensor::{Element, GRAIN, Shape, filled_in_chunks};

/// Images of one size.
#[derive(Clone, Copy)]
pub(super) struct Images {
    /// Places of an image.
    pub(super) places: usize,
    pub(super) channels: usize,
}

impl Images {
    pub(super) fn of((_, h, w, c): Shape) -> Self {
        Self { places: h * w, channels: c }
    }

    /// Values of an image.
    pub(super) fn length(self) -> usize {
        self.places * self.channels
    }

    /// Places that are summed together: a fixed number, so that the number of threads does not change the result.
    fn block(self) -> usize {
        GRAIN.div_ceil(self.channels)
    }

    /// What `sum` makes of each block of an image's places, its values given; blocks after blocks, images after images.
    fn in_blocks<R: Send>(self, images: usize, sum: impl Fn(usize, std::ops::Range<usize>) -> R + Sync) -> Vec<Vec<R>> {
        let blocks = self.places.div_ceil(self.block());
        let size = self.block() * self.channels;
        let all = (0..images * blocks).into_par_iter().map(|number| {
            let start = number % blocks * size;
            sum(number / blocks, start..self.length().min(start + size))
        });
        let mut all: Vec<R> = all.collect();
        let mut result: Vec<Vec<R>> = (0..images).rev().map(|image| all.split_off(image * blocks)).collect();
        result.reverse();
        result
    }

    /// The mean of each channel of each image, and the sum of squares of what differs from it.
    pub(super) fn moments<E: Element>(self, x: &[E]) -> Vec<[f64; 2]> {
        let blocks = self.in_blocks(x.len() / self.length().max(1), |image, range| {
            let values = &x[image * self.length()..][range];
            (values.len() / self.channels, vectorised::<Moments, _>((values, self.channels)))
        });
        let of_image =
            |blocks: Vec<(usize, [Vec<E>; 2])>| {
                (0..self.channels).map(move |channel| {
                    merged(blocks.iter().map(|(count, [means, squares])| {
                        (*count as f64, means[channel].wide(), squares[channel].wide())
                    }))
                })
            };
        blocks.into_iter().flat_map(of_image).collect()
    }

    /// The sums over the places of each image of K functions of the values of S arrays and of x - m, channel by channel.
    pub(super) fn sums<E: Element, const S: usize, const K: usize>(
        self,
        arrays: [&[E]; S],
        x: &[E],
        means: &[E],
        f: impl Fn([E; S], E) -> [E; K] + Sync,
    ) -> Vec<[f64; K]> {
        let blocks = self.in_blocks(arrays[0].len() / self.length().max(1), |image, range| {
            let (of_x, of_means) = self.image(image, x, means);
            let arrays = arrays.map(|array| &array[image * self.length()..][range.clone()]);
            vectorised::<Sums, _>((arrays, &of_x[range], of_means, &f))
        });
        let of_image = |blocks: Vec<[Vec<E>; K]>| {
            (0..self.channels)
                .map(move |channel| std::array::from_fn(|k| blocks.iter().map(|block| block[k][channel].wide()).sum()))
        };
        blocks.into_iter().flat_map(of_image).collect()
    }

    /// For each place of each image the sum of S arrays and of x - m, times weights, and of a constant: `weights` are those of the arrays,
    /// of x - m and the constant, channels after channels, for each image.
    pub(super) fn weighted<E: Element, const S: usize>(
        self,
        arrays: [&[E]; S],
        x: &[E],
        means: &[E],
        weights: &[E],
    ) -> Vec<E> {
        let images = weights.len() / ((S + 2) * self.channels).max(1);
        let (at_once, nothing) = (self.block(), || ());
        filled_in_chunks(images * self.length(), at_once * self.channels, nothing, |(), number, result| {
            let mut place = number * at_once;
            let mut rest = result;
            // A chunk may reach over several images.
            while !rest.is_empty() {
                let (image, within) = (place / self.places, place % self.places);
                let count = (self.places - within).min(rest.len() / self.channels);
                let (part, after) = rest.split_at_mut(count * self.channels);
                let (of_x, of_means) = self.image(image, x, means);
                let arrays = arrays.map(|array| &array[place * self.channels..][..part.len()]);
                let of_weights = &weights[image * (S + 2) * self.channels..][..(S + 2) * self.channels];
                vectorised::<Weighted, _>((arrays, &of_x[within * self.channels..], of_means, of_weights, part));
                (place, rest) = (place + count, after);
            }
        })
    }

    /// Image number `image` of x, and its channels' means; one image stands for all.
    fn image<'a, E>(self, image: usize, x: &'a [E], means: &'a [E]) -> (&'a [E], &'a [E]) {
        let image = image % (x.len() / self.length().max(1)).max(1);
        (&x[image * self.length()..][..self.length()], &means[image * self.channels..][..self.channels])
    }
}

/// Mean and sum of squared differences of parts, each given by its number of values and its own (Chan, Golub and LeVeque 1979).
pub(super) fn merged(parts: impl Iterator<Item = (f64, f64, f64)> + Clone) -> [f64; 2] {
    let count: f64 = parts.clone().map(|(count, _, _)| count).sum();
    let mean = parts.clone().map(|(count, mean, _)| count * mean).sum::<f64>() / count;
    [mean, parts.map(|(count, of_part, squares)| squares + count * (of_part - mean).powi(2)).sum()]
}

/// The mean and the sum of squared differences of each of the channels.
struct Moments;

impl<E: Element> Kernel<(&[E], usize)> for Moments {
    type Output = [Vec<E>; 2];

    #[inline(always)]
    fn run((values, channels): (&[E], usize)) -> [Vec<E>; 2] {
        let (mut means, mut squares) = (vec![E::zero(); channels], vec![E::zero(); channels]);
        for place in values.chunks_exact(channels) {
            means.iter_mut().zip(place).for_each(|(sum, &value)| *sum += value);
        }
        let count = E::of((values.len() / channels) as f64);
        means.iter_mut().for_each(|sum| *sum /= count);
        for place in values.chunks_exact(channels) {
            let pairs = squares.iter_mut().zip(place).zip(&means);
            pairs.for_each(|((sum, &value), &mean)| *sum += (value - mean) * (value - mean));
        }
        [means, squares]
    }
}

/// K sums of each of the channels.
struct Sums;

impl<E, F, const S: usize, const K: usize> Kernel<([&[E]; S], &[E], &[E], &F)> for Sums
where
    E: Element,
    F: Fn([E; S], E) -> [E; K],
{
    type Output = [Vec<E>; K];

    #[inline(always)]
    fn run((arrays, x, means, f): ([&[E]; S], &[E], &[E], &F)) -> [Vec<E>; K] {
        let channels = means.len();
        let mut sums: [Vec<E>; K] = std::array::from_fn(|_| vec![E::zero(); channels]);
        for (number, x) in x.chunks_exact(channels).enumerate() {
            let arrays = arrays.map(|array| &array[number * channels..][..channels]);
            let mut targets = sums.each_mut().map(|sums| &mut sums[..channels]);
            for channel in 0..channels {
                let terms = f(arrays.map(|array| array[channel]), x[channel] - means[channel]);
                targets.iter_mut().zip(terms).for_each(|(target, term)| target[channel] += term);
            }
        }
        sums
    }
}

/// Weighted sums of arrays, of x - m and of constants.
struct Weighted;

impl<E: Element, const S: usize> Kernel<([&[E]; S], &[E], &[E], &[E], &mut [E])> for Weighted {
    type Output = ();

    #[inline(always)]
    fn run((arrays, x, means, weights, result): ([&[E]; S], &[E], &[E], &[E], &mut [E])) {
        let channels = means.len();
        let of_arrays: [&[E]; S] = std::array::from_fn(|which| &weights[which * channels..][..channels]);
        let (of_x, constants) = (&weights[S * channels..][..channels], &weights[(S + 1) * channels..][..channels]);
        let places = result.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).enumerate();
        for (number, (result, x)) in places {
            let arrays = arrays.map(|array| &array[number * channels..][..channels]);
            for channel in 0..channels {
                let mut sum = (x[channel] - means[channel]) * of_x[channel] + constants[channel];
                for which in 0..S {
                    sum += arrays[which][channel] * of_arrays[which][channel];
                }
                result[channel] = sum;
            }
        }
    }
}
