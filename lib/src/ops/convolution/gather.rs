//! The kernels of a convolution whose groups are narrow: vectors along the channels, a few pixels of a row at a time.
//!
//! A result of pixel i and channel c is the sum over rows of the kernel, taps and planes k of W[row, tap, k, c] X[row, s i + tap, k, c]. Each is
//! summed in one order, whatever the width of vectors; the pixels and vectors that are summed side by side share the loads.

use std::array::from_fn;

use pulp::{Scalar, Simd, WithSimd};

use super::reach::Line;
use crate::tensor::Element;

/// Pixels at a time.
const PIXELS: usize = 4;
/// Vectors at a time.
const VECTORS: usize = 2;
/// Numbers of the widest vectors: 512 bits of f32.
const MOST_LANES: usize = 16;

/// How the pixels of a call lie in memory.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Planes of the source: the channels of a group.
    pub(super) planes: usize,
    /// Channels that are computed; a pixel of the source has as many in each plane.
    pub(super) width: usize,
    /// Channels of all groups: those of a pixel of the results, and of a plane of the weights.
    pub(super) channels: usize,
    /// The first channel computed.
    pub(super) first: usize,
}

impl Layout {
    /// Values of a pixel of the source.
    #[inline(always)]
    pub(super) fn pixel(self) -> usize {
        self.planes * self.width
    }
}

/// A row of the kernel, (kw, planes, channels), and the row of the source that it reads, (W, planes, width).
pub(super) type Rows<'a, E> = (&'a [E], &'a [E]);

/// Computes a row of results.
pub(super) struct Gather<'a, E> {
    pub(super) layout: Layout,
    pub(super) lines: &'a [Line],
    pub(super) rows: &'a [Rows<'a, E>],
    pub(super) target: &'a mut [E],
}

impl<E: Element> WithSimd for Gather<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut inside = Vec::new();
        for line in self.lines {
            let mut number = 0;
            while number < line.count {
                if line.inside.contains(&number) && number + PIXELS <= line.inside.end {
                    self.pixels::<S, PIXELS>(simd, line, &line.taps, number);
                    number += PIXELS;
                } else {
                    line.taps_at(number, &mut inside);
                    self.pixels::<S, 1>(simd, line, &inside, number);
                    number += 1;
                }
            }
        }
    }
}

impl<E: Element> Gather<'_, E> {
    /// All channels of P pixels, the first of which has this number in its line.
    #[inline(always)]
    fn pixels<S: Simd, const P: usize>(&mut self, simd: S, line: &Line, taps: &[(usize, isize)], number: usize) {
        over_channels::<E, S>(simd, self.layout.width, &mut Pixels::<_, P> { gather: self, line, taps, number });
    }
}

/// P pixels of a row of results.
struct Pixels<'a, 'b, E, const P: usize> {
    gather: &'a mut Gather<'b, E>,
    line: &'a Line,
    taps: &'a [(usize, isize)],
    number: usize,
}

impl<E: Element, const P: usize> Blocks<E> for Pixels<'_, '_, E, P> {
    #[inline(always)]
    #[allow(unsafe_code)]
    fn block<S: Simd, const V: usize>(&mut self, simd: S, channel: usize, _done: usize) {
        let (line, lanes) = (self.line, E::lanes::<S>());
        let layout @ Layout { planes, width, channels, first } = self.gather.layout;
        let hop = line.advance * layout.pixel();
        let mut sums = [[E::vector_of_zeros(simd); V]; P];
        for &(weights, source) in self.gather.rows {
            for &(tap, offset) in self.taps {
                let pixel = offset.wrapping_add_unsigned(self.number * line.advance) as usize;
                let weights =
                    &weights[tap * planes * channels + first + channel..][..(planes - 1) * channels + V * lanes];
                let source =
                    &source[pixel * layout.pixel() + channel..][..(P - 1) * hop + (planes - 1) * width + V * lanes];
                for plane in 0..planes {
                    // SAFETY: the slices end with the last vector of the last plane (and pixel), which are as long as they were asked to be.
                    let weights: [_; V] =
                        from_fn(|v| unsafe { E::load::<S>(weights.as_ptr().add(plane * channels + v * lanes)) });
                    for (p, sums) in sums.iter_mut().enumerate() {
                        for (v, sum) in sums.iter_mut().enumerate() {
                            // SAFETY: as above.
                            let x = unsafe { E::load::<S>(source.as_ptr().add(p * hop + plane * width + v * lanes)) };
                            *sum = E::add_product(simd, *sum, weights[v], x);
                        }
                    }
                }
            }
        }
        for (p, sums) in sums.iter().enumerate() {
            let pixel = line.first + (self.number + p) * line.step;
            let target = &mut self.gather.target[pixel * channels + first + channel..][..V * lanes];
            // SAFETY: the slice holds V vectors.
            sums.iter()
                .enumerate()
                .for_each(|(v, &sum)| unsafe { E::store::<S>(target.as_mut_ptr().add(v * lanes), sum) });
        }
    }
}

/// Adds to the gradient of W, (kh, kw, planes, channels), what one row of the results' cotangents gives.
pub(super) struct Correlate<'a, E> {
    pub(super) layout: Layout,
    pub(super) line: &'a Line,
    /// Rows of the kernel, and the row of the source that each reads, (W, planes, width).
    pub(super) rows: &'a [(usize, &'a [E])],
    pub(super) cotangents: &'a [E],
    pub(super) sums: &'a mut [E],
}

impl<E: Element> WithSimd for Correlate<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Layout { planes, width, channels, first } = self.layout;
        let taps = self.line.taps.len();
        for &(row, source) in self.rows {
            for &(tap, offset) in &self.line.taps {
                let (numbers, start) = self.line.served(offset);
                if numbers.is_empty() {
                    continue;
                }
                for plane in 0..planes {
                    let mut work = Correlation {
                        count: numbers.len(),
                        cotangents: (&self.cotangents[numbers.start * channels + first..], channels),
                        source: (
                            &source[start * self.layout.pixel() + plane * width..],
                            self.line.advance * self.layout.pixel(),
                        ),
                        sums: &mut self.sums[((row * taps + tap) * planes + plane) * channels + first..][..width],
                    };
                    over_channels::<E, S>(simd, width, &mut work);
                }
            }
        }
    }
}

/// The products of two runs of pixels, whose values start so far apart, added to sums.
struct Correlation<'a, E> {
    count: usize,
    cotangents: (&'a [E], usize),
    source: (&'a [E], usize),
    sums: &'a mut [E],
}

impl<E: Element> Blocks<E> for Correlation<'_, E> {
    #[inline(always)]
    #[allow(unsafe_code)]
    fn block<S: Simd, const V: usize>(&mut self, simd: S, channel: usize, done: usize) {
        let lanes = E::lanes::<S>();
        let mut sums = [[E::vector_of_zeros(simd); V]; PIXELS];
        let whole = self.count / PIXELS * PIXELS;
        for number in (0..whole).step_by(PIXELS) {
            for (p, sums) in sums.iter_mut().enumerate() {
                self.add::<S, V>(simd, number + p, channel, sums);
            }
        }
        for number in whole..self.count {
            self.add::<S, V>(simd, number, channel, &mut sums[0]);
        }
        for v in 0..V {
            let mut sum = sums[0][v];
            for part in &sums[1..] {
                sum = E::add_vectors(simd, sum, part[v]);
            }
            let mut values = [E::zero(); MOST_LANES];
            // SAFETY: no vector has more lanes.
            unsafe { E::store::<S>(values.as_mut_ptr(), sum) };
            let target = &mut self.sums[channel + v * lanes..][..lanes];
            target.iter_mut().zip(&values).skip(done).for_each(|(target, &value)| *target += value);
        }
    }
}

impl<E: Element> Correlation<'_, E> {
    /// Adds the products of V vectors of the pixels of this number.
    #[inline(always)]
    #[allow(unsafe_code)]
    fn add<S: Simd, const V: usize>(&self, simd: S, number: usize, channel: usize, sums: &mut [E::Vector<S>; V]) {
        let (lanes, (cotangents, hop), (source, advance)) = (E::lanes::<S>(), self.cotangents, self.source);
        let a = &cotangents[number * hop + channel..][..V * lanes];
        let b = &source[number * advance + channel..][..V * lanes];
        for (v, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the slices hold V vectors.
            let (a, b) = unsafe { (E::load::<S>(a.as_ptr().add(v * lanes)), E::load::<S>(b.as_ptr().add(v * lanes))) };
            *sum = E::add_product(simd, *sum, a, b);
        }
    }
}

/// Work on blocks of channels.
trait Blocks<E: Element> {
    /// V vectors of channels from one on, the first of which are `done` already.
    fn block<S: Simd, const V: usize>(&mut self, simd: S, channel: usize, done: usize);
}

/// Runs `work` for `width` channels; the last vector may overlap the one before it.
#[inline(always)]
fn over_channels<E: Element, S: Simd>(simd: S, width: usize, work: &mut impl Blocks<E>) {
    let lanes = E::lanes::<S>();
    debug_assert!(lanes <= MOST_LANES);
    if width < lanes {
        return (0..width).for_each(|channel| work.block::<Scalar, 1>(Scalar, channel, 0));
    }
    let mut channel = 0;
    while channel + VECTORS * lanes <= width {
        work.block::<S, VECTORS>(simd, channel, 0);
        channel += VECTORS * lanes;
    }
    while channel < width {
        let start = channel.min(width - lanes);
        work.block::<S, 1>(simd, start, channel - start);
        channel += lanes;
    }
}

#[cfg(test)]
mod tests {
    use pulp::Arch;

    use super::super::reach::Reach;
    use super::*;
    use crate::tensor::random::Stream;

    #[test]
    fn the_bits_are_the_same_for_any_width_of_vectors() {
        let reach = Reach { sources: 21, targets: 11, kernel: 3, stride: 2, dilation: 1, before: 1, turned: false };
        for (planes, width) in [(1, 3), (1, 16), (1, 57), (2, 40), (3, 23)] {
            let layout = Layout { planes, width, channels: width + 5, first: 2 };
            let drawn = |name: &str, length: usize| -> Vec<f32> { Stream::new(0, name, 0).normal(0..length) };
            let weights = drawn("weights", 3 * planes * layout.channels);
            let source = drawn("source", reach.sources * layout.pixel());
            let cotangents = drawn("cotangents", reach.targets * layout.channels);
            let (lines, rows) = (reach.lines(), [(weights.as_slice(), source.as_slice()); 2]);
            let run = |scalar: bool| {
                let mut target = vec![0.0; cotangents.len()];
                let mut sums = vec![0.0; 2 * weights.len()];
                let gather = Gather { layout, lines: &lines, rows: &rows, target: &mut target };
                let rows = [(0, source.as_slice()), (1, &source)];
                let correlate =
                    Correlate { layout, line: &lines[0], rows: &rows, cotangents: &cotangents, sums: &mut sums };
                if scalar {
                    gather.with_simd(Scalar);
                    correlate.with_simd(Scalar);
                } else {
                    Arch::new().dispatch(gather);
                    Arch::new().dispatch(correlate);
                }
                (target, sums)
            };
            let (target, sums) = run(true);
            assert!(target[2] != 0.0 && sums[2] != 0.0 && target[0] == 0.0, "{planes} {width}");
            assert_eq!((target, sums), run(false), "{planes} {width}");
        }
    }
}
