//! Transposed convolution, y = rectify(W^T * x + b), the adjoint of a convolution from y's size to x's, with bias and
//! rectifier; x (N, H, W, C), y (N, H', W', O), W (C, kh, kw, O / groups), b (1, 1, 1, O).
//!
//! Output length along one axis: (length - 1) stride - before - after + dilation (kernel - 1) + 1 + output padding, where the output padding
//! is less than the stride: it selects one of the lengths that the convolution maps to `length`.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::{InputGradient, conv_transpose::conv_transpose2d, convolution::Convolution, window::Window};
//! let (x, weight) = (batch(vec![3.0f64], (1, 1, 1, 1)), batch(vec![1.0, 2.0, 3.0, 4.0], (1, 2, 2, 1)));
//! let convolution = Convolution { window: Window::square(2, 2, 0), groups: 1 };
//! let y = conv_transpose2d(&mut Tape::off(), &x, &weight, None, None, convolution, (2, 2), InputGradient::Unwanted);
//! assert_eq!(view(&y), [3.0, 6.0, 9.0, 12.0]);
//! ```

use super::activation::before_rectifier;
use super::convolution::{Convolution, Slopes, add_column_sums, convolve, finish, transposed};
use super::linear::finished;
use super::{InputGradient, accumulate};
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};

/// y = rectify(W^T * x + b), with `slope` below zero, or without the rectifier. `convolution` is the one that maps y to x, `size` y's
/// height and width.
///
/// Shapes: x (N, H, W, C), weight (C, kh, kw, O / groups), bias (1, 1, 1, O).
#[expect(clippy::too_many_arguments, reason = "an operation's tensors and settings, named one by one")]
pub fn conv_transpose2d<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    weight: &Batch<E>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    convolution: Convolution,
    size: (usize, usize),
    input: InputGradient,
) -> Batch<E> {
    let linear = transposed(tape, x, None, weight.into(), convolution, size, input);
    if bias.is_none() && slope.is_none() {
        return linear;
    }
    let inputs: Vec<&Batch<E>> = std::iter::once(&linear).chain(bias).collect();
    let there =
        on_device(tape, &inputs, shape(&linear), |_, values| finished(values[0], values.get(1).copied(), slope));
    if let Some(y) = there {
        return y;
    }
    let mut y = view(&linear).to_vec();
    finish(&mut y, bias.map(view), slope);
    let y = batch(y, shape(&linear));
    record_finish(tape, &linear, bias, slope, &y);
    y
}

/// The cotangent of x for a cotangent of y = rectify(W^T * x + b): W * (cotangent * slopes).
///
/// `slopes` are y itself and the rectifier's slope; y may be one image that stands for all.
pub fn pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    slopes: Option<(&Batch<E>, E)>,
    weight: &Batch<E>,
    convolution: Convolution,
) -> Batch<E> {
    let delta = before_rectifier(tape, cotangent, slopes);
    convolve(tape, &delta, weight, None, None, convolution, InputGradient::Wanted)
}

/// Records the gradients of b and of the product for that of y.
fn record_finish<E: Element>(
    tape: &mut Tape<E>,
    linear: &Batch<E>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    y: &Batch<E>,
) {
    if !tape.records() {
        return;
    }
    let slopes = slope.map(|slope| Slopes::new(y, slope));
    let (linear, bias, y) = (linear.ghost(), bias.cloned(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let mut delta = gradients.take(&y);
        if let Some(slopes) = &slopes {
            slopes.apply(&mut delta, 0);
        }
        if let Some(bias) = &bias {
            add_column_sums(gradients.of(bias), &delta);
        }
        accumulate(gradients.of(&linear), &delta);
    });
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::ops::checks::{Case, assert_close, check_adjoint, check_gradients, normal, repeated};
    use crate::ops::window::{Padding, Window};
    use crate::store::npy::Scalar;
    use crate::tensor::{Tape, backward, gradient};

    fn plain(window: Window) -> Convolution {
        Convolution { window, groups: 1 }
    }

    const SLOPE: Option<f64> = Some(0.2);

    /// y and the gradients of x, W and b.
    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("ops");
        for (name, stride, padding) in [("convt_a", 2, 1), ("convt_b", 1, 1), ("convt_c", 2, 0)] {
            let array = |array: &str| case.array::<E>(&format!("{name}.{array}"));
            let expected = |array: &str| case.array::<f64>(&format!("{name}.{array}"));
            let inputs @ [x, weight, bias] = &["x", "weight", "bias"].map(array);
            let (_, h, w, _) = shape(&expected("y"));
            let mut tape = Tape::recording();
            let window = plain(Window::square(3, stride, padding));
            let y = conv_transpose2d(&mut tape, x, weight, Some(bias), None, window, (h, w), InputGradient::Wanted);
            assert_close(view(&y), view(&expected("y")), case.tolerance::<E>());
            let mut gradients = backward(tape, &y, view(&array("grad_y")).to_vec());
            for (input, name) in inputs.iter().zip(["grad_x", "grad_weight", "grad_bias"]) {
                assert_close(&gradient(&mut gradients, input), view(&expected(name)), case.tolerance::<E>());
            }
        }
    }

    #[test]
    fn agrees_with_the_oracle_in_f64() {
        check_oracle::<f64>();
    }

    #[test]
    fn agrees_with_the_oracle_in_f32() {
        check_oracle::<f32>();
    }

    /// A kernel of 3 x 2 with strides 2 and 1, padded differently on each side.
    fn uneven() -> (Convolution, (usize, usize)) {
        let padding = Padding { top: 2, bottom: 0, left: 0, right: 1 };
        // (4 - 1) 2 - 2 + 3 + 1 = 8; (3 - 1) 1 - 1 + 2 = 3.
        (plain(Window { kernel: [3, 2], stride: [2, 1], padding, dilation: [1, 1] }), (8, 3))
    }

    fn example() -> [Batch<f64>; 3] {
        [normal("x", (2, 4, 3, 2)), normal("weight", (2, 3, 2, 3)), normal("bias", (1, 1, 1, 3))]
    }

    /// PyTorch's `conv_transpose2d` of 1..8 in four channels by -5..6, stride 2, dilation 2, padding and output padding 1, two groups.
    #[test]
    fn values_of_dilated_kernels_and_groups_are_those_of_pytorch() {
        // Channels first: (1, 2), (3, 4), (5, 6), (7, 8).
        let x: Batch<f64> = batch(vec![1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 8.0], (1, 1, 2, 4));
        let weight = batch((-5..7).map(f64::from).collect(), (4, 1, 3, 1));
        let padding = Padding { left: 1, right: 1, ..Padding::default() };
        let window = Window { kernel: [1, 3], stride: [1, 2], padding, dilation: [1, 2] };
        let convolution = Convolution { window, groups: 2 };
        let y = conv_transpose2d(&mut Tape::off(), &x, &weight, None, None, convolution, (1, 6), InputGradient::Wanted);
        assert_eq!(view(&y), [0.0, 0.0, -25.0, 83.0, 0.0, 0.0, -15.0, 109.0, 0.0, 0.0, -6.0, 66.0]);
    }

    #[test]
    fn gradients_are_differences_with_and_without_bias_and_rectifier() {
        let (window, size) = uneven();
        for (bias, slope) in [(true, SLOPE), (true, None), (false, SLOPE), (false, None)] {
            let inputs = &example()[..if bias { 3 } else { 2 }];
            check_gradients(inputs, |tape, inputs| {
                let bias = inputs.get(2);
                conv_transpose2d(tape, &inputs[0], &inputs[1], bias, slope, window, size, InputGradient::Wanted)
            });
        }
    }

    #[test]
    fn the_pullback_is_the_transposed_derivative_also_with_one_image_for_all() {
        let (window, size) = uneven();
        let [x, weight, bias] = &example();
        let forward = |x: &_, slope| {
            conv_transpose2d(&mut Tape::off(), x, weight, Some(bias), slope, window, size, InputGradient::Wanted)
        };
        check_adjoint(x, |x| forward(x, None), |cotangent| pullback(&mut Tape::off(), cotangent, None, weight, window));
        let one = normal("one", (1, 4, 3, 2));
        for (x, y) in [(x.clone(), forward(x, SLOPE)), (repeated(&one, 3), forward(&one, SLOPE))] {
            check_adjoint(
                &x,
                |x| forward(x, SLOPE),
                |cotangent| pullback(&mut Tape::off(), cotangent, Some((&y, 0.2)), weight, window),
            );
        }
    }

    #[test]
    fn the_pullback_has_gradients_of_its_own() {
        let (window, size) = uneven();
        let [x, weight, bias] = &example();
        let unwanted = InputGradient::Unwanted;
        let y = conv_transpose2d(&mut Tape::off(), x, weight, Some(bias), SLOPE, window, size, unwanted);
        let first = normal("first", (1, size.0, size.1, 3));
        let inputs = [normal("upstream", (2, size.0, size.1, 3)), weight.clone()];
        for slopes in [None, Some((&y, 0.2)), Some((&first, 0.2))] {
            check_gradients(&inputs, |tape, inputs| pullback(tape, &inputs[0], slopes, &inputs[1], window));
        }
    }

    #[test]
    fn an_unwanted_gradient_is_left_out_and_the_others_are_the_same() {
        let (window, size) = uneven();
        let [x, weight, bias] = &example();
        for (bias, slope) in [(Some(bias), SLOPE), (None, None)] {
            let run = |input| {
                let mut tape = Tape::recording();
                let y = conv_transpose2d(&mut tape, x, weight, bias, slope, window, size, input);
                let mut gradients = backward(tape, &y, view(&y).to_vec());
                let inputs = [x, weight].into_iter().chain(bias);
                inputs.map(|input| gradient(&mut gradients, input)).collect::<Vec<_>>()
            };
            let (wanted, unwanted) = (run(InputGradient::Wanted), run(InputGradient::Unwanted));
            assert_eq!(wanted[1..], unwanted[1..]);
            assert!(unwanted[0].iter().all(|&value| value == 0.0) && wanted[0].iter().any(|&value| value != 0.0));
        }
    }
}
