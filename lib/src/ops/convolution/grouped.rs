//! Convolutions of narrow groups, depthwise ones first of all: each result is gathered by its channel's vector, without patches and products.
//!
//! Where a group has several channels, those that results read are first spread out, one plane for each: X[pixel, k, o] =
//! x[pixel, g(o) I + k], g(o) the group of channel o and I the channels of a group. Then every result is a sum over taps and planes of values
//! of its own channel. The adjoint is the same sum with the cotangents for x and W turned, and so no scatter.

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use super::gather::{Correlate, Gather, Layout};
use super::geometry::{Geometry, LANES};
use super::reach::{Line, Reach};
use super::slopes::Slopes;
use crate::ops::accumulate;
use crate::tensor::{Element, filled_in_chunks, transpose_images};

/// Values of the source, spread out, that stay in a core's second-level cache.
const BAND: usize = 1 << 16;
/// Channels that are spread out at a time.
const WIDTH: usize = 64;
/// Groups of more channels than this take the patches and their products, which fuse multiplications and additions.
const NARROW: usize = 8;

/// A convolution of narrow groups, or its adjoint, worked out once.
pub(super) struct Grouped {
    rows: Reach,
    columns: Reach,
    lines: Vec<Line>,
    groups: usize,
    /// Channels of a group of the source, and of the results.
    planes: usize,
    group: usize,
}

/// Buffers that a thread reuses.
struct Scratch<E> {
    sloped: Vec<E>,
    spread: Vec<E>,
}

impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self { sloped: Vec::new(), spread: Vec::new() }
    }
}

impl Geometry {
    /// Whether the convolution is computed by [`Grouped`].
    pub(super) fn is_narrow(&self) -> bool {
        let groups = self.convolution.groups;
        groups > 1 && self.channels / groups <= NARROW && self.group_outputs() <= NARROW
    }
}

impl Grouped {
    /// The convolution.
    pub(super) fn forward(geometry: &Geometry) -> Self {
        let (window, groups) = (geometry.convolution.window, geometry.convolution.groups);
        let reach = |axis: usize, sources, targets, before| Reach {
            sources,
            targets,
            kernel: window.kernel[axis],
            stride: window.stride[axis],
            dilation: window.dilation[axis],
            before,
            turned: false,
        };
        let rows = reach(0, geometry.input.0, geometry.output.0, window.padding.top);
        let columns = reach(1, geometry.input.1, geometry.output.1, window.padding.left);
        let (planes, group) = (geometry.channels / groups, geometry.group_outputs());
        Self { rows, columns, lines: columns.lines(), groups, planes, group }
    }

    /// Its adjoint.
    pub(super) fn adjoint(geometry: &Geometry) -> Self {
        let Self { rows, columns, groups, planes, group, .. } = Self::forward(geometry);
        let turned = |reach: Reach| Reach { sources: reach.targets, targets: reach.sources, turned: true, ..reach };
        let (rows, columns) = (turned(rows), turned(columns));
        Self { rows, columns, lines: columns.lines(), groups, planes: group, group: planes }
    }

    fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// Channels of all groups of the results.
    fn channels(&self) -> usize {
        self.groups * self.group
    }

    fn source_row(&self) -> usize {
        self.columns.sources * self.groups * self.planes
    }

    fn target_row(&self) -> usize {
        self.columns.targets * self.channels()
    }

    /// Rows of results that a thread computes at a time: a divisor of their number.
    fn band(&self) -> usize {
        let rows = self.rows.targets.max(1);
        let row = (self.source_row() * self.group).max(self.target_row()).max(1);
        let most = (BAND / row).clamp(1, rows);
        (1..=most).rev().find(|&band| rows.is_multiple_of(band)).unwrap_or(1)
    }

    /// W, (O, kh, kw, C / groups), as the sums read it: (kh, kw, planes, channels).
    fn weights<E: Element>(&self, weight: &[E]) -> Vec<E> {
        if !self.columns.turned {
            return transpose_images(weight, self.channels(), self.taps() * self.planes);
        }
        let (taps, planes, group, channels) = (self.taps(), self.planes, self.group, self.channels());
        let mut weights = vec![E::zero(); weight.len()];
        for (number, weights) in weights.chunks_exact_mut(channels.max(1)).enumerate() {
            let (tap, plane) = (number / planes, number % planes);
            for (channel, value) in weights.iter_mut().enumerate() {
                let output = channel / group * planes + plane;
                *value = weight[(output * taps + tap) * group + channel % group];
            }
        }
        weights
    }

    /// The results for some images, each row of them after `finish`. With slopes the sources are multiplied by them first.
    pub(super) fn apply<E: Element>(
        &self,
        source: &[E],
        slopes: Option<&Slopes<E>>,
        weight: &[E],
        finish: impl Fn(&mut [E]) + Sync + Send,
    ) -> Vec<E> {
        let (weights, band) = (self.weights(weight), self.band());
        let (bands, image) = ((self.rows.targets / band).max(1), (self.rows.sources * self.source_row()).max(1));
        let length = source.len() / image * self.rows.targets * self.target_row();
        filled_in_chunks(length, band * self.target_row(), Scratch::default, |scratch, chunk, target| {
            let (number, targets) = (chunk / bands, chunk % bands * band..(chunk % bands + 1) * band);
            let needed = self.rows.sources_of(targets.clone());
            let place = number * image + needed.start * self.source_row();
            let source = &source[place..][..needed.len() * self.source_row()];
            let source = match slopes {
                Some(slopes) => slopes.multiplied(source, place, &mut scratch.sloped),
                None => source,
            };
            for groups in self.blocks() {
                let (layout, spread) = self.spread(source, groups, &mut scratch.spread);
                let length = self.columns.sources * layout.pixel();
                let weight_row = self.columns.kernel * self.planes * self.channels();
                for (row, target) in targets.clone().zip(target.chunks_exact_mut(self.target_row())) {
                    let read = |(tap, source): (usize, usize)| {
                        (
                            &weights[tap * weight_row..][..weight_row],
                            &spread[(source - needed.start) * length..][..length],
                        )
                    };
                    let rows: Vec<_> = self.rows.taps(row).map(read).collect();
                    Arch::new().dispatch(Gather { layout, lines: &self.lines, rows: &rows, target });
                }
            }
            finish(target);
        })
    }

    /// The gradient of W, (O, kh, kw, C / groups), for a convolution's input and the cotangents of its results, these times the slopes where
    /// there are some. Rows of results are summed in a fixed number of parts, in order.
    pub(super) fn weight_gradient<E: Element>(&self, x: &[E], cotangents: &[E], slopes: Option<&Slopes<E>>) -> Vec<E> {
        let length = self.taps() * self.planes * self.channels();
        let band = self.band();
        let bands = cotangents.len() / (band * self.target_row()).max(1);
        let part = bands.div_ceil(LANES).max(1);
        let parts = (0..bands).into_par_iter().step_by(part).map(|first| {
            let (mut sums, mut scratch) = (vec![E::zero(); length], Scratch::default());
            for number in first..bands.min(first + part) {
                self.correlate(number * band, band, x, cotangents, slopes, &mut scratch, &mut sums);
            }
            sums
        });
        let parts: Vec<Vec<E>> = parts.collect();
        let mut sum = vec![E::zero(); length];
        parts.iter().for_each(|part| accumulate(&mut sum, part));
        transpose_images(&sum, self.taps() * self.planes, self.channels())
    }

    /// Adds what `band` rows of results, from one on, give to the gradient of W, (kh, kw, planes, channels).
    #[expect(clippy::too_many_arguments, reason = "a sum's terms, named one by one")]
    fn correlate<E: Element>(
        &self,
        first: usize,
        band: usize,
        x: &[E],
        cotangents: &[E],
        slopes: Option<&Slopes<E>>,
        scratch: &mut Scratch<E>,
        sums: &mut [E],
    ) {
        let (image, row) = (first / self.rows.targets, first % self.rows.targets);
        let needed = self.rows.sources_of(row..row + band);
        let x =
            &x[(image * self.rows.sources + needed.start) * self.source_row()..][..needed.len() * self.source_row()];
        let place = first * self.target_row();
        let cotangents = &cotangents[place..][..band * self.target_row()];
        let cotangents = match slopes {
            Some(slopes) => slopes.multiplied(cotangents, place, &mut scratch.sloped),
            None => cotangents,
        };
        for groups in self.blocks() {
            let (layout, spread) = self.spread(x, groups, &mut scratch.spread);
            let length = self.columns.sources * layout.pixel();
            for (row, cotangents) in (row..row + band).zip(cotangents.chunks_exact(self.target_row())) {
                let read = |(tap, source): (usize, usize)| (tap, &spread[(source - needed.start) * length..][..length]);
                let rows: Vec<_> = self.rows.taps(row).map(read).collect();
                Arch::new().dispatch(Correlate { layout, line: &self.lines[0], rows: &rows, cotangents, sums });
            }
        }
    }

    /// Whether the source is what sums read: one channel a group on both sides.
    fn is_depthwise(&self) -> bool {
        self.planes == 1 && self.group == 1
    }

    /// The groups in blocks that are spread out together.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (groups, block) = (self.groups, if self.is_depthwise() { self.groups } else { WIDTH.div_ceil(self.group) });
        (0..groups).step_by(block).map(move |first| first..groups.min(first + block))
    }

    /// Pixels' channels of some groups, one plane for each channel of a group.
    fn spread<'a, E: Element>(
        &self,
        source: &'a [E],
        groups: Range<usize>,
        scratch: &'a mut Vec<E>,
    ) -> (Layout, &'a [E]) {
        let Self { planes, group, .. } = *self;
        let layout =
            Layout { planes, width: groups.len() * group, channels: self.channels(), first: groups.start * group };
        if self.is_depthwise() {
            return (layout, source);
        }
        let pixels = source.chunks_exact(self.groups * planes);
        scratch.resize(pixels.len() * layout.pixel(), E::zero());
        for (pixel, spread) in pixels.zip(scratch.chunks_exact_mut(layout.pixel())) {
            let pixel = &pixel[groups.start * planes..groups.end * planes];
            match group {
                2 => repeat::<E, 2>(pixel, planes, spread),
                4 => repeat::<E, 4>(pixel, planes, spread),
                8 => repeat::<E, 8>(pixel, planes, spread),
                _ => {
                    for (plane, spread) in spread.chunks_exact_mut(layout.width).enumerate() {
                        let values = pixel.iter().skip(plane).step_by(planes);
                        spread.chunks_exact_mut(group).zip(values).for_each(|(spread, &value)| spread.fill(value));
                    }
                }
            }
        }
        (layout, scratch)
    }
}

/// Each channel of a plane, `planes` apart in a pixel, R times.
fn repeat<E: Element, const R: usize>(pixel: &[E], planes: usize, spread: &mut [E]) {
    let groups = pixel.len() / planes;
    let (spread, _) = spread.as_chunks_mut::<R>();
    for (plane, spread) in spread.chunks_exact_mut(groups).enumerate() {
        spread.iter_mut().zip(pixel[plane..].iter().step_by(planes)).for_each(|(spread, &value)| *spread = [value; R]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Convolution, convolved, gradients, spread_back};
    use super::*;
    use crate::ops::checks::{assert_close, normal};
    use crate::ops::window::{Padding, Window};
    use crate::tensor::{Batch, view};

    /// A batch of convolution's images, weights and cotangents of its results.
    struct Example {
        geometry: Geometry,
        x: Batch<f64>,
        weight: Batch<f64>,
        cotangent: Batch<f64>,
        slopes: Slopes<f64>,
    }

    /// `outputs` for each of `inputs` channels a group; the slopes are those of all images, or of one.
    fn example(
        window: Window,
        size: (usize, usize),
        groups: usize,
        [inputs, outputs]: [usize; 2],
        all: bool,
    ) -> Example {
        const IMAGES: usize = 3;
        let [kh, kw] = window.kernel;
        let weight = normal("weight", (groups * outputs, kh, kw, inputs));
        let geometry = Geometry::new(Convolution { window, groups }, size, &weight);
        let results = |n| (n, geometry.output.0, geometry.output.1, groups * outputs);
        let y = normal("y", results(if all { IMAGES } else { 1 }));
        let (x, cotangent) =
            (normal("x", (IMAGES, size.0, size.1, groups * inputs)), normal("cotangent", results(IMAGES)));
        Example { geometry, x, weight, cotangent, slopes: Slopes::new(&y, 0.25) }
    }

    /// Strides, dilations, padding more on one side than the kernel reaches, a stride beyond the kernel; depthwise, several outputs a
    /// channel, several channels a group; fewer channels than a vector has lanes, and not a multiple of them.
    fn examples() -> Vec<Example> {
        let padding = Padding { top: 2, bottom: 0, left: 1, right: 3 };
        let uneven = Window { kernel: [3, 2], stride: [2, 1], padding, dilation: [1, 1] };
        let windows = [
            Window::square(3, 1, 1),
            Window::square(3, 2, 1),
            Window::square(5, 2, 2),
            uneven,
            Window { stride: [1, 3], dilation: [2, 1], ..uneven },
            Window { kernel: [2, 3], stride: [3, 1], padding: Padding { top: 4, ..padding }, dilation: [1, 2] },
        ];
        let groups = [(40, [1, 1]), (5, [1, 1]), (12, [1, 3]), (9, [1, 2]), (6, [4, 4]), (20, [8, 4]), (3, [5, 7])];
        let all = windows.into_iter().flat_map(|window| groups.map(|(count, sizes)| (window, count, sizes)));
        let small = all
            .enumerate()
            .map(|(number, (window, count, sizes))| example(window, (9, 11), count, sizes, number.is_multiple_of(2)));
        // Rows in several bands.
        let large = [[1, 1], [2, 4]].map(|sizes| example(Window::square(3, 1, 1), (60, 64), 24, sizes, sizes[0] == 1));
        small.chain(large).collect()
    }

    #[test]
    fn results_and_both_gradients_are_those_of_patches_and_products() {
        for example @ Example { geometry, slopes, .. } in &examples() {
            assert!(geometry.is_narrow());
            let [x, weight, cotangent] = [&example.x, &example.weight, &example.cotangent].map(view);
            let (forward, adjoint) = (Grouped::forward(geometry), Grouped::adjoint(geometry));
            let expected = convolved(*geometry, x, &geometry.columns(weight), None, None);
            assert_close(&forward.apply(x, None, weight, |_| ()), &expected, 1e-13);
            for slopes in [None, Some(slopes)] {
                let expected = spread_back(*geometry, cotangent, slopes, (&example.weight).into());
                assert_close(&adjoint.apply(cotangent, slopes, weight, |_| ()), &expected, 1e-13);
                let mut sloped = cotangent.to_vec();
                slopes.inspect(|slopes| slopes.apply(&mut sloped, 0));
                let expected = gradients::backward_lane(geometry, &sloped, x, weight.len(), None);
                assert_close(&forward.weight_gradient(x, cotangent, slopes), &expected, 1e-13);
            }
        }
    }

    #[test]
    fn the_bits_are_the_same_on_one_thread() {
        for example in &examples() {
            let [x, weight, cotangent] = [&example.x, &example.weight, &example.cotangent]
                .map(|values| view(values).iter().map(|&value| value as f32).collect::<Vec<f32>>());
            let run = || {
                let forward = Grouped::forward(&example.geometry);
                let gradient = Grouped::adjoint(&example.geometry).apply(&cotangent, None, &weight, |_| ());
                [forward.apply(&x, None, &weight, |_| ()), gradient, forward.weight_gradient(&x, &cotangent, None)]
            };
            let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool(1).install(run), pool(3).install(run));
        }
    }
}
