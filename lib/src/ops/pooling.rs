//! The largest value or the mean of each window, a channel at a time; x (N, H, W, C), y (N, H', W', C).
//!
//! max: y[i, j] = max x[s i + u - p, s j + v - p] over the taps inside the image. average: the sum over the same taps,
//! divided by their number or by that of all taps, padding included. Ceil mode, ties and divisors are PyTorch's.
//!
//! ```
//! use dfdx::prelude::NoneTape;
//! use obverse::tensor::{batch, view};
//! use obverse::ops::pooling::{Divisor, Pooling, average_pool, max_pool};
//! let x = batch(vec![1.0f64, 2.0, 3.0, 6.0], (1, 2, 2, 1));
//! let whole = Pooling::whole(2, 2);
//! assert_eq!(view(&max_pool(&mut NoneTape, &x, whole)), [6.0]);
//! assert_eq!(view(&average_pool(&mut NoneTape, &x, whole, Divisor::Inside)), [3.0]);
//! ```

use dfdx::prelude::{Cpu, Tape};
use rayon::prelude::*;

use super::window::Window;
use super::{record_added, record_transpose};
use crate::tensor::{Batch, Element, Shape, batch, shape, view};

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

    /// Height and width of the output, or `None` where no window fits.
    pub fn output(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        match self.end {
            End::Within => self.window.output(height, width),
            End::Over => self.window.output_ceil(height, width),
        }
    }
}

/// The largest value of each window; a NaN is larger than any number.
pub fn max_pool<E: Element>(tape: &mut impl Tape<E, Cpu>, x: &Batch<E>, pooling: Pooling) -> Batch<E> {
    let plan = Plan::new(pooling, shape(x));
    let y = batch(plan.largest(view(x)), plan.output_shape(shape(x).0));
    let (kept, largest) = (x.clone(), y.clone());
    record_added(tape, x, &y, move |upstream, gradient| {
        plan.hand_down(upstream, view(&kept), view(&largest), gradient);
    });
    y
}

/// The cotangent of x for a cotangent of [`max_pool`]: each value goes to the pixel that won. Where `x` is one image, it
/// stands for all of them.
pub fn max_pool_pullback<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    pooling: Pooling,
) -> Batch<E> {
    let plan = Plan::new(pooling, shape(x));
    let (_, h, w, c) = shape(x);
    let images = shape(cotangent).0;
    let largest = plan.largest(view(x));
    let mut result = vec![E::zero(); images * plan.input_len];
    plan.hand_down(view(cotangent), view(x), &largest, &mut result);
    let result = batch(result, (images, h, w, c));
    let x = x.clone();
    // Who won is constant almost everywhere, so x itself receives no gradient.
    record_transpose(tape, cotangent, &result, move |upstream| plan.hand_up(upstream, view(&x), &largest));
    result
}

/// The mean of each window.
pub fn average_pool<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    x: &Batch<E>,
    pooling: Pooling,
    divisor: Divisor,
) -> Batch<E> {
    let plan = Plan::new(pooling, shape(x));
    let y = batch(plan.average(view(x), divisor), plan.output_shape(shape(x).0));
    record_transpose(tape, x, &y, move |upstream| plan.spread(upstream, divisor));
    y
}

/// The cotangent of x for a cotangent of [`average_pool`]: each value is spread over its window. `size` is x's height and
/// width.
pub fn average_pool_pullback<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    pooling: Pooling,
    divisor: Divisor,
    size: (usize, usize),
) -> Batch<E> {
    let (n, _, _, c) = shape(cotangent);
    let plan = Plan::new(pooling, (n, size.0, size.1, c));
    let result = batch(plan.spread(view(cotangent), divisor), (n, size.0, size.1, c));
    record_transpose(tape, cotangent, &result, move |upstream| plan.average(upstream, divisor));
    result
}

/// Where the windows lie on images of one size.
struct Plan {
    /// The pixels of an output row's windows, from top to bottom.
    rows: Vec<Line>,
    /// The pixels of an output column's windows, from left to right.
    columns: Vec<Line>,
    width: usize,
    channels: usize,
    /// Values of an input image.
    input_len: usize,
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

impl Plan {
    /// Shapes have been checked where the network met its input; a window that does not fit gives no output.
    fn new(pooling: Pooling, (_, height, width, channels): Shape) -> Self {
        let output = pooling.output(height, width).unwrap_or((0, 0));
        let [vertical, horizontal] = pooling.window.axes(height, width);
        let line = |axis: &super::window::Axis, position| Line {
            inside: axis.inside(position).collect(),
            padded: axis.padded(position),
        };
        Self {
            rows: (0..output.0).map(|position| line(&vertical, position)).collect(),
            columns: (0..output.1).map(|position| line(&horizontal, position)).collect(),
            width,
            channels,
            input_len: height * width * channels,
        }
    }

    fn output_shape(&self, images: usize) -> Shape {
        (images, self.rows.len(), self.columns.len(), self.channels)
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

    /// The largest value of each window; as in PyTorch, a NaN beats whatever came before.
    fn largest<E: Element>(&self, values: &[E]) -> Vec<E> {
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
    fn hand_down<E: Element>(&self, values: &[E], x: &[E], largest: &[E], result: &mut [E]) {
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
                        // What is left is handed over at once, so nothing is left for the next of equals. Sums instead of
                        // conditions: they are vectors' work.
                        let handed = if is_largest(x, largest) { *left } else { E::zero() };
                        *result += handed;
                        *left -= handed;
                    }
                }
            }
        });
    }

    /// The transpose of [`Plan::hand_down`]: for each output the value of the pixel that holds the largest of x.
    fn hand_up<E: Element>(&self, values: &[E], x: &[E], largest: &[E]) -> Vec<E> {
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
    fn average<E: Element>(&self, values: &[E], divisor: Divisor) -> Vec<E> {
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

    /// The transpose of [`Plan::average`].
    fn spread<E: Element>(&self, values: &[E], divisor: Divisor) -> Vec<E> {
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

#[cfg(test)]
mod tests {
    use dfdx::prelude::NoneTape;

    use super::*;
    use crate::ops::checks::{check_case, check_directions, normal, repeated};
    use crate::ops::window::Padding;
    use crate::store::npy::Scalar;

    fn square(kernel: usize, stride: usize, padding: usize) -> Pooling {
        Pooling { window: Window::square(kernel, stride, padding), end: End::Within }
    }

    fn over(window: Window) -> Pooling {
        Pooling { window, end: End::Over }
    }

    /// Different along the two axes, padded more on one side than on the other.
    fn uneven() -> Window {
        let padding = Padding { top: 1, bottom: 0, left: 0, right: 1 };
        Window { kernel: [3, 2], stride: [2, 3], padding, dilation: [1, 1] }
    }

    fn agrees_with_the_oracle<E: Element + Scalar>() {
        let max = |case, pooling| check_case::<E>(case, &["x"], |tape, x| max_pool(tape, &x[0], pooling));
        max("maxpool_a", square(2, 2, 0));
        max("maxpool_b", square(3, 2, 1));
        max("maxpool_c", square(3, 1, 1));
        max("maxpool_ceil", over(Window::square(3, 2, 0)));
        let average = |case, pooling, divisor| {
            check_case::<E>(case, &["x"], |tape, x| average_pool(tape, &x[0], pooling, divisor));
        };
        average("avgpool_a", square(3, 1, 1), Divisor::Inside);
        average("avgpool_b", square(2, 2, 0), Divisor::Padded);
    }

    #[test]
    fn oracle_values_and_gradients() {
        agrees_with_the_oracle::<f32>();
        agrees_with_the_oracle::<f64>();
    }

    #[test]
    fn the_directions_of_max_pooling_are_transposed() {
        let x = normal("x", (2, 5, 6, 2));
        for pooling in [square(2, 2, 0), square(3, 1, 1), over(uneven()), over(Window::square(3, 2, 1))] {
            check_directions(
                &x,
                |tape, x| max_pool(tape, x, pooling),
                |tape, cotangent, x| max_pool_pullback(tape, cotangent, x, pooling),
            );
        }
    }

    #[test]
    fn the_directions_of_average_pooling_are_transposed() {
        let x = normal("x", (2, 5, 6, 2));
        for pooling in [square(3, 1, 1), over(uneven()), Pooling::whole(5, 6)] {
            for divisor in [Divisor::Padded, Divisor::Inside] {
                check_directions(
                    &x,
                    |tape, x| average_pool(tape, x, pooling, divisor),
                    |tape, cotangent, _| average_pool_pullback(tape, cotangent, pooling, divisor, (5, 6)),
                );
            }
        }
    }

    #[test]
    fn one_image_stands_for_all() {
        let x: Batch<f64> = normal("x", (1, 4, 4, 3));
        let cotangent = normal("cotangent", (3, 2, 2, 3));
        let pull = |x: &Batch<f64>| max_pool_pullback(&mut NoneTape, &cotangent, x, square(2, 2, 0));
        assert_eq!(view(&pull(&x)), view(&pull(&repeated(&x, 3))));
    }

    #[test]
    fn the_first_of_equals_wins_and_a_nan_beats_all() {
        let pull = |x: Vec<f64>| {
            let x = batch(x, (1, 2, 2, 1));
            let y = max_pool(&mut NoneTape, &x, Pooling::whole(2, 2));
            let cotangent = batch(vec![1.0], (1, 1, 1, 1));
            (view(&y)[0], view(&max_pool_pullback(&mut NoneTape, &cotangent, &x, Pooling::whole(2, 2))).to_vec())
        };
        assert_eq!(pull(vec![1.0, 2.0, 2.0, 0.0]), (2.0, vec![0.0, 1.0, 0.0, 0.0]));
        assert_eq!(pull(vec![f64::NEG_INFINITY; 4]), (f64::NEG_INFINITY, vec![1.0, 0.0, 0.0, 0.0]));
        let (value, cotangent) = pull(vec![1.0, f64::NAN, 2.0, 0.0]);
        assert!(value.is_nan());
        assert_eq!(cotangent, [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_divisor_of_a_window_beyond_the_padding_counts_what_lies_within_it() {
        // The first window lies on a row of padding and two pixels. The last starts at the last pixel and reaches one row
        // of padding, which counts, and one row beyond, which does not.
        let padding = Padding { top: 1, bottom: 1, ..Padding::default() };
        let pooling = over(Window { kernel: [3, 1], stride: [2, 1], padding, dilation: [1, 1] });
        let x: Batch<f64> = batch(vec![1.0; 4], (1, 4, 1, 1));
        let padded = average_pool(&mut NoneTape, &x, pooling, Divisor::Padded);
        assert_eq!(view(&padded), [2.0 / 3.0, 1.0, 0.5]);
        let inside = average_pool(&mut NoneTape, &x, pooling, Divisor::Inside);
        assert_eq!(view(&inside), [1.0; 3]);
    }
}
