//! The weights of group normalisation and of its derivatives, from sums over places.

use super::Groups;
use super::places::{Images, merged};
use crate::tensor::{Batch, Element, shape, view};

/// A batch that is normalised.
pub(super) struct Site<E: Element> {
    x: Batch<E>,
    images: Images,
    groups: usize,
    /// The gain of each channel.
    gain: Vec<f64>,
    /// m of each channel's group, for each image.
    means: Vec<E>,
    /// s of each channel's group, for each image.
    scales: Vec<f64>,
}

/// The gradients of a pullback.
pub(super) struct Twice<E> {
    pub(super) of_cotangent: Vec<E>,
    /// Those of x, for each cotangent.
    pub(super) of_x: Vec<E>,
    pub(super) of_gain: Vec<E>,
}

impl<E: Element> Site<E> {
    pub(super) fn of(x: &Batch<E>, gain: &Batch<E>, Groups { groups, epsilon }: Groups) -> Self {
        let images = Images::of(shape(x));
        let (places, size) = (images.places as f64, images.channels / groups);
        let of_channels = images.moments(view(x));
        let of_groups = of_channels.chunks(size).map(|channels| {
            let [mean, squares] = merged(channels.iter().map(|&[mean, squares]| (places, mean, squares)));
            (E::of(mean), 1.0 / (squares / (places * size as f64) + epsilon).sqrt())
        });
        let (means, scales) = of_groups.flat_map(|group| std::iter::repeat_n(group, size)).unzip();
        let gain = view(gain).iter().map(|gain| gain.wide()).collect();
        Self { x: x.clone(), images, groups, gain, means, scales }
    }

    pub(super) fn x(&self) -> &Batch<E> {
        &self.x
    }

    /// g (x - m) s + b.
    pub(super) fn normalised(&self, bias: &[E]) -> Vec<E> {
        let images = self.scales.len() / self.images.channels.max(1);
        let bias: Vec<f64> = bias.iter().map(|bias| bias.wide()).collect();
        let weights = self.weights(images, |at| [self.gain[at.channel] * at.scale, bias[at.channel]]);
        self.images.weighted([], view(&self.x), &self.means, &weights)
    }

    /// For the gradient u of the result that of x, P(g u), and of g and b, the sums of u z and of u.
    pub(super) fn back(&self, upstream: &[E]) -> (Vec<E>, [Vec<E>; 2]) {
        let of_channels = self.images.sums([upstream], view(&self.x), &self.means, |[u], x| [u, u * x]);
        let means = self.group_means(&of_channels, |at, [plain, along]| {
            let gain = self.gain[at.channel];
            [gain * plain, gain * along * at.scale]
        });
        let weights = self.weights(self.count(upstream), |at| {
            let [plain, along] = means[at.number];
            [self.gain[at.channel] * at.scale, -at.scale * at.scale * along, -at.scale * plain]
        });
        let of_x = self.images.weighted([upstream], view(&self.x), &self.means, &weights);
        let sums = self.summed(&of_channels, |at, [plain, along]| [along * at.scale, plain]);
        (of_x, sums)
    }

    /// For the gradient u of P(g c) those of c, of x and of g.
    ///
    /// With w = g c, A = <u w> - <u><w>, B = <u z> and D = <w z>, P(u) is s (u - <u> - z B), and the derivative in x of the sum of u P(w)
    /// -s^2 (z (A - 3 B D) + D (u - <u>) + B (w - <w>)), as for batch normalisation.
    pub(super) fn back_twice(&self, upstream: &[E], cotangent: &[E]) -> Twice<E> {
        let (images, x) = (self.count(upstream), view(&self.x));
        let of_channels =
            self.images.sums([upstream, cotangent], x, &self.means, |[u, c], x| [u, u * x, c, c * x, u * c]);
        let means = self.group_means(&of_channels, |at, [u, ux, c, cx, uc]| {
            let gain = self.gain[at.channel];
            [u, ux * at.scale, gain * c, gain * cx * at.scale, gain * uc]
        });
        let weights = self.weights(images, |at| {
            let ([u, b, ..], by) = (means[at.number], self.gain[at.channel] * at.scale);
            [by, -by * at.scale * b, -by * u]
        });
        let of_cotangent = self.images.weighted([upstream], x, &self.means, &weights);
        let weights = self.weights(images, |at| {
            let ([u, b, w, d, product], squared) = (means[at.number], at.scale * at.scale);
            let bend = product - u * w - 3.0 * b * d;
            let of_c = -squared * b * self.gain[at.channel];
            [-squared * d, of_c, -squared * at.scale * bend, squared * (d * u + b * w)]
        });
        let of_x = self.images.weighted([upstream, cotangent], x, &self.means, &weights);
        let [of_gain] = self.summed(&of_channels, |at, [_, _, c, cx, uc]| {
            let [u, b, ..] = means[at.number];
            [at.scale * (uc - u * c - at.scale * b * cx)]
        });
        Twice { of_cotangent, of_x, of_gain }
    }

    /// The number of images of cotangents.
    fn count(&self, cotangents: &[E]) -> usize {
        cotangents.len() / self.images.length().max(1)
    }

    /// A channel of an image of cotangents, by its number.
    fn at(&self, number: usize) -> At {
        At { number, channel: number % self.images.channels, scale: self.scales[number % self.scales.len()] }
    }

    /// For each channel of each image the mean over its group of K sums over places, each given by `f`.
    fn group_means<const K: usize, const M: usize>(
        &self,
        of_channels: &[[f64; K]],
        f: impl Fn(At, [f64; K]) -> [f64; M],
    ) -> Vec<[f64; M]> {
        let size = self.images.channels / self.groups;
        let count = (self.images.places * size) as f64;
        let of_group = |(group, channels): (usize, &[[f64; K]])| {
            let mut means = [0.0; M];
            for (channel, &sums) in channels.iter().enumerate() {
                let terms = f(self.at(group * size + channel), sums);
                means.iter_mut().zip(terms).for_each(|(mean, term)| *mean += term / count);
            }
            std::iter::repeat_n(means, size)
        };
        of_channels.chunks(size).enumerate().flat_map(of_group).collect()
    }

    /// The sums over images of M values of each channel, given by `f` of its sums over places.
    fn summed<const K: usize, const M: usize>(
        &self,
        of_channels: &[[f64; K]],
        f: impl Fn(At, [f64; K]) -> [f64; M],
    ) -> [Vec<E>; M] {
        let mut total = vec![[0.0; M]; self.images.channels];
        for (number, &sums) in of_channels.iter().enumerate() {
            let at = self.at(number);
            let channel = at.channel;
            total[channel].iter_mut().zip(f(at, sums)).for_each(|(total, value)| *total += value);
        }
        std::array::from_fn(|which| total.iter().map(|total| E::of(total[which])).collect())
    }

    /// M weights for each channel of each image, channels after channels, in the order of [`Images::weighted`].
    fn weights<const M: usize>(&self, images: usize, f: impl Fn(At) -> [f64; M]) -> Vec<E> {
        let channels = self.images.channels;
        let mut weights = vec![E::zero(); images * M * channels];
        for number in 0..images * channels {
            let first = number / channels * M * channels + number % channels;
            for (which, weight) in f(self.at(number)).into_iter().enumerate() {
                weights[first + which * channels] = E::of(weight);
            }
        }
        weights
    }
}

/// A channel of an image of cotangents.
struct At {
    /// The number of the channel, through all images.
    number: usize,
    /// Its number in its image.
    channel: usize,
    /// s.
    scale: f64,
}
