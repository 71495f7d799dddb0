//! Where windows lie on an image: their largest values and means, and the transposed operations.

use rayon::prelude::*;

use crate::ops::window::{Axis, Window};
use crate::tensor::{Element, Shape};

/// How windows slide: padding of at most half the kernel, so that each window holds a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Kernel, stride, padding and dilation.
    pub window: Window,
    /// How many windows there are.
    pub end: End,
}

/// Whether a window may hang over the end of the padded image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Windows lie within the padded image.
    Within,
    /// The last one may hang over, where it starts in the image or in the padding before it (PyTorch's ceil_mode).
    Over,
}

/// What a sum is divided by to be a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divisor {
    /// The taps in the image and its padding (PyTorch's count_include_pad).
    Padded,
    /// The taps in the image.
    Inside,
}

impl Pooling {
    /// The one window that covers a whole image of this height and width.
    pub fn whole(height: usize, width: usize) -> Self {
        Self { window: Window::whole(height, width), end: End::Within }
    }

    /// Whether each window on an image of this height and width holds a pixel of it, padding of at most half the kernel granted.
    pub(crate) fn holds_pixels(&self, height: usize, width: usize) -> bool {
        self.window.axes(height, width).iter().all(Axis::reaches_in)
    }

    /// Height and width of the output, or `None` where no window fits.
    pub fn output(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        match self.end {
            End::Within => self.window.output(height, width),
            End::Over => self.window.output_ceil(height, width),
        }
    }
}

/// Where the windows lie on images of one size.
pub(super) struct Windows {
    /// The pixels of an output row's windows, from top to bottom.
    rows: Vec<Line>,
    /// The pixels of an output column's windows, from left to right.
    columns: Vec<Line>,
    width: usize,
    channels: usize,
    /// Values of an input image.
    pub(super) input_len: usize,
}

/// The windows of one output row or column.
struct Line {
    inside: Vec<usize>,
    padded: usize,
}

impl Line {
    fn count(&self, divisor: Divisor) -> usize {
        match divisor {
            Divisor::Padded => self.padded,
            Divisor::Inside => self.inside.len(),
        }
    }
}

impl Windows {
    /// The network has checked the shapes of its input; a window that does not fit gives no output.
    pub(super) fn new(pooling: Pooling, (_, height, width, channels): Shape) -> Self {
        let output = pooling.output(height, width).unwrap_or((0, 0));
        let [vertical, horizontal] = pooling.window.axes(height, width);
        let line =
            |axis: &Axis, position| Line { inside: axis.inside(position).collect(), padded: axis.padded(position) };
        Self {
            rows: (0..output.0).map(|position| line(&vertical, position)).collect(),
            columns: (0..output.1).map(|position| line(&horizontal, position)).collect(),
            width,
            channels,
            input_len: height * width * channels,
        }
    }

    pub(super) fn output_shape(&self, images: usize) -> Shape {
        (images, self.rows.len(), self.columns.len(), self.channels)
    }

    /// What the sum of each window is divided by, of rows and of columns.
    pub(super) fn counts(&self, divisor: Divisor) -> [Vec<f64>; 2] {
        [&self.rows, &self.columns].map(|lines| lines.iter().map(|line| line.count(divisor) as f64).collect())
    }

    fn output_len(&self) -> usize {
        self.rows.len() * self.line_len()
    }

    /// Values of an output row.
    fn line_len(&self) -> usize {
        self.columns.len() * self.channels
    }

    /// The windows of an image in row-major order.
    fn windows(&self) -> impl Iterator<Item = (&Line, &Line)> {
        self.rows.iter().flat_map(|row| self.columns.iter().map(move |column| (row, column)))
    }

    /// Where the channels of each pixel of a window start, in row-major order.
    fn pixels<'a>(&'a self, row: &'a Line, column: &'a Line) -> impl Iterator<Item = usize> + 'a {
        let at = |row: usize, column: usize| (row * self.width + column) * self.channels;
        row.inside.iter().flat_map(move |&row| column.inside.iter().map(move |&column| at(row, column)))
    }

    /// The largest value of each window; as in PyTorch, a NaN counts as the largest.
    pub(super) fn largest<E: Element>(&self, values: &[E]) -> Vec<E> {
        let mut result = vec![E::zero(); values.len() / self.input_len.max(1) * self.output_len()];
        let lines = result.par_chunks_mut(self.line_len().max(1)).enumerate();
        lines.for_each(|(line, result)| {
            let image = &values[line / self.rows.len() * self.input_len..][..self.input_len];
            let row = &self.rows[line % self.rows.len()];
            for (column, best) in self.columns.iter().zip(result.chunks_exact_mut(self.channels)) {
                for (tap, pixel) in self.pixels(row, column).enumerate() {
                    let values = &image[pixel..pixel + self.channels];
                    if tap == 0 {
                        best.copy_from_slice(values);
                        continue;
                    }
                    for (best, &value) in best.iter_mut().zip(values) {
                        *best = if value > *best || value.is_nan() { value } else { *best };
                    }
                }
            }
        });
        result
    }

    /// Adds each output's value to the pixel of its window that holds the `largest` of x, the first of equals. `x` is as many
    /// images as the values, or one for all of them.
    pub(super) fn hand_down<E: Element>(&self, values: &[E], x: &[E], largest: &[E], result: &mut [E]) {
        let images = result.par_chunks_mut(self.input_len.max(1)).zip(values.par_chunks(self.output_len().max(1)));
        images.enumerate().for_each(|(image, (result, values))| {
            let (x, largest) = self.image(image, x, largest);
            let mut left = vec![E::zero(); self.channels];
            let windows =
                self.windows().zip(values.chunks_exact(self.channels)).zip(largest.chunks_exact(self.channels));
            for (((row, column), values), largest) in windows {
                left.copy_from_slice(values);
                for pixel in self.pixels(row, column) {
                    let pixels = pixel..pixel + self.channels;
                    let channels = result[pixels.clone()].iter_mut().zip(&mut left).zip(&x[pixels]).zip(largest);
                    for (((result, left), &x), &largest) in channels {
                        // The whole value is handed over, so nothing is left for the next of equals. Sums instead of
                        // conditions, since they are vectorised.
                        let handed = if is_largest(x, largest) { *left } else { E::zero() };
                        *result += handed;
                        *left -= handed;
                    }
                }
            }
        });
    }

    /// The transpose of [`Windows::hand_down`]: for each output the value of the pixel that holds the largest of x.
    pub(super) fn hand_up<E: Element>(&self, values: &[E], x: &[E], largest: &[E]) -> Vec<E> {
        let mut result = vec![E::zero(); values.len() / self.input_len.max(1) * self.output_len()];
        let images = result.par_chunks_mut(self.output_len().max(1)).zip(values.par_chunks(self.input_len.max(1)));
        images.enumerate().for_each(|(image, (result, values))| {
            let (x, largest) = self.image(image, x, largest);
            let mut open = vec![E::zero(); self.channels];
            let windows = result.chunks_exact_mut(self.channels).zip(largest.chunks_exact(self.channels));
            for ((row, column), (result, largest)) in self.windows().zip(windows) {
                open.fill(E::one());
                for pixel in self.pixels(row, column) {
                    let pixels = pixel..pixel + self.channels;
                    let channels = result.iter_mut().zip(&mut open).zip(&values[pixels.clone()]).zip(&x[pixels]);
                    for ((((result, open), &value), &x), &largest) in channels.zip(largest) {
                        let hit = is_largest(x, largest) && *open > E::zero();
                        *result += if hit { value } else { E::zero() };
                        *open -= if hit { E::one() } else { E::zero() };
                    }
                }
            }
        });
        result
    }

    /// Image number `image` of x and of its windows' largest values; one image stands for all.
    fn image<'a, E>(&self, image: usize, x: &'a [E], largest: &'a [E]) -> (&'a [E], &'a [E]) {
        let image = image % (x.len() / self.input_len.max(1)).max(1);
        (&x[image * self.input_len..][..self.input_len], &largest[image * self.output_len()..][..self.output_len()])
    }

    /// The mean of each window.
    pub(super) fn average<E: Element>(&self, values: &[E], divisor: Divisor) -> Vec<E> {
        let mut result = vec![E::zero(); values.len() / self.input_len.max(1) * self.output_len()];
        let images = result.par_chunks_mut(self.output_len().max(1)).zip(values.par_chunks(self.input_len.max(1)));
        images.for_each(|(result, values)| {
            for ((row, column), result) in self.windows().zip(result.chunks_exact_mut(self.channels)) {
                for pixel in self.pixels(row, column) {
                    let values = &values[pixel..pixel + self.channels];
                    result.iter_mut().zip(values).for_each(|(result, &value)| *result += value);
                }
                let count = E::of((row.count(divisor) * column.count(divisor)) as f64);
                result.iter_mut().for_each(|result| *result /= count);
            }
        });
        result
    }

    /// The transpose of [`Windows::average`].
    pub(super) fn spread<E: Element>(&self, values: &[E], divisor: Divisor) -> Vec<E> {
        let mut result = vec![E::zero(); values.len() / self.output_len().max(1) * self.input_len];
        let images = result.par_chunks_mut(self.input_len.max(1)).zip(values.par_chunks(self.output_len().max(1)));
        images.for_each(|(result, values)| {
            for ((row, column), values) in self.windows().zip(values.chunks_exact(self.channels)) {
                let count = E::of((row.count(divisor) * column.count(divisor)) as f64);
                for pixel in self.pixels(row, column) {
                    let result = &mut result[pixel..pixel + self.channels];
                    result.iter_mut().zip(values).for_each(|(result, &value)| *result += value / count);
                }
            }
        });
        result
    }
}

/// Whether a pixel holds its window's largest value; a NaN does.
fn is_largest<E: Element>(x: E, largest: E) -> bool {
    x == largest || x.is_nan()
}
