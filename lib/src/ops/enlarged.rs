//! Convolution of images enlarged twice by repetition, without enlarging them: y = rectify(W * nearest_2(x) + b).
//!
//! Neighbouring pixels of an enlarged image are equal, so the taps of W that fall on equal pixels are summed first. Outputs in even
//! and odd rows and columns, four phases, are convolutions of x itself by kernels of about half the height and width: of 3 x 3 taps, 4
//! remain. W has an odd kernel, stride 1 and the padding that keeps the size.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::{InputGradient, enlarged::convolve};
//! let x = batch(vec![1.0f64], (1, 1, 1, 1));
//! let sum = batch(vec![1.0; 9], (1, 3, 3, 1));
//! assert_eq!(view(&convolve(&mut Tape::off(), &x, &sum, None, None, InputGradient::Unwanted)), [4.0; 4]);
//! ```

use rayon::prelude::*;

use super::activation::before_rectifier;
use super::arithmetic::combine;
use super::convolution::{self, Convolution};
use super::upsample::{nearest, nearest_pullback};
use super::window::{Padding, Window};
use super::{InputGradient, record_transpose};
use crate::tensor::device::on_device_already;
use crate::tensor::{Batch, Element, Shape, Tape, batch, shape, view};

/// Whether a convolution of this window, reading images enlarged twice, is one that this module computes.
pub(crate) fn is_enlarging(window: &Window) -> bool {
    let same = |kernel: usize, before: usize, after: usize| kernel == 2 * before + 1 && before == after && before > 0;
    let Window { kernel, stride, padding, dilation } = *window;
    let kept = same(kernel[0], padding.top, padding.bottom) && same(kernel[1], padding.left, padding.right);
    kept && stride == [1, 1] && dilation == [1, 1]
}

/// y = rectify(W * nearest_2(x) + b), with `slope` below zero, or without the rectifier.
///
/// Shapes: x (N, H, W, C), weight (O, kh, kw, C), bias (1, 1, 1, O), y (N, 2 H, 2 W, O).
pub fn convolve<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    weight: &Batch<E>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    input: InputGradient,
) -> Batch<E> {
    if on_device_already(&[x, weight]) {
        let large = nearest(tape, x, 2);
        return convolution::convolve(tape, &large, weight, bias, slope, whole(weight), input);
    }
    let (n, h, w, _) = shape(x);
    let enlarged = (n, 2 * h, 2 * w, shape(weight).0);
    let parts = Phase::all(weight).map(|phase| {
        let kernel = phase.kernel(tape, weight);
        convolution::convolve(tape, x, &kernel, bias, slope, phase.convolution(), input)
    });
    let y = batch(interleaved(parts.each_ref().map(view), enlarged), enlarged);
    record_interleaved(tape, &parts, &y);
    y
}

/// The cotangent of x for a cotangent of y: the transposed convolution, then the sums of blocks.
///
/// `slopes` are y itself and the rectifier's slope; y may be one image that stands for all.
pub fn adjoint<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    slopes: Option<(&Batch<E>, E)>,
    weight: &Batch<E>,
) -> Batch<E> {
    if on_device_already(&[cotangent, weight]) {
        let (_, h, w, _) = shape(cotangent);
        let large = convolution::adjoint(tape, cotangent, slopes, weight, whole(weight), (h, w));
        return nearest_pullback(tape, &large, 2);
    }
    let cotangent = before_rectifier(tape, cotangent, slopes);
    let (_, h, w, _) = shape(&cotangent);
    let [first, rest @ ..] = Phase::all(weight).map(|phase| {
        let part = phase.part(tape, &cotangent);
        let kernel = phase.kernel(tape, weight);
        convolution::adjoint(tape, &part, None, &kernel, phase.convolution(), (h / 2, w / 2))
    });
    rest.iter().fold(first, |sum, part| combine(tape, E::one(), &sum, E::one(), part))
}

/// The convolution of the enlarged image.
fn whole<E: Element>(weight: &Batch<E>) -> Convolution {
    let (_, kh, kw, _) = shape(weight);
    let padding = Padding { top: kh / 2, bottom: kh / 2, left: kw / 2, right: kw / 2 };
    Convolution { window: Window { kernel: [kh, kw], stride: [1, 1], padding, dilation: [1, 1] }, groups: 1 }
}

/// What outputs of even or odd rows (or columns) see of x.
#[derive(Clone, Copy)]
struct Axis {
    /// 0 for even outputs, 1 for odd ones.
    odd: usize,
    /// Taps of W.
    taps: usize,
}

impl Axis {
    /// Pixels of x before and after the one that the output lies in.
    fn sides(self) -> (usize, usize) {
        let reach = self.taps / 2;
        ((reach + 1 - self.odd) / 2, (reach + self.odd) / 2)
    }

    fn kernel(self) -> usize {
        let (before, after) = self.sides();
        before + 1 + after
    }

    /// The tap of the smaller kernel that a tap of W goes to.
    fn tap(self, tap: usize) -> usize {
        let (before, _) = self.sides();
        // Output 2 i + odd sees row 2 i + odd + tap - reach of the enlarged image, and i + tap' - before of x.
        (2 * before + self.odd + tap - self.taps / 2) / 2
    }
}

/// One of the four convolutions: of even or odd rows, and of even or odd columns.
#[derive(Clone, Copy)]
struct Phase {
    number: usize,
    rows: Axis,
    columns: Axis,
}

impl Phase {
    fn all<E: Element>(weight: &Batch<E>) -> [Self; 4] {
        let (_, kh, kw, _) = shape(weight);
        std::array::from_fn(|number| Self {
            number,
            rows: Axis { odd: number / 2, taps: kh },
            columns: Axis { odd: number % 2, taps: kw },
        })
    }

    fn convolution(self) -> Convolution {
        let ((top, bottom), (left, right)) = (self.rows.sides(), self.columns.sides());
        let window = Window {
            kernel: [self.rows.kernel(), self.columns.kernel()],
            stride: [1, 1],
            padding: Padding { top, bottom, left, right },
            dilation: [1, 1],
        };
        Convolution { window, groups: 1 }
    }

    /// W with the taps that see one pixel summed, (O, kh', kw', C).
    fn kernel<E: Element>(self, tape: &mut Tape<E>, weight: &Batch<E>) -> Batch<E> {
        let (outputs, kh, kw, channels) = shape(weight);
        let size = (outputs, self.rows.kernel(), self.columns.kernel(), channels);
        // For each run of channels of W, where its sum is.
        let runs = (0..outputs * kh * kw).map(move |run| {
            let (output, row, column) = (run / (kh * kw), run / kw % kh, run % kw);
            ((output * size.1 + self.rows.tap(row)) * size.2 + self.columns.tap(column)) * channels
        });
        let mut kernel = vec![E::zero(); size.0 * size.1 * size.2 * channels];
        for (values, to) in view(weight).chunks_exact(channels).zip(runs.clone()) {
            kernel[to..to + channels].iter_mut().zip(values).for_each(|(sum, &value)| *sum += value);
        }
        let kernel = batch(kernel, size);
        record_transpose(tape, weight, &kernel, move |upstream| {
            runs.flat_map(|from| &upstream[from..from + channels]).copied().collect()
        });
        kernel
    }

    /// The pixels of y that are this phase's.
    fn part<E: Element>(self, tape: &mut Tape<E>, y: &Batch<E>) -> Batch<E> {
        let enlarged @ (n, h, w, c) = shape(y);
        let part = batch(taken(self.number, view(y), enlarged), (n, h / 2, w / 2, c));
        record_transpose(tape, y, &part, move |upstream| {
            interleaved(std::array::from_fn(|number| if number == self.number { upstream } else { &[] }), enlarged)
        });
        part
    }
}

/// The pixels of phase `number` of images of that shape.
fn taken<E: Element>(number: usize, y: &[E], (n, h, w, c): Shape) -> Vec<E> {
    let mut part = vec![E::zero(); n * (h / 2) * (w / 2) * c];
    let rows = part.par_chunks_mut((w / 2 * c).max(1)).zip(y.par_chunks((2 * w * c).max(1)));
    rows.for_each(|(part, y)| {
        let row = &y[number / 2 * w * c..][..w * c];
        for (part, pair) in part.chunks_exact_mut(c).zip(row.chunks_exact(2 * c)) {
            part.copy_from_slice(&pair[number % 2 * c..][..c]);
        }
    });
    part
}

/// The phases' pixels in their places of images of that shape; those of an empty phase are zero.
fn interleaved<E: Element>(parts: [&[E]; 4], (n, h, w, c): Shape) -> Vec<E> {
    let mut y = vec![E::zero(); n * h * w * c];
    let half = w / 2 * c;
    y.par_chunks_mut((2 * w * c).max(1)).enumerate().for_each(|(number, rows)| {
        for (phase, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            let row = &mut rows[phase / 2 * w * c..][..w * c];
            for (pair, pixel) in row.chunks_exact_mut(2 * c).zip(part[number * half..][..half].chunks_exact(c)) {
                pair[phase % 2 * c..][..c].copy_from_slice(pixel);
            }
        }
    });
    y
}

/// Records the gradients of the phases for that of y.
fn record_interleaved<E: Element>(tape: &mut Tape<E>, parts: &[Batch<E>; 4], y: &Batch<E>) {
    if !tape.records() {
        return;
    }
    let (enlarged, y) = (shape(y), y.ghost());
    let parts = parts.each_ref().map(|part| part.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&y);
        for (number, part) in parts.iter().enumerate() {
            // Nothing else reads a phase: what it receives is all there is.
            gradients.put(part, taken(number, &upstream, enlarged));
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{assert_close, check_adjoint, check_gradients, normal};

    const SLOPE: f64 = 0.2;

    fn inputs(kernel: (usize, usize)) -> [Batch<f64>; 3] {
        [normal("x", (2, 3, 4, 2)), normal("weight", (5, kernel.0, kernel.1, 2)), normal("bias", (1, 1, 1, 5))]
    }

    fn whole(kernel: (usize, usize)) -> Convolution {
        let convolution = super::whole::<f64>(&crate::tensor::zeros((1, kernel.0, kernel.1, 1)));
        assert!(is_enlarging(&convolution.window));
        convolution
    }

    #[test]
    fn is_the_convolution_of_the_enlarged_image() {
        for kernel in [(3, 3), (5, 3), (3, 7), (9, 5)] {
            let [x, weight, bias] = inputs(kernel);
            let y = convolve(&mut Tape::off(), &x, &weight, Some(&bias), Some(SLOPE), InputGradient::Unwanted);
            let large = nearest(&mut Tape::off(), &x, 2);
            let expected = convolution::convolve(
                &mut Tape::off(),
                &large,
                &weight,
                Some(&bias),
                Some(SLOPE),
                whole(kernel),
                InputGradient::Unwanted,
            );
            assert_eq!(shape(&y), shape(&expected));
            assert_close(view(&y), view(&expected), 1e-14);
        }
    }

    #[test]
    fn gradients_are_differences() {
        for kernel in [(3, 3), (5, 3)] {
            check_gradients(&inputs(kernel), |tape, inputs| {
                let [x, weight, bias] = inputs else { unreachable!() };
                convolve(tape, x, weight, Some(bias), Some(SLOPE), InputGradient::Wanted)
            });
        }
    }

    #[test]
    fn the_adjoint_is_the_transposed_derivative_and_has_gradients() {
        for kernel in [(3, 3), (5, 3)] {
            let [x, weight, bias] = inputs(kernel);
            let forward = |x: &Batch<f64>| {
                convolve(&mut Tape::off(), x, &weight, Some(&bias), Some(SLOPE), InputGradient::Unwanted)
            };
            let y = forward(&x);
            check_adjoint(&x, forward, |cotangent| adjoint(&mut Tape::off(), cotangent, Some((&y, SLOPE)), &weight));
            check_gradients(&[normal("cotangent", shape(&y)), weight.clone()], |tape, inputs| {
                adjoint(tape, &inputs[0], Some((&y, SLOPE)), &inputs[1])
            });
        }
    }

    #[test]
    fn weights_that_are_constants_get_the_same_input_gradient() {
        let [x, weight, _] = inputs((3, 3));
        let mut tape = Tape::recording();
        let y = convolve(&mut tape, &x, &weight, None, None, InputGradient::Wanted);
        let cotangent: Batch<f64> = normal("c", shape(&y));
        let mut gradients = crate::tensor::backward(tape, &y, view(&cotangent).to_vec());
        let pulled = adjoint(&mut Tape::off(), &cotangent, None, &weight);
        assert_close(&crate::tensor::gradient(&mut gradients, &x), view(&pulled), 1e-14);
    }

    #[test]
    fn only_windows_that_keep_the_size_are_enlarging() {
        assert!(is_enlarging(&Window::square(3, 1, 1)));
        for window in
            [Window::square(3, 1, 0), Window::square(3, 2, 1), Window::square(1, 1, 0), Window::square(4, 1, 2)]
        {
            assert!(!is_enlarging(&window), "{window:?}");
        }
    }
}
